//! gc, fsck, backup, packages, differences, proofs and locks.

use std::{fs, path::Path};

use stagewright_core::{Batch, Column, ColumnType, Digest, Field, Schema};
use stagewright_store::{
    Access, Actor, ArtifactKind, Collection, Hooks, Repository, Store, StoreError,
    audit::merkle,
    diff,
    package::{self, Item},
};

use crate::lab::{
    actor, audit_holds, files_below, fsck_is_clean, made, noise, numbers, open, put_version, scratch, seen,
};

fn bytes_in(directory: &Path) -> u64 {
    files_below(directory).iter().map(|file| fs::metadata(directory.join(file)).unwrap().len()).sum()
}

fn put_table(repository: &Repository, schema: &Schema, batch: &Batch) -> Digest {
    let mut transaction = repository.begin(&actor()).unwrap();
    let mut writer = transaction.put_table(schema);
    writer.write(batch).unwrap();
    let digest = writer.finish().unwrap();
    transaction.set_version(&"table".parse().unwrap(), digest, ArtifactKind::Table, None, "");
    transaction.commit().unwrap();
    digest
}

#[test]
fn gc_gives_back_the_space_of_what_was_deleted_and_keeps_the_rest() {
    let (_temporary, directory) = made();
    let repository = open(&directory);
    for step in 0..10 {
        put_version(&repository, "name", &noise(step, 500_000)).unwrap();
    }
    let before = bytes_in(&directory.join("packs"));
    let mut transaction = repository.begin(&actor()).unwrap();
    for version in repository.log(&"name".parse().unwrap()).unwrap().iter().skip(1) {
        transaction.delete_version(version, "too old");
    }
    transaction.commit().unwrap();
    let collection = Collection::default();
    let planned = repository.gc_plan(&actor(), &collection).unwrap();
    assert_eq!((planned.artifacts, bytes_in(&directory.join("packs"))), (9, before));
    let done = repository.gc(&actor(), &collection).unwrap();
    assert_eq!((done.artifacts, done.chunks), (planned.artifacts, planned.chunks));
    let after = bytes_in(&directory.join("packs"));
    assert!(after < before / 8, "{before} to {after}");
    assert_eq!(seen(&repository).len(), 1);
    audit_holds(&repository);
    drop(repository);
    fsck_is_clean(&directory);
}

#[test]
fn a_deleted_version_leaves_the_packs_even_where_nearly_all_else_in_them_is_live() {
    let (_temporary, directory) = made();
    let repository = open(&directory);
    let secret = noise(7, 3000);
    put_version(&repository, "secret", &secret).unwrap();
    for seed in 100..140 {
        put_version(&repository, "other", &noise(seed, 3000)).unwrap();
    }
    let is_there = || {
        let packs =
            fs::read_dir(directory.join("packs")).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
        packs.into_iter().any(|pack| pack.windows(100).any(|window| window == &secret[1000..1100]))
    };
    assert!(is_there());
    let version = repository.resolve(&"secret".parse().unwrap()).unwrap();
    let mut transaction = repository.begin(&actor()).unwrap();
    transaction.delete_version(&version, "asked for");
    transaction.commit().unwrap();
    repository.gc(&actor(), &Collection::default()).unwrap();
    assert!(!is_there());
    assert!(!directory.join("erasing").exists());
    assert_eq!(seen(&repository).len(), 40);
    drop(repository);
    fsck_is_clean(&directory);
}

#[test]
fn gc_spares_what_is_young_pinned_tagged_or_named_by_its_caller() {
    let (_temporary, directory) = made();
    let repository = open(&directory);
    let later = Actor { at_ms: actor().at_ms + 100_000, ..actor() };
    let mut transaction = repository.begin(&actor()).unwrap();
    let [old, pinned, named, part] = [1, 2, 3, 4].map(|seed| transaction.put_bytes(&noise(seed, 100)).unwrap());
    let whole = transaction.put_referencing(b"whole", &[part]).unwrap();
    transaction.pin("a run", [pinned, whole]);
    transaction.commit().unwrap();
    let mut transaction = repository.begin(&later).unwrap();
    let young = transaction.put_bytes(&noise(5, 100)).unwrap();
    transaction.commit().unwrap();
    for step in 0..4 {
        put_version(&repository, "name", &noise(10 + step, 100)).unwrap();
    }
    let first = repository.resolve(&"name@1".parse().unwrap()).unwrap();
    let mut transaction = repository.begin(&actor()).unwrap();
    transaction.tag(&first, &"golden".parse().unwrap());
    transaction.commit().unwrap();
    let collection = Collection { newest: Some(2), roots: [named].into(), grace_ms: 50_000 };
    let collected = repository.gc(&later, &collection).unwrap();
    assert_eq!(collected.versions, ["name@2"]);
    let there = [old, pinned, named, part, whole, young].map(|digest| repository.contains(&digest).unwrap());
    assert_eq!(there, [false, true, true, true, true, true]);
    assert_eq!(repository.deleted(&"name".parse().unwrap()).unwrap()[0].reason, "retention: the newest 2 are kept");
    let mut transaction = repository.begin(&actor()).unwrap();
    transaction.unpin("a run").unwrap();
    transaction.commit().unwrap();
    repository.gc(&later, &Collection { roots: [named].into(), grace_ms: 50_000, ..Collection::default() }).unwrap();
    let there = [pinned, named, part, whole, young].map(|digest| repository.contains(&digest).unwrap());
    assert_eq!(there, [false, true, false, false, true]);
}

