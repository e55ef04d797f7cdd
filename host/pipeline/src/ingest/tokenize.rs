//! Lines of delimited values, cut as RFC 4180 says, with the place of every mistake.
//!
//! The csv crates forget whether a value was quoted and take the end of the file for the end of a quote. Here an empty
//! text differs from a missing one, blanks are dropped outside quotes only, and an open quote is an error.

use stagewright_core::table::MAX_BATCH_BYTES;

use super::{IngestError, source::TextReader};

/// The characters that structure a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: Option<u8>,
    pub(super) comment: Option<u8>,
    pub(super) trim: bool,
}

/// The values of one line.
#[derive(Debug, Default)]
pub(super) struct Record {
    text: String,
    ends: Vec<usize>,
    quoted: Vec<bool>,
    /// The line on which it begins, from 1.
    pub(super) line: u64,
}

impl Record {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A value, and whether it stood in quotes.
    pub(super) fn get(&self, index: usize) -> (&str, bool) {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        (&self.text[start..self.ends[index]], self.quoted[index])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, bool)> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// Cuts text into records. Blank lines and comments are skipped.
pub(super) struct Tokenizer {
    text: TextReader,
    dialect: Dialect,
    buffer: Vec<u8>,
    at: usize,
    line: u64,
    /// Whether the last line end was `\r\n`.
    ended_in_two: bool,
    /// Bytes that end a run of plain ones.
    special: [bool; 256],
}

impl Tokenizer {
    pub(super) fn new(text: TextReader, dialect: Dialect, skip_lines: u64) -> Result<Self, IngestError> {
        let mut special = [false; 256];
        for byte in [dialect.delimiter, b'\n', b'\r'] {
            special[byte as usize] = true;
        }
        let mut all = Self { text, dialect, buffer: Vec::new(), at: 0, line: 1, ended_in_two: false, special };
        for _ in 0..skip_lines {
            all.skip_line()?;
        }
        Ok(all)
    }

    /// Reads the next record; false at the end of the file.
    pub(super) fn next(&mut self, record: &mut Record) -> Result<bool, IngestError> {
        loop {
            match self.peek()? {
                None => return Ok(false),
                Some(byte @ (b'\n' | b'\r')) => self.end_line(byte)?,
                byte if self.dialect.comment == byte => self.skip_line()?,
                Some(_) => {
                    self.read_record(record)?;
                    let blank = record.len() == 1 && record.get(0) == ("", false);
                    if !blank {
                        return Ok(true);
                    }
                }
            }
        }
    }

    fn read_record(&mut self, record: &mut Record) -> Result<(), IngestError> {
        record.line = self.line;
        record.ends.clear();
        record.quoted.clear();
        let mut text = std::mem::take(&mut record.text).into_bytes();
        text.clear();
        loop {
            let quoted = self.read_value(&mut text, record.line, record.ends.len() + 1)?;
            record.ends.push(text.len());
            record.quoted.push(quoted);
            match self.peek()? {
                Some(byte) if byte == self.dialect.delimiter => self.at += 1,
                Some(byte) => {
                    self.end_line(byte)?;
                    break;
                }
                None => break,
            }
        }
        record.text = String::from_utf8(text).map_err(|_| self.error(record.line, "the text is not UTF-8"))?;
        Ok(())
    }

    /// Reads a value up to the delimiter or line end behind it.
    fn read_value(&mut self, text: &mut Vec<u8>, line: u64, column: usize) -> Result<bool, IngestError> {
        if self.dialect.trim {
            self.skip_blanks()?;
        }
        let first = self.peek()?;
        if first.is_some() && first == self.dialect.quote {
            self.read_quoted(text)?;
            if self.dialect.trim {
                self.skip_blanks()?;
            }
            return match self.peek()? {
                Some(byte) if !self.special[byte as usize] => Err(self.error(
                    line,
                    &format!(
                        "text follows the closing quote of value {column}; double quotes inside quoted values, or read \
                         quotes as plain text with --quote none"
                    ),
                )),
                _ => Ok(true),
            };
        }
        let start = text.len();
        while self.peek()?.is_some() {
            let rest = &self.buffer[self.at..];
            let run = rest.iter().position(|byte| self.special[*byte as usize]);
            text.extend_from_slice(&rest[..run.unwrap_or(rest.len())]);
            self.at += run.unwrap_or(rest.len());
            self.check_size(text, line)?;
            if run.is_some() {
                break;
            }
        }
        if self.dialect.trim {
            while text.len() > start && matches!(text.last(), Some(b' ' | b'\t')) {
                text.pop();
            }
        }
        Ok(false)
    }

    fn read_quoted(&mut self, text: &mut Vec<u8>) -> Result<(), IngestError> {
        let (opened, quote) = (self.line, self.dialect.quote);
        self.at += 1;
        loop {
            let Some(byte) = self.peek()? else {
                return Err(self.error(
                    opened,
                    "a quote opens here and is never closed; close it, or read quotes as plain text with --quote none",
                ));
            };
            if Some(byte) == quote {
                self.at += 1;
                if self.peek()? != quote {
                    return Ok(());
                }
                text.push(byte);
                self.at += 1;
            } else if matches!(byte, b'\n' | b'\r') {
                self.end_line(byte)?;
                text.push(byte);
                // A line end of two bytes is one line, but both bytes belong to the value.
                if byte == b'\r' && self.ended_in_two {
                    text.push(b'\n');
                }
            } else {
                let rest = &self.buffer[self.at..];
                let run = rest.iter().position(|byte| Some(*byte) == quote || matches!(byte, b'\n' | b'\r'));
                text.extend_from_slice(&rest[..run.unwrap_or(rest.len())]);
                self.at += run.unwrap_or(rest.len());
                self.check_size(text, opened)?;
            }
        }
    }

    fn check_size(&self, text: &[u8], line: u64) -> Result<(), IngestError> {
        if text.len() <= MAX_BATCH_BYTES {
            return Ok(());
        }
        Err(self.error(line, "a row of more than 16 MiB begins here; perhaps a quote is never closed"))
    }

    fn skip_blanks(&mut self) -> Result<(), IngestError> {
        while let Some(byte @ (b' ' | b'\t')) = self.peek()?
            && byte != self.dialect.delimiter
            && Some(byte) != self.dialect.quote
        {
            self.at += 1;
        }
        Ok(())
    }

    fn skip_line(&mut self) -> Result<(), IngestError> {
        while let Some(byte) = self.peek()? {
            if matches!(byte, b'\n' | b'\r') {
                return self.end_line(byte);
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Steps over `\n`, `\r\n` or a lone `\r`, which `byte` begins.
    fn end_line(&mut self, byte: u8) -> Result<(), IngestError> {
        self.at += 1;
        self.line += 1;
        self.ended_in_two = byte == b'\r' && self.peek()? == Some(b'\n');
        self.at += usize::from(self.ended_in_two);
        Ok(())
    }

    /// The next byte, reading on where the buffer is used up.
    fn peek(&mut self) -> Result<Option<u8>, IngestError> {
        while self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
            if !self.text.read(&mut self.buffer)? {
                return Ok(None);
            }
        }
        Ok(Some(self.buffer[self.at]))
    }

    fn error(&self, line: u64, problem: &str) -> IngestError {
        IngestError::Line { file: self.text.name().to_owned(), line, problem: problem.to_owned() }
    }
}
