//! The capability `http`: requests to granted hosts, over HTTPS.

use std::{net::IpAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Answer, CALL_BYTES, Live, Refusal, Reply, Request, Told};
use crate::{bindings::http, state::State};

/// The longest that a request may take, response and all.
pub const RESPONSE_TIME: Duration = Duration::from_secs(30);
/// The most headers of a request or a response.
const HEADERS: usize = 100;
/// The most bytes of all headers together, and of a path.
const HEADER_BYTES: usize = 32 << 10;
/// Headers that belong to the connection, not to the guest.
const OWN: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
/// Headers whose values are kept nowhere.
const SECRET: [&str; 4] = ["authorization", "cookie", "x-api-key", "x-auth-token"];
/// Stands in a record for a value that may be a secret.
const NOT_KEPT: &str = "(not kept)";

/// A request without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// The host, as it is granted.
    pub host: String,
    /// `GET` and so on.
    pub method: String,
    /// The path and query.
    pub path: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
}

impl HttpRequest {
    /// The request as it is kept.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let mut request = self.clone();
        for (name, value) in &mut request.headers {
            if SECRET.contains(&name.to_ascii_lowercase().as_str()) {
                NOT_KEPT.clone_into(value);
            }
        }
        request
    }

    /// What is wrong with it, before any of it is sent.
    fn check(&self) -> Result<(), Refusal> {
        let failed = |message: String| Err(Refusal::Failed(message));
        let token = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
        };
        if !token(&self.method) || self.method.len() > 32 || self.method.eq_ignore_ascii_case("connect") {
            return failed(format!("`{}` is no method for a request", self.method.escape_debug()));
        }
        if !self.path.starts_with('/') || !self.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return failed("a path begins with `/` and has no spaces or other bytes that must be escaped".to_owned());
        }
        let bytes = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + self.path.len();
        if self.headers.len() > HEADERS || bytes > HEADER_BYTES {
            let message = format!("a request has at most {HEADERS} headers and {HEADER_BYTES} bytes of them");
            return Err(Refusal::TooLarge(message));
        }
        for (name, value) in &self.headers {
            if !token(name) || value.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
                return failed(format!("`{}` cannot be a header", name.escape_debug()));
            }
            if OWN.contains(&name.to_ascii_lowercase().as_str()) {
                return failed(format!("the header `{name}` belongs to the connection"));
            }
        }
        Ok(())
    }
}

/// A response without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
}

/// A host that may be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    /// Whether the connection is encrypted. Where it is not, `authority` is this machine's loopback.
    pub tls: bool,
    /// The host and, where it is not the usual one, the port: `api.example.org`, `127.0.0.1:8080`.
    pub authority: String,
    /// Certificates (PEM) that it may show beside those that the system trusts.
    pub certificates: Option<Arc<[u8]>>,
}

