//! A full disk: the nth change of a file fails for want of space, for every n, half of a write's bytes perhaps written.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use stagewright_core::Digest;
use stagewright_store::{Access, Change, Collection, Hooks, Observer, Repository, StoreError};

use crate::lab::{actor, audit_holds, fsck_is_clean, made, noise, open, put_version, seen};

struct FullDisk {
    directory: PathBuf,
    left: AtomicI64,
}

impl Observer for FullDisk {
    fn before(&self, change: &Change) -> io::Result<()> {
        let takes_space = matches!(change, Change::Create { .. } | Change::Write { .. });
        if self.left.fetch_sub(1, Ordering::Relaxed) > 0 || !takes_space {
            return Ok(());
        }
        if let Change::Write { path, offset, bytes } = change {
            let file = fs::OpenOptions::new().write(true).open(self.directory.join(path))?;
            file.write_all_at(&bytes[..bytes.len() / 2], *offset)?;
        }
        Err(io::Error::from_raw_os_error(28))
    }
}

fn work(repository: &Repository, made: &mut BTreeMap<String, Digest>) -> Result<(), StoreError> {
    for step in 0..8_u64 {
        let bytes = noise(step, 500 + 40_000 * step as usize);
        let number = put_version(repository, "name", &bytes)?;
        made.insert(format!("name@{number}"), Digest::of(&bytes));
        if step == 5 {
            repository.gc(&actor(), &Collection::default())?;
        }
    }
    Ok(())
}

fn run(directory: &Path, room_for: i64) -> (BTreeMap<String, Digest>, Result<(), StoreError>) {
    let full = FullDisk { directory: directory.to_owned(), left: AtomicI64::new(room_for) };
    let observer: Arc<dyn Observer> = Arc::new(full);
    let mut made = BTreeMap::new();
    let hooks = Hooks { observer: Some(&observer), fold_at: Some(3000), ..Hooks::default() };
    let worked = Repository::open(directory, Access::Write, hooks).and_then(|repository| work(&repository, &mut made));
    (made, worked)
}

#[test]
fn a_full_disk_is_told_of_clearly_and_loses_nothing() {
    let mut refused = 0;
    for room_for in 0..80 {
        let (_temporary, directory) = made();
        let (acknowledged, worked) = run(&directory, room_for);
        let repository = open(&directory);
        let found = seen(&repository);
        for (version, digest) in &acknowledged {
            assert_eq!(found.get(version), Some(digest), "room for {room_for} changes: {version}");
        }
        audit_holds(&repository);
        match worked {
            Ok(()) => (),
            Err(StoreError::DiskFull { repository, .. }) => {
                assert_eq!(repository, "data");
                refused += 1;
            }
            Err(error) => panic!("room for {room_for} changes: {error}"),
        }
        put_version(&repository, "after", b"there is room again").unwrap();
        drop(repository);
        fsck_is_clean(&directory);
    }
    assert!(refused > 30, "{refused}");
}

#[test]
fn after_a_failed_write_the_repository_asks_to_be_opened_again() {
    let (_temporary, directory) = made();
    let full = FullDisk { directory: directory.clone(), left: AtomicI64::new(0) };
    let observer: Arc<dyn Observer> = Arc::new(full);
    let hooks = Hooks { observer: Some(&observer), ..Hooks::default() };
    let repository = Repository::open(&directory, Access::Write, hooks).unwrap();
    let first = put_version(&repository, "name", b"bytes").unwrap_err();
    assert!(first.to_string().starts_with("the disk is full: "), "{first}");
    let second = put_version(&repository, "name", b"bytes").unwrap_err();
    assert_eq!(second.to_string(), "an earlier write to repository `data` failed; open it again");
}
