//! A batch as bytes: how it is stored, hashed and handed from process to process.
//!
//! `SWB1`, rows (u32), columns (u32); then for each column a byte that says which optional buffers follow (1 validity,
//! 2 offsets, 4 words) and seven zero bytes, then each buffer in the order values, validity, offsets, words as its
//! length (u64), its bytes, and zeros up to a multiple of eight. Words are one buffer: their number (u32), the length
//! of each (u32), their bytes. Integers are little-endian. Buffers stand on multiples of eight, so that a reader may
//! view them in place.
//!
//! Arrow's IPC framing was not used because its bytes depend on the library that lays out the flatbuffer; a digest must
//! not.

use super::{Batch, Column, TableError};

const MAGIC: &[u8; 4] = b"SWB1";
const VALIDITY: u8 = 1;
const OFFSETS: u8 = 2;
const WORDS: u8 = 4;

impl Batch {
    /// Encodes the batch.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes() + 64 * self.columns.len() + 16);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&(self.columns.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for column in &self.columns {
            let flag = |present: bool, flag: u8| if present { flag } else { 0 };
            let flags = flag(column.validity.is_some(), VALIDITY)
                | flag(column.offsets.is_some(), OFFSETS)
                | flag(column.words.is_some(), WORDS);
            out.extend_from_slice(&[flags, 0, 0, 0, 0, 0, 0, 0]);
            let buffers = [Some(&column.values), column.validity.as_ref(), column.offsets.as_ref()];
            buffers.into_iter().flatten().for_each(|buffer| put(&mut out, buffer));
            if let Some(words) = &column.words {
                put(&mut out, &encode_words(words));
            }
        }
        out
    }

    /// Reads an encoded batch. The result still has to be [checked](Batch::check) against its schema.
    ///
    /// # Errors
    /// The bytes are not what [`encode`](Batch::encode) writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        let mut input = Input(bytes);
        if input.take(4)? != MAGIC {
            return Err(TableError::Encoding("it does not begin with SWB1"));
        }
        let (rows, count) = (input.u32()?, input.u32()?);
        input.zeros(4)?;
        let mut columns = Vec::new();
        for _ in 0..count {
            let flags = input.take(1)?[0];
            input.zeros(7)?;
            if flags & !(VALIDITY | OFFSETS | WORDS) != 0 {
                return Err(TableError::Encoding("an unknown kind of buffer"));
            }
            let values = input.buffer()?;
            let mut optional = |flag: u8| if flags & flag == 0 { Ok(None) } else { input.buffer().map(Some) };
            let (validity, offsets) = (optional(VALIDITY)?, optional(OFFSETS)?);
            let words = optional(WORDS)?.map(decode_words).transpose()?;
            columns.push(Column {
                values: values.to_vec(),
                validity: validity.map(<[u8]>::to_vec),
                offsets: offsets.map(<[u8]>::to_vec),
                words,
            });
        }
        if input.0.is_empty() { Ok(Self { rows, columns }) } else { Err(TableError::Encoding("bytes behind its end")) }
    }
}

fn put(out: &mut Vec<u8>, buffer: &[u8]) {
    out.extend_from_slice(&(buffer.len() as u64).to_le_bytes());
    out.extend_from_slice(buffer);
    out.resize(out.len().next_multiple_of(8), 0);
}

fn encode_words(words: &[String]) -> Vec<u8> {
    let mut out = (words.len() as u32).to_le_bytes().to_vec();
    words.iter().for_each(|word| out.extend_from_slice(&(word.len() as u32).to_le_bytes()));
    words.iter().for_each(|word| out.extend_from_slice(word.as_bytes()));
    out
}

fn decode_words(bytes: &[u8]) -> Result<Vec<String>, TableError> {
    let mut input = Input(bytes);
    let count = input.u32()? as usize;
    let mut lengths = Input(input.take(count.checked_mul(4).ok_or(TableError::Encoding("too many words"))?)?);
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let word = input.take(lengths.u32()? as usize)?;
        words.push(String::from_utf8(word.to_vec()).map_err(|_| TableError::Encoding("a word is not UTF-8"))?);
    }
    if input.0.is_empty() { Ok(words) } else { Err(TableError::Encoding("bytes behind its words")) }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], TableError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(TableError::Encoding("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn zeros(&mut self, len: usize) -> Result<(), TableError> {
        let zero = self.take(len)?.iter().all(|byte| *byte == 0);
        if zero { Ok(()) } else { Err(TableError::Encoding("its padding is not zero")) }
    }

    fn u32(&mut self) -> Result<u32, TableError> {
        self.take(4)?.try_into().map(u32::from_le_bytes).map_err(|_| TableError::Encoding("it ends too early"))
    }

    fn buffer(&mut self) -> Result<&'a [u8], TableError> {
        let len = self.take(8)?.try_into().map(u64::from_le_bytes).unwrap_or(u64::MAX);
        let len = usize::try_from(len).map_err(|_| TableError::Encoding("a buffer is too long"))?;
        let buffer = self.take(len)?;
        self.zeros(len.wrapping_neg() % 8)?;
        Ok(buffer)
    }
}
