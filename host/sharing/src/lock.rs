//! `stagewright.lock`: which plugins of a project came from elsewhere, from where, and exactly which bytes.
//!
//! The file belongs into version control. A colleague's project is filled from it with the same bytes, and a source
//! that suddenly gives others is noticed. Equal locks are equal files.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use stagewright_core::{Digest, Name};
use toml_edit::{Document, DocumentMut, Item, Table, value};

use crate::{Result, SharingError, reference::is_sha256};

/// The file's name, in the project's folder.
pub const FILE: &str = "stagewright.lock";

const HEADING: &str = "\
# Written by `stagewright plugin add`: the plugins that came from elsewhere, and exactly which bytes they are.
# Keep it in version control; `stagewright plugin add --locked` adds them all again.
";
/// How the file is laid out.
const LAYOUT: i64 = 1;

/// What a plugin is locked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it came from: a web address, or `oci://…` with a tag.
    pub source: String,
    /// The component's own version, where it says one.
    pub version: Option<String>,
    /// The component's digest.
    pub digest: Digest,
    /// The digest of a registry's manifest, `sha256:…`.
    pub manifest: Option<String>,
}

/// A lock file.
#[derive(Clone, Debug)]
pub struct Lock {
    file: PathBuf,
    entries: BTreeMap<Name, Entry>,
}

/// What came is not what was locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The plugin's name.
    pub name: Name,
    /// What it is locked to.
    pub locked: Entry,
    /// What came instead.
    pub digest: Digest,
    /// And from where.
    pub source: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, locked, digest, source } = self;
        let (was, is) = (locked.digest.short(), digest.short());
        write!(f, "{FILE} locks `{name}` to {was} from {}, ", locked.source)?;
        match *source == locked.source {
            true => write!(f, "which now gives {is}")?,
            false => write!(f, "and {source} is {is}")?,
        }
        f.write_str("; nothing was added. If the change is meant, repeat this with --update")
    }
}

impl Lock {
    /// The lock of the project in a folder; empty where there is no file yet.
    ///
    /// # Errors
    /// The file cannot be read, or is wrong.
    pub fn read(project: &Path) -> Result<Self> {
        let file = project.join(FILE);
        let entries = match fs::read_to_string(&file) {
            Ok(text) => {
                parse(&text).map_err(|problem| SharingError::LockFile { file: file.display().to_string(), problem })?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(SharingError::io("cannot read", &file, error)),
        };
        Ok(Self { file, entries })
    }

    /// Every locked plugin, by name.
    pub fn entries(&self) -> &BTreeMap<Name, Entry> {
        &self.entries
    }

    /// Whether a plugin that came may be added.
    ///
    /// # Errors
    /// Its name is locked to other bytes.
    pub fn check(&self, name: &Name, digest: &Digest, source: &str) -> Result<()> {
        match self.entries.get(name) {
            Some(locked) if locked.digest != *digest => Err(SharingError::Locked(Box::new(Difference {
                name: name.clone(),
                locked: locked.clone(),
                digest: *digest,
                source: source.to_owned(),
            }))),
            _ => Ok(()),
        }
    }

    /// Locks a plugin, or locks it to something else.
    pub fn set(&mut self, name: &Name, entry: Entry) {
        self.entries.insert(name.clone(), entry);
    }

    /// Forgets a plugin.
    pub fn remove(&mut self, name: &Name) {
        self.entries.remove(name);
    }

    /// Writes the file, whole or not at all. Without entries there is none.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn write(&self) -> Result<()> {
        if self.entries.is_empty() && !self.file.exists() {
            return Ok(());
        }
        let beside = self.file.with_extension("lock.new");
        let written = fs::write(&beside, self.to_string()).and_then(|()| fs::rename(&beside, &self.file));
        written.map_err(|error| SharingError::io("cannot write", &self.file, error))
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut document = DocumentMut::new();
        document["layout"] = value(LAYOUT);
        let mut plugins = Table::new();
        plugins.set_implicit(true);
        for (name, entry) in &self.entries {
            let mut table = Table::new();
            table["source"] = value(&entry.source);
            if let Some(version) = &entry.version {
                table["version"] = value(version);
            }
            table["digest"] = value(format!("blake3:{}", entry.digest));
            if let Some(manifest) = &entry.manifest {
                table["manifest"] = value(manifest);
            }
            plugins[name.as_str()] = Item::Table(table);
        }
        document["plugin"] = Item::Table(plugins);
        write!(f, "{HEADING}{document}")
    }
}

