//! Tables as typed values: what a batch holds, decoded once.
//!
//! The sandbox copies columns as bytes that may stand at any address, so values are read in one pass (which compiles to
//! vector moves) rather than reinterpreted in place.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::failure::no_such_column;
use crate::{Batch, Column, ColumnType, Failure, Field};

/// Texts, one behind the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Texts {
    bytes: String,
    ends: Vec<usize>,
}

impl Texts {
    /// The text of a row.
    pub fn get(&self, row: usize) -> &str {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    /// Adds a row.
    pub fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The texts of all rows.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|row| self.get(row))
    }
}

impl<Text: AsRef<str>> FromIterator<Text> for Texts {
    fn from_iter<Source: IntoIterator<Item = Text>>(source: Source) -> Self {
        let mut texts = Self::default();
        source.into_iter().for_each(|text| texts.push(text.as_ref()));
        texts
    }
}

/// The values of a column. Where a row has none, what stands here has no meaning.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Yes or no.
    Boolean(Vec<bool>),
    /// Whole numbers.
    Int64(Vec<i64>),
    /// Numbers.
    Float64(Vec<f64>),
    /// Microseconds since 1970.
    Timestamp(Vec<i64>),
    /// Text.
    Text(Texts),
    /// Text that repeats.
    Category {
        /// For each row an index into `words`.
        codes: Vec<u32>,
        /// What the codes stand for.
        words: Vec<String>,
    },
}

