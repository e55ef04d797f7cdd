//! What a pipeline may say about the comparison.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A way to measure drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Numbers: `psi`, `ks`, `wasserstein`. Text: `psi`, `chi2`, `js`.
    Auto,
    /// Every method that fits the column.
    All,
    /// Population stability index; numbers in bins of equal shares of the reference.
    Psi,
    /// Kolmogorov-Smirnov; numbers only.
    Ks,
    /// Pearson's chi-squared; numbers in the bins of `psi`.
    Chi2,
    /// Jensen-Shannon distance to base 2; numbers in the bins of `psi`.
    Js,
    /// Wasserstein distance, as it is and in standard deviations of the reference; numbers only.
    Wasserstein,
}

/// Sizes of effect from which on drift matters; one that is absent never does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Floors {
    /// Of the population stability index.
    pub psi: Option<f64>,
    /// Of the Kolmogorov-Smirnov statistic.
    pub ks_statistic: Option<f64>,
    /// Of the Jensen-Shannon distance.
    pub js_distance: Option<f64>,
    /// Of the Wasserstein distance in standard deviations of the reference.
    pub wasserstein_normalized: Option<f64>,
}

impl Floors {
    /// The floor for a metric.
    pub fn of(&self, metric: &str) -> Option<f64> {
        match metric {
            "psi" => self.psi,
            "ks-statistic" => self.ks_statistic,
            "js-distance" => self.js_distance,
            "wasserstein-normalized" => self.wasserstein_normalized,
            _ => None,
        }
    }
}

/// What a pipeline may say about the comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Parameters {
    /// How drift is measured.
    pub methods: Vec<Method>,
    /// The columns to compare. Empty: all of the reference.
    pub columns: Vec<String>,
    /// Columns to leave out.
    pub exclude: Vec<String>,
    /// Columns of whole numbers that are names rather than amounts.
    pub categorical: Vec<String>,
    /// The number of bins for numbers.
    #[schemars(range(min = 2, max = 1000))]
    pub bins: u32,
    /// The rate of false alarms that is accepted, after Benjamini and Hochberg's correction for many columns.
    pub alpha: f64,
    /// Fewer rows than these in either table, and no alarm is given.
    pub min_rows: u64,
    /// From these sizes of effect on, significant drift is a warning.
    pub warning: Floors,
    /// From these sizes of effect on, significant drift is a violation.
    pub violation: Floors,
    /// How many of the worst columns are plotted.
    pub figures: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        let floors = |psi, other| Floors {
            psi: Some(psi),
            ks_statistic: Some(other),
            js_distance: Some(other),
            wasserstein_normalized: Some(other),
        };
        Self {
            methods: vec![Method::Auto],
            columns: vec![],
            exclude: vec![],
            categorical: vec![],
            bins: 10,
            alpha: 0.05,
            min_rows: 500,
            warning: floors(0.1, 0.1),
            violation: floors(0.25, 0.25),
            figures: 4,
        }
    }
}
