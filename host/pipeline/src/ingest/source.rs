//! Where bytes come from: a file that can be read from its start again, unpacked and decoded to UTF-8 on the way.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
};

use encoding_rs::{Decoder, DecoderResult};
use flate2::read::MultiGzDecoder;

use super::{Encoding, Format, IngestError, Options};

const CHUNK: usize = 64 << 10;

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    file: File,
}

impl Source {
    pub(super) fn new(name: &str, file: File) -> Self {
        Self { name: name.to_owned(), file }
    }

    pub(super) fn io(&self, source: std::io::Error) -> IngestError {
        IngestError::Io { file: self.name.clone(), source }
    }

    pub(super) fn problem(&self, problem: impl Into<String>) -> IngestError {
        IngestError::File { file: self.name.clone(), problem: problem.into() }
    }

    /// The file, at its start.
    pub(super) fn file(&self) -> Result<File, IngestError> {
        let mut file = self.file.try_clone().map_err(|e| self.io(e))?;
        file.seek(SeekFrom::Start(0)).map_err(|e| self.io(e))?;
        Ok(file)
    }

    /// The file's format: what the options say, what its first bytes say, what its name says, else CSV.
    pub(super) fn format(&self, options: &Options) -> Result<Format, IngestError> {
        if options.format != Format::Auto {
            return Ok(options.format);
        }
        let mut magic = Vec::new();
        self.file()?.take(8).read_to_end(&mut magic).map_err(|e| self.io(e))?;
        let lower = self.name.to_ascii_lowercase();
        let stem = lower.strip_suffix(".gz").unwrap_or(&lower);
        let named = |endings: &[&str]| endings.iter().any(|ending| stem.ends_with(ending));
        let archive = |what: &str| Err(self.problem(format!("this is {what}; unpack it first")));
        match magic.as_slice() {
            [b'P', b'A', b'R', b'1', ..] => Ok(Format::Parquet),
            [b'P', b'A', b'R', b'E', ..] => {
                Err(self.problem("encrypted Parquet cannot be read; write it without encryption"))
            }
            [b'A', b'R', b'R', b'O', b'W', b'1', ..] | [0xff, 0xff, 0xff, 0xff, ..] => Ok(Format::ArrowIpc),
            [b'F', b'E', b'A', b'1', ..] => {
                Err(self.problem("Feather version 1 cannot be read; write it as version 2"))
            }
            [b'P', b'K', 3, 4, ..] => archive("a zip archive or a spreadsheet"),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => archive("Zstandard data"),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => archive("xz data"),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => archive("bzip2 data"),
            _ if named(&[".parquet", ".pq"]) => Ok(Format::Parquet),
            _ if named(&[".arrow", ".feather", ".ipc", ".arrows"]) => Ok(Format::ArrowIpc),
            _ if named(&[".jsonl", ".ndjson", ".json"]) => Ok(Format::JsonLines),
            _ => Ok(Format::Csv),
        }
    }

    /// The file's text from its start.
    pub(super) fn text(&self, options: &Options) -> Result<TextReader, IngestError> {
        let mut magic = [0; 2];
        let packed = self.file()?.read(&mut magic).map_err(|e| self.io(e))? == 2 && magic == [0x1f, 0x8b];
        let file = BufReader::with_capacity(CHUNK, self.file()?);
        let mut bytes: Box<dyn Read + Send> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut input = vec![0; CHUNK];
        let filled = fill(&mut bytes, &mut input).map_err(|e| self.unpacking(e, packed))?;
        input.truncate(filled);
        let encoding = match &options.encoding {
            Encoding::Auto => {
                encoding_rs::Encoding::for_bom(&input).map_or(encoding_rs::UTF_8, |(encoding, _)| encoding)
            }
            Encoding::Label(label) => encoding_rs::Encoding::for_label(label.as_bytes()).ok_or_else(|| {
                IngestError::Options(format!("no encoding is called `{label}`; try latin1, utf-8 or utf-16le"))
            })?,
        };
        let auto = options.encoding == Encoding::Auto;
        if auto && encoding == encoding_rs::UTF_8 && looks_like_utf16(&input) {
            return Err(
                self.problem("every other byte is zero, as in UTF-16; say so with --encoding utf-16le (or utf-16be)")
            );
        }
        Ok(TextReader {
            name: self.name.clone(),
            decoder: encoding.new_decoder_with_bom_removal(),
            encoding: encoding.name(),
            bytes,
            packed,
            input,
            before: 0,
            lines: 0,
            ended: false,
        })
    }

    fn unpacking(&self, error: std::io::Error, packed: bool) -> IngestError {
        if packed { self.problem(format!("the gzip data is cut short or damaged ({error})")) } else { self.io(error) }
    }
}

fn looks_like_utf16(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(64)];
    let zeros = |start: usize| head.iter().skip(start).step_by(2).filter(|byte| **byte == 0).count();
    head.len() >= 8 && (zeros(0) * 4 >= head.len() || zeros(1) * 4 >= head.len())
}

fn fill(bytes: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match bytes.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Text that arrives in chunks of valid UTF-8.
pub(super) struct TextReader {
    name: String,
    bytes: Box<dyn Read + Send>,
    decoder: Decoder,
    encoding: &'static str,
    packed: bool,
    /// Bytes that were read but not decoded.
    input: Vec<u8>,
    /// Bytes decoded so far.
    before: u64,
    /// Line feeds decoded so far.
    lines: u64,
    ended: bool,
}

impl TextReader {
    /// Text in memory, in UTF-8.
    pub(super) fn of_bytes(name: &str, bytes: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            bytes: Box::new(std::io::Cursor::new(bytes)),
            decoder: encoding_rs::UTF_8.new_decoder_with_bom_removal(),
            encoding: encoding_rs::UTF_8.name(),
            packed: false,
            input: Vec::new(),
            before: 0,
            lines: 0,
            ended: false,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Adds the next text to `out`; false where there is no more.
    pub(super) fn read(&mut self, out: &mut Vec<u8>) -> Result<bool, IngestError> {
        if self.ended {
            return Ok(false);
        }
        if self.input.is_empty() {
            self.input.resize(CHUNK, 0);
            let filled = fill(&mut self.bytes, &mut self.input);
            self.input.truncate(*filled.as_ref().unwrap_or(&0));
            filled.map_err(|error| {
                if self.packed {
                    let problem = format!("the gzip data is cut short or damaged after line {} ({error})", self.lines);
                    IngestError::File { file: self.name.clone(), problem }
                } else {
                    IngestError::Io { file: self.name.clone(), source: error }
                }
            })?;
        }
        self.ended = self.input.is_empty();
        let start = out.len();
        let needed = self.decoder.max_utf8_buffer_length_without_replacement(self.input.len()).unwrap_or(CHUNK * 4);
        out.resize(start + needed, 0);
        let (result, read, written) =
            self.decoder.decode_to_utf8_without_replacement(&self.input, &mut out[start..], self.ended);
        out.truncate(start + written);
        self.lines += out[start..].iter().filter(|byte| **byte == b'\n').count() as u64;
        if let DecoderResult::Malformed(length, after) = result {
            let byte = (self.before + read as u64).saturating_sub(u64::from(length) + u64::from(after));
            let problem = format!(
                "byte {byte} of the {}text is not {}; name the encoding, as in --encoding latin1",
                if self.packed { "unpacked " } else { "" },
                self.encoding
            );
            return Err(IngestError::Line { file: self.name.clone(), line: self.lines + 1, problem });
        }
        self.before += read as u64;
        self.input.drain(..read);
        Ok(true)
    }
}
