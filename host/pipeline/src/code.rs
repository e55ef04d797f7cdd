//! The code repository as people use it: components become versions of plugins.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use serde::Serialize;
use serde_json::json;
use stagewright_core::{
    Digest, Grants, Name, Schema, VersionRef, canonical,
    record::{PluginRecord, Used},
};
use stagewright_runtime::{COMPONENT_BYTES, CancelToken, Component, Limits, Metadata, WorkerPool};
use stagewright_store::{ArtifactKind, Version};

use crate::{
    error::{Error, Result},
    given::GivenPath,
    granted,
    plan::Catalog,
    project::Project,
    run::chain,
};

/// The collection of plugins in the code repository, by the component's digest.
const PLUGINS: &str = "plugin";
/// The collection of their signatures.
const SIGNATURES: &str = "plugin-signature";

/// Where a component came from and who vouches for it. Kept beside it, and in the audit log.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The address that it came from, or its file's name.
    pub source: String,
    /// Its detached signature.
    pub signature: Option<Signed>,
}

/// A component's signature, as it was judged when the component came.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The text of its file.
    pub text: String,
    /// The key that it names.
    pub key: String,
    /// What the signer says, if the project trusts the key and the signature holds.
    pub trusted_comment: Option<String>,
}

/// What adding a component made.
#[derive(Clone, Debug, Serialize)]
pub struct Added {
    /// The version.
    pub version: Version,
    /// Whether the latest version was equal already, so that no new one was made.
    pub unchanged: bool,
    /// What the plugin is.
    pub plugin: PluginRecord,
}

/// The components that a path stands for: itself, or the `.wasm` files of a folder, sorted.
///
/// # Errors
/// The folder cannot be read, or holds none.
pub fn files(path: &GivenPath) -> Result<Vec<GivenPath>> {
    if !path.at().is_dir() {
        return Ok(vec![path.clone()]);
    }
    let entries = fs::read_dir(path.at()).map_err(|source| Error::io("cannot read", path.given(), source))?;
    let mut names: Vec<PathBuf> = entries
        .filter_map(|entry| Some(PathBuf::from(entry.ok()?.file_name())))
        .filter(|name| name.extension().is_some_and(|ending| ending == "wasm"))
        .collect();
    names.sort();
    match names.is_empty() {
        true => Err(Error::Invalid(format!("{path} holds no .wasm files"))),
        false => Ok(names.iter().map(|name| path.map(|folder| folder.join(name))).collect()),
    }
}

/// Checks a component and adds it as a new version. One equal to the latest version makes none. `what` is for messages.
///
/// # Errors
/// The bytes are not a component of the contract, or cannot be stored.
pub fn add(
    project: &Project,
    component: Vec<u8>,
    what: &str,
    name: &Name,
    message: &str,
    origin: &Origin,
) -> Result<Added> {
    let (component, plugin) = inspect(&project.pool, &project.limits(), component, what)?;
    let code = project.store.code()?;
    let _deciding = project.deciding();
    let latest = code.latest(name)?;
    let known = code.record(SIGNATURES, plugin.digest.as_bytes())?;
    let new_signature = origin.signature.as_ref().filter(|signed| known.as_deref() != Some(signed.text.as_bytes()));
    let unchanged = latest.clone().filter(|latest| latest.digest == plugin.digest);
    if let (Some(version), None) = (&unchanged, new_signature) {
        return Ok(Added { version: version.clone(), unchanged: true, plugin });
    }
    let mut transaction = code.begin(&project.actor())?;
    let signed = origin.signature.as_ref();
    transaction.audit(json!({
        "action": "take-plugin", "name": name, "digest": plugin.digest, "source": origin.source,
        "signature": match signed {
            None => "none",
            Some(Signed { trusted_comment: None, .. }) => "unknown key",
            Some(_) => "trusted key",
        },
        "key": signed.map(|signed| &signed.key),
        "signer-says": signed.and_then(|signed| signed.trusted_comment.as_ref()),
    }));
    if let Some(signed) = new_signature {
        transaction.put_record(SIGNATURES, plugin.digest.as_bytes(), signed.text.as_bytes())?;
    }
    if let Some(version) = unchanged {
        transaction.commit()?;
        return Ok(Added { version, unchanged: true, plugin });
    }
    let bytes = component.bytes().map_err(|source| Error::Stage { what: format!("{what} cannot be kept"), source })?;
    transaction.put_bytes(&bytes)?;
    transaction.put_record(PLUGINS, plugin.digest.as_bytes(), &canonical::to_vec(&plugin))?;
    transaction.set_version(name, plugin.digest, ArtifactKind::Plugin, latest.map(|latest| latest.number), message);
    let mut versions = transaction.commit()?;
    let version = versions.pop().ok_or_else(|| Error::Invalid("the commit made no version".to_owned()))?;
    Ok(Added { version, unchanged: false, plugin })
}

/// Keeps what a component is, for versions of it that come otherwise than by [`add`]. `what` is for messages.
///
/// # Errors
/// The bytes are not a component of the contract, or the record cannot be stored.
pub fn register(project: &Project, component: &[u8], what: &str) -> Result<()> {
    let (_, plugin) = inspect(&project.pool, &project.limits(), component.to_vec(), what)?;
    let mut transaction = project.store.code()?.begin(&project.actor())?;
    transaction.put_record(PLUGINS, plugin.digest.as_bytes(), &canonical::to_vec(&plugin))?;
    transaction.commit()?;
    Ok(())
}

