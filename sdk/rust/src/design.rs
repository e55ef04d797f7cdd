//! The design matrix of linear models: numbers as they are, words and booleans as indicators.
//!
//! A row is a few numbers and the places of its few indicators, so that seven hundred one-hot columns cost no more than
//! the seven columns they came from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::failure::no_such_column;
use crate::linear::{Symmetric, dot};
use crate::{ColumnType, Failure, Field, Series, Table, Values};

/// Beyond this many columns, a matrix of their products no longer fits a sandbox.
const MOST_COLUMNS: usize = 4096;

/// How one column of a table enters the matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// As a number.
    Number,
    /// As an indicator of `true`.
    Boolean,
    /// As one indicator for each of these words, in order; other words and missing ones have none.
    Words(Vec<String>),
}

/// How the columns of a table become the columns of a matrix, learnt from the training rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Encoding {
    parts: Vec<(String, Part)>,
}

/// A matrix: for each row the numbers, a constant 1, and the places of the indicators.
#[derive(Clone, Debug)]
pub struct Design {
    rows: usize,
    numbers: Vec<f64>,
    numeric: usize,
    width: usize,
    ends: Vec<usize>,
    places: Vec<u32>,
}

impl Encoding {
    /// Learns the words of the columns.
    pub fn learn(columns: &[&Series]) -> Result<Self, Failure> {
        let part = |column: &&Series| {
            let part = match &column.values {
                Values::Boolean(_) => Part::Boolean,
                Values::Text(_) | Values::Category { .. } => {
                    let mut words: Vec<&str> = (0..column.len()).filter_map(|row| column.word(row)).collect();
                    words.sort_unstable();
                    words.dedup();
                    Part::Words(words.into_iter().map(str::to_owned).collect())
                }
                _ => Part::Number,
            };
            (column.name.clone(), part)
        };
        let encoding = Self { parts: columns.iter().map(part).collect() };
        let width = encoding.width();
        if width > MOST_COLUMNS {
            let widest =
                encoding.parts.iter().max_by_key(|(_, part)| part.width()).map_or("", |(name, _)| name.as_str());
            return Err(Failure::invalid_data(format!(
                "the features make {width} columns, of which a linear model takes {MOST_COLUMNS}; the most come from \
                 `{widest}`: exclude it, or limit its categories"
            )));
        }
        Ok(encoding)
    }

    /// The number of the matrix's columns, the constant one included.
    pub fn width(&self) -> usize {
        1 + self.parts.iter().map(|(_, part)| part.width()).sum::<usize>()
    }

    /// Where the constant column stands: behind the numbers, before the indicators.
    pub fn constant(&self) -> usize {
        self.parts.iter().filter(|(_, part)| *part == Part::Number).count()
    }

    /// What the columns of the matrix are called; the constant one has no name.
    pub fn names(&self) -> Vec<String> {
        let numbers = self.parts.iter().filter(|(_, part)| *part == Part::Number).map(|(name, _)| name.clone());
        let indicators = self.parts.iter().flat_map(|(name, part)| match part {
            Part::Number => Vec::new(),
            Part::Boolean => vec![name.clone()],
            Part::Words(words) => words.iter().map(|word| format!("{name}={word}")).collect(),
        });
        numbers.chain([String::new()]).chain(indicators).collect()
    }

    /// The columns of the table that it needs.
    pub fn input(&self) -> Vec<Field> {
        let field = |(name, part): &(String, Part)| {
            let type_ = match part {
                Part::Number => ColumnType::Float64,
                Part::Boolean => ColumnType::Boolean,
                Part::Words(_) => ColumnType::Category,
            };
            Field { name: name.clone(), type_, nullable: false }
        };
        self.parts.iter().map(field).collect()
    }

    /// Refuses rows of these columns if one is missing or of the wrong type.
    pub fn check(&self, fields: &[Field]) -> Result<(), Failure> {
        for (name, part) in &self.parts {
            let field = fields.iter().find(|field| field.name == *name);
            let field = field.ok_or_else(|| Failure::invalid_data(no_such_column(name, fields)))?;
            let text = matches!(field.type_, ColumnType::Text | ColumnType::Category);
            if text != matches!(part, Part::Words(_)) {
                let (was, is) = if text { ("a number", "text") } else { ("text", "a number") };
                return Err(Failure::invalid_data(format!(
                    "column `{name}` is {is}; the model was trained with {was}"
                )));
            }
        }
        Ok(())
    }

