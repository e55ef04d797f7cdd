//! The data repository as people use it: files become versions, versions are shown, compared and written to files.

use std::{collections::BTreeMap, fs::File};

use serde::Serialize;
use stagewright_core::{Batch, Name, Schema, VersionRef, name::NameError};
use stagewright_runtime::CancelToken;
use stagewright_store::{
    ArtifactKind, TableReader, Version,
    diff::{self, TableDiff},
};

use crate::{
    error::{Error, Result},
    given::GivenPath,
    ingest::{self, ColumnProfile, Options, Profiler},
    project::Project,
};

/// What adding a file made.
#[derive(Clone, Debug, Serialize)]
pub struct Added {
    /// The version.
    pub version: Version,
    /// Whether the latest version was equal already, so that no new one was made.
    pub unchanged: bool,
    /// The columns.
    pub schema: Schema,
    /// The number of rows.
    pub rows: u64,
    /// What the reader decided by itself.
    pub notes: Vec<String>,
}

/// Reads a file into a new version of a table. A file equal to the latest version makes none.
///
/// # Errors
/// The file cannot be read, the table not be stored, or `cancel` was used.
pub fn add(
    project: &Project,
    name: &Name,
    path: &GivenPath,
    options: &Options,
    message: &str,
    cancel: &CancelToken,
) -> Result<Added> {
    let shown = path.to_string();
    let file = File::open(path.at()).map_err(|source| ingest::IngestError::Io { file: shown.clone(), source })?;
    let mut stream = ingest::open_file(&shown, file, options)?;
    let schema = stream.schema().clone();
    let data = project.store.data()?;
    let mut transaction = data.begin(&project.actor())?;
    let (mut writer, mut rows) = (transaction.put_table(&schema), 0);
    for batch in &mut stream {
        if cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let batch = batch?;
        rows += u64::from(batch.rows);
        writer.write(&batch)?;
    }
    let digest = writer.finish()?;
    let notes = stream.notes().to_vec();
    let _deciding = project.deciding();
    let latest = data.log(name)?.into_iter().next();
    if let Some(latest) = latest.as_ref().filter(|latest| latest.digest == digest) {
        return Ok(Added { version: latest.clone(), unchanged: true, schema, rows, notes });
    }
    transaction.set_version(name, digest, ArtifactKind::Table, latest.map(|latest| latest.number), message);
    let mut versions = transaction.commit()?;
    let version = versions.pop().ok_or_else(|| Error::Invalid("the commit made no version".to_owned()))?;
    Ok(Added { version, unchanged: false, schema, rows, notes })
}

/// A name and its latest version.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// The latest version.
    pub latest: Version,
    /// How many versions there are.
    pub versions: usize,
    /// The tags, with the number that each stands for.
    pub tags: BTreeMap<Name, u64>,
    /// For tables, the number of rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// For tables, the number of columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<usize>,
}

/// Every name of a repository that has versions of this kind.
///
/// # Errors
/// The repository cannot be read.
pub fn list(repository: &stagewright_store::Repository, kind: ArtifactKind) -> Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for name in repository.names()? {
        let log = repository.log(&name)?;
        let versions = log.len();
        let Some(latest) = log.into_iter().next().filter(|latest| latest.kind == kind) else { continue };
        let table = if kind == ArtifactKind::Table { repository.table(&latest.digest).ok() } else { None };
        listed.push(Listed {
            versions,
            tags: repository.tags(&name)?.into_iter().collect(),
            rows: table.as_ref().map(TableReader::rows),
            columns: table.as_ref().map(|table| table.schema().len()),
            latest,
        });
    }
    Ok(listed)
}

/// A version of a table, to look at.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// The version.
    pub version: Version,
    /// The number of rows.
    pub rows: u64,
    /// What the columns hold.
    pub columns: Vec<ColumnProfile>,
    /// The first rows, each value as text; none where it is missing.
    pub head: Vec<Vec<Option<String>>>,
}

/// Shows a version: what its columns hold, and its first rows.
///
/// # Errors
/// There is no such version, or it is damaged.
pub fn show(project: &Project, wanted: &VersionRef, rows: usize) -> Result<Shown> {
    let (version, table) = table(project, wanted)?;
    let mut profiler = Profiler::new(table.schema().clone());
    let mut head = Vec::new();
    for position in 0..table.batches() {
        let batch = table.batch(position)?;
        profiler.push(&batch);
        for row in 0..(batch.rows as usize).min(rows.saturating_sub(head.len())) {
            head.push(row_texts(&batch, table.schema(), row));
        }
    }
    Ok(Shown { version, rows: table.rows(), columns: profiler.finish(), head })
}

