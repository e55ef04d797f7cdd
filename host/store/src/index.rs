//! The index: what the journal's rows say, ready to be asked.
//!
//! Rows of the newest frames are held in memory; older ones were folded into sled once they were durable. Sled thus
//! never knows more than the journal, is opened only when a repository has outgrown memory, and can be thrown away at
//! any time: everything in it is made from the journal again. It holds no chunk and no value above a few kilobytes.

use std::{
    collections::BTreeMap,
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use stagewright_core::Digest;

use crate::{Result, StoreError, files::Files, journal::Position};

/// Once the rows in memory weigh this much, they are folded into sled.
const FOLD_BYTES: usize = 8 << 20;
const CHECKPOINT: &str = "checkpoint";
/// In sled, under this key: the position that its rows are up to. No row's key is this short.
const MARKER: &[u8] = b"";

/// What is asked of an engine below the index. Sled is the one there is.
pub(crate) trait Engine: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;
    /// Up to `limit` rows of the range in order; from its end where `reverse`.
    fn range(&self, from: &[u8], to: Bound<&[u8]>, limit: usize, reverse: bool) -> Result<Vec<(Vec<u8>, Vec<u8>)>>;
    /// Applies rows; durable when it returns.
    fn apply(&self, rows: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>) -> Result<()>;
    fn marker(&self) -> Result<Option<Position>>;
}

/// Rows by key.
pub(crate) struct Index {
    files: Files,
    directory: PathBuf,
    repository: String,
    recent: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    weight: usize,
    /// Up to where sled's rows go.
    folded: Position,
    engine: OnceLock<Box<dyn Engine>>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("recent", &self.recent.len())
            .field("folded", &self.folded)
            .finish_non_exhaustive()
    }
}

impl Index {
    /// The index as the last fold left it; its owner replays the journal from [`folded`](Self::folded).
    ///
    /// Where sled cannot be opened or is not what the checkpoint says, it is set aside and the index begins empty.
    pub(crate) fn open(files: &Files, directory: &Path, repository: &str, progress: &dyn Fn(&str)) -> Result<Self> {
        let checkpoint = files.read_if_there(CHECKPOINT)?;
        let folded = match &checkpoint {
            None => Position::START,
            Some(text) => Position::from_text(text).unwrap_or(Position::START),
        };
        let mut index = Self { folded, ..Self::in_memory(files, directory, repository) };
        if checkpoint.is_some() {
            let usable = folded != Position::START
                && index.engine().and_then(Engine::marker).is_ok_and(|marker| marker == Some(folded));
            if !usable {
                progress(&format!(
                    "the index of repository `{repository}` is damaged: making it again from the journal"
                ));
                index.discard()?;
            }
        }
        Ok(index)
    }

    /// An empty index that never folds: for looking at a repository whose sled another process may hold.
    pub(crate) fn in_memory(files: &Files, directory: &Path, repository: &str) -> Self {
        Self {
            files: files.clone(),
            directory: directory.to_owned(),
            repository: repository.to_owned(),
            recent: BTreeMap::new(),
            weight: 0,
            folded: Position::START,
            engine: OnceLock::new(),
        }
    }

    pub(crate) const fn folded(&self) -> Position {
        self.folded
    }

    /// Sets sled aside; everything is to be replayed.
    pub(crate) fn discard(&mut self) -> Result<()> {
        self.engine = OnceLock::new();
        self.recent.clear();
        (self.weight, self.folded) = (0, Position::START);
        if self.files.exists(CHECKPOINT) {
            self.files.remove(CHECKPOINT)?;
        }
        if self.files.exists("sled") {
            let free = (1..).map(|number| format!("sled.bad-{number}")).find(|name| !self.files.exists(name));
            self.files.rename("sled", &free.unwrap_or_else(|| "sled.bad".to_owned()))?;
        }
        Ok(())
    }

    fn engine(&self) -> Result<&dyn Engine> {
        if let Some(engine) = self.engine.get() {
            return Ok(&**engine);
        }
        let opened = SledEngine::open(&self.directory.join("sled"), &self.repository)?;
        Ok(&**self.engine.get_or_init(|| Box::new(opened)))
    }

    fn has_folded(&self) -> bool {
        self.folded != Position::START
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.recent.get(key) {
            Some(value) => Ok(value.clone()),
            None if self.has_folded() => self.engine()?.get(key),
            None => Ok(None),
        }
    }