#[test]
fn gc_waits_for_a_transaction_and_never_takes_what_it_found_to_be_there() {
    let (_temporary, directory) = made();
    let repository = open(&directory);
    let bytes = noise(1, 10_000);
    let mut transaction = repository.begin(&actor()).unwrap();
    let digest = transaction.put_bytes(&bytes).unwrap();
    transaction.commit().unwrap();
    let mut transaction = repository.begin(&actor()).unwrap();
    assert_eq!(transaction.put_bytes(&bytes).unwrap(), digest);
    std::thread::scope(|scope| {
        let gc = scope.spawn(|| repository.gc(&actor(), &Collection::default()).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(50));
        transaction.set_version(&"name".parse().unwrap(), digest, ArtifactKind::Blob, None, "");
        transaction.commit().unwrap();
        assert_eq!(gc.join().unwrap().artifacts, 0);
    });
    assert_eq!(repository.bytes(&digest).unwrap(), bytes);
}

#[test]
fn fsck_names_the_versions_that_a_damaged_pack_spoils() {
    let (_temporary, directory) = made();
    let repository = open(&directory);
    put_version(&repository, "good", &noise(1, 5000)).unwrap();
    put_version(&repository, "spoiled", &noise(2, 5000)).unwrap();
    drop(repository);
    let pack = directory.join("packs/00000000.pack");
    let mut bytes = fs::read(&pack).unwrap();
    bytes[7000] ^= 1;
    fs::write(&pack, bytes).unwrap();
    let report = Repository::fsck(&directory, Access::Read, &actor(), Hooks::default()).unwrap();
    assert_eq!(report.lost.len(), 1, "{report:?}");
    assert_eq!(report.lost[0].versions, ["spoiled@1"]);
    assert_eq!(
        report.lost[0].what,
        format!(
            "artifact {} in repository `data` is damaged: packs/00000000.pack at byte 5048: the bytes do not have this digest",
            Digest::of(&noise(2, 5000))
        )
    );
}

#[test]
fn a_restored_backup_is_the_repository_and_a_damaged_one_makes_none() {
    let (temporary, directory) = made();
    let repository = open(&directory);
    put_version(&repository, "name", &noise(1, 400_000)).unwrap();
    put_version(&repository, "name", b"second").unwrap();
    let mut backup = Vec::new();
    let len = repository.backup(&mut backup).unwrap();
    assert_eq!(len, backup.len() as u64);
    let restored_to = temporary.path().join("restored");
    let restored = Repository::restore(&mut backup.as_slice(), &restored_to, &actor()).unwrap();
    assert_eq!(seen(&restored), seen(&repository));
    assert_eq!(restored.public_key(), repository.public_key());
    audit_holds(&restored);
    let old = repository.audit_head().unwrap().unwrap();
    let new = restored.audit_head().unwrap().unwrap();
    let proof = restored.consistency_proof(old.size, new.size).unwrap();
    assert!(merkle::continues(&old.root, old.size, &new.root, new.size, &proof));
    drop(restored);
    fsck_is_clean(&restored_to);
    let again = Repository::restore(&mut backup.as_slice(), &restored_to, &actor()).unwrap_err();
    assert!(again.to_string().contains("already"), "{again}");
    for (number, at) in [5, 60, 5000, backup.len() - 1].into_iter().enumerate() {
        let mut damaged = backup.clone();
        damaged[at] ^= 1;
        let to = temporary.path().join(format!("damaged-{number}"));
        assert!(Repository::restore(&mut damaged.as_slice(), &to, &actor()).is_err(), "byte {at}");
        assert!(matches!(Repository::open(&to, Access::Read, Hooks::default()), Err(StoreError::Missing(_))));
    }
    let cut =
        Repository::restore(&mut &backup[..backup.len() / 2], &temporary.path().join("cut"), &actor()).unwrap_err();
    assert_eq!(cut.to_string(), "this is no backup of a repository, or it is cut short");
}

