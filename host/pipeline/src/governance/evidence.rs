//! Gathering evidence: the reports of the run that made a version, and the champion's predictions of the same rows.
//!
//! Of the rows themselves only labels and predictions are kept with a verdict: enough to give it again, and no more of
//! anybody than that.

use std::collections::BTreeMap;

use serde_json::Value;
use stagewright_core::{
    Batch, Column, ColumnType, Digest, Field, Report, Schema, Selector, VersionRef, canonical,
    record::{Model, RunRecord, StageRun, StepRun, Used},
    stage::Operation,
};
use stagewright_runtime::CancelToken;
use stagewright_store::{StoreError, TableReader, Transaction, Version};

use super::{
    gate::{Demand, Gate},
    judge::Champion,
    paired::{Pairs, Task},
    state::{Role, resolve},
};
use crate::{
    error::{Error, Result},
    execute,
    project::Project,
    run,
};

/// Rows of stored pairs are written in batches of this many.
const BATCH_ROWS: usize = 65_536;

/// The newest run that registered a version.
///
/// # Errors
/// There is none, because it was forgotten or the version came from another project.
pub fn run_of(project: &Project, version: &Version) -> Result<RunRecord> {
    let made = |run: &RunRecord| {
        run.model.as_ref().is_some_and(|model| model.name == version.name && model.number == version.number)
    };
    let shown = super::state::shown(version);
    run::list(project, usize::MAX, None)?.into_iter().find(made).ok_or_else(|| {
        let what = "it was forgotten, or the version was imported; run its pipeline here to judge it";
        Error::Invalid(format!("no run of this project made {shown}: {what}"))
    })
}

/// Everyone who started a run that registered a version, and whoever registered it first.
pub(super) fn authors(project: &Project, version: &Version) -> Result<Vec<String>> {
    let mut authors = vec![version.author.clone()];
    for run in run::list(project, usize::MAX, None)? {
        let made = run.model.as_ref().is_some_and(|model| model.name == version.name && model.number == version.number);
        if made && !authors.contains(&run.author) {
            authors.push(run.author);
        }
    }
    Ok(authors)
}

/// The reports of a run, by stage.
pub(super) fn reports(run: &RunRecord) -> BTreeMap<String, Digest> {
    let report = |stage: &StageRun| Some((stage.name.clone(), *stage.outputs.get("report")?));
    run.stages.iter().filter_map(report).collect()
}

/// Reads reports.
pub(super) fn read_reports(project: &Project, digests: &BTreeMap<String, Digest>) -> Result<BTreeMap<String, Report>> {
    digests.iter().map(|(stage, digest)| Ok((stage.clone(), execute::report(project, digest)?))).collect()
}

/// The champion's predictions beside the candidate's, for every stage that the gate compares. None where there is no
/// champion.
pub(super) fn champion(
    project: &Project,
    version: &Version,
    run: &RunRecord,
    gate: &Gate,
    cancel: &CancelToken,
) -> Result<Option<Champion>> {
    let champion = match champion_of(project, version)? {
        Some(champion) if champion.number != version.number => champion,
        _ => return Ok(None),
    };
    let compared = gate.rules.iter().filter(|rule| matches!(&rule.demand, Demand::Figure { champion: Some(_), .. }));
    let mut pairs = BTreeMap::new();
    for rule in compared {
        let stage = &rule.subject.stage;
        if !pairs.contains_key(stage) {
            pairs.insert(stage.clone(), stage_pairs(project, run, stage, champion.digest, cancel)?);
        }
    }
    let model = Used { name: champion.name, number: champion.number, digest: champion.digest };
    Ok(Some(Champion { model, pairs }))
}

