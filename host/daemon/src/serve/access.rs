//! Who may ask.
//!
//! Deny by default: without a token nothing is answered, unless the operator said so, which on a loopback address is
//! the default. There, a request that a browser sends on behalf of some other site is refused.
//!
//! Verifying a token takes tens of milliseconds by design, so that the outcome is remembered, under a hash of
//! this process's own random key and the token. Whether a token that was good has expired, was revoked, or lost its user
//! is looked up for each request.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use hyper::{
    StatusCode,
    header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN},
};
use stagewright::{
    Project,
    governance::{Principal, Scope, access},
};
use stagewright_core::Digest;
use tokio::sync::Semaphore;

use super::answer::Refusal;

/// Where models are, for scopes.
const MODELS: &str = "models";
/// Tokens whose outcome is remembered.
const REMEMBERED: usize = 10_000;
/// Requests that wait for a token to be verified; whoever guesses tokens must not fill the memory.
const VERIFYING: usize = 16;

/// Who may ask.
pub(crate) struct Access {
    /// Whether predictions and figures are there for everybody who can connect.
    pub(super) open: bool,
    /// Whether only this machine can connect.
    pub(super) loopback: bool,
    project: Project,
    key: [u8; 32],
    /// The ids of tokens that were verified; none of those that are no good.
    known: Mutex<HashMap<Digest, Option<String>>>,
    verifier: Semaphore,
    waiting: AtomicUsize,
}

impl Access {
    /// `key` is random.
    pub(crate) fn new(project: &Project, open: bool, loopback: bool, key: [u8; 32]) -> Self {
        let (known, verifier) = (Mutex::default(), Semaphore::new(1));
        Self { open, loopback, project: project.clone(), key, known, verifier, waiting: AtomicUsize::new(0) }
    }

    /// Lets through who may ask models for predictions.
    pub(super) async fn predictor(&self, headers: &HeaderMap) -> Result<Option<Principal>, Refusal> {
        self.let_through(headers, Scope::Predict).await
    }

    /// Lets through who may look at figures.
    pub(super) async fn reader(&self, headers: &HeaderMap) -> Result<Option<Principal>, Refusal> {
        self.let_through(headers, Scope::Read).await
    }

    /// Lets through who may do this to models; none is everybody.
    async fn let_through(&self, headers: &HeaderMap, scope: Scope) -> Result<Option<Principal>, Refusal> {
        let Some(given) = headers.get(AUTHORIZATION) else {
            if !self.open {
                return Err(unauthorized());
            }
            return if self.loopback { own_machine(headers).map(|()| None) } else { Ok(None) };
        };
        // Whoever shows a token wants to be known by it, also where none is needed.
        let token = given.to_str().ok().and_then(|given| given.split_once(' '));
        let Some((_, token)) = token.filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer")) else {
            return Err(unauthorized());
        };
        let id = self.verified(token.trim()).await?.ok_or_else(unauthorized)?;
        let now_ms = self.project.actor().at_ms;
        let Some(principal) = looked_up(access::current(&self.project, &id, now_ms))? else {
            // Whoever knows the secret may know why it is of no use.
            let why = looked_up(access::lapsed(&self.project, &id, now_ms))?;
            let hint = "; `stagewright token create` makes another";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, format!("{why}{hint}")));
        };
        if principal.may(scope, MODELS) {
            return Ok(Some(principal));
        }
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            format!("this token is not good for `{}` in the models repository", scope.as_str()),
        ))
    }

    /// The public part of a token that was once given out.
    async fn verified(&self, token: &str) -> Result<Option<String>, Refusal> {
        let name = Digest::of(&[self.key.as_slice(), token.as_bytes()].concat());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        match known {
            Some(id) => Ok(id),
            None => self.verify(token, name).await,
        }
    }

    /// Verifies a token that was not seen before: one at a time, because each takes a processor and 19 MiB.
    async fn verify(&self, token: &str, name: Digest) -> Result<Option<String>, Refusal> {
        let waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Relaxed) >= VERIFYING {
            return Err(Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many tokens are being verified; ask again in a moment",
            ));
        }
        let turn = self.verifier.acquire().await;
        let (project, text) = (self.project.clone(), token.to_owned());
        let verified = tokio::task::spawn_blocking(move || access::verified(&project, &text)).await;
        drop((turn, waiting));
        let verified =
            verified.map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the token could not be verified"))?;
        let id = looked_up(verified)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(name, id.clone());
        Ok(id)
    }
}

fn looked_up<T>(found: stagewright::Result<T>) -> Result<T, Refusal> {
    found.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "a token could not be looked up");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the token could not be looked up")
    })
}

fn unauthorized() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "this needs a token that is good for it")
}

/// One that waits; also where the client goes away meanwhile.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
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
