//! Packs: append-only files of checksummed chunks.
//!
//! A pack is a sequence of records: `SWP1`, flags (u32: 1 = zstd), raw length (u32), stored length (u32), the BLAKE3
//! digest of the raw bytes, the stored bytes. A process appends only to packs that it made itself: what a torn write
//! left behind an earlier life's last record is never written over.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use stagewright_core::Digest;

use crate::{
    Result, StoreError,
    files::{Files, Handle, Window},
};

const MAGIC: &[u8; 4] = b"SWP1";
const HEADER: usize = 48;
const ZSTD: u32 = 1;
/// A pack that reaches this size is left for a new one.
const PACK_BYTES: u64 = 128 << 20;
/// Appended records are handed to the operating system in pieces of this size.
const BUFFER_BYTES: usize = 1 << 20;
/// While much is written, the system is asked to begin with each piece of this size.
const HURRY_BYTES: u64 = 8 << 20;
/// A chunk is compressed where that saves at least one part in twenty.
const LEAST_SAVING: usize = 20;
/// Where a pack cannot be read, so many bytes are passed over.
const UNREADABLE_BYTES: u64 = 4096;
/// Whether a chunk is worth compressing is tried on a piece of this size from its middle.
const PROBE_BYTES: usize = 4096;

/// Where a chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) pack: u32,
    pub(crate) offset: u64,
    pub(crate) stored: u32,
    pub(crate) raw: u32,
}

impl Location {
    pub(crate) const LEN: usize = 20;

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.pack.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.offset.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.stored.to_be_bytes());
        bytes[16..].copy_from_slice(&self.raw.to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().ok()?;
        Some(Self {
            pack: u32::from_be_bytes(bytes[..4].try_into().ok()?),
            offset: u64::from_be_bytes(bytes[4..12].try_into().ok()?),
            stored: u32::from_be_bytes(bytes[12..16].try_into().ok()?),
            raw: u32::from_be_bytes(bytes[16..].try_into().ok()?),
        })
    }

    /// Bytes in the pack, with the header.
    pub(crate) const fn footprint(self) -> u64 {
        HEADER as u64 + self.stored as u64
    }
}

/// The name of a pack's file.
pub(crate) fn path(pack: u32) -> String {
    format!("packs/{pack:08}.pack")
}

/// A chunk, ready to be appended.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) digest: Digest,
    header: [u8; HEADER],
    /// The chunk itself where compressing does not pay.
    stored: Cow<'a, [u8]>,
    raw: u32,
}

impl<'a> Record<'a> {
    /// Hashes and, where it pays, compresses a chunk.
    pub(crate) fn new(raw: &'a [u8]) -> Self {
        Self::hashed(Digest::of(raw), raw)
    }

    /// The same, where the digest is known.
    pub(crate) fn hashed(digest: Digest, raw: &'a [u8]) -> Self {
        let compressed = worth_compressing(raw).then(|| compress(raw)).flatten();
        let compressed = compressed.filter(|compressed| compressed.len() + raw.len() / LEAST_SAVING <= raw.len());
        let (flags, stored) = match compressed {
            Some(compressed) => (ZSTD, Cow::Owned(compressed)),
            None => (0, Cow::Borrowed(raw)),
        };
        let mut header = [0; HEADER];
        let (start, name) = header.split_at_mut(HEADER - Digest::LEN);
        let (magic, numbers) = start.split_at_mut(MAGIC.len());
        magic.copy_from_slice(MAGIC);
        for (place, number) in numbers.chunks_exact_mut(4).zip([flags, raw.len() as u32, stored.len() as u32]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        name.copy_from_slice(digest.as_bytes());
        Self { digest, header, stored, raw: raw.len() as u32 }
    }
}

/// Compresses with a context that each thread keeps: making one costs more than compressing a small piece.
fn compress(raw: &[u8]) -> Option<Vec<u8>> {
    thread_local! {
        static CONTEXT: RefCell<Option<zstd::bulk::Compressor<'static>>> = RefCell::new(zstd::bulk::Compressor::new(1).ok());
    }
    CONTEXT.with_borrow_mut(|context| context.as_mut()?.compress(raw).ok())
}

fn worth_compressing(raw: &[u8]) -> bool {
    if raw.len() <= PROBE_BYTES {
        return raw.len() > 64;
    }
    let middle = raw.len() / 2 - PROBE_BYTES / 2;
    let probe = &raw[middle..middle + PROBE_BYTES];
    compress(probe).is_some_and(|compressed| compressed.len() + probe.len() / LEAST_SAVING <= probe.len())
}

/// Appends to packs of this life.
#[derive(Debug)]
pub(crate) struct PackWriter {
    files: Files,
    next: u32,
    open: Option<OpenPack>,
    /// Full packs that are not yet synced.
    unsynced: Vec<Arc<Handle>>,
}

#[derive(Debug)]
struct OpenPack {
    number: u32,
    handle: Arc<Handle>,
    written: u64,
    /// Up to where the system was asked to begin writing.
    hurried: u64,
    buffer: Vec<u8>,
    dirty: bool,
}

impl PackWriter {
    /// A writer whose first pack will have this number.
    pub(crate) fn new(files: Files, next: u32) -> Self {
        Self { files, next, open: None, unsynced: Vec::new() }
    }