impl Values {
    /// Their type.
    pub fn kind(&self) -> ColumnType {
        match self {
            Self::Boolean(_) => ColumnType::Boolean,
            Self::Int64(_) => ColumnType::Int64,
            Self::Float64(_) => ColumnType::Float64,
            Self::Timestamp(_) => ColumnType::Timestamp,
            Self::Text(_) => ColumnType::Text,
            Self::Category { .. } => ColumnType::Category,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Boolean(values) => values.len(),
            Self::Int64(values) | Self::Timestamp(values) => values.len(),
            Self::Float64(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Category { codes, .. } => codes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A named column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its values.
    pub values: Values,
    /// Which rows have a value; absent where all have.
    pub valid: Option<Vec<bool>>,
}

impl Series {
    /// A column in which every row has a value.
    pub fn new(name: impl Into<String>, values: Values) -> Self {
        Self { name: name.into(), values, valid: None }
    }

    /// A column of numbers, in which NaN stands for no value.
    pub fn of_floats(name: impl Into<String>, values: Vec<f64>) -> Self {
        let valid =
            values.iter().any(|value| value.is_nan()).then(|| values.iter().map(|value| !value.is_nan()).collect());
        Self { name: name.into(), values: Values::Float64(values), valid }
    }

    /// A column of text.
    pub fn of_texts<Text: AsRef<str>>(name: impl Into<String>, texts: impl IntoIterator<Item = Option<Text>>) -> Self {
        let mut values = Texts::default();
        let mut valid = Vec::new();
        for text in texts {
            values.push(text.as_ref().map_or("", AsRef::as_ref));
            valid.push(text.is_some());
        }
        Self { name: name.into(), values: Values::Text(values), valid: valid.contains(&false).then_some(valid) }
    }

    /// Its name and type, as the contract has them.
    pub fn field(&self) -> Field {
        Field { name: self.name.clone(), type_: self.values.kind(), nullable: self.valid.is_some() }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether a row has a value.
    pub fn has(&self, row: usize) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid[row])
    }

    /// The number of rows without a value.
    pub fn missing(&self) -> usize {
        self.valid.as_ref().map_or(0, |valid| valid.iter().filter(|has| !**has).count())
    }

    /// Whether it holds numbers, or yes and no, which count as 1 and 0.
    pub fn is_numeric(&self) -> bool {
        !matches!(self.values, Values::Text(_) | Values::Category { .. })
    }

    /// The values as numbers, NaN where there is none; nothing if the column holds text.
    pub fn numeric(&self) -> Option<Cow<'_, [f64]>> {
        let mut numbers: Vec<f64> = match &self.values {
            Values::Float64(values) if self.valid.is_none() => return Some(Cow::Borrowed(values)),
            Values::Boolean(values) => values.iter().map(|value| f64::from(u8::from(*value))).collect(),
            Values::Int64(values) | Values::Timestamp(values) => values.iter().map(|value| *value as f64).collect(),
            Values::Float64(values) => values.clone(),
            Values::Text(_) | Values::Category { .. } => return None,
        };
        if let Some(valid) = &self.valid {
            numbers.iter_mut().zip(valid).filter(|(_, has)| !**has).for_each(|(number, _)| *number = f64::NAN);
        }
        Some(Cow::Owned(numbers))
    }

    /// The word of a row of text or category; nothing where it has none or the column holds something else.
    pub fn word(&self, row: usize) -> Option<&str> {
        if !self.has(row) {
            return None;
        }
        match &self.values {
            Values::Text(texts) => Some(texts.get(row)),
            Values::Category { codes, words } => words.get(codes[row] as usize).map(String::as_str),
            _ => None,
        }
    }

    /// The value of a row as people write it; nothing where it has none.
    pub fn display(&self, row: usize) -> Option<String> {
        if !self.has(row) {
            return None;
        }
        match &self.values {
            Values::Boolean(values) => Some(values[row].to_string()),
            Values::Int64(values) | Values::Timestamp(values) => Some(values[row].to_string()),
            Values::Float64(values) => Some(values[row].to_string()),
            Values::Text(_) | Values::Category { .. } => self.word(row).map(str::to_owned),
        }
    }

    /// The rows at these places, in this order.
    pub fn take(&self, rows: &[usize]) -> Self {
        let values = match &self.values {
            Values::Boolean(values) => Values::Boolean(rows.iter().map(|row| values[*row]).collect()),
            Values::Int64(values) => Values::Int64(rows.iter().map(|row| values[*row]).collect()),
            Values::Timestamp(values) => Values::Timestamp(rows.iter().map(|row| values[*row]).collect()),
            Values::Float64(values) => Values::Float64(rows.iter().map(|row| values[*row]).collect()),
            Values::Text(texts) => Values::Text(rows.iter().map(|row| texts.get(*row)).collect()),
            Values::Category { codes, words } => {
                Values::Category { codes: rows.iter().map(|row| codes[*row]).collect(), words: words.clone() }
            }
        };
        let valid = self.valid.as_ref().map(|valid| rows.iter().map(|row| valid[*row]).collect());
        Self { name: self.name.clone(), values, valid }
    }

    /// Reads a column of the contract.
    pub fn decode(field: &Field, rows: usize, column: &Column) -> Result<Self, Failure> {
        let broken = || Failure::internal(format!("the host sent a malformed column `{}`", field.name));
        let eight = || -> Result<_, Failure> {
            let (chunks, rest) = column.values.as_chunks::<8>();
            if chunks.len() == rows && rest.is_empty() { Ok(chunks.iter()) } else { Err(broken()) }
        };
        let values = match field.type_ {
            ColumnType::Boolean => Values::Boolean(bits(&column.values, rows).ok_or_else(broken)?),
            ColumnType::Int64 => Values::Int64(eight()?.map(|bytes| i64::from_le_bytes(*bytes)).collect()),
            ColumnType::Timestamp => Values::Timestamp(eight()?.map(|bytes| i64::from_le_bytes(*bytes)).collect()),
            ColumnType::Float64 => Values::Float64(eight()?.map(|bytes| f64::from_le_bytes(*bytes)).collect()),
            ColumnType::Text => {
                let ends: Vec<usize> = fours(column.offsets.as_deref().ok_or_else(broken)?).collect();
                let bytes = String::from_utf8(column.values.clone()).map_err(|_| broken())?;
                let sound = ends.len() == rows + 1
                    && ends.is_sorted()
                    && ends[0] == 0
                    && ends.iter().all(|end| bytes.is_char_boundary(*end));
                if !sound {
                    return Err(broken());
                }
                Values::Text(Texts { bytes, ends: ends[1..].to_vec() })
            }
            ColumnType::Category => {
                let codes: Vec<u32> = fours(&column.values).map(|code| code as u32).collect();
                if codes.len() != rows {
                    return Err(broken());
                }
                Values::Category { codes, words: column.words.clone().ok_or_else(broken)? }
            }
        };
        let valid = match &column.validity {
            Some(validity) => Some(bits(validity, rows).ok_or_else(broken)?),
            None => None,
        };
        if let Values::Category { codes, words } = &values
            && codes
                .iter()
                .enumerate()
                .any(|(row, code)| valid.as_ref().is_none_or(|valid| valid[row]) && words.len() <= *code as usize)
        {
            return Err(broken());
        }
        Ok(Self { name: field.name.clone(), values, valid })
    }

    /// Writes a column of the contract. Rows without a value become zeros, so that equal tables are equal bytes.
    pub fn encode(&self) -> Result<Column, Failure> {
        let mut column = Column { values: Vec::new(), validity: None, offsets: None, words: None };
        match &self.values {
            Values::Boolean(values) => {
                column.values = pack(values.iter().enumerate().map(|(row, value)| *value && self.has(row)));
            }
            Values::Int64(values) | Values::Timestamp(values) => {
                column.values = (0..values.len())
                    .flat_map(|row| if self.has(row) { values[row].to_le_bytes() } else { [0; 8] })
                    .collect();
            }
            Values::Float64(values) => {
                column.values = (0..values.len())
                    .flat_map(|row| if self.has(row) { values[row].to_le_bytes() } else { [0; 8] })
                    .collect();
            }
            Values::Text(texts) => {
                let mut offsets = 0_u32.to_le_bytes().to_vec();
                for row in 0..texts.len() {
                    if self.has(row) {
                        column.values.extend_from_slice(texts.get(row).as_bytes());
                    }
                    let end = u32::try_from(column.values.len()).map_err(|_| {
                        Failure::invalid_data(format!("column `{}` holds over 4 GiB of text", self.name))
                    })?;
                    offsets.extend_from_slice(&end.to_le_bytes());
                }
                column.offsets = Some(offsets);
            }
            Values::Category { codes, words } => {
                column.values = (0..codes.len())
                    .flat_map(|row| if self.has(row) { codes[row].to_le_bytes() } else { [0; 4] })
                    .collect();
                column.words = Some(words.clone());
            }
        }
        column.validity = self.valid.as_ref().map(|valid| pack(valid.iter().copied()));
        Ok(column)
    }

    /// Makes room for further rows.
    fn reserve(&mut self, rows: usize) {
        match &mut self.values {
            Values::Boolean(values) => values.reserve(rows),
            Values::Int64(values) | Values::Timestamp(values) => values.reserve(rows),
            Values::Float64(values) => values.reserve(rows),
            Values::Text(texts) => texts.ends.reserve(rows),
            Values::Category { codes, .. } => codes.reserve(rows),
        }
    }

    /// Adds the rows of a column of the same type.
    fn append(&mut self, other: &Self) -> Result<(), Failure> {
        let before = self.len();
        match (&mut self.values, &other.values) {
            (Values::Boolean(mine), Values::Boolean(more)) => mine.extend_from_slice(more),
            (Values::Int64(mine), Values::Int64(more)) | (Values::Timestamp(mine), Values::Timestamp(more)) => {
                mine.extend_from_slice(more);
            }
            (Values::Float64(mine), Values::Float64(more)) => mine.extend_from_slice(more),
            (Values::Text(mine), Values::Text(more)) => {
                let start = mine.bytes.len();
                mine.bytes.push_str(&more.bytes);
                mine.ends.extend(more.ends.iter().map(|end| end + start));
            }
            (Values::Category { codes, words }, Values::Category { codes: more, words: new }) => {
                if words == new {
                    codes.extend_from_slice(more);
                } else {
                    let mut places: BTreeMap<String, u32> = words.iter().cloned().zip(0..).collect();
                    let translated: Vec<u32> = new
                        .iter()
                        .map(|word| {
                            *places.entry(word.clone()).or_insert_with(|| {
                                words.push(word.clone());
                                words.len() as u32 - 1
                            })
                        })
                        .collect();
                    codes.extend(more.iter().map(|code| translated.get(*code as usize).copied().unwrap_or_default()));
                }
            }
            _ => return Err(Failure::internal(format!("column `{}` changed its type", self.name))),
        }
        if self.valid.is_some() || other.valid.is_some() {
            let valid = self.valid.get_or_insert_with(|| vec![true; before]);
            valid.extend((0..other.len()).map(|row| other.has(row)));
        }
        Ok(())
    }
}

/// Rows of named columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    rows: usize,
    columns: Vec<Series>,
}

