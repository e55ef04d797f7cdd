//! Every file operation of the store, in one place, confined to one directory.
//!
//! All access goes through a capability for the repository's directory, so no path - a symbolic link included - leads
//! out of it. An [`Observer`] sees each change before it happens: tests record them to replay power cuts, or refuse
//! them to imitate a full disk.

use std::{
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, File, FileExt, OpenOptions, OpenOptionsExt},
};

use stagewright_core::Digest;

use crate::{Result, StoreError};

/// A change to a file, about to happen. Paths are relative to the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A file is made; it must not exist.
    Create {
        /// Which.
        path: String,
    },
    /// Bytes are written at a position.
    Write {
        /// Where.
        path: String,
        /// From which byte.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Everything written to the file so far becomes durable.
    Sync {
        /// Which.
        path: String,
    },
    /// Creations, renames and removals in the directory become durable.
    SyncDirectory {
        /// Which.
        path: String,
    },
    /// A file gets another name.
    Rename {
        /// The old name.
        from: String,
        /// The new name.
        to: String,
    },
    /// A file is removed.
    Remove {
        /// Which.
        path: String,
    },
}

/// Sees every change before it happens, and may refuse it.
pub trait Observer: Send + Sync {
    /// A change is about to happen.
    ///
    /// # Errors
    /// The change is to fail with this error.
    fn before(&self, change: &Change) -> io::Result<()>;
}

/// A directory and the right to change what is in it.
#[derive(Clone)]
pub(crate) struct Files {
    dir: Arc<Dir>,
    observer: Option<Arc<dyn Observer>>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

impl Files {
    /// Opens a directory of the machine. The only place where a path of the machine is followed.
    pub(crate) fn open(path: &Path, observer: Option<Arc<dyn Observer>>) -> io::Result<Self> {
        Ok(Self { dir: Arc::new(Dir::open_ambient_dir(path, ambient_authority())?), observer })
    }

    /// Whether a path of the machine still leads to this directory.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        use cap_std::fs::MetadataExt as _;
        use std::os::unix::fs::MetadataExt as _;
        let (here, there) = (self.dir.dir_metadata(), std::fs::metadata(path));
        here.is_ok_and(|here| there.is_ok_and(|there| (here.dev(), here.ino()) == (there.dev(), there.ino())))
    }

    fn observe(&self, change: impl FnOnce() -> Change) -> io::Result<()> {
        self.observer.as_ref().map_or(Ok(()), |observer| observer.before(&change()))
    }

    pub(crate) fn create_dir(&self, path: &str) -> Result<()> {
        match self.dir.create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(StoreError::io("cannot create", path)(error))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.dir.exists(path)
    }

    /// Makes a file. `private` ones only their owner may read.
    pub(crate) fn create(&self, path: &str, private: bool) -> Result<Handle> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(if private { 0o600 } else { 0o644 });
        self.observe(|| Change::Create { path: path.to_owned() })
            .and_then(|()| self.dir.open_with(path, &options))
            .map(|file| Handle { file, path: path.to_owned(), files: self.clone() })
            .map_err(StoreError::io("cannot create", path))
    }

    pub(crate) fn open_file(&self, path: &str) -> Result<Handle> {
        let file = self.dir.open(path).map_err(StoreError::io("cannot open", path))?;
        Ok(Handle { file, path: path.to_owned(), files: self.clone() })
    }

    /// Opens a file that is written over in place.
    pub(crate) fn open_to_write(&self, path: &str) -> Result<Handle> {
        let file = self.dir.open_with(path, OpenOptions::new().read(true).write(true));
        let file = file.map_err(StoreError::io("cannot open", path))?;
        Ok(Handle { file, path: path.to_owned(), files: self.clone() })
    }

    /// Opens a file to lock it, making it if need be.
    pub(crate) fn open_lock(&self, path: &str) -> Result<std::fs::File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true);
        let file = self.dir.open_with(path, &options).map_err(StoreError::io("cannot open", path))?;
        Ok(file.into_std())
    }

    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.dir.open(path).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(StoreError::io("cannot read", path))?;
        Ok(bytes)
    }

    /// The contents of a file that may not exist.
    pub(crate) fn read_if_there(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match self.read(path) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// Replaces a file as a whole: whoever reads it sees the old or the new bytes, whatever happens in between.
    pub(crate) fn replace(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let temporary = format!("{path}.new");
        if self.exists(&temporary) {
            self.remove(&temporary)?;
        }
        let handle = self.create(&temporary, false)?;
        handle.write_at(0, bytes)?;
        handle.sync()?;
        self.rename(&temporary, path)?;
        self.sync_dir(parent(path))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.observe(|| Change::Rename { from: from.to_owned(), to: to.to_owned() })
            .and_then(|()| self.dir.rename(from, &self.dir, to))
            .map_err(StoreError::io("cannot rename", from))
    }

    pub(crate) fn remove(&self, path: &str) -> Result<()> {
        self.observe(|| Change::Remove { path: path.to_owned() })
            .and_then(|()| self.dir.remove_file(path))
            .map_err(StoreError::io("cannot remove", path))
    }

    pub(crate) fn remove_dir_all(&self, path: &str) -> Result<()> {
        self.dir.remove_dir_all(path).map_err(StoreError::io("cannot remove", path))
    }

    pub(crate) fn sync_dir(&self, path: &str) -> Result<()> {
        let opened = if path.is_empty() { "." } else { path };
        self.observe(|| Change::SyncDirectory { path: path.to_owned() })
            .and_then(|()| self.dir.open(opened)?.sync_all())
            .map_err(StoreError::io("cannot sync directory", path))
    }

    /// The names in a directory, sorted, with their lengths.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<(String, u64)>> {
        let read = || -> io::Result<Vec<(String, u64)>> {
            let mut names = Vec::new();
            for entry in self.dir.read_dir(path)? {
                let entry = entry?;
                let metadata = entry.metadata()?;
                if metadata.is_file() {
                    names.push((entry.file_name().to_string_lossy().into_owned(), metadata.len()));
                }
            }
            names.sort();
            Ok(names)
        };
        read().map_err(StoreError::io("cannot list", path))
    }

    /// The names alone, in no order: not a question for each file.
    pub(crate) fn names(&self, path: &str) -> Result<Vec<String>> {
        let entries = self.dir.read_dir(path).map_err(StoreError::io("cannot list", path))?;
        let name = |entry: io::Result<cap_std::fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        entries.map(name).collect::<io::Result<_>>().map_err(StoreError::io("cannot list", path))
    }

    /// Bytes left on the file system, for users without special rights.
    pub(crate) fn free_space(&self) -> u64 {
        rustix::fs::fstatvfs(&*self.dir).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// The directory part of a relative path.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Handle {
    file: File,
    path: String,
    files: Files,
}

