//! The audit logs of a whole store as one JSON file that can be checked anywhere.

use serde::{Deserialize, Serialize};
use stagewright_core::{Digest, canonical};

use super::{Entry, SignedHead, merkle};
use crate::{REPOSITORIES, Repository, Result, StoreError};

/// The log of one repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// `data`, `code`, `models` or `ledger`.
    pub repository: String,
    /// Every entry, in order.
    pub entries: Vec<Entry>,
    /// The signed head over them.
    pub head: SignedHead,
}

/// The logs of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// What the file is: [`Bundle::FORMAT`].
    pub format: String,
    /// One for each repository.
    pub logs: Vec<Log>,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What was checked, for each repository.
    pub checked: Vec<Checked>,
    /// Everything that is wrong, each with the entry's number; empty where nothing is.
    pub problems: Vec<String>,
}

/// A log that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The repository.
    pub repository: String,
    /// The number of entries.
    pub entries: u64,
    /// The root of their tree.
    pub root: Digest,
    /// The key that signed it.
    pub key: String,
}

impl Bundle {
    /// The format's name.
    pub const FORMAT: &str = "stagewright audit bundle 1";

    /// Collects the logs of these repositories.
    ///
    /// # Errors
    /// A log cannot be read.
    pub fn of(repositories: &[&Repository]) -> Result<Self> {
        let logs = repositories.iter().map(|repository| {
            // A commit may come in between: the head then speaks of more.
            let len = repository.audit_len()?;
            let head = repository.audit_head()?.ok_or_else(|| StoreError::Damaged {
                repository: repository.name().to_owned(),
                what: "the audit log has no signed head".to_owned(),
            })?;
            let entries: Result<Vec<_>> = (0..len.max(head.size)).map(|at| repository.audit_entry(at)).collect();
            Ok(Log { repository: repository.name().to_owned(), entries: entries?, head })
        });
        Ok(Self { format: Self::FORMAT.to_owned(), logs: logs.collect::<Result<_>>()? })
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// The bytes are none.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let bundle: Self = canonical::from_slice(bytes)
            .map_err(|error| StoreError::Invalid(format!("this is not an audit bundle: {error}")))?;
        match bundle.format == Self::FORMAT {
            true => Ok(bundle),
            false => Err(StoreError::Invalid(format!("this is not a `{}` but a `{}`", Self::FORMAT, bundle.format))),
        }
    }

    /// Checks a file: every hash and signature, that each repository's log is there, and that nothing stands in the file
    /// that is not in the bundle. Needs nothing but the bytes.
    ///
    /// # Errors
    /// The bytes are no bundle.
    pub fn verify_file(bytes: &[u8]) -> Result<Verdict> {
        let bundle = Self::read(bytes)?;
        let mut verdict = bundle.verify();
        for name in REPOSITORIES {
            match bundle.logs.iter().filter(|log| log.repository == name).count() {
                0 => verdict.problems.push(format!("the log of repository `{name}` is missing")),
                1 => {}
                many => verdict.problems.push(format!("there are {many} logs of repository `{name}`")),
            }
        }
        for log in bundle.logs.iter().filter(|log| !REPOSITORIES.contains(&log.repository.as_str())) {
            verdict.problems.push(format!("there is a log of a repository `{}`, which no store has", log.repository));
        }
        // What is not part of the bundle is covered by no hash.
        if verdict.problems.is_empty() && !serde_json::to_vec(&bundle).is_ok_and(|written| written == bytes) {
            verdict.problems.push("the file was edited: it holds more than the bundle, or in another form".to_owned());
        }
        Ok(verdict)
    }

    /// Checks every hash and signature. Needs nothing but the bundle.
    pub fn verify(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for log in &self.logs {
            check(log, &mut verdict);
        }
        verdict
    }
}

fn check(log: &Log, verdict: &mut Verdict) {
    let name = &log.repository;
    let mut problem = |what: String| verdict.problems.push(format!("repository `{name}`: {what}"));
    let mut previous = Digest::from_bytes([0; 32]);
    let mut leaves = Vec::with_capacity(log.entries.len());
    for (position, entry) in (0_u64..).zip(&log.entries) {
        if entry.sequence != position {
            problem(format!(
                "entry {position} says that it is entry {}: entries are missing or out of order",
                entry.sequence
            ));
        }
        if entry.previous != previous && position == 0 {
            problem("the first entry names one before it".to_owned());
        } else if entry.previous != previous {
            problem(format!("entry {position} does not follow from entry {}: one of them was changed", position - 1));
        }
        previous = entry.hash();
        leaves.push(previous);
    }
    // The first entry is the repository's own word on whose log this is.
    let made = log.entries.first().and_then(|entry| entry.changes.first());
    if let Some(made) = made.filter(|made| made["action"] == "create-repository")
        && (made["repository"] != **name || made["key"] != log.head.key)
    {
        problem(format!("its first entry is that of repository {} with the key {}", made["repository"], made["key"]));
    }
    let size = leaves.len() as u64;
    if log.head.size != size {
        problem(format!("there are {size} entries, but the signed head speaks of {}", log.head.size));
    }
    let root = tree_root(leaves);
    if log.head.size == size && log.head.root != root {
        problem(
            "the entries are not those that the signed head speaks of: at least the last one was changed".to_owned(),
        );
    }
    if !log.head.is_genuine() {
        problem("the head's signature does not fit it".to_owned());
    }
    verdict.checked.push(Checked { repository: name.clone(), entries: size, root, key: log.head.key.clone() });
}

/// The root over all leaves, level by level: an odd node at the end of a level moves up as it is.
fn tree_root(mut level: Vec<Digest>) -> Digest {
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| if let [a, b] = pair { merkle::node(a, b) } else { pair[0] }).collect();
    }
    level.first().copied().unwrap_or_else(merkle::empty_root)
}
