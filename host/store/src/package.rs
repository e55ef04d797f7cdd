//! Versions and artifacts with everything that they refer to, as one file for another installation.
//!
//! A package begins with `SWX1`. Records follow: a tag, the length of a header (u32), the header as canonical JSON, and
//! for an artifact (`a`) its bytes; `v` is a version, `.` the end, behind which stands the BLAKE3 of everything before
//! it. What an artifact refers to comes before it. Every artifact is checked against its digest as it comes in, and
//! nothing of a repository is visible before its last artifact has been.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Write},
};

use serde::{Deserialize, Serialize};
use stagewright_core::{Digest, canonical};

use crate::{Actor, Repository, Result, Store, StoreError, TableManifest, Transaction, Version};

const MAGIC: &[u8; 4] = b"SWX1";
const LONGEST_HEADER: u32 = 16 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Artifact {
    repository: String,
    digest: Digest,
    len: u64,
    references: Vec<Digest>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Exported {
    repository: String,
    version: Version,
}

/// Something to export.
#[derive(Clone, Debug)]
pub enum Item<'a> {
    /// A version, and its artifact with all that it refers to.
    Version(&'a Repository, &'a Version),
    /// An artifact with all that it refers to.
    Artifact(&'a Repository, Digest),
}

/// What a package held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// The versions that were made, with their repositories' names: their numbers are this installation's.
    pub versions: Vec<(String, Version)>,
    /// How many artifacts came in, those that were there already among them.
    pub artifacts: u64,
}

struct Hashed<W> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hasher.update(&bytes[..read]);
        Ok(read)
    }
}

