//! The journal: every row ever committed, in order. It is the truth; the index is made from it.
//!
//! A file begins with `SWJ1`, the number of frames before it (u64), the chain hash that it continues (32 bytes), and the
//! first 4 bytes of the BLAKE3 of these. A frame is `SWF1`, its length (u32), its number (u64), its payload, and its
//! chain hash: the BLAKE3 of the chain hash before it, its number and its payload. A payload is a sequence of rows: key
//! length (u32), value length (u32, all ones for a removal), key, value. Integers are little-endian.
//!
//! A process writes one frame and one sync at a time, so a crash leaves at most one torn frame, at the end of a file. The
//! next life syncs that file before it adds to it. Behind a torn frame it begins a file of its own, and so it does where
//! the file has grown; the chain goes on from the last whole frame, so that a frame that was acknowledged and is missing
//! breaks it and cannot pass for a torn one.
//! For the newest file, which nothing continues, the file `head` (written behind each sync, though not synced itself) and
//! the search for whole frames behind a broken one do the same.

use std::io;

use stagewright_core::Digest;

use crate::{
    Result, StoreError,
    files::{Files, Handle, Window},
};

const DIRECTORY: &str = "journal";
const FILE_MAGIC: &[u8; 4] = b"SWJ1";
const FRAME_MAGIC: &[u8; 4] = b"SWF1";
const FILE_HEADER: usize = 48;
const FRAME_HEADER: usize = 16;
const REMOVED: u32 = u32::MAX;
/// The longest payload. A frame that claims more is not a frame.
pub(crate) const MAX_FRAME: usize = 1 << 30;
/// A journal file that reaches this size is left for a new one.
const FILE_BYTES: u64 = 64 << 20;
/// A file of an earlier life that reached this size is not added to: whoever opens the repository reads all of it.
const REUSE_BYTES: u64 = 1 << 20;

/// A key and its value; none where it was removed.
pub(crate) type Row = (Vec<u8>, Option<Vec<u8>>);

/// The position behind a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The number of frames up to here.
    pub(crate) frames: u64,
    /// The chain hash.
    pub(crate) chain: Digest,
}

impl Position {
    pub(crate) const START: Self = Self { frames: 0, chain: Digest::from_bytes([0; 32]) };

    pub(crate) fn to_text(self) -> String {
        format!("{} {}\n", self.frames, self.chain)
    }

    pub(crate) fn from_text(text: &[u8]) -> Option<Self> {
        let (frames, chain) = std::str::from_utf8(text).ok()?.strip_suffix('\n')?.split_once(' ')?;
        Some(Self { frames: frames.parse().ok()?, chain: chain.parse().ok()? })
    }

    /// As the file `head` holds it: always of one length, with a check, since it is written over in place.
    pub(crate) fn to_head(self) -> String {
        let text = format!("{:020} {}", self.frames, self.chain);
        format!("{text} {}\n", Digest::of(text.as_bytes()).short())
    }

    pub(crate) fn from_head(text: &[u8]) -> Option<Self> {
        let (frames, rest) = std::str::from_utf8(text).ok()?.split_once(' ')?;
        let (chain, _) = rest.split_once(' ')?;
        let position = Self { frames: frames.parse().ok()?, chain: chain.parse().ok()? };
        (position.to_head().as_bytes() == text).then_some(position)
    }

    fn after(self, payload: &[u8]) -> Self {
        let frames = self.frames + 1;
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.chain.as_bytes()).update(&frames.to_le_bytes()).update(payload);
        Self { frames, chain: Digest::from_bytes(*hasher.finalize().as_bytes()) }
    }
}

/// Writes rows as a frame's payload.
pub(crate) fn encode(rows: &[Row]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (key, value) in rows {
        encode_row(key, value.as_deref(), &mut payload);
    }
    payload
}

/// Appends one row.
pub(crate) fn encode_row(key: &[u8], value: Option<&[u8]>, payload: &mut Vec<u8>) {
    payload.extend_from_slice(&(key.len() as u32).to_le_bytes());
    payload.extend_from_slice(&value.map_or(REMOVED, |value| value.len() as u32).to_le_bytes());
    payload.extend_from_slice(key);
    payload.extend_from_slice(value.unwrap_or_default());
}

/// Reads a frame's payload; none where it is not one.
pub(crate) fn decode(mut payload: &[u8]) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    while !payload.is_empty() {
        let (lengths, rest) = payload.split_at_checked(8)?;
        let key_len = u32::from_le_bytes(lengths[..4].try_into().ok()?) as usize;
        let value_len = u32::from_le_bytes(lengths[4..].try_into().ok()?);
        let (key, rest) = rest.split_at_checked(key_len)?;
        let (value, rest) = match value_len {
            REMOVED => (None, rest),
            len => {
                let (value, rest) = rest.split_at_checked(len as usize)?;
                (Some(value.to_vec()), rest)
            }
        };
        rows.push((key.to_vec(), value));
        payload = rest;
    }
    Some(rows)
}

/// The name of the journal file that begins behind this many frames, in its `generation`th life.
fn path(frames: u64, life: u64) -> String {
    format!("journal/{life:08}-{frames:012}.log")
}

