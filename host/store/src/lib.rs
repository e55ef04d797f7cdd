//! The store: three isolated repositories - data, code, models - and a ledger of runs and decisions.
//!
//! Durability, in ten lines:
//! 1. Chunks are appended to *packs*, files of checksummed records. Each process appends only to packs of its own.
//! 2. Facts (where a chunk lies, a version, a record, an audit entry) are *rows*. A commit is one frame of rows.
//! 3. To make commits durable: sync the packs, then write their frames to the *journal*, then sync the journal.
//!    That last sync is the commit point; whoever waits behind it shares it (group commit).
//! 4. A frame therefore never speaks of a chunk that is not durable, and a crash leaves at most a torn last frame. What
//!    a killed process wrote but did not sync is synced before anything builds on it.
//! 5. Frames are chained by hash, file to file. A missing or damaged frame breaks the chain and is reported; only the
//!    very end of the newest file may be torn, and not where a whole frame follows or the file `head` knows of more.
//! 6. The *index* answers questions: rows of recent frames in memory, older ones in sled.
//! 7. Sled is given only rows that are durable in the journal; its files are synced, then their digests are written to
//!    the file `checkpoint`.
//! 8. On opening, the journal behind the checkpoint is replayed. Where sled's files are not those of the checkpoint, sled
//!    is set aside as `sled.bad-N` and made again from the journal; where it fails later, the journal stands in for it.
//! 9. Every read is verified against the digest that asked for it.
//! 10. Nothing is atomic across repositories. Order protects: bytes, then the record that names them, then pointers.

pub mod audit;
mod chunker;
pub mod diff;
pub mod envelope;
mod error;
mod files;
mod index;
mod journal;
mod pack;
pub mod package;
mod repository;
mod rows;
mod table;
mod transaction;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stagewright_core::{Digest, canonical};

pub use self::{
    audit::{Actor, Entry, SignedHead},
    error::{Result, StoreError},
    files::{Change, Observer},
    repository::{
        Access, ArtifactReader, Hooks, Repository,
        fsck::{Fsck, Problem},
        gc::{Collected, Collection},
    },
    rows::{ArtifactKind, Tombstone, Version},
    table::{StoredBatch, TableDigester, TableManifest, TableReader, TableWriter},
    transaction::{REFRESHED_WITHIN_MS, Ticket, Transaction},
};

/// The names of the repositories of a store. The first three are the user's; the ledger holds runs and decisions.
pub const REPOSITORIES: [&str; 4] = ["data", "code", "models", "ledger"];

/// The four repositories of a project. One that is missing, damaged or in use does not keep the others from being used.
#[derive(Clone, Debug)]
pub struct Store {
    data: Slot,
    code: Slot,
    models: Slot,
    ledger: Slot,
}

type Slot = std::result::Result<Repository, Arc<StoreError>>;

impl Store {
    /// The directory of a repository in a store's directory.
    pub fn directory(root: &Path, repository: &str) -> PathBuf {
        match repository {
            "ledger" => root.join("ledger"),
            _ => root.join("repos").join(repository),
        }
    }

    /// Makes the repositories of a store that are not there, and returns their names.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn create(root: &Path, actor: &Actor) -> Result<Vec<&'static str>> {
        let missing = REPOSITORIES.into_iter().filter(|name| !Self::directory(root, name).exists());
        missing.map(|name| Repository::create(&Self::directory(root, name), name, actor).map(|()| name)).collect()
    }

    /// Opens the four repositories. Whoever asks for one that cannot be opened is told why.
    pub fn open(root: &Path, access: Access, hooks: Hooks<'_>) -> Self {
        let open = |name| open(root, name, access, hooks);
        Self { data: open("data"), code: open("code"), models: open("models"), ledger: open("ledger") }
    }

    /// Opens again what is not usable as it is: a repository that could not be opened before, one whose directory is
    /// gone or another now, one that a failed write has made unusable. For whoever keeps a store open for long.
    pub fn refresh(&mut self, root: &Path, access: Access, hooks: Hooks<'_>) {
        let slots = [&mut self.data, &mut self.code, &mut self.models, &mut self.ledger];
        for (slot, name) in slots.into_iter().zip(REPOSITORIES) {
            if !slot.as_ref().is_ok_and(Repository::is_usable) {
                // Closed before it is opened: there is one writer.
                *slot = Err(Arc::new(StoreError::InUse(name.to_owned())));
                *slot = open(root, name, access, hooks);
            }
        }
    }

    /// Tables.
    ///
    /// # Errors
    /// Why it could not be opened.
    pub fn data(&self) -> Result<&Repository> {
        opened(&self.data)
    }

    /// Plugins and pipelines.
    ///
    /// # Errors
    /// Why it could not be opened.
    pub fn code(&self) -> Result<&Repository> {
        opened(&self.code)
    }

    /// Models, and the states, weights and reports of runs.
    ///
    /// # Errors
    /// Why it could not be opened.
    pub fn models(&self) -> Result<&Repository> {
        opened(&self.models)
    }

    /// Runs, results and decisions.
    ///
    /// # Errors
    /// Why it could not be opened.
    pub fn ledger(&self) -> Result<&Repository> {
        opened(&self.ledger)
    }

    /// A repository by its name, one of [`REPOSITORIES`].
    ///
    /// # Errors
    /// Why it could not be opened.
    pub fn named(&self, name: &str) -> Option<Result<&Repository>> {
        let slots = [&self.data, &self.code, &self.models, &self.ledger];
        REPOSITORIES.iter().position(|known| *known == name).map(|place| opened(slots[place]))
    }

    /// The repositories, in the order of [`REPOSITORIES`].
    ///
    /// # Errors
    /// Why the first of them that could not be opened could not.
    pub fn repositories(&self) -> Result<[&Repository; 4]> {
        Ok([self.data()?, self.code()?, self.models()?, self.ledger()?])
    }

    /// A fingerprint of everything that is committed in all four; see [`Repository::fingerprint`].
    ///
    /// # Errors
    /// A repository is missing.
    pub fn fingerprint(root: &Path) -> Result<Digest> {
        let all: Result<Vec<Digest>> =
            REPOSITORIES.iter().map(|name| Repository::fingerprint(&Self::directory(root, name))).collect();
        Ok(canonical::digest(&all?))
    }
}

fn open(root: &Path, name: &'static str, access: Access, hooks: Hooks<'_>) -> Slot {
    Repository::open(&Store::directory(root, name), access, hooks).map_err(|error| {
        Arc::new(match error {
            StoreError::Missing(at) => StoreError::MissingOf { repository: name, at },
            other => other,
        })
    })
}

fn opened(slot: &Slot) -> Result<&Repository> {
    slot.as_ref().map_err(|error| StoreError::NotOpened(Arc::clone(error)))
}