/// Writes items with their closures.
///
/// # Errors
/// An artifact is missing or damaged, or the package cannot be written.
pub fn export(items: &[Item<'_>], out: impl Write) -> Result<()> {
    let cannot_write = || StoreError::io("cannot write", "the package");
    let mut out = Hashed { inner: out, hasher: blake3::Hasher::new() };
    out.write_all(MAGIC).map_err(cannot_write())?;
    let mut done: BTreeSet<(String, Digest)> = BTreeSet::new();
    for item in items {
        let (repository, digest) = match item {
            Item::Version(repository, version) => (*repository, version.digest),
            Item::Artifact(repository, digest) => (*repository, *digest),
        };
        // Depth first; an artifact is written when everything that it refers to has been.
        let mut waiting = vec![(digest, false)];
        while let Some((digest, ready)) = waiting.pop() {
            let name = repository.name().to_owned();
            if done.contains(&(name.clone(), digest)) {
                continue;
            }
            let references = repository.references(&digest)?;
            if !ready && !references.is_empty() {
                waiting.push((digest, true));
                waiting.extend(references.into_iter().rev().map(|reference| (reference, false)));
                continue;
            }
            let len = repository.len(&digest)?;
            header(&mut out, b'a', &Artifact { repository: name.clone(), digest, len, references })
                .map_err(cannot_write())?;
            io::copy(&mut repository.reader(&digest)?, &mut out).map_err(cannot_write())?;
            done.insert((name, digest));
        }
        if let Item::Version(repository, version) = item {
            let exported = Exported { repository: repository.name().to_owned(), version: (*version).clone() };
            header(&mut out, b'v', &exported).map_err(cannot_write())?;
        }
    }
    header(&mut out, b'.', &()).map_err(cannot_write())?;
    let digest = *out.hasher.finalize().as_bytes();
    out.inner.write_all(&digest).and_then(|()| out.inner.flush()).map_err(cannot_write())
}

fn header(out: &mut impl Write, tag: u8, header: &impl Serialize) -> io::Result<()> {
    let header = canonical::to_vec(header);
    out.write_all(&[tag])?;
    out.write_all(&(header.len() as u32).to_le_bytes())?;
    out.write_all(&header)
}

/// A package that is being read.
struct Packed<R> {
    bytes: Hashed<R>,
}

enum Record {
    /// Its bytes stand behind it.
    Artifact(Artifact),
    Version(Version, String),
}

fn invalid(what: &str) -> StoreError {
    StoreError::Invalid(format!("this is no package, or it is damaged: {what}"))
}

fn cut_short(_: io::Error) -> StoreError {
    invalid("it is cut short")
}

impl<R: Read> Packed<R> {
    fn open(package: R) -> Result<Self> {
        let mut bytes = Hashed { inner: package, hasher: blake3::Hasher::new() };
        let mut magic = [0; 4];
        bytes.read_exact(&mut magic).map_err(cut_short)?;
        if &magic == MAGIC { Ok(Self { bytes }) } else { Err(invalid("it does not begin like one")) }
    }

    /// The next record; none at the end of a package whose bytes have its digest.
    fn next(&mut self) -> Result<Option<Record>> {
        let mut start = [0; 5];
        self.bytes.read_exact(&mut start).map_err(cut_short)?;
        let len = u32::from_le_bytes([start[1], start[2], start[3], start[4]]);
        if len > LONGEST_HEADER {
            return Err(invalid("a header is too long"));
        }
        let mut header = vec![0; len as usize];
        self.bytes.read_exact(&mut header).map_err(cut_short)?;
        let unreadable = |_| invalid("a header is unreadable");
        match start[0] {
            b'a' => Ok(Some(Record::Artifact(canonical::from_slice(&header).map_err(unreadable)?))),
            b'v' => {
                let Exported { repository, version } = canonical::from_slice(&header).map_err(unreadable)?;
                Ok(Some(Record::Version(version, repository)))
            }
            b'.' => {
                let found = *self.bytes.hasher.finalize().as_bytes();
                let mut expected = [0; Digest::LEN];
                self.bytes.inner.read_exact(&mut expected).map_err(cut_short)?;
                if found == expected { Ok(None) } else { Err(invalid("its bytes do not have its digest")) }
            }
            _ => Err(invalid("a record is of no known kind")),
        }
    }

    fn body(&mut self, artifact: &Artifact) -> io::Take<&mut Hashed<R>> {
        (&mut self.bytes).take(artifact.len)
    }
}

/// An artifact's bytes, and the versions that a package makes of it.
pub type Versioned = (Vec<u8>, Vec<Version>);

/// The artifacts of a repository that a package holds, as far as they begin with `magic` and have at most `most` bytes,
/// and the versions that the package makes of each: for whoever judges them before they come in.
///
/// # Errors
/// It is no package, or damaged.
pub fn contents(package: impl Read, repository: &str, magic: &[u8], most: u64) -> Result<BTreeMap<Digest, Versioned>> {
    let mut package = Packed::open(package)?;
    let mut found: BTreeMap<Digest, Versioned> = BTreeMap::new();
    while let Some(record) = package.next()? {
        match record {
            Record::Artifact(artifact) => {
                let mut body = package.body(&artifact);
                let mut bytes = Vec::new();
                (&mut body).take(magic.len() as u64).read_to_end(&mut bytes).map_err(cut_short)?;
                if artifact.repository == repository && bytes == magic && artifact.len <= most {
                    body.read_to_end(&mut bytes).map_err(cut_short)?;
                    found.insert(Digest::of(&bytes), (bytes, Vec::new()));
                } else {
                    io::copy(&mut body, &mut io::sink()).map_err(cut_short)?;
                }
            }
            Record::Version(version, of) if of == repository => {
                if let Some((_, versions)) = found.get_mut(&version.digest) {
                    versions.push(version);
                }
            }
            Record::Version(..) => {}
        }
    }
    Ok(found)
}

/// Reads a package into a store. Versions that `accepts` refuses make the whole package refused.
///
/// # Errors
/// It is no package, or damaged, or refused; then no version was made.
pub fn import(
    store: &Store,
    actor: &Actor,
    package: impl Read,
    accepts: &dyn Fn(&str, &Version) -> Result<()>,
) -> Result<Imported> {
    let mut package = Packed::open(package)?;
    let repositories = store.repositories()?;
    let find = |name: &str| {
        let found = repositories.iter().position(|repository| repository.name() == name);
        found.ok_or_else(|| invalid("it names an unknown repository"))
    };
    // Begun where something comes in, so that a locked repository is in the way only of what is for it.
    let mut transactions: [Option<Transaction<'_>>; 4] = [None, None, None, None];
    let mut imported = Imported::default();
    let mut arrived: BTreeSet<(usize, Digest)> = BTreeSet::new();
    while let Some(record) = package.next()? {
        match record {
            Record::Artifact(artifact) => {
                let at = find(&artifact.repository)?;
                if let Some(missing) = artifact.references.iter().find(|needed| !arrived.contains(&(at, **needed))) {
                    return Err(invalid(&format!("artifact {missing} is missing")));
                }
                let mut bytes = package.body(&artifact);
                let transaction = begun(&mut transactions[at], repositories[at], actor)?;
                let digest = if artifact.references.is_empty() && artifact.len > (1 << 20) {
                    transaction.put_reader(&mut bytes)?.0
                } else if artifact.len > (1 << 30) {
                    return Err(invalid("a manifest is too long"));
                } else {
                    let mut whole = Vec::new();
                    bytes.read_to_end(&mut whole).map_err(cut_short)?;
                    if let Ok(table) = canonical::from_slice::<TableManifest>(&whole)
                        && !table.batches.iter().map(|batch| batch.digest).eq(artifact.references.iter().copied())
                    {
                        return Err(invalid(&format!("table {} does not refer to its batches", artifact.digest)));
                    }
                    match artifact.references.is_empty() {
                        true => transaction.put_bytes(&whole)?,
                        false => transaction.put_referencing(&whole, &artifact.references)?,
                    }
                };
                if digest != artifact.digest {
                    return Err(invalid(&format!("the bytes of artifact {} are not its own", artifact.digest)));
                }
                arrived.insert((at, digest));
                imported.artifacts += 1;
            }
            Record::Version(version, repository) => {
                let at = find(&repository)?;
                accepts(&repository, &version)?;
                let Version { name, number, digest, kind, message, author, .. } = version;
                let message = format!("imported {name}@{number} of {author}: {message}");
                begun(&mut transactions[at], repositories[at], actor)?.set_version(&name, digest, kind, None, &message);
            }
        }
    }
    for (repository, transaction) in repositories.into_iter().zip(transactions) {
        let versions = transaction.map(Transaction::commit).transpose()?.unwrap_or_default();
        imported.versions.extend(versions.into_iter().map(|version| (repository.name().to_owned(), version)));
    }
    Ok(imported)
}

fn begun<'t, 'a>(
    transaction: &'t mut Option<Transaction<'a>>,
    repository: &'a Repository,
    actor: &Actor,
) -> Result<&'t mut Transaction<'a>> {
    match transaction {
        Some(transaction) => Ok(transaction),
        none => Ok(none.insert(repository.begin(actor)?)),
    }
}
