//! What a caller relies on, in one process.

use stagewright_core::{Batch, Digest};
use stagewright_store::{
    Access, ArtifactKind, Hooks, Repository, Store, StoreError, TableDigester, audit::bundle::Bundle,
};

use crate::lab::{actor, made, numbers, open, put_version, seen};

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let (_temporary, directory) = made();
    let big: Vec<u8> = (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let (schema, batch) = numbers(0..50_000);
    let (small, blob, table) = {
        let repository = open(&directory);
        let mut transaction = repository.begin(&actor()).unwrap();
        let small = transaction.put_bytes(b"hello").unwrap();
        let blob = transaction.put_bytes(&big).unwrap();
        let mut writer = transaction.put_table(&schema);
        writer.write(&batch).unwrap();
        let table = writer.finish().unwrap();
        transaction.set_version(&"numbers".parse().unwrap(), table, ArtifactKind::Table, None, "first");
        transaction.put_record("things", b"k", b"{}").unwrap();
        transaction.edge(&small, &blob, "made");
        let versions = transaction.commit().unwrap();
        assert_eq!(versions[0].number, 1);
        (small, blob, table)
    };
    let repository = open(&directory);
    assert_eq!(repository.bytes(&small).unwrap(), b"hello");
    assert_eq!(repository.bytes(&blob).unwrap(), big);
    assert_eq!(Digest::of(&big), blob);
    let reader = repository.table(&table).unwrap();
    assert_eq!(reader.rows(), 50_000);
    let batches: Vec<Batch> = (0..reader.batches()).map(|at| reader.batch(at).unwrap()).collect();
    assert_eq!(Batch::concat(&schema, &batches), batch);
    assert_eq!(repository.resolve(&"numbers".parse().unwrap()).unwrap().digest, table);
    assert_eq!(repository.record("things", b"k").unwrap().as_deref(), Some(&b"{}"[..]));
    assert_eq!(repository.edges_in(&blob).unwrap(), [(small, "made".to_owned())]);
    let mut digester = TableDigester::new(&schema);
    digester.write(&batch).unwrap();
    assert_eq!(digester.finish().unwrap(), table);
}

#[test]
fn lives_that_end_well_share_a_journal_file() {
    let (_temporary, directory) = made();
    for life in 0..40_u32 {
        put_version(&open(&directory), "small", &life.to_le_bytes()).unwrap();
    }
    let files = std::fs::read_dir(directory.join("journal")).unwrap().count();
    assert_eq!(files, 1);
    assert_eq!(seen(&open(&directory)).len(), 40);
}

#[test]
fn an_uncommitted_transaction_leaves_nothing() {
    let (_temporary, directory) = made();
    let repository = open(&directory);
    let mut transaction = repository.begin(&actor()).unwrap();
    let digest = transaction.put_bytes(b"never").unwrap();
    drop(transaction);
    assert!(matches!(repository.bytes(&digest), Err(StoreError::NoArtifact { .. })));
}

#[test]
fn numbers_of_deleted_versions_are_not_used_again_and_the_message_says_what_happened() {
    let (_temporary, directory) = made();
    let repository = open(&directory);
    let name = "adult".parse().unwrap();
    for text in [b"one", b"two"] {
        let mut transaction = repository.begin(&actor()).unwrap();
        let digest = transaction.put_bytes(text).unwrap();
        transaction.set_version(&name, digest, ArtifactKind::Blob, None, "");
        transaction.commit().unwrap();
    }
    let second = repository.resolve(&"adult@2".parse().unwrap()).unwrap();
    let mut transaction = repository.begin(&actor()).unwrap();
    transaction.delete_version(&second, "asked for by the person it is about");
    transaction.set_version(&name, second.digest, ArtifactKind::Blob, None, "");
    assert_eq!(transaction.commit().unwrap()[0].number, 3);
    let said = |wanted: &str| repository.resolve(&wanted.parse().unwrap()).unwrap_err().to_string();
    assert_eq!(
        said("adult@2"),
        "there is no `adult@2` in repository `data`; it was deleted: the audit log has who and why"
    );
    assert_eq!(said("adlut"), "there is no `adlut@latest` in repository `data`; did you mean `adult`?");
    assert_eq!(said("adult@9"), "there is no `adult@9` in repository `data`; the latest version is adult@3");
}

#[test]
fn a_second_writer_is_told_and_a_reader_is_not_held_up() {
    let (_temporary, directory) = made();
    let _writer = open(&directory);
    let second = Repository::open(&directory, Access::Write, Hooks::default()).unwrap_err();
    assert_eq!(
        second.to_string(),
        "another process is writing to repository `data`; wait until it is done, or stop it"
    );
    let reader = Repository::open(&directory, Access::Read, Hooks::default()).unwrap();
    assert!(matches!(reader.begin(&actor()), Err(StoreError::ReadOnly(_))));
}

#[test]
fn a_changed_removed_or_reordered_entry_of_an_exported_log_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    Store::create(temporary.path(), &actor()).unwrap();
    let store = Store::open(temporary.path(), Access::Write, Hooks::default());
    for number in 0..5 {
        let mut transaction = store.data().unwrap().begin(&actor()).unwrap();
        transaction.put_record("n", &[number], b"{}").unwrap();
        transaction.commit().unwrap();
    }
    let bundle = Bundle::of(&store.repositories().unwrap()).unwrap();
    assert_eq!(bundle.verify().problems, [""; 0]);
    let problems = |change: &dyn Fn(&mut Bundle)| {
        let mut changed = bundle.clone();
        change(&mut changed);
        changed.verify().problems
    };
    assert_eq!(
        problems(&|bundle| bundle.logs[0].entries[2].who = "eve".into())[0],
        "repository `data`: entry 3 does not follow from entry 2: one of them was changed"
    );
    assert_eq!(
        problems(&|bundle| drop(bundle.logs[0].entries.remove(2)))[0],
        "repository `data`: entry 2 says that it is entry 3: entries are missing or out of order"
    );
    assert_eq!(
        problems(&|bundle| bundle.logs[0].entries.swap(2, 3))[0],
        "repository `data`: entry 2 says that it is entry 3: entries are missing or out of order"
    );
    assert_eq!(
        problems(&|bundle| bundle.logs[0].entries[5].who = "eve".into()),
        [
            "repository `data`: the entries are not those that the signed head speaks of: at least the last one was changed"
        ]
    );
    assert_eq!(
        problems(&|bundle| drop(bundle.logs[0].entries.pop())),
        ["repository `data`: entry 5 missing at the end: the signed head speaks of 6"]
    );
    assert_eq!(
        problems(&|bundle| bundle.logs[0].entries.truncate(4)),
        ["repository `data`: entries 4 to 5 missing at the end: the signed head speaks of 6"]
    );
    assert_eq!(
        problems(&|bundle| bundle.logs[0].head.at_ms += 1),
        ["repository `data`: the head's signature does not fit it"]
    );
}
