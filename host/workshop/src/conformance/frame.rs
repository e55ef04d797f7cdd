//! The kit's own small tables: columns of values, turned into the contract's layout and cut in different ways.

use std::sync::{Arc, Mutex, PoisonError};

use stagewright_core::{Batch, Column, ColumnType, Field, Schema, table::Bits};
use stagewright_runtime::{BoxError, Input, MemoryTable, Output, TableSink};

/// One column's values; none where a row lacks one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    Booleans(Vec<Option<bool>>),
    Ints(Vec<Option<i64>>),
    Times(Vec<Option<i64>>),
    Floats(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
    Words(Vec<Option<String>>),
}

impl Values {
    pub(crate) fn column_type(&self) -> ColumnType {
        match self {
            Self::Booleans(_) => ColumnType::Boolean,
            Self::Ints(_) => ColumnType::Int64,
            Self::Times(_) => ColumnType::Timestamp,
            Self::Floats(_) => ColumnType::Float64,
            Self::Texts(_) => ColumnType::Text,
            Self::Words(_) => ColumnType::Category,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Booleans(values) => values.len(),
            Self::Ints(values) | Self::Times(values) => values.len(),
            Self::Floats(values) => values.len(),
            Self::Texts(values) | Self::Words(values) => values.len(),
        }
    }

    /// The values at these places.
    pub(crate) fn take(&self, rows: &[usize]) -> Self {
        fn chosen<T: Clone>(values: &[Option<T>], rows: &[usize]) -> Vec<Option<T>> {
            rows.iter().map(|row| values[*row].clone()).collect()
        }
        match self {
            Self::Booleans(values) => Self::Booleans(chosen(values, rows)),
            Self::Ints(values) => Self::Ints(chosen(values, rows)),
            Self::Times(values) => Self::Times(chosen(values, rows)),
            Self::Floats(values) => Self::Floats(chosen(values, rows)),
            Self::Texts(values) => Self::Texts(chosen(values, rows)),
            Self::Words(values) => Self::Words(chosen(values, rows)),
        }
    }

    /// The same column without the values of the rows that `gone` picks.
    pub(crate) fn without(&self, gone: impl Fn(usize) -> bool) -> Self {
        fn emptied<T: Clone>(values: &[Option<T>], gone: impl Fn(usize) -> bool) -> Vec<Option<T>> {
            values.iter().enumerate().map(|(row, value)| value.clone().filter(|_| !gone(row))).collect()
        }
        match self {
            Self::Booleans(values) => Self::Booleans(emptied(values, gone)),
            Self::Ints(values) => Self::Ints(emptied(values, gone)),
            Self::Times(values) => Self::Times(emptied(values, gone)),
            Self::Floats(values) => Self::Floats(emptied(values, gone)),
            Self::Texts(values) => Self::Texts(emptied(values, gone)),
            Self::Words(values) => Self::Words(emptied(values, gone)),
        }
    }

    /// Each value as text that differs wherever the values do.
    pub(crate) fn shown(&self) -> Vec<Option<String>> {
        fn all<T>(values: &[Option<T>], show: impl Fn(&T) -> String) -> Vec<Option<String>> {
            values.iter().map(|value| value.as_ref().map(&show)).collect()
        }
        match self {
            Self::Booleans(values) => all(values, bool::to_string),
            Self::Ints(values) | Self::Times(values) => all(values, i64::to_string),
            Self::Floats(values) => all(values, |value| format!("{value:?}")),
            Self::Texts(values) | Self::Words(values) => values.clone(),
        }
    }

    /// Which rows have a value.
    fn present(&self) -> Vec<bool> {
        match self {
            Self::Booleans(values) => values.iter().map(Option::is_some).collect(),
            Self::Ints(values) | Self::Times(values) => values.iter().map(Option::is_some).collect(),
            Self::Floats(values) => values.iter().map(Option::is_some).collect(),
            Self::Texts(values) | Self::Words(values) => values.iter().map(Option::is_some).collect(),
        }
    }

