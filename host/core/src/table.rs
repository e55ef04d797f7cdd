//! Tables: a schema and batches of columns in the layout of the contract (Arrow's buffers, little-endian).
//!
//! Bytes that come from outside become a [`Batch`] only through [`Batch::check`] or [`Batch::decode`]; whatever is
//! hashed goes through [`Batch::canonical`] first, so that equal rows have equal bytes.

mod bits;
mod builder;
mod codec;
mod cut;
mod ops;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use self::{bits::Bits, builder::BatchBuilder, cut::Cutter};

/// The most bytes that a batch may hold.
pub const MAX_BATCH_BYTES: usize = 16 << 20;

/// The most rows that a batch may have. Bits, and no columns at all, would else make billions of rows of next to
/// nothing, and whoever looks at each of them needs far more.
pub const MAX_BATCH_ROWS: u32 = 4 << 20;

/// The type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnType {
    /// Bit-packed, least significant bit first.
    Boolean,
    /// 64-bit signed integers.
    Int64,
    /// IEEE 754 doubles.
    Float64,
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    /// UTF-8 with 32-bit offsets.
    Text,
    /// 32-bit codes into the column's words.
    Category,
}

impl ColumnType {
    /// The type's name, as in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Timestamp => "timestamp",
            Self::Text => "text",
            Self::Category => "category",
        }
    }

    /// Bytes per row, where each row takes the same number of whole bytes.
    pub const fn width(self) -> Option<usize> {
        match self {
            Self::Int64 | Self::Float64 | Self::Timestamp => Some(8),
            Self::Category => Some(4),
            Self::Boolean | Self::Text => None,
        }
    }
}

/// A column's name and type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The name, unique in its schema.
    pub name: String,
    /// The type of the values.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Whether rows may lack a value.
    pub nullable: bool,
}

impl Field {
    /// A field.
    pub fn new(name: impl Into<String>, column_type: ColumnType, nullable: bool) -> Self {
        Self { name: name.into(), column_type, nullable }
    }
}

/// The columns of a table, in order. Names are unique.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Schema(Vec<Field>);

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Schema {
    /// A schema of these columns.
    ///
    /// # Errors
    /// Two columns share a name.
    pub fn new(fields: Vec<Field>) -> Result<Self, TableError> {
        let mut seen = BTreeSet::new();
        match fields.iter().find(|field| !seen.insert(field.name.as_str())) {
            Some(twice) => Err(TableError::DuplicateColumn(twice.name.clone())),
            None => Ok(Self(fields)),
        }
    }

    /// The columns.
    pub fn fields(&self) -> &[Field] {
        &self.0
    }

    /// The number of columns.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no columns.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The position of the column with this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|field| field.name == name)
    }
}

/// The values of one column in a batch. See the contract for the layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// The values.
    pub values: Vec<u8>,
    /// Bit `i` is set where row `i` has a value; none where every row has one.
    pub validity: Option<Vec<u8>>,
    /// Only for text.
    pub offsets: Option<Vec<u8>>,
    /// Only for categories.
    pub words: Option<Vec<String>>,
}

/// Consecutive rows of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The number of rows.
    pub rows: u32,
    /// The columns, in the order of the schema.
    pub columns: Vec<Column>,
}

/// Bytes that are not a table, or not the table they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// A schema with a name twice.
    #[error("two columns are named `{0}`")]
    DuplicateColumn(String),
    /// A batch with too few or too many columns.
    #[error("the batch has {found} columns where its schema has {expected}")]
    ColumnCount {
        /// Columns of the schema.
        expected: usize,
        /// Columns of the batch.
        found: usize,
    },
    /// A batch of more than [`MAX_BATCH_BYTES`].
    #[error("the batch holds {0} bytes; a batch may hold at most {MAX_BATCH_BYTES}")]
    TooLarge(usize),
    /// A batch of more than [`MAX_BATCH_ROWS`].
    #[error("the batch has {0} rows; a batch may have at most {MAX_BATCH_ROWS}")]
    TooManyRows(u32),
    /// A column that breaks its layout.
    #[error("column `{column}` ({}): {problem}", .column_type.as_str())]
    Column {
        /// The column's name.
        column: String,
        /// The type it should have.
        column_type: ColumnType,
        /// What is wrong.
        problem: String,
    },
    /// Stored bytes that are not an encoded batch.
    #[error("not an encoded batch: {0}")]
    Encoding(&'static str),
}

impl Batch {
    /// The number of bytes in all buffers.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(Column::bytes).sum()
    }

    /// Checks everything that a reader of the columns relies on: the number of columns, lengths, offsets, codes,
    /// UTF-8, and values in columns that may not lack any.
    ///
    /// # Errors
    /// The first thing that is wrong, with the column's name.
    pub fn check(&self, schema: &Schema) -> Result<(), TableError> {
        if self.columns.len() != schema.len() {
            return Err(TableError::ColumnCount { expected: schema.len(), found: self.columns.len() });
        }
        if self.bytes() > MAX_BATCH_BYTES {
            return Err(TableError::TooLarge(self.bytes()));
        }
        if self.rows > MAX_BATCH_ROWS {
            return Err(TableError::TooManyRows(self.rows));
        }
        for (column, field) in self.columns.iter().zip(schema.fields()) {
            column.check(field, self.rows as usize).map_err(|problem| TableError::Column {
                column: field.name.clone(),
                column_type: field.column_type,
                problem,
            })?;
        }
        Ok(())
    }

    /// Rewrites a checked batch so that equal rows have equal bytes: bits behind the last row and values of rows that
    /// have none become zero, a validity without gaps is left out, NaNs get one bit pattern, and words stand in the
    /// order of their first use, without the unused.
    pub fn canonical(mut self, schema: &Schema) -> Self {
        let rows = self.rows as usize;
        for (column, field) in self.columns.iter_mut().zip(schema.fields()) {
            column.make_canonical(field.column_type, rows);
        }
        self
    }
}

