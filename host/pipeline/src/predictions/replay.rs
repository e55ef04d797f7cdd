//! Logged predictions, found again by request id and made again by the model that made them.

use std::{
    sync::mpsc::sync_channel,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::{Map, Value, json};
use stagewright_core::{Batch, Column, ColumnType, Digest, Name, Schema, Selector, VersionRef, record::Used};

use super::{
    feedback,
    layout::{DIGEST, ERROR, ID, LATENCY, Layout, ROLE, ROW, TIME, VERSION, int_at},
    load, log_name,
    storage::{Ids, Log},
};
use crate::{
    deploy,
    error::{Error, Result},
    project::Project,
    run::chain,
    serving::{Answer, Question, Servable, Unanswered},
};

/// An answer as it was logged.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The request's id.
    pub request_id: String,
    /// The environment.
    pub environment: Name,
    /// The endpoint.
    pub endpoint: Name,
    /// When it was answered, in milliseconds since 1970.
    pub at_ms: u64,
    /// How long that took, in microseconds.
    pub latency_us: u64,
    /// The model's version.
    pub model: String,
    /// The model's digest.
    pub digest: Digest,
    /// As what the model answered.
    pub role: String,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip)]
    layout: Layout,
    /// The logged rows, with all columns.
    #[serde(skip)]
    rows: Batch,
}

/// What was logged of a request, oldest first, in one endpoint's log or in all.
///
/// # Errors
/// The log does not know the request, or cannot be read.
pub fn find(project: &Project, request_id: &str, endpoint: Option<&Name>) -> Result<Vec<Entry>> {
    project.followers.settle();
    let mut entries: Vec<Entry> = Vec::new();
    let hash = Ids::hash(request_id);
    for deployment in deploy::status(project, None)? {
        let plan = &deployment.plan;
        if endpoint.is_some_and(|endpoint| *endpoint != plan.endpoint) {
            continue;
        }
        let log = Log::open(project, &log_name(&plan.environment, &plan.endpoint)?)?;
        log.each(&|segment| segment.ids.contains(hash), &mut |layout, batch| {
            for row in (0..batch.rows as usize).filter(|row| batch.columns[ID].text(*row) == Some(request_id)) {
                let one = entry(plan, layout, batch.slice(&layout.schema, row..row + 1), request_id)?;
                match entries.last_mut().filter(|last| last.goes_on_with(&one)) {
                    Some(last) => {
                        last.rows = Batch::concat(&layout.schema, &[std::mem::take(&mut last.rows), one.rows])
                    }
                    None => entries.push(one),
                }
            }
            Ok(())
        })?;
    }
    if entries.is_empty() {
        return Err(Error::Invalid(format!(
            "no log has a request `{request_id}`: it was never answered, is not in the logged share, or was erased"
        )));
    }
    entries.sort_by_key(|entry| entry.at_ms);
    Ok(entries)
}

fn entry(plan: &deploy::Plan, layout: &Layout, rows: Batch, request_id: &str) -> Result<Entry> {
    let unreadable = || Error::Invalid(format!("the logged row of request `{request_id}` cannot be read"));
    let number = |column: usize| int_at(&rows.columns[column], 0).and_then(|number| u64::try_from(number).ok());
    let word = |column: usize| rows.columns[column].text(0).map(str::to_owned);
    Ok(Entry {
        request_id: request_id.to_owned(),
        environment: plan.environment.clone(),
        endpoint: plan.endpoint.clone(),
        at_ms: number(TIME).ok_or_else(unreadable)? / 1000,
        latency_us: number(LATENCY).ok_or_else(unreadable)?,
        model: word(VERSION).ok_or_else(unreadable)?,
        digest: word(DIGEST).and_then(|digest| digest.parse().ok()).ok_or_else(unreadable)?,
        role: word(ROLE).ok_or_else(unreadable)?,
        error: word(ERROR),
        layout: layout.clone(),
        rows,
    })
}

impl Entry {
    /// Whether the next logged row belongs to the same answer.
    fn goes_on_with(&self, next: &Self) -> bool {
        let row = |entry: &Self, row: usize| int_at(&entry.rows.columns[ROW], row);
        self.layout == next.layout
            && (self.at_ms, self.digest, &self.role, self.latency_us)
                == (next.at_ms, next.digest, &next.role, next.latency_us)
            && row(self, self.rows.rows as usize - 1).map(|last| last + 1) == row(next, 0)
    }

    /// The number of rows of the request.
    pub const fn rows(&self) -> u32 {
        self.rows.rows
    }

    /// The inputs, by column, row by row.
    pub fn inputs(&self) -> Vec<Map<String, Value>> {
        self.values(self.layout.input_columns())
    }

    /// The outputs, by column, row by row.
    pub fn outputs(&self) -> Vec<Map<String, Value>> {
        self.values(self.layout.output_columns())
    }

    fn values(&self, columns: std::ops::Range<usize>) -> Vec<Map<String, Value>> {
        let fields = self.layout.schema.fields();
        let row = |row: usize| {
            let value =
                |at: usize| (fields[at].name.clone(), cell(&self.rows.columns[at], fields[at].column_type, row));
            columns.clone().map(value).collect()
        };
        (0..self.rows.rows as usize).map(row).collect()
    }