/// Appends frames to the newest file, where it is whole and small, and then to files of this life.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    files: Files,
    life: u64,
    position: Position,
    open: Option<(Handle, u64)>,
    /// A file that an earlier life left whole.
    whole: Option<(String, u64)>,
}

impl JournalWriter {
    /// A writer that goes on from what was found.
    pub(crate) fn new(files: Files, found: Found) -> Self {
        let whole = found.whole.filter(|(_, len)| *len < REUSE_BYTES);
        Self { files, life: found.next_life, position: found.end, open: None, whole }
    }

    pub(crate) const fn position(&self) -> Position {
        self.position
    }

    /// Writes a frame and makes it durable.
    pub(crate) fn append(&mut self, payload: &[u8]) -> Result<()> {
        if self.open.as_ref().is_some_and(|(_, len)| *len >= FILE_BYTES) {
            self.open = None;
        }
        let mut bytes = Vec::with_capacity(FILE_HEADER + FRAME_HEADER + payload.len() + Digest::LEN);
        if self.open.is_none() {
            sync_newest(&self.files)?;
            if let Some((path, len)) = self.whole.take() {
                self.open = Some((self.files.open_to_write(&path)?, len));
            }
        }
        let is_new = self.open.is_none();
        if is_new {
            bytes.extend_from_slice(&file_header(self.position));
            let path = path(self.position.frames, self.life);
            self.open = Some((self.files.create(&path, false)?, 0));
        }
        let position = self.position.after(payload);
        bytes.extend_from_slice(FRAME_MAGIC);
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&position.frames.to_le_bytes());
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(position.chain.as_bytes());
        let Some((handle, len)) = &mut self.open else { return Ok(()) };
        handle.write_at(*len, &bytes)?;
        handle.sync()?;
        if is_new {
            self.files.sync_dir(DIRECTORY)?;
        }
        *len += bytes.len() as u64;
        self.position = position;
        Ok(())
    }
}

/// Makes durable what an earlier life wrote last and may have been killed before it could sync. Whatever builds on the
/// journal as it was found - a further frame, a checkpoint - comes after this.
pub(crate) fn sync_newest(files: &Files) -> Result<()> {
    if let Some((name, _)) = files.list(DIRECTORY)?.last() {
        files.open_file(&format!("{DIRECTORY}/{name}"))?.sync()?;
        files.sync_dir(DIRECTORY)?;
    }
    Ok(())
}

fn file_header(start: Position) -> [u8; FILE_HEADER] {
    let mut header = [0; FILE_HEADER];
    header[..4].copy_from_slice(FILE_MAGIC);
    header[4..12].copy_from_slice(&start.frames.to_le_bytes());
    header[12..44].copy_from_slice(start.chain.as_bytes());
    let check = Digest::of(&header[..44]);
    header[44..].copy_from_slice(&check.as_bytes()[..4]);
    header
}

/// What a look at the journal found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The position behind the last whole frame.
    pub(crate) end: Position,
    /// The number of the next life.
    pub(crate) next_life: u64,
    /// The newest file and its length, where it ends with a whole frame.
    pub(crate) whole: Option<(String, u64)>,
}

/// Reads every frame behind `from` in order. Frames up to `from` are passed over where whole files of them can be.
///
/// # Errors
/// A frame is missing or damaged that is not just a torn end.
pub(crate) fn replay(
    files: &Files,
    repository: &str,
    from: Position,
    mut visit: impl FnMut(Position, Vec<Row>) -> Result<()>,
) -> Result<Found> {
    let damaged = |what: String| StoreError::Damaged { repository: repository.to_owned(), what };
    let mut names = Vec::new();
    for (name, _) in files.list(DIRECTORY)? {
        let parsed = name.strip_suffix(".log").and_then(|stem| stem.split_once('-'));
        let numbers = parsed.and_then(|(life, frames)| Some((life.parse::<u64>().ok()?, frames.parse::<u64>().ok()?)));
        let (life, frames) = numbers.ok_or_else(|| damaged(format!("journal/{name} does not belong there")))?;
        names.push((life, frames, format!("journal/{name}")));
    }
    names.sort();
    let next_life = names.last().map_or(0, |(life, ..)| life + 1);
    // A file that another continues at or before `from` holds nothing that is needed. One that a crash cut short in its
    // header continues nothing.
    let mut first = names.iter().rposition(|(_, frames, _)| *frames <= from.frames).unwrap_or(0);
    while first > 0 && !has_header(files, &names[first].2) {
        first -= 1;
    }
    let mut end = Position::START;
    let mut is_first = true;
    let mut whole = None;
    for (_, frames, path) in names.iter().skip(first) {
        let mut file = Window::open(files, path)?;
        let cannot_read = || StoreError::io("cannot read", path.as_str());
        whole = None;
        let header = file.at(0, FILE_HEADER as u64).map_err(cannot_read())?;
        let Some(start) = header.and_then(file_start) else {
            // A crash may come before a new file's header is durable; then nothing in it was acknowledged.
            match search(&files.read(path)?) {
                None => continue,
                Some(found) => {
                    return Err(damaged(format!("{path}: its header is damaged; a frame follows at {found}")));
                }
            }
        };
        if start.frames != *frames || (start != end && (!is_first || first == 0)) {
            return Err(damaged(format!(
                "{path} continues behind frame {} where the file before it ends behind frame {}: frames are missing",
                start.frames, end.frames
            )));
        }
        if start.frames == from.frames && start.chain != from.chain {
            return Err(damaged(format!("{path} does not continue the frame that the index was made from")));
        }
        is_first = false;
        end = start;
        let mut offset = FILE_HEADER as u64;
        while let Some((after, payload, len)) = frame(&mut file, offset, end).map_err(cannot_read())? {
            end = after;
            if end.frames > from.frames {
                let rows =
                    decode(payload).ok_or_else(|| damaged(format!("{path}: frame {} is no rows", end.frames)))?;
                visit(end, rows)?;
            } else if end.frames == from.frames && end.chain != from.chain {
                return Err(damaged(format!(
                    "{path}: frame {} is not the one that the index was made from",
                    end.frames
                )));
            }
            offset += len;
        }
        let rest = file.len() - offset;
        if let Some(found) = file.at(offset, rest).map_err(cannot_read())?.and_then(search) {
            let found = offset + found as u64;
            return Err(damaged(format!("{path}: bytes {offset} to {found} are damaged; whole frames follow them")));
        }
        whole = (rest == 0).then(|| (path.clone(), offset));
    }
    if end.frames < from.frames {
        return Err(damaged(format!(
            "the journal ends behind frame {}, but frame {} was written",
            end.frames, from.frames
        )));
    }
    Ok(Found { end, next_life, whole })
}

