//! What a pipeline may expect of a table.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_stage::{ColumnType, Severity};

/// How much a broken expectation matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// It stops the run.
    #[default]
    Violation,
    /// It is reported.
    Warning,
}

impl From<Weight> for Severity {
    fn from(weight: Weight) -> Self {
        match weight {
            Weight::Violation => Self::Violation,
            Weight::Warning => Self::Warning,
        }
    }
}

/// A column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// Yes or no.
    Boolean,
    /// Whole numbers.
    Int64,
    /// Floating-point numbers.
    Float64,
    /// Whole or floating-point numbers.
    Number,
    /// Points in time.
    Timestamp,
    /// Text, repeating or not.
    Text,
    /// Text that repeats.
    Category,
}

impl Type {
    /// Whether a column is of this type.
    pub fn fits(self, kind: ColumnType) -> bool {
        match self {
            Self::Boolean => kind == ColumnType::Boolean,
            Self::Int64 => kind == ColumnType::Int64,
            Self::Float64 => kind == ColumnType::Float64,
            Self::Number => matches!(kind, ColumnType::Int64 | ColumnType::Float64),
            Self::Timestamp => kind == ColumnType::Timestamp,
            Self::Text => matches!(kind, ColumnType::Text | ColumnType::Category),
            Self::Category => kind == ColumnType::Category,
        }
    }
}

/// An order that values keep from row to row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Monotonic {
    /// None is smaller than the one before.
    Increasing,
    /// Each is larger than the one before.
    StrictlyIncreasing,
    /// None is larger than the one before.
    Decreasing,
    /// Each is smaller than the one before.
    StrictlyDecreasing,
}

/// A value as a pipeline writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Allowed {
    /// Yes or no.
    Boolean(bool),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
}

impl Allowed {
    /// The value as a column shows it.
    pub fn display(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Whole(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(value) => value.clone(),
        }
    }
}

/// The bounds of a number; either may be absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Bounds {
    /// The least.
    pub min: Option<f64>,
    /// The most.
    pub max: Option<f64>,
}

/// What is expected of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Rules {
    /// The column's type.
    pub r#type: Option<Type>,
    /// Every row has a value.
    pub not_null: bool,
    /// No value occurs twice.
    pub unique: bool,
    /// The smallest value.
    pub min: Option<f64>,
    /// The largest value.
    pub max: Option<f64>,
    /// The values that may occur.
    pub r#in: Option<Vec<Allowed>>,
    /// A regular expression to be found in every value; `^` and `$` tie it to the ends.
    pub regex: Option<String>,
    /// The fewest characters.
    pub min_length: Option<u64>,
    /// The most characters.
    pub max_length: Option<u64>,
    /// The order that values keep from row to row.
    pub monotonic: Option<Monotonic>,
    /// The smallest mean.
    pub mean_min: Option<f64>,
    /// The largest mean.
    pub mean_max: Option<f64>,
    /// Bounds of quantiles, by share: `{ "0.5" = { min = 30, max = 45 } }`.
    pub quantiles: BTreeMap<String, Bounds>,
    /// The share of values that must keep a rule: of those that are there, and for `not-null` of all rows.
    #[schemars(range(min = 0, max = 1))]
    pub at_least: f64,
    /// How much a broken rule of this column matters; absent, as for the whole table.
    pub severity: Option<Weight>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            r#type: None,
            not_null: false,
            unique: false,
            min: None,
            max: None,
            r#in: None,
            regex: None,
            min_length: None,
            max_length: None,
            monotonic: None,
            mean_min: None,
            mean_max: None,
            quantiles: BTreeMap::new(),
            at_least: 1.0,
            severity: None,
        }
    }
}

/// What is expected of a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Parameters {
    /// What is expected of each column.
    pub columns: BTreeMap<String, Rules>,
    /// The number of rows.
    pub rows: Bounds,
    /// The names of all columns, in any order.
    pub exact_columns: Option<Vec<String>>,
    /// Columns that stand in this order, others between them or not.
    pub order: Vec<String>,
    /// Sets of columns that together differ in every row.
    pub compound_unique: Vec<Vec<String>>,
    /// How much a broken expectation matters.
    pub severity: Weight,
}
