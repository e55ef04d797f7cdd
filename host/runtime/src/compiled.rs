//! From a component's bytes to machine code and back.
//!
//! Machine code is sealed: behind it stand a mark and a BLAKE3 digest of all that goes before and of the key under which
//! it is kept, so that one component's code is never taken for another's. Loading machine code means running it, so the
//! seal is verified each time. The seal guards against damage; against people it is the directory's permissions that
//! guard, as for the host's own executable.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    thread,
};

use wasmtime::{Engine, component::Component};

const MARK: &[u8; 16] = b"stagewright-cw-3";
const SEAL: usize = MARK.len() + blake3::OUT_LEN;
/// The seal is a digest of the digests of parts of this size: an interpreter's code has tens of megabytes, and several
/// threads verify it sooner.
const PART: u64 = 2 << 20;
const THREADS: u64 = 4;
/// Read in pieces that stay in the processor's cache.
const PIECE: u64 = 256 << 10;

/// Compiles a component that passed the world check.
///
/// # Errors
/// The engine's own words.
pub(crate) fn compile(engine: &Engine, component: &[u8], key: &str) -> wasmtime::Result<Vec<u8>> {
    let mut code = engine.precompile_component(component)?;
    let digest = seal(&code, key)?;
    code.extend_from_slice(MARK);
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
    if seal(code, key).ok()?.as_bytes() != digest {
        return None;
    }
    deserialize::bytes(engine, code).ok()
}

fn seal(code: &[u8], key: &str) -> io::Result<blake3::Hash> {
    let part = |part: Range<u64>, hasher: &mut blake3::Hasher| {
        hasher.update(&code[part.start as usize..part.end as usize]);
        Ok(())
    };
    digest(code.len() as u64, key, &part)
}

fn verify_file(path: &Path, key: &str) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let Some(length) = file.metadata()?.len().checked_sub(SEAL as u64) else { return Ok(false) };
    let mut seal = [0; SEAL];
    file.seek(SeekFrom::Start(length))?;
    file.read_exact(&mut seal)?;
    let (mark, found) = seal.split_at(MARK.len());
    let part = |mut part: Range<u64>, hasher: &mut blake3::Hasher| -> io::Result<()> {
        let mut piece = vec![0; PIECE.min(part.end - part.start) as usize];
        while !part.is_empty() {
            let size = PIECE.min(part.end - part.start) as usize;
            file.read_exact_at(&mut piece[..size], part.start)?;
            hasher.update(&piece[..size]);
            part.start += size as u64;
        }
        Ok(())
    };
    Ok(mark == MARK && digest(length, key, &part)?.as_bytes() == found)
}

/// The digest of the parts' digests, of the length, of the mark and of the key.
fn digest(
    length: u64,
    key: &str,
    part: &(dyn Fn(Range<u64>, &mut blake3::Hasher) -> io::Result<()> + Sync),
) -> io::Result<blake3::Hash> {
    let parts = length.div_ceil(PART);
    let each = |first: u64, step: u64| -> io::Result<Vec<blake3::Hash>> {
        let hashed = (first..parts).step_by(step as usize).map(|number| {
            let mut hasher = blake3::Hasher::new();
            part(number * PART..((number + 1) * PART).min(length), &mut hasher)?;
            Ok(hasher.finalize())
        });
        hashed.collect()
    };
    let threads = THREADS.min(parts).max(1);
    let each = &each;
    let hashed: Vec<Vec<blake3::Hash>> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|first| scope.spawn(move || each(first, threads))).collect();
        let mut all = vec![each(0, threads)?];
        for other in others {
            all.push(other.join().unwrap_or_else(|_| Err(io::Error::other("hashing panicked")))?);
        }
        io::Result::Ok(all)
    })?;
    let mut hasher = blake3::Hasher::new();
    for number in 0..parts as usize {
        let threads = threads as usize;
        hasher.update(hashed[number % threads][number / threads].as_bytes());
    }
    hasher.update(&length.to_le_bytes()).update(MARK).update(key.as_bytes());
    Ok(hasher.finalize())
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
