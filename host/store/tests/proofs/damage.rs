//! Damage: every file of a repository is flipped, cut, zeroed and removed in turn. Whoever reads gets the right bytes
//! or an error, never other bytes and never silence, and fsck names what is lost.

use std::{collections::BTreeMap, fs, path::Path};

use stagewright_core::{Digest, Name};
use stagewright_store::{Access, ArtifactKind, Collection, Hooks, Repository, StoreError};

use crate::lab::{Dice, actor, copy_tree, files_below, made, noise, numbers, open_folding, put_version, scratch};

/// What a reader is to find: the bytes of each version, and the number of audit entries.
struct Expected {
    versions: BTreeMap<String, (Digest, Vec<u8>)>,
    records: Vec<(Vec<u8>, Vec<u8>)>,
    audit: u64,
}

/// Several lives, so that there are several packs, journal files and folds.
fn scene(directory: &Path) -> Expected {
    let mut versions = BTreeMap::new();
    for life in 0..3_u64 {
        let repository = open_folding(directory);
        for step in 0..12 {
            let bytes = noise(life * 50 + step, 300 + 200 * step as usize);
            let number = put_version(&repository, "small", &bytes).unwrap();
            versions.insert(format!("small@{number}"), (Digest::of(&bytes), bytes));
        }
        let text = b"the same words, over and over, so that they compress; ".repeat(9000);
        let number = put_version(&repository, "text", &[text, vec![life as u8]].concat()).unwrap();
        let blob = repository.resolve(&format!("text@{number}").parse().unwrap()).unwrap();
        versions.insert(format!("text@{number}"), (blob.digest, repository.bytes(&blob.digest).unwrap()));
        let mut transaction = repository.begin(&actor()).unwrap();
        let (schema, batch) = numbers(0..2500 + life as i64);
        let mut writer = transaction.put_table(&schema);
        writer.write(&batch).unwrap();
        let digest = writer.finish().unwrap();
        transaction.set_version(&"table".parse().unwrap(), digest, ArtifactKind::Table, None, "");
        transaction.put_record("records", &life.to_be_bytes(), &noise(life, 5000)).unwrap();
        let number = transaction.commit().unwrap()[0].number;
        versions.insert(format!("table@{number}"), (digest, repository.bytes(&digest).unwrap()));
    }
    let repository = open_folding(directory);
    repository.gc(&actor(), &Collection::default()).unwrap();
    Expected {
        versions,
        records: repository.records("records", 10, false).unwrap(),
        audit: repository.audit_len().unwrap(),
    }
}

/// How reading a damaged repository went.
#[derive(Default)]
struct Outcome {
    refused_to_open: bool,
    errors: usize,
}

fn read_all(repository: &Repository, expected: &Expected, scene: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let mut failed = |error: StoreError| {
        assert!(!error.to_string().is_empty(), "{scene}");
        outcome.errors += 1;
    };
    match repository.names() {
        Ok(names) => {
            assert_eq!(names.iter().map(Name::as_str).collect::<Vec<_>>(), ["small", "table", "text"], "{scene}")
        }
        Err(error) => failed(error),
    }
    for (version, (digest, bytes)) in &expected.versions {
        match repository.resolve(&version.parse().unwrap()) {
            Ok(found) => assert_eq!(found.digest, *digest, "{scene}: {version}"),
            Err(StoreError::NoVersion { .. }) => panic!("{scene}: {version} was lost without a word"),
            Err(error) => failed(error),
        }
        match repository.bytes(digest) {
            Ok(found) => assert!(found == *bytes, "{scene}: {version} has other bytes"),
            Err(StoreError::NoArtifact { .. }) => panic!("{scene}: {version} lost its bytes without a word"),
            Err(error) => failed(error),
        }
        if version.starts_with("table") {
            match repository.table(digest) {
                Ok(table) => (0..table.batches()).for_each(|at| drop(table.batch(at).map_err(&mut failed))),
                Err(error) => failed(error),
            }
        }
    }
    match repository.records("records", 10, false) {
        Ok(found) => assert!(found == expected.records, "{scene}: records"),
        Err(error) => failed(error),
    }
    match repository.audit_len() {
        Ok(found) => assert_eq!(found, expected.audit, "{scene}: audit log"),
        Err(error) => failed(error),
    }
    outcome
}

/// Does it to a file.
type Damage = Box<dyn Fn(&Path)>;

/// Damages a copy and looks at it, for reading and for writing.
fn check(directory: &Path, expected: &Expected, file: &str, what: &str, damage: &dyn Fn(&Path)) -> (usize, usize) {
    let temporary = scratch();
    let scene = format!("{file}: {what}");
    let (mut errors, mut refused) = (0, 0);
    for access in [Access::Read, Access::Write] {
        let copy = temporary.path().join(format!("{access:?}"));
        copy_tree(directory, &copy);
        damage(&copy.join(file));
        let hooks = Hooks { fold_at: Some(4096), ..Hooks::default() };
        let outcome = match Repository::open(&copy, access, hooks) {
            Ok(repository) => read_all(&repository, expected, &scene),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                Outcome { refused_to_open: true, ..Outcome::default() }
            }
        };
        match Repository::fsck(&copy, access, &actor(), hooks) {
            Ok(report) if outcome.errors > 0 => {
                let name = file.rsplit('/').next().unwrap();
                assert!(
                    report.lost.iter().any(|problem| problem.what.contains(name)) || !report.repaired.is_empty(),
                    "{scene}: {report:?}"
                );
            }
            Ok(report) if outcome.refused_to_open => assert!(!report.is_clean(), "{scene}: {report:?}"),
            // What was read was right; what is not read - a dead record, a torn end - may be damaged.
            Ok(_) => (),
            Err(error) => assert!(outcome.refused_to_open, "{scene}: {error}"),
        }
        errors += usize::from(outcome.errors > 0);
        refused += usize::from(outcome.refused_to_open);
    }
    (errors, refused)
}

