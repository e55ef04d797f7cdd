//! What a pipeline may say to the checker.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use stagewright_stage::label::Class;

/// Which columns are looked at together.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Intersections {
    /// Every pair of protected columns, or none.
    Pairs(bool),
    /// These.
    Listed(Vec<Vec<String>>),
}

/// The parameters of the checker.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-metrics" = crate::declared::figures()))]
pub struct Parameters {
    /// The column that says what the rows really are.
    pub label: String,
    /// The class that counts as selected: by default 1, true or the last value in order.
    #[serde(default)]
    pub positive: Option<Class>,
    /// The column of probabilities of the positive class.
    #[serde(default = "score")]
    pub score: String,
    /// The column of decisions.
    #[serde(default = "prediction")]
    pub prediction: String,
    /// Decides by `score >= threshold` instead of by the prediction column.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// The columns of groups.
    #[schemars(length(min = 1))]
    pub protected: Vec<String>,
    /// Every pair of protected columns (`true`), none (`false`), or lists of them.
    #[serde(default = "intersections")]
    pub intersections: Intersections,
    /// For columns of numbers, the edges between groups.
    #[serde(default)]
    pub bins: BTreeMap<String, Vec<f64>>,
    /// Groups with fewer rows are reported as insufficient and not compared.
    #[serde(default = "min_support")]
    pub min_support: u64,
    /// Groups with fewer positive rows are reported as insufficient and not compared.
    #[serde(default = "min_positives")]
    pub min_positives: u64,
    /// For columns, the group that all others are compared with.
    #[serde(default)]
    pub privileged: BTreeMap<String, Class>,
    /// The number of deals of a permutation test; 0 for no tests.
    #[serde(default = "permutations")]
    #[schemars(range(max = 100_000))]
    pub permutations: u32,
    /// The probability below which chance is no explanation.
    #[serde(default = "alpha")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub alpha: f64,
    /// Whether figures are drawn.
    #[serde(default = "figures")]
    pub figures: bool,
}

fn score() -> String {
    "score".to_owned()
}

fn prediction() -> String {
    "prediction".to_owned()
}

fn intersections() -> Intersections {
    Intersections::Pairs(true)
}

fn min_support() -> u64 {
    100
}

fn min_positives() -> u64 {
    10
}

fn permutations() -> u32 {
    1000
}

fn alpha() -> f64 {
    0.05
}

fn figures() -> bool {
    true
}