/// The text of the signature that came with a component, if one did.
///
/// # Errors
/// The code repository cannot be read.
pub fn signature(project: &Project, component: &Digest) -> Result<Option<String>> {
    let record = project.store.code()?.record(SIGNATURES, component.as_bytes())?;
    Ok(record.and_then(|bytes| String::from_utf8(bytes).ok()))
}

/// The component in a file, and what it is.
///
/// # Errors
/// The file is not a component of the contract.
pub fn inspect_file(pool: &WorkerPool, limits: &Limits, path: &GivenPath) -> Result<(Component, PluginRecord)> {
    let size = fs::metadata(path.at()).map_err(|source| Error::io("cannot read", path.given(), source))?.len();
    if size > COMPONENT_BYTES {
        return Err(too_large(&path.to_string(), size));
    }
    let bytes = fs::read(path.at()).map_err(|source| Error::io("cannot read", path.given(), source))?;
    inspect(pool, limits, bytes, &path.to_string())
}

/// What a component is. `what` is for messages.
///
/// # Errors
/// The bytes are not a component of the contract.
pub fn inspect(
    pool: &WorkerPool,
    limits: &Limits,
    component: Vec<u8>,
    what: &str,
) -> Result<(Component, PluginRecord)> {
    let bytes = component.len() as u64;
    if bytes > COMPONENT_BYTES {
        return Err(too_large(what, bytes));
    }
    let component = Component::new(component);
    let inspection = pool
        .inspect_within(&component, limits, &CancelToken::new())
        .map_err(|source| Error::Stage { what: format!("{what} cannot be a plugin"), source })?;
    let plugin = PluginRecord {
        digest: component.digest(),
        bytes,
        metadata: metadata(&inspection.metadata),
        imports: inspection.imports,
        stages: inspection.stages,
    };
    Ok((component, plugin))
}

fn too_large(what: &str, bytes: u64) -> Error {
    Error::Invalid(format!("{what} has {bytes} bytes; a component has at most {COMPONENT_BYTES}"))
}

fn metadata(metadata: &Metadata) -> BTreeMap<String, String> {
    let fields = [
        ("name", &metadata.name),
        ("version", &metadata.version),
        ("description", &metadata.description),
        ("licence", &metadata.licence),
        ("authors", &metadata.authors),
        ("source", &metadata.source),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect()
}

/// A version of a plugin and what it is.
///
/// # Errors
/// There is no such version, or it is damaged.
pub fn plugin(project: &Project, wanted: &VersionRef) -> Result<(Version, PluginRecord)> {
    let version = project.store.code()?.resolve(wanted)?;
    let record = project.store.code()?.record(PLUGINS, version.digest.as_bytes())?;
    let record = record.and_then(|bytes| canonical::from_slice(&bytes).ok());
    match record.filter(|_| version.kind == ArtifactKind::Plugin) {
        Some(record) => Ok((version, record)),
        None => Err(Error::Invalid(format!(
            "`{wanted}` in the code repository is a {}, not a plugin",
            version.kind.as_str()
        ))),
    }
}

impl Catalog for Project {
    fn allowed(&self) -> Grants {
        self.settings.allowed.grants.clone()
    }

    fn folder(&self, path: &str) -> Result<(), String> {
        granted::grantable(&self.root, path)
    }

    fn data(&self, version: &VersionRef) -> Result<(Used, Schema), String> {
        let data = self.store.data().map_err(|error| chain(&error))?;
        let found = data.resolve(version).map_err(|error| match error {
            stagewright_store::StoreError::NoVersion { wanted, hint, .. } => {
                let hint = hint.unwrap_or_else(|| "`stagewright data add` makes one".to_owned());
                format!("there is no data set `{wanted}`; {hint}")
            }
            error => chain(&error),
        })?;
        let table = data.table(&found.digest).map_err(|error| chain(&error))?;
        Ok((used(found), table.schema().clone()))
    }

    fn plugin(&self, version: &VersionRef) -> Result<(Used, Arc<PluginRecord>), String> {
        match plugin(self, version) {
            Ok((found, record)) => Ok((used(found), Arc::new(record))),
            Err(Error::Store(stagewright_store::StoreError::NoVersion { wanted, hint, .. })) => {
                let hint = hint.unwrap_or_else(|| "`stagewright plugin add` adds one".to_owned());
                Err(format!("there is no plugin `{wanted}`; {hint}"))
            }
            Err(error) => Err(chain(&error)),
        }
    }
}

fn used(version: Version) -> Used {
    Used { name: version.name, number: version.number, digest: version.digest }
}

/// The kinds of stage that a component exports, for listings.
pub fn kinds(plugin: &PluginRecord) -> String {
    plugin.stages.iter().map(|stage| stage.kind.as_str()).collect::<Vec<_>>().join(", ")
}

/// What the code repository knows of a component by its digest.
pub(crate) fn record(project: &Project, digest: &Digest) -> Option<PluginRecord> {
    canonical::from_slice(&project.store.code().ok()?.record(PLUGINS, digest.as_bytes()).ok()??).ok()
}
