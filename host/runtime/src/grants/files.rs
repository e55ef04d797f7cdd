//! The capability `files`: granted folders, through handles that know no way out of them.
//!
//! A path is resolved by cap-std beneath its folder's handle, part by part: `..` and symbolic links may lead about in the
//! folder, never out of it.

use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions, OpenOptionsExt},
};
use serde::{Deserialize, Serialize};
use stagewright_core::grant::Access;

use super::{Answer, CALL_BYTES, Live, Refusal, Reply, Request, Told};
use crate::{bindings::files, state::State};

/// The most entries of one list.
const ENTRIES: usize = 100_000;

/// Something in a granted folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name, without the path.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// A file's length in bytes.
    pub size: u64,
}

/// What stands in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// Bytes.
    File,
    /// Further entries.
    Folder,
}

/// Opens a folder that an operator named. This is the one place where a path is more than a path within a handle.
///
/// # Errors
/// There is none.
pub fn folder(root: &Path, path: &str) -> io::Result<Dir> {
    Dir::open_ambient_dir(root.join(path), ambient_authority())
}

impl Live {
    pub(super) fn list(&self, name: &str, path: &str) -> Result<Answer, Refusal> {
        let (folder, what) = (self.folder(name, Access::Read)?, place(name, path));
        let path = if path.is_empty() { "." } else { path };
        let said = |error| explained(&what, &error);
        let mut entries = Vec::new();
        for entry in folder.read_dir(path).map_err(said)? {
            let entry = entry.map_err(said)?;
            // What is gone meanwhile, and what no guest could name, is not there.
            let (Ok(metadata), Ok(name)) = (entry.metadata(), entry.file_name().into_string()) else { continue };
            let (kind, size) = match metadata.file_type() {
                kind if kind.is_file() => (EntryKind::File, metadata.len()),
                kind if kind.is_dir() => (EntryKind::Folder, 0),
                _ => continue,
            };
            if entries.len() == ENTRIES {
                return Err(Refusal::TooLarge(format!("{what} has more than {ENTRIES} entries")));
            }
            entries.push(Entry { name, kind, size });
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Reply::Entries(entries).into())
    }

    pub(super) fn read(&self, name: &str, path: &str, offset: u64, length: u32) -> Result<Answer, Refusal> {
        let (folder, what) = (self.folder(name, Access::Read)?, place(name, path));
        if u64::from(length) > CALL_BYTES {
            return Err(Refusal::TooLarge(format!("one call reads at most {CALL_BYTES} bytes")));
        }
        let said = |error| explained(&what, &error);
        let mut options = OpenOptions::new();
        // A pipe would keep the host waiting for whoever writes into it.
        options.read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
        let mut file = folder.open_with(path, &options).map_err(said)?;
        let metadata = file.metadata().map_err(said)?;
        if !metadata.is_file() {
            return Err(Refusal::Failed(format!("{what} is no file")));
        }
        let mut body = Vec::new();
        // Behind its end is nothing; the system would not even go there.
        if offset < metadata.len() {
            file.seek(SeekFrom::Start(offset)).map_err(said)?;
            file.take(length.into()).read_to_end(&mut body).map_err(said)?;
        }
        Ok(Answer { result: Ok(Reply::Read), body })
    }

    pub(super) fn write(&self, name: &str, path: &str, contents: &[u8]) -> Result<Answer, Refusal> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (folder, what) = (self.folder(name, Access::ReadWrite)?, place(name, path));
        let said = |error| explained(&what, &error);
        let Some(file_name) = Path::new(path).file_name() else {
            return Err(Refusal::Failed(format!("{what} names no file")));
        };
        let parent = Path::new(path).parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = match parent {
            Some(parent) => match folder.open_dir(parent) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    folder.create_dir_all(parent).map_err(said)?;
                    folder.open_dir(parent).map_err(said)?
                }
                opened => opened.map_err(said)?,
            },
            None => folder,
        };
        // Beside its place, then into it: a reader sees the old file or the new one.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let part = format!(".stagewright-{}-{number}.part", std::process::id());
        let written = parent
            .open_with(&part, OpenOptions::new().write(true).create_new(true))
            .and_then(|mut file| file.write_all(contents))
            .and_then(|()| parent.rename(&part, &parent, file_name));
        if written.is_err() {
            // Nothing depends on the remains.
            let _ = parent.remove_file(&part);
        }
        written.map_err(said)?;
        Ok(Reply::Written.into())
    }

    fn folder(&self, name: &str, access: Access) -> Result<Dir, Refusal> {
        let granted = self.grants.files.get(name);
        let granted = granted.ok_or_else(|| Refusal::NotGranted(format!("folder `{name}` is not granted")))?;
        if granted.access < access {
            return Err(Refusal::NotGranted(format!("folder `{name}` is granted for `{}` only", granted.access)));
        }
        folder(&self.root, &granted.path).map_err(|error| explained(&format!("folder `{name}`"), &error))
    }
}

