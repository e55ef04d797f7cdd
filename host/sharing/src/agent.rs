//! The one way to other machines: every request is encrypted or stays on this machine, and every answer is bounded.

use std::{io::Read, time::Duration};

use reqwest::{
    Method, StatusCode, Url,
    blocking::{Client, RequestBuilder, Response},
    redirect::{Action, Attempt, Policy},
};

use crate::{
    Result, SharingError,
    reference::{is_this_machine, secure, shown},
};

/// A plugin's signature is four lines.
const SIGNATURE_BYTES: u64 = 16 << 10;
/// Of an error's text, so much is passed on.
const ANSWER_BYTES: u64 = 2048;
const ANSWER_CHARACTERS: usize = 200;
/// Redirects in a row.
const REDIRECTS: usize = 5;
const CONNECT: Duration = Duration::from_secs(15);

/// Speaks HTTP.
#[derive(Debug)]
pub struct Agent {
    client: Client,
}

impl Agent {
    /// An agent whose requests take at most `time` each, from the connection to the last byte.
    ///
    /// # Errors
    /// This machine's root certificates cannot be read.
    pub fn new(time: Duration) -> Result<Self> {
        // The process has one provider of cryptography. Where another part of it has chosen one before, it is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("stagewright/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::custom(redirected))
            .connect_timeout(CONNECT.min(time))
            .timeout(time)
            .referer(false)
            // The environment of a process is no argument.
            .no_proxy()
            .build()
            .map_err(|source| SharingError::Unreachable("the network".to_owned(), source))?;
        Ok(Self { client })
    }

    /// A component from a web server, and its signature where there is one beside it.
    ///
    /// # Errors
    /// The server cannot be reached, has no such file, or the file is too large.
    pub fn fetch(&self, url: &Url) -> Result<(Vec<u8>, Option<String>)> {
        let response = accepted(self.send(self.request(Method::GET, url)?)?)?;
        let component = body(response, crate::MOST_BYTES)?;
        let mut beside = url.clone();
        beside.set_path(&format!("{}.minisig", url.path()));
        let response = self.send(self.request(Method::GET, &beside)?)?;
        // Web servers differ in how they say that they have no such file; only an answer of theirs counts as a no.
        if matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN) {
            return Ok((component, None));
        }
        let signature = body(accepted(response)?, SIGNATURE_BYTES)?;
        let signature = String::from_utf8(signature)
            .map_err(|_| SharingError::answer(shown(&beside), "a signature of minisign is text, and this is not"))?;
        Ok((component, Some(signature)))
    }

    /// A request that is not sent yet.
    pub(crate) fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder> {
        secure(url)?;
        Ok(self.client.request(method, url.clone()))
    }

    /// Sends it, whatever the answer says.
    pub(crate) fn send(&self, request: RequestBuilder) -> Result<Response> {
        request.send().map_err(|error| {
            let url = error.url().map_or_else(|| "the server".to_owned(), shown);
            SharingError::Unreachable(url, error.without_url())
        })
    }
}

/// Follows what stays encrypted, and never from another machine to this one: a stranger must not make us ask the
/// services that trust it.
fn redirected(attempt: Attempt<'_>) -> Action {
    let started_here = attempt.previous().first().is_some_and(is_this_machine);
    if attempt.previous().len() > REDIRECTS {
        return attempt.error(format!("more than {REDIRECTS} redirects"));
    }
    let next = attempt.url();
    let came_encrypted = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if is_this_machine(next) && !started_here {
        return attempt.error("it redirects to this machine");
    }
    if secure(next).is_err() || (came_encrypted && next.scheme() != "https") {
        return attempt.error("it redirects to an address that is not encrypted");
    }
    attempt.follow()
}

/// The answer, if it is a yes.
pub(crate) fn accepted(response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let (what, host) = (shown(response.url()), response.url().host_str().unwrap_or_default().to_owned());
    let mut answer = Vec::new();
    // Where not even the explanation can be read, the status says enough.
    let _ = response.take(ANSWER_BYTES).read_to_end(&mut answer);
    if matches!(status, StatusCode::UNAUTHORIZED) {
        return Err(SharingError::Credentials { host, given: false });
    }
    let answer = String::from_utf8_lossy(&answer).split_whitespace().collect::<Vec<_>>().join(" ");
    let answer = answer.chars().filter(|c| !c.is_control()).take(ANSWER_CHARACTERS).collect();
    Err(SharingError::Refused { what, status: status.to_string(), answer })
}

/// An answer's body, if it has at most `limit` bytes.
pub(crate) fn body(response: Response, limit: u64) -> Result<Vec<u8>> {
    let what = shown(response.url());
    let too_large = |what: &str| SharingError::TooLarge { what: what.to_owned(), limit };
    let announced = response.content_length();
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(&what));
    }
    let mut bytes = Vec::new();
    response
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| SharingError::answer(&what, format!("the answer broke off: {error}")))?;
    if bytes.len() as u64 > limit { Err(too_large(&what)) } else { Ok(bytes) }
}
