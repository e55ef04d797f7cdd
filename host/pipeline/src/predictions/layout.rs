//! A row of the prediction log: who asked what when, which model, what went in, what came out.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stagewright_core::{
    Batch, Column, ColumnType, Digest, Field, Name, Schema, TableError,
    record::Used,
    table::{BatchBuilder, Bits},
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

/// About what these take of a row, the request's id aside.
const FIXED_BYTES: usize = 64;

/// Batches are cut where they would grow past this: encoded they are one chunk, and their memory is used again for the
/// next where that of larger ones goes back to the system.
const BATCH_BYTES: usize = 240 << 10;

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
    /// About what the answer takes in a batch.
    pub(crate) fn bytes(&self) -> usize {
        let out = self.outcome.as_ref().map_or_else(String::len, Batch::bytes);
        self.rows.bytes() + out + self.rows.rows as usize * (self.request_id.len() + FIXED_BYTES)
    }
}

/// What is kept of an answer beside what went in and came out.
#[derive(Debug)]
struct Head {
    source: Arc<Source>,
    role: Role,
    request_id: String,
    at_ms: u64,
    latency_us: u64,
    rows: u32,
    error: Option<String>,
}

/// Answers of one layout. They are put into columns as they come: kept one by one they would take ten times the memory,
/// which costs more than what is done with it.
#[derive(Debug)]
pub(crate) struct Pack {
    /// What the first of them came from.
    pub(crate) source: Arc<Source>,
    heads: Vec<Head>,
    inputs: BatchBuilder,
    outputs: BatchBuilder,
    bytes: usize,
}

impl Pack {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        let (inputs, outputs) = (BatchBuilder::new(&source.inputs), BatchBuilder::new(&source.outputs));
        Self { source, heads: Vec::new(), inputs, outputs, bytes: 0 }
    }

    /// Whether answers of this source have the pack's layout.
    pub(crate) fn is_of(&self, source: &Source) -> bool {
        self.source.layout_digest == source.layout_digest && self.source.log == source.log
    }

    /// Whether so many bytes more make no batch that is too large.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.heads.is_empty() || self.bytes + bytes <= BATCH_BYTES
    }

    /// Adds an answer of the pack's layout, of so many bytes.
    pub(crate) fn push(&mut self, answer: Answer, bytes: usize) {
        let rows = answer.rows.rows;
        self.inputs.append(&answer.rows);
        let error = match answer.outcome {
            Ok(out) => {
                self.outputs.append(&out);
                None
            }
            Err(error) => {
                self.outputs.append(&absent(&self.source.outputs, rows));
                Some(error)
            }
        };
        let Answer { source, role, request_id, at_ms, latency_us, .. } = answer;
        self.heads.push(Head { source, role, request_id, at_ms, latency_us, rows, error });
        self.bytes += bytes;
    }

    /// How many answers it holds.
    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// The request ids.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.heads.iter().map(|head| head.request_id.as_str())
    }

    /// When the first and the last were answered, in milliseconds since 1970.
    pub(crate) fn times_ms(&self) -> (u64, u64) {
        let times = || self.heads.iter().map(|head| head.at_ms);
        (times().min().unwrap_or(0), times().max().unwrap_or(0))
    }

    /// The answers as a batch, in order.
    ///
    /// # Errors
    /// They do not fit their columns.
    pub(crate) fn finish(self) -> Result<Batch, TableError> {
        let each = || self.heads.iter().flat_map(|head| (0..head.rows).map(move |row| (head, row)));
        let mut columns = vec![
            texts(each().map(|(head, _)| Some(head.request_id.as_str()))),
            ints(each().map(|(_, row)| i64::from(row))),
            ints(each().map(|(head, _)| signed(head.at_ms.saturating_mul(1000)))),
            ints(each().map(|(head, _)| signed(head.latency_us))),
            words(each().map(|(head, _)| head), |head| head.source.model.digest.to_string()),
            words(each().map(|(head, _)| head), |head| {
                format!("{}@{}", head.source.model.name, head.source.model.number)
            }),
            words(each().map(|(head, _)| head), |head| head.role.as_str().to_owned()),
            texts(each().map(|(head, _)| head.error.as_deref())),
        ];
        columns.extend(self.inputs.finish().columns);
        columns.extend(self.outputs.finish().columns);
        let batch = Batch { rows: self.heads.iter().map(|head| head.rows).sum(), columns };
        batch.check(&self.source.layout.schema)?;
        Ok(batch.canonical(&self.source.layout.schema))
    }
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
fn words<'a>(heads: impl Iterator<Item = &'a Head>, word: impl Fn(&Head) -> String) -> Column {
    let mut words: Vec<String> = Vec::new();
    let mut values = Vec::new();
    let mut last: Option<(*const Source, Role, u32)> = None;
    for head in heads {
        let (source, role) = (Arc::as_ptr(&head.source), head.role);
        let code = match last {
            Some((known, known_role, code)) if (known, known_role) == (source, role) => code,
            _ => {
                let word = word(head);
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