    fn column(&self) -> Column {
        let validity = self.present().into_iter().collect::<Bits>();
        let mut column = Column { validity: Some(validity.into_bytes()), ..Column::default() };
        match self {
            Self::Booleans(values) => {
                column.values = values.iter().map(|value| value.unwrap_or(false)).collect::<Bits>().into_bytes();
            }
            Self::Ints(values) | Self::Times(values) => {
                column.values = values.iter().flat_map(|value| value.unwrap_or(0).to_le_bytes()).collect();
            }
            Self::Floats(values) => {
                column.values = values.iter().flat_map(|value| value.unwrap_or(0.0).to_le_bytes()).collect();
            }
            Self::Texts(values) => {
                let mut offsets = vec![0; 4];
                for value in values {
                    column.values.extend_from_slice(value.as_deref().unwrap_or_default().as_bytes());
                    offsets.extend_from_slice(&(column.values.len() as u32).to_le_bytes());
                }
                column.offsets = Some(offsets);
            }
            Self::Words(values) => {
                let mut words: Vec<String> = Vec::new();
                for value in values {
                    let code = value.as_ref().map_or(0, |value| {
                        words.iter().position(|word| word == value).unwrap_or_else(|| {
                            words.push(value.clone());
                            words.len() - 1
                        })
                    });
                    column.values.extend_from_slice(&(code as u32).to_le_bytes());
                }
                column.words = Some(words);
            }
        }
        column
    }

    /// Reads a checked column back.
    fn of(column: &Column, column_type: ColumnType, rows: usize) -> Self {
        fn valid<T>(column: &Column, values: impl Iterator<Item = T>) -> Vec<Option<T>> {
            values.enumerate().map(|(row, value)| Some(value).filter(|_| column.is_valid(row))).collect()
        }
        match column_type {
            ColumnType::Boolean => {
                Self::Booleans(valid(column, (0..rows).map(|row| column.values[row / 8] >> (row % 8) & 1 == 1)))
            }
            ColumnType::Int64 => Self::Ints(valid(column, column.ints())),
            ColumnType::Timestamp => Self::Times(valid(column, column.ints())),
            ColumnType::Float64 => Self::Floats(valid(column, column.floats())),
            ColumnType::Text => Self::Texts((0..rows).map(|row| column.text(row).map(str::to_owned)).collect()),
            ColumnType::Category => Self::Words((0..rows).map(|row| column.text(row).map(str::to_owned)).collect()),
        }
    }
}

/// A small table.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Frame(pub(crate) Vec<(String, Values)>);

/// How rows are cut into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All in one.
    Whole,
    /// Each row by itself.
    Ones,
    /// Of different sizes, with empty ones between.
    Uneven,
    /// As large as stored batches are on average.
    Stored,
}

impl Frame {
    pub(crate) fn rows(&self) -> usize {
        self.0.first().map_or(0, |(_, values)| values.len())
    }

    pub(crate) fn column(&self, name: &str) -> Option<&Values> {
        self.0.iter().find(|(column, _)| column == name).map(|(_, values)| values)
    }

    /// The same table with a column put in, or replaced at its place.
    pub(crate) fn with(mut self, name: &str, values: Values) -> Self {
        match self.0.iter_mut().find(|(column, _)| column == name) {
            Some((_, place)) => *place = values,
            None => self.0.push((name.to_owned(), values)),
        }
        self
    }

    pub(crate) fn take(&self, rows: &[usize]) -> Self {
        Self(self.0.iter().map(|(name, values)| (name.clone(), values.take(rows))).collect())
    }

    pub(crate) fn drop(&self, column: &str) -> Self {
        Self(self.0.iter().filter(|(name, _)| name != column).cloned().collect())
    }

