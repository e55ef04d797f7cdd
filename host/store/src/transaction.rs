//! A transaction: bytes go to the packs as they come, facts are staged, and the commit makes all of it visible at once.

use std::{
    collections::BTreeSet,
    io::Read,
    sync::{Arc, mpsc},
};

use serde_json::{Value, json};
use stagewright_core::{Digest, Name, Schema};

use crate::{
    Result, StoreError,
    audit::Actor,
    chunker::{self, Stretch},
    index::Index,
    journal::Row,
    pack::Record,
    repository::{RESERVE, Shared, commit::stored_change, gate::Entered, lock},
    rows::{self, ArtifactKind, INLINE, Layout, Tombstone, Version},
    table::TableWriter,
};

/// Artifacts up to this size are one chunk.
const ONE_CHUNK: usize = 256 << 10;
/// So many stretches may wait to be hashed or stored: enough that three threads keep two processors busy.
const STRETCHES_AHEAD: usize = 6;
/// Free space is looked at again after this many bytes.
const SPACE_CHECK_BYTES: u64 = 16 << 20;
/// An artifact that is stored again after so many milliseconds counts as stored anew; before, as stored when it was.
pub const REFRESHED_WITHIN_MS: u64 = 10 * 60 * 1000;
/// As many references fit into a row.
const INLINE_REFERENCES: usize = 60;

/// Changes to a repository that happen together or not at all. Dropped without a commit, it leaves nothing behind but
/// unused bytes, which `gc` removes.
#[derive(Debug)]
pub struct Transaction<'a> {
    /// Keeps gc from removing what this transaction found to be there already.
    _open: Entered<'a>,
    shared: &'a Shared,
    actor: Actor,
    rows: Vec<Row>,
    changes: Vec<Value>,
    stored: BTreeSet<Digest>,
    chunks: BTreeSet<Digest>,
    versions: Vec<NewVersion>,
    unchecked: u64,
}

#[derive(Debug)]
struct NewVersion {
    name: Name,
    digest: Digest,
    kind: ArtifactKind,
    parent: Option<u64>,
    message: String,
}

/// What a commit made.
#[derive(Debug)]
#[must_use = "a commit is durable only once `wait` has returned"]
pub struct Ticket<'a> {
    shared: &'a Shared,
    commit: u64,
    /// The versions that the transaction made, in order.
    pub versions: Vec<Version>,
}

