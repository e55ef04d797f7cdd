//! An OCI registry: fetching a plugin from it, and putting one into it.
//!
//! The few requests that this takes are made here rather than by a client library, because each has a bound and a rule:
//! how many bytes an answer may have, where a redirect may lead, and to whom a password may go.

use std::cell::RefCell;

use reqwest::{
    Method, StatusCode, Url,
    blocking::{RequestBuilder, Response},
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE},
};
use serde::Deserialize;

use crate::{
    Agent, Artifact, Credentials, Reference, Result, SharingError,
    agent::{accepted, body},
    artifact::{INDEX, MANIFEST, MANIFEST_BYTES, layer, must_have, sha256},
    credentials::Credential,
    reference::{is_this_machine, shown},
};

/// An answer of those who hand out tokens.
const TOKEN_BYTES: u64 = 256 << 10;

/// One artifact's place in a registry.
#[derive(Debug)]
pub struct Registry<'a> {
    agent: &'a Agent,
    reference: &'a Reference,
    base: Url,
    credential: Option<Credential>,
    /// What stands in the requests' `Authorization`, once the registry asked for it.
    authorization: RefCell<Option<String>>,
}

/// What came from a registry. Its digests were checked.
#[derive(Debug)]
pub struct Pulled {
    /// The component.
    pub component: Vec<u8>,
    /// Its signature's text.
    pub signature: Option<String>,
    /// The digest of the manifest, `sha256:…`.
    pub manifest: String,
}

/// What one wants to do.
#[derive(Clone, Copy)]
enum Action {
    Pull,
    Push,
}

