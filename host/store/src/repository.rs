//! One repository: a directory with its own lock, packs, journal, index, audit log and key.

mod backup;
pub(crate) mod commit;
pub(crate) mod fsck;
pub(crate) mod gate;
pub(crate) mod gc;
mod read;

pub use self::read::ArtifactReader;

use std::{
    fs::TryLockError,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use serde_json::json;
use stagewright_core::{Digest, canonical};

use crate::{
    Result, StoreError,
    audit::{Actor, to_hex},
    files::{Files, Handle, Observer},
    index::{FOLD_BYTES, Index, READER_FOLD_BYTES},
    journal::{self, JournalWriter, Position},
    pack::{self, PackReader, PackWriter},
    rows,
    transaction::Transaction,
};

const FORMAT: &str = "format";
const HEAD: &str = "head";
const KEY: &str = "key";
const LOCK: &str = "lock";
const LOCKED: &str = "locked";
/// Free space that is never used: a full disk must still allow what repairs it.
pub(crate) const RESERVE: u64 = 32 << 20;

/// How a repository is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To change it: one process at a time.
    Write,
    /// To look at it, beside a process that may be changing it. What is committed later is not seen.
    Read,
}

/// What a repository says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) format: String,
    /// `data`, `code`, `models` or `ledger`.
    pub(crate) repository: String,
    /// Random, so that two repositories' audit logs cannot be taken for each other.
    pub(crate) id: String,
    /// The public key of the audit log, in hexadecimal digits.
    pub(crate) key: String,
}

const FORMAT_NAME: &str = "stagewright repository 1";

/// A repository. Cloning it is cheap; the last clone closes it.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) files: Files,
    pub(crate) directory: PathBuf,
    pub(crate) format: Format,
    access: Access,
    locked: AtomicBool,
    pub(crate) index: RwLock<Index>,
    /// At which weight in bytes rows go from memory elsewhere.
    pub(crate) fold_at: usize,
    pub(crate) packs: PackReader,
    /// Open transactions, and gc.
    pub(crate) gate: gate::Gate,
    /// Taken before `index`.
    pub(crate) writer: Mutex<Writer>,
    /// Taken before `writer`.
    journal: Mutex<JournalWriter>,
    /// The file that says how far the journal goes.
    head: Mutex<Option<Handle>>,
    /// How many commits are durable.
    durable: AtomicU64,
    poisoned: AtomicBool,
    key: Option<SigningKey>,
    lock: Option<std::fs::File>,
}

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) packs: PackWriter,
    /// Commits that are not yet in the journal.
    pending: Vec<Vec<u8>>,
    pending_bytes: usize,
    /// How many commits there were.
    commits: u64,
    /// The number of audit entries and the hash of the last.
    audit: (u64, Digest),
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a repository is opened, beside where.
#[derive(Clone, Copy, Default)]
pub struct Hooks<'a> {
    /// Told of work that takes a while.
    pub progress: Option<&'a dyn Fn(&str)>,
    /// Sees every change of a file before it happens.
    pub observer: Option<&'a Arc<dyn Observer>>,
    /// At which weight in bytes the newest rows of the index go from memory into sled, and what gc and fsck collect
    /// elsewhere; 8 MiB unless told.
    pub fold_at: Option<usize>,
}

