//! The scene: small repositories, and what must hold of any that was opened again.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use stagewright_core::{Batch, Column, ColumnType, Digest, Field, Name, Schema};
use stagewright_store::{Access, Actor, ArtifactKind, Hooks, Repository, audit::bundle::Bundle};
use tempfile::TempDir;

pub(crate) fn actor() -> Actor {
    Actor { who: "ada".into(), at_ms: 1_700_000_000_000 }
}

/// A directory in memory where there is one: these tests write and sync a lot.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

pub(crate) fn open(directory: &Path) -> Repository {
    Repository::open(directory, Access::Write, Hooks::default()).unwrap()
}

/// The same, with an index that goes to sled almost at once.
pub(crate) fn open_folding(directory: &Path) -> Repository {
    Repository::open(directory, Access::Write, Hooks { fold_at: Some(4096), ..Hooks::default() }).unwrap()
}

pub(crate) fn made() -> (TempDir, PathBuf) {
    let temporary = scratch();
    let directory = temporary.path().join("data");
    Repository::create(&directory, "data", &actor()).unwrap();
    (temporary, directory)
}

pub(crate) fn numbers(range: std::ops::Range<i64>) -> (Schema, Batch) {
    let schema = Schema::new(vec![Field::new("n", ColumnType::Int64, false)]).unwrap();
    let values = range.clone().flat_map(i64::to_le_bytes).collect();
    (schema, Batch { rows: range.count() as u32, columns: vec![Column { values, ..Column::default() }] })
}

/// A small generator of numbers: a test prints its seed and can be run again with it.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// Bytes that only their seed and length decide, and that do not compress.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut dice = Dice(seed);
    (0..len.div_ceil(8)).flat_map(|_| dice.next().to_le_bytes()).take(len).collect()
}

/// Makes a version of bytes in a transaction of its own.
pub(crate) fn put_version(repository: &Repository, name: &str, bytes: &[u8]) -> stagewright_store::Result<u64> {
    let name: Name = name.parse().unwrap();
    let mut transaction = repository.begin(&actor())?;
    let digest = transaction.put_bytes(bytes)?;
    transaction.set_version(&name, digest, ArtifactKind::Blob, None, "");
    Ok(transaction.commit()?[0].number)
}

/// Every version that can be seen: its bytes must be there, and be its own.
pub(crate) fn seen(repository: &Repository) -> BTreeMap<String, Digest> {
    let mut seen = BTreeMap::new();
    for name in repository.names().unwrap() {
        for version in repository.log(&name).unwrap() {
            let bytes = repository.bytes(&version.digest).unwrap();
            assert_eq!(Digest::of(&bytes), version.digest, "{name}@{}", version.number);
            for needed in repository.references(&version.digest).unwrap() {
                assert_eq!(Digest::of(&repository.bytes(&needed).unwrap()), needed);
            }
            seen.insert(format!("{name}@{}", version.number), version.digest);
        }
    }
    seen
}

/// The audit log must verify.
pub(crate) fn audit_holds(repository: &Repository) {
    if repository.audit_len().unwrap() > 0 {
        assert_eq!(Bundle::of(&[repository]).unwrap().verify().problems, [""; 0]);
    }
}

/// Nothing must be found wrong.
pub(crate) fn fsck_is_clean(directory: &Path) {
    let report = Repository::fsck(directory, Access::Write, &actor(), Hooks::default()).unwrap();
    assert_eq!(report.lost, []);
}

pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_tree(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Every file below a directory, relative to it, sorted.
pub(crate) fn files_below(directory: &Path) -> Vec<String> {
    fn walk(root: &Path, directory: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(root, &path, found),
                false => found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    let mut found = Vec::new();
    walk(directory, directory, &mut found);
    found.sort();
    found
}
