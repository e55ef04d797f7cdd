//! Committing: rows become visible, then durable, in that order; many commits share one sync.

use std::sync::{PoisonError, atomic::Ordering};

use serde_json::{Value, json};
use stagewright_core::{Digest, canonical};

use super::{RESERVE, Shared, lock};
use crate::{
    Result, StoreError,
    audit::{Actor, Entry, SignedHead, merkle},
    index::Index,
    journal::{self, Row},
    pack::Record,
    rows,
};

/// Commits are joined into frames of about this size.
const JOINED_BYTES: usize = 4 << 20;
/// Once the commits that wait for a sync weigh this much, whoever adds one makes all of them durable: what is not durable
/// stands in memory, as the commits and as rows of the index.
const PENDING_BYTES: usize = 4 << 20;
/// Nothing that a caller names - a message, a reason, a role - may make a row longer than this.
const LONGEST_ROW: usize = 8 << 10;

/// The key of a node of the audit log's tree.
pub(crate) fn merkle_key(level: u8, index: u64) -> Vec<u8> {
    rows::key(rows::MERKLE, &[&[level], &index.to_be_bytes()])
}

impl Shared {
    /// Makes a transaction's rows visible. `finish` adds the rows that depend on what was committed before. Returns the
    /// commit's number, for [`sync`](Self::sync).
    pub(crate) fn commit<T>(
        &self,
        actor: &Actor,
        mut all: Vec<Row>,
        least_space: u64,
        finish: impl FnOnce(&Index, &mut Vec<Row>, &mut Vec<Value>) -> Result<T>,
    ) -> Result<(T, u64)> {
        self.check_poison()?;
        self.check_space(least_space)?;
        let mut writer = lock(&self.writer);
        let mut changes = Vec::new();
        let finished = {
            let index = self.index();
            finish(&index, &mut all, &mut changes)?
        };
        if all.is_empty() && changes.is_empty() {
            return Ok((finished, writer.commits));
        }
        let long = |(key, value): &&Row| key.len() + value.as_ref().map_or(0, Vec::len) > LONGEST_ROW;
        if let Some((key, value)) = all.iter().find(long) {
            let len = key.len() + value.as_ref().map_or(0, Vec::len);
            return Err(StoreError::Invalid(format!(
                "a name, message or reason is too long: it makes a row of {len} bytes, and a row has at most {LONGEST_ROW}"
            )));
        }
        let (size, previous) = writer.audit;
        let entry = Entry { sequence: size, previous, at_ms: actor.at_ms, who: actor.who.clone(), changes };
        let text = canonical::to_vec(&entry);
        let leaf = merkle::leaf(&text);
        let value = match text.len() <= rows::INLINE {
            true => [vec![0], text].concat(),
            false => {
                let record = Record::new(&text);
                let location = writer.packs.append(&record).map_err(|error| self.poison(error))?;
                all.push((rows::key(rows::CHUNK, &[record.digest.as_bytes()]), Some(location.to_bytes().to_vec())));
                [&[1], record.digest.as_bytes().as_slice()].concat()
            }
        };
        all.push((rows::key(rows::AUDIT, &[&size.to_be_bytes()]), Some(value)));
        {
            let index = self.index();
            self.grow_tree(&index, size, leaf, actor.at_ms, &mut all)?;
        }
        writer.packs.flush().map_err(|error| self.poison(error))?;
        let payload = journal::encode(&all);
        if payload.len() > journal::MAX_FRAME {
            return Err(StoreError::Invalid("a transaction is too large: split it".to_owned()));
        }
        writer.pending_bytes += payload.len();
        writer.pending.push(payload);
        writer.commits += 1;
        writer.audit = (size + 1, leaf);
        let (commits, pending_bytes) = (writer.commits, writer.pending_bytes);
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        all.into_iter().for_each(|(key, value)| index.put(key, value));
        drop((index, writer));
        if pending_bytes >= PENDING_BYTES {
            self.sync(commits)?;
        }
        Ok((finished, commits))
    }

