//! What goes over the socket: frames of a kind (one byte), a length (u32, little-endian) and as many bytes.
//!
//! A client sends one `request`, and at most a `cancel` later. The daemon answers with `begun` as soon as it starts, then
//! with what the command says, and at the end with `end`. Whatever is longer than agreed, unknown or cut short ends the
//! connection. A client that goes away, even by half, has cancelled.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Read, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

/// The daemon splits what is longer.
pub(crate) const LONGEST_ANSWER: usize = 64 << 10;
/// More than any system passes to a program as arguments.
pub(crate) const LONGEST_REQUEST: usize = 4 << 20;
/// Kind and length.
pub(crate) const HEADER: usize = 5;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To the daemon: a [`Request`].
    Request,
    /// To the daemon: the user pressed Ctrl-C.
    Cancel,
    /// The command has begun; before this, nothing was done.
    Begun,
    /// For standard output.
    Out,
    /// For standard error.
    Error,
    /// A line of progress.
    Line,
    /// A stage, a zero byte, and what the stage is doing.
    Bar,
    /// A stage that is doing nothing any more.
    BarEnds,
    /// From now on the command can be cancelled.
    Cancellable,
    /// The exit code, one byte.
    End,
}

const KINDS: [Kind; 10] = [
    Kind::Request,
    Kind::Cancel,
    Kind::Begun,
    Kind::Out,
    Kind::Error,
    Kind::Line,
    Kind::Bar,
    Kind::BarEnds,
    Kind::Cancellable,
    Kind::End,
];

/// The kind and the length that a header names.
pub(crate) fn parse_header(header: [u8; HEADER], longest: usize) -> io::Result<(Kind, usize)> {
    let kind = KINDS.get(usize::from(header[0])).copied();
    let len = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
    match kind {
        Some(kind) if len <= longest => Ok((kind, len)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "this is no frame of Stagewright's")),
    }
}

/// Reads a frame; none where the other side has ended properly.
pub(crate) fn read(stream: &mut impl Read, longest: usize) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut header = [0; HEADER];
    if stream.read(&mut header[..1])? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut header[1..])?;
    let (kind, len) = parse_header(header, longest)?;
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes)?;
    Ok(Some((kind, bytes)))
}

/// Writes a frame in one piece.
pub(crate) fn write(stream: &mut impl Write, kind: Kind, bytes: &[u8]) -> io::Result<()> {
    let mut frame = Vec::with_capacity(HEADER + bytes.len());
    frame.push(KINDS.iter().position(|known| *known == kind).unwrap_or_default() as u8);
    frame.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    frame.extend_from_slice(bytes);
    stream.write_all(&frame)
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The client's version, which must be the daemon's.
    pub(crate) version: String,
    /// Who asks, where the arguments do not say.
    pub(crate) author: String,
    /// Where paths begin.
    pub(crate) directory: PathBuf,
    /// Whether moving lines can be shown.
    pub(crate) live: bool,
    /// What was typed, the program's name first.
    pub(crate) arguments: Vec<OsString>,
}

impl Request {
    /// Each field with its length in front (u32, little-endian): version, author, directory, live, then the arguments.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let live: &[u8] = if self.live { &[1] } else { &[0] };
        let fields = [self.version.as_bytes(), self.author.as_bytes(), self.directory.as_os_str().as_bytes(), live];
        let all = fields.into_iter().chain(self.arguments.iter().map(|argument| OsStr::as_bytes(argument)));
        let mut bytes = Vec::new();
        for field in all {
            bytes.extend_from_slice(&(field.len() as u32).to_le_bytes());
            bytes.extend_from_slice(field);
        }
        bytes
    }

    /// None where the bytes are no request.
    pub(crate) fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let (len, rest) = bytes.split_first_chunk()?;
            let (field, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            fields.push(field.to_vec());
            bytes = rest;
        }
        let mut fields = fields.into_iter();
        Some(Self {
            version: String::from_utf8(fields.next()?).ok()?,
            author: String::from_utf8(fields.next()?).ok()?,
            directory: OsString::from_vec(fields.next()?).into(),
            live: fields.next()? == [1],
            arguments: fields.map(OsString::from_vec).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written_and_no_cut_of_it_is_one_more() {
        let request = Request {
            version: "0.1.0".to_owned(),
            author: "ada".to_owned(),
            directory: "/home/ada".into(),
            live: true,
            arguments: vec!["stagewright".into(), "data".into(), OsString::from_vec(vec![0xff, b'x']), "".into()],
        };
        let bytes = request.to_bytes();
        assert_eq!(Request::from_bytes(&bytes), Some(request.clone()));
        for end in 0..bytes.len() {
            assert_ne!(Request::from_bytes(&bytes[..end]), Some(request.clone()));
        }
        assert_eq!(Request::from_bytes(&[0xff; 64]), None);
    }

    #[test]
    fn frames_are_read_as_they_were_written_and_garbage_is_refused() {
        let mut bytes = Vec::new();
        write(&mut bytes, Kind::Out, b"rows").unwrap();
        write(&mut bytes, Kind::End, &[3]).unwrap();
        let mut stream = bytes.as_slice();
        assert_eq!(read(&mut stream, 4).unwrap(), Some((Kind::Out, b"rows".to_vec())));
        assert_eq!(read(&mut stream, 4).unwrap(), Some((Kind::End, vec![3])));
        assert_eq!(read(&mut stream, 4).unwrap(), None);
        assert!(read(&mut bytes.as_slice(), 3).is_err(), "longer than agreed");
        assert!(read(&mut &bytes[..7], 4).is_err(), "cut short");
        assert!(read(&mut b"GET / HTTP/1.1\r\n".as_slice(), LONGEST_REQUEST).is_err());
    }
}