impl Action {
    const fn scope(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

impl<'a> Registry<'a> {
    /// The place that a reference names. Nothing is sent yet.
    ///
    /// # Errors
    /// The reference's host is none.
    pub fn new(agent: &'a Agent, reference: &'a Reference, credentials: &Credentials) -> Result<Self> {
        let credential = credentials.of(&reference.host).cloned();
        Ok(Self { agent, reference, base: reference.base()?, credential, authorization: RefCell::default() })
    }

    /// Fetches the plugin.
    ///
    /// # Errors
    /// The registry cannot be reached, does not have it, or answers with something else.
    pub fn pull(&self) -> Result<Pulled> {
        let what = self.reference.to_string();
        let url = self.at(&["manifests", self.reference.selector()])?;
        let accept = format!("{MANIFEST}, {INDEX}");
        let response = self.send(Action::Pull, Method::GET, &url, |request| request.header(ACCEPT, &accept))?;
        let bytes = body(accepted(response)?, MANIFEST_BYTES)?;
        let manifest = sha256(&bytes);
        if let Some(wanted) = &self.reference.digest {
            must_have(&what, &bytes, wanted)?;
        }
        let layer = layer(&what, &bytes)?;
        let response = self.send(Action::Pull, Method::GET, &self.at(&["blobs", &layer.digest])?, |request| request)?;
        let component = body(accepted(response)?, layer.size)?;
        must_have(&what, &component, &layer.digest)?;
        Ok(Pulled { component, signature: layer.signature, manifest })
    }

    /// Puts a plugin there, under the reference's tag. Returns the digest of its manifest.
    ///
    /// # Errors
    /// The registry cannot be reached, or does not take it.
    pub fn push(&self, artifact: &Artifact) -> Result<String> {
        let manifest = artifact.digest();
        if self.reference.digest.as_ref().is_some_and(|wanted| *wanted != manifest) {
            let (what, wanted) = (self.reference.to_string(), self.reference.selector().to_owned());
            return Err(SharingError::Digest { what, wanted, found: manifest });
        }
        self.put_blob(&artifact.config)?;
        self.put_blob(&artifact.component)?;
        let url = self.at(&["manifests", self.reference.tag.as_deref().unwrap_or(self.reference.selector())])?;
        let response = self.send(Action::Push, Method::PUT, &url, |request| {
            request.header(CONTENT_TYPE, MANIFEST).body(artifact.manifest.clone())
        })?;
        accepted(response)?;
        Ok(manifest)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<()> {
        let digest = sha256(bytes);
        let there = self.send(Action::Push, Method::HEAD, &self.at(&["blobs", &digest])?, |request| request)?;
        if there.status().is_success() {
            return Ok(());
        }
        let start = self.at(&["blobs", "uploads", ""])?;
        let response = accepted(self.send(Action::Push, Method::POST, &start, |request| request.body(Vec::new()))?)?;
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let mut upload = location
            .and_then(|location| self.base.join(location).ok())
            .ok_or_else(|| SharingError::answer(shown(&start), "the registry does not say where to upload to"))?;
        self.must_not_come_here(&upload)?;
        upload.query_pairs_mut().append_pair("digest", &digest);
        let response = self.send(Action::Push, Method::PUT, &upload, |request| {
            request.header(CONTENT_TYPE, "application/octet-stream").body(bytes.to_vec())
        })?;
        accepted(response).map(drop)
    }

    /// The address of something of this artifact.
    fn at(&self, path: &[&str]) -> Result<Url> {
        let mut url = self.base.clone();
        let mut segments = url.path_segments_mut().map_err(|()| SharingError::Insecure(self.reference.to_string()))?;
        segments.clear().push("v2").extend(self.reference.repository.split('/')).extend(path);
        drop(segments);
        Ok(url)
    }

    /// Sends a request, and once more as whom the registry wants to see.
    fn send(
        &self,
        action: Action,
        method: Method,
        url: &Url,
        prepare: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response> {
        // What was given for the registry goes to the registry only, wherever it has its uploads sent.
        let ours = url.origin() == self.base.origin();
        let attempt = || {
            let mut request = prepare(self.agent.request(method.clone(), url)?);
            if let Some(authorization) = self.authorization.borrow().as_ref().filter(|_| ours) {
                request = request.header(AUTHORIZATION, authorization);
            }
            self.agent.send(request)
        };
        let response = attempt()?;
        if response.status() != StatusCode::UNAUTHORIZED || !ours {
            return Ok(response);
        }
        self.authorize(&response, action)?;
        let response = attempt()?;
        match response.status() {
            StatusCode::UNAUTHORIZED => Err(self.not_known()),
            _ => Ok(response),
        }
    }

    fn not_known(&self) -> SharingError {
        SharingError::Credentials { host: self.reference.host.clone(), given: self.credential.is_some() }
    }

    /// Finds out what the registry wants to see, and gets it.
    fn authorize(&self, response: &Response, action: Action) -> Result<()> {
        let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let challenge = challenge.unwrap_or_default();
        let (scheme, parameters) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            let credential = self.credential.as_ref().ok_or_else(|| self.not_known())?;
            *self.authorization.borrow_mut() = Some(basic(credential));
            return Ok(());
        }
        let parameter = |name: &str| parameter(parameters, name);
        let wrong =
            || SharingError::answer(shown(response.url()), "the registry does not say where it gives out tokens");
        let mut realm = parameter("realm").and_then(|realm| Url::parse(realm).ok()).ok_or_else(wrong)?;
        self.must_not_come_here(&realm)?;
        if let Some(service) = parameter("service") {
            realm.query_pairs_mut().append_pair("service", service);
        }
        let scope = format!("repository:{}:{}", self.reference.repository, action.scope());
        realm.query_pairs_mut().append_pair("scope", &scope);
        let mut request = self.agent.request(Method::GET, &realm)?;
        if let Some(credential) = &self.credential {
            request = request.header(AUTHORIZATION, basic(credential));
        }
        let response = self.agent.send(request)?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Err(self.not_known());
        }
        let token: Token = serde_json::from_slice(&body(accepted(response)?, TOKEN_BYTES)?)
            .map_err(|_| SharingError::answer(shown(&realm), "the answer is no token"))?;
        let token = [token.token, token.access_token].into_iter().flatten().find(|token| !token.is_empty());
        let token = token.ok_or_else(|| SharingError::answer(shown(&realm), "the answer is no token"))?;
        *self.authorization.borrow_mut() = Some(format!("Bearer {token}"));
        Ok(())
    }

    /// A registry elsewhere must not send us to the services of this machine.
    fn must_not_come_here(&self, url: &Url) -> Result<()> {
        match is_this_machine(url) && !is_this_machine(&self.base) {
            true => Err(SharingError::answer(self.reference.to_string(), "the registry sends us to this machine")),
            false => Ok(()),
        }
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

fn basic(credential: &Credential) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(format!("{}:{}", credential.user, credential.password)))
}

/// A parameter of a challenge: `name="value"`.
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = challenge;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        if key.trim_matches([' ', ',']).eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_whatever_its_order_and_quotes() {
        let text = "realm=\"https://auth.example.org/token\", service=registry ,scope=\"repository:a/b:pull,push\"";
        let read = |name| parameter(text, name).map(str::trim);
        assert_eq!(read("realm"), Some("https://auth.example.org/token"));
        assert_eq!(read("Service"), Some("registry"));
        assert_eq!(read("scope"), Some("repository:a/b:pull,push"));
        for text in ["", "realm", "realm=\"", "=", ",,,", "\"realm\""] {
            assert_eq!(parameter(text, "realm"), None, "{text}");
        }
    }
}
