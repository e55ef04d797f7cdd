//! A model as a directory for others: components, what they learned, a manifest, the documents, and a signature over
//! all of it.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use serde::Serialize;
use serde_json::{Value, json};
use stagewright_core::{Digest, VersionRef};
use stagewright_store::Repository;

use super::{
    Kind,
    bias::Question,
    facts::{Component, Facts, Part, gather, sha256},
    of_facts,
    signature::{self, Signed},
};
use crate::{
    error::{Error, Result},
    given::GivenPath,
    project::Project,
};

/// The model's record.
pub(super) const RECORD: &str = "model.json";
const MANIFEST: &str = "manifest.json";
const SIGNATURE: &str = "model.sig";
const FORMAT: &str = "stagewright model 1";

/// What was exported.
#[derive(Clone, Debug, Serialize)]
pub struct Exported {
    /// `income@1`.
    pub model: String,
    /// The files, sorted by path.
    pub files: Vec<ExportedFile>,
    /// Documents that could not be made, each with the reason.
    pub left_out: Vec<(Kind, String)>,
}

/// A file of the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExportedFile {
    /// Its path in the directory.
    pub path: String,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// The number of bytes.
    pub bytes: u64,
}

/// Where a file's bytes come from.
enum Content<'a> {
    Made(Vec<u8>),
    Stored(&'a Repository, Digest),
}

struct Entry<'a> {
    file: ExportedFile,
    content: Content<'a>,
}

impl Entry<'_> {
    fn made(path: &str, bytes: Vec<u8>) -> Self {
        let file = ExportedFile { path: path.to_owned(), sha256: sha256(&bytes), bytes: bytes.len() as u64 };
        Self { file, content: Content::Made(bytes) }
    }
}

/// The name of what a part learned.
pub(super) fn state_name(part: &Part) -> String {
    format!("states/{}.bin", part.state.digest)
}

fn component_name(component: &Component) -> String {
    format!("components/{}.wasm", component.label())
}

/// Writes a version of a model, with its documents and a signature, into a directory that is not there yet or empty.
///
/// # Errors
/// There is no such version, its run was forgotten, or the directory cannot be written.
pub fn export(project: &Project, wanted: &VersionRef, directory: &GivenPath) -> Result<Exported> {
    let facts = gather(project, wanted)?;
    let (entries, left_out) = entries(project, &facts)?;
    let signature = sign(project, &facts, &entries)?;
    fs::create_dir_all(directory.at()).map_err(refused(directory.given()))?;
    if fs::read_dir(directory.at()).map_err(refused(directory.given()))?.next().is_some() {
        return Err(Error::Invalid(format!("{directory} is not empty; name a new directory")));
    }
    let mut files = Vec::new();
    // The signature comes last: a directory that was cut short has none.
    let last = Entry::made(SIGNATURE, signature.into_bytes());
    for entry in entries.into_iter().chain([last]) {
        let path = directory.at().join(&entry.file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(refused(parent))?;
        }
        let mut out = File::create_new(&path).map_err(refused(&path))?;
        match &entry.content {
            Content::Made(bytes) => out.write_all(bytes),
            Content::Stored(repository, digest) => io::copy(&mut repository.reader(digest)?, &mut out).map(drop),
        }
        .map_err(refused(&path))?;
        files.push(entry.file);
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(Exported { model: facts.label(), files, left_out })
}

fn refused(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| Error::io("cannot write", path, error)
}

/// The signature that an export made now would have.
pub(crate) fn signature(project: &Project, facts: &Facts) -> Result<String> {
    sign(project, facts, &entries(project, facts)?.0)
}

fn sign(project: &Project, facts: &Facts, entries: &[Entry<'_>]) -> Result<String> {
    let files: Vec<Signed<'_>> =
        entries.iter().map(|entry| Signed { path: &entry.file.path, sha256: &entry.file.sha256 }).collect();
    signature::bundle(project, &facts.label(), &files, &[SIGNATURE])
}

/// Every file but the signature, and the documents that could not be made, each with why.
type Entries<'a> = (Vec<Entry<'a>>, Vec<(Kind, String)>);

fn entries<'a>(project: &'a Project, facts: &Facts) -> Result<Entries<'a>> {
    let (models, code) = (project.store.models()?, project.store.code()?);
    let stored = |path: String, repository, artifact: &super::facts::Artifact| Entry {
        file: ExportedFile { path, sha256: artifact.sha256.clone(), bytes: artifact.bytes },
        content: Content::Stored(repository, artifact.digest),
    };
    let mut entries: Vec<Entry<'a>> = vec![stored(RECORD.to_owned(), models, &facts.record)];
    for part in &facts.parts {
        let component = &facts.components[part.component];
        entries.push(stored(component_name(component), code, &component.artifact));
        entries.push(stored(state_name(part), models, &part.state));
    }
    // Two parts may share a component or a state.
    entries.sort_by(|one, other| one.file.path.cmp(&other.file.path));
    entries.dedup_by(|one, other| one.file.path == other.file.path);
    let manifest = manifest(facts, &entries);
    entries.push(Entry::made(MANIFEST, serde_json::to_vec_pretty(&manifest).unwrap_or_default()));
    let mut left_out = Vec::new();
    for (kind, path) in [
        (Kind::ModelCard, "README.md"),
        (Kind::AnnexIv, "documents/annex-iv.md"),
        (Kind::BiasAudit, "documents/bias-audit.md"),
        (Kind::MlBom, "documents/bom.cdx.json"),
        (Kind::Provenance, "documents/provenance.intoto.json"),
    ] {
        match of_facts(project, kind, facts, &Question::default()) {
            Ok(document) => entries.push(Entry::made(path, document.bytes)),
            // Not every model decides about people, and not every run says which columns are about them.
            Err(Error::Invalid(why)) if kind == Kind::BiasAudit => left_out.push((kind, why)),
            Err(error) => return Err(error),
        }
    }
    Ok((entries, left_out))
}

/// What a program needs to serve the model from the directory alone.
fn manifest(facts: &Facts, entries: &[Entry<'_>]) -> Value {
    let parts: Vec<Value> = facts
        .parts
        .iter()
        .map(|part| {
            let component = &facts.components[part.component];
            json!({
                "role": part.role,
                "plugin": component.label(),
                "component": component_name(component),
                "state": state_name(part),
            })
        })
        .collect();
    json!({
        "format": FORMAT,
        "model": facts.version.name,
        "version": facts.version.number,
        "digest": facts.record.digest,
        "task": facts.task(),
        "input": facts.model.input,
        "output": facts.outputs,
        "parts": parts,
        "made-by": {
            "run": facts.run.id,
            "pipeline": facts.run.pipeline,
            "engine": facts.run.engine,
            "contract": facts.run.contract,
            "profile": facts.run.profile,
            "stagewright": facts.run.host,
        },
        "files": entries.iter().map(|entry| &entry.file).collect::<Vec<_>>(),
    })
}
