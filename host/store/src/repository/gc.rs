//! Removing what nothing needs.
//!
//! Needed are: versions and what they refer to, pins, what the caller names, and whatever was stored within the grace
//! period (a run may be about to refer to it). What is live in a pack that is mostly dead moves to a new pack; the
//! commits that say so are durable before the old pack goes, so a crash leaves at most a pack that the next gc removes.
//!
//! All of it works in bounded memory, so that what is removed is removed by many commits: artifacts before what they refer
//! to, and chunks last. Each entry of the audit log names what its commit removed.
//!
//! Where a version was deleted, its bytes are to be gone, not just unreachable: then every pack with something dead in
//! it is rewritten. A file says so until that is done, so that the gc after a crash goes on with it.

mod mark;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::json;
use stagewright_core::{Digest, canonical};

use super::{RESERVE, Repository, Shared, lock};
use crate::{
    Result, StoreError,
    audit::Actor,
    index,
    journal::Row,
    pack::{self, Location},
    rows::{self, Version},
};

/// A pack with less than this share of live bytes, in per cent, is rewritten.
const REWRITE_BELOW: u64 = 70;

/// The file that is there while bytes of deleted versions may still lie in packs.
const ERASING: &str = "erasing";

/// What gc is to keep.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    /// So many newest versions of each name; all where there is none. Tagged ones and those among `roots` stay anyway.
    pub newest: Option<u64>,
    /// Artifacts that something outside of this repository needs.
    pub roots: BTreeSet<Digest>,
    /// Whatever was stored within so many milliseconds stays.
    pub grace_ms: u64,
}

/// What gc removed, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// The repository.
    pub repository: String,
    /// Versions that were retired, `name@number`.
    pub versions: Vec<String>,
    /// Artifacts that nothing needs.
    pub artifacts: u64,
    /// Chunks that nothing needs.
    pub chunks: u64,
    /// Bytes of packs before.
    pub bytes_before: u64,
    /// Bytes of packs after; what is to be rewritten later counts as it is.
    pub bytes_after: u64,
}

/// So many versions are retired by one commit.
const RETIRED_TOGETHER: usize = 1000;

impl Repository {
    /// Finds what [`gc`](Self::gc) would remove.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn gc_plan(&self, actor: &Actor, collection: &Collection) -> Result<Collected> {
        let shared = &*self.shared;
        let mut collected = Collected { repository: self.name().to_owned(), ..Collected::default() };
        shared.each_version(collection.newest, &collection.roots, &mut |version, retired| {
            collected.versions.extend(retired.then(|| shown(&version)));
            Ok(())
        })?;
        let live = shared.mark(actor, collection, collection.newest)?;
        shared.each_dead_artifact(&live, &mut |_| {
            collected.artifacts += 1;
            Ok(())
        })?;
        let mut dead_bytes = 0;
        shared.each_chunk(&live, &mut |_, location, needed| {
            if !needed {
                collected.chunks += 1;
                dead_bytes += location.footprint();
            }
            Ok(())
        })?;
        collected.bytes_before = shared.pack_bytes()?;
        collected.bytes_after = collected.bytes_before.saturating_sub(dead_bytes);
        Ok(collected)
    }

    /// Removes what is not needed. Transactions wait meanwhile, and gc waits for those that are open.
    ///
    /// # Errors
    /// The repository cannot be changed, or is busy.
    pub fn gc(&self, actor: &Actor, collection: &Collection) -> Result<Collected> {
        let versions = self.retire(actor, collection)?;
        let shared = &*self.shared;
        let _closed = shared.gate.close().ok_or_else(|| StoreError::Busy(shared.name.clone()))?;
        self.sync()?;
        let own_packs = {
            let mut writer = lock(&shared.writer);
            writer.packs.close().map_err(|error| shared.poison(error))?;
            writer.packs.next()
        };
        let bytes_before = shared.pack_bytes()?;
        let live = shared.mark(actor, collection, None)?;
        if shared.has_deleted(&live)? {
            shared.files.replace(ERASING, b"")?;
        }
        let mut removal = Removal::new(shared, actor);
        shared.each_dead_artifact(&live, &mut |digest| removal.artifact(digest))?;
        let mut live_bytes = BTreeMap::<u32, u64>::new();
        shared.each_chunk(&live, &mut |digest, location, needed| {
            // What gc itself has stored so far is an entry of the audit log.
            if needed || location.pack >= own_packs {
                *live_bytes.entry(location.pack).or_default() += location.footprint();
                return Ok(());
            }
            removal.chunk(digest)
        })?;
        removal.commit()?;
        let (artifacts, chunks) = (removal.artifacts, removal.chunks);
        drop(live);
        shared.sweep(actor, &live_bytes, own_packs)?;
        let bytes_after = shared.pack_bytes()?;
        Ok(Collected { repository: self.name().to_owned(), versions, artifacts, chunks, bytes_before, bytes_after })
    }

    /// Deletes the versions that are too old to be kept.
    fn retire(&self, actor: &Actor, collection: &Collection) -> Result<Vec<String>> {
        let mut retired = Vec::new();
        let mut transaction = self.begin(actor)?;
        let Some(newest) = collection.newest else { return Ok(retired) };
        let reason = format!("retention: the newest {newest} are kept");
        self.shared.each_version(Some(newest), &collection.roots, &mut |version, is_retired| {
            if is_retired {
                transaction.delete_version(&version, &reason);
                retired.push(shown(&version));
                if retired.len().is_multiple_of(RETIRED_TOGETHER) {
                    std::mem::replace(&mut transaction, self.begin(actor)?).commit()?;
                }
            }
            Ok(())
        })?;
        transaction.commit()?;
        Ok(retired)
    }
}

