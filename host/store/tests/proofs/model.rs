//! Any sequence of operations against a model of two maps.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stagewright_core::{Digest, Name};
use stagewright_store::{ArtifactKind, Collection, Repository};

use crate::lab::{actor, audit_holds, fsck_is_clean, made, noise, open_folding, seen};

#[derive(Clone, Debug)]
enum Operation {
    Put { name: u8, seed: u64, len: usize },
    PutAgain { name: u8 },
    Delete { name: u8, number: u64 },
    Tag { name: u8, number: u64 },
    Record { key: u8, len: usize },
    DeleteRecord { key: u8 },
    Pin { name: u8 },
    Unpin,
    Abandon { seed: u64 },
    Gc { newest: Option<u64> },
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    let len = prop_oneof![Just(0_usize), Just(1), 100..3000_usize, 250_000..300_000_usize];
    prop_oneof![
        5 => (0..3_u8, 0..9_u64, len).prop_map(|(name, seed, len)| Operation::Put { name, seed, len }),
        1 => (0..3_u8).prop_map(|name| Operation::PutAgain { name }),
        2 => (0..3_u8, 1..6_u64).prop_map(|(name, number)| Operation::Delete { name, number }),
        1 => (0..3_u8, 1..6_u64).prop_map(|(name, number)| Operation::Tag { name, number }),
        2 => (0..5_u8, 0..6000_usize).prop_map(|(key, len)| Operation::Record { key, len }),
        1 => (0..5_u8).prop_map(|key| Operation::DeleteRecord { key }),
        1 => (0..3_u8).prop_map(|name| Operation::Pin { name }),
        1 => Just(Operation::Unpin),
        1 => any::<u64>().prop_map(|seed| Operation::Abandon { seed }),
        2 => proptest::option::of(1..4_u64).prop_map(|newest| Operation::Gc { newest }),
        2 => Just(Operation::Reopen),
    ]
}

#[derive(Default)]
struct Model {
    versions: BTreeMap<(String, u64), Vec<u8>>,
    last: BTreeMap<String, u64>,
    tags: BTreeMap<String, u64>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    pinned: BTreeMap<Digest, Vec<u8>>,
    /// Whether gc ran since the last deletion: only then are bytes gone for sure.
    swept: bool,
    gone: Vec<Digest>,
}

fn name(number: u8) -> Name {
    format!("name-{number}").parse().unwrap()
}

fn apply(repository: &Repository, model: &mut Model, operation: &Operation) {
    let mut transaction = repository.begin(&actor()).unwrap();
    match operation {
        Operation::Put { name: of, seed, len } => put(repository, model, &name(*of), &noise(*seed, *len)),
        Operation::PutAgain { name: of } => {
            let last = model.versions.range((name(*of).to_string(), 0)..=(name(*of).to_string(), u64::MAX)).next_back();
            if let Some(bytes) = last.map(|(_, bytes)| bytes.clone()) {
                put(repository, model, &name(*of), &bytes);
            }
        }
        Operation::Delete { name: of, number } => {
            let found = repository.resolve(&format!("{}@{number}", name(*of)).parse().unwrap());
            assert_eq!(found.is_ok(), model.versions.contains_key(&(name(*of).to_string(), *number)));
            if let Ok(version) = found {
                transaction.delete_version(&version, "no longer wanted");
                transaction.commit().unwrap();
                model.delete(&name(*of), *number);
            }
        }
        Operation::Tag { name: of, number } => {
            if let Ok(version) = repository.resolve(&format!("{}@{number}", name(*of)).parse().unwrap()) {
                transaction.tag(&version, &"golden".parse().unwrap());
                transaction.commit().unwrap();
                model.tags.insert(name(*of).to_string(), *number);
            }
        }
        Operation::Record { key, len } => {
            let record = noise(u64::from(*key), *len);
            transaction.put_record("records", &[*key], &record).unwrap();
            transaction.commit().unwrap();
            model.records.insert(vec![*key], record);
        }
        Operation::DeleteRecord { key } => {
            transaction.delete_record("records", &[*key]);
            transaction.commit().unwrap();
            model.records.remove(&vec![*key]);
        }
        Operation::Pin { name: of } => {
            let last = model.versions.range((name(*of).to_string(), 0)..=(name(*of).to_string(), u64::MAX)).next_back();
            if let Some((_, bytes)) = last {
                transaction.pin("somebody", [Digest::of(bytes)]);
                transaction.commit().unwrap();
                model.pinned.insert(Digest::of(bytes), bytes.clone());
            }
        }
        Operation::Unpin => {
            transaction.unpin("somebody").unwrap();
            transaction.commit().unwrap();
            model.pinned.clear();
            // What only the pin held stays until the next gc.
            model.swept = false;
        }
        Operation::Abandon { seed } => {
            let digest = transaction.put_bytes(&noise(seed | 1 << 40, 500)).unwrap();
            drop(transaction);
            assert!(!repository.contains(&digest).unwrap());
        }
        Operation::Gc { newest } => {
            drop(transaction);
            repository.gc(&actor(), &Collection { newest: *newest, ..Collection::default() }).unwrap();
            model.retire(*newest);
            model.swept = true;
        }
        Operation::Reopen => (),
    }
}