    /// The labels that feedback brought, by row.
    ///
    /// # Errors
    /// The feedback cannot be read.
    pub fn labels(&self, project: &Project) -> Result<Vec<Option<String>>> {
        let labels = feedback::labels(project, &self.environment, &self.endpoint)?;
        let label = |row: u32| labels.get(&(self.request_id.clone(), i64::from(row))).cloned();
        Ok((0..self.rows.rows).map(label).collect())
    }

    fn part(&self, columns: std::ops::Range<usize>) -> (Schema, Batch) {
        let fields = self.layout.schema.fields()[columns.clone()].to_vec();
        let batch = Batch { rows: self.rows.rows, columns: self.rows.columns[columns].to_vec() };
        let schema = Schema::new(fields).expect("a part of a schema is one");
        let batch = batch.canonical(&schema);
        (schema, batch)
    }
}

/// What making an answer again found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Replay {
    /// The same bits.
    Same,
    /// Other bits; the first of them.
    Differs {
        /// The row.
        row: u32,
        /// The column.
        column: String,
        /// What was logged.
        logged: Value,
        /// What comes out now.
        found: Value,
    },
    /// The model's version is another model now.
    Swapped {
        /// The digest that the version has now.
        now: Digest,
    },
    /// It cannot be made again.
    Failed {
        /// Why.
        message: String,
    },
}

/// Makes a logged answer again, by the logged model from the logged rows, and compares bit for bit. Where the model failed,
/// it must fail again.
pub fn replay(project: &Project, entry: &Entry) -> Replay {
    let named =
        entry.model.parse::<VersionRef>().ok().and_then(|named| project.store.models().ok()?.resolve(&named).ok());
    // A version that was deleted since is no swap: the model's own digest still speaks.
    if let Some(now) = named.filter(|now| now.digest != entry.digest) {
        return Replay::Swapped { now: now.digest };
    }
    let model = match used(entry).and_then(|model| load(project, &model)) {
        Ok(model) => model,
        Err(error) => return Replay::Failed { message: chain(&error) },
    };
    let (inputs, rows) = entry.part(entry.layout.input_columns());
    let types = |schema: &Schema| schema.fields().iter().map(|field| field.column_type).collect::<Vec<_>>();
    let verdict = if types(&inputs) == types(model.input()) {
        match (ask(&model, rows, project.settings.serve.timeout), &entry.error) {
            (Ok(found), None) => {
                let (_, logged) = entry.part(entry.layout.output_columns());
                let outputs = model.output();
                compare(outputs, &logged, &found.canonical(outputs))
            }
            (Err(_), Some(_)) => Replay::Same,
            (Err(message), None) => Replay::Failed { message },
            (Ok(_), Some(logged)) => Replay::Failed { message: format!("it answers now, and `{logged}` was logged") },
        }
    } else {
        Replay::Failed { message: "the model reads other columns than were logged".to_owned() }
    };
    model.stop();
    verdict
}

fn used(entry: &Entry) -> Result<Used> {
    let version: VersionRef = entry.model.parse()?;
    match version.selector {
        Selector::Number(number) => Ok(Used { name: version.name, number, digest: entry.digest }),
        _ => Err(Error::Invalid(format!("`{}` names no version of a model", entry.model))),
    }
}

fn ask(model: &Servable, rows: Batch, patience: Duration) -> Result<Batch, String> {
    let (sender, receiver) = sync_channel(1);
    // Waiting costs nothing here, and the model's own bound on computing holds all the same.
    let deadline = Instant::now() + patience * 10;
    let reply = Box::new(move |answer: Result<Answer, Unanswered>| {
        // The receiver waits for it.
        let _ = sender.send(answer);
    });
    model.ask(Question { rows, deadline, reply });
    match receiver.recv() {
        Ok(Ok(answer)) => Ok(answer.predictions),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the model's thread ended".to_owned()),
    }
}

fn compare(schema: &Schema, logged: &Batch, found: &Batch) -> Replay {
    if logged == found {
        return Replay::Same;
    }
    for (position, field) in schema.fields().iter().enumerate() {
        let pair = (logged.columns.get(position), found.columns.get(position));
        for row in 0..logged.rows.min(found.rows) {
            let value = |column: Option<&Column>| {
                column.map_or(Value::Null, |column| cell(column, field.column_type, row as usize))
            };
            let (was, is) = (value(pair.0), value(pair.1));
            if was != is {
                return Replay::Differs { row, column: field.name.clone(), logged: was, found: is };
            }
        }
    }
    Replay::Failed { message: "the answer has another shape than was logged".to_owned() }
}

/// A value as JSON: floats with every digit, so that two that print alike are the same.
fn cell(column: &Column, column_type: ColumnType, row: usize) -> Value {
    if !column.is_valid(row) {
        return Value::Null;
    }
    match column_type {
        ColumnType::Boolean => json!(column.values.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1)),
        ColumnType::Int64 | ColumnType::Timestamp => json!(int_at(column, row)),
        ColumnType::Float64 => {
            let bits = column.values.as_chunks().0.get(row).map(|bytes| f64::from_le_bytes(*bytes));
            match bits {
                Some(number) if number.is_finite() => json!(number),
                Some(number) => json!(number.to_string()),
                None => Value::Null,
            }
        }
        ColumnType::Text | ColumnType::Category => json!(column.text(row)),
    }
}