fn shown(version: &Version) -> String {
    format!("{}@{}", version.name, version.number)
}

/// What is to be removed, and was, by commits of bounded size.
struct Removal<'a> {
    shared: &'a Shared,
    actor: &'a Actor,
    rows: Vec<Row>,
    /// Those whose rows wait.
    waiting: BTreeSet<Digest>,
    waiting_chunks: u64,
    artifacts: u64,
    chunks: u64,
}

impl<'a> Removal<'a> {
    fn new(shared: &'a Shared, actor: &'a Actor) -> Self {
        let (rows, waiting) = (Vec::new(), BTreeSet::new());
        Self { shared, actor, rows, waiting, waiting_chunks: 0, artifacts: 0, chunks: 0 }
    }

    fn artifact(&mut self, digest: Digest) -> Result<()> {
        let references = rows::key(rows::REFERENCES, &[digest.as_bytes()]);
        if self.shared.index().get(&references)?.is_some() {
            self.rows.push((references, None));
        }
        self.rows.push((rows::key(rows::ARTIFACT, &[digest.as_bytes()]), None));
        self.waiting.insert(digest);
        self.artifacts += 1;
        self.commit_if_many()
    }

    fn chunk(&mut self, digest: Digest) -> Result<()> {
        self.rows.push((rows::key(rows::CHUNK, &[digest.as_bytes()]), None));
        self.waiting_chunks += 1;
        self.chunks += 1;
        self.commit_if_many()
    }

    fn commit_if_many(&mut self) -> Result<()> {
        if self.rows.len() >= self.shared.rows_together() { self.commit() } else { Ok(()) }
    }

    /// Removes what waits, durably.
    fn commit(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let change = json!({
            "action": "gc", "artifacts": self.waiting.len(), "chunks": self.waiting_chunks,
            "digest": canonical::digest(&self.waiting),
        });
        self.waiting.clear();
        self.waiting_chunks = 0;
        self.shared.commit_change(self.actor, std::mem::take(&mut self.rows), change)
    }
}

impl Shared {
    /// So many rows are changed by one commit of gc.
    const fn rows_together(&self) -> usize {
        // A row takes about 100 bytes, in the commit and again in the index.
        self.fold_at / 200
    }

    fn pack_bytes(&self) -> Result<u64> {
        Ok(pack::list(&self.files)?.iter().map(|(_, len)| len).sum())
    }

    /// Changes rows durably, with an entry in the audit log.
    fn commit_change(&self, actor: &Actor, rows: Vec<Row>, change: serde_json::Value) -> Result<()> {
        let ((), commit) = self.commit(actor, rows, 0, |_, _, changes| {
            changes.push(change);
            Ok(())
        })?;
        self.sync(commit)
    }

    /// Removes packs without live chunks, and rewrites those with few, or with anything dead while something is erased.
    /// The packs from `own_packs` on are gc's own.
    fn sweep(&self, actor: &Actor, live_bytes: &BTreeMap<u32, u64>, own_packs: u32) -> Result<()> {
        let erasing = self.files.exists(ERASING);
        let mut erased = erasing;
        let mut rewritten = Vec::new();
        for (number, len) in pack::list(&self.files)?.into_iter().filter(|(number, _)| *number < own_packs) {
            match live_bytes.get(&number).copied().unwrap_or(0) {
                0 => self.files.remove(&pack::path(number))?,
                bytes if bytes * 100 < len * REWRITE_BELOW || (erasing && bytes < len) => {
                    rewritten.push((number, bytes));
                }
                _ => (),
            }
        }
        for (number, bytes) in rewritten {
            if self.check_space(RESERVE + bytes).is_err() {
                erased = false;
                continue;
            }
            erased &= self.rewrite(actor, number, bytes)?;
        }
        self.files.sync_dir("packs")?;
        if erased {
            self.files.remove(ERASING)?;
        }
        self.packs.forget();
        for number in 1..1000 {
            let set_aside = format!("sled.bad-{number}");
            if !self.files.exists(&set_aside) {
                break;
            }
            self.files.remove_dir_all(&set_aside)?;
        }
        for (name, _) in self.files.list(".")?.iter().filter(|(name, _)| index::is_leftover(name)) {
            self.files.remove(name)?;
        }
        Ok(())
    }

    /// Moves what is live in a pack elsewhere and removes the pack. False where something in it is damaged: then it stays,
    /// since it is not for gc to make a loss final.
    fn rewrite(&self, actor: &Actor, number: u32, live_bytes: u64) -> Result<bool> {
        let change = || json!({ "action": "rewrite-pack", "pack": number });
        let (mut moved, mut moved_bytes) = (Vec::<Row>::new(), 0);
        pack::scan(&self.files, number, |location, record| {
            let key = rows::key(rows::CHUNK, &[record.digest.as_bytes()]);
            let row = self.index().get(&key)?;
            if row.as_deref().and_then(Location::from_bytes) != Some(location) {
                return Ok(());
            }
            let appended = lock(&self.writer).packs.append(&record).map_err(|error| self.poison(error))?;
            moved.push((key, Some(appended.to_bytes().to_vec())));
            moved_bytes += location.footprint();
            match moved.len() >= self.rows_together() {
                true => self.commit_change(actor, std::mem::take(&mut moved), change()),
                false => Ok(()),
            }
        })?;
        if !moved.is_empty() {
            self.commit_change(actor, moved, change())?;
        }
        let is_whole = moved_bytes == live_bytes;
        if is_whole {
            self.files.remove(&pack::path(number))?;
        }
        Ok(is_whole)
    }
}