    /// Makes the matrix of these rows.
    pub fn apply(&self, table: &Table) -> Result<Design, Failure> {
        self.check(&table.fields())?;
        let (rows, numeric) = (table.rows(), self.constant() + 1);
        let mut indicators: Vec<Vec<u32>> = Vec::new();
        let mut columns = Vec::with_capacity(numeric);
        let mut start = numeric as u32;
        for (name, part) in &self.parts {
            let column = table.column(name)?;
            match part {
                Part::Number => {
                    let values = table.numeric(name)?;
                    if let Some(row) = values.iter().position(|value| !value.is_finite()) {
                        let what = if values[row].is_nan() { "has no value" } else { "is infinite" };
                        return Err(Failure::invalid_data(format!(
                            "column `{name}` {what} in row {} of the batch; impute it first, as the tabular featurizer does",
                            row + 1
                        )));
                    }
                    columns.push(values);
                }
                Part::Boolean => {
                    let yes = column.numeric().unwrap_or_default();
                    indicators.push(yes.iter().map(|value| if *value == 1.0 { start } else { u32::MAX }).collect());
                }
                Part::Words(words) => {
                    let known: BTreeMap<&str, u32> = words.iter().map(String::as_str).zip(start..).collect();
                    let place = |word: &str| known.get(word).copied().unwrap_or(u32::MAX);
                    indicators.push(match &column.values {
                        Values::Category { codes, words } => {
                            let places: Vec<u32> = words.iter().map(|word| place(word)).collect();
                            let of = |row: usize| places.get(codes[row] as usize).copied().unwrap_or(u32::MAX);
                            (0..rows).map(|row| if column.has(row) { of(row) } else { u32::MAX }).collect()
                        }
                        _ => (0..rows).map(|row| column.word(row).map_or(u32::MAX, place)).collect(),
                    });
                }
            }
            if *part != Part::Number {
                start += part.width() as u32;
            }
        }
        let mut numbers = Vec::with_capacity(rows * numeric);
        let columns: Vec<&[f64]> = columns.iter().map(AsRef::as_ref).collect();
        for row in 0..rows {
            numbers.extend(columns.iter().map(|column| column[row]));
            numbers.push(1.0);
        }
        let (mut ends, mut places) = (Vec::with_capacity(rows), Vec::with_capacity(rows * indicators.len()));
        for row in 0..rows {
            places.extend(indicators.iter().map(|column| column[row]).filter(|place| *place != u32::MAX));
            ends.push(places.len());
        }
        Ok(Design { rows, numbers, numeric, width: self.width(), ends, places })
    }
}

impl Part {
    fn width(&self) -> usize {
        match self {
            Self::Number | Self::Boolean => 1,
            Self::Words(words) => words.len(),
        }
    }
}

impl Design {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns, the constant one included.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Subtracts from each number column its mean, and returns the means.
    pub fn centre(&mut self) -> Vec<f64> {
        let mut means = vec![0.0; self.numeric - 1];
        for (place, mean) in means.iter_mut().enumerate() {
            let column = self.numbers.iter_mut().skip(place).step_by(self.numeric);
            *mean = column.map(|value| *value).sum::<f64>() / self.rows.max(1) as f64;
            self.numbers.iter_mut().skip(place).step_by(self.numeric).for_each(|value| *value -= *mean);
        }
        means
    }

    /// Subtracts a number from each number column.
    pub fn subtract(&mut self, numbers: &[f64]) {
        for row in self.numbers.chunks_exact_mut(self.numeric) {
            row.iter_mut().zip(numbers).for_each(|(value, number)| *value -= number);
        }
    }

    #[inline]
    fn row(&self, row: usize) -> (&[f64], &[u32]) {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        (&self.numbers[row * self.numeric..(row + 1) * self.numeric], &self.places[start..self.ends[row]])
    }

    /// Multiplies with a vector of weights: one sum for each row.
    pub fn times(&self, weights: &[f64]) -> Vec<f64> {
        let sum = |row: usize| {
            let (numbers, places) = self.row(row);
            let start = dot(numbers, &weights[..self.numeric]);
            places.iter().fold(start, |sum, place| sum + weights[*place as usize])
        };
        (0..self.rows).map(sum).collect()
    }

    /// Multiplies the transposed matrix with one value for each row: one sum for each column.
    pub fn transposed_times(&self, values: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.width];
        for (row, value) in values.iter().enumerate() {
            let (numbers, places) = self.row(row);
            sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number * value);
            places.iter().for_each(|place| sums[*place as usize] += value);
        }
        sums
    }

    /// The products of every two columns, each row weighted.
    pub fn products(&self, weights: impl Fn(usize) -> f64) -> Symmetric {
        let weights: Vec<f64> = (0..self.rows).map(weights).collect();
        let mut matrix = Symmetric::of_products(self.width, &self.numbers, &weights);
        for (row, weight) in weights.into_iter().enumerate() {
            let (numbers, places) = self.row(row);
            for (nth, place) in places.iter().enumerate() {
                let cells = matrix.row_mut(*place as usize);
                cells.iter_mut().zip(numbers).for_each(|(cell, number)| *cell += weight * number);
                places[..=nth].iter().for_each(|other| cells[*other as usize] += weight);
            }
        }
        matrix
    }
}

#[cfg(test)]
#[path = "design_tests.rs"]
mod tests;
