//! What a pipeline may say to the evaluator.

use schemars::JsonSchema;
use serde::Deserialize;

/// The parameters of the evaluator.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-metrics" = crate::declared::figures()))]
pub struct Parameters {
    /// The column of observed numbers.
    pub label: String,
    /// The column of predicted numbers.
    #[serde(default = "prediction")]
    pub prediction: String,
    /// The quantile of the pinball loss.
    #[serde(default = "quantile")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub quantile: f64,
    /// The number of resamples for the intervals; 0 for no intervals.
    #[serde(default = "bootstrap")]
    #[schemars(range(max = 100_000))]
    pub bootstrap: u32,
    /// The share of the resamples' values that an interval holds.
    #[serde(default = "confidence")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
    /// Whether figures are drawn.
    #[serde(default = "figures")]
    pub figures: bool,
}

fn prediction() -> String {
    "prediction".to_owned()
}

fn quantile() -> f64 {
    0.9
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
