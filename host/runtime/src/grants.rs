//! What a stage may be granted of the real world, one file for each capability.
//!
//! A guest's call crosses two hands. In the worker it becomes a [`Request`] to the parent process, since a worker can do
//! nothing itself. In the parent an [`Outside`] answers: [`Live`] asks the world, within the grants; [`Recorded`] gives
//! the answers that an earlier run was given. Whatever a guest was told can therefore be told again.

mod environment;
mod files;
mod http;
mod wall_clock;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stagewright_core::{Digest, Grants, grant::Capability};
use wasmtime::component::{HasSelf, Linker};

pub use self::{
    files::{Entry, EntryKind, folder},
    http::{HttpRequest, HttpResponse, HttpTarget, RESPONSE_TIME, target},
};
use crate::{
    BoxError, StageError,
    bindings::{
        environment as environment_interface, files as files_interface, http as http_interface, refusals,
        wall_clock as clock_interface,
    },
    state::State,
};

/// The most bytes that one call carries in each direction.
pub const CALL_BYTES: u64 = 16 << 20;
/// The longest name or path.
const NAME_BYTES: usize = 32 << 10;
/// The most calls of one stage: each is kept with the run.
const CALLS: u64 = 100_000;

/// A granted call as it is recorded. Its body, if it has one, goes beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case")]
pub enum Request {
    /// `files.list`.
    List {
        /// The folder's name.
        folder: String,
        /// The path in it.
        path: String,
    },
    /// `files.read`.
    Read {
        /// The folder's name.
        folder: String,
        /// The path in it.
        path: String,
        /// The first byte.
        offset: u64,
        /// The most bytes.
        length: u32,
    },
    /// `files.write`; the body is the file.
    Write {
        /// The folder's name.
        folder: String,
        /// The path in it.
        path: String,
    },
    /// `http.send`; the body is the request's.
    Http(HttpRequest),
    /// `environment.get`.
    Environment {
        /// The name.
        name: String,
    },
    /// `wall-clock.now`.
    WallClock,
}

impl Request {
    /// What the call needs a grant of.
    pub const fn capability(&self) -> Capability {
        match self {
            Self::List { .. } | Self::Read { .. } | Self::Write { .. } => Capability::Files,
            Self::Http(_) => Capability::Http,
            Self::Environment { .. } => Capability::Environment,
            Self::WallClock => Capability::WallClock,
        }
    }

    /// Whether a text in it is longer than any name or path.
    fn is_too_long(&self) -> bool {
        let texts: &[&str] = match self {
            Self::List { folder, path } | Self::Read { folder, path, .. } | Self::Write { folder, path } => {
                &[folder, path]
            }
            Self::Http(http) => &[&http.host, &http.method, &http.path],
            Self::Environment { name } => &[name],
            Self::WallClock => &[],
        };
        texts.iter().any(|text| text.len() > NAME_BYTES)
    }

    /// The function of the contract.
    const fn function(&self) -> &'static str {
        match self {
            Self::List { .. } => "files.list",
            Self::Read { .. } => "files.read",
            Self::Write { .. } => "files.write",
            Self::Http(_) => "http.send",
            Self::Environment { .. } => "environment.get",
            Self::WallClock => "wall-clock.now",
        }
    }

    /// The call as it is kept and compared: without what may be a secret.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        match self {
            Self::Http(request) => Self::Http(request.without_secrets()),
            other => other.clone(),
        }
    }
}

/// What a granted call brought, as it is recorded. Its body, if it has one, goes beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// To `files.list`.
    Entries(Vec<Entry>),
    /// To `files.read`; the body is what was read.
    Read,
    /// To `files.write`.
    Written,
    /// To `http.send`; the body is the response's.
    Http(HttpResponse),
    /// To `environment.get`.
    Environment(Option<String>),
    /// To `wall-clock.now`: microseconds since 1970-01-01T00:00:00Z.
    WallClock(i64),
}

/// Why a granted call brought nothing, for the guest to see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Nobody granted it.
    #[error("{0}")]
    NotGranted(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It is more than a call carries.
    #[error("{0}")]
    TooLarge(String),
    /// The world did not do it.
    #[error("{0}")]
    Failed(String),
}

/// An answer, and the bytes that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What came of the call.
    pub result: Result<Reply, Refusal>,
    /// A file's bytes or a response's.
    pub body: Vec<u8>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { result: Ok(reply), body: Vec::new() }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self { result: Err(refusal), body: Vec::new() }
    }
}

/// A call and its answer, in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The call, without secrets.
    pub request: Request,
    /// Its body.
    pub body: Vec<u8>,
    /// The answer.
    pub answer: Answer,
}

/// A granted call and its answer as they are kept: bodies by their digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedCall {
    /// The call, without secrets.
    #[serde(flatten)]
    pub request: Request,
    /// The bytes that went with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Digest>,
    /// What came of it.
    pub answer: Result<Reply, Refusal>,
    /// The bytes that came with the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Digest>,
}