/// Reads a host as pipelines and settings name it.
///
/// # Errors
/// What is wrong with it, in words.
pub fn target(text: &str) -> Result<HttpTarget, String> {
    let (tls, authority) = match text.strip_prefix("http://") {
        Some(authority) => (false, authority),
        None => (true, text),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && (!host.contains(':') || host.ends_with(']')) => {
            (host, Some(port))
        }
        _ => (authority, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let address: Option<IpAddr> = bracketed.unwrap_or(host).parse().ok();
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let named = match address {
        Some(address) => address.is_ipv6() == bracketed.is_some(),
        None => bracketed.is_none() && host.split('.').all(word),
    };
    if !named || port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return Err(format!(
            "`{text}` is no host: write `api.example.org`, in lower case, with `:PORT` where it is not 443"
        ));
    }
    if !tls && !address.is_some_and(|address| address.is_loopback()) {
        return Err(format!(
            "`{text}`: without TLS only this machine's loopback can be reached, as `http://127.0.0.1:PORT`"
        ));
    }
    Ok(HttpTarget { tls, authority: authority.to_owned(), certificates: None })
}

impl Live {
    pub(super) fn http(
        &self,
        request: &super::HttpRequest,
        body: &[u8],
        stop: &dyn Fn() -> bool,
    ) -> Result<Answer, Refusal> {
        if !self.grants.http.contains(&request.host) {
            return Err(Refusal::NotGranted(format!("host `{}` is not granted", request.host.escape_debug())));
        }
        let mut target = target(&request.host).map_err(Refusal::Failed)?;
        target.certificates.clone_from(&self.certificates);
        request.check()?;
        let (mut response, body) = self.world.http(&target, request, body, stop)?;
        // Whoever implements the world holds to the limits while it reads; this is where nobody gets around them.
        let bytes = response.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if body.len() as u64 > CALL_BYTES || bytes > 8 * HEADER_BYTES {
            return Err(Refusal::TooLarge(format!("the response has more than {CALL_BYTES} bytes")));
        }
        response.headers.retain(|(name, _)| name != "set-cookie");
        response.headers.sort();
        Ok(Answer { result: Ok(Reply::Http(response)), body })
    }
}

impl http::Host for State {
    fn send(&mut self, request: http::Request) -> Told<http::Response> {
        let http::Request { host, method, path, headers, body } = request;
        let request = Request::Http(HttpRequest { host, method, path, headers });
        self.ask(&request, &body, |reply, body| match reply {
            Reply::Http(HttpResponse { status, headers }) => Some(http::Response { status, headers, body }),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use stagewright_core::Grants;

    use super::*;
    use crate::grants::tests::ask;

    fn request(host: &str, path: &str, headers: &[(&str, &str)]) -> Request {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Request::Http(HttpRequest { host: host.to_owned(), method: "GET".to_owned(), path: path.to_owned(), headers })
    }

    fn granted() -> Grants {
        Grants { http: ["api.example.org".to_owned(), "api.example.org:8443".to_owned()].into(), ..Grants::default() }
    }

    #[test]
    fn a_granted_host_answers_without_cookies_and_in_order() {
        let (reply, body) = ask(&granted(), &request("api.example.org", "/rates?base=EUR", &[]), b"asked").unwrap();
        let headers = [("a", "1"), ("b", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(reply, Reply::Http(HttpResponse { status: 200, headers: headers.into() }));
        assert_eq!(String::from_utf8(body).unwrap(), "GET https api.example.org /rates?base=EUR asked");
    }

    #[test]
    fn another_host_or_port_is_refused_by_name() {
        for host in
            ["evil.example", "api.example.org.evil.example", "API.example.org", "api.example.org:444", "", "a\n"]
        {
            let refusal = Refusal::NotGranted(format!("host `{}` is not granted", host.escape_debug()));
            assert_eq!(ask(&granted(), &request(host, "/", &[]), &[]), Err(refusal));
        }
    }

    #[test]
    fn a_request_cannot_smuggle_another_one() {
        let ask =
            |path: &str, headers: &[(&str, &str)]| ask(&granted(), &request("api.example.org", path, headers), &[]);
        for path in ["", "no-slash", "/ HTTP/1.1", "/\r\nHost: evil", "@evil.example/", "/#part", "/ü"] {
            assert!(matches!(ask(path, &[]), Err(Refusal::Failed(_))), "{path:?}");
        }
        let bad = [("host", "evil"), ("Content-Length", "0"), ("x y", "z"), ("x", "a\r\nb: c"), ("", "x"), ("x:", "y")];
        for header in bad {
            assert!(matches!(ask("/", &[header]), Err(Refusal::Failed(_))), "{header:?}");
        }
        let long = "x".repeat(HEADER_BYTES);
        assert!(matches!(ask("/", &[("x", &long)]), Err(Refusal::TooLarge(_))));
        assert!(matches!(ask("/", &[("x", "y"); HEADERS + 1]), Err(Refusal::TooLarge(_))));
    }

    #[test]
    fn secrets_are_sent_but_not_kept() {
        let asked = request("api.example.org", "/", &[("Authorization", "Bearer abc"), ("accept", "text/csv")]);
        let kept = request("api.example.org", "/", &[("Authorization", NOT_KEPT), ("accept", "text/csv")]);
        assert_eq!(asked.without_secrets(), kept);
    }

    #[test]
    fn hosts_are_names_or_addresses_and_plain_http_stays_on_this_machine() {
        for good in
            ["api.example.org", "localhost:8443", "10.0.0.1", "[::1]:80", "http://127.0.0.1:8080", "http://[::1]:1"]
        {
            assert!(target(good).is_ok(), "{good}: {:?}", target(good));
        }
        let bad =
            ["", "https://api.example.org", "api.example.org/", "user@host", "Host", "a..b", "host:0", "host:99999"];
        for bad in bad.iter().chain(&[
            "::1",
            "http://api.example.org",
            "http://localhost:1",
            "http://10.0.0.1",
            "*.org",
            "[host]",
        ]) {
            assert!(target(bad).is_err(), "{bad}");
        }
    }
}