/// The version that serves in production.
///
/// # Errors
/// The models repository cannot be read.
pub fn champion_of(project: &Project, version: &Version) -> Result<Option<Version>> {
    let tag = Selector::Tag(Role::Champion.as_str().parse()?);
    match resolve(project, &VersionRef { name: version.name.clone(), selector: tag }) {
        Ok(champion) => Ok(Some(champion)),
        Err(Error::Store(StoreError::NoVersion { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The outer error is the store's; the inner text says why these models cannot be compared.
fn stage_pairs(
    project: &Project,
    run: &RunRecord,
    stage: &str,
    champion: Digest,
    cancel: &CancelToken,
) -> Result<Result<Pairs, String>> {
    let steps = run.stages.iter().find(|one| one.name == stage).map(|stage| stage.steps.as_slice()).unwrap_or_default();
    let of = |operation: Operation| steps.iter().find(|step| step.result.spec.operation == operation);
    let (Some(scoring), Some(judging)) = (of(Operation::Score), of(Operation::Evaluate)) else {
        return Ok(Err("the stage scored no rows".to_owned()));
    };
    let (Some(rows), Some(ours)) = (scoring.result.spec.inputs.get("input"), scoring.result.outputs.get("output"))
    else {
        return Ok(Err("the stage scored no rows".to_owned()));
    };
    let theirs = match run::score(project, champion, predictor(project, &champion)?, *rows, scoring, cancel)? {
        Ok(theirs) => theirs,
        Err(reason) => return Ok(Err(reason)),
    };
    let data = project.store.data()?;
    match (data.table(ours), data.table(&theirs)) {
        (Ok(ours), Ok(theirs)) => pairs(judging, &ours, &theirs),
        (Err(error), _) | (_, Err(error)) => Ok(Err(run::chain(&error))),
    }
}

/// What an evaluator's parameters say of the columns: the conventions of the contract where they say nothing.
fn pairs(judging: &StepRun, ours: &TableReader, theirs: &TableReader) -> Result<Result<Pairs, String>> {
    let parameters = &judging.result.spec.parameters;
    let text = |name: &str, default: &str| parameters.get(name).and_then(Value::as_str).unwrap_or(default).to_owned();
    let Some(label) = parameters.get("label").and_then(Value::as_str) else {
        return Ok(Err("the evaluator's parameters name no `label` column".to_owned()));
    };
    let score = text("score", "score");
    let classes = ours.schema().index_of(&score).is_some();
    let prediction = if classes { score } else { text("prediction", "prediction") };
    let columns = |table: &TableReader| column(table, &prediction);
    let (candidate, champion) = match (columns(ours)?, columns(theirs)?) {
        (Some(candidate), Some(champion)) => (candidate, champion),
        _ => return Ok(Err(format!("not both models give a `{prediction}`"))),
    };
    let Some(labels) = column(ours, label)? else { return Ok(Err(format!("there is no column `{label}`"))) };
    if candidate.len() != champion.len() || candidate.len() != labels.len() {
        return Ok(Err("they were not asked about the same rows".to_owned()));
    }
    let number = |cell: &Cell| match cell {
        Cell::Number(number) => *number,
        _ => f64::NAN,
    };
    let label: Vec<f64> = if classes {
        let Some(positive) = positive(parameters.get("positive"), &labels) else {
            return Ok(Err("which class is positive is not known: the evaluator has no `positive`".to_owned()));
        };
        labels
            .iter()
            .map(|cell| match cell {
                Cell::Missing => f64::NAN,
                cell => f64::from(u8::from(cell.name() == positive)),
            })
            .collect()
    } else {
        labels.iter().map(number).collect()
    };
    let task = match classes {
        true => Task::Classification { threshold: parameters.get("threshold").and_then(Value::as_f64).unwrap_or(0.5) },
        false => Task::Regression,
    };
    let mut pairs = Pairs { task, label: Vec::new(), candidate: Vec::new(), champion: Vec::new() };
    for ((label, candidate), champion) in label.into_iter().zip(&candidate).zip(&champion) {
        // What the evaluator leaves out, too.
        if !label.is_nan() && !number(candidate).is_nan() {
            pairs.label.push(label);
            pairs.candidate.push(number(candidate));
            pairs.champion.push(number(champion));
        }
    }
    Ok(Ok(pairs))
}

/// A value of a column, as far as labels and predictions need it.
enum Cell {
    Missing,
    Number(f64),
    Name(String),
}

impl Cell {
    /// The value as an evaluator calls the class.
    fn name(&self) -> String {
        match self {
            Self::Missing => String::new(),
            Self::Number(number) => number.to_string(),
            Self::Name(name) => name.clone(),
        }
    }
}

/// A column of a table, all batches. None where the table has no such column.
fn column(table: &TableReader, name: &str) -> Result<Option<Vec<Cell>>> {
    let Some(position) = table.schema().index_of(name) else { return Ok(None) };
    let kind = table.schema().fields()[position].column_type;
    let mut cells = Vec::new();
    for batch in 0..table.batches() {
        let batch = table.batch(batch)?.select(&[position]);
        let column = &batch.columns[0];
        let ints: Vec<i64> = if kind == ColumnType::Int64 { column.ints().collect() } else { Vec::new() };
        let floats: Vec<f64> = if kind == ColumnType::Float64 { column.floats().collect() } else { Vec::new() };
        cells.extend((0..batch.rows as usize).map(|row| match kind {
            _ if !column.is_valid(row) => Cell::Missing,
            ColumnType::Int64 => Cell::Number(ints[row] as f64),
            ColumnType::Float64 if floats[row].is_nan() => Cell::Missing,
            ColumnType::Float64 => Cell::Number(floats[row]),
            ColumnType::Boolean => Cell::Name((column.values[row / 8] >> (row % 8) & 1 == 1).to_string()),
            _ => column.text(row).map_or(Cell::Missing, |text| Cell::Name(text.to_owned())),
        }));
    }
    Ok(Some(cells))
}

/// The name of the positive class: the one that is given, else as the evaluators have it 1, true or the last of two.
fn positive(given: Option<&Value>, labels: &[Cell]) -> Option<String> {
    match given {
        Some(Value::String(name)) => return Some(name.clone()),
        Some(Value::Number(number)) => return number.as_f64().map(|number| number.to_string()),
        Some(Value::Bool(truth)) => return Some(truth.to_string()),
        _ => {}
    }
    let mut names: Vec<String> = labels.iter().filter(|cell| !matches!(cell, Cell::Missing)).map(Cell::name).collect();
    names.sort();
    names.dedup();
    match names.as_slice() {
        [_, last] => Some(last.clone()),
        [only] if only == "1" || only == "true" => Some(only.clone()),
        _ => None,
    }
}

fn pairs_schema() -> Result<Schema> {
    let field = |name: &str| Field::new(name, ColumnType::Float64, false);
    Schema::new(vec![field("label"), field("candidate"), field("champion")])
        .map_err(|error| Error::Invalid(error.to_string()))
}

/// Keeps pairs as a table of the models repository.
pub(super) fn keep(transaction: &mut Transaction<'_>, pairs: &Pairs) -> Result<Digest> {
    let mut writer = transaction.put_table(&pairs_schema()?);
    for start in (0..pairs.label.len()).step_by(BATCH_ROWS) {
        let rows = BATCH_ROWS.min(pairs.label.len() - start);
        let column = |values: &[f64]| Column {
            values: values[start..start + rows].iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..Column::default()
        };
        let columns = vec![column(&pairs.label), column(&pairs.candidate), column(&pairs.champion)];
        let rows = u32::try_from(rows).map_err(|_| Error::Invalid("a batch is too long".to_owned()))?;
        writer.write(&Batch { rows, columns })?;
    }
    Ok(writer.finish()?)
}

/// Reads them back.
pub(super) fn read(project: &Project, task: Task, digest: &Digest) -> Result<Pairs> {
    let table = project.store.models()?.table(digest)?;
    if *table.schema() != pairs_schema()? {
        return Err(Error::Invalid(format!("artifact {digest} does not hold the predictions of two models")));
    }
    let mut pairs = Pairs { task, label: Vec::new(), candidate: Vec::new(), champion: Vec::new() };
    for position in 0..table.batches() {
        let batch = table.batch(position)?;
        for (column, values) in batch.columns.iter().zip([&mut pairs.label, &mut pairs.candidate, &mut pairs.champion])
        {
            values.extend(column.floats());
        }
    }
    Ok(pairs)
}

/// The component that predicts for a model.
fn predictor(project: &Project, model: &Digest) -> Result<Digest> {
    let record: Model = canonical::from_slice(&project.store.models()?.bytes(model)?)
        .map_err(|error| Error::Invalid(format!("artifact {model} is no model: {error}")))?;
    Ok(record.predictor.component)
}
