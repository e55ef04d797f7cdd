//! Columns of a known type that grow value by value, with a place for every mistake.

use std::collections::HashMap;

use stagewright_core::{Batch, Column, ColumnType, table::Bits};

use super::{Form, RowsError};
use crate::ingest::guess;

/// Up to this many words are found by looking at each.
const FEW_WORDS: usize = 8;

/// The rows of a request.
#[derive(Debug)]
pub struct RowBuilder<'a> {
    pub(super) form: &'a Form,
    columns: Vec<Growing>,
}

#[derive(Debug, Default)]
struct Growing {
    len: usize,
    values: Vec<u8>,
    bits: Bits,
    /// Made when the first gap appears.
    validity: Option<Bits>,
    offsets: Vec<u8>,
    /// Apart, because most columns have none, and every request makes one of these for each column.
    words: Option<Box<Words>>,
}

#[derive(Debug, Default)]
struct Words {
    list: Vec<String>,
    /// Made when there are more than a few words.
    codes: HashMap<String, u32>,
}

impl<'a> RowBuilder<'a> {
    /// No rows yet.
    pub fn new(form: &'a Form) -> Self {
        Self { form, columns: form.schema().fields().iter().map(|_| Growing::default()).collect() }
    }

    /// How many values a column has so far.
    pub fn len(&self, column: usize) -> usize {
        self.columns[column].len
    }

    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    fn column_type(&self, column: usize) -> ColumnType {
        self.form.field(column).column_type
    }

    fn unfit(&self, column: usize, found: &str) -> RowsError {
        let wanted = match self.column_type(column) {
            ColumnType::Boolean => "true or false",
            ColumnType::Int64 => "a whole number of 64 bits",
            ColumnType::Float64 => "a number",
            ColumnType::Timestamp => "a time such as \"2024-05-01T12:00:00Z\", or microseconds since 1970",
            ColumnType::Text | ColumnType::Category => "text",
        };
        let shown: String = found.chars().take(80).collect();
        let cut = if shown.len() < found.len() { "…" } else { "" };
        self.wrong(column, format!("{shown}{cut} is not {wanted}"))
    }

    /// Something is wrong with the next value of a column.
    pub(super) fn wrong(&self, column: usize, problem: impl Into<String>) -> RowsError {
        RowsError::column(&self.form.field(column).name, Some(self.columns[column].len as u64), problem)
    }

    fn next(&mut self, column: usize) -> Result<&mut Growing, RowsError> {
        let growing = &mut self.columns[column];
        let most = self.form.most_rows;
        if growing.len >= most {
            return Err(RowsError::too_large(format!("there are more than {most} rows; send fewer at once")));
        }
        growing.len += 1;
        Ok(growing)
    }

    fn grow(&mut self, column: usize) -> Result<&mut Growing, RowsError> {
        let growing = self.next(column)?;
        if let Some(validity) = &mut growing.validity {
            validity.push(true);
        }
        Ok(growing)
    }

    /// The next value of a column is missing.
    ///
    /// # Errors
    /// The model was trained without gaps in this column.
    pub fn push_missing(&mut self, column: usize) -> Result<(), RowsError> {
        if !self.form.field(column).nullable {
            return Err(self.wrong(column, "a value is missing, and the model was trained on rows that all have one"));
        }
        let column_type = self.column_type(column);
        let growing = self.next(column)?;
        let before = growing.len - 1;
        let validity = growing.validity.get_or_insert_with(|| {
            let mut validity = Bits::new();
            validity.extend_set(before);
            validity
        });
        validity.push(false);
        match column_type {
            ColumnType::Boolean => growing.bits.push(false),
            ColumnType::Text => growing.text(""),
            ColumnType::Category => growing.values.extend_from_slice(&[0; 4]),
            _ => growing.values.extend_from_slice(&[0; 8]),
        }
        Ok(())
    }

    /// The next value of a column is a truth value.
    ///
    /// # Errors
    /// The column has another type.
    pub fn push_boolean(&mut self, column: usize, value: bool) -> Result<(), RowsError> {
        if self.column_type(column) != ColumnType::Boolean {
            return Err(self.unfit(column, if value { "true" } else { "false" }));
        }
        self.grow(column)?.bits.push(value);
        Ok(())
    }

    /// The next value of a column is a whole number.
    ///
    /// # Errors
    /// The column has another type.
    pub fn push_integer(&mut self, column: usize, value: i64) -> Result<(), RowsError> {
        match self.column_type(column) {
            ColumnType::Int64 | ColumnType::Timestamp => {
                self.grow(column)?.values.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }
            ColumnType::Float64 => self.push_float(column, value as f64),
            _ => Err(self.unfit(column, &value.to_string())),
        }
    }

    /// The next value of a column is a number. A NaN is a missing value.
    ///
    /// # Errors
    /// The column has another type, or one of whole numbers and the number is not whole.
    pub fn push_float(&mut self, column: usize, value: f64) -> Result<(), RowsError> {
        const EXACT: f64 = (1_u64 << 53) as f64;
        match self.column_type(column) {
            _ if value.is_nan() => self.push_missing(column),
            ColumnType::Float64 => {
                self.grow(column)?.values.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }
            // Whole numbers of columns with gaps are floats in many programs.
            ColumnType::Int64 if value.fract() == 0.0 && value.abs() <= EXACT => {
                self.push_integer(column, value as i64)
            }
            _ => Err(self.unfit(column, &value.to_string())),
        }
    }