impl Repository {
    /// Makes an empty repository in a directory, which is made if need be.
    ///
    /// # Errors
    /// There is one already, or the operating system refuses.
    pub fn create(directory: &Path, name: &str, actor: &Actor) -> Result<()> {
        let shown = || directory.display().to_string();
        create_private_dir(directory).map_err(StoreError::io("cannot create", shown()))?;
        let files = Files::open(directory, None).map_err(StoreError::io("cannot open", shown()))?;
        if files.exists(FORMAT) {
            return Err(StoreError::Invalid(format!("there is a repository at {} already", shown())));
        }
        files.create_dir("packs")?;
        files.create_dir("journal")?;
        let (mut seed, mut id) = ([0; 32], [0; 16]);
        for bytes in [seed.as_mut_slice(), &mut id] {
            getrandom::fill(bytes).map_err(|error| StoreError::Invalid(format!("no randomness for a key: {error}")))?;
        }
        let key = SigningKey::from_bytes(&seed);
        if files.exists(KEY) {
            files.remove(KEY)?;
        }
        let handle = files.create(KEY, true)?;
        handle.write_at(0, &seed)?;
        handle.sync()?;
        let format = Format {
            format: FORMAT_NAME.to_owned(),
            repository: name.to_owned(),
            id: to_hex(&id),
            key: to_hex(key.verifying_key().as_bytes()),
        };
        files.replace(FORMAT, &canonical::to_vec(&format))?;
        sync_parents(directory).map_err(StoreError::io("cannot sync", shown()))?;
        let repository = Self::open(directory, Access::Write, Hooks::default())?;
        let mut transaction = repository.begin(actor)?;
        transaction.audit(json!({ "action": "create-repository", "repository": name, "key": format.key }));
        transaction.commit()?;
        Ok(())
    }

