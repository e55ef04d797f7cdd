//! Reading: every byte is verified before anyone sees it.

use std::{
    io::{self, Read},
    sync::{PoisonError, RwLockReadGuard, mpsc},
    thread::{self, JoinHandle},
};

use stagewright_core::{Digest, Name, Selector, VersionRef, canonical, name::nearest};

use super::{Repository, Shared, commit::merkle_key};
use crate::{
    Result, StoreError,
    audit::{Entry, SignedHead, merkle},
    index::{Index, digest_at},
    pack::Location,
    rows::{self, Layout, Tombstone, Version},
    table::TableReader,
};

/// Rows are asked for in pages of this many.
const PAGE: usize = 1000;
/// Artifacts of more chunks are read ahead.
const FEW_CHUNKS: usize = 16;
/// So many verified chunks may wait for their reader.
const CHUNKS_AHEAD: usize = 8;

/// Is given each row's key and value.
type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<()>;

impl Shared {
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn damaged(&self, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { repository: self.name.clone(), what: what.into() }
    }

    pub(crate) fn chunk(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let Some(value) = self.index().get(&rows::key(rows::CHUNK, &[digest.as_bytes()]))? else { return Ok(None) };
        let location = Location::from_bytes(&value).ok_or_else(|| self.damaged("a chunk's row"))?;
        self.packs.read(digest, location).map(Some).or_else(|error| {
            // gc may have moved it in the meantime.
            let moved = self.index().get(&rows::key(rows::CHUNK, &[digest.as_bytes()]))?;
            match moved.as_deref().and_then(Location::from_bytes).filter(|moved| *moved != location) {
                Some(moved) => self.packs.read(digest, moved).map(Some),
                None => Err(error),
            }
        })
    }

    /// A chunk that an artifact or a row needs.
    pub(crate) fn needed(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.chunk(digest)?.ok_or_else(|| self.no_artifact(digest))
    }

    pub(crate) fn no_artifact(&self, digest: &Digest) -> StoreError {
        StoreError::NoArtifact { repository: self.name.clone(), digest: *digest }
    }

    pub(crate) fn layout(&self, digest: &Digest) -> Result<Option<Layout>> {
        let value = self.index().get(&rows::key(rows::ARTIFACT, &[digest.as_bytes()]))?;
        value.map(|value| Layout::from_bytes(&value).ok_or_else(|| self.damaged("an artifact's row"))).transpose()
    }

    /// The chunks of an artifact, in order.
    pub(crate) fn chunks(&self, digest: &Digest, layout: Layout) -> Result<Vec<Digest>> {
        let Some(list) = layout.list else { return Ok(vec![*digest]) };
        let bytes = self.needed(&list)?;
        bytes.chunks(36).map(|entry| digest_at(entry, 0).ok_or_else(|| self.damaged("a list of chunks"))).collect()
    }

    /// A value that stands in its row, or in the chunk that the row names.
    pub(crate) fn value(&self, value: &[u8]) -> Result<Vec<u8>> {
        match value.split_first() {
            Some((0, inline)) => Ok(inline.to_vec()),
            Some((1, chunk)) => {
                let digest = digest_at(chunk, 0).ok_or_else(|| self.damaged("a row that names a chunk"))?;
                self.needed(&digest)
            }
            _ => Err(self.damaged("a row's value")),
        }
    }

    fn read_version(&self, row: &[u8]) -> Result<Version> {
        canonical::from_slice(row).map_err(|_| self.damaged("a version's row"))
    }

    /// Every row whose key begins with `prefix`, page by page.
    pub(crate) fn each(&self, prefix: &[u8], visit: Visit<'_>) -> Result<()> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.index().scan(prefix, after.as_deref(), PAGE, false)?;
            page.iter().try_for_each(|(key, value)| visit(key, value))?;
            match page.into_iter().next_back() {
                Some((key, _)) => after = Some(key),
                None => return Ok(()),
            }
        }
    }
}

