//! Reports: what evaluators, fairness checkers, validators and monitors return.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A figure that gates can test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// The field's own name: `accuracy`, `demographic-parity-difference`, `psi`.
    pub name: String,
    /// Which slice: `group=Female`, `column=age`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The value; none where it is undefined (a ratio 0/0, say). Never 0 in its place.
    pub value: Option<f64>,
    /// The lower end of a confidence interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// The upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// The number of rows behind the figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<u64>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warning,
    /// Stops a run.
    Violation,
}

/// A sentence for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What was found.
    pub message: String,
    /// Which slice it is about.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A plot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it shows.
    pub title: String,
    /// A Vega-Lite specification with its data inlined.
    pub vega_lite: Value,
}

/// Metrics, findings and figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Figures that gates can test.
    pub metrics: Vec<Metric>,
    /// Sentences for people.
    pub findings: Vec<Finding>,
    /// Plots.
    pub figures: Vec<Figure>,
}

impl Report {
    /// The overall metric (the one without labels) of this name.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name && metric.labels.is_empty())
    }

    /// The findings that stop a run.
    pub fn violations(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Violation)
    }
}
