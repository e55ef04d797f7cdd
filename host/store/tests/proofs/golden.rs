//! A repository that this version wrote once and that every later version must read, and must write byte for byte as
//! long as the formats are these. A change of a format is a decision: it makes new files beside the old ones.

use std::{
    fs,
    path::{Path, PathBuf},
};

use stagewright_core::Digest;
use stagewright_store::{
    Access, ArtifactKind, Hooks, Repository, Store,
    audit::bundle::Bundle,
    package::{self, Item},
};

use crate::lab::{actor, audit_holds, copy_tree, files_below, noise, numbers, scratch};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The same steps whenever they are taken; nothing in them is random but the key and identity, which are given.
fn steps(directory: &Path) {
    let repository = Repository::open(directory, Access::Write, Hooks::default()).unwrap();
    let mut transaction = repository.begin(&actor()).unwrap();
    let small = transaction.put_bytes(b"a few bytes").unwrap();
    let text = transaction.put_bytes(&b"words that compress ".repeat(100)).unwrap();
    let long = transaction.put_bytes(&b"longer than one chunk, and compressing well; ".repeat(12_000)).unwrap();
    let (schema, batch) = numbers(0..300);
    let mut writer = transaction.put_table(&schema);
    writer.write(&batch).unwrap();
    let table = writer.finish().unwrap();
    let parts: Vec<Digest> = (0..70).map(|seed| transaction.put_bytes(&noise(seed, 9)).unwrap()).collect();
    let whole = transaction.put_referencing(b"whole", &parts).unwrap();
    transaction.set_version(&"small".parse().unwrap(), small, ArtifactKind::Blob, None, "the first");
    transaction.set_version(&"table".parse().unwrap(), table, ArtifactKind::Table, None, "");
    transaction.set_version(&"long".parse().unwrap(), long, ArtifactKind::Model, None, "");
    transaction.set_version(&"whole".parse().unwrap(), whole, ArtifactKind::Plugin, None, "");
    transaction.put_record("records", b"short", b"{\"a\":1}").unwrap();
    transaction.put_record("records", b"very long", &b"{\"words\":0}".repeat(400)).unwrap();
    transaction.edge(&small, &table, "made");
    transaction.pin("somebody", [text]);
    transaction.commit().unwrap();
    let mut transaction = repository.begin(&actor()).unwrap();
    transaction.set_version(&"small".parse().unwrap(), text, ArtifactKind::Pipeline, Some(1), "the second");
    transaction.commit().unwrap();
    let first = repository.resolve(&"small@1".parse().unwrap()).unwrap();
    let mut transaction = repository.begin(&actor()).unwrap();
    transaction.delete_version(&first, "asked for");
    transaction.tag(&repository.resolve(&"small@2".parse().unwrap()).unwrap(), &"golden".parse().unwrap());
    transaction.delete_record("records", b"short");
    transaction.audit(serde_json::json!({ "action": "decide", "why": "because" }));
    transaction.commit().unwrap();
}

/// Makes the golden files. For whoever decides to change a format.
#[test]
#[expect(clippy::disallowed_methods, reason = "golden files are made only when asked for in the environment")]
fn golden_files_are_made_when_asked_for() {
    if std::env::var_os("STAGEWRIGHT_MAKE_GOLDEN").is_none() {
        return;
    }
    let to = golden().join("repository-1");
    fs::create_dir_all(&to).unwrap();
    let made = scratch();
    Repository::create(made.path(), "data", &actor()).unwrap();
    for name in ["key", "format"] {
        fs::copy(made.path().join(name), to.join(name)).unwrap();
    }
    let repeated = again();
    copy_tree(repeated.path(), &to);
    fs::remove_file(to.join("lock")).unwrap();
    let (backup, package, bundle) = exported(repeated.path());
    fs::write(golden().join("backup-1.swb"), backup).unwrap();
    fs::write(golden().join("package-1.swx"), package).unwrap();
    fs::write(golden().join("audit-bundle-1.json"), bundle).unwrap();
    fs::write(golden().join("rows-1.swr"), sorted_rows(&to)).unwrap();
}

