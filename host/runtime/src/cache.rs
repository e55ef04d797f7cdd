//! Compiled components, kept so that a plugin is compiled once per machine and not once per run.
//!
//! The cache is only ever a shortcut. What it returns is sealed with its own digest and verified before use; whatever
//! is missing, damaged or made by another engine is compiled again.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Where compiled components are kept.
pub trait CompiledCache: Send + Sync {
    /// The file that holds exactly what was saved under this key, if there is one.
    fn load(&self, key: &str) -> Option<PathBuf>;
    /// Keeps the bytes and returns the file that holds them. A cache that cannot keep them returns none.
    fn save(&self, key: &str, bytes: &[u8]) -> Option<PathBuf>;
}

/// Keeps nothing.
impl CompiledCache for () {
    fn load(&self, _: &str) -> Option<PathBuf> {
        None
    }

    fn save(&self, _: &str, _: &[u8]) -> Option<PathBuf> {
        None
    }
}

/// A directory with one file per compiled component. Only our own user may write to it.
#[derive(Clone, Debug)]
pub struct DirCache {
    directory: PathBuf,
}

impl DirCache {
    /// A cache in this directory, which need not exist yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{key}.cwasm"))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(&self.directory)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("{}-{number}.part", std::process::id()));
        let written = fs::File::create(&temporary).and_then(|mut file| file.write_all(bytes));
        let renamed = written.and_then(|()| fs::rename(&temporary, path));
        if renamed.is_err() {
            // Nothing depends on the remains; the next save does not see them.
            let _ = fs::remove_file(&temporary);
        }
        renamed
    }
}

impl CompiledCache for DirCache {
    fn load(&self, key: &str) -> Option<PathBuf> {
        let path = self.path(key);
        path.is_file().then_some(path)
    }

    fn save(&self, key: &str, bytes: &[u8]) -> Option<PathBuf> {
        let path = self.path(key);
        self.write(&path, bytes).ok().map(|()| path)
    }
}
