//! What can go wrong above the store and the sandbox.

use std::{io, path::Path};

use stagewright_core::name::NameError;
use stagewright_runtime::StageError;
use stagewright_store::StoreError;

use crate::{file::Problems, governance::Refusal, ingest::IngestError};

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no project.
    #[error("{0} holds no Stagewright project; `stagewright init` makes one")]
    NoProject(String),
    /// There is one already.
    #[error("{0} holds a Stagewright project already")]
    Exists(String),
    /// A file that the user wrote is wrong.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// A name that cannot be one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What was asked for is not there or makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A data file that cannot be read.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What governance does not allow.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Part of what a run kept.
    #[error("{what} is not what the run kept")]
    Damaged {
        /// Which.
        what: String,
        /// How.
        source: StoreError,
    },
    /// A plugin.
    #[error("{what}")]
    Stage {
        /// Which.
        what: String,
        /// Why.
        source: StageError,
    },
    /// Whoever asked wants it no more.
    #[error("interrupted")]
    Interrupted,
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
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<stagewright_runtime::spec::Incomplete> for Error {
    fn from(error: stagewright_runtime::spec::Incomplete) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.display().to_string(), source }
    }
}