    /// Adds a leaf, the subtrees that it completes, and the signed head.
    fn grow_tree(&self, index: &Index, size: u64, leaf: Digest, at_ms: u64, all: &mut Vec<Row>) -> Result<()> {
        let damaged = || StoreError::Damaged {
            repository: self.name.clone(),
            what: "a node of the audit log's tree is missing".to_owned(),
        };
        let stored = |level: u8, at: u64| -> Result<Digest> {
            let node = index.get(&merkle_key(level, at))?.ok_or_else(damaged)?;
            Ok(Digest::from_bytes(node.try_into().map_err(|_| damaged())?))
        };
        let mut added = vec![((0_u8, size), leaf)];
        let (mut level, mut at, mut hash) = (0, size, leaf);
        while at & 1 == 1 {
            hash = merkle::node(&stored(level, at - 1)?, &hash);
            (level, at) = (level + 1, at >> 1);
            added.push(((level, at), hash));
        }
        let mut complete = |level: u8, at: u64| match added.iter().find(|(place, _)| *place == (level, at)) {
            Some((_, hash)) => Ok(*hash),
            None => stored(level, at),
        };
        let root = merkle::root(&mut complete, size + 1)?;
        for ((level, at), hash) in added {
            all.push((merkle_key(level, at), Some(hash.as_bytes().to_vec())));
        }
        if let Some(key) = &self.key {
            let head = SignedHead::sign(key, &self.format.id, size + 1, root, at_ms);
            all.push((vec![rows::HEAD], Some(canonical::to_vec(&head))));
        }
        Ok(())
    }

    /// Makes the first `commits` commits durable, with all that came since; returns at once if they are.
    pub(crate) fn sync(&self, commits: u64) -> Result<()> {
        if self.durable.load(Ordering::Acquire) >= commits {
            return Ok(());
        }
        let mut journal = lock(&self.journal);
        // Whoever held the journal may have synced these commits too.
        if self.durable.load(Ordering::Acquire) >= commits {
            return Ok(());
        }
        self.check_poison()?;
        let mut writer = lock(&self.writer);
        writer.packs.flush().map_err(|error| self.poison(error))?;
        let (handles, pending, upto) =
            (writer.packs.take_unsynced(), std::mem::take(&mut writer.pending), writer.commits);
        writer.pending_bytes = 0;
        // Where the index could not be folded for long, since others always committed, they wait until it is.
        let held = self.index().is_too_heavy().then_some(writer);
        // Bytes first: a frame in the journal must never speak of a chunk that is not durable.
        handles.iter().try_for_each(|handle| handle.sync()).map_err(|error| self.poison(error))?;
        for payload in frames(pending) {
            journal.append(&payload).map_err(|error| self.poison(error))?;
        }
        self.durable.store(upto, Ordering::Release);
        self.note_head(journal.position());
        if self.index().is_heavy() {
            let writer = held.unwrap_or_else(|| lock(&self.writer));
            // Only what is durable may be folded; otherwise the next sync gets to it.
            if writer.pending.is_empty() && self.files.free_space() >= RESERVE {
                let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
                index.fold(journal.position());
                index.vouch_now_and_then();
            }
        }
        Ok(())
    }

    /// From now on this process knows too little of what is stored to go on.
    pub(crate) fn poison(&self, error: StoreError) -> StoreError {
        self.poisoned.store(true, Ordering::Relaxed);
        tracing::error!(repository = self.name, %error, "a write failed");
        let no_space = |kind| matches!(kind, std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        match error {
            StoreError::Io { source, .. } if no_space(source.kind()) => self.disk_full(),
            error => error,
        }
    }

    /// Refuses to go on where the disk is nearly full. What makes room may use the last of it.
    pub(crate) fn check_space(&self, least: u64) -> Result<()> {
        match self.files.free_space() < least {
            true => Err(self.disk_full()),
            false => Ok(()),
        }
    }

    fn disk_full(&self) -> StoreError {
        StoreError::DiskFull { repository: self.name.clone(), free: self.files.free_space(), reserve: RESERVE }
    }
}

/// Joins commits into frames: what is acknowledged together stands in one frame, so that a crash tears one at most.
fn frames(pending: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    for payload in pending {
        match frames.last_mut() {
            Some(last) if last.len() + payload.len() <= JOINED_BYTES => last.extend_from_slice(&payload),
            _ => frames.push(payload),
        }
    }
    frames
}

/// What a transaction's puts are called in the audit log.
pub(crate) fn stored_change(digests: &std::collections::BTreeSet<Digest>) -> Option<Value> {
    (!digests.is_empty())
        .then(|| json!({ "action": "store", "artifacts": digests.len(), "digest": canonical::digest(digests) }))
}