#[test]
fn damaged_files_never_give_wrong_bytes_and_never_a_panic() {
    let (_temporary, directory) = made();
    let expected = scene(&directory);
    let mut dice = Dice(11);
    let (mut cases, mut errors, mut refused) = (0, 0, 0);
    for file in files_below(&directory) {
        if file == "lock" {
            continue;
        }
        let len = fs::metadata(directory.join(&file)).unwrap().len();
        let mut damages: Vec<(String, Damage)> =
            vec![("removed".to_owned(), Box::new(|path| fs::remove_file(path).unwrap()))];
        for _ in 0..6 {
            let at = dice.below(len.saturating_mul(8));
            damages.push((
                format!("bit {at} flipped"),
                Box::new(move |path| {
                    change(path, &move |bytes| {
                        if let Some(byte) = bytes.get_mut((at / 8) as usize) {
                            *byte ^= 1 << (at % 8);
                        }
                    })
                }),
            ));
        }
        for keep in [0, 1, len / 2, len.saturating_sub(1), dice.below(len)] {
            damages.push((
                format!("cut to {keep} of {len}"),
                Box::new(move |path| change(path, &move |bytes| bytes.truncate(keep as usize))),
            ));
        }
        for page in [0, dice.below(len) / 4096] {
            damages.push((
                format!("page {page} zeroed"),
                Box::new(move |path| {
                    change(path, &move |bytes| {
                        bytes.iter_mut().skip(page as usize * 4096).take(4096).for_each(|byte| *byte = 0);
                    })
                }),
            ));
        }
        damages.push((
            "bytes added".to_owned(),
            Box::new(|path| change(path, &|bytes| bytes.extend_from_slice(&noise(3, 300)))),
        ));
        for (what, damage) in damages {
            let (more_errors, more_refused) = check(&directory, &expected, &file, &what, &*damage);
            cases += 1;
            errors += more_errors;
            refused += more_refused;
        }
    }
    println!("{cases} cases, opened twice each: {errors} with errors on reading, {refused} refused to open");
    assert!(cases > 100 && errors > 10 && refused > 10);
}

fn change(path: &Path, change: &dyn Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_link_out_of_the_repository_is_not_followed() {
    let (temporary, directory) = made();
    let outside = temporary.path().join("outside");
    let repository = open_folding(&directory);
    let bytes = noise(1, 5000);
    put_version(&repository, "a", &bytes).unwrap();
    drop(repository);
    let pack = fs::read_dir(directory.join("packs")).unwrap().next().unwrap().unwrap().path();
    fs::rename(&pack, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &pack).unwrap();
    let repository = open_folding(&directory);
    let error = repository.bytes(&Digest::of(&bytes)).unwrap_err();
    assert!(matches!(error, StoreError::DamagedArtifact { .. }), "{error}");
}

#[test]
fn a_damaged_index_is_made_again_and_says_so() {
    let (_temporary, directory) = made();
    let expected = scene(&directory);
    let largest = files_below(&directory.join("sled")).into_iter().find(|name| name == "db").unwrap();
    change(&directory.join("sled").join(largest), &|bytes| bytes[5000..6000].fill(0x55));
    let told = std::cell::RefCell::new(Vec::new());
    let progress = |message: &str| told.borrow_mut().push(message.to_owned());
    let hooks = Hooks { progress: Some(&progress), fold_at: Some(4096), ..Hooks::default() };
    let repository = Repository::open(&directory, Access::Write, hooks).unwrap();
    assert_eq!(read_all(&repository, &expected, "rebuilt").errors, 0);
    assert_eq!(told.take(), ["the index of repository `data` is damaged: making it again from the journal"]);
    drop(repository);
    // From then on it is as it should be, however often it is opened.
    for _ in 0..5 {
        let repository = Repository::open(&directory, Access::Write, hooks).unwrap();
        assert_eq!(read_all(&repository, &expected, "again").errors, 0);
    }
    assert_eq!(told.take(), [""; 0]);
}

/// As a killed process would, it changes nothing any more once `dead`.
struct Killed(std::sync::atomic::AtomicBool);

impl stagewright_store::Observer for Killed {
    fn before(&self, _: &stagewright_store::Change) -> std::io::Result<()> {
        match self.0.load(std::sync::atomic::Ordering::Relaxed) {
            true => Err(std::io::Error::other("killed")),
            false => Ok(()),
        }
    }
}

#[test]
fn damage_to_the_last_frame_of_a_killed_process_does_not_pass_for_a_torn_one() {
    let (_temporary, directory) = made();
    let killed = std::sync::Arc::new(Killed(false.into()));
    let observer: std::sync::Arc<dyn stagewright_store::Observer> = killed.clone();
    let hooks = Hooks { observer: Some(&observer), ..Hooks::default() };
    let repository = Repository::open(&directory, Access::Write, hooks).unwrap();
    put_version(&repository, "name", b"first").unwrap();
    put_version(&repository, "name", b"last").unwrap();
    killed.0.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(put_version(&repository, "name", b"never").is_err());
    drop(repository);
    let newest = files_below(&directory.join("journal")).pop().unwrap();
    change(&directory.join("journal").join(newest), &|bytes| *bytes.last_mut().unwrap() ^= 1);
    let error = Repository::open(&directory, Access::Write, Hooks::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "repository `data` is damaged: the journal ends behind frame 2, but 3 were written: its newest frames are \
         damaged or missing"
    );
}