impl Handle {
    pub(crate) fn len(&self) -> Result<u64> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(StoreError::io("cannot look at", &*self.path))
    }

    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.files
            .observe(|| Change::Write { path: self.path.clone(), offset, bytes: bytes.to_vec() })
            .and_then(|()| self.file.write_all_at(bytes, offset))
            .map_err(StoreError::io("cannot write", &*self.path))
    }

    /// Asks for bytes that were just written to be on their way to the disk, so that a later sync waits less. Advice
    /// only: dirty pages cannot be dropped, so the system begins to write them.
    pub(crate) fn hurry(&self, offset: u64, len: u64) {
        if let Some(len) = std::num::NonZeroU64::new(len) {
            let _ = rustix::fs::fadvise(&self.file, offset, Some(len), rustix::fs::Advice::DontNeed);
        }
    }

    pub(crate) fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    /// The digest of the whole file.
    pub(crate) fn digest(&self) -> Result<Digest> {
        let (mut hasher, mut buffer, mut offset) = (blake3::Hasher::new(), vec![0; 1 << 20], 0);
        loop {
            match self.file.read_at(&mut buffer, offset) {
                Ok(0) => return Ok(Digest::from_bytes(*hasher.finalize().as_bytes())),
                Ok(read) => {
                    hasher.update(&buffer[..read]);
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(StoreError::io("cannot read", &*self.path)(error)),
            }
        }
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.files
            .observe(|| Change::Sync { path: self.path.clone() })
            .and_then(|()| self.file.sync_data())
            .map_err(StoreError::io("cannot sync", &*self.path))
    }
}

/// A file that is read from its beginning to its end, in pieces.
#[derive(Debug)]
pub(crate) struct Window {
    handle: Handle,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

/// So much is read at a time.
const WINDOW_BYTES: u64 = 1 << 20;

impl Window {
    /// Opens a file; what is added to it later is not seen.
    pub(crate) fn open(files: &Files, path: &str) -> Result<Self> {
        let handle = files.open_file(path)?;
        Ok(Self { len: handle.len()?, handle, start: 0, bytes: Vec::new() })
    }

    /// The length of the file.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// So many bytes at a place; none where the file ends before.
    pub(crate) fn at(&mut self, offset: u64, len: u64) -> io::Result<Option<&[u8]>> {
        let Some(end) = offset.checked_add(len).filter(|end| *end <= self.len) else { return Ok(None) };
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            let len = usize::try_from(len.max(WINDOW_BYTES.min(self.len - offset))).map_err(io::Error::other)?;
            self.start = offset;
            self.bytes.resize(len, 0);
            if let Err(error) = self.handle.read_at(offset, &mut self.bytes) {
                self.bytes.clear();
                return Err(error);
            }
        }
        Ok(self.from(offset).get(..usize::try_from(len).map_err(io::Error::other)?))
    }

    /// What is in memory from a place on.
    pub(crate) fn from(&self, offset: u64) -> &[u8] {
        let at = offset.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.bytes.get(at..)).unwrap_or_default()
    }
}
