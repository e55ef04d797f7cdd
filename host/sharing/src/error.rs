//! What can go wrong between two machines that share plugins.

use std::{io, path::Path};

/// Why a plugin could not be shared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SharingError {
    /// The caller's: an address that is none.
    #[error("`{text}` is no address of a plugin: {problem}")]
    Address {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The caller's: an address whose answers anybody on the way could change.
    #[error("{0} is not encrypted; only https is used, except towards this machine itself")]
    Insecure(String),
    /// The network's or the server's: no answer.
    #[error("{0} cannot be reached")]
    Unreachable(String, #[source] reqwest::Error),
    /// The server's: it said no.
    #[error("{what} answers {status}{}", said(.answer))]
    Refused {
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: String,
        /// The beginning of what it said.
        answer: String,
    },
    /// The operator's: the server wants to know who asks.
    #[error("{host} wants credentials{}", if *.given { ", and did not accept those given" } else { ": `docker login`, `oras login` or `skopeo login` writes them into a file that is read" })]
    Credentials {
        /// Which server.
        host: String,
        /// Whether it was given some.
        given: bool,
    },
    /// The server's: an answer that makes no sense.
    #[error("{what}: {problem}")]
    Answer {
        /// What was read.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server's: more bytes than there may be.
    #[error("{what} has more than {limit} bytes")]
    TooLarge {
        /// What was read.
        what: String,
        /// How many there may be.
        limit: u64,
    },
    /// The server's or somebody's on the way: other bytes than those that were asked for.
    #[error("{what} is not what its address says: it has the digest {found}, not {wanted}")]
    Digest {
        /// What was read.
        what: String,
        /// The digest that it must have.
        wanted: String,
        /// The digest that it has.
        found: String,
    },
    /// A key or signature file that cannot be one.
    #[error("{what} is no {kind} of minisign: {problem}")]
    NotMinisign {
        /// Which file.
        what: String,
        /// What it should be.
        kind: &'static str,
        /// Why it is not.
        problem: String,
    },
    /// The caller's: a key that cannot be used or made.
    #[error("{what}: {problem}")]
    Key {
        /// Which key.
        what: String,
        /// Why not.
        problem: String,
    },
    /// A lock file that somebody edited.
    #[error("{file}: {problem}; put it back from version control, or remove it and add the plugins again")]
    LockFile {
        /// Which file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// The plugin is not the one that was locked.
    #[error("{}", .0)]
    Locked(Box<crate::lock::Difference>),
    /// The project does not trust the plugin.
    #[error(transparent)]
    Untrusted(#[from] crate::trust::Untrusted),
    /// The operating system refused.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: String,
        /// Why not.
        source: io::Error,
    },
}

/// What this crate returns.
pub type Result<T, E = SharingError> = std::result::Result<T, E>;

impl SharingError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.display().to_string(), source }
    }

    pub(crate) fn answer(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Answer { what: what.into(), problem: problem.into() }
    }
}

fn said(answer: &str) -> String {
    if answer.is_empty() { String::new() } else { format!(": {answer}") }
}
