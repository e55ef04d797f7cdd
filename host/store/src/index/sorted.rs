//! Rows in a file, sorted: asked in place of sled, which only one process at a time can open.
//!
//! The writer leaves such a file, `rows`, whenever it vouches for sled's. Whoever only looks at a repository asks it and
//! holds in memory what the journal says since; where that is much, it makes a file of its own that nobody else sees.
//! Nothing depends on the file: it is as old as it says, verified wherever it is read, and ignored where it is damaged.
//!
//! The file is a sequence of blocks, each the rows of some 16 KiB in order of their keys, written as in a journal frame.
//! Behind them stands the directory: for each block its offset (u64), its length (u32), its BLAKE3, the length of its
//! first key (u32) and that key. At the end stand `SWR1`, the position in the journal (frames, u64; chain hash), the
//! directory's offset and length (u64 each) and BLAKE3, and the BLAKE3 of those fields. Integers are little-endian.

use std::{
    iter::Peekable,
    ops::Bound,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use stagewright_core::Digest;

use super::{Engine, Rows};
use crate::{
    Result, StoreError,
    files::{Files, Handle},
    journal::{self, Position, Row},
};

const MAGIC: &[u8; 4] = b"SWR1";
const FOOTER: usize = 4 + 8 + 32 + 8 + 8 + 32 + 32;
const BLOCK_BYTES: usize = 16 << 10;
const BUFFER_BYTES: usize = 1 << 20;
/// A directory that claims more is none.
const LONGEST_DIRECTORY: u64 = 1 << 30;
/// The name of the file that the writer leaves.
pub(super) const ROWS: &str = "rows";
/// How the names of files of a single process begin and end.
const OWN: (&str, &str) = ("rows-", ".tmp");

/// Whether a file of a repository is one that a killed process forgot.
pub(crate) fn is_leftover(name: &str) -> bool {
    name.starts_with(OWN.0) && name.ends_with(OWN.1)
}

#[derive(Debug)]
struct Block {
    first_key: Vec<u8>,
    offset: u64,
    len: u32,
    digest: Digest,
}

/// A block's rows.
type Opened = Arc<Vec<Row>>;

/// A file of sorted rows.
#[derive(Debug)]
pub(super) struct Sorted {
    handle: Handle,
    repository: String,
    blocks: Vec<Block>,
    position: Position,
    /// The block that was read last: neighbours are asked for one after the other.
    last: Mutex<Option<(usize, Opened)>>,
}

impl Sorted {
    /// Opens the file that the writer left; none where there is no good one.
    pub(super) fn open(files: &Files, repository: &str) -> Option<Self> {
        let handle = files.open_file(ROWS).ok()?;
        let footer_at = handle.len().ok()?.checked_sub(FOOTER as u64)?;
        let mut footer = [0; FOOTER];
        handle.read_at(footer_at, &mut footer).ok()?;
        let (fields, check) = footer.split_at(FOOTER - Digest::LEN);
        let number = |at: usize| Some(u64::from_le_bytes(fields.get(at..at + 8)?.try_into().ok()?));
        let digest = |at: usize| Some(Digest::from_bytes(fields.get(at..at + 32)?.try_into().ok()?));
        if &fields[..4] != MAGIC || Digest::of(fields).as_bytes() != check {
            return None;
        }
        let position = Position { frames: number(4)?, chain: digest(12)? };
        let (offset, len) = (number(44)?, number(52)?);
        if len > LONGEST_DIRECTORY || offset.checked_add(len)? != footer_at {
            return None;
        }
        let mut directory = vec![0; usize::try_from(len).ok()?];
        handle.read_at(offset, &mut directory).ok()?;
        let blocks = (Digest::of(&directory) == digest(60)?).then(|| read_directory(&directory)).flatten()?;
        Some(Self { handle, repository: repository.to_owned(), blocks, position, last: Mutex::default() })
    }

    /// Makes a file for this process alone of older rows and of changes of them.
    pub(super) fn merged<'a>(
        files: &Files,
        repository: &str,
        older: Option<&Self>,
        changes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
        position: Position,
    ) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{}-{number}{}", OWN.0, std::process::id(), OWN.1);
        let mut writer = Writer::create(files, &name)?;
        // Nobody else opens it, and it goes with this process.
        files.remove(&name)?;
        let mut changes = changes.peekable();
        for block in 0..older.map_or(0, |older| older.blocks.len()) {
            let Some(older) = older else { break };
            for (key, value) in older.block(block)?.iter() {
                add_below(&mut writer, &mut changes, key)?;
                match changes.next_if(|(changed, _)| changed == key) {
                    Some((_, Some(value))) => writer.add(key, value)?,
                    Some((_, None)) => {}
                    None => writer.add(key, value.as_deref().unwrap_or_default())?,
                }
            }
        }
        for (key, value) in changes {
            value.iter().try_for_each(|value| writer.add(key, value))?;
        }
        let (handle, blocks) = writer.finish(position)?;
        Ok(Self { handle, repository: repository.to_owned(), blocks, position, last: Mutex::default() })
    }

    /// The position in the journal up to which its rows go.
    pub(super) const fn position(&self) -> Position {
        self.position
    }

    fn block(&self, number: usize) -> Result<Opened> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rows)) = last.as_ref().filter(|(known, _)| *known == number) {
            return Ok(rows.clone());
        }
        let damaged =
            |what: &str| StoreError::Damaged { repository: self.repository.clone(), what: format!("{ROWS}: {what}") };
        let block = self.blocks.get(number).ok_or_else(|| damaged("a block is missing"))?;
        let mut bytes = vec![0; block.len as usize];
        self.handle.read_at(block.offset, &mut bytes).map_err(StoreError::io("cannot read", ROWS))?;
        let rows = (Digest::of(&bytes) == block.digest).then(|| journal::decode(&bytes)).flatten();
        let rows = Arc::new(rows.ok_or_else(|| damaged("a block is damaged"))?);
        *last = Some((number, rows.clone()));
        Ok(rows)
    }

    /// The block that holds a key, if one does.
    fn block_of(&self, key: &[u8]) -> usize {
        self.blocks.partition_point(|block| block.first_key.as_slice() <= key).saturating_sub(1)
    }
}

