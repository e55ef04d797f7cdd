//! What the stage has to say, in the shape of the contract's `reports` and `failures`.

/// One part of the name of a slice: `group` = `Female`.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// What kind of slice.
    pub name: String,
    /// Which.
    pub value: String,
}

/// A number that gates can test.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The measure's name.
    pub name: String,
    /// The slice it is about; empty for the whole.
    pub labels: Vec<Label>,
    /// The value; none where it is undefined.
    pub value: Option<f64>,
    /// The lower end of an interval.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// The number of rows behind the figure.
    pub support: Option<u64>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warning,
}

/// A sentence for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What was found.
    pub message: String,
    /// The slice it is about.
    pub labels: Vec<Label>,
}

/// A plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What it shows.
    pub title: String,
    /// A Vega-Lite specification as JSON, its data inlined.
    pub vega_lite: String,
}

/// Everything there is to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Numbers.
    pub metrics: Vec<Metric>,
    /// Sentences.
    pub findings: Vec<Finding>,
    /// Plots.
    pub figures: Vec<Figure>,
}

/// Why there is no report, by who can mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The pipeline's author.
    InvalidParameter(String),
    /// Whoever made the data.
    InvalidData(String),
}

impl Failure {
    /// The pipeline's author can mend it.
    pub fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::InvalidParameter(message.into())
    }

    /// Whoever made the data can mend it.
    pub fn invalid_data(message: impl Into<String>) -> Self {
        Self::InvalidData(message.into())
    }
}