    /// The next value of a column is a whole number that may need all of 64 bits, unsigned.
    ///
    /// # Errors
    /// The column is none of numbers with fractions.
    pub fn push_large(&mut self, column: usize, value: u64) -> Result<(), RowsError> {
        match self.column_type(column) {
            ColumnType::Float64 => self.push_float(column, value as f64),
            _ => Err(self.unfit(column, &value.to_string())),
        }
    }

    /// The next value of a column is text, which may be a time.
    ///
    /// # Errors
    /// The column has another type.
    pub fn push_text(&mut self, column: usize, value: &str) -> Result<(), RowsError> {
        match self.column_type(column) {
            ColumnType::Text => self.grow(column)?.text(value),
            ColumnType::Category => self.grow(column)?.word(value),
            ColumnType::Timestamp => match guess::timestamp(value) {
                Some(time) => self.grow(column)?.values.extend_from_slice(&time.to_le_bytes()),
                None => return Err(self.unfit(column, &format!("{value:?}"))),
            },
            _ => return Err(self.unfit(column, &format!("{value:?}"))),
        }
        Ok(())
    }

    /// The next value of a column is written as text, as in CSV.
    ///
    /// # Errors
    /// The text is not of the column's type.
    pub fn push_written(&mut self, column: usize, value: &str) -> Result<(), RowsError> {
        let unfit = |all: &Self| all.unfit(column, &format!("{value:?}"));
        match self.column_type(column) {
            ColumnType::Boolean => match guess::boolean(value) {
                Some(value) => self.push_boolean(column, value),
                None => Err(unfit(self)),
            },
            ColumnType::Int64 => match guess::integer(value) {
                Some(value) => self.push_integer(column, value),
                None => match guess::float(value) {
                    Some(value) => self.push_float(column, value),
                    None => Err(unfit(self)),
                },
            },
            ColumnType::Float64 => match guess::float(value).or_else(|| value.parse().ok()) {
                Some(value) => self.push_float(column, value),
                None => Err(unfit(self)),
            },
            _ => self.push_text(column, value),
        }
    }

    /// The rows as a batch.
    ///
    /// # Errors
    /// The columns differ in length, one is missing, or there is more than a batch may hold.
    pub fn finish(mut self) -> Result<Batch, RowsError> {
        let rows = self.columns.iter().map(|column| column.len).max().unwrap_or_default();
        for column in 0..self.columns.len() {
            let len = self.columns[column].len;
            if len == 0 && rows > 0 {
                if !self.form.field(column).nullable {
                    return Err(self.form.missing(column, None));
                }
                (0..rows).try_for_each(|_| self.push_missing(column))?;
            } else if len != rows {
                let problem = format!("it has {len} values where another column has {rows}");
                return Err(RowsError::column(&self.form.field(column).name, None, problem));
            }
        }
        let fields = self.form.schema().fields().iter();
        let columns = self.columns.into_iter().zip(fields).map(|(column, field)| column.finish(field.column_type));
        let batch = Batch { rows: rows as u32, columns: columns.collect() };
        let most = stagewright_core::table::MAX_BATCH_BYTES;
        if batch.bytes() > most {
            let problem = format!("the rows take {} bytes; {most} is the most, so send fewer at once", batch.bytes());
            return Err(RowsError::too_large(problem));
        }
        Ok(batch)
    }
}

impl Growing {
    fn text(&mut self, value: &str) {
        if self.offsets.is_empty() {
            self.offsets.extend_from_slice(&[0; 4]);
        }
        self.values.extend_from_slice(value.as_bytes());
        // A request is far smaller than four gigabytes.
        self.offsets.extend_from_slice(&(self.values.len() as u32).to_le_bytes());
    }

    fn word(&mut self, word: &str) {
        let code = self.words.get_or_insert_default().code(word);
        self.values.extend_from_slice(&code.to_le_bytes());
    }

    fn finish(self, column_type: ColumnType) -> Column {
        let validity = self.validity.map(Bits::into_bytes);
        match column_type {
            ColumnType::Boolean => Column { values: self.bits.into_bytes(), validity, ..Column::default() },
            ColumnType::Text => {
                let offsets = if self.offsets.is_empty() { vec![0; 4] } else { self.offsets };
                Column { values: self.values, validity, offsets: Some(offsets), words: None }
            }
            ColumnType::Category => {
                let words = self.words.map(|words| words.list).unwrap_or_default();
                Column { values: self.values, validity, offsets: None, words: Some(words) }
            }
            _ => Column { values: self.values, validity, ..Column::default() },
        }
    }
}

impl Words {
    /// The code of a word, which is new where it is not known.
    fn code(&mut self, word: &str) -> u32 {
        let known = match self.list.len() {
            0..=FEW_WORDS => self.list.iter().position(|known| known == word).map(|code| code as u32),
            _ => self.codes.get(word).copied(),
        };
        known.unwrap_or_else(|| {
            self.list.push(word.to_owned());
            let code = self.list.len() as u32 - 1;
            if self.list.len() == FEW_WORDS + 1 {
                self.codes = self.list.iter().cloned().zip(0..).collect();
            } else if self.list.len() > FEW_WORDS {
                self.codes.insert(word.to_owned(), code);
            }
            code
        })
    }
}