/// Adds the changes whose keys come before one.
fn add_below<'a>(
    writer: &mut Writer,
    changes: &mut Peekable<impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>>,
    key: &[u8],
) -> Result<()> {
    while let Some((key, value)) = changes.next_if(|(changed, _)| *changed < key) {
        value.iter().try_for_each(|value| writer.add(key, value))?;
    }
    Ok(())
}

fn read_directory(mut bytes: &[u8]) -> Option<Vec<Block>> {
    let mut blocks = Vec::new();
    while !bytes.is_empty() {
        let (fields, rest) = bytes.split_at_checked(48)?;
        let key_len = u32::from_le_bytes(fields[44..].try_into().ok()?) as usize;
        let (first_key, rest) = rest.split_at_checked(key_len)?;
        blocks.push(Block {
            first_key: first_key.to_vec(),
            offset: u64::from_le_bytes(fields[..8].try_into().ok()?),
            len: u32::from_le_bytes(fields[8..12].try_into().ok()?),
            digest: Digest::from_bytes(fields[12..44].try_into().ok()?),
        });
        bytes = rest;
    }
    Some(blocks)
}

impl Engine for Sorted {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if self.blocks.is_empty() {
            return Ok(None);
        }
        let rows = self.block(self.block_of(key))?;
        let found = rows.binary_search_by(|(other, _)| other.as_slice().cmp(key));
        Ok(found.ok().and_then(|at| rows[at].1.clone()))
    }

    fn range(&self, from: &[u8], to: Bound<&[u8]>, limit: usize, reverse: bool) -> Result<Rows> {
        let is_inside = |key: &[u8]| {
            key >= from
                && match to {
                    Bound::Included(to) => key <= to,
                    Bound::Excluded(to) => key < to,
                    Bound::Unbounded => true,
                }
        };
        let end = match to {
            Bound::Included(to) | Bound::Excluded(to) => self.block_of(to) + 1,
            Bound::Unbounded => self.blocks.len(),
        };
        let (first, end) = (self.block_of(from), end.min(self.blocks.len()));
        let mut found: Rows = Vec::new();
        for step in 0..end.saturating_sub(first) {
            let rows = self.block(if reverse { end - 1 - step } else { first + step })?;
            let inside = rows.iter().filter(|(key, _)| is_inside(key));
            let owned = inside.filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
            let missing = limit - found.len();
            match reverse {
                true => found.extend(owned.rev().take(missing)),
                false => found.extend(owned.take(missing)),
            }
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }

    fn apply(&self, _: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>) -> Result<()> {
        Err(StoreError::Invalid("a file of sorted rows is not changed".to_owned()))
    }
}