fn put(repository: &Repository, model: &mut Model, name: &Name, bytes: &[u8]) {
    let mut transaction = repository.begin(&actor()).unwrap();
    let digest = transaction.put_bytes(bytes).unwrap();
    assert_eq!(digest, Digest::of(bytes));
    transaction.set_version(name, digest, ArtifactKind::Blob, None, "");
    let made = transaction.commit().unwrap();
    let number = model.last.entry(name.to_string()).or_default();
    *number += 1;
    assert_eq!(made[0].number, *number);
    model.versions.insert((name.to_string(), *number), bytes.to_vec());
}

impl Model {
    fn delete(&mut self, name: &Name, number: u64) {
        let bytes = self.versions.remove(&(name.to_string(), number)).unwrap();
        self.gone.push(Digest::of(&bytes));
        self.swept = false;
    }

    fn retire(&mut self, newest: Option<u64>) {
        let Some(newest) = newest else { return };
        for name in (0..3).map(name) {
            let numbers: Vec<u64> =
                self.versions.keys().filter(|(of, _)| *of == name.as_str()).map(|(_, number)| *number).collect();
            let tagged = self.tags.get(name.as_str()).copied();
            for number in numbers.iter().rev().skip(newest as usize).filter(|number| Some(**number) != tagged) {
                self.delete(&name, *number);
            }
        }
    }

    fn agrees_with(&self, repository: &Repository) {
        let expected =
            self.versions.iter().map(|((name, number), bytes)| (format!("{name}@{number}"), Digest::of(bytes)));
        assert_eq!(seen(repository), expected.collect());
        for (digest, bytes) in &self.pinned {
            assert_eq!(&repository.bytes(digest).unwrap(), bytes);
        }
        let records: Vec<_> = self.records.clone().into_iter().collect();
        assert_eq!(repository.records("records", 100, false).unwrap(), records);
        let backwards: Vec<_> = records.into_iter().rev().take(2).collect();
        assert_eq!(repository.records("records", 2, true).unwrap(), backwards);
        for digest in self.gone.iter().filter(|_| self.swept) {
            let needed = self.versions.values().chain(self.pinned.values()).any(|bytes| Digest::of(bytes) == *digest);
            assert_eq!(repository.contains(digest).unwrap(), needed, "{digest}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_repository_does_what_two_maps_do(operations in proptest::collection::vec(operation(), 1..40)) {
        let (_temporary, directory) = made();
        let mut repository = open_folding(&directory);
        let mut model = Model::default();
        for operation in &operations {
            apply(&repository, &mut model, operation);
            if matches!(operation, Operation::Reopen) {
                drop(repository);
                repository = open_folding(&directory);
            }
            if !matches!(operation, Operation::Put { .. }) {
                model.agrees_with(&repository);
            }
        }
        audit_holds(&repository);
        drop(repository);
        fsck_is_clean(&directory);
        model.agrees_with(&open_folding(&directory));
    }
}
