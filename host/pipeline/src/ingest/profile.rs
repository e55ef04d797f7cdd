//! What a table looks like, column by column: the figures of `data show`.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use stagewright_core::{Batch, ColumnType, Schema};

use super::export::{Cell, cell, time};

/// Distinct values are counted up to here, column by column.
const MAX_DISTINCT: usize = 100_000;
/// The number of most frequent words that are named.
const TOP: usize = 5;

/// The figures of a column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnProfile {
    /// The column's name.
    pub name: String,
    /// The type of its values.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Rows, with or without a value.
    pub rows: u64,
    /// Rows without a value.
    pub missing: u64,
    /// Distinct values; none where there are more than 100,000.
    pub distinct: Option<u64>,
    /// The least number or time, as JSON; none for words, or without values.
    pub min: Option<Value>,
    /// The greatest number or time.
    pub max: Option<Value>,
    /// The mean of numbers, and the share of `true`.
    pub mean: Option<f64>,
    /// The most frequent words with their counts, the most frequent first.
    pub top: Vec<(String, u64)>,
}

/// Gathers the figures of a table from its batches.
#[derive(Debug)]
pub struct Profiler {
    schema: Schema,
    rows: u64,
    columns: Vec<Figures>,
}

#[derive(Debug, Default)]
struct Figures {
    missing: u64,
    numbers: Option<HashMap<u64, u64>>,
    words: Option<HashMap<Box<str>, u64>>,
    integers: Option<(i64, i64)>,
    floats: Option<(f64, f64)>,
    integer_sum: i128,
    float_sum: Sum,
}

/// Neumaier's sum, which keeps what a plain one would round away.
#[derive(Debug, Default)]
struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        self.sum = sum;
    }

    fn total(&self) -> f64 {
        if self.sum.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

impl Profiler {
    /// A profiler of tables of this schema.
    pub fn new(schema: Schema) -> Self {
        let figures = || Figures { numbers: Some(HashMap::new()), words: Some(HashMap::new()), ..Figures::default() };
        Self { columns: schema.fields().iter().map(|_| figures()).collect(), schema, rows: 0 }
    }

    /// Takes in the rows of a checked batch.
    pub fn push(&mut self, batch: &Batch) {
        self.rows += u64::from(batch.rows);
        let columns = self.schema.fields().iter().zip(&batch.columns).zip(&mut self.columns);
        for ((field, column), figures) in columns {
            for row in 0..batch.rows as usize {
                match cell(field, column, row) {
                    Cell::Missing => figures.missing += 1,
                    Cell::Boolean(value) => figures.integer(i64::from(value)),
                    Cell::Integer(value) | Cell::Time(value) => figures.integer(value),
                    Cell::Float(value) => figures.float(value),
                    Cell::Text(text) => figures.word(text),
                }
            }
        }
    }

    /// The figures of every column.
    pub fn finish(self) -> Vec<ColumnProfile> {
        let rows = self.rows;
        let columns = self.schema.fields().iter().zip(self.columns);
        columns.map(|(field, figures)| figures.finish(field.name.clone(), field.column_type, rows)).collect()
    }
}

impl Figures {
    fn integer(&mut self, value: i64) {
        let (min, max) = self.integers.unwrap_or((value, value));
        self.integers = Some((min.min(value), max.max(value)));
        self.integer_sum += i128::from(value);
        self.number(value as u64);
    }

    fn float(&mut self, value: f64) {
        let (min, max) = self.floats.unwrap_or((value, value));
        self.floats = Some((min.min(value), max.max(value)));
        self.float_sum.add(value);
        // Zero has two bit patterns, but is one number; so has NaN.
        let one = if value == 0.0 {
            0.0
        } else if value.is_nan() {
            f64::NAN
        } else {
            value
        };
        self.number(one.to_bits());
    }

    fn number(&mut self, bits: u64) {
        let Some(numbers) = &mut self.numbers else { return };
        *numbers.entry(bits).or_default() += 1;
        if numbers.len() > MAX_DISTINCT {
            self.numbers = None;
        }
    }

    fn word(&mut self, word: &str) {
        let Some(words) = &mut self.words else { return };
        if let Some(count) = words.get_mut(word) {
            *count += 1;
        } else if words.len() == MAX_DISTINCT {
            self.words = None;
        } else {
            words.insert(word.into(), 1);
        }
    }

    fn finish(self, name: String, column_type: ColumnType, rows: u64) -> ColumnProfile {
        let values = rows - self.missing;
        let is_text = matches!(column_type, ColumnType::Text | ColumnType::Category);
        let distinct =
            if is_text { self.words.as_ref().map(HashMap::len) } else { self.numbers.as_ref().map(HashMap::len) };
        let integer = |value: i64| match column_type {
            ColumnType::Boolean => Value::from(value == 1),
            ColumnType::Timestamp => Value::from(time(value)),
            _ => Value::from(value),
        };
        let (min, max) = match (self.integers, self.floats) {
            (Some((min, max)), _) => (Some(integer(min)), Some(integer(max))),
            (None, Some((min, max))) => (Some(Value::from(min)), Some(Value::from(max))),
            (None, None) => (None, None),
        };
        let mean = match column_type {
            _ if values == 0 => None,
            ColumnType::Boolean | ColumnType::Int64 => Some(self.integer_sum as f64 / values as f64),
            ColumnType::Float64 => Some(self.float_sum.total() / values as f64),
            _ => None,
        };
        let mut top: Vec<(String, u64)> =
            self.words.unwrap_or_default().into_iter().map(|(word, count)| (word.into(), count)).collect();
        top.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        top.truncate(TOP);
        ColumnProfile {
            name,
            column_type,
            rows,
            missing: self.missing,
            distinct: distinct.map(|distinct| distinct as u64),
            min,
            max,
            mean,
            top,
        }
    }
}
