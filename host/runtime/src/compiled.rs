//! From a component's bytes to machine code and back.
//!
//! Machine code is sealed: behind it stand a mark and a checksum of all that goes before and of the key under which it
//! is kept, so that one component's code is never taken for another's. Loading machine code means running it, so the
//! seal is verified each time. The seal guards against damage, which 128 bits of XXH3 find for next to nothing beside
//! reading, where BLAKE3 doubles it; against people it is the directory's permissions that guard, as for the host's own
//! executable: whoever can write there could seal anew with any digest that needs no secret.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    thread,
};

use twox_hash::XxHash3_128;
use wasmtime::{Engine, component::Component};

const MARK: &[u8; 16] = b"stagewright-cw-4";
const CHECKSUM: usize = size_of::<u128>();
const SEAL: usize = MARK.len() + CHECKSUM;
/// The seal is a checksum of the checksums of parts of this size, which stay in the processor's cache.
const PART: u64 = 256 << 10;
/// An interpreter's code has tens of megabytes, and several threads read it sooner; what is smaller than this is read
/// before another has started.
const WORTH_A_THREAD: u64 = 2 << 20;
const THREADS: u64 = 4;

/// Compiles a component that passed the world check.
///
/// # Errors
/// The engine's own words.
pub(crate) fn compile(engine: &Engine, component: &[u8], key: &str) -> wasmtime::Result<Vec<u8>> {
    let mut code = engine.precompile_component(component)?;
    let checksum = seal(&code, key)?;
    code.extend_from_slice(MARK);
    code.extend_from_slice(&checksum);
    Ok(code)
}

/// Loads sealed machine code from a file; none if there is anything wrong with it.
pub(crate) fn load_file(engine: &Engine, path: &Path, key: &str) -> Option<Component> {
    verify_file(path, key).ok().filter(|intact| *intact)?;
    deserialize::file(engine, path).ok()
}

/// Loads sealed machine code; none if there is anything wrong with it.
pub(crate) fn load_bytes(engine: &Engine, code: &[u8], key: &str) -> Option<Component> {
    let (sealed, found) = code.split_at_checked(code.len().checked_sub(CHECKSUM)?)?;
    let code = sealed.strip_suffix(MARK)?;
    if seal(code, key).ok()? != found {
        return None;
    }
    deserialize::bytes(engine, code).ok()
}

fn seal(code: &[u8], key: &str) -> io::Result<[u8; CHECKSUM]> {
    let part = |part: Range<u64>| Ok(XxHash3_128::oneshot(&code[part.start as usize..part.end as usize]));
    checksum(code.len() as u64, key, || part)
}

fn verify_file(path: &Path, key: &str) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let Some(length) = file.metadata()?.len().checked_sub(SEAL as u64) else { return Ok(false) };
    let mut seal = [0; SEAL];
    file.seek(SeekFrom::Start(length))?;
    file.read_exact(&mut seal)?;
    let (mark, found) = seal.split_at(MARK.len());
    let reader = || {
        let mut bytes = vec![0; PART.min(length) as usize];
        let file = &file;
        move |part: Range<u64>| {
            let bytes = &mut bytes[..(part.end - part.start) as usize];
            file.read_exact_at(bytes, part.start)?;
            Ok(XxHash3_128::oneshot(bytes))
        }
    };
    Ok(mark == MARK && checksum(length, key, reader)? == found)
}

/// The checksum of the parts' checksums, of the length, of the mark and of the key. Each thread makes its own `reader`,
/// which gives a part's checksum.
fn checksum<R>(length: u64, key: &str, reader: impl Fn() -> R + Sync) -> io::Result<[u8; CHECKSUM]>
where
    R: FnMut(Range<u64>) -> io::Result<u128>,
{
    let parts = length.div_ceil(PART);
    let threads = THREADS.min(length / WORTH_A_THREAD).max(1);
    let each = |first: u64| -> io::Result<Vec<u128>> {
        let mut part = reader();
        (first..parts)
            .step_by(threads as usize)
            .map(|number| part(number * PART..((number + 1) * PART).min(length)))
            .collect()
    };
    let each = &each;
    let sums: Vec<Vec<u128>> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|first| scope.spawn(move || each(first))).collect();
        let mut all = vec![each(0)?];
        for other in others {
            all.push(other.join().unwrap_or_else(|_| Err(io::Error::other("verifying panicked")))?);
        }
        io::Result::Ok(all)
    })?;
    let mut whole = XxHash3_128::new();
    for number in 0..parts as usize {
        let threads = threads as usize;
        whole.write(&sums[number % threads][number / threads].to_le_bytes());
    }
    whole.write(&length.to_le_bytes());
    whole.write(MARK);
    whole.write(key.as_bytes());
    Ok(whole.finish_128().to_le_bytes())
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