impl Repository {
    /// Whether there is an artifact of this digest.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn contains(&self, digest: &Digest) -> Result<bool> {
        Ok(self.shared.layout(digest)?.is_some())
    }

    /// The number of bytes of an artifact.
    ///
    /// # Errors
    /// There is none.
    pub fn len(&self, digest: &Digest) -> Result<u64> {
        let layout = self.shared.layout(digest)?;
        layout.map(|layout| layout.len).ok_or_else(|| self.shared.no_artifact(digest))
    }

    /// The bytes of an artifact, verified.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn bytes(&self, digest: &Digest) -> Result<Vec<u8>> {
        let layout = self.shared.layout(digest)?.ok_or_else(|| self.shared.no_artifact(digest))?;
        if layout.list.is_none() {
            return self.shared.needed(digest);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(layout.len).unwrap_or_default().min(1 << 30));
        let mut reader = self.reader(digest)?;
        match reader.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => match error.downcast::<StoreError>() {
                Ok(error) => Err(error),
                Err(error) => Err(StoreError::io("cannot read", digest.to_string())(error)),
            },
        }
    }

    /// Reads the bytes of an artifact piece by piece, each verified.
    ///
    /// # Errors
    /// There is none.
    pub fn reader(&self, digest: &Digest) -> Result<ArtifactReader> {
        let layout = self.shared.layout(digest)?.ok_or_else(|| self.shared.no_artifact(digest))?;
        let chunks = self.shared.chunks(digest, layout)?;
        let hasher = layout.list.map(|_| blake3::Hasher::new());
        let ahead = (chunks.len() > FEW_CHUNKS).then(|| Ahead::start(self.clone(), chunks.clone())).flatten();
        let (repository, chunks) = (self.clone(), chunks.into_iter());
        Ok(ArtifactReader { repository, digest: *digest, hasher, chunks, ahead, current: io::Cursor::default() })
    }

    /// A table.
    ///
    /// # Errors
    /// There is no artifact of this digest, it is no table, or it is damaged.
    pub fn table(&self, digest: &Digest) -> Result<TableReader> {
        TableReader::open(self, digest)
    }

    /// The artifacts that this one needs.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn references(&self, digest: &Digest) -> Result<Vec<Digest>> {
        let row = self.shared.index().get(&rows::key(rows::REFERENCES, &[digest.as_bytes()]))?;
        let Some(row) = row else { return Ok(Vec::new()) };
        let list = self.shared.value(&row)?;
        Ok(list.chunks_exact(Digest::LEN).filter_map(|bytes| digest_at(bytes, 0)).collect())
    }

    /// The version that a reference names.
    ///
    /// # Errors
    /// There is none; the error says what there is.
    pub fn resolve(&self, wanted: &VersionRef) -> Result<Version> {
        let name = wanted.name.as_str();
        let number = match &wanted.selector {
            Selector::Number(number) => Some(*number),
            Selector::Latest => return self.latest(&wanted.name)?.map_or_else(|| Err(self.no_version(wanted)?), Ok),
            Selector::Tag(tag) => {
                let key = rows::named(rows::TAG, name, tag.as_str().as_bytes());
                self.shared.index().get(&key)?.as_deref().and_then(rows::number)
            }
        };
        let version = match number {
            Some(number) => self.version(name, number)?,
            None => None,
        };
        match version {
            Some(version) => Ok(version),
            None => Err(self.no_version(wanted)?),
        }
    }

    /// The newest version of a name; none where it has none.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn latest(&self, name: &Name) -> Result<Option<Version>> {
        let newest = self.shared.index().scan(&rows::named(rows::VERSION, name.as_str(), &[]), None, 1, true)?;
        newest.first().map(|(_, row)| self.shared.read_version(row)).transpose()
    }

    fn version(&self, name: &str, number: u64) -> Result<Option<Version>> {
        let row = self.shared.index().get(&rows::named(rows::VERSION, name, &number.to_be_bytes()))?;
        row.map(|row| self.shared.read_version(&row)).transpose()
    }

    fn no_version(&self, wanted: &VersionRef) -> Result<StoreError> {
        let names = self.names()?;
        let known: Vec<&str> = names.iter().map(Name::as_str).collect();
        let hint = if known.contains(&wanted.name.as_str()) {
            let key = |number: u64| rows::named(rows::TOMBSTONE, wanted.name.as_str(), &number.to_be_bytes());
            let deleted = match wanted.selector {
                Selector::Number(number) => self.shared.index().get(&key(number))?.is_some(),
                _ => false,
            };
            match (deleted, self.latest(&wanted.name)?) {
                (true, _) => Some("it was deleted: the audit log has who and why".to_owned()),
                (false, Some(latest)) => Some(format!("the latest version is {}@{}", latest.name, latest.number)),
                (false, None) => Some("all its versions were deleted".to_owned()),
            }
        } else {
            match nearest(wanted.name.as_str(), known.iter().copied()) {
                Some(near) => Some(format!("did you mean `{near}`?")),
                None if known.is_empty() => Some("it holds no versions yet".to_owned()),
                None => Some(format!("it has: {}", known.join(", "))),
            }
        };
        Ok(StoreError::NoVersion { repository: self.shared.name.clone(), wanted: wanted.to_string(), hint })
    }

    /// Every name that ever had a version, sorted.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn names(&self) -> Result<Vec<Name>> {
        let mut names = Vec::new();
        self.shared.each(&[rows::LAST_NUMBER], &mut |key, _| {
            names.extend(rows::split_name(key).and_then(|(name, _)| name.parse().ok()));
            Ok(())
        })?;
        Ok(names)
    }

    /// The versions of a name, newest first.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn log(&self, name: &Name) -> Result<Vec<Version>> {
        let mut versions = Vec::new();
        self.shared.each(&rows::named(rows::VERSION, name.as_str(), &[]), &mut |_, value| {
            versions.push(self.shared.read_version(value)?);
            Ok(())
        })?;
        versions.reverse();
        Ok(versions)
    }

    /// The tags of a name, and the number of the version that each stands for.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn tags(&self, name: &Name) -> Result<Vec<(Name, u64)>> {
        let mut tags = Vec::new();
        self.shared.each(&rows::named(rows::TAG, name.as_str(), &[]), &mut |key, value| {
            let tag = rows::split_name(key).and_then(|(_, tag)| std::str::from_utf8(tag).ok()?.parse().ok());
            tags.extend(tag.zip(rows::number(value)));
            Ok(())
        })?;
        // A tag outlives its version; it names nothing until it is set again.
        let mut living = Vec::new();
        for (tag, number) in tags {
            if self.version(name.as_str(), number)?.is_some() {
                living.push((tag, number));
            }
        }
        Ok(living)
    }

    /// The versions of a name that were deleted, oldest first.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn deleted(&self, name: &Name) -> Result<Vec<Tombstone>> {
        let mut tombstones = Vec::new();
        self.shared.each(&rows::named(rows::TOMBSTONE, name.as_str(), &[]), &mut |_, value| {
            tombstones.push(canonical::from_slice(value).map_err(|_| self.shared.damaged("a tombstone"))?);
            Ok(())
        })?;
        Ok(tombstones)
    }

    /// A record of the caller's.
    ///
    /// # Errors
    /// The index cannot be read, or the record is damaged.
    pub fn record(&self, collection: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let row = self.shared.index().get(&rows::named(rows::RECORD, collection, key))?;
        row.map(|row| self.shared.value(&row)).transpose()
    }

    /// Up to `limit` records of a collection by key, from its first or, in reverse, its last.
    ///
    /// # Errors
    /// The index cannot be read, or a record is damaged.
    pub fn records(&self, collection: &str, limit: usize, reverse: bool) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let prefix = rows::named(rows::RECORD, collection, &[]);
        let rows = self.shared.index().scan(&prefix, None, limit, reverse)?;
        rows.into_iter().map(|(key, value)| Ok((key[prefix.len()..].to_vec(), self.shared.value(&value)?))).collect()
    }

    /// What came of this, and as what.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn edges_out(&self, digest: &Digest) -> Result<Vec<(Digest, String)>> {
        self.edges(rows::EDGE_OUT, digest)
    }

    /// What this came of, and as what.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn edges_in(&self, digest: &Digest) -> Result<Vec<(Digest, String)>> {
        self.edges(rows::EDGE_IN, digest)
    }

    fn edges(&self, kind: u8, digest: &Digest) -> Result<Vec<(Digest, String)>> {
        let mut edges = Vec::new();
        self.shared.each(&rows::key(kind, &[digest.as_bytes()]), &mut |key, _| {
            let role = key.get(1 + 2 * Digest::LEN..).map(|role| String::from_utf8_lossy(role).into_owned());
            edges.extend(digest_at(key, 1 + Digest::LEN).zip(role));
            Ok(())
        })?;
        Ok(edges)
    }

    /// The artifacts whose digests begin with these hexadecimal digits; at most ten.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn find(&self, digits: &str) -> Result<Vec<Digest>> {
        let digits = digits.to_ascii_lowercase();
        let whole = digits.get(..digits.len() / 2 * 2).and_then(crate::audit::from_hex);
        let Some(prefix) = whole.filter(|_| digits.is_ascii()) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let prefix = rows::key(rows::ARTIFACT, &[&prefix]);
        let mut after: Option<Vec<u8>> = None;
        while found.len() < 10 {
            let page = self.shared.index().scan(&prefix, after.as_deref(), PAGE, false)?;
            let digests = page.iter().filter_map(|(key, _)| digest_at(key, 1));
            found.extend(digests.filter(|digest| digest.to_string().starts_with(&digits)));
            match page.into_iter().next_back() {
                Some((key, _)) => after = Some(key),
                None => break,
            }
        }
        found.truncate(10);
        Ok(found)
    }

    /// The number of entries in the audit log.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn audit_len(&self) -> Result<u64> {
        let last = self.shared.index().scan(&[rows::AUDIT], None, 1, true)?;
        Ok(last.first().and_then(|(key, _)| rows::number(&key[1..])).map_or(0, |sequence| sequence + 1))
    }

    /// An entry of the audit log.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn audit_entry(&self, sequence: u64) -> Result<Entry> {
        let row = self.shared.index().get(&rows::key(rows::AUDIT, &[&sequence.to_be_bytes()]))?;
        let row = row.ok_or_else(|| self.shared.damaged(format!("entry {sequence} of the audit log is missing")))?;
        canonical::from_slice(&self.shared.value(&row)?)
            .map_err(|_| self.shared.damaged(format!("entry {sequence} of the audit log is no entry")))
    }

    /// The newest signed head of the audit log.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn audit_head(&self) -> Result<Option<SignedHead>> {
        let row = self.shared.index().get(&[rows::HEAD])?;
        row.map(|row| canonical::from_slice(&row).map_err(|_| self.shared.damaged("the audit log's head"))).transpose()
    }

    fn complete(&self) -> impl FnMut(u8, u64) -> Result<Digest> + '_ {
        |level, at| {
            let row = self.shared.index().get(&merkle_key(level, at))?;
            row.and_then(|row| digest_at(&row, 0))
                .ok_or_else(|| self.shared.damaged("a node of the audit log's tree is missing"))
        }
    }

    /// The root of the tree over the first `size` entries.
    ///
    /// # Errors
    /// There are not so many.
    pub fn audit_root(&self, size: u64) -> Result<Digest> {
        merkle::root(&mut self.complete(), size)
    }

    /// The proof that an entry is among the first `size`.
    ///
    /// # Errors
    /// There are not so many.
    pub fn inclusion_proof(&self, sequence: u64, size: u64) -> Result<Vec<Digest>> {
        merkle::inclusion(&mut self.complete(), sequence, size)
    }

    /// The proof that the first `size` entries continue the first `first`.
    ///
    /// # Errors
    /// There are not so many.
    pub fn consistency_proof(&self, first: u64, size: u64) -> Result<Vec<Digest>> {
        merkle::consistency(&mut self.complete(), first, size)
    }
}