impl Table {
    /// A table of these columns, which must be equally long and have different names.
    pub fn new(columns: Vec<Series>) -> Result<Self, Failure> {
        let rows = columns.first().map_or(0, Series::len);
        for (place, column) in columns.iter().enumerate() {
            if column.len() != rows || column.valid.as_ref().is_some_and(|valid| valid.len() != rows) {
                return Err(Failure::internal(format!("column `{}` has a different number of rows", column.name)));
            }
            if columns[..place].iter().any(|other| other.name == column.name) {
                return Err(Failure::invalid_data(format!("two columns are called `{}`", column.name)));
            }
        }
        Ok(Self { rows, columns })
    }

    /// A table without rows.
    pub fn empty(fields: &[Field]) -> Self {
        let empty = |field: &Field| {
            let values = match field.type_ {
                ColumnType::Boolean => Values::Boolean(Vec::new()),
                ColumnType::Int64 => Values::Int64(Vec::new()),
                ColumnType::Float64 => Values::Float64(Vec::new()),
                ColumnType::Timestamp => Values::Timestamp(Vec::new()),
                ColumnType::Text => Values::Text(Texts::default()),
                ColumnType::Category => Values::Category { codes: Vec::new(), words: Vec::new() },
            };
            Series { name: field.name.clone(), values, valid: None }
        };
        Self { rows: 0, columns: fields.iter().map(empty).collect() }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[Series] {
        &self.columns
    }

    /// The columns, in order, to keep.
    pub fn into_columns(self) -> Vec<Series> {
        self.columns
    }

    /// The names and types of the columns.
    pub fn fields(&self) -> Vec<Field> {
        self.columns.iter().map(Series::field).collect()
    }

    /// The column of this name, if there is one.
    pub fn find(&self, name: &str) -> Option<&Series> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column of this name. The refusal names the column that was probably meant.
    pub fn column(&self, name: &str) -> Result<&Series, Failure> {
        self.find(name).ok_or_else(|| Failure::invalid_data(no_such_column(name, &self.fields())))
    }

    /// The column of this name as numbers, NaN where there is none.
    pub fn numeric(&self, name: &str) -> Result<Cow<'_, [f64]>, Failure> {
        let column = self.column(name)?;
        column.numeric().ok_or_else(|| Failure::invalid_data(format!("column `{name}` holds text; a number is needed")))
    }

