//! Removing what nothing needs.
//!
//! Needed are: versions and what they refer to, pins, what the caller names, and whatever was stored within the grace
//! period (a run may be about to refer to it). What is live in a pack that is mostly dead moves to a new pack; the
//! commit that says so is durable before the old pack goes, so a crash leaves at most a pack that the next gc removes.
//!
//! Where a version was deleted, its bytes are to be gone, not just unreachable: then every pack with something dead in
//! it is rewritten. A file says so until that is done, so that the gc after a crash goes on with it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::json;
use stagewright_core::{Digest, Name, canonical};

use super::{RESERVE, Repository, Shared, lock};
use crate::{
    Result, StoreError,
    audit::Actor,
    index::{self, digest_at},
    journal::Row,
    pack::{self, Location, Record},
    rows::{self, Layout, Tombstone, Version},
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

/// What is needed and what is not.
struct Marked {
    dead_artifacts: BTreeSet<Digest>,
    live_chunks: BTreeSet<Digest>,
}

impl Repository {
    /// Finds what [`gc`](Self::gc) would remove.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn gc_plan(&self, actor: &Actor, collection: &Collection) -> Result<Collected> {
        let retired = self.retired(collection)?;
        let gone: BTreeSet<(Name, u64)> =
            retired.iter().map(|version| (version.name.clone(), version.number)).collect();
        let marked = self.shared.mark(actor, collection, &gone)?;
        let (mut chunks, mut dead_bytes) = (0, 0);
        self.shared.each_chunk(&mut |digest, location| {
            if !marked.live_chunks.contains(&digest) {
                chunks += 1;
                dead_bytes += location.footprint();
            }
        })?;
        let bytes_before: u64 = pack::list(&self.shared.files)?.iter().map(|(_, len)| len).sum();
        Ok(Collected {
            repository: self.name().to_owned(),
            versions: names(&retired),
            artifacts: marked.dead_artifacts.len() as u64,
            chunks,
            bytes_before,
            bytes_after: bytes_before.saturating_sub(dead_bytes),
        })
    }

    /// Removes what is not needed. Transactions wait meanwhile, and gc waits for those that are open.
    ///
    /// # Errors
    /// The repository cannot be changed, or is busy.
    pub fn gc(&self, actor: &Actor, collection: &Collection) -> Result<Collected> {
        let retired = self.retired(collection)?;
        let mut transaction = self.begin(actor)?;
        let reason = format!("retention: the newest {} are kept", collection.newest.unwrap_or_default());
        retired.iter().for_each(|version| transaction.delete_version(version, &reason));
        transaction.commit()?;

        let shared = &*self.shared;
        let _closed = shared.gate.close().ok_or_else(|| StoreError::Busy(shared.name.clone()))?;
        self.sync()?;
        lock(&shared.writer).packs.close().map_err(|error| shared.poison(error))?;
        let bytes_before: u64 = pack::list(&shared.files)?.iter().map(|(_, len)| len).sum();
        let marked = shared.mark(actor, collection, &BTreeSet::new())?;
        let (mut dead_chunks, mut live) = (Vec::new(), BTreeMap::<u32, Vec<(Digest, Location)>>::new());
        shared.each_chunk(&mut |digest, location| match marked.live_chunks.contains(&digest) {
            true => live.entry(location.pack).or_default().push((digest, location)),
            false => dead_chunks.push(digest),
        })?;
        let mut removed: Vec<Row> = Vec::new();
        for digest in &marked.dead_artifacts {
            removed.push((rows::key(rows::ARTIFACT, &[digest.as_bytes()]), None));
            removed.push((rows::key(rows::REFERENCES, &[digest.as_bytes()]), None));
        }
        removed.extend(dead_chunks.iter().map(|digest| (rows::key(rows::CHUNK, &[digest.as_bytes()]), None)));
        if shared.has_deleted(&marked.dead_artifacts)? {
            shared.files.replace(ERASING, b"")?;
        }
        if !removed.is_empty() {
            let change = json!({
                "action": "gc", "artifacts": marked.dead_artifacts.len(), "chunks": dead_chunks.len(),
                "digest": canonical::digest(&marked.dead_artifacts),
            });
            shared.commit(actor, removed, 0, |_, _, changes| {
                changes.push(change);
                Ok(())
            })?;
            self.sync()?;
        }
        shared.sweep(actor, live)?;
        Ok(Collected {
            repository: self.name().to_owned(),
            versions: names(&retired),
            artifacts: marked.dead_artifacts.len() as u64,
            chunks: dead_chunks.len() as u64,
            bytes_before,
            bytes_after: pack::list(&shared.files)?.iter().map(|(_, len)| len).sum(),
        })
    }

    /// The versions that are too old to keep.
    fn retired(&self, collection: &Collection) -> Result<Vec<Version>> {
        let Some(newest) = collection.newest else { return Ok(Vec::new()) };
        let mut retired = Vec::new();
        for name in self.names()? {
            let tagged: BTreeSet<u64> = self.tags(&name)?.into_iter().map(|(_, number)| number).collect();
            let old = self.log(&name)?.into_iter().skip(usize::try_from(newest).unwrap_or(usize::MAX));
            retired.extend(
                old.filter(|version| !tagged.contains(&version.number) && !collection.roots.contains(&version.digest)),
            );
        }
        Ok(retired)
    }
}

fn names(versions: &[Version]) -> Vec<String> {
    versions.iter().map(|version| format!("{}@{}", version.name, version.number)).collect()
}

