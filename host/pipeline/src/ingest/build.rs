//! Columns that grow value by value until they make a batch.

use std::collections::HashMap;

use stagewright_core::{Batch, Column, ColumnType, Schema, table::Bits};

use super::guess::{boolean, float, integer, timestamp};

/// A batch is complete with this many rows or bytes, well below what the contract allows.
const BATCH_ROWS: u32 = 1 << 16;
const BATCH_BYTES: usize = 4 << 20;

/// A value that does not fit the type of its column.
#[derive(Debug)]
pub(super) struct Unfit;

#[derive(Debug, Default)]
struct Builder {
    values: Vec<u8>,
    bits: Bits,
    validity: Bits,
    offsets: Vec<u8>,
    words: Vec<String>,
    codes: HashMap<String, u32>,
}

/// The rows that will be the next batch.
#[derive(Debug)]
pub(super) struct BatchBuilder {
    types: Vec<ColumnType>,
    columns: Vec<Builder>,
    rows: u32,
    bytes: usize,
}

impl BatchBuilder {
    pub(super) fn new(schema: &Schema) -> Self {
        let types: Vec<_> = schema.fields().iter().map(|field| field.column_type).collect();
        let columns = types.iter().map(|_| Builder::default()).collect();
        Self { types, columns, rows: 0, bytes: 0 }
    }

    pub(super) fn column_type(&self, column: usize) -> ColumnType {
        self.types[column]
    }

    /// Whether the batch should be taken before the next row.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    pub(super) fn end_row(&mut self) {
        self.rows += 1;
    }

    /// Adds the next value of a column, or that it has none.
    pub(super) fn push(&mut self, column: usize, value: Option<&str>) -> Result<(), Unfit> {
        let builder = &mut self.columns[column];
        self.bytes += 8;
        match self.types[column] {
            ColumnType::Boolean => {
                builder.bits.push(value.map(|value| boolean(value).ok_or(Unfit)).transpose()? == Some(true))
            }
            ColumnType::Int64 => builder.fixed(value.map(|value| integer(value).ok_or(Unfit)).transpose()?),
            ColumnType::Timestamp => builder.fixed(value.map(|value| timestamp(value).ok_or(Unfit)).transpose()?),
            ColumnType::Float64 => {
                let value = value.map(|value| any_float(value).ok_or(Unfit)).transpose()?;
                builder.values.extend_from_slice(&value.unwrap_or_default().to_le_bytes());
            }
            ColumnType::Text => {
                if builder.offsets.is_empty() {
                    builder.offsets.extend_from_slice(&[0; 4]);
                }
                let value = value.unwrap_or_default();
                self.bytes += value.len();
                builder.values.extend_from_slice(value.as_bytes());
                builder.offsets.extend_from_slice(&(builder.values.len() as u32).to_le_bytes());
            }
            ColumnType::Category => {
                let code = value.map_or(0, |value| builder.code(value, &mut self.bytes));
                builder.values.extend_from_slice(&code.to_le_bytes());
            }
        }
        builder.validity.push(value.is_some());
        Ok(())
    }

    /// The rows so far, as a canonical batch; none where there are none.
    pub(super) fn take(&mut self) -> Option<Batch> {
        if self.rows == 0 {
            return None;
        }
        self.bytes = 0;
        let columns = self.types.iter().zip(&mut self.columns);
        let columns = columns.map(|(column_type, builder)| std::mem::take(builder).finish(*column_type)).collect();
        Some(Batch { rows: std::mem::take(&mut self.rows), columns })
    }
}

/// Texts as a column of a type.
///
/// # Errors
/// The first text that is no value of the type.
pub(crate) fn column<'t>(column_type: ColumnType, texts: &[Option<&'t str>]) -> Result<Column, &'t str> {
    let mut builder = BatchBuilder { types: vec![column_type], columns: vec![Builder::default()], rows: 0, bytes: 0 };
    for text in texts {
        builder.push(0, *text).map_err(|Unfit| text.unwrap_or_default())?;
        builder.end_row();
    }
    Ok(builder.take().and_then(|mut batch| batch.columns.pop()).unwrap_or_default())
}

impl Builder {
    fn fixed(&mut self, value: Option<i64>) {
        self.values.extend_from_slice(&value.unwrap_or_default().to_le_bytes());
    }

    fn code(&mut self, word: &str, bytes: &mut usize) -> u32 {
        if let Some(code) = self.codes.get(word) {
            return *code;
        }
        let code = self.words.len() as u32;
        *bytes += word.len() + 4;
        self.words.push(word.to_owned());
        self.codes.insert(word.to_owned(), code);
        code
    }

    fn finish(self, column_type: ColumnType) -> Column {
        let validity = (!self.validity.all()).then(|| self.validity.into_bytes());
        match column_type {
            ColumnType::Boolean => Column { values: self.bits.into_bytes(), validity, ..Column::default() },
            ColumnType::Text => Column { values: self.values, validity, offsets: Some(self.offsets), words: None },
            ColumnType::Category => Column { values: self.values, validity, offsets: None, words: Some(self.words) },
            _ => Column { values: self.values, validity, ..Column::default() },
        }
    }
}

/// Every number is a float where the user asked for one, whatever its digits.
fn any_float(value: &str) -> Option<f64> {
    float(value).or_else(|| value.parse().ok())
}