impl GrantedCall {
    /// The bodies.
    pub fn bodies(&self) -> impl Iterator<Item = Digest> {
        self.sent.into_iter().chain(self.received)
    }

    /// The call with its bodies, from wherever those are.
    ///
    /// # Errors
    /// A body is not there.
    pub fn exchange<E>(self, body: impl Fn(&Digest) -> Result<Vec<u8>, E>) -> Result<Exchange, E> {
        let read = |digest: Option<Digest>| digest.map_or_else(|| Ok(Vec::new()), |digest| body(&digest));
        let answer = Answer { result: self.answer, body: read(self.received)? };
        Ok(Exchange { request: self.request, body: read(self.sent)?, answer })
    }
}

/// Whoever answers a stage's granted calls.
pub trait Outside: Send + Sync {
    /// Answers a call. `stop` says whether the stage must end, so that waiting for an answer makes no sense any more.
    ///
    /// # Errors
    /// The stage cannot go on. A refusal that the guest may see is no error but an answer.
    fn ask(&self, request: &Request, body: &[u8], stop: &dyn Fn() -> bool) -> Result<Answer, BoxError>;
}

/// A stage's grants and whoever answers calls upon them.
#[derive(Clone)]
pub struct Granted {
    /// What is granted.
    pub grants: Grants,
    /// Who answers.
    pub outside: Arc<dyn Outside>,
}

/// The world itself, as the daemon sees it. Whoever implements this is asked only for what was granted.
pub trait World: Send + Sync {
    /// A value of the environment; none where it is not set.
    fn environment(&self, name: &str) -> Option<String>;
    /// Microseconds since 1970-01-01T00:00:00Z.
    fn now_us(&self) -> i64;
    /// Sends a request and reads the whole response, which may have at most [`CALL_BYTES`], within [`RESPONSE_TIME`].
    /// Follows no redirect and uses no proxy.
    ///
    /// # Errors
    /// What went wrong, in words for a guest.
    fn http(
        &self,
        target: &HttpTarget,
        request: &HttpRequest,
        body: &[u8],
        stop: &dyn Fn() -> bool,
    ) -> Result<(HttpResponse, Vec<u8>), Refusal>;
}

/// A world with nothing in it.
impl World for () {
    fn environment(&self, _: &str) -> Option<String> {
        None
    }

    fn now_us(&self) -> i64 {
        0
    }

    fn http(
        &self,
        target: &HttpTarget,
        _: &HttpRequest,
        _: &[u8],
        _: &dyn Fn() -> bool,
    ) -> Result<(HttpResponse, Vec<u8>), Refusal> {
        Err(Refusal::Failed(format!("there is no network to reach {} by", target.authority)))
    }
}

/// Answers from the world, within the grants.
pub struct Live {
    grants: Grants,
    /// What relative folders are relative to.
    root: PathBuf,
    world: Arc<dyn World>,
    /// Certificates that hosts may show beside those that the system trusts, as PEM.
    certificates: Option<Arc<[u8]>>,
    /// The most bytes that all calls may carry together.
    most: u64,
    calls: AtomicU64,
    carried: AtomicU64,
}

impl Live {
    /// Answers calls upon `grants`; relative folders begin at `root`. All calls together may carry `most` bytes.
    pub fn new(grants: Grants, root: PathBuf, world: Arc<dyn World>, most: u64) -> Self {
        Self { grants, root, world, certificates: None, most, calls: AtomicU64::new(0), carried: AtomicU64::new(0) }
    }

    /// Trusts hosts with these certificates (PEM), too.
    #[must_use]
    pub fn with_certificates(mut self, certificates: Option<Vec<u8>>) -> Self {
        self.certificates = certificates.map(Into::into);
        self
    }

    fn answer(&self, request: &Request, body: &[u8], stop: &dyn Fn() -> bool) -> Result<Answer, Refusal> {
        match request {
            Request::List { folder, path } => self.list(folder, path),
            Request::Read { folder, path, offset, length } => self.read(folder, path, *offset, *length),
            Request::Write { folder, path } => self.write(folder, path, body),
            Request::Http(request) => self.http(request, body, stop),
            Request::Environment { name } => self.environment(name),
            Request::WallClock => self.now(),
        }
    }

    fn within(&self, bytes: usize) -> Result<(), StageError> {
        let bytes = bytes as u64;
        if self.carried.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.most {
            return Ok(());
        }
        Err(StageError::OutputLimit {
            what: "what granted calls carry together".to_owned(),
            limit: self.most,
            name: "limits.output".to_owned(),
        })
    }
}

