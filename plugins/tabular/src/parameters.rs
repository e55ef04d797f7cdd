//! What the pipeline's author may set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which columns become features, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Parameters {
    /// The column to predict: no feature, but passed through unchanged where the rows have it.
    pub label: String,
    /// The columns to make features of; all but the label, if none is named.
    pub columns: Vec<String>,
    /// Columns not to make features of.
    pub exclude: Vec<String>,
    /// Columns of numbers that are codes: each number counts as a word.
    pub categories: Vec<String>,
    /// What words become.
    pub encode: Encode,
    /// A word in fewer training rows than this shares the bucket `other`.
    #[schemars(range(min = 1))]
    pub min_frequency: u64,
    /// At most this many words of a column, the most frequent, stand for themselves; the rest share the bucket `other`.
    #[schemars(range(min = 1))]
    pub max_categories: Option<u32>,
    /// The word that stands for a missing one.
    pub missing: String,
    /// What happens to numbers.
    pub numeric: Numeric,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            label: String::new(),
            columns: Vec::new(),
            exclude: Vec::new(),
            categories: Vec::new(),
            encode: Encode::Category,
            min_frequency: 1,
            max_categories: None,
            missing: "missing".into(),
            numeric: Numeric::default(),
        }
    }
}

/// What words become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encode {
    /// One category column.
    Category,
    /// One boolean column `column=word` for each word.
    OneHot,
}

/// What happens to numbers: integers, floats, points in time, and booleans, which count as 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Numeric {
    /// What replaces a missing number.
    pub impute: Impute,
    /// The number that `impute = "constant"` puts in.
    pub constant: f64,
    /// Whether numbers are shifted and scaled to mean 0 and standard deviation 1. Booleans stay 0 and 1.
    pub standardize: bool,
    /// Whether a boolean column `column=missing` says where a number was missing, for columns with gaps in training.
    pub missing_indicator: bool,
}

impl Default for Numeric {
    fn default() -> Self {
        Self { impute: Impute::Median, constant: 0.0, standardize: true, missing_indicator: false }
    }
}

/// What replaces a missing number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Impute {
    /// The median of the training rows; of an even number of rows, the mean of the middle two.
    Median,
    /// The mean of the training rows.
    Mean,
    /// The number in `constant`.
    Constant,
    /// Nothing: the gap stays.
    None,
}
