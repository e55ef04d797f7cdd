//! From an address to a component and its signature. What arrives is what the address says; whether it is trusted is
//! decided elsewhere.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Agent, Credentials, MOST_BYTES, Registry, Result, SharingError, Signature, Source, archive,
    signature::ENDING as SIGNATURE_ENDING,
};

/// No signature is larger: it has four lines.
const SIGNATURE_BYTES: u64 = 16 << 10;

/// What came.
#[derive(Debug)]
pub struct Obtained {
    /// The component.
    pub component: Vec<u8>,
    /// Its signature, where there is one.
    pub signature: Option<Signature>,
    /// The digest of a registry's manifest, `sha256:…`.
    pub manifest: Option<String>,
}

/// Fetches a plugin, by requests that take at most `time` each. A file is read together with its signature beside it.
///
/// # Errors
/// It cannot be had, or is not what its address says.
pub fn obtain(source: &Source, credentials: &Credentials, time: Duration) -> Result<Obtained> {
    let (component, signature, manifest) = match source {
        Source::File(path) if is_packed(path) => {
            let file = File::open(path).map_err(|error| SharingError::io("cannot read", path, error))?;
            let (component, signature) = archive::unpack(&path.display().to_string(), io::BufReader::new(file))?;
            (component, signature, None)
        }
        Source::File(path) => (read(path, MOST_BYTES)?, beside(path)?, None),
        Source::Web(url) => {
            let (component, signature) = Agent::new(time)?.fetch(url)?;
            (component, signature, None)
        }
        Source::Registry(reference) => {
            let pulled = Registry::new(&Agent::new(time)?, reference, credentials)?.pull()?;
            (pulled.component, pulled.signature, Some(pulled.manifest))
        }
    };
    let what = format!("the signature of {source}");
    let signature = signature.map(|text| Signature::parse(&what, &text)).transpose()?;
    Ok(Obtained { component, signature, manifest })
}

/// The text of the signature beside a component's file, where there is one.
///
/// # Errors
/// It cannot be read.
pub fn beside(component: &Path) -> Result<Option<String>> {
    let path = signature_file(component);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = read(&path, SIGNATURE_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| SharingError::NotMinisign {
        what: path.display().to_string(),
        kind: "signature",
        problem: "it is no text".to_owned(),
    })?;
    Ok(Some(text))
}

/// Where the signature of a component's file lies.
pub fn signature_file(component: &Path) -> PathBuf {
    let mut path = OsString::from(component);
    path.push(SIGNATURE_ENDING);
    path.into()
}

fn is_packed(path: &Path) -> bool {
    path.to_string_lossy().ends_with(archive::ENDING)
}

/// A whole file, if it has at most `limit` bytes.
///
/// # Errors
/// It cannot be read, or has more.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| SharingError::io("cannot read", path, error))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| SharingError::io("cannot read", path, error))?;
    match bytes.len() as u64 > limit {
        true => Err(SharingError::TooLarge { what: path.display().to_string(), limit }),
        false => Ok(bytes),
    }
}
