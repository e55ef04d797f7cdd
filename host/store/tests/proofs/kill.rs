//! kill -9: a child process works on a repository and says what was acknowledged; it is killed at a random moment, over
//! and over, and what it said must be there.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use stagewright_core::Digest;
use stagewright_store::{Access, ArtifactKind, Collection, Hooks, Repository};

use crate::lab::{Dice, actor, audit_holds, fsck_is_clean, made, noise, numbers, seen};

const CHILD: &str = "STAGEWRIGHT_STORE_CHILD";
const SEED: u64 = 7;

/// What the child does until it is killed.
fn work(directory: &Path, seed: u64) {
    let mut dice = Dice(seed);
    if dice.below(4) == 0 {
        // The index has to be made again, and the kill may come while it is.
        let _ = fs::remove_file(directory.join("checkpoint"));
    }
    let hooks = Hooks { fold_at: Some(20_000), ..Hooks::default() };
    let repository = Repository::open(directory, Access::Write, hooks).unwrap();
    println!("\nopened");
    for step in 0.. {
        let mut transaction = repository.begin(&actor()).unwrap();
        match dice.below(12) {
            0 => {
                let digest = transaction.put_bytes(&noise(seed + step, 400_000)).unwrap();
                transaction.set_version(&"blob".parse().unwrap(), digest, ArtifactKind::Blob, None, "");
            }
            1 => {
                let (schema, batch) = numbers(0..3000 + dice.below(1000) as i64);
                let mut writer = transaction.put_table(&schema);
                writer.write(&batch).unwrap();
                let digest = writer.finish().unwrap();
                transaction.set_version(&"table".parse().unwrap(), digest, ArtifactKind::Table, None, "");
            }
            2 => {
                let names = repository.names().unwrap();
                for name in names {
                    for old in repository.log(&name).unwrap().iter().skip(6) {
                        println!("deleting {}@{}", old.name, old.number);
                        transaction.delete_version(old, "too many");
                    }
                }
            }
            3 => {
                drop(transaction);
                repository.gc(&actor(), &Collection::default()).unwrap();
                continue;
            }
            _ => {
                let digest = transaction.put_bytes(&noise(seed * 31 + step, 50 + 3 * step as usize)).unwrap();
                transaction.set_version(&"small".parse().unwrap(), digest, ArtifactKind::Blob, None, "");
                transaction.put_record("steps", &step.to_be_bytes(), b"{}").unwrap();
            }
        }
        for version in transaction.commit().unwrap() {
            println!("made {}@{} {}", version.name, version.number, version.digest);
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the environment is how a test process knows that it is the child")]
fn the_child_of_the_kill_test_works_until_it_is_killed() {
    if let Some(task) = std::env::var_os(CHILD) {
        let task = task.into_string().unwrap();
        let (seed, directory) = task.split_once(' ').unwrap();
        work(Path::new(directory), seed.parse().unwrap());
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the long mode is asked for in the environment")]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let rounds = if std::env::var_os("STAGEWRIGHT_LONG_TESTS").is_some() { 5000 } else { 220 };
    let (_temporary, directory) = made();
    let mut dice = Dice(SEED);
    let mut acknowledged: BTreeMap<String, Digest> = BTreeMap::new();
    let mut while_opening = 0;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::the_child_of_the_kill_test_works_until_it_is_killed", "--nocapture"])
            .env(CHILD, format!("{} {}", SEED * 10_000 + round, directory.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let (tell, opened) = mpsc::channel();
        let said = std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            let told = lines.inspect(|line| {
                if line == "opened" {
                    let _ = tell.send(());
                }
            });
            told.collect::<Vec<_>>()
        });
        // One in four is killed while it opens the repository, the others at work.
        if dice.below(4) > 0 {
            opened.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        std::thread::sleep(Duration::from_micros(dice.below(50_000)));
        assert!(child.try_wait().unwrap().is_none(), "seed {SEED}, round {round}: the child ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        let said = said.join().unwrap();
        while_opening += u64::from(!said.iter().any(|line| line == "opened"));
        for line in &said {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("made"), Some(version), Some(digest)) if digest.len() == 64 => {
                    acknowledged.insert(version.to_owned(), digest.parse().unwrap());
                }
                (Some("deleting"), Some(version), None) => drop(acknowledged.remove(version).map(|_| ())),
                _ => (),
            }
        }
        let hooks = Hooks { fold_at: Some(20_000), ..Hooks::default() };
        let repository = Repository::open(&directory, Access::Write, hooks).unwrap();
        let found = seen(&repository);
        for (version, digest) in &acknowledged {
            assert_eq!(found.get(version), Some(digest), "seed {SEED}, round {round}: {version}");
        }
        if round % 20 == 0 {
            audit_holds(&repository);
            drop(repository);
            fsck_is_clean(&directory);
        }
    }
    println!("{rounds} kills, {while_opening} of them before the repository was open");
}