    /// Changes every column but those named.
    pub(crate) fn map(&self, keep: &[&str], change: impl Fn(&Values) -> Values) -> Self {
        let changed = self.0.iter().map(|(name, values)| {
            let kept = keep.contains(&name.as_str());
            (name.clone(), if kept { values.clone() } else { change(values) })
        });
        Self(changed.collect())
    }

    pub(crate) fn schema(&self) -> Schema {
        let fields = self
            .0
            .iter()
            .map(|(name, values)| Field::new(name.clone(), values.column_type(), values.present().contains(&false)));
        Schema::new(fields.collect()).expect("the kit's columns have different names")
    }

    pub(crate) fn batch(&self) -> Batch {
        let columns = self.0.iter().map(|(_, values)| values.column()).collect();
        Batch { rows: self.rows() as u32, columns }.canonical(&self.schema())
    }

    /// The table as a stage reads it.
    pub(crate) fn input(&self, cut: Cut) -> Input {
        let (schema, whole, rows) = (self.schema(), self.batch(), self.rows());
        let sizes: &[usize] = match cut {
            Cut::Whole => &[usize::MAX],
            Cut::Ones => &[1],
            Cut::Uneven => &[7, 0, 1, 30, 0, 3],
            Cut::Stored => &[8192],
        };
        let (mut batches, mut start) = (Vec::new(), 0);
        for size in sizes.iter().cycle() {
            if start >= rows {
                break;
            }
            let end = start.saturating_add(*size).min(rows);
            batches.push(whole.slice(&schema, start..end).canonical(&schema));
            start = end;
        }
        Arc::new(MemoryTable { schema, batches })
    }
}

/// What a stage wrote.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<MemoryTable>>);

impl Kept {
    pub(crate) fn sink(&self) -> Output {
        Box::new(self.clone())
    }

    /// All rows, however they were cut when they were written.
    pub(crate) fn written(&self) -> Written {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = Batch::concat(&table.schema, &table.batches);
        Written { schema: table.schema.clone(), batch: batch.canonical(&table.schema) }
    }
}

impl TableSink for Kept {
    fn start(&mut self, schema: &Schema) -> Result<(), BoxError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).schema = schema.clone();
        Ok(())
    }

    fn write(&mut self, batch: Batch) -> Result<(), BoxError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).batches.push(batch);
        Ok(())
    }
}

/// A table that a stage wrote: equal rows are equal bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    pub(crate) schema: Schema,
    pub(crate) batch: Batch,
}

impl Written {
    pub(crate) fn frame(&self) -> Frame {
        let columns = self.schema.fields().iter().zip(&self.batch.columns);
        let rows = self.batch.rows as usize;
        Frame(
            columns.map(|(field, column)| (field.name.clone(), Values::of(column, field.column_type, rows))).collect(),
        )
    }

    /// Without the first columns.
    pub(crate) fn behind(mut self, columns: usize) -> Self {
        let fields = self.schema.fields().iter().skip(columns).cloned().collect();
        self.schema = Schema::new(fields).expect("a part of a schema is one");
        self.batch.columns.drain(..columns.min(self.batch.columns.len()));
        self
    }

    /// The first place where two tables differ, in words.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        if self == other {
            return None;
        }
        if self.schema != other.schema {
            return Some("the columns differ".to_owned());
        }
        if self.batch.rows != other.batch.rows {
            return Some(format!("{} rows against {}", self.batch.rows, other.batch.rows));
        }
        for ((name, ours), (_, theirs)) in self.frame().0.iter().zip(&other.frame().0) {
            let (ours, theirs) = (ours.shown(), theirs.shown());
            if let Some(row) = (0..ours.len()).find(|row| ours[*row] != theirs[*row]) {
                let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "no value".to_owned());
                let (ours, theirs) = (text(&ours[row]), text(&theirs[row]));
                return Some(format!("column `{name}`, row {row}: {ours} against {theirs}"));
            }
        }
        Some("some bytes differ".to_owned())
    }
}