impl Column {
    /// The number of bytes in all buffers.
    pub fn bytes(&self) -> usize {
        self.values.len()
            + self.validity.as_ref().map_or(0, Vec::len)
            + self.offsets.as_ref().map_or(0, Vec::len)
            + self.words.as_ref().map_or(0, |words| words.iter().map(|word| word.len() + 4).sum())
    }

    /// Whether row `row` has a value.
    pub fn is_valid(&self, row: usize) -> bool {
        self.validity.as_ref().is_none_or(|bits| bits[row / 8] >> (row % 8) & 1 == 1)
    }

    fn check(&self, field: &Field, rows: usize) -> Result<(), String> {
        let expect = |what: &str, found: usize, expected: usize| {
            if found == expected {
                Ok(())
            } else {
                Err(format!("{what} holds {found} bytes where {rows} rows need {expected}"))
            }
        };
        if let Some(validity) = &self.validity {
            expect("validity", validity.len(), rows.div_ceil(8))?;
            if !field.nullable
                && let Some(row) = (0..rows).find(|row| !self.is_valid(*row))
            {
                return Err(format!("row {row} has no value, and the column is not nullable"));
            }
        }
        if self.offsets.is_some() && field.column_type != ColumnType::Text {
            return Err("offsets belong to text columns only".to_owned());
        }
        if self.words.is_some() && field.column_type != ColumnType::Category {
            return Err("words belong to category columns only".to_owned());
        }
        match field.column_type {
            ColumnType::Boolean => expect("values", self.values.len(), rows.div_ceil(8)),
            ColumnType::Int64 | ColumnType::Float64 | ColumnType::Timestamp => {
                expect("values", self.values.len(), rows * 8)
            }
            ColumnType::Text => self.check_text(rows),
            ColumnType::Category => {
                expect("values", self.values.len(), rows * 4)?;
                let words = self.words.as_ref().ok_or("the words are missing")?;
                let wrong =
                    self.codes().enumerate().find(|(row, code)| *code as usize >= words.len() && self.is_valid(*row));
                match wrong {
                    Some((row, code)) => Err(format!("row {row} has code {code}, but there are {} words", words.len())),
                    None => Ok(()),
                }
            }
        }
    }

    fn check_text(&self, rows: usize) -> Result<(), String> {
        let offsets = self.offsets.as_ref().ok_or("the offsets are missing")?;
        if offsets.len() != (rows + 1) * 4 {
            return Err(format!("offsets hold {} bytes where {rows} rows need {}", offsets.len(), (rows + 1) * 4));
        }
        let text = std::str::from_utf8(&self.values).map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to()))?;
        let mut before = 0;
        for (row, offset) in self.offsets().enumerate() {
            let offset = offset as usize;
            if row == 0 && offset != 0 {
                return Err(format!("the first offset is {offset}, not 0"));
            }
            if offset < before {
                return Err(format!("offset {row} is {offset}, before the one in front of it ({before})"));
            }
            if !text.is_char_boundary(offset) {
                return Err(format!(
                    "offset {row} is {offset}, which is no character boundary of {} bytes",
                    text.len()
                ));
            }
            before = offset;
        }
        if before != text.len() {
            return Err(format!("the last offset is {before}, but the values hold {} bytes", text.len()));
        }
        Ok(())
    }

    /// The offsets of a text column.
    pub fn offsets(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        u32s(self.offsets.as_deref().unwrap_or_default())
    }

    /// The codes of a category column.
    pub fn codes(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        u32s(&self.values)
    }

    /// The values of a float64 column.
    pub fn floats(&self) -> impl ExactSizeIterator<Item = f64> + '_ {
        self.values.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes))
    }

    /// The values of an int64 or timestamp column.
    pub fn ints(&self) -> impl ExactSizeIterator<Item = i64> + '_ {
        self.values.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes))
    }

    /// The text of a row, in a checked text or category column; none where the row has no value.
    pub fn text(&self, row: usize) -> Option<&str> {
        if !self.is_valid(row) {
            return None;
        }
        let u32_at = |bytes: &[u8], i: usize| bytes.as_chunks().0.get(i).map(|four| u32::from_le_bytes(*four) as usize);
        match (&self.words, &self.offsets) {
            (Some(words), _) => words.get(u32_at(&self.values, row)?).map(String::as_str),
            (None, Some(offsets)) => {
                let range = u32_at(offsets, row)?..u32_at(offsets, row + 1)?;
                std::str::from_utf8(self.values.get(range)?).ok()
            }
            (None, None) => None,
        }
    }
}

fn u32s(bytes: &[u8]) -> impl ExactSizeIterator<Item = u32> + '_ {
    bytes.as_chunks().0.iter().map(|four| u32::from_le_bytes(*four))
}

#[cfg(test)]
mod tests;
