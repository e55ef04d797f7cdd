//! Checking a repository: every chunk, every reference, every digest, the index against the journal, the audit log.

use std::{collections::BTreeMap, io, path::Path};

use serde::Serialize;
use stagewright_core::{Digest, canonical};

use super::{Access, Hooks, Repository, Shared};
use crate::{
    Result, StoreError,
    audit::{Actor, bundle},
    index::{Index, READER_FOLD_BYTES, digest_at},
    journal::{self, Position},
    pack::{self, Location},
    rows::{self, Layout, Version},
};

/// Chunks are read in the order in which they lie, so many at a time.
const CHUNKS_TOGETHER: usize = 1 << 18;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// In words, with the file or the digest.
    pub what: String,
    /// The versions that cannot be read because of it, `name@number`.
    pub versions: Vec<String>,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fsck {
    /// The repository.
    pub repository: String,
    /// Chunks that were read and hashed.
    pub chunks: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Artifacts.
    pub artifacts: u64,
    /// Versions.
    pub versions: u64,
    /// Entries of the audit log.
    pub audit_entries: u64,
    /// What was put right.
    pub repaired: Vec<String>,
    /// What is truly lost: only a backup has it.
    pub lost: Vec<Problem>,
    /// Why the repository could not be checked at all, though it is there: it may be whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unchecked: Option<String>,
}

impl Repository {
    /// Checks a repository, and mends its index where it is opened for writing. A repository that cannot even be opened
    /// is told of in the same way.
    ///
    /// # Errors
    /// There is no repository, another process writes to it, or the operating system refuses.
    pub fn fsck(directory: &Path, access: Access, actor: &Actor, hooks: Hooks<'_>) -> Result<Fsck> {
        let repaired = std::cell::RefCell::new(Vec::new());
        let told = |message: &str| {
            repaired.borrow_mut().push(message.to_owned());
            hooks.progress.iter().for_each(|progress| progress(message));
        };
        let opened = Self::open(directory, access, Hooks { progress: Some(&told), ..hooks });
        let damaged = |what: String| Problem { what, versions: Vec::new() };
        let repository = match opened {
            Ok(repository) => repository,
            Err(StoreError::Damaged { repository, what }) => {
                return Ok(Fsck { repository, lost: vec![damaged(what)], ..Fsck::default() });
            }
            Err(error) => return Err(error),
        };
        let mut report = repository.check(actor)?;
        report.repaired.splice(0..0, repaired.take());
        Ok(report)
    }

    /// The same for a repository that is open. Reading and writing go on beside most of it.
    ///
    /// # Errors
    /// A transaction stays open for too long, or the operating system refuses.
    pub fn check(&self, actor: &Actor) -> Result<Fsck> {
        let damaged = |what: String| Problem { what, versions: Vec::new() };
        let mut report = Fsck { repository: self.name().to_owned(), ..Fsck::default() };
        let shared = &*self.shared;
        {
            // Index and journal are compared while neither changes.
            let _closed = shared.gate.close().ok_or_else(|| StoreError::Busy(shared.name.clone()))?;
            if shared.access == Access::Write {
                self.sync()?;
            }
            let checked = shared.check_index(self, actor, &mut report);
            told(checked, &mut report)?;
        }
        // As an open transaction keeps gc away, so does a check.
        let _open = shared.gate.enter();
        for check in [Shared::check_chunks, Shared::check_artifacts, Shared::check_versions] {
            let checked = check(shared, self, actor, &mut report);
            told(checked, &mut report)?;
        }
        match bundle::verify_open(&[self]) {
            Ok(verdict) => report.lost.extend(verdict.problems.into_iter().map(damaged)),
            Err(error) => report.lost.push(damaged(format!("the audit log cannot be read: {error}"))),
        }
        report.audit_entries = self.audit_len()?;
        if let Some(head) = self.audit_head()?
            && self.audit_root(head.size).ok() != Some(head.root)
        {
            report.lost.push(damaged("the audit log's stored tree does not have its signed root".to_owned()));
        }
        Ok(report)
    }
}

/// Damage is what a check looks for, so that it is no error of the check.
fn told(checked: Result<()>, report: &mut Fsck) -> Result<()> {
    match checked {
        Err(StoreError::Damaged { what, .. }) => report.lost(what),
        checked => checked?,
    }
    Ok(())
}

impl Shared {
    /// The index must say what the journal says.
    fn check_index(&self, _: &Repository, _: &Actor, report: &mut Fsck) -> Result<()> {
        let mut truth = Index::empty_to_read(&self.files, &self.directory, &self.name, READER_FOLD_BYTES);
        let found = journal::replay(&self.files, &self.name, Position::START, |position, rows| {
            rows.into_iter().for_each(|(key, value)| truth.put(key, value));
            if truth.is_heavy() {
                truth.fold(position);
            }
            Ok(())
        })?;
        let digest = |index: &Index| -> Result<Digest> {
            let (mut hasher, mut after) = (blake3::Hasher::new(), None::<Vec<u8>>);
            loop {
                let page = index.scan(&[], after.as_deref(), 4096, false)?;
                for (key, value) in &page {
                    hasher.update(&(key.len() as u64).to_le_bytes()).update(key);
                    hasher.update(&(value.len() as u64).to_le_bytes()).update(value);
                }
                match page.into_iter().next_back() {
                    Some((key, _)) => after = Some(key),
                    None => return Ok(Digest::from_bytes(*hasher.finalize().as_bytes())),
                }
            }
        };
        let differs = digest(&self.index())? != digest(&truth)?;
        if differs && self.access == Access::Write {
            let mut index = self.index.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            index.discard()?;
            journal::replay(&self.files, &self.name, Position::START, |position, rows| {
                rows.into_iter().for_each(|(key, value)| index.put(key, value));
                if index.is_heavy() {
                    index.fold(position);
                }
                Ok(())
            })?;
            index.fold(found.end);
            index.vouch();
            report.repaired.push("the index differed from the journal: it was made again".to_owned());
        } else if differs {
            report.lost.push(Problem {
                what: "the index differs from the journal; fsck makes it again where nothing else writes".to_owned(),
                versions: Vec::new(),
            });
        }
        Ok(())
    }