    /// Up to `limit` rows whose keys begin with `prefix`, behind (or, in reverse, before) the key `after` if there is
    /// one.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let end = prefix_end(prefix);
        let below_end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let (from, to) = match (after, reverse) {
            (Some(after), false) => ([after, &[0]].concat(), below_end),
            (Some(after), true) => (prefix.to_vec(), Bound::Excluded(after)),
            (None, _) => (prefix.to_vec(), below_end),
        };
        let recent = self.recent.range::<[u8], _>((Bound::Included(from.as_slice()), to));
        if !self.has_folded() {
            let live = recent.filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
            return Ok(if reverse { live.rev().take(limit).collect() } else { live.take(limit).collect() });
        }
        // Removals in memory may hide rows of the engine: ask for as many more.
        let recent: Vec<_> = recent.collect();
        let hidden = recent.iter().filter(|(_, value)| value.is_none()).count();
        let asked = limit.saturating_add(hidden);
        let mut merged: BTreeMap<Vec<u8>, Vec<u8>> =
            self.engine()?.range(&from, to, asked, reverse)?.into_iter().collect();
        for (key, value) in recent {
            match value {
                Some(value) => merged.insert(key.clone(), value.clone()),
                None => merged.remove(key),
            };
        }
        let rows = merged.into_iter();
        Ok(if reverse { rows.rev().take(limit).collect() } else { rows.take(limit).collect() })
    }

    /// Takes over a row; it is in memory until the next fold.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.weight += key.len() + value.as_ref().map_or(0, Vec::len) + 64;
        self.recent.insert(key, value);
    }

    /// Whether the rows in memory weigh enough to be folded.
    pub(crate) const fn is_heavy(&self) -> bool {
        self.weight >= FOLD_BYTES
    }

    /// Folds every row in memory into sled. All of them must be durable in the journal up to `position`.
    pub(crate) fn fold(&mut self, position: Position) -> Result<()> {
        let marker = position.to_text();
        let first = !self.has_folded();
        if first && self.files.exists("sled") {
            // Left behind by a fold that did not reach its checkpoint.
            self.engine = OnceLock::new();
            self.files.remove_dir_all("sled")?;
        }
        let marker_row = (MARKER, Some(marker.as_bytes()));
        let rows = self.recent.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
        self.engine()?.apply(&mut rows.chain([marker_row]))?;
        self.files.replace(CHECKPOINT, marker.as_bytes())?;
        self.folded = position;
        self.recent.clear();
        self.weight = 0;
        Ok(())
    }
}

/// The first key behind all that begin with `prefix`; none where there is no such key.
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// Sled, behind the seam. It panics on some damaged files, so every call is caught.
struct SledEngine {
    database: sled::Db,
    repository: String,
    directory: PathBuf,
}

impl SledEngine {
    /// Sled takes a path of the machine: the one part of the store that does not go through a capability.
    fn open(directory: &Path, repository: &str) -> Result<Self> {
        let config = sled::Config::new().path(directory).cache_capacity(32 << 20).flush_every_ms(None);
        let database = guard(repository, || config.open())?;
        Ok(Self { database, repository: repository.to_owned(), directory: directory.to_owned() })
    }
}

fn guard<T>(repository: &str, work: impl FnOnce() -> sled::Result<T>) -> Result<T> {
    let damaged = |what: String| StoreError::Damaged { repository: repository.to_owned(), what };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| damaged(format!("sled: {error}"))),
        Err(_) => Err(damaged("sled gave up on its files".to_owned())),
    }
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        guard(&self.repository, || self.database.get(key)).map(|value| value.map(|value| value.to_vec()))
    }

    fn range(&self, from: &[u8], to: Bound<&[u8]>, limit: usize, reverse: bool) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        guard(&self.repository, || {
            let rows = self.database.range::<&[u8], _>((Bound::Included(from), to));
            let owned = |row: sled::Result<(sled::IVec, sled::IVec)>| row.map(|(k, v)| (k.to_vec(), v.to_vec()));
            match reverse {
                true => rows.rev().take(limit).map(owned).collect(),
                false => rows.take(limit).map(owned).collect(),
            }
        })
    }

    fn apply(&self, rows: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>) -> Result<()> {
        guard(&self.repository, || {
            for (key, value) in rows {
                match value {
                    Some(value) => self.database.insert(key, value).map(drop)?,
                    None => self.database.remove(key).map(drop)?,
                }
            }
            self.database.flush().map(drop)
        })?;
        // Sled's flush only starts writing; the files and the directory are synced here.
        let sync = || -> std::io::Result<()> {
            let directory = cap_std::fs::Dir::open_ambient_dir(&self.directory, cap_std::ambient_authority())?;
            for entry in directory.read_dir(".")? {
                let entry = entry?;
                if entry.metadata()?.is_file() {
                    entry.open()?.sync_all()?;
                }
            }
            directory.open(".")?.sync_all()
        };
        sync().map_err(StoreError::io("cannot sync", "sled"))
    }

    fn marker(&self) -> Result<Option<Position>> {
        Ok(self.get(MARKER)?.as_deref().and_then(Position::from_text))
    }
}

/// A digest at a place of a key.
pub(crate) fn digest_at(key: &[u8], at: usize) -> Option<Digest> {
    Some(Digest::from_bytes(key.get(at..at + Digest::LEN)?.try_into().ok()?))
}
