//! The gate's grammar: which figures a model must show before it may serve.
//!
//! A rule names a figure of a report, `STAGE.METRIC{label=value, ...}`, and says what is asked of it. A gate prints as
//! the `[gate]` section of a pipeline file, and reads back what it printed.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stagewright_core::{Name, report::Severity};

/// In place of a metric: how severe a report's findings are.
pub const FINDINGS: &str = "findings";
/// A figure that rests on fewer rows says too little, unless its rule says otherwise.
pub const MIN_SUPPORT: u64 = 100;
/// How sure a comparison with the champion must be, unless its rule says otherwise.
pub const CONFIDENCE: f64 = 0.95;
/// Resamples of a comparison with the champion, unless its rule says otherwise.
pub const RESAMPLES: u32 = 1000;

/// What a model must show before it may serve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// All of them must hold.
    pub rules: Vec<Rule>,
    /// Who must approve; none where nobody has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Approvals>,
}

/// What is asked of one figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Which figure.
    pub subject: Subject,
    /// What is asked of it.
    #[serde(flatten)]
    pub demand: Demand,
    /// Users with one of these roles may set the rule aside for a time; none where nobody may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivable_by: Vec<Name>,
}

/// What is asked of a figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "demand")]
pub enum Demand {
    /// That it lies within bounds, is no worse than the champion's, or both.
    Figure {
        /// The bounds.
        #[serde(flatten)]
        bounds: Bounds,
        /// The comparison with the champion.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        champion: Option<NonInferiority>,
    },
    /// That no finding of the report is more severe than this.
    Findings {
        /// The most severe one that is allowed.
        at_most: Severity,
    },
}

/// Where a figure must lie, and when that is believed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// At least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// At most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// What must lie there.
    #[serde(default)]
    pub by: By,
    /// The rows that the figure must rest on; [`MIN_SUPPORT`] where the figure says on how many it rests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_support: Option<u64>,
    /// For a disparity of groups: outside the bounds it fails only where its permutation test says that chance explains
    /// it with less than this probability, adjusted (Holm) for the number of such rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub significance: Option<f64>,
    /// For a disparity of groups: what becomes of it where some groups were too small to be compared.
    #[serde(default)]
    pub small_groups: SmallGroups,
}

/// What must lie within the bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The figure itself.
    #[default]
    Value,
    /// The whole of its confidence interval. One that straddles a bound is not enough data.
    Interval,
}

/// What becomes of a disparity where some groups were too small to be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmallGroups {
    /// It cannot pass: nobody knows how they are treated.
    #[default]
    Hold,
    /// The groups that were compared decide; the verdict names the others.
    Report,
}

/// That a model is no worse than the champion on the same rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NonInferiority {
    /// By so much it may be worse, in the metric's own unit.
    pub margin: f64,
    /// How sure it must be: the one-sided confidence.
    pub confidence: f64,
    /// Resamples of the paired bootstrap.
    pub resamples: u32,
}

/// Who must approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// So many, none of them an author of the model.
    pub count: u32,
    /// Each has one of these roles.
    pub roles: Vec<Name>,
    /// Within so many milliseconds of the verdict that they approve; none for any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
}

/// A figure of a report: `fairness.demographic-parity-ratio{column=gender}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// The stage that reports it.
    pub stage: String,
    /// The metric, or [`FINDINGS`].
    pub metric: String,
    /// Which slice.
    pub labels: BTreeMap<String, String>,
}

/// A text that names no figure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no figure: {why}")]
pub struct NotASubject {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// Letters, digits, `-` and `_`: what stages, metrics and labels are called.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
}

/// A metric may have dots too, as `quantile-0.5` has.
fn is_metric(text: &str) -> bool {
    text.split('.').all(is_word)
}

/// A value that stands without quotes.
fn is_bare(value: &str) -> bool {
    let plain = |c: char| !c.is_control() && !r#",{}"=\"#.contains(c);
    !value.is_empty() && value.trim() == value && value.chars().all(plain)
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stage, self.metric)?;
        for (place, (name, value)) in self.labels.iter().enumerate() {
            f.write_str(if place == 0 { "{" } else { "," })?;
            match is_bare(value) {
                true => write!(f, "{name}={value}")?,
                false => write!(f, "{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))?,
            }
        }
        if self.labels.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

impl FromStr for Subject {
    type Err = NotASubject;

    fn from_str(text: &str) -> Result<Self, NotASubject> {
        let wrong = |why: &str| NotASubject { text: text.to_owned(), why: why.to_owned() };
        let (head, labels) = match text.split_once('{') {
            Some((head, rest)) => {
                let rest = rest.strip_suffix('}').ok_or_else(|| wrong("its labels must end with `}`"))?;
                (head, labels(rest).map_err(|why| wrong(&why))?)
            }
            None => (text, BTreeMap::new()),
        };
        let form = "write STAGE.METRIC or STAGE.METRIC{LABEL=VALUE}";
        let (stage, metric) = head.split_once('.').ok_or_else(|| wrong(form))?;
        if !is_word(stage) || !is_metric(metric) {
            return Err(wrong(form));
        }
        Ok(Self { stage: stage.to_owned(), metric: metric.to_owned(), labels })
    }
}

/// `column=gender, group="a, b"`.
fn labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    loop {
        let (name, behind) = rest.split_once('=').ok_or("a label is written NAME=VALUE")?;
        let (name, behind) = (name.trim(), behind.trim_start());
        if !is_word(name) {
            return Err(format!("`{name}` is no label's name"));
        }
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (value, behind) = behind.split_at(behind.find(',').unwrap_or(behind.len()));
                if !is_bare(value.trim()) {
                    return Err(format!("the value of `{name}` must stand in quotes: {name}=\"...\""));
                }
                (value.trim().to_owned(), behind)
            }
        };
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("it gives the label `{name}` twice"));
        }
        match behind.trim_start().strip_prefix(',') {
            Some(next) => rest = next,
            None if behind.trim().is_empty() => return Ok(labels),
            None => return Err("labels are separated by commas".to_owned()),
        }
    }
}