impl Ticket<'_> {
    /// Returns once the commit is durable.
    ///
    /// # Errors
    /// It could not be made durable; the repository has to be opened again.
    pub fn wait(self) -> Result<Vec<Version>> {
        self.shared.sync(self.commit)?;
        Ok(self.versions)
    }
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(shared: &'a Shared, actor: Actor) -> Self {
        Self {
            _open: shared.gate.enter(),
            shared,
            actor,
            rows: Vec::new(),
            changes: Vec::new(),
            stored: BTreeSet::new(),
            chunks: BTreeSet::new(),
            versions: Vec::new(),
            unchecked: 0,
        }
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn put_bytes(&mut self, bytes: &[u8]) -> Result<Digest> {
        if bytes.len() <= ONE_CHUNK {
            return self.put_whole(bytes);
        }
        self.put_reader(bytes).map(|(digest, _)| digest)
    }

    /// Stores bytes as one chunk, whatever their size: the batches of tables.
    pub(crate) fn put_whole(&mut self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        if self.is_new(&digest)? {
            // Its one chunk is hardly ever there either: asking costs more than storing it once more.
            if !self.chunks.contains(&digest) {
                self.append_chunk(digest, bytes)?;
            }
            self.add_artifact(digest, Layout { len: bytes.len() as u64, at_ms: 0, list: None });
        }
        Ok(digest)
    }

    /// Stores everything that a reader gives, and returns its digest and length. The bytes need not fit into memory.
    ///
    /// # Errors
    /// They cannot be read or written.
    pub fn put_reader(&mut self, reader: impl Read) -> Result<(Digest, u64)> {
        let mut len = 0;
        // Finding chunks, hashing the whole, and storing chunks each take about as long: a thread for each.
        let (digest, list) = std::thread::scope(|scope| {
            let (to_hash, hashed) = mpsc::sync_channel::<Arc<Stretch>>(STRETCHES_AHEAD);
            let (to_store, stretches) = mpsc::sync_channel::<Arc<Stretch>>(STRETCHES_AHEAD);
            let hashing = scope.spawn(move || {
                let mut whole = blake3::Hasher::new();
                for stretch in hashed {
                    whole.update(stretch.read());
                }
                Digest::from_bytes(*whole.finalize().as_bytes())
            });
            let storing = scope.spawn(|| self.put_stretches(stretches));
            let cut = chunker::cut(reader, &mut |stretch| {
                len += stretch.read().len() as u64;
                // The other end is gone only where storing failed, and says why.
                to_hash.send(Arc::clone(&stretch)).is_ok() && to_store.send(stretch).is_ok()
            });
            drop((to_hash, to_store));
            let digest = hashing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let stored = storing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            cut.map_err(StoreError::io("cannot read", "the bytes to store"))?;
            stored.map(|list| (digest, list))
        })?;
        if self.is_new(&digest)? {
            let layout = match list.len() {
                0 => {
                    self.put_chunk(digest, &[])?;
                    Layout { len, at_ms: 0, list: None }
                }
                36 => Layout { len, at_ms: 0, list: None },
                _ => {
                    let list_digest = Digest::of(&list);
                    self.put_chunk(list_digest, &list)?;
                    Layout { len, at_ms: 0, list: Some(list_digest) }
                }
            };
            self.add_artifact(digest, layout);
        }
        Ok((digest, len))
    }

    /// Stores bytes that need other artifacts of this repository to mean anything: those are kept as long as these.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn put_referencing(&mut self, bytes: &[u8], references: &[Digest]) -> Result<Digest> {
        let digest = self.put_bytes(bytes)?;
        let list: Vec<u8> = references.iter().flat_map(|reference| *reference.as_bytes()).collect();
        let value = match references.len() <= INLINE_REFERENCES {
            true => [vec![0], list].concat(),
            false => {
                let chunk = Digest::of(&list);
                self.put_chunk(chunk, &list)?;
                [&[1], chunk.as_bytes().as_slice()].concat()
            }
        };
        let key = rows::key(rows::REFERENCES, &[digest.as_bytes()]);
        if self.shared.index().get(&key)?.as_ref() != Some(&value) {
            self.rows.push((key, Some(value)));
        }
        Ok(digest)
    }

    /// Begins a table; its rows are stored as they are written.
    pub fn put_table(&mut self, schema: &Schema) -> TableWriter<'_, 'a> {
        TableWriter::new(self, schema)
    }

    /// Makes a new version of a name.
    pub fn set_version(&mut self, name: &Name, digest: Digest, kind: ArtifactKind, parent: Option<u64>, message: &str) {
        let (name, message) = (name.clone(), message.to_owned());
        self.versions.push(NewVersion { name, digest, kind, parent, message });
    }

    /// Gives a version a further name, or moves that name to it.
    pub fn tag(&mut self, version: &Version, tag: &Name) {
        let key = rows::named(rows::TAG, version.name.as_str(), tag.as_str().as_bytes());
        self.rows.push((key, Some(version.number.to_be_bytes().to_vec())));
        self.changes.push(json!({
            "action": "tag", "name": version.name, "number": version.number, "digest": version.digest, "tag": tag,
        }));
    }

    /// Removes a tag.
    pub fn untag(&mut self, name: &Name, tag: &Name) {
        self.rows.push((rows::named(rows::TAG, name.as_str(), tag.as_str().as_bytes()), None));
        self.changes.push(json!({ "action": "untag", "name": name, "tag": tag }));
    }

    /// Deletes a version. A tombstone says that it was there; its bytes go with the next gc, unless something else
    /// needs them. Its number is never used again.
    pub fn delete_version(&mut self, version: &Version, reason: &str) {
        let number = version.number.to_be_bytes();
        let tombstone = Tombstone {
            version: version.clone(),
            reason: reason.to_owned(),
            author: self.actor.who.clone(),
            at_ms: self.actor.at_ms,
        };
        let value = stagewright_core::canonical::to_vec(&tombstone);
        self.rows.push((rows::named(rows::TOMBSTONE, version.name.as_str(), &number), Some(value)));
        self.rows.push((rows::named(rows::VERSION, version.name.as_str(), &number), None));
        self.changes.push(json!({
            "action": "delete-version", "name": version.name, "number": version.number, "digest": version.digest,
            "reason": reason,
        }));
    }

    /// Keeps a record of the caller's own under a key. Keys sort by their bytes.
    ///
    /// # Errors
    /// A long record cannot be written.
    pub fn put_record(&mut self, collection: &str, key: &[u8], record: &[u8]) -> Result<()> {
        let value = match record.len() <= INLINE {
            true => [&[0], record].concat(),
            false => {
                let digest = Digest::of(record);
                self.put_chunk(digest, record)?;
                [&[1], digest.as_bytes().as_slice()].concat()
            }
        };
        self.rows.push((rows::named(rows::RECORD, collection, key), Some(value)));
        self.changes.push(json!({
            "action": "put-record", "collection": collection, "key": crate::audit::to_hex(key),
            "digest": Digest::of(record),
        }));
        Ok(())
    }

    /// Removes a record.
    pub fn delete_record(&mut self, collection: &str, key: &[u8]) {
        self.rows.push((rows::named(rows::RECORD, collection, key), None));
        self.changes.push(json!({
            "action": "delete-record", "collection": collection, "key": crate::audit::to_hex(key),
        }));
    }

    /// Notes that `to` came of `from`. Both may be artifacts of any repository, or run keys.
    pub fn edge(&mut self, from: &Digest, to: &Digest, role: &str) {
        for (kind, one, other) in [(rows::EDGE_OUT, from, to), (rows::EDGE_IN, to, from)] {
            let key = rows::key(kind, &[one.as_bytes(), other.as_bytes(), role.as_bytes()]);
            self.rows.push((key, Some(Vec::new())));
        }
    }

    /// Keeps artifacts as long as their owner holds them.
    pub fn pin(&mut self, owner: &str, digests: impl IntoIterator<Item = Digest>) {
        for digest in digests {
            self.rows.push((rows::named(rows::PIN, owner, digest.as_bytes()), Some(Vec::new())));
        }
    }

    /// Gives up everything that an owner holds, at the time of the commit.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn unpin(&mut self, owner: &str) -> Result<()> {
        let prefix = rows::named(rows::PIN, owner, &[]);
        let index = self.shared.index();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = index.scan(&prefix, after.as_deref(), 1000, false)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            self.rows.extend(page.into_iter().map(|(key, _)| (key, None)));
        }
        drop(index);
        self.changes.push(json!({ "action": "unpin", "owner": owner }));
        Ok(())
    }

    /// Adds something to the audit log that is no change of this repository: a decision. An object with an `action`.
    pub fn audit(&mut self, event: Value) {
        self.changes.push(event);
    }

    /// Makes everything visible and durable.
    ///
    /// # Errors
    /// It cannot be written; then nothing happened, or the repository has to be opened again.
    pub fn commit(self) -> Result<Vec<Version>> {
        self.commit_later()?.wait()
    }

    /// Makes everything visible to this process; durable once the ticket was waited for, or with any later commit that
    /// is.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn commit_later(self) -> Result<Ticket<'a>> {
        let Self { _open, shared, actor, rows, changes, stored, chunks, versions, .. } = self;
        // What adds no bytes may be what makes room.
        let least_space = if !chunks.is_empty() { RESERVE } else { RESERVE / 8 };
        let (versions, commit) = shared.commit(&actor, rows, least_space, |index, rows, all_changes| {
            all_changes.extend(stored_change(&stored));
            all_changes.extend(changes);
            number_versions(shared, index, versions, &actor, rows, all_changes)
        })?;
        Ok(Ticket { shared, commit, versions })
    }

    /// Whether there is no such artifact yet. One that there is counts as stored now.
    fn is_new(&mut self, digest: &Digest) -> Result<bool> {
        if self.stored.contains(digest) {
            return Ok(false);
        }
        let Some(layout) = self.shared.layout(digest)? else { return Ok(true) };
        if layout.at_ms + REFRESHED_WITHIN_MS < self.actor.at_ms {
            self.add_artifact(*digest, layout);
        }
        Ok(false)
    }

    fn add_artifact(&mut self, digest: Digest, layout: Layout) {
        let layout = Layout { at_ms: self.actor.at_ms, ..layout };
        self.rows.push((rows::key(rows::ARTIFACT, &[digest.as_bytes()]), Some(layout.to_bytes())));
        self.stored.insert(digest);
    }

    /// Stores the chunks of stretches as they come. Returns the list of them.
    fn put_stretches(&mut self, stretches: mpsc::Receiver<Arc<Stretch>>) -> Result<Vec<u8>> {
        let mut list = Vec::new();
        for stretch in stretches {
            for chunk in stretch.chunks() {
                let digest = Digest::of(chunk);
                self.put_chunk(digest, chunk)?;
                list.extend_from_slice(digest.as_bytes());
                list.extend_from_slice(&(chunk.len() as u32).to_le_bytes());
            }
        }
        Ok(list)
    }

    fn put_chunk(&mut self, digest: Digest, bytes: &[u8]) -> Result<()> {
        let key = rows::key(rows::CHUNK, &[digest.as_bytes()]);
        match self.chunks.contains(&digest) || self.shared.index().get(&key)?.is_some() {
            true => Ok(()),
            false => self.append_chunk(digest, bytes),
        }
    }

    fn append_chunk(&mut self, digest: Digest, bytes: &[u8]) -> Result<()> {
        self.unchecked += bytes.len() as u64;
        if self.unchecked >= SPACE_CHECK_BYTES {
            self.shared.check_space(RESERVE)?;
            self.unchecked = 0;
        }
        let record = Record::hashed(digest, bytes);
        self.shared.check_poison()?;
        let appended = lock(&self.shared.writer).packs.append(&record);
        let location = appended.map_err(|error| self.shared.poison(error))?;
        self.rows.push((rows::key(rows::CHUNK, &[digest.as_bytes()]), Some(location.to_bytes().to_vec())));
        self.chunks.insert(digest);
        Ok(())
    }
}

