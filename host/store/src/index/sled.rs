//! Sled, behind the seam. It panics on some damaged files, so every call is caught.

use std::{
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    thread,
    time::Duration,
};

use super::{Engine, Rows};
use crate::{Result, StoreError};

/// A handle that was dropped keeps sled's lock until its last thread in the background is done, which takes a moment on
/// a busy machine. Nobody else can have it: the repository's own lock comes first.
const LOCKED: &str = "could not acquire lock";
const TRIES: u32 = 1000;
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

pub(super) struct SledEngine {
    database: sled::Db,
    repository: String,
}

impl SledEngine {
    /// Sled takes a path of the machine: the one part of the store that does not go through a capability.
    pub(super) fn open(directory: &Path, repository: &str) -> Result<Self> {
        let config = sled::Config::new().path(directory).cache_capacity(8 << 20).flush_every_ms(None);
        let mut tries = TRIES;
        let open = || loop {
            match config.open() {
                Err(sled::Error::Io(error)) if tries > 0 && error.to_string().contains(LOCKED) => {
                    tries -= 1;
                    thread::sleep(BETWEEN_TRIES);
                }
                opened => return opened,
            }
        };
        let database = guard(repository, open)?;
        Ok(Self { database, repository: repository.to_owned() })
    }

    /// Looks up every row and closes sled: looking up is what makes it put its pages in order.
    pub(super) fn touch_all(self) -> Result<()> {
        let Self { database, repository } = self;
        guard(&repository, move || {
            for key in database.iter().keys() {
                database.get(key?)?;
            }
            Ok(())
        })
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

    fn range(&self, from: &[u8], to: Bound<&[u8]>, limit: usize, reverse: bool) -> Result<Rows> {
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
        })
    }
}
