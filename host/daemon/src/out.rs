//! Standard output: text for people, JSON for programs.

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::{CANNOT, Failure};

/// Prints text as it is.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    write(text.as_bytes())
}

/// Prints a value as indented JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| Failure::new(CANNOT, error.to_string()))?;
    bytes.push(b'\n');
    write(&bytes)
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // `stagewright runs | head` is no mistake.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(CANNOT, format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}