/// Gives new versions their numbers.
fn number_versions(
    shared: &Shared,
    index: &Index,
    versions: Vec<NewVersion>,
    actor: &Actor,
    all: &mut Vec<Row>,
    changes: &mut Vec<Value>,
) -> Result<Vec<Version>> {
    let mut made: Vec<Version> = Vec::new();
    for NewVersion { name, digest, kind, parent, message } in versions {
        let artifact = rows::key(rows::ARTIFACT, &[digest.as_bytes()]);
        if index.get(&artifact)?.is_none() && !all.iter().any(|(key, _)| *key == artifact) {
            return Err(shared.no_artifact(&digest));
        }
        let key = rows::named(rows::LAST_NUMBER, name.as_str(), &[]);
        let stored = index.get(&key)?.as_deref().and_then(rows::number).unwrap_or(0);
        let here = made.iter().filter(|version| version.name == name).map(|version| version.number).max();
        let number = here.unwrap_or(stored) + 1;
        let version =
            Version { name, number, digest, kind, parent, message, author: actor.who.clone(), at_ms: actor.at_ms };
        let row = rows::named(rows::VERSION, version.name.as_str(), &number.to_be_bytes());
        all.push((row, Some(stagewright_core::canonical::to_vec(&version))));
        all.push((key, Some(number.to_be_bytes().to_vec())));
        changes.push(json!({
            "action": "set-version", "name": version.name, "number": number, "digest": digest, "kind": kind,
            "parent": version.parent, "message": version.message,
        }));
        made.push(version);
    }
    Ok(made)
}