    /// The rows at these places, in this order.
    pub fn take(&self, rows: &[usize]) -> Self {
        Self { rows: rows.len(), columns: self.columns.iter().map(|column| column.take(rows)).collect() }
    }

    /// Makes room for further rows, so that adding them does not move those that are there.
    pub fn reserve(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.reserve(rows));
    }

    /// Adds the rows of a table with the same columns.
    pub fn append(&mut self, other: &Self) -> Result<(), Failure> {
        if self.columns.len() != other.columns.len() {
            return Err(Failure::internal("two batches of a table have different columns"));
        }
        for (mine, more) in self.columns.iter_mut().zip(&other.columns) {
            mine.append(more)?;
        }
        self.rows += other.rows;
        Ok(())
    }

    /// Reads a batch of the contract, whose columns have these names and types.
    pub fn decode(fields: &[Field], batch: &Batch) -> Result<Self, Failure> {
        if fields.len() != batch.columns.len() {
            return Err(Failure::internal("a batch has a different number of columns than its schema"));
        }
        let rows = batch.rows as usize;
        let columns = fields.iter().zip(&batch.columns).map(|(field, column)| Series::decode(field, rows, column));
        Ok(Self { rows, columns: columns.collect::<Result<_, _>>()? })
    }

    /// Writes a batch of the contract.
    pub fn encode(&self) -> Result<Batch, Failure> {
        let rows = u32::try_from(self.rows).map_err(|_| Failure::internal("a batch of over four billion rows"))?;
        Ok(Batch { rows, columns: self.columns.iter().map(Series::encode).collect::<Result<_, _>>()? })
    }
}

/// The first `rows` bits, least significant first; nothing if there are fewer.
fn bits(bytes: &[u8], rows: usize) -> Option<Vec<bool>> {
    (bytes.len() >= rows.div_ceil(8)).then(|| (0..rows).map(|row| bytes[row / 8] >> (row % 8) & 1 == 1).collect())
}

/// Bits as bytes, least significant first.
fn pack(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (row, bit) in bits.enumerate() {
        if row % 8 == 0 {
            bytes.push(0);
        }
        bytes[row / 8] |= u8::from(bit) << (row % 8);
    }
    bytes
}

/// Unsigned 32-bit numbers.
fn fours(bytes: &[u8]) -> impl Iterator<Item = usize> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes) as usize)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