fn parse(text: &str) -> Result<BTreeMap<Name, Entry>, String> {
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    let mut entries = BTreeMap::new();
    let mut layout = None;
    for (key, item) in document.iter() {
        match key {
            "layout" => layout = item.as_integer(),
            "plugin" => {
                let table = item.as_table_like().ok_or("`plugin` is no table")?;
                for (name, item) in table.iter() {
                    let name: Name =
                        name.parse().map_err(|error: stagewright_core::name::NameError| error.to_string())?;
                    let entry = entry(item).map_err(|problem| format!("plugin `{name}`: {problem}"))?;
                    entries.insert(name, entry);
                }
            }
            other => return Err(format!("unknown key `{other}`")),
        }
    }
    match layout {
        Some(LAYOUT) => Ok(entries),
        _ => Err(format!("`layout` is not {LAYOUT}; another version of stagewright wrote it")),
    }
}

fn entry(item: &Item) -> Result<Entry, String> {
    let table = item.as_table_like().ok_or("it is no table")?;
    let mut values = BTreeMap::new();
    for (key, item) in table.iter() {
        if !["source", "version", "digest", "manifest"].contains(&key) {
            return Err(format!("unknown key `{key}`"));
        }
        values.insert(key, item.as_str().ok_or_else(|| format!("`{key}` is no text"))?.to_owned());
    }
    let digest = values.remove("digest").ok_or("`digest` is missing")?;
    let digest = digest.strip_prefix("blake3:").and_then(|digits| digits.parse().ok());
    let manifest = values.remove("manifest");
    if manifest.as_deref().is_some_and(|manifest| !is_sha256(manifest)) {
        return Err("`manifest` is no digest".to_owned());
    }
    Ok(Entry {
        source: values.remove("source").ok_or("`source` is missing")?,
        version: values.remove("version"),
        digest: digest.ok_or("`digest` is no digest")?,
        manifest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: &[u8]) -> Entry {
        Entry {
            source: "oci://registry.example.org/team/clip:1.0".into(),
            version: Some("0.1.0 \"beta\"".into()),
            digest: Digest::of(bytes),
            manifest: Some(format!("sha256:{}", "0".repeat(64))),
        }
    }

    #[test]
    fn a_lock_reads_back_what_it_wrote_in_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = Lock::read(folder.path()).unwrap();
        let (clip, dotted) = ("clip".parse().unwrap(), "a.b".parse().unwrap());
        lock.set(&clip, entry(b"clip"));
        lock.set(&dotted, Entry { version: None, manifest: None, ..entry(b"other") });
        lock.write().unwrap();
        let again = Lock::read(folder.path()).unwrap();
        assert_eq!(again.entries(), lock.entries());
        assert_eq!(again.to_string(), fs::read_to_string(folder.path().join(FILE)).unwrap());
    }

    #[test]
    fn other_bytes_under_a_locked_name_are_refused_and_the_same_are_not() {
        let mut lock = Lock::read(Path::new("/nowhere")).unwrap();
        let name: Name = "clip".parse().unwrap();
        lock.set(&name, entry(b"clip"));
        assert!(lock.check(&name, &Digest::of(b"clip"), "elsewhere").is_ok());
        assert!(lock.check(&"clop".parse().unwrap(), &Digest::of(b"x"), "elsewhere").is_ok());
        let said = lock
            .check(&name, &Digest::of(b"clop"), "oci://registry.example.org/team/clip:1.0")
            .unwrap_err()
            .to_string();
        assert!(said.contains("`clip`") && said.contains("now gives") && said.contains("--update"), "{said}");
    }

    #[test]
    fn a_file_that_somebody_edited_is_refused() {
        let digest = format!("blake3:{}", Digest::of(b"x"));
        let with = |text: &str| format!("layout = 1\n[plugin.clip]\nsource = \"s\"\n{text}");
        for text in [
            "layout = 2\n".to_owned(),
            "nothing".into(),
            "layout = 1\nother = 2\n".into(),
            with(""),
            with("digest = \"blake3:12\"\n"),
            with(&format!("digest = \"{digest}\"\nmanifest = \"x\"\n")),
            with(&format!("digest = \"{digest}\"\nmore = \"x\"\n")),
            with(&format!("digest = \"{digest}\"\nversion = 1\n")),
            format!("layout = 1\n[plugin.\"../x\"]\nsource = \"s\"\ndigest = \"{digest}\"\n"),
        ] {
            assert!(parse(&text).is_err(), "{text}");
        }
        assert!(parse(&with(&format!("digest = \"{digest}\"\n"))).is_ok());
    }
}
