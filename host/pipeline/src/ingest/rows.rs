//! Rows of a request: JSON and CSV whose columns are known beforehand, straight into one batch, and predictions back.
//!
//! Values are held to the same rules as in files, but nothing is guessed: a column has the type that the model was
//! trained with. Rows are counted from 0.

mod builder;
mod csv;
mod json;
mod render;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

use stagewright_core::{Field, Schema, name::nearest};

pub use self::{
    builder::RowBuilder,
    csv::from_csv,
    json::{Shape, from_json},
    render::Renderer,
};

/// Why rows cannot be answered, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsError {
    /// The row, from 0; none where it is about all rows or there is only one.
    pub row: Option<u64>,
    /// The column.
    pub column: Option<String>,
    /// What is wrong and what to do.
    pub problem: String,
    /// Whether there is simply too much of it.
    pub too_large: bool,
}

impl RowsError {
    /// Something is wrong with the whole.
    pub fn whole(problem: impl Into<String>) -> Self {
        Self { row: None, column: None, problem: problem.into(), too_large: false }
    }

    /// Something is wrong with a column, or with a value of it.
    pub fn column(name: impl Into<String>, row: Option<u64>, problem: impl Into<String>) -> Self {
        Self { row, column: Some(name.into()), problem: problem.into(), too_large: false }
    }

    /// There is more than is taken at once.
    pub fn too_large(problem: impl Into<String>) -> Self {
        Self { too_large: true, ..Self::whole(problem) }
    }
}

impl fmt::Display for RowsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.row, &self.column) {
            (Some(row), Some(column)) => write!(f, "row {row}, column `{column}`: {}", self.problem),
            (Some(row), None) => write!(f, "row {row}: {}", self.problem),
            (None, Some(column)) => write!(f, "column `{column}`: {}", self.problem),
            (None, None) => f.write_str(&self.problem),
        }
    }
}

impl std::error::Error for RowsError {}

/// The columns that a request must bring.
#[derive(Clone, Debug)]
pub struct Form {
    schema: Schema,
    places: HashMap<String, usize>,
    unused: BTreeSet<String>,
    most_rows: usize,
}

/// A column that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// One that is read.
    Column(usize),
    /// One of the training rows that the model does without.
    Unused,
}

impl Form {
    /// A form with the columns that a model reads. The other columns of the rows that it was trained on may be there,
    /// and are not looked at. `most_rows` is the most rows of one request.
    pub fn new(reads: &Schema, trained_on: &Schema, most_rows: usize) -> Self {
        let names = reads.fields().iter().enumerate().map(|(place, field)| (field.name.clone(), place));
        let places: HashMap<_, _> = names.collect();
        let others = trained_on.fields().iter().filter(|field| !places.contains_key(&field.name));
        let unused = others.map(|field| field.name.clone()).collect();
        Self { schema: reads.clone(), places, unused, most_rows }
    }

    /// The columns that are read.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The most rows of one request.
    pub fn most_rows(&self) -> usize {
        self.most_rows
    }

    /// Where a column that is read stands.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Whether a column is one of the training rows' that the model does without.
    pub fn is_unused(&self, name: &str) -> bool {
        self.unused.contains(name)
    }

    fn field(&self, column: usize) -> &Field {
        &self.schema.fields()[column]
    }

    /// Which column a request means. Callers tend to name columns in order, so the one that is due is tried first.
    fn place(&self, name: &str, due: usize) -> Option<Place> {
        if self.schema.fields().get(due).is_some_and(|field| field.name == name) {
            return Some(Place::Column(due));
        }
        match self.position(name) {
            Some(column) => Some(Place::Column(column)),
            None => self.is_unused(name).then_some(Place::Unused),
        }
    }

    /// Says that the model knows no such column.
    pub fn unknown(&self, name: &str) -> RowsError {
        let known = self.schema.fields().iter().map(|field| field.name.as_str());
        let hint = match nearest(name, known) {
            Some(near) => format!("; did you mean `{near}`?"),
            None => format!("; it reads {}", listed(&self.schema)),
        };
        let shown: String = name.chars().take(80).collect();
        RowsError::column(shown, None, format!("the model knows no such column{hint}"))
    }

    /// Says that a request lacks a column.
    pub fn missing(&self, column: usize, row: Option<u64>) -> RowsError {
        RowsError::column(&self.field(column).name, row, "the model needs it, and it is not there")
    }
}

/// The names of columns, for people.
fn listed(schema: &Schema) -> String {
    const MOST: usize = 8;
    let names: Vec<_> = schema.fields().iter().take(MOST).map(|field| format!("`{}`", field.name)).collect();
    let more = schema.len().saturating_sub(MOST);
    if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