/// The text up to the closing quote, and what stands behind it.
fn unquote(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                _ => return Err("in quotes, `\\` stands only before `\"` and `\\`".to_owned()),
            },
            other => value.push(other),
        }
    }
    Err("a quote is not closed".to_owned())
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if control.is_control() => out.push_str(&format!("\\U{:08X}", u32::from(control))),
            other => out.push(other),
        }
    }
    out + "\""
}

fn list(names: &[Name]) -> String {
    format!("[{}]", names.iter().map(|name| quoted(name.as_str())).collect::<Vec<_>>().join(", "))
}

/// The name of a severity.
pub const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Violation => "violation",
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut keys = Vec::new();
        match &self.demand {
            Demand::Figure { bounds, champion } => {
                let numbers = [("min", bounds.min), ("max", bounds.max), ("significance", bounds.significance)];
                keys.extend(numbers.iter().filter_map(|(key, value)| value.map(|value| format!("{key} = {value:?}"))));
                if bounds.by == By::Interval {
                    keys.push("by = \"interval\"".to_owned());
                }
                keys.extend(bounds.min_support.map(|rows| format!("min-support = {rows}")));
                if bounds.small_groups == SmallGroups::Report {
                    keys.push("small-groups = \"report\"".to_owned());
                }
                keys.extend(champion.iter().map(|comparison| {
                    format!(
                        "champion = {{ margin = {:?}, confidence = {:?}, resamples = {} }}",
                        comparison.margin, comparison.confidence, comparison.resamples
                    )
                }));
            }
            Demand::Findings { at_most } => keys.push(format!("at-most = \"{}\"", severity(*at_most))),
        }
        if !self.waivable_by.is_empty() {
            keys.push(format!("waivable-by = {}", list(&self.waivable_by)));
        }
        write!(f, "{} = {{ {} }}", quoted(&self.subject.to_string()), keys.join(", "))
    }
}

impl fmt::Display for Approvals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "approvals = {{ count = {}, roles = {}", self.count, list(&self.roles))?;
        self.within_ms.iter().try_for_each(|within| write!(f, ", within = \"{within}ms\""))?;
        f.write_str(" }")
    }
}

/// The lines below `[gate]` in a pipeline file.
impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rules.iter().try_for_each(|rule| writeln!(f, "{rule}"))?;
        self.approvals.iter().try_for_each(|approvals| writeln!(f, "{approvals}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_named_by_stage_metric_and_labels() {
        for text in [
            "evaluate.accuracy",
            "fairness.selection-rate{column=gender,group=Female}",
            "fairness.accuracy{column=gender*ethnicity,group=Female*Asian-Pac-Islander}",
            r#"fairness.accuracy{column=x,group="a, \"b\" = {c} \\"}"#,
            "fairness.findings",
            "expectations.quantile-0.5{column=age}",
        ] {
            assert_eq!(text.parse::<Subject>().map(|subject| subject.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_names_no_figure_is_refused_with_the_reason() {
        let why = |text: &str| text.parse::<Subject>().unwrap_err().why;
        assert_eq!(why("accuracy"), "write STAGE.METRIC or STAGE.METRIC{LABEL=VALUE}");
        assert_eq!(why("a.b{"), "its labels must end with `}`");
        assert_eq!(why("a.b{}"), "a label is written NAME=VALUE");
        assert_eq!(why("a.b{x=1,x=2}"), "it gives the label `x` twice");
        assert_eq!(why("a.b{x=}"), "the value of `x` must stand in quotes: x=\"...\"");
        assert_eq!(why("a.b{x=\"1}"), "a quote is not closed");
        assert_eq!(why("a.b{x=\"1\" y=2}"), "labels are separated by commas");
        assert_eq!(why("a.b..c"), "write STAGE.METRIC or STAGE.METRIC{LABEL=VALUE}");
    }
}