    /// Opens a repository. What an earlier life left behind - a torn frame, a damaged index - is dealt with here.
    ///
    /// # Errors
    /// There is none, another process writes to it, or acknowledged bytes are damaged or missing.
    pub fn open(directory: &Path, access: Access, hooks: Hooks<'_>) -> Result<Self> {
        let shown = || directory.display().to_string();
        let files = match Files::open(directory, hooks.observer.cloned()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(StoreError::Missing(shown())),
            files => files.map_err(StoreError::io("cannot open", shown()))?,
        };
        let text = files.read_if_there(FORMAT)?.ok_or_else(|| StoreError::Missing(shown()))?;
        let format: Format = canonical::from_slice(&text).map_err(|_| StoreError::Format {
            repository: shown(),
            found: String::from_utf8_lossy(&text).chars().take(40).collect(),
        })?;
        if format.format != FORMAT_NAME {
            return Err(StoreError::Format { repository: shown(), found: format.format });
        }
        let name = format.repository.clone();
        let (held, key) = match access {
            Access::Read => (None, None),
            Access::Write => (Some(take_lock(&files, &name)?), Some(signing_key(&files, &format)?)),
        };
        let progress: &dyn Fn(&str) = hooks.progress.unwrap_or(&|_| {});
        let (index, found) = load(&files, directory, &name, access, hooks.fold_at, progress)?;
        let next_pack = next_pack(&files)?;
        let shared = Shared {
            packs: PackReader::new(files.clone(), name.clone()),
            writer: Mutex::new(Writer {
                packs: PackWriter::new(files.clone(), next_pack),
                pending: Vec::new(),
                pending_bytes: 0,
                commits: 0,
                audit: audit_tip(&index, &name)?,
            }),
            journal: Mutex::new(JournalWriter::new(files.clone(), found)),
            gate: gate::Gate::default(),
            head: Mutex::new(None),
            durable: AtomicU64::new(0),
            poisoned: AtomicBool::new(false),
            locked: AtomicBool::new(files.exists(LOCKED)),
            index: RwLock::new(index),
            fold_at: hooks.fold_at.unwrap_or(FOLD_BYTES),
            directory: directory.to_owned(),
            name,
            files,
            format,
            access,
            key,
            lock: held,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// `data`, `code`, `models` or `ledger`.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The public key of the audit log, in hexadecimal digits.
    pub fn public_key(&self) -> &str {
        &self.shared.format.key
    }

    /// Begins a transaction. What it puts becomes visible and durable with its commit; without one, nothing happens.
    ///
    /// # Errors
    /// The repository was opened for reading, is locked, or an earlier write failed.
    pub fn begin(&self, actor: &Actor) -> Result<Transaction<'_>> {
        self.writable()?;
        if self.shared.locked.load(Ordering::Relaxed) {
            return Err(StoreError::Locked(self.shared.name.clone()));
        }
        Ok(Transaction::new(&self.shared, actor.clone()))
    }

    /// Makes everything that was committed so far durable.
    ///
    /// # Errors
    /// It could not be made durable; the repository has to be opened again.
    pub fn sync(&self) -> Result<()> {
        let commits = lock(&self.shared.writer).commits;
        self.shared.sync(commits)
    }

    /// Whether the repository is still the one that lies in its directory, and no write has failed.
    pub(crate) fn is_usable(&self) -> bool {
        self.shared.check_poison().is_ok() && self.shared.files.is_at(&self.shared.directory)
    }

    fn writable(&self) -> Result<()> {
        if self.shared.access == Access::Read {
            return Err(StoreError::ReadOnly(self.shared.name.clone()));
        }
        self.shared.check_poison()
    }

    /// Refuses every change from now on, in this process and in later ones, until [`unlock`](Self::unlock).
    ///
    /// # Errors
    /// The repository cannot be written.
    pub fn lock(&self, actor: &Actor) -> Result<()> {
        let mut transaction = self.begin(actor)?;
        transaction.audit(json!({ "action": "lock" }));
        transaction.commit()?;
        self.shared.files.replace(LOCKED, actor.who.as_bytes())?;
        self.shared.locked.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Allows changes again.
    ///
    /// # Errors
    /// The repository cannot be written.
    pub fn unlock(&self, actor: &Actor) -> Result<()> {
        self.writable()?;
        if self.shared.files.exists(LOCKED) {
            self.shared.files.remove(LOCKED)?;
            self.shared.files.sync_dir("")?;
        }
        self.shared.locked.store(false, Ordering::Relaxed);
        let mut transaction = self.begin(actor)?;
        transaction.audit(json!({ "action": "unlock" }));
        transaction.commit()?;
        Ok(())
    }

    /// A fingerprint of everything that is committed, from the names and lengths of the journal's files: it changes
    /// with every commit. Nothing is opened or read.
    ///
    /// # Errors
    /// There is no repository.
    pub fn fingerprint(directory: &Path) -> Result<Digest> {
        let shown = || directory.display().to_string();
        let files = Files::open(directory, None).map_err(|_| StoreError::Missing(shown()))?;
        let names: Vec<(String, u64)> = files.list("journal")?;
        Ok(canonical::digest(&(names, files.exists(LOCKED))))
    }
}

/// Directories of the store are their owner's alone.
fn create_private_dir(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// A new directory is there after a power cut only if those above it are synced.
fn sync_parents(directory: &Path) -> std::io::Result<()> {
    let synced = |path: &Path| std::fs::File::open(path)?.sync_all();
    directory.ancestors().skip(1).take(3).filter(|path| path.is_dir()).try_for_each(synced)
}

fn take_lock(files: &Files, name: &str) -> Result<std::fs::File> {
    let file = files.open_lock(LOCK)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(name.to_owned())),
        Err(TryLockError::Error(error)) => Err(StoreError::io("cannot lock", LOCK)(error)),
    }
}

pub(crate) fn signing_key(files: &Files, format: &Format) -> Result<SigningKey> {
    let damaged = |what: &str| StoreError::Damaged { repository: format.repository.clone(), what: what.to_owned() };
    let seed = files.read_if_there(KEY)?.ok_or_else(|| damaged("its signing key (file `key`) is missing"))?;
    let seed: [u8; 32] = seed.try_into().map_err(|_| damaged("its signing key (file `key`) is not 32 bytes"))?;
    let key = SigningKey::from_bytes(&seed);
    match to_hex(key.verifying_key().as_bytes()) == format.key {
        true => Ok(key),
        false => Err(damaged("its signing key (file `key`) is not the one that file `format` names")),
    }
}

/// The index, with every row of the journal in it.
fn load(
    files: &Files,
    directory: &Path,
    name: &str,
    access: Access,
    fold_at: Option<usize>,
    progress: &dyn Fn(&str),
) -> Result<(Index, journal::Found)> {
    let head = files.read_if_there(HEAD)?.as_deref().and_then(Position::from_head);
    let read_fold_at = fold_at.unwrap_or(READER_FOLD_BYTES);
    let mut index = match access {
        Access::Write => Index::open(files, directory, name, fold_at.unwrap_or(FOLD_BYTES), progress)?,
        Access::Read => Index::open_to_read(files, directory, name, read_fold_at),
    };
    let damaged = |what: String| StoreError::Damaged { repository: name.to_owned(), what };
    let mut frames = 0_u64;
    let mut fill = |index: &mut Index| {
        journal::replay(files, name, index.folded(), |position, rows| {
            if head.is_some_and(|head| head.frames == position.frames && head.chain != position.chain) {
                return Err(damaged(format!(
                    "frame {} of the journal is not the one that was written",
                    position.frames
                )));
            }
            frames += 1;
            if frames.is_multiple_of(100_000) {
                progress(&format!("reading the journal of repository `{name}`: frame {}", position.frames));
            }
            rows.into_iter().for_each(|(key, value)| index.put(key, value));
            // Making all of sled anew takes less time in larger steps.
            let is_heavy = if access == Access::Write { index.is_too_heavy() } else { index.is_heavy() };
            if is_heavy && files.free_space() >= RESERVE {
                if access == Access::Write {
                    journal::sync_newest(files)?;
                }
                index.fold(position);
            }
            Ok(())
        })
    };
    let found = match fill(&mut index) {
        // The rows that a writer left may be of another repository, or of what is no more.
        Err(StoreError::Damaged { .. }) if access == Access::Read && index.folded() != Position::START => {
            index = Index::empty_to_read(files, directory, name, read_fold_at);
            fill(&mut index)?
        }
        found => found?,
    };
    if access == Access::Write && files.free_space() >= RESERVE {
        index.vouch();
    }
    if let Some(head) = head
        && head.frames > found.end.frames
    {
        return Err(damaged(format!(
            "the journal ends behind frame {}, but {} were written: its newest frames are damaged or missing",
            found.end.frames, head.frames
        )));
    }
    Ok((index, found))
}

fn next_pack(files: &Files) -> Result<u32> {
    Ok(files.names("packs")?.iter().filter_map(|name| pack::number(name)).max().map_or(0, |last| last + 1))
}

/// How many audit entries there are, and the hash of the last.
fn audit_tip(index: &Index, name: &str) -> Result<(u64, Digest)> {
    let last = index.scan(&[rows::AUDIT], None, 1, true)?;
    let Some((key, _)) = last.first() else { return Ok((0, Digest::from_bytes([0; 32]))) };
    let damaged = || StoreError::Damaged { repository: name.to_owned(), what: "the audit log's rows".to_owned() };
    let sequence = rows::number(&key[1..]).ok_or_else(damaged)?;
    let leaf = index.get(&commit::merkle_key(0, sequence))?.ok_or_else(damaged)?;
    Ok((sequence + 1, Digest::from_bytes(leaf.try_into().map_err(|_| damaged())?)))
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.access == Access::Write && !self.poisoned.load(Ordering::Relaxed) {
            let commits = lock(&self.writer).commits;
            // Whoever wanted to know whether this works waited for its ticket.
            let synced = self.sync(commits);
            if synced.is_ok() {
                self.index.get_mut().unwrap_or_else(PoisonError::into_inner).vouch();
            }
        }
        if let Some(lock) = self.lock.take() {
            let _ = lock.unlock();
        }
    }
}

impl Shared {
    pub(crate) fn check_poison(&self) -> Result<()> {
        match self.poisoned.load(Ordering::Relaxed) {
            true => Err(StoreError::Poisoned(self.name.clone())),
            false => Ok(()),
        }
    }

    /// Notes how far the journal goes. Neither synced nor insisted on: it may say less than the truth, never more.
    fn note_head(&self, position: Position) {
        let note = || -> Result<()> {
            let mut head = lock(&self.head);
            let handle = match &*head {
                Some(handle) => handle,
                None if self.files.exists(HEAD) => head.insert(self.files.open_to_write(HEAD)?),
                None => head.insert(self.files.create(HEAD, false)?),
            };
            handle.write_at(0, position.to_head().as_bytes())
        };
        if let Err(error) = note() {
            tracing::warn!(repository = self.name, %error, "could not note how far the journal goes");
        }
    }
}
