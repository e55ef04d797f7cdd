//! From a component's bytes to machine code and back.
//!
//! Machine code is sealed: behind it stand a mark and the BLAKE3 digest of all that goes before. Loading machine code
//! means running it, so the seal is verified each time. The seal guards against damage; against people it is the
//! directory's permissions that guard, as for the host's own executable.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use wasmtime::{Engine, component::Component};

const MARK: &[u8; 16] = b"stagewright-cw-1";
const SEAL: usize = MARK.len() + blake3::OUT_LEN;
/// Read in pieces that stay in the processor's cache.
const PIECE: usize = 256 << 10;

/// Compiles a component that passed the world check.
///
/// # Errors
/// The engine's own words.
pub(crate) fn compile(engine: &Engine, component: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let mut code = engine.precompile_component(component)?;
    code.extend_from_slice(MARK);
    let digest = blake3::hash(&code);
    code.extend_from_slice(digest.as_bytes());
    Ok(code)
}

/// Loads sealed machine code from a file; none if there is anything wrong with it.
pub(crate) fn load_file(engine: &Engine, path: &Path) -> Option<Component> {
    verify_file(path).ok().filter(|intact| *intact)?;
    deserialize::file(engine, path).ok()
}

/// Loads sealed machine code; none if there is anything wrong with it.
pub(crate) fn load_bytes(engine: &Engine, code: &[u8]) -> Option<Component> {
    let (sealed, digest) = code.split_at_checked(code.len().checked_sub(blake3::OUT_LEN)?)?;
    let code = sealed.strip_suffix(MARK)?;
    if blake3::hash(sealed).as_bytes() != digest {
        return None;
    }
    deserialize::bytes(engine, code).ok()
}

fn verify_file(path: &Path) -> io::Result<bool> {
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
    Ok(mark == MARK && hasher.finalize().as_bytes() == digest)
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
