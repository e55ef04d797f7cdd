//! A row of the prediction log: who asked what when, which model, what went in, what came out.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stagewright_core::{
    Batch, Column, ColumnType, Digest, Field, Name, Schema, TableError,
    record::Used,
    table::{Bits, MAX_BATCH_BYTES},
};

use crate::deploy::Role;

/// The columns before a model's own.
pub(crate) const ID: usize = 0;
pub(crate) const ROW: usize = 1;
pub(crate) const TIME: usize = 2;
pub(crate) const LATENCY: usize = 3;
pub(crate) const DIGEST: usize = 4;
pub(crate) const VERSION: usize = 5;
pub(crate) const ROLE: usize = 6;
pub(crate) const ERROR: usize = 7;
const FIXED: [(&str, ColumnType, bool); 8] = [
    ("request.id", ColumnType::Text, false),
    ("request.row", ColumnType::Int64, false),
    ("request.time", ColumnType::Timestamp, false),
    ("request.latency-us", ColumnType::Int64, false),
    ("model.digest", ColumnType::Category, false),
    ("model.version", ColumnType::Category, false),
    ("model.role", ColumnType::Category, false),
    ("model.error", ColumnType::Text, true),
];

/// Batches are cut where they would grow past this, well below what a batch may hold.
const BATCH_BYTES: usize = MAX_BATCH_BYTES / 4;

/// The columns of a log: those of the request, of the model, its inputs, its outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// All columns. Where an output is named as an input is, it has an underscore more.
    pub schema: Schema,
    /// How many of them are inputs.
    pub inputs: usize,
}

impl Layout {
    /// The layout for a model's columns.
    ///
    /// # Errors
    /// The model names a column twice.
    pub fn new(inputs: &Schema, outputs: &Schema) -> Result<Self, TableError> {
        let fixed = FIXED.iter().map(|(name, column_type, nullable)| Field::new(*name, *column_type, *nullable));
        let mut fields: Vec<Field> = fixed.collect();
        let mut add = |field: &Field, nullable: bool| {
            let mut field = Field { nullable, ..field.clone() };
            while fields.iter().any(|other| other.name == field.name) {
                field.name.push('_');
            }
            fields.push(field);
        };
        inputs.fields().iter().for_each(|field| add(field, field.nullable));
        // A request at which the model failed has no outputs.
        outputs.fields().iter().for_each(|field| add(field, true));
        Ok(Self { schema: Schema::new(fields)?, inputs: inputs.len() })
    }

    /// The positions of the inputs.
    pub fn input_columns(&self) -> std::ops::Range<usize> {
        FIXED.len()..FIXED.len() + self.inputs
    }

    /// The positions of the outputs.
    pub fn output_columns(&self) -> std::ops::Range<usize> {
        FIXED.len() + self.inputs..self.schema.len()
    }
}

/// What predictions come from: a model at an endpoint.
#[derive(Debug)]
pub struct Source {
    /// The environment.
    pub environment: Name,
    /// The endpoint.
    pub endpoint: Name,
    /// The model.
    pub model: Used,
    /// The columns that it reads.
    pub inputs: Schema,
    /// The columns that it returns.
    pub outputs: Schema,
    pub(crate) log: Name,
    pub(crate) layout: Layout,
    pub(crate) layout_digest: Digest,
}

impl Source {
    /// A model at an endpoint.
    ///
    /// # Errors
    /// The model names a column twice, or the log's name is too long.
    pub fn new(environment: Name, endpoint: Name, model: Used, inputs: Schema, outputs: Schema) -> crate::Result<Self> {
        let layout =
            Layout::new(&inputs, &outputs).map_err(|error| crate::Error::Invalid(format!("its columns: {error}")))?;
        let log = super::log_name(&environment, &endpoint)?;
        let layout_digest = stagewright_core::canonical::digest(&layout);
        Ok(Self { environment, endpoint, model, inputs, outputs, log, layout, layout_digest })
    }
}

/// An answered request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What answered.
    pub source: Arc<Source>,
    /// As what.
    pub role: Role,
    /// The request's id.
    pub request_id: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// How long it took, in microseconds.
    pub latency_us: u64,
    /// What went in.
    pub rows: Batch,
    /// What came out, or why nothing did.
    pub outcome: Result<Batch, String>,
}

impl Answer {
    pub(crate) fn bytes(&self) -> usize {
        let out = self.outcome.as_ref().map_or_else(String::len, Batch::bytes);
        self.rows.bytes() + out + self.request_id.len() + 128
    }
}

