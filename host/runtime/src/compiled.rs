//! From a component's bytes to machine code and back.
//!
//! Machine code is sealed: behind it stand a mark and the BLAKE3 digest of all that goes before and of the key under
//! which it is kept, so that one component's code is never taken for another's. Loading machine code
//! means running it, so the seal is verified each time. The seal guards against damage; against people it is the
//! directory's permissions that guard, as for the host's own executable.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use wasmtime::{Engine, component::Component};

const MARK: &[u8; 16] = b"stagewright-cw-2";
const SEAL: usize = MARK.len() + blake3::OUT_LEN;
/// Read in pieces that stay in the processor's cache.
const PIECE: usize = 256 << 10;

/// Compiles a component that passed the world check.
///
/// # Errors
/// The engine's own words.
pub(crate) fn compile(engine: &Engine, component: &[u8], key: &str) -> wasmtime::Result<Vec<u8>> {
    let mut code = engine.precompile_component(component)?;
    code.extend_from_slice(MARK);
    let digest = with_key(blake3::Hasher::new().update(&code), key);
    code.extend_from_slice(digest.as_bytes());
    Ok(code)
}

/// Loads sealed machine code from a file; none if there is anything wrong with it.
pub(crate) fn load_file(engine: &Engine, path: &Path, key: &str) -> Option<Component> {
    verify_file(path, key).ok().filter(|intact| *intact)?;
    deserialize::file(engine, path).ok()
}

/// Loads sealed machine code; none if there is anything wrong with it.
pub(crate) fn load_bytes(engine: &Engine, code: &[u8], key: &str) -> Option<Component> {
    let (sealed, digest) = code.split_at_checked(code.len().checked_sub(blake3::OUT_LEN)?)?;
    let code = sealed.strip_suffix(MARK)?;
    if with_key(blake3::Hasher::new().update(sealed), key).as_bytes() != digest {
        return None;
    }
    deserialize::bytes(engine, code).ok()
}

/// The digest of what was hashed so far and of the key.
fn with_key(hasher: &mut blake3::Hasher, key: &str) -> blake3::Hash {
    hasher.update(key.as_bytes()).finalize()
}

fn verify_file(path: &Path, key: &str) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let Some(mut left) = file.metadata()?.len().checked_sub(SEAL as u64) else { return Ok(false) };
    let mut seal = [0; SEAL];
    file.seek(SeekFrom::End(-(SEAL as i64)))?;
    file.read_exact(&mut seal)?;
    let (mark, digest) = seal.split_at(MARK.len());
    file.rewind()?;
    let (mut hasher, mut piece) = (blake3::Hasher::new(), vec![0; PIECE]);
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        file.read_exact(&mut piece[..length])?;
        hasher.update(&piece[..length]);
        left -= length as u64;
    }
    hasher.update(mark);
    Ok(mark == MARK && with_key(&mut hasher, key).as_bytes() == digest)
}

/// The one place where bytes become code.
#[expect(unsafe_code, reason = "loading precompiled code is unsafe by nature; callers verify its seal first")]
mod deserialize {
    use std::path::Path;

    use wasmtime::{Engine, component::Component};

    pub(super) fn file(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
        // SAFETY: `load_file` has just verified that the file is what `compile` wrote.
        unsafe { Component::deserialize_file(engine, path) }
    }

    pub(super) fn bytes(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: `load_bytes` has just verified that these are bytes that `compile` made.
        unsafe { Component::deserialize(engine, code) }
    }
}