#[test]
fn a_backup_cannot_write_outside_of_its_directory() {
    let (temporary, directory) = made();
    let repository = open(&directory);
    let mut backup = Vec::new();
    repository.backup(&mut backup).unwrap();
    let text = b"packs/00000000.pack";
    put_version(&repository, "name", b"bytes that make a pack").unwrap();
    backup.clear();
    repository.backup(&mut backup).unwrap();
    let at = backup.windows(text.len()).position(|window| window == text).unwrap();
    backup[at..at + text.len()].copy_from_slice(b"../../../../escaped");
    let error = Repository::restore(&mut backup.as_slice(), &temporary.path().join("to"), &actor()).unwrap_err();
    assert_eq!(error.to_string(), "the backup holds `../../../../escaped`, which belongs to no repository");
}

fn store() -> (tempfile::TempDir, Store) {
    let temporary = scratch();
    Store::create(temporary.path(), &actor()).unwrap();
    let store = Store::open(temporary.path(), Access::Write, Hooks::default());
    (temporary, store)
}

#[test]
fn a_package_brings_a_version_and_all_it_needs_to_another_store() {
    let (_here, from) = store();
    let (_there, to) = store();
    let (schema, batch) = numbers(0..30_000);
    let table = put_table(from.data().unwrap(), &schema, &batch);
    let mut transaction = from.models().unwrap().begin(&actor()).unwrap();
    let state = transaction.put_bytes(&noise(1, 2_000_000)).unwrap();
    let model = transaction.put_referencing(b"a model", &[state]).unwrap();
    transaction.commit().unwrap();
    let version = from.data().unwrap().resolve(&"table".parse().unwrap()).unwrap();
    let items = [Item::Version(from.data().unwrap(), &version), Item::Artifact(from.models().unwrap(), model)];
    let mut bytes = Vec::new();
    package::export(&items, &mut bytes).unwrap();
    let imported = package::import(&to, &actor(), bytes.as_slice(), &|_, _| Ok(())).unwrap();
    assert_eq!(imported.versions[0].1.message, "imported table@1 of ada: ");
    let copy =
        to.data().unwrap().table(&to.data().unwrap().resolve(&"table@1".parse().unwrap()).unwrap().digest).unwrap();
    assert_eq!((copy.digest(), copy.rows()), (table, 30_000));
    assert_eq!(copy.batch(0).unwrap(), from.data().unwrap().table(&table).unwrap().batch(0).unwrap());
    assert_eq!(to.models().unwrap().bytes(&state).unwrap(), noise(1, 2_000_000));
    assert_eq!(to.models().unwrap().references(&model).unwrap(), [state]);
    for at in (0..bytes.len()).step_by(bytes.len() / 40).chain([bytes.len() - 1]) {
        let (_elsewhere, fresh) = store();
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert!(
            package::import(&fresh, &actor(), damaged.as_slice(), &|_, _| Ok(())).is_err(),
            "byte {at} of {}",
            bytes.len()
        );
        assert!(fresh.data().unwrap().names().unwrap().is_empty());
    }
}

#[test]
fn a_difference_counts_rows_and_describes_columns() {
    let (_temporary, directory) = made();
    let repository = open(&directory);
    let schema =
        Schema::new(vec![Field::new("n", ColumnType::Int64, true), Field::new("word", ColumnType::Text, false)])
            .unwrap();
    let table = |rows: &[(Option<i64>, &str)]| {
        let mut column = Column { validity: Some(vec![0; rows.len().div_ceil(8)]), ..Column::default() };
        let mut words = Column { offsets: Some(vec![0; 4]), ..Column::default() };
        for (at, (n, word)) in rows.iter().enumerate() {
            column.values.extend_from_slice(&n.unwrap_or_default().to_le_bytes());
            if n.is_some() {
                column.validity.as_mut().unwrap()[at / 8] |= 1 << (at % 8);
            }
            words.values.extend_from_slice(word.as_bytes());
            let end = (words.values.len() as u32).to_le_bytes();
            words.offsets.as_mut().unwrap().extend_from_slice(&end);
        }
        let batch = Batch { rows: rows.len() as u32, columns: vec![column, words] };
        repository.table(&put_table(&repository, &schema, &batch)).unwrap()
    };
    let before = table(&[(Some(1), "a"), (Some(2), "b"), (Some(2), "b"), (None, "c")]);
    let after = table(&[(Some(2), "b"), (Some(7), "d"), (Some(1), "a"), (None, "c"), (None, "c")]);
    let found = diff::tables(&before, &after).unwrap();
    assert_eq!((found.rows_before, found.rows_after, found.rows_added, found.rows_removed), (4, 5, 2, 1));
    let text = |value: &str| Some(value.to_owned());
    assert_eq!(found.added, [vec![text("7"), text("d")], vec![None, text("c")]]);
    assert_eq!(found.removed, [vec![text("2"), text("b")]]);
    let n = &found.after[0];
    assert_eq!((n.rows, n.nulls, n.min.as_deref(), n.max.as_deref()), (5, 2, Some("1"), Some("7")));
    assert_eq!((n.mean, n.distinct), (Some(10.0 / 3.0), Some(3)));
    assert_eq!((found.before[1].min.as_deref(), found.before[1].max.as_deref()), (Some("a"), Some("c")));
}

