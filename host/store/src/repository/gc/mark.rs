//! Finding what is needed.
//!
//! Nothing here grows in memory with the repository: what was found stands in [`Marks`], and rows are gone through in the
//! order of their keys, so that what is asked of marks and index lies side by side.

use std::collections::BTreeSet;

use stagewright_core::{Digest, canonical};

use super::{Collection, Shared};
use crate::{
    Result,
    audit::Actor,
    index::{Marks, digest_at},
    pack::Location,
    rows::{self, Layout, Tombstone, Version},
};

/// A mark of an artifact that is needed.
const ARTIFACT: u8 = rows::ARTIFACT;
/// A mark of a chunk that is needed, where it is not the one chunk of an artifact that is.
const CHUNK: u8 = rows::CHUNK;
/// How many times those that dead artifacts refer to are told from the others. Only where the dead make a longer chain, or
/// a circle, and the process is killed meanwhile, some that are still there may lack what they refer to.
const MOST_ROUNDS: usize = 1000;

/// What is needed.
pub(super) struct Live(Marks);

impl Live {
    fn has_artifact(&self, digest: &Digest) -> Result<bool> {
        self.0.has(digest, ARTIFACT)
    }

    fn has_chunk(&self, digest: &Digest) -> Result<bool> {
        Ok(self.0.has(digest, ARTIFACT)? || self.0.has(digest, CHUNK)?)
    }
}

impl Shared {
    fn marks(&self) -> Marks {
        // A mark takes about 50 bytes of memory; up to three sets are there at a time.
        Marks::new(&self.files, &self.name, self.fold_at / 32)
    }

    /// Every version, oldest first for each name, and whether it is too old to be kept.
    pub(super) fn each_version(
        &self,
        newest: Option<u64>,
        roots: &BTreeSet<Digest>,
        visit: &mut dyn FnMut(Version, bool) -> Result<()>,
    ) -> Result<()> {
        let (mut name, mut too_old, mut tagged) = (None, 0_u64, BTreeSet::new());
        self.each(&[rows::VERSION], &mut |_, value| {
            let version: Version = canonical::from_slice(value).map_err(|_| self.damaged("a version's row"))?;
            let Some(newest) = newest else { return visit(version, false) };
            if name.as_ref() != Some(&version.name) {
                let mut there = 0_u64;
                self.each(&rows::named(rows::VERSION, version.name.as_str(), &[]), &mut |_, _| {
                    there += 1;
                    Ok(())
                })?;
                too_old = there.saturating_sub(newest);
                tagged.clear();
                self.each(&rows::named(rows::TAG, version.name.as_str(), &[]), &mut |_, value| {
                    tagged.extend(rows::number(value));
                    Ok(())
                })?;
                name = Some(version.name.clone());
            }
            let is_old = too_old > 0;
            too_old = too_old.saturating_sub(1);
            let retired = is_old && !tagged.contains(&version.number) && !roots.contains(&version.digest);
            visit(version, retired)
        })
    }

    /// Finds what is needed where of each name the `newest` versions are kept.
    pub(super) fn mark(&self, actor: &Actor, collection: &Collection, newest: Option<u64>) -> Result<Live> {
        let (mut live, mut wanted) = (Live(self.marks()), self.marks());
        collection.roots.iter().for_each(|root| wanted.add(root, ARTIFACT));
        self.each_version(newest, &collection.roots, &mut |version, retired| {
            if !retired {
                wanted.add(&version.digest, ARTIFACT);
            }
            Ok(())
        })?;
        self.each(&[rows::PIN], &mut |key, _| {
            let pinned = rows::split_name(key).and_then(|(_, digest)| digest_at(digest, 0));
            pinned.iter().for_each(|digest| wanted.add(digest, ARTIFACT));
            Ok(())
        })?;
        self.each(&[rows::ARTIFACT], &mut |key, value| {
            let (digest, layout) = self.artifact_row(key, value)?;
            if layout.at_ms.saturating_add(collection.grace_ms) > actor.at_ms {
                wanted.add(&digest, ARTIFACT);
            }
            Ok(())
        })?;
        for kind in [rows::RECORD, rows::AUDIT] {
            self.each(&[kind], &mut |_, value| {
                named_chunk(value).iter().for_each(|chunk| live.0.add(chunk, CHUNK));
                Ok(())
            })?;
        }
        // What is wanted, then what that refers to, and so on.
        while !wanted.is_empty() {
            let mut next = self.marks();
            wanted.each(&mut |digest| {
                if live.has_artifact(&digest)? {
                    return Ok(());
                }
                let Some(layout) = self.layout(&digest)? else { return Ok(()) };
                live.0.add(&digest, ARTIFACT);
                if let Some(list) = layout.list {
                    live.0.add(&list, CHUNK);
                    self.chunks(&digest, layout)?.iter().for_each(|chunk| live.0.add(chunk, CHUNK));
                }
                if let Some(row) = self.index().get(&rows::key(rows::REFERENCES, &[digest.as_bytes()]))? {
                    named_chunk(&row).iter().for_each(|chunk| live.0.add(chunk, CHUNK));
                    references(&self.value(&row)?).for_each(|digest| next.add(&digest, ARTIFACT));
                }
                Ok(())
            })?;
            wanted = next;
        }
        Ok(live)
    }