    /// Appends a chunk. It can be read after [`flush`](Self::flush), and is durable after [`sync`](Self::sync).
    pub(crate) fn append(&mut self, record: &Record<'_>) -> Result<Location> {
        if self.open.as_ref().is_some_and(|pack| pack.written + pack.buffer.len() as u64 >= PACK_BYTES) {
            self.close()?;
        }
        let pack = match &mut self.open {
            Some(pack) => pack,
            None => {
                let handle = Arc::new(self.files.create(&path(self.next), false)?);
                self.files.sync_dir("packs")?;
                let number = self.next;
                self.next += 1;
                self.open.insert(OpenPack { number, handle, written: 0, hurried: 0, buffer: Vec::new(), dirty: false })
            }
        };
        let location = Location {
            pack: pack.number,
            offset: pack.written + pack.buffer.len() as u64,
            stored: record.stored.len() as u32,
            raw: record.raw,
        };
        pack.buffer.extend_from_slice(&record.header);
        pack.buffer.extend_from_slice(&record.stored);
        if pack.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(location)
    }

    /// The number of the next pack that is made.
    pub(crate) const fn next(&self) -> u32 {
        self.next
    }

    /// Leaves the open pack for a new one. Nothing of it is lost: what is unsynced still is.
    pub(crate) fn close(&mut self) -> Result<()> {
        self.flush()?;
        let left = self.open.take().filter(|pack| pack.dirty);
        self.unsynced.extend(left.map(|pack| pack.handle));
        Ok(())
    }

    /// Hands everything appended to the operating system.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let Some(pack) = &mut self.open else { return Ok(()) };
        if pack.buffer.is_empty() {
            return Ok(());
        }
        pack.dirty = true;
        match pack.handle.write_at(pack.written, &pack.buffer) {
            Ok(()) => {
                pack.written += pack.buffer.len() as u64;
                if pack.written - pack.hurried >= HURRY_BYTES {
                    pack.handle.hurry(pack.hurried, pack.written - pack.hurried);
                    pack.hurried = pack.written;
                }
                pack.buffer.clear();
                Ok(())
            }
            Err(error) => {
                // What was written is unknown: nothing is ever appended behind it.
                self.open = None;
                Err(error)
            }
        }
    }

    /// Takes the files whose bytes are not durable yet. Their writer flushes first, then syncs them, in this order.
    pub(crate) fn take_unsynced(&mut self) -> Vec<Arc<Handle>> {
        let mut handles = std::mem::take(&mut self.unsynced);
        if let Some(pack) = self.open.as_mut().filter(|pack| pack.dirty) {
            pack.dirty = false;
            handles.push(pack.handle.clone());
        }
        handles
    }
}

/// Reads chunks, verified.
#[derive(Debug)]
pub(crate) struct PackReader {
    files: Files,
    repository: String,
    handles: Mutex<BTreeMap<u32, Arc<Handle>>>,
}

impl PackReader {
    pub(crate) fn new(files: Files, repository: String) -> Self {
        Self { files, repository, handles: Mutex::default() }
    }