impl Shared {
    pub(crate) fn each_chunk(&self, visit: &mut dyn FnMut(Digest, Location)) -> Result<()> {
        self.each(&[rows::CHUNK], &mut |key, value| {
            let chunk = digest_at(key, 1).zip(Location::from_bytes(value));
            let (digest, location) = chunk.ok_or_else(|| self.damaged("a chunk's row"))?;
            visit(digest, location);
            Ok(())
        })
    }

    fn mark(&self, actor: &Actor, collection: &Collection, gone: &BTreeSet<(Name, u64)>) -> Result<Marked> {
        let mut wanted: Vec<Digest> = collection.roots.iter().copied().collect();
        self.each(&[rows::VERSION], &mut |_, value| {
            let version: Version = canonical::from_slice(value).map_err(|_| self.damaged("a version's row"))?;
            if !gone.contains(&(version.name, version.number)) {
                wanted.push(version.digest);
            }
            Ok(())
        })?;
        self.each(&[rows::PIN], &mut |key, _| {
            wanted.extend(rows::split_name(key).and_then(|(_, digest)| digest_at(digest, 0)));
            Ok(())
        })?;
        let mut artifacts = BTreeMap::new();
        self.each(&[rows::ARTIFACT], &mut |key, value| {
            let artifact = digest_at(key, 1).zip(Layout::from_bytes(value));
            let (digest, layout) = artifact.ok_or_else(|| self.damaged("an artifact's row"))?;
            if layout.at_ms.saturating_add(collection.grace_ms) > actor.at_ms {
                wanted.push(digest);
            }
            artifacts.insert(digest, layout);
            Ok(())
        })?;
        let mut live_chunks = BTreeSet::new();
        let mut live = BTreeSet::new();
        let repository_references = |digest: &Digest| -> Result<Option<Vec<u8>>> {
            self.index().get(&rows::key(rows::REFERENCES, &[digest.as_bytes()]))
        };
        while let Some(digest) = wanted.pop() {
            let Some(layout) = artifacts.get(&digest) else { continue };
            if !live.insert(digest) {
                continue;
            }
            match layout.list {
                None => drop(live_chunks.insert(digest)),
                Some(list) => {
                    live_chunks.insert(list);
                    live_chunks.extend(self.chunks(&digest, *layout)?);
                }
            }
            if let Some(row) = repository_references(&digest)? {
                live_chunks.extend(named_chunk(&row));
                let list = self.value(&row)?;
                wanted.extend(list.chunks_exact(Digest::LEN).filter_map(|bytes| digest_at(bytes, 0)));
            }
        }
        for kind in [rows::RECORD, rows::AUDIT] {
            self.each(&[kind], &mut |_, value| {
                live_chunks.extend(named_chunk(value));
                Ok(())
            })?;
        }
        let dead_artifacts = artifacts.into_keys().filter(|digest| !live.contains(digest)).collect();
        Ok(Marked { dead_artifacts, live_chunks })
    }

    /// Whether some of these artifacts were versions that were deleted.
    fn has_deleted(&self, dead: &BTreeSet<Digest>) -> Result<bool> {
        let mut found = false;
        self.each(&[rows::TOMBSTONE], &mut |_, value| {
            let tombstone: Tombstone = canonical::from_slice(value).map_err(|_| self.damaged("a tombstone's row"))?;
            found |= dead.contains(&tombstone.version.digest);
            Ok(())
        })?;
        Ok(found)
    }

    /// Removes packs without live chunks, and rewrites those with few, or with anything dead while something is erased.
    fn sweep(&self, actor: &Actor, mut live: BTreeMap<u32, Vec<(Digest, Location)>>) -> Result<()> {
        let erasing = self.files.exists(ERASING);
        let mut erased = erasing;
        let mut rewritten = Vec::new();
        for (number, len) in pack::list(&self.files)? {
            let bytes: u64 = live.get(&number).iter().flat_map(|chunks| *chunks).map(|(_, at)| at.footprint()).sum();
            match bytes {
                0 => self.files.remove(&pack::path(number))?,
                _ if bytes * 100 < len * REWRITE_BELOW || (erasing && bytes < len) => rewritten.push(number),
                _ => (),
            }
        }
        for number in rewritten {
            if self.check_space(RESERVE).is_err() {
                erased = false;
                break;
            }
            erased &= self.rewrite(actor, number, live.remove(&number).unwrap_or_default())?;
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

    /// Moves what is live in a pack elsewhere and removes the pack. False where something in it is damaged.
    fn rewrite(&self, actor: &Actor, number: u32, chunks: Vec<(Digest, Location)>) -> Result<bool> {
        let mut moved = Vec::with_capacity(chunks.len());
        for (digest, location) in chunks {
            // A damaged chunk keeps its pack: it is not for gc to make a loss final.
            let Ok(bytes) = self.packs.read(&digest, location) else { return Ok(false) };
            let appended = lock(&self.writer).packs.append(&Record::hashed(digest, &bytes));
            let location = appended.map_err(|error| self.poison(error))?;
            moved.push((rows::key(rows::CHUNK, &[digest.as_bytes()]), Some(location.to_bytes().to_vec())));
        }
        let (_, commit) = self.commit(actor, moved, 0, |_, _, changes| {
            changes.push(json!({ "action": "rewrite-pack", "pack": number }));
            Ok(())
        })?;
        self.sync(commit)?;
        self.files.remove(&pack::path(number))?;
        Ok(true)
    }
}

/// The chunk that a row names in place of a value.
fn named_chunk(value: &[u8]) -> Option<Digest> {
    value.split_first().filter(|(tag, _)| **tag == 1).and_then(|(_, chunk)| digest_at(chunk, 0))
}
