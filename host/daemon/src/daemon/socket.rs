//! Where daemon and clients meet: a unix socket in the project's store, for its owner alone.

use std::{
    fs::{self, File, Permissions, TryLockError},
    io::{self, Write as _},
    os::{
        fd::AsRawFd,
        unix::{
            fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use stagewright::project::{DAEMON_SOCKET, STORE_DIRECTORY};

const CLAIM: &str = "daemon.lock";
/// An address holds a path of at most 108 bytes, the last of them zero.
const LONGEST_PATH: usize = 107;

/// That this process is the project's daemon; given up when it is dropped, also by a process that is killed.
#[derive(Debug)]
pub(crate) struct Claim(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File);

/// Becomes the daemon of a project; none where there is one already.
pub(crate) fn claim(root: &Path) -> io::Result<Option<Claim>> {
    let path = root.join(STORE_DIRECTORY).join(CLAIM);
    let mut file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
        Ok(()) => {}
    }
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Some(Claim(file)))
}

/// A socket that listens; its file is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Address {
    path: PathBuf,
    /// The user whose processes may ask.
    pub(crate) owner: u32,
}

impl Drop for Address {
    fn drop(&mut self) {
        // A file that stays is replaced by the next daemon, and refuses clients until then.
        let _ = fs::remove_file(&self.path);
    }
}

/// Listens. A socket that a killed daemon left is replaced; whoever calls this has the [`claim`].
pub(crate) fn listen(root: &Path) -> io::Result<(UnixListener, Address)> {
    let path = root.join(STORE_DIRECTORY).join(DAEMON_SOCKET);
    // Under its name the socket appears with its permissions.
    let unnamed = path.with_extension("new");
    match fs::remove_file(&unnamed) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = short(&unnamed, |path| UnixListener::bind(path))?;
    fs::set_permissions(&unnamed, Permissions::from_mode(0o600))?;
    fs::rename(&unnamed, &path)?;
    let owner = fs::metadata(&path)?.uid();
    Ok((listener, Address { path, owner }))
}

/// Connects to the daemon of a project, if there is one.
pub(crate) fn connect(root: &Path) -> Option<UnixStream> {
    short(&root.join(STORE_DIRECTORY).join(DAEMON_SOCKET), |path| UnixStream::connect(path)).ok()
}

/// Uses a path that may be too long for an address: by way of its directory, held open.
fn short<T>(path: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= LONGEST_PATH {
        return with(path);
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return with(path) };
    let directory = File::open(directory)?;
    with(&Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name))
}
