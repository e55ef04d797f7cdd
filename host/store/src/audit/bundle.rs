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
            let (len, head) = extent(repository)?;
            let entries: Result<Vec<_>> = (0..len).map(|at| repository.audit_entry(at)).collect();
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
            let mut check = Check::new(&log.repository, &log.head, &mut verdict);
            log.entries.iter().for_each(|entry| check.entry(entry));
            check.finish();
        }
        verdict
    }
}

/// Checks the logs of repositories as [`Bundle::verify`] does, entry by entry: they need not fit into memory.
///
/// # Errors
/// A log cannot be read.
pub fn verify_open(repositories: &[&Repository]) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for repository in repositories {
        let (len, head) = extent(repository)?;
        let mut check = Check::new(repository.name(), &head, &mut verdict);
        (0..len).try_for_each(|at| repository.audit_entry(at).map(|entry| check.entry(&entry)))?;
        check.finish();
    }
    Ok(verdict)
}

/// How many entries a log has, and its head.
fn extent(repository: &Repository) -> Result<(u64, SignedHead)> {
    // A commit may come in between: the head then speaks of more.
    let len = repository.audit_len()?;
    let head = repository.audit_head()?.ok_or_else(|| StoreError::Damaged {
        repository: repository.name().to_owned(),
        what: "the audit log has no signed head".to_owned(),
    })?;
    Ok((len.max(head.size), head))
}

/// Checks a log, entry by entry.
struct Check<'a> {
    repository: &'a str,
    head: &'a SignedHead,
    verdict: &'a mut Verdict,
    entries: u64,
    /// The hash of the entry before.
    previous: Digest,
    /// The roots of the complete trees that make up the tree so far, each with its number of leaves; the largest first.
    trees: Vec<(u64, Digest)>,
}

impl<'a> Check<'a> {
    fn new(repository: &'a str, head: &'a SignedHead, verdict: &'a mut Verdict) -> Self {
        Self { repository, head, verdict, entries: 0, previous: Digest::from_bytes([0; 32]), trees: Vec::new() }
    }

    fn problem(&mut self, what: impl std::fmt::Display) {
        self.verdict.problems.push(format!("repository `{}`: {what}", self.repository));
    }

    fn entry(&mut self, entry: &Entry) {
        let position = self.entries;
        if entry.sequence != position {
            self.problem(format_args!(
                "entry {position} says that it is entry {}: entries are missing or out of order",
                entry.sequence
            ));
        }
        if entry.previous != self.previous && position == 0 {
            self.problem("the first entry names one before it");
        } else if entry.previous != self.previous {
            let before = position - 1;
            self.problem(format_args!("entry {position} does not follow from entry {before}: one of them was changed"));
        }
        // The first entry is the repository's own word on whose log this is.
        let made = entry.changes.first().filter(|made| position == 0 && made["action"] == "create-repository");
        if let Some(made) = made
            && (made["repository"] != *self.repository || made["key"] != self.head.key)
        {
            let (repository, key) = (&made["repository"], &made["key"]);
            self.problem(format_args!("its first entry is that of repository {repository} with the key {key}"));
        }
        self.previous = entry.hash();
        self.entries += 1;
        let mut tree = (1, self.previous);
        while let Some((size, left)) = self.trees.pop_if(|(size, _)| *size == tree.0) {
            tree = (2 * size, merkle::node(&left, &tree.1));
        }
        self.trees.push(tree);
    }

    fn finish(mut self) {
        let (entries, size) = (self.entries, self.head.size);
        let (least, most) = (entries.min(size), entries.max(size));
        let named = match most - least {
            1 => format!("entry {least}"),
            _ => format!("entries {least} to {}", most.saturating_sub(1)),
        };
        if entries < size {
            self.problem(format_args!("{named} missing at the end: the signed head speaks of {size}"));
        } else if entries > size {
            self.problem(format_args!("{named} beyond the {size} that the signed head speaks of"));
        }
        let trees = std::mem::take(&mut self.trees).into_iter().rev().map(|(_, root)| root);
        let root = trees.reduce(|right, left| merkle::node(&left, &right)).unwrap_or_else(merkle::empty_root);
        if size == entries && self.head.root != root {
            self.problem("the entries are not those that the signed head speaks of: at least the last one was changed");
        }
        if !self.head.is_genuine() {
            self.problem("the head's signature does not fit it");
        }
        let (repository, key) = (self.repository.to_owned(), self.head.key.clone());
        self.verdict.checked.push(Checked { repository, entries, root, key });
    }
}