fn place(folder: &str, path: &str) -> String {
    format!("`{path}` in folder `{folder}`")
}

/// What the system says, without where on this machine the folder is.
fn explained(what: &str, error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::NotFound => Refusal::NotFound(format!("there is no {what}")),
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
            Refusal::NotGranted(format!("{what} leads out of its folder"))
        }
        kind => Refusal::Failed(format!("{what}: {kind}")),
    }
}

impl files::Host for State {
    fn list(&mut self, folder: String, path: String) -> Told<Vec<files::Entry>> {
        self.ask(&Request::List { folder, path }, &[], |reply, _| match reply {
            Reply::Entries(entries) => Some(entries.into_iter().map(files::Entry::from).collect()),
            _ => None,
        })
    }

    fn read(&mut self, folder: String, path: String, offset: u64, length: u32) -> Told<Vec<u8>> {
        self.ask(&Request::Read { folder, path, offset, length }, &[], |reply, body| {
            (reply == Reply::Read).then_some(body)
        })
    }

    fn write(&mut self, folder: String, path: String, contents: Vec<u8>) -> Told<()> {
        self.ask(&Request::Write { folder, path }, &contents, |reply, _| (reply == Reply::Written).then_some(()))
    }
}

impl From<Entry> for files::Entry {
    fn from(entry: Entry) -> Self {
        let type_ = match entry.kind {
            EntryKind::File => files::Kind::File,
            EntryKind::Folder => files::Kind::Folder,
        };
        Self { name: entry.name, type_, size: entry.size }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, os::unix};

    use stagewright_core::{Grants, grant::Folder};
    use tempfile::TempDir;

    use super::*;
    use crate::grants::tests::ask_in;

