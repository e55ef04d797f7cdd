//! What a pipeline may say to the evaluator.

use schemars::JsonSchema;
use serde::Deserialize;
use stagewright_stage::label::Class;

/// The parameters of the evaluator.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-metrics" = crate::declared::figures()))]
pub struct Parameters {
    /// The column that says what the rows really are.
    pub label: String,
    /// The positive class: by default 1, true or the last value in order. Needed where only one class occurs; with more
    /// than two classes, judges this one against all others.
    #[serde(default)]
    pub positive: Option<Class>,
    /// The column of probabilities of the positive class.
    #[serde(default = "score")]
    pub score: String,
    /// The column of predicted labels: the decisions, where there are no scores.
    #[serde(default = "prediction")]
    pub prediction: String,
    /// From which score on a row is decided to be positive.
    #[serde(default = "threshold")]
    pub threshold: f64,
    /// The number of resamples for the intervals; 0 for no intervals.
    #[serde(default = "bootstrap")]
    #[schemars(range(max = 100_000))]
    pub bootstrap: u32,
    /// The share of the resamples' values that an interval holds.
    #[serde(default = "confidence")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
    /// The column of row weights; without it every row counts for 1.
    #[serde(default)]
    pub weights: Option<String>,
    /// The columns whose groups are measured one by one.
    #[serde(default)]
    pub slices: Vec<String>,
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

fn threshold() -> f64 {
    0.5
}

fn bootstrap() -> u32 {
    1000
}

fn confidence() -> f64 {
    0.95
}

fn figures() -> bool {
    true
}