/// Small batches of one layout as a few larger ones, in order.
pub(crate) fn joined(layout: &Layout, small: Vec<Batch>) -> Vec<Batch> {
    let mut batches = Vec::new();
    let (mut group, mut bytes) = (Vec::new(), 0);
    for batch in small {
        bytes += batch.bytes();
        group.push(batch);
        if bytes >= BATCH_BYTES {
            batches.push(Batch::concat(&layout.schema, &std::mem::take(&mut group)));
            bytes = 0;
        }
    }
    if !group.is_empty() {
        batches.push(Batch::concat(&layout.schema, &group));
    }
    batches
}

/// Answers of one layout as a batch, in order.
pub(crate) fn batch(answers: Vec<Answer>) -> Result<Batch, TableError> {
    let Some(source) = answers.first().map(|answer| Arc::clone(&answer.source)) else { return Ok(Batch::default()) };
    let rows: u32 = answers.iter().map(|answer| answer.rows.rows).sum();
    let each = || answers.iter().flat_map(|answer| (0..answer.rows.rows).map(move |row| (answer, row)));
    let mut columns = vec![
        texts(each().map(|(answer, _)| Some(answer.request_id.as_str()))),
        ints(each().map(|(_, row)| i64::from(row))),
        ints(each().map(|(answer, _)| signed(answer.at_ms.saturating_mul(1000)))),
        ints(each().map(|(answer, _)| signed(answer.latency_us))),
        words(each().map(|(answer, _)| answer), |answer| answer.source.model.digest.to_string()),
        words(each().map(|(answer, _)| answer), |answer| {
            format!("{}@{}", answer.source.model.name, answer.source.model.number)
        }),
        words(each().map(|(answer, _)| answer), |answer| answer.role.as_str().to_owned()),
        texts(each().map(|(answer, _)| answer.outcome.as_ref().err().map(String::as_str))),
    ];
    let (mut inputs, mut outputs) = (Vec::with_capacity(answers.len()), Vec::with_capacity(answers.len()));
    for answer in answers {
        let count = answer.rows.rows;
        inputs.push(answer.rows);
        outputs.push(answer.outcome.unwrap_or_else(|_| absent(&source.outputs, count)));
    }
    columns.extend(Batch::concat(&source.inputs, &inputs).columns);
    columns.extend(Batch::concat(&source.outputs, &outputs).columns);
    let batch = Batch { rows, columns };
    batch.check(&source.layout.schema)?;
    Ok(batch.canonical(&source.layout.schema))
}

/// Rows without any value.
fn absent(schema: &Schema, rows: u32) -> Batch {
    let rows_bytes = (rows as usize).div_ceil(8);
    let column = |field: &Field| {
        let mut column = Column { validity: Some(vec![0; rows_bytes]), ..Column::default() };
        match (field.column_type, field.column_type.width()) {
            (ColumnType::Boolean, _) => column.values = vec![0; rows_bytes],
            (ColumnType::Category, _) => {
                column.values = vec![0; 4 * rows as usize];
                column.words = Some(Vec::new());
            }
            (_, Some(width)) => column.values = vec![0; width * rows as usize],
            (_, None) => column.offsets = Some(vec![0; 4 * (rows as usize + 1)]),
        }
        column
    };
    Batch { rows, columns: schema.fields().iter().map(column).collect() }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The integer of a row.
pub(crate) fn int_at(column: &Column, row: usize) -> Option<i64> {
    column.values.as_chunks().0.get(row).map(|bytes| i64::from_le_bytes(*bytes))
}

pub(crate) fn ints(values: impl Iterator<Item = i64>) -> Column {
    Column { values: values.flat_map(i64::to_le_bytes).collect(), ..Column::default() }
}

pub(crate) fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> Column {
    let (mut bytes, mut offsets, mut validity) = (Vec::new(), vec![0; 4], Bits::new());
    for value in values {
        bytes.extend_from_slice(value.unwrap_or_default().as_bytes());
        offsets.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        validity.push(value.is_some());
    }
    let validity = (!validity.all()).then(|| validity.into_bytes());
    Column { values: bytes, validity, offsets: Some(offsets), words: None }
}

/// A category column; neighbours that are one answer's share their word without making it again.
fn words<'a>(answers: impl Iterator<Item = &'a Answer>, word: impl Fn(&Answer) -> String) -> Column {
    let mut words: Vec<String> = Vec::new();
    let mut values = Vec::new();
    let mut last: Option<(*const Source, Role, u32)> = None;
    for answer in answers {
        let (source, role) = (Arc::as_ptr(&answer.source), answer.role);
        let code = match last {
            Some((known, known_role, code)) if (known, known_role) == (source, role) => code,
            _ => {
                let word = word(answer);
                let place = words.iter().position(|known| *known == word);
                place.unwrap_or_else(|| {
                    words.push(word);
                    words.len() - 1
                }) as u32
            }
        };
        last = Some((source, role, code));
        values.extend_from_slice(&code.to_le_bytes());
    }
    Column { values, words: Some(words), ..Column::default() }
}