    /// A granted folder `data` beside a secret, with links that lead about and out.
    fn scene() -> TempDir {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("data/deep/er")).unwrap();
        fs::write(at("data/rates.csv"), "eur,1\nusd,2\n").unwrap();
        fs::write(at("data/deep/er/one"), "1").unwrap();
        fs::write(at("secret"), "nobody may read this").unwrap();
        unix::fs::symlink("../secret", at("data/leads-out")).unwrap();
        unix::fs::symlink(at("secret"), at("data/leads-out-by-name")).unwrap();
        unix::fs::symlink("..", at("data/up")).unwrap();
        unix::fs::symlink("deep/er/one", at("data/leads-about")).unwrap();
        root
    }

    fn grants(access: Access) -> Grants {
        let folder = Folder { path: "data".to_owned(), access };
        Grants { files: BTreeMap::from([("reference".to_owned(), folder)]), ..Grants::default() }
    }

    fn read(path: &str) -> Request {
        Request::Read { folder: "reference".to_owned(), path: path.to_owned(), offset: 0, length: 100 }
    }

    fn write(path: &str) -> Request {
        Request::Write { folder: "reference".to_owned(), path: path.to_owned() }
    }

    #[test]
    fn a_granted_folder_is_listed_and_read_in_parts() {
        let root = scene();
        let ask = |request: Request| ask_in(root.path(), &grants(Access::Read), &request, &[]);
        let list = |path: &str| Request::List { folder: "reference".to_owned(), path: path.to_owned() };
        let entry = |name: &str, kind, size| Entry { name: name.to_owned(), kind, size };
        let entries = vec![entry("deep", EntryKind::Folder, 0), entry("rates.csv", EntryKind::File, 12)];
        assert_eq!(ask(list("")), Ok((Reply::Entries(entries), Vec::new())));
        let entries = vec![entry("one", EntryKind::File, 1)];
        assert_eq!(ask(list("deep/er")), Ok((Reply::Entries(entries), Vec::new())));
        let part = |offset, length| {
            let (folder, path) = ("reference".to_owned(), "rates.csv".to_owned());
            ask(Request::Read { folder, path, offset, length }).map(|(_, body)| String::from_utf8(body).unwrap())
        };
        assert_eq!(part(0, 16 << 20), Ok("eur,1\nusd,2\n".to_owned()));
        assert_eq!(
            [part(4, 1), part(11, 9), part(12, 9), part(u64::MAX >> 1, 9)].map(Result::unwrap),
            ["1", "\n", "", ""]
        );
        let refusal = Refusal::TooLarge("one call reads at most 16777216 bytes".to_owned());
        assert_eq!(part(0, (16 << 20) + 1), Err(refusal));
        assert_eq!(ask(read("leads-about")).unwrap().1, b"1");
        assert_eq!(ask(read("deep/../rates.csv")).unwrap().1.len(), 12);
    }

    #[test]
    fn no_path_leads_out_of_a_folder() {
        let root = scene();
        let secret = root.path().join("secret");
        let paths = ["../secret", "deep/../../secret", "leads-out", "leads-out-by-name", "up/secret", "/etc/passwd"];
        for path in paths.iter().copied().chain([secret.to_str().unwrap()]) {
            let refusal = Refusal::NotGranted(format!("`{path}` in folder `reference` leads out of its folder"));
            assert_eq!(ask_in(root.path(), &grants(Access::ReadWrite), &read(path), &[]), Err(refusal.clone()));
            // A file takes the place of a link; it is never written through one.
            if !path.starts_with("leads-out") {
                assert_eq!(ask_in(root.path(), &grants(Access::ReadWrite), &write(path), b"mine now"), Err(refusal));
            }
        }
        let out = Request::List { folder: "reference".to_owned(), path: "up".to_owned() };
        assert!(matches!(ask_in(root.path(), &grants(Access::Read), &out, &[]), Err(Refusal::NotGranted(_))));
        ask_in(root.path(), &grants(Access::ReadWrite), &write("leads-out"), b"mine now").unwrap();
        assert_eq!(fs::read_to_string(secret).unwrap(), "nobody may read this");
    }

    #[test]
    fn what_is_not_granted_is_refused_by_name() {
        let root = scene();
        let other = Request::Read { folder: "other".to_owned(), path: "x".to_owned(), offset: 0, length: 1 };
        let refusal = |message: &str| Err(Refusal::NotGranted(message.to_owned()));
        assert_eq!(ask_in(root.path(), &grants(Access::Read), &other, &[]), refusal("folder `other` is not granted"));
        let message = "folder `reference` is granted for `read` only";
        assert_eq!(ask_in(root.path(), &grants(Access::Read), &write("rates.csv"), b"x"), refusal(message));
        assert_eq!(fs::read_to_string(root.path().join("data/rates.csv")).unwrap(), "eur,1\nusd,2\n");
    }

    #[test]
    fn a_file_is_written_whole_with_its_folders() {
        let root = scene();
        let ask = |request: Request, body: &[u8]| ask_in(root.path(), &grants(Access::ReadWrite), &request, body);
        for contents in ["first", "", "second"] {
            assert_eq!(ask(write("new/folder/out.txt"), contents.as_bytes()), Ok((Reply::Written, Vec::new())));
            assert_eq!(fs::read_to_string(root.path().join("data/new/folder/out.txt")).unwrap(), contents);
        }
        assert_eq!(fs::read_dir(root.path().join("data/new/folder")).unwrap().count(), 1, "nothing else is left");
        assert_eq!(ask(write(".."), b"x"), Err(Refusal::Failed("`..` in folder `reference` names no file".to_owned())));
        assert!(matches!(ask(write("deep"), b"x"), Err(Refusal::Failed(_))));
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let root = scene();
        let pipe = root.path().join("data/pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        for path in ["deep", "pipe", "", "missing", "rates.csv/x"] {
            let answer = ask_in(root.path(), &grants(Access::Read), &read(path), &[]);
            assert!(matches!(answer, Err(Refusal::Failed(_) | Refusal::NotFound(_))), "{path}: {answer:?}");
        }
    }
}