    fn artifact_row(&self, key: &[u8], value: &[u8]) -> Result<(Digest, Layout)> {
        let artifact = digest_at(key, 1).zip(Layout::from_bytes(value));
        artifact.ok_or_else(|| self.damaged("an artifact's row"))
    }

    /// Whether something that is not needed was a version that was deleted.
    pub(super) fn has_deleted(&self, live: &Live) -> Result<bool> {
        let mut found = false;
        self.each(&[rows::TOMBSTONE], &mut |_, value| {
            let tombstone: Tombstone = canonical::from_slice(value).map_err(|_| self.damaged("a tombstone's row"))?;
            let digest = tombstone.version.digest;
            found = found || (!live.has_artifact(&digest)? && self.layout(&digest)?.is_some());
            Ok(())
        })?;
        Ok(found)
    }

    /// Every artifact that is not needed. What refers to another comes before it: whatever is removed in this order leaves
    /// nothing behind that lacks a part.
    pub(super) fn each_dead_artifact(&self, live: &Live, visit: &mut dyn FnMut(Digest) -> Result<()>) -> Result<()> {
        let mut needed = self.marks();
        self.each(&[rows::REFERENCES], &mut |key, value| {
            let digest = digest_at(key, 1).ok_or_else(|| self.damaged("a row of references"))?;
            if !live.has_artifact(&digest)? {
                // What is dead may be damaged too.
                let list = self.value(value).unwrap_or_default();
                references(&list).for_each(|digest| needed.add(&digest, ARTIFACT));
            }
            Ok(())
        })?;
        let mut left = self.marks();
        self.each(&[rows::ARTIFACT], &mut |key, value| {
            let (digest, _) = self.artifact_row(key, value)?;
            match (live.has_artifact(&digest)?, needed.has(&digest, ARTIFACT)?) {
                (true, _) => Ok(()),
                (false, true) => {
                    left.add(&digest, ARTIFACT);
                    Ok(())
                }
                (false, false) => visit(digest),
            }
        })?;
        for _ in 0..MOST_ROUNDS {
            if left.is_empty() {
                break;
            }
            let mut needed = self.marks();
            left.each(&mut |digest| {
                let row = self.index().get(&rows::key(rows::REFERENCES, &[digest.as_bytes()]))?;
                let list = row.and_then(|row| self.value(&row).ok()).unwrap_or_default();
                references(&list).for_each(|digest| needed.add(&digest, ARTIFACT));
                Ok(())
            })?;
            let (mut still, mut found) = (self.marks(), false);
            left.each(&mut |digest| {
                if needed.has(&digest, ARTIFACT)? {
                    still.add(&digest, ARTIFACT);
                    return Ok(());
                }
                found = true;
                visit(digest)
            })?;
            left = still;
            if !found {
                break;
            }
        }
        left.each(visit)
    }

    /// Every chunk, where it lies, and whether it is needed.
    pub(super) fn each_chunk(
        &self,
        live: &Live,
        visit: &mut dyn FnMut(Digest, Location, bool) -> Result<()>,
    ) -> Result<()> {
        self.each(&[rows::CHUNK], &mut |key, value| {
            let chunk = digest_at(key, 1).zip(Location::from_bytes(value));
            let (digest, location) = chunk.ok_or_else(|| self.damaged("a chunk's row"))?;
            visit(digest, location, live.has_chunk(&digest)?)
        })
    }
}

fn references(list: &[u8]) -> impl Iterator<Item = Digest> {
    list.chunks_exact(Digest::LEN).filter_map(|bytes| digest_at(bytes, 0))
}

/// The chunk that a row names in place of a value.
fn named_chunk(value: &[u8]) -> Option<Digest> {
    value.split_first().filter(|(tag, _)| **tag == 1).and_then(|(_, chunk)| digest_at(chunk, 0))
}