    /// Every chunk must be where the index says, and hash to its name. A bad one is looked for elsewhere in the packs.
    fn check_chunks(&self, repository: &Repository, actor: &Actor, report: &mut Fsck) -> Result<()> {
        let mut bad = BTreeMap::new();
        let mut page = Vec::new();
        let mut read = |page: &mut Vec<(Location, Digest)>, report: &mut Fsck| {
            page.sort_unstable_by_key(|(location, _)| (location.pack, location.offset));
            for (location, digest) in page.drain(..) {
                report.chunks += 1;
                report.bytes += u64::from(location.raw);
                if let Err(error) = self.packs.read(&digest, location) {
                    bad.insert(digest, error.to_string());
                }
            }
        };
        self.each(&[rows::CHUNK], &mut |key, value| {
            let chunk = Location::from_bytes(value).zip(digest_at(key, 1));
            page.push(chunk.ok_or_else(|| self.damaged("a chunk's row"))?);
            if page.len() >= CHUNKS_TOGETHER {
                read(&mut page, report);
            }
            Ok(())
        })?;
        read(&mut page, report);
        if bad.is_empty() {
            return Ok(());
        }
        let mut found: BTreeMap<Digest, Location> = BTreeMap::new();
        for (number, _) in pack::list(&self.files)? {
            pack::scan(&self.files, number, |location, record| {
                if bad.contains_key(&record.digest) {
                    found.insert(record.digest, location);
                }
                Ok(())
            })?;
        }
        if self.access == Access::Write && !found.is_empty() {
            let moved = found.iter().map(|(digest, location)| {
                (rows::key(rows::CHUNK, &[digest.as_bytes()]), Some(location.to_bytes().to_vec()))
            });
            self.commit(actor, moved.collect(), 0, |_, _, changes| {
                changes.push(serde_json::json!({ "action": "repair-chunks", "chunks": found.len() }));
                Ok(())
            })?;
            repository.sync()?;
            for digest in found.keys() {
                bad.remove(digest);
                report.repaired.push(format!("chunk {digest} was damaged; another copy of it was found"));
            }
        }
        report.lost.extend(bad.into_values().map(|what| Problem { what, versions: Vec::new() }));
        Ok(())
    }

    /// Every artifact's chunks must be there and make up its bytes; every artifact that it refers to must be there.
    fn check_artifacts(&self, repository: &Repository, _: &Actor, report: &mut Fsck) -> Result<()> {
        self.each(&[rows::ARTIFACT], &mut |key, value| {
            let artifact = digest_at(key, 1).zip(Layout::from_bytes(value));
            let (digest, layout) = artifact.ok_or_else(|| self.damaged("an artifact's row"))?;
            report.artifacts += 1;
            let checked = match layout.list {
                None => self.has_chunk(&digest),
                Some(_) => repository
                    .reader(&digest)
                    .and_then(|mut reader| {
                        let copied = io::copy(&mut reader, &mut io::sink());
                        copied.map_err(StoreError::io("cannot read", digest.to_string()))
                    })
                    .map(|len| len == layout.len),
            };
            match checked {
                Ok(true) => (),
                Ok(false) => report.lost(format!("artifact {digest}: chunks of it are missing")),
                Err(error) => report.lost(format!("artifact {digest}: {}", with_source(&error))),
            }
            match repository.references(&digest) {
                Ok(references) => {
                    for missing in references {
                        if !repository.contains(&missing)? {
                            report.lost(format!("artifact {digest} needs artifact {missing}, which is missing"));
                        }
                    }
                }
                Err(error) => report.lost(format!("artifact {digest}: its references: {error}")),
            }
            Ok(())
        })
    }

    fn has_chunk(&self, digest: &Digest) -> Result<bool> {
        Ok(self.index().get(&rows::key(rows::CHUNK, &[digest.as_bytes()]))?.is_some())
    }

    /// Every version's artifact must be there; problems of artifacts are told with the versions that they spoil.
    fn check_versions(&self, repository: &Repository, _: &Actor, report: &mut Fsck) -> Result<()> {
        self.each(&[rows::VERSION], &mut |_, value| {
            let version: Version = canonical::from_slice(value).map_err(|_| self.damaged("a version's row"))?;
            let name = format!("{}@{}", version.name, version.number);
            report.versions += 1;
            if !repository.contains(&version.digest)? {
                report.lost(format!("the artifact {} of {name} is missing", version.digest));
            }
            if report.lost.is_empty() {
                return Ok(());
            }
            let mut needed = vec![version.digest.to_string()];
            for digest in repository.references(&version.digest).unwrap_or_default() {
                needed.push(digest.to_string());
            }
            for problem in &mut report.lost {
                if needed.iter().any(|digest| problem.what.contains(digest)) {
                    problem.versions.push(name.clone());
                }
            }
            Ok(())
        })
    }
}

impl Fsck {
    /// Whether everything was checked and nothing is lost.
    pub const fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.unchecked.is_none()
    }

    fn lost(&mut self, what: String) {
        self.lost.push(Problem { what, versions: Vec::new() });
    }
}

fn with_source(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
