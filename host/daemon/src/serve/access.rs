//! Who may ask.
//!
//! Deny by default: without a token nothing is answered, unless the operator said so, which on a loopback address is
//! the default. There, a request that a browser sends on behalf of some other site is refused.

use std::net::IpAddr;

use hyper::{
    StatusCode,
    header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN},
};

use super::answer::Refusal;

/// Who may ask.
pub(crate) struct Access {
    /// Whether predictions and figures are there for everybody who can connect.
    pub(crate) open: bool,
    /// Whether only this machine can connect.
    pub(crate) loopback: bool,
}

impl Access {
    /// Lets through who may ask models for predictions.
    pub(super) async fn predictor(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        self.let_through(headers)
    }

    /// Lets through who may look at figures.
    pub(super) async fn reader(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        self.let_through(headers)
    }

    fn let_through(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if headers.contains_key(AUTHORIZATION) || !self.open {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "this needs a token that is good for it"));
        }
        if self.loopback { own_machine(headers) } else { Ok(()) }
    }
}

/// Refuses what a browser sends for a page of another site: by the page's origin, or by the name under which a page
/// found this machine.
fn own_machine(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).map(|value: &hyper::header::HeaderValue| value.to_str().unwrap_or_default());
    let origin = text(ORIGIN).map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    for host in [text(HOST), origin].into_iter().flatten() {
        if !is_loopback(host) {
            let message = "this server answers only its own machine without a token, and this request names another";
            return Err(Refusal::new(StatusCode::FORBIDDEN, message));
        }
    }
    Ok(())
}

/// Whether a host, perhaps with a port, is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for own in ["localhost:8080", "127.0.0.1:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST"] {
            assert!(is_loopback(own), "{own}");
        }
        for other in ["example.org", "localhost.example.org", "10.0.0.1:8080", "null", "", "[::2]:80"] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
