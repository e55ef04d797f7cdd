//! A repository as one file, and back.
//!
//! A backup begins with `SWB1`, the length of its header (u32) and the header, canonical JSON: the format and the list of
//! files with their lengths. The files' bytes follow in that order, and at the end stands the BLAKE3 of everything
//! before it. It holds the signing key: keep it as safe as the repository itself.

use std::{
    io::{Read, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::json;
use stagewright_core::{Digest, canonical};

use super::{Access, FORMAT, Format, Hooks, KEY, Repository, create_private_dir, lock, sync_parents};
use crate::{Result, StoreError, audit::Actor, files::Files};

const MAGIC: &[u8; 4] = b"SWB1";
const BUFFER: usize = 1 << 20;
/// A header that claims more is none.
const LONGEST_HEADER: usize = 64 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    repository: Format,
    files: Vec<(String, u64)>,
}

impl Repository {
    /// Writes everything that is committed as one file. Returns its length.
    ///
    /// # Errors
    /// The repository cannot be read, or the file not written.
    pub fn backup(&self, out: &mut dyn Write) -> Result<u64> {
        let shared = &*self.shared;
        let cannot_write = || StoreError::io("cannot write", "the backup");
        // As an open transaction keeps gc away, so does a backup.
        let _open = shared.gate.enter();
        if shared.access == Access::Write {
            self.sync()?;
        }
        let mut files = Vec::new();
        {
            // No frame is half-written while the journal is held. Packs are listed after it: they hold what it speaks of.
            let _journal = lock(&shared.journal);
            for directory in ["journal", "packs"] {
                let names = shared.files.list(directory)?;
                files.extend(names.into_iter().map(|(name, len)| (format!("{directory}/{name}"), len)));
            }
        }
        files.push((KEY.to_owned(), shared.files.read(KEY)?.len() as u64));
        let header = canonical::to_vec(&Header { repository: shared.format.clone(), files: files.clone() });
        let mut hasher = blake3::Hasher::new();
        let mut written = 0;
        let mut write = |bytes: &[u8]| -> Result<()> {
            hasher.update(bytes);
            written += bytes.len() as u64;
            out.write_all(bytes).map_err(cannot_write())
        };
        write(MAGIC)?;
        write(&(header.len() as u32).to_le_bytes())?;
        write(&header)?;
        let mut buffer = vec![0; BUFFER];
        for (path, len) in &files {
            let handle = shared.files.open_file(path)?;
            let mut offset = 0;
            while offset < *len {
                let piece = (BUFFER as u64).min(len - offset) as usize;
                handle.read_at(offset, &mut buffer[..piece]).map_err(StoreError::io("cannot read", &**path))?;
                write(&buffer[..piece])?;
                offset += piece as u64;
            }
        }
        let digest = *hasher.finalize().as_bytes();
        out.write_all(&digest).and_then(|()| out.flush()).map_err(cannot_write())?;
        Ok(written + digest.len() as u64)
    }

    /// Makes a repository from a backup in a directory that has none. Until the whole file has been read and found
    /// good, there is no repository there.
    ///
    /// # Errors
    /// There is a repository already, the file is no backup or damaged, or the operating system refuses.
    pub fn restore(backup: &mut dyn Read, directory: &Path, actor: &Actor) -> Result<Self> {
        let shown = || directory.display().to_string();
        let is_none = || StoreError::Invalid("this is no backup of a repository, or it is cut short".to_owned());
        let mut hasher = blake3::Hasher::new();
        let mut take = |bytes: &mut [u8]| -> Result<()> {
            backup.read_exact(bytes).map_err(|_| is_none())?;
            hasher.update(bytes);
            Ok(())
        };
        let mut start = [0; 8];
        take(&mut start)?;
        let len = u32::from_le_bytes([start[4], start[5], start[6], start[7]]) as usize;
        if &start[..4] != MAGIC || len > LONGEST_HEADER {
            return Err(is_none());
        }
        let mut header = vec![0; len];
        take(&mut header)?;
        let header: Header = canonical::from_slice(&header).map_err(|_| is_none())?;
        if header.repository.format != super::FORMAT_NAME {
            let (repository, found) = (header.repository.repository, header.repository.format);
            return Err(StoreError::Format { repository, found });
        }
        if let Some((path, _)) = header.files.iter().find(|(path, _)| !belongs(path)) {
            return Err(StoreError::Invalid(format!("the backup holds `{path}`, which belongs to no repository")));
        }

        create_private_dir(directory).map_err(StoreError::io("cannot create", shown()))?;
        let files = Files::open(directory, None).map_err(StoreError::io("cannot open", shown()))?;
        if ["packs", "journal", KEY, FORMAT].into_iter().any(|name| files.exists(name)) {
            return Err(StoreError::Invalid(format!("there is a repository at {} already", shown())));
        }
        files.create_dir("packs")?;
        files.create_dir("journal")?;
        let mut buffer = vec![0; BUFFER];
        for (path, len) in &header.files {
            let handle = files.create(path, path == KEY)?;
            let mut offset = 0;
            while offset < *len {
                let piece = (BUFFER as u64).min(len - offset) as usize;
                take(&mut buffer[..piece])?;
                handle.write_at(offset, &buffer[..piece])?;
                offset += piece as u64;
            }
            handle.sync()?;
        }
        let found = *hasher.finalize().as_bytes();
        let mut expected = [0; Digest::LEN];
        backup.read_exact(&mut expected).map_err(|_| is_none())?;
        if found != expected {
            return Err(StoreError::Invalid("the backup is damaged: its bytes do not have its digest".to_owned()));
        }
        ["packs", "journal"].into_iter().try_for_each(|name| files.sync_dir(name))?;
        files.replace(FORMAT, &canonical::to_vec(&header.repository))?;
        sync_parents(directory).map_err(StoreError::io("cannot sync", shown()))?;
        let repository = Self::open(directory, Access::Write, Hooks::default())?;
        let mut transaction = repository.begin(actor)?;
        transaction.audit(json!({ "action": "restore", "digest": Digest::from_bytes(found) }));
        transaction.commit()?;
        Ok(repository)
    }
}

/// Whether a path is that of a file which a repository has.
fn belongs(path: &str) -> bool {
    let plain = |name: &str, end: &str| {
        name.strip_suffix(end)
            .is_some_and(|stem| !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
    };
    match path.split_once('/') {
        Some(("packs", name)) => plain(name, ".pack"),
        Some(("journal", name)) => plain(name, ".log"),
        _ => path == KEY,
    }
}
