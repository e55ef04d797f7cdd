//! The log as a table that an evaluator or a monitor reads: rows, and behind them labels and predictions.

use std::collections::BTreeMap;

use serde::Serialize;
use stagewright_core::{Batch, ColumnType, Field, Name, Schema};
use stagewright_store::{ArtifactKind, Version};

use super::{
    feedback,
    layout::{ERROR, ID, Layout, ROW, VERSION, int_at},
    log_name,
    storage::Log,
};
use crate::{
    GivenPath,
    error::{Error, Result},
    ingest,
    project::Project,
};

/// Which rows of a log are wanted.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Only those that this model answered, such as `income@2`.
    pub model: Option<String>,
    /// Only those that feedback is known of, with a column of the labels, of this name.
    pub label: Option<String>,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct Exported {
    /// Rows.
    pub rows: u64,
    /// Rows of models with other columns, which were left out.
    pub left_out: u64,
    /// The version of a table of the data repository, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

/// The wanted rows of a log.
pub(crate) struct Rows {
    pub(crate) schema: Schema,
    pub(crate) batches: Vec<Batch>,
    left_out: u64,
}

/// Writes the wanted rows to a file, in the format that its ending names.
///
/// # Errors
/// The log cannot be read, or the file not be written.
pub fn to_file(
    project: &Project,
    environment: &Name,
    endpoint: &Name,
    choice: &Choice,
    path: &GivenPath,
) -> Result<Exported> {
    let format = crate::data::format_of(path)?;
    let rows = rows(project, environment, endpoint, choice)?;
    let file = std::fs::File::create(path.at()).map_err(|source| Error::io("cannot write", path.given(), source))?;
    let count = rows.batches.iter().map(|batch| u64::from(batch.rows)).sum();
    let shown = path.to_string();
    let batches = rows.batches.into_iter().map(Ok);
    ingest::export(&shown, &rows.schema, batches, format, std::io::BufWriter::new(file))?;
    Ok(Exported { rows: count, left_out: rows.left_out, version: None })
}

/// Makes a new version of a table of the wanted rows.
///
/// # Errors
/// The log cannot be read, or the table not be stored.
pub fn to_table(
    project: &Project,
    environment: &Name,
    endpoint: &Name,
    choice: &Choice,
    name: &Name,
) -> Result<Exported> {
    let rows = rows(project, environment, endpoint, choice)?;
    let mut transaction = project.store.data()?.begin(&project.actor())?;
    let mut writer = transaction.put_table(&rows.schema);
    rows.batches.iter().try_for_each(|batch| writer.write(batch))?;
    let digest = writer.finish()?;
    let message = format!("predictions of `{endpoint}` in {environment}");
    transaction.set_version(name, digest, ArtifactKind::Table, None, &message);
    let version = transaction.commit()?.pop();
    let count = rows.batches.iter().map(|batch| u64::from(batch.rows)).sum();
    Ok(Exported { rows: count, left_out: rows.left_out, version })
}

/// The wanted rows. Where models differ in their columns, those of the latest answer decide.
fn rows(project: &Project, environment: &Name, endpoint: &Name, choice: &Choice) -> Result<Rows> {
    project.followers.settle();
    let labels = choice.label.as_ref().map(|_| feedback::labels(project, environment, endpoint)).transpose()?;
    let mut by_layout: Vec<(Layout, Vec<Batch>)> = Vec::new();
    Log::open(project, &log_name(environment, endpoint)?)?.each(&|_| true, &mut |layout, batch| {
        let wanted = |row: usize| {
            let of_model =
                choice.model.as_ref().is_none_or(|model| batch.columns[VERSION].text(row) == Some(model.as_str()));
            of_model && (labels.is_none() || !batch.columns[ERROR].is_valid(row))
        };
        let kept = keep_rows(&layout.schema, &batch, &|row| {
            wanted(row) && labels.as_ref().is_none_or(|labels| label_of(labels, &batch, row).is_some())
        });
        match by_layout.iter_mut().find(|(known, _)| known == layout) {
            Some((_, batches)) => batches.extend(kept),
            None => by_layout.push((layout.clone(), kept.into_iter().collect())),
        }
        Ok(())
    })?;
    by_layout.retain(|(_, batches)| !batches.is_empty());
    let Some((layout, batches)) = by_layout.pop() else {
        let what = if choice.label.is_some() { "predictions with feedback" } else { "predictions" };
        return Err(Error::Invalid(format!("there are no such {what} of `{endpoint}` in {environment}")));
    };
    let left_out = by_layout.iter().flat_map(|(_, batches)| batches).map(|batch| u64::from(batch.rows)).sum();
    match (&choice.label, labels) {
        (Some(name), Some(labels)) => labelled(&layout, batches, name, &labels, left_out),
        _ => Ok(Rows { schema: layout.schema, batches, left_out }),
    }
}

fn label_of<'l>(labels: &'l BTreeMap<(String, i64), String>, batch: &Batch, row: usize) -> Option<&'l str> {
    let key = (batch.columns[ID].text(row)?.to_owned(), int_at(&batch.columns[ROW], row)?);
    labels.get(&key).map(String::as_str)
}

/// As an evaluator reads scored rows: the request's columns, the inputs, the label, the outputs.
fn labelled(
    layout: &Layout,
    batches: Vec<Batch>,
    name: &str,
    labels: &BTreeMap<(String, i64), String>,
    left_out: u64,
) -> Result<Rows> {
    let outputs = layout.output_columns();
    let fields = layout.schema.fields();
    // A label has the type of what it is compared with.
    let prediction = fields[outputs.clone()].iter().find(|field| field.name.trim_end_matches('_') == "prediction");
    let column_type = prediction.map_or(ColumnType::Category, |field| field.column_type);
    let taken = || Error::Invalid(format!("the log has a column `{name}` already; call the labels otherwise"));
    let mut with_label = fields.to_vec();
    with_label.insert(outputs.start, Field::new(name, column_type, true));
    let schema = Schema::new(with_label).map_err(|_| taken())?;
    let batches = batches.into_iter().map(|mut batch| {
        let of_row: Vec<Option<&str>> = (0..batch.rows as usize).map(|row| label_of(labels, &batch, row)).collect();
        let column = ingest::column(column_type, &of_row).map_err(|label| {
            Error::Invalid(format!(
                "the label `{label}` is no {}, as the model's predictions are",
                column_type.as_str()
            ))
        })?;
        batch.columns.insert(outputs.start, column);
        batch.check(&schema).map_err(|error| Error::Invalid(format!("the labels: {error}")))?;
        Ok(batch.canonical(&schema))
    });
    let batches = batches.collect::<Result<_>>()?;
    Ok(Rows { schema, batches, left_out })
}

/// The rows of a batch for which `wanted` says so; none where there are none.
fn keep_rows(schema: &Schema, batch: &Batch, wanted: &dyn Fn(usize) -> bool) -> Option<Batch> {
    let rows = batch.rows as usize;
    let mut slices = Vec::new();
    let mut start = None;
    for row in 0..=rows {
        match (start, row < rows && wanted(row)) {
            (None, true) => start = Some(row),
            (Some(from), false) => {
                slices.push(batch.slice(schema, from..row));
                start = None;
            }
            _ => {}
        }
    }
    (!slices.is_empty()).then(|| Batch::concat(schema, &slices).canonical(schema))
}
