//! What can go wrong in the store, by who can mend it.

use std::{io, sync::Arc};

use stagewright_core::{Digest, TableError, name::NameError};

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no repository here.
    #[error("there is no repository at {0}")]
    Missing(String),
    /// A store lacks one of its repositories.
    #[error(
        "repository `{repository}` is missing: there is none at {at}; `stagewright repo restore {repository} FILE` brings a \
         backup back, and `stagewright init` makes an empty one"
    )]
    MissingOf {
        /// Which repository.
        repository: &'static str,
        /// Where it should be.
        at: String,
    },
    /// Why a repository of a store could not be opened.
    #[error(transparent)]
    NotOpened(Arc<StoreError>),
    /// Another process writes to the repository.
    #[error("another process is writing to repository `{0}`; wait until it is done, or stop it")]
    InUse(String),
    /// Something of this process is in the way.
    #[error("repository `{0}` is busy: a transaction has been open for a minute; try again when the run is done")]
    Busy(String),
    /// The repository refuses changes.
    #[error("repository `{0}` is locked read-only; `stagewright repo unlock {0}` allows changes again")]
    Locked(String),
    /// It was opened for reading.
    #[error("repository `{0}` was opened for reading only")]
    ReadOnly(String),
    /// Written by another version of the program.
    #[error("repository `{repository}` has format `{found}`, which this version does not read")]
    Format {
        /// Which repository.
        repository: String,
        /// What its format file says.
        found: String,
    },
    /// Acknowledged bytes are not what they were.
    #[error("repository `{repository}` is damaged: {what}")]
    Damaged {
        /// Which repository.
        repository: String,
        /// Which file, and what is wrong with it.
        what: String,
    },
    /// The bytes of an artifact are not what its name says.
    #[error("artifact {digest} in repository `{repository}` is damaged: {what}")]
    DamagedArtifact {
        /// Which repository.
        repository: String,
        /// Which artifact or chunk.
        digest: Digest,
        /// Where, and what is wrong.
        what: String,
    },
    /// There is no artifact of this digest.
    #[error("repository `{repository}` has no artifact {digest}")]
    NoArtifact {
        /// Which repository.
        repository: String,
        /// Which artifact.
        digest: Digest,
    },
    /// There is no such version.
    #[error("there is no `{wanted}` in repository `{repository}`{}", .hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
    NoVersion {
        /// Which repository.
        repository: String,
        /// What was asked for.
        wanted: String,
        /// What there is instead.
        hint: Option<String>,
    },
    /// The artifact is no table.
    #[error("artifact {0} is not a table")]
    NotATable(Digest),
    /// Rows that do not fit their table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A name that cannot be one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The disk is full, or nearly.
    #[error(
        "the disk is full: {free} bytes are left, and repository `{repository}` keeps {reserve} free; make room and try again"
    )]
    DiskFull {
        /// Which repository.
        repository: String,
        /// Free bytes.
        free: u64,
        /// Bytes that are kept free.
        reserve: u64,
    },
    /// An earlier write failed, so what this process believes may not be what is stored.
    #[error("an earlier write to repository `{0}` failed; open it again")]
    Poisoned(String),
    /// Bytes that could not be read from outside.
    #[error("{0}")]
    Invalid(String),
    /// The operating system refused.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file, relative to its repository.
        path: String,
        /// Why not.
        source: io::Error,
    },
}

/// What the store returns.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

impl StoreError {
    pub(crate) fn io(action: &'static str, path: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