/// What a writer whose index goes to sled leaves for whoever only looks.
fn sorted_rows(repository: &Path) -> Vec<u8> {
    let temporary = scratch();
    copy_tree(repository, temporary.path());
    drop(Repository::open(temporary.path(), Access::Write, Hooks { fold_at: Some(1), ..Hooks::default() }).unwrap());
    fs::read(temporary.path().join("rows")).unwrap()
}

/// The golden key and identity, and the steps.
fn again() -> tempfile::TempDir {
    let temporary = scratch();
    for name in ["packs", "journal"] {
        fs::create_dir(temporary.path().join(name)).unwrap();
    }
    for name in ["key", "format"] {
        fs::copy(golden().join("repository-1").join(name), temporary.path().join(name)).unwrap();
    }
    steps(temporary.path());
    temporary
}

fn exported(directory: &Path) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let repository = Repository::open(directory, Access::Read, Hooks::default()).unwrap();
    let (mut backup, mut package) = (Vec::new(), Vec::new());
    repository.backup(&mut backup).unwrap();
    let version = repository.resolve(&"whole".parse().unwrap()).unwrap();
    let table = repository.resolve(&"table".parse().unwrap()).unwrap();
    let items = [Item::Version(&repository, &version), Item::Version(&repository, &table)];
    package::export(&items, &mut package).unwrap();
    let bundle = Bundle::of(&[&repository]).unwrap();
    (backup, package, stagewright_core::canonical::to_vec(&bundle))
}

#[test]
fn every_file_is_written_byte_for_byte_as_it_always_was() {
    let made = again();
    for file in files_below(&golden().join("repository-1")) {
        let expected = fs::read(golden().join("repository-1").join(&file)).unwrap();
        assert!(fs::read(made.path().join(&file)).unwrap() == expected, "{file} is not what it was");
    }
    let (backup, package, bundle) = exported(made.path());
    for (file, bytes) in [("backup-1.swb", backup), ("package-1.swx", package), ("audit-bundle-1.json", bundle)] {
        assert!(fs::read(golden().join(file)).unwrap() == bytes, "{file} is not what it was");
    }
    let rows = sorted_rows(&golden().join("repository-1"));
    assert!(fs::read(golden().join("rows-1.swr")).unwrap() == rows, "the file `rows` is not what it was");
}

#[test]
fn what_was_written_once_is_read_for_good() {
    let temporary = scratch();
    copy_tree(&golden().join("repository-1"), temporary.path());
    let repository = Repository::open(temporary.path(), Access::Write, Hooks::default()).unwrap();
    let version = |wanted: &str| repository.resolve(&wanted.parse().unwrap()).unwrap();
    assert_eq!(repository.bytes(&version("small@golden").digest).unwrap(), b"words that compress ".repeat(100));
    assert_eq!(version("small").message, "the second");
    let long = b"longer than one chunk, and compressing well; ".repeat(12_000);
    assert_eq!(repository.bytes(&version("long").digest).unwrap(), long);
    let table = repository.table(&version("table").digest).unwrap();
    assert_eq!(table.batch(0).unwrap(), numbers(0..300).1);
    assert_eq!(repository.references(&version("whole").digest).unwrap().len(), 70);
    assert_eq!(repository.deleted(&"small".parse().unwrap()).unwrap()[0].reason, "asked for");
    assert_eq!(repository.records("records", 9, false).unwrap().len(), 1);
    assert_eq!(repository.edges_in(&version("table").digest).unwrap()[0].1, "made");
    audit_holds(&repository);

    let bundle = Bundle::read(&fs::read(golden().join("audit-bundle-1.json")).unwrap()).unwrap();
    assert_eq!(bundle.verify().problems, [""; 0]);
    let backup = fs::read(golden().join("backup-1.swb")).unwrap();
    let restored = Repository::restore(&mut backup.as_slice(), &temporary.path().join("restored"), &actor()).unwrap();
    assert_eq!(restored.log(&"small".parse().unwrap()).unwrap().len(), 1);
    let project = scratch();
    Store::create(project.path(), &actor()).unwrap();
    let store = Store::open(project.path(), Access::Write, Hooks::default());
    let package = fs::read(golden().join("package-1.swx")).unwrap();
    assert_eq!(package::import(&store, &actor(), package.as_slice(), &|_, _| Ok(())).unwrap().versions.len(), 2);
}