    fn handle(&self, pack: u32) -> Result<Arc<Handle>> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = handles.get(&pack) {
            return Ok(handle.clone());
        }
        // An artifact's chunks lie in few packs; a cap keeps the number of open files small whatever is read.
        if handles.len() >= 64 {
            handles.clear();
        }
        let handle = Arc::new(self.files.open_file(&path(pack))?);
        handles.insert(pack, handle.clone());
        Ok(handle)
    }

    /// Forgets open files: packs were removed.
    pub(crate) fn forget(&self) {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The bytes of a chunk, which are what the digest says.
    pub(crate) fn read(&self, digest: &Digest, location: Location) -> Result<Vec<u8>> {
        let damaged = |what: String| StoreError::DamagedArtifact {
            repository: self.repository.clone(),
            digest: *digest,
            what: format!("{} at byte {}: {what}", path(location.pack), location.offset),
        };
        let handle = match self.handle(location.pack) {
            Err(StoreError::Io { source, .. }) => return Err(damaged(source.to_string())),
            handle => handle?,
        };
        let mut record = vec![0; HEADER + location.stored as usize];
        handle.read_at(location.offset, &mut record).map_err(|error| damaged(error.to_string()))?;
        let header = Header::of(&record);
        let Some(header) = header.filter(|header| header.stored == location.stored && header.raw == location.raw)
        else {
            return Err(damaged("the record's header is not what the index says".to_owned()));
        };
        let raw = if header.is_compressed {
            zstd::bulk::decompress(&record[HEADER..], header.raw as usize)
                .map_err(|error| damaged(error.to_string()))?
        } else {
            record.drain(..HEADER);
            record
        };
        if Digest::of(&raw) == *digest { Ok(raw) } else { Err(damaged("the bytes do not have this digest".to_owned())) }
    }
}

/// What stands before a record's bytes.
#[derive(Clone, Copy, Debug)]
struct Header {
    is_compressed: bool,
    raw: u32,
    stored: u32,
    digest: Digest,
}

impl Header {
    fn of(record: &[u8]) -> Option<Self> {
        let header = record.get(..HEADER)?;
        let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let digest = Digest::from_bytes(header[16..].try_into().ok()?);
        let (flags, raw, stored) = (number(4), number(8), number(12));
        let is_one = &header[..4] == MAGIC && flags <= ZSTD;
        is_one.then_some(Self { is_compressed: flags == ZSTD, raw, stored, digest })
    }
}

/// Every record of a pack whose bytes are what its header says; whatever lies between them is passed over.
pub(crate) fn scan(files: &Files, pack: u32, mut visit: impl FnMut(Location, Record) -> Result<()>) -> Result<()> {
    let mut window = Window::open(files, &path(pack))?;
    let mut offset = 0;
    while offset + HEADER as u64 <= window.len() {
        // What cannot be read holds no records.
        let header = window.at(offset, HEADER as u64).ok().flatten().and_then(Header::of);
        let whole = header.and_then(|header| {
            let record = window.at(offset, HEADER as u64 + u64::from(header.stored)).ok()??;
            let found = match header.is_compressed {
                true => Digest::of(&zstd::bulk::decompress(&record[HEADER..], header.raw as usize).ok()?),
                false => Digest::of(&record[HEADER..]),
            };
            let (start, stored) = record.split_first_chunk()?;
            let record = Record { digest: header.digest, header: *start, stored: stored.into(), raw: header.raw };
            (found == header.digest)
                .then_some((Location { pack, offset, stored: header.stored, raw: header.raw }, record))
        });
        if let Some((location, record)) = whole {
            offset += location.footprint();
            visit(location, record)?;
            continue;
        }
        // Not a record: look for the next one.
        offset += 1 + match window.at(offset + 1, MAGIC.len() as u64).is_ok() {
            true => {
                let rest = window.from(offset + 1);
                rest.windows(4).position(|four| four == MAGIC).unwrap_or(rest.len() - 3) as u64
            }
            false => UNREADABLE_BYTES,
        };
    }
    Ok(())
}

/// The number of a pack, from its file's name.
pub(crate) fn number(name: &str) -> Option<u32> {
    name.strip_suffix(".pack")?.parse().ok()
}

/// The numbers and lengths of the packs there are.
pub(crate) fn list(files: &Files) -> Result<Vec<(u32, u64)>> {
    let names = files.list("packs")?;
    Ok(names.iter().filter_map(|(name, len)| Some((number(name)?, *len))).collect())
}