impl Outside for Live {
    fn ask(&self, request: &Request, body: &[u8], stop: &dyn Fn() -> bool) -> Result<Answer, BoxError> {
        if self.calls.fetch_add(1, Ordering::Relaxed) >= CALLS {
            let what = "number of granted calls";
            return Err(StageError::bad_output(what, format!("a stage may make {CALLS}")).into());
        }
        self.within(body.len())?;
        if body.len() as u64 > CALL_BYTES {
            return Ok(too_large().into());
        }
        if request.is_too_long() {
            return Ok(too_long().into());
        }
        let answer = self.answer(request, body, stop).unwrap_or_else(Answer::from);
        self.within(answer.body.len())?;
        Ok(answer)
    }
}

/// Gives the answers of an earlier run, in its order. A call that the run did not make, or not at that place, ends the
/// stage: nothing is ever asked of the world.
pub struct Recorded {
    exchanges: Vec<Exchange>,
    next: Mutex<usize>,
}

impl Recorded {
    /// Gives these answers.
    pub fn new(exchanges: Vec<Exchange>) -> Self {
        Self { exchanges, next: Mutex::new(0) }
    }
}

impl Outside for Recorded {
    fn ask(&self, request: &Request, body: &[u8], _: &dyn Fn() -> bool) -> Result<Answer, BoxError> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = request.without_secrets();
        match self.exchanges.get(*next) {
            Some(exchange) if exchange.request == asked && exchange.body == body => {
                *next += 1;
                Ok(exchange.answer.clone())
            }
            recorded => Err(StageError::NotRecorded {
                call: *next + 1,
                asked: described(&asked, body.len()),
                recorded: recorded.map_or_else(
                    || "no further call".to_owned(),
                    |exchange| described(&exchange.request, exchange.body.len()),
                ),
            }
            .into()),
        }
    }
}

fn too_large() -> Refusal {
    Refusal::TooLarge(format!("one call carries at most {CALL_BYTES} bytes"))
}

fn too_long() -> Refusal {
    Refusal::TooLarge(format!("a name or path has at most {NAME_BYTES} bytes"))
}

/// A call or an answer as it stands in a recording, its body by digest.
fn with_body(value: Value, body: &[u8]) -> Value {
    if body.is_empty() { value } else { json!([value, { "bytes": body.len(), "digest": Digest::of(body) }]) }
}

/// A call in a few words.
fn described(request: &Request, body: usize) -> String {
    let bytes = if body == 0 { String::new() } else { format!(" with {body} bytes") };
    match request {
        Request::List { folder, path } => format!("list `{path}` of folder `{folder}`"),
        Request::Read { folder, path, offset, length } => {
            format!("read {length} bytes at {offset} of `{path}` in folder `{folder}`")
        }
        Request::Write { folder, path } => format!("write `{path}` in folder `{folder}`{bytes}"),
        Request::Http(http) => format!("{} {} of host `{}`{bytes}", http.method, http.path, http.host),
        Request::Environment { name } => format!("environment name `{name}`"),
        Request::WallClock => "the wall clock".to_owned(),
    }
}

/// Gives guests every capability's interface. Whether a call is answered is decided for each sandbox and each call.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    refusals::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    files_interface::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    http_interface::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    environment_interface::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    clock_interface::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl refusals::Host for State {}

impl From<Refusal> for refusals::Refusal {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotGranted(message) => Self::NotGranted(message),
            Refusal::NotFound(message) => Self::NotFound(message),
            Refusal::TooLarge(message) => Self::TooLarge(message),
            Refusal::Failed(message) => Self::Failed(message),
        }
    }
}

/// What a guest is given: the reply, or the reason in its own types.
type Told<T> = wasmtime::Result<Result<T, refusals::Refusal>>;

impl State {
    /// Passes a guest's call on, and what `take` makes of the answer back.
    fn ask<T>(&mut self, request: &Request, body: &[u8], take: impl FnOnce(Reply, Vec<u8>) -> Option<T>) -> Told<T> {
        let answer = match self.outside.clone() {
            None => Ok(Refusal::NotGranted(format!("`{}` is not granted here", request.capability())).into()),
            // Asked here too, because a larger frame would break the protocol between the processes.
            Some(_) if body.len() as u64 > CALL_BYTES => Ok(too_large().into()),
            Some(_) if request.is_too_long() => Ok(too_long().into()),
            Some(outside) => outside.ask(request, body, &|| false),
        };
        let asked = || with_body(json!(request.without_secrets()), body);
        self.note(request.function(), asked, || match &answer {
            Ok(answer) => with_body(json!(answer.result), &answer.body),
            Err(error) => json!({ "stopped": error.to_string() }),
        });
        match answer {
            Ok(Answer { result: Ok(reply), body }) => match take(reply, body) {
                Some(taken) => Ok(Ok(taken)),
                None => self.stop(StageError::WorkerDied("its parent answered another call".to_owned())),
            },
            Ok(Answer { result: Err(refusal), .. }) => Ok(Err(refusal.into())),
            Err(error) => self.stop(crate::state::stage_error("a granted call could not be answered", error)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