/// Writes rows that come in order of their keys.
pub(super) struct Writer {
    handle: Handle,
    /// What is not yet written of the file.
    buffer: Vec<u8>,
    written: u64,
    /// The rows of the block that is being filled.
    block: Vec<u8>,
    first_key: Vec<u8>,
    blocks: Vec<Block>,
}

impl Writer {
    pub(super) fn create(files: &Files, name: &str) -> Result<Self> {
        let handle = files.create(name, false)?;
        let (buffer, block, first_key, blocks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Self { handle, buffer, written: 0, block, first_key, blocks })
    }

    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.block.is_empty() {
            key.clone_into(&mut self.first_key);
        }
        journal::encode_row(key, Some(value), &mut self.block);
        if self.block.len() >= BLOCK_BYTES { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> Result<()> {
        if !self.block.is_empty() {
            self.blocks.push(Block {
                first_key: std::mem::take(&mut self.first_key),
                offset: self.written + self.buffer.len() as u64,
                len: self.block.len() as u32,
                digest: Digest::of(&self.block),
            });
            self.buffer.append(&mut self.block);
        }
        if self.buffer.len() >= BUFFER_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        self.handle.write_at(self.written, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self, position: Position) -> Result<(Handle, Vec<Block>)> {
        self.end_block()?;
        let offset = self.written + self.buffer.len() as u64;
        let mut directory = Vec::new();
        for block in &self.blocks {
            directory.extend_from_slice(&block.offset.to_le_bytes());
            directory.extend_from_slice(&block.len.to_le_bytes());
            directory.extend_from_slice(block.digest.as_bytes());
            directory.extend_from_slice(&(block.first_key.len() as u32).to_le_bytes());
            directory.extend_from_slice(&block.first_key);
        }
        let mut footer = MAGIC.to_vec();
        footer.extend_from_slice(&position.frames.to_le_bytes());
        footer.extend_from_slice(position.chain.as_bytes());
        footer.extend_from_slice(&offset.to_le_bytes());
        footer.extend_from_slice(&(directory.len() as u64).to_le_bytes());
        footer.extend_from_slice(Digest::of(&directory).as_bytes());
        let check = Digest::of(&footer);
        footer.extend_from_slice(check.as_bytes());
        self.buffer.append(&mut directory);
        self.buffer.append(&mut footer);
        self.write()?;
        Ok((self.handle, self.blocks))
    }

    /// Ends the file and gives it the name under which others look for it. Neither is synced: half a file is no file.
    pub(super) fn publish(self, files: &Files, name: &str, position: Position) -> Result<()> {
        self.finish(position)?;
        files.rename(name, ROWS)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Map = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

    fn borrowed(map: &Map) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        map.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    fn rows() -> impl Strategy<Value = Map> {
        let key = proptest::collection::vec(0_u8..4, 0..6);
        let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..3000));
        proptest::collection::btree_map(key, value, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn sorted_files_answer_as_a_map_does(
            older in rows(), changes in rows(), from in proptest::collection::vec(0_u8..4, 0..4),
            to in proptest::option::of(proptest::collection::vec(0_u8..4, 0..4)), limit in 1_usize..30, reverse in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let files = Files::open(folder.path(), None).unwrap();
            let first = Sorted::merged(&files, "data", None, borrowed(&older), Position::START).unwrap();
            let second = Sorted::merged(&files, "data", Some(&first), borrowed(&changes), Position::START).unwrap();
            let mut truth = older;
            truth.extend(changes);
            truth.retain(|_, value| value.is_some());
            for key in truth.keys().chain([&from]) {
                prop_assert_eq!(second.get(key).unwrap(), truth.get(key).cloned().flatten());
            }
            let end = to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let inside = truth.iter().filter(|(key, _)| **key >= from && to.as_ref().is_none_or(|to| *key < to));
            let all: Rows = inside.map(|(key, value)| (key.clone(), value.clone().unwrap())).collect();
            let expected: Rows = match reverse {
                true => all.into_iter().rev().take(limit).collect(),
                false => all.into_iter().take(limit).collect(),
            };
            prop_assert_eq!(second.range(&from, end, limit, reverse).unwrap(), expected);
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_file_of_rows_reads_back_what_was_written(written in rows(), frames in any::<u64>(), chain in any::<[u8; 32]>()) {
            let folder = tempfile::tempdir().unwrap();
            let files = Files::open(folder.path(), None).unwrap();
            let mut writer = Writer::create(&files, "rows.new").unwrap();
            let expected: Rows = written.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
            expected.iter().for_each(|(key, value)| writer.add(key, value).unwrap());
            let position = Position { frames, chain: Digest::from_bytes(chain) };
            writer.publish(&files, "rows.new", position).unwrap();
            let sorted = Sorted::open(&files, "data").unwrap();
            prop_assert_eq!(sorted.position(), position);
            prop_assert_eq!(sorted.range(&[], Bound::Unbounded, usize::MAX, false).unwrap(), expected);
        }
    }

    #[test]
    fn a_file_that_was_written_once_is_read_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/rows-1.swr");
        std::fs::copy(golden, folder.path().join(ROWS)).unwrap();
        let sorted = Sorted::open(&Files::open(folder.path(), None).unwrap(), "data").unwrap();
        let rows = sorted.range(&[], Bound::Unbounded, usize::MAX, false).unwrap();
        assert_eq!((sorted.position().frames, rows.len()), (3, 181));
    }

    #[test]
    fn a_file_that_was_left_reads_back_and_any_flipped_bit_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path(), None).unwrap();
        let mut writer = Writer::create(&files, "rows.new").unwrap();
        for number in 0..2000_u32 {
            writer.add(&number.to_be_bytes(), &[7; 20]).unwrap();
        }
        let position = Position { frames: 9, chain: Digest::of(b"chain") };
        writer.publish(&files, "rows.new", position).unwrap();
        let sorted = Sorted::open(&files, "data").unwrap();
        assert_eq!(sorted.position(), position);
        assert!(sorted.blocks.len() > 3);
        assert_eq!(sorted.get(&1234_u32.to_be_bytes()).unwrap(), Some(vec![7; 20]));
        assert_eq!(sorted.get(&2000_u32.to_be_bytes()).unwrap(), None);

        let path = folder.path().join(ROWS);
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(97).chain(whole.len() - FOOTER..whole.len()) {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            std::fs::write(&path, &flipped).unwrap();
            let read = Sorted::open(&files, "data").map(|sorted| sorted.range(&[], Bound::Unbounded, 9999, false));
            assert!(!matches!(read, Some(Ok(_))), "byte {at}");
        }
        for len in [0, 1, FOOTER - 1, FOOTER, whole.len() - 1] {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(Sorted::open(&files, "data").is_none(), "{len} bytes");
        }
    }
}