/// Reads an artifact chunk by chunk.
#[derive(Debug)]
pub struct ArtifactReader {
    repository: Repository,
    digest: Digest,
    /// The whole, where it is more than one chunk: each is verified by itself, and the end says whether it is they.
    hasher: Option<blake3::Hasher>,
    /// Those still to come.
    chunks: std::vec::IntoIter<Digest>,
    ahead: Option<Ahead>,
    current: io::Cursor<Vec<u8>>,
}

impl Read for ArtifactReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.current.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(next) = self.chunks.next() else {
                return match self.hasher.take().map(|hasher| Digest::from_bytes(*hasher.finalize().as_bytes())) {
                    Some(found) if found != self.digest => Err(io::Error::other(StoreError::DamagedArtifact {
                        repository: self.repository.shared.name.clone(),
                        digest: self.digest,
                        what: "its chunks make up other bytes".to_owned(),
                    })),
                    _ => Ok(0),
                };
            };
            // Where nothing comes from ahead any more, the chunk itself says why, or is there after all.
            let ahead = self.ahead.as_ref().and_then(|ahead| ahead.chunks.as_ref()?.recv().ok());
            let chunk = ahead.unwrap_or_else(|| self.repository.shared.needed(&next)).map_err(io::Error::other)?;
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&chunk);
            }
            self.current = io::Cursor::new(chunk);
        }
    }
}

/// A thread that reads and verifies chunks in front of whoever reads the artifact: verifying each and verifying the
/// whole take equally long.
#[derive(Debug)]
struct Ahead {
    chunks: Option<mpsc::Receiver<Result<Vec<u8>>>>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// None where the system gives no thread.
    fn start(repository: Repository, chunks: Vec<Digest>) -> Option<Self> {
        let (sender, receiver) = mpsc::sync_channel(CHUNKS_AHEAD);
        let read = move || {
            for digest in chunks {
                let chunk = repository.shared.needed(&digest);
                let failed = chunk.is_err();
                if sender.send(chunk).is_err() || failed {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("read-ahead".to_owned()).spawn(read).ok()?;
        Some(Self { chunks: Some(receiver), thread: Some(thread) })
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // The thread holds the repository open, which whoever drops the reader may want closed.
        self.chunks = None;
        if let Some(thread) = self.thread.take() {
            // What it has to say of its end, the reader found out by itself.
            let _ = thread.join();
        }
    }
}