/// The table of a version.
fn table(project: &Project, wanted: &VersionRef) -> Result<(Version, TableReader)> {
    let version = project.store.data()?.resolve(wanted)?;
    let table = project.store.data()?.table(&version.digest)?;
    Ok((version, table))
}

fn row_texts(batch: &Batch, schema: &Schema, row: usize) -> Vec<Option<String>> {
    use stagewright_core::ColumnType;
    let value = |(column, field): (&stagewright_core::Column, &stagewright_core::Field)| {
        column.is_valid(row).then(|| match field.column_type {
            ColumnType::Boolean => (column.values[row / 8] >> (row % 8) & 1 == 1).to_string(),
            ColumnType::Int64 => column.ints().nth(row).unwrap_or_default().to_string(),
            ColumnType::Timestamp => format!("{} µs", column.ints().nth(row).unwrap_or_default()),
            ColumnType::Float64 => column.floats().nth(row).unwrap_or_default().to_string(),
            ColumnType::Text | ColumnType::Category => column.text(row).unwrap_or_default().to_owned(),
        })
    };
    batch.columns.iter().zip(schema.fields()).map(value).collect()
}

/// Two versions of a table, compared.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// The first.
    pub before: Version,
    /// The second.
    pub after: Version,
    /// How they differ.
    #[serde(flatten)]
    pub tables: TableDiff,
}

/// Compares two versions of a table, or of two tables. Rows are compared as wholes, wherever they stand.
///
/// # Errors
/// There is no such version, or one is damaged.
pub fn diff(project: &Project, before: &VersionRef, after: &VersionRef) -> Result<Diff> {
    let (before, old) = table(project, before)?;
    let (after, new) = table(project, after)?;
    Ok(Diff { before, after, tables: diff::tables(&old, &new)? })
}

/// Gives a version a further name, or moves that name to it.
///
/// # Errors
/// There is no such version, or the tag is no tag.
pub fn tag(
    repository: &stagewright_store::Repository,
    project: &Project,
    wanted: &VersionRef,
    tag: &str,
) -> Result<Version> {
    let version = repository.resolve(wanted)?;
    let valid = matches!(tag.parse(), Ok(stagewright_core::Selector::Tag(_)));
    if !valid {
        return Err(NameError::Selector(tag.to_owned()).into());
    }
    let mut transaction = repository.begin(&project.actor())?;
    transaction.tag(&version, &tag.parse()?);
    transaction.commit()?;
    Ok(version)
}

/// Deletes a version; its tombstone and the audit log say that it was there.
///
/// # Errors
/// There is no such version.
pub fn delete(
    repository: &stagewright_store::Repository,
    project: &Project,
    wanted: &VersionRef,
    reason: &str,
) -> Result<Version> {
    let version = repository.resolve(wanted)?;
    let mut transaction = repository.begin(&project.actor())?;
    for (tag, number) in repository.tags(&version.name)? {
        if number == version.number {
            transaction.untag(&version.name, &tag);
        }
    }
    transaction.delete_version(&version, reason);
    transaction.commit()?;
    Ok(version)
}

/// The format that a file's ending names.
pub(crate) fn format_of(path: &GivenPath) -> Result<ingest::Export> {
    match path.given().extension().and_then(|ending| ending.to_str()) {
        Some("csv") => Ok(ingest::Export::Csv),
        Some("parquet") => Ok(ingest::Export::Parquet),
        Some("jsonl" | "ndjson") => Ok(ingest::Export::JsonLines),
        Some("arrow" | "feather") => Ok(ingest::Export::ArrowIpc),
        _ => {
            let message = format!("{path} has no ending that names a format: .csv, .parquet, .jsonl or .arrow");
            Err(Error::Invalid(message))
        }
    }
}

/// Writes a version to a file, in the format that the file's ending names.
///
/// # Errors
/// There is no such version, the ending is unknown, or the file cannot be written.
pub fn export(project: &Project, wanted: &VersionRef, path: &GivenPath) -> Result<Version> {
    let format = format_of(path)?;
    let (version, table) = table(project, wanted)?;
    let file = File::create(path.at()).map_err(|source| Error::io("cannot write", path.given(), source))?;
    let shown = path.to_string();
    let batches = (0..table.batches()).map(|position| {
        let unreadable = |error: stagewright_store::StoreError| ingest::IngestError::File {
            file: wanted.to_string(),
            problem: crate::run::chain(&error),
        };
        table.batch(position).map_err(unreadable)
    });
    ingest::export(&shown, table.schema(), batches, format, std::io::BufWriter::new(file))?;
    Ok(version)
}