#[test]
fn a_table_that_grew_shares_its_batches_and_its_difference_reads_only_the_rest() {
    let (_temporary, directory) = made();
    let repository = open(&directory);
    let (schema, batch) = numbers(0..60_000);
    let before = repository.table(&put_table(&repository, &schema, &batch)).unwrap();
    let packed = bytes_in(&directory.join("packs"));
    let (_, batch) = numbers(0..61_000);
    let after = repository.table(&put_table(&repository, &schema, &batch)).unwrap();
    let added = bytes_in(&directory.join("packs")) - packed;
    assert!(added < packed / 3, "{packed} grew by {added}");
    let found = diff::tables(&before, &after).unwrap();
    assert_eq!((found.rows_added, found.rows_removed), (1000, 0));
    assert!(found.batches_shared + 1 >= before.batches(), "{}", found.batches_shared);
}

#[test]
fn every_entry_has_a_proof_under_the_signed_head() {
    let (_temporary, directory) = made();
    let repository = open(&directory);
    let mut heads = Vec::new();
    for step in 0..20 {
        put_version(&repository, "name", &noise(step, 10)).unwrap();
        heads.push(repository.audit_head().unwrap().unwrap());
    }
    let newest = heads.last().unwrap();
    assert!(newest.is_genuine());
    for sequence in 0..newest.size {
        let proof = repository.inclusion_proof(sequence, newest.size).unwrap();
        let leaf = repository.audit_entry(sequence).unwrap().hash();
        assert!(merkle::includes(&newest.root, newest.size, sequence, &leaf, &proof), "{sequence}");
    }
    for head in &heads {
        let proof = repository.consistency_proof(head.size, newest.size).unwrap();
        assert!(merkle::continues(&head.root, head.size, &newest.root, newest.size, &proof), "{}", head.size);
    }
}

#[test]
fn a_locked_repository_refuses_changes_in_later_lives_too() {
    let (_temporary, directory) = made();
    let repository = open(&directory);
    repository.lock(&actor()).unwrap();
    drop(repository);
    let repository = open(&directory);
    let error = put_version(&repository, "name", b"bytes").unwrap_err();
    assert_eq!(
        error.to_string(),
        "repository `data` is locked read-only; `stagewright repo unlock data` allows changes again"
    );
    assert!(matches!(repository.gc(&actor(), &Collection::default()), Err(StoreError::Locked(_))));
    repository.unlock(&actor()).unwrap();
    put_version(&repository, "name", b"bytes").unwrap();
}

#[test]
fn many_threads_commit_at_once_and_all_is_there() {
    let (_temporary, directory) = made();
    let repository = open(&directory);
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let repository = &repository;
            scope.spawn(move || {
                for step in 0..20 {
                    put_version(repository, &format!("thread-{thread}"), &noise(thread * 100 + step, 200)).unwrap();
                }
            });
        }
    });
    drop(repository);
    let repository = open(&directory);
    assert_eq!(seen(&repository).len(), 160);
    audit_holds(&repository);
}

#[test]
fn the_fingerprint_changes_with_every_commit_and_with_nothing_else() {
    let (_temporary, directory) = made();
    let fingerprint = || Repository::fingerprint(&directory).unwrap();
    let before = fingerprint();
    let repository = open(&directory);
    assert_eq!(fingerprint(), before);
    put_version(&repository, "name", b"bytes").unwrap();
    let after = fingerprint();
    assert_ne!(after, before);
    drop(repository);
    drop(open(&directory));
    assert_eq!(fingerprint(), after);
}

#[test]
fn the_key_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_temporary, directory) = made();
    assert_eq!(fs::metadata(directory.join("key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
}