fn file_start(bytes: &[u8]) -> Option<Position> {
    let header = bytes.get(..FILE_HEADER)?;
    let frames = u64::from_le_bytes(header[4..12].try_into().ok()?);
    let start = Position { frames, chain: Digest::from_bytes(header[12..44].try_into().ok()?) };
    (header == file_header(start)).then_some(start)
}

fn has_header(files: &Files, path: &str) -> bool {
    let mut header = [0; FILE_HEADER];
    let read = files.open_file(path).is_ok_and(|handle| handle.read_at(0, &mut header).is_ok());
    read && file_start(&header).is_some()
}

/// The position behind the whole frame at `offset` that continues `before`, its payload, and the frame's length.
fn frame(file: &mut Window, offset: u64, before: Position) -> io::Result<Option<(Position, &[u8], u64)>> {
    let Some(header) = file.at(offset, FRAME_HEADER as u64)? else { return Ok(None) };
    let Some(payload_len) = payload_len(header) else { return Ok(None) };
    let len = (FRAME_HEADER + payload_len + Digest::LEN) as u64;
    let Some((number, payload, chain)) = file.at(offset, len)?.and_then(parts) else { return Ok(None) };
    let after = before.after(payload);
    Ok((number == after.frames && chain == after.chain.as_bytes()).then_some((after, payload, len)))
}

fn payload_len(header: &[u8]) -> Option<usize> {
    let len = u32::from_le_bytes(header.get(4..8)?.try_into().ok()?) as usize;
    (&header[..4] == FRAME_MAGIC && len <= MAX_FRAME).then_some(len)
}

/// The number, payload and chain hash of the frame that some bytes begin with.
fn parts(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (header, rest) = bytes.split_at_checked(FRAME_HEADER)?;
    let number = u64::from_le_bytes(header[8..].try_into().ok()?);
    let (payload, rest) = rest.split_at_checked(payload_len(header)?)?;
    Some((number, payload, rest.get(..Digest::LEN)?))
}

/// Where a whole-looking frame stands in what should be nothing but a torn end: a frame whose rows can be read. A torn
/// frame itself, at the very start, is not looked at.
fn search(bytes: &[u8]) -> Option<usize> {
    let mut from = 1;
    while let Some(found) = bytes.get(from..).and_then(|rest| rest.windows(4).position(|four| four == FRAME_MAGIC)) {
        let at = from + found;
        if let Some((_, payload, _)) = parts(&bytes[at..])
            && decode(payload).is_some_and(|rows| !rows.is_empty())
        {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_read_back_what_was_written(rows in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..40), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200))), 0..20,
        )) {
            prop_assert_eq!(decode(&encode(&rows)), Some(rows));
        }

        #[test]
        fn other_bytes_are_no_rows_or_other_rows_but_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(rows) = decode(&bytes) {
                prop_assert_eq!(encode(&rows), bytes);
            }
        }

        #[test]
        fn positions_read_back_what_they_printed(frames in any::<u64>(), chain in any::<[u8; 32]>()) {
            let position = Position { frames, chain: Digest::from_bytes(chain) };
            prop_assert_eq!(Position::from_text(position.to_text().as_bytes()), Some(position));
            prop_assert_eq!(Position::from_head(position.to_head().as_bytes()), Some(position));
            prop_assert_eq!(file_start(&file_header(position)), Some(position));
        }
    }
}
