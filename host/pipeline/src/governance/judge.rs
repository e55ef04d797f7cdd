//! The gate: evidence in, verdict out.
//!
//! A pure function. It reads no clock, no store and no settings; everything that may change a verdict is an argument,
//! so that any verdict ever given can be given again. What is undefined, rests on too few rows or may be chance is
//! [`Outcome::NotEnoughData`], which holds a model as a failure does, but says something else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stagewright_core::{
    Name, Report,
    name::nearest,
    record::Used,
    report::{Metric, Severity},
};

use super::{
    gate::{Bounds, By, Demand, FINDINGS, Gate, MIN_SUPPORT, NonInferiority, Rule, SmallGroups, Subject, severity},
    paired::{Difference, Pairs},
};

/// By so much, relative to the larger, the report's value and that of the stored rows may differ.
const AGREEMENT: f64 = 1e-9;

/// What a rule, or a gate as a whole, comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Pass,
    /// Whether it holds cannot be told.
    NotEnoughData,
    /// It does not hold.
    Fail,
}

impl Outcome {
    /// The outcome in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::NotEnoughData => "not enough data",
            Self::Fail => "fail",
        }
    }
}

/// Everything that a verdict rests on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The reports of the run that made the model, by stage.
    pub reports: BTreeMap<String, Report>,
    /// What the candidate is compared with; none while there is no champion.
    pub champion: Option<Champion>,
    /// The waivers that were given for this version.
    pub waivers: Vec<Waiver>,
    /// The time of judging, in milliseconds since 1970: waivers expire.
    pub at_ms: u64,
    /// The seed of every resampling.
    pub seed: u64,
}

/// The champion, and its predictions beside the candidate's.
#[derive(Clone, Debug, PartialEq)]
pub struct Champion {
    /// Which version.
    pub model: Used,
    /// By evaluator stage: the rows that both predicted, or why there are none.
    pub pairs: BTreeMap<String, Result<Pairs, String>>,
}

/// A rule that is set aside for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiver {
    /// Which rule.
    pub rule: Subject,
    /// By whom.
    pub by: Name,
    /// The roles that the user had when the waiver was given.
    pub roles: Vec<Name>,
    /// Why.
    pub reason: String,
    /// Until when, in milliseconds since 1970.
    pub expires_ms: u64,
}

/// What was decided, and about each rule why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The worst of the rules that are not waived.
    pub outcome: Outcome,
    /// Each demand, in the gate's order.
    pub rules: Vec<RuleVerdict>,
}

/// What one demand came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleVerdict {
    /// The figure.
    pub subject: Subject,
    /// What was asked of it.
    pub demand: String,
    /// What it came to.
    pub outcome: Outcome,
    /// Why, in figures.
    pub reason: String,
    /// The figure's value; none where it is undefined or not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The lower end of its confidence interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// The upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// The rows behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<u64>,
    /// The probability of a disparity this bad by chance, adjusted for the number of such rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    /// The comparison with the champion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// The waiver that sets it aside, where it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver: Option<Waiver>,
}

impl Verdict {
    /// The demands that hold the model.
    pub fn held(&self) -> impl Iterator<Item = &RuleVerdict> {
        self.rules.iter().filter(|rule| rule.outcome != Outcome::Pass && rule.waiver.is_none())
    }

    /// The waivers that the verdict rests on.
    pub fn waivers(&self) -> impl Iterator<Item = &Waiver> {
        self.rules.iter().filter_map(|rule| rule.waiver.as_ref())
    }
}

/// Judges the evidence. Beside the gate's own rules, no report may have a finding that is a violation.
pub fn judge(gate: &Gate, evidence: &Evidence) -> Verdict {
    let implied = evidence.reports.keys().map(|stage| Rule {
        subject: Subject { stage: stage.clone(), metric: FINDINGS.to_owned(), labels: BTreeMap::new() },
        demand: Demand::Findings { at_most: Severity::Warning },
        waivable_by: Vec::new(),
    });
    let implied = implied.filter(|rule| gate.rules.iter().all(|own| own.subject != rule.subject));
    let adjusted = adjusted(gate, evidence);
    let mut rules = Vec::new();
    for rule in gate.rules.iter().cloned().chain(implied) {
        let judged = match &rule.demand {
            Demand::Findings { at_most } => vec![findings(&rule.subject, *at_most, evidence)],
            Demand::Figure { bounds, champion } => {
                let p_value = adjusted.get(&rule.subject).copied();
                let within = (bounds.min.is_some() || bounds.max.is_some())
                    .then(|| within(&rule.subject, bounds, p_value, evidence));
                let compared = champion.as_ref().map(|demand| compared(&rule.subject, demand, bounds, evidence));
                within.into_iter().chain(compared).collect()
            }
        };
        rules.extend(judged.into_iter().map(|verdict| waived(verdict, &rule, evidence)));
    }
    let counts = rules.iter().filter(|rule: &&RuleVerdict| rule.waiver.is_none()).map(|rule| rule.outcome);
    let outcome = counts.max().unwrap_or(Outcome::Pass);
    Verdict { outcome, rules }
}

/// What does not hold may be set aside by a waiver of somebody who may, until it expires.
fn waived(mut verdict: RuleVerdict, rule: &Rule, evidence: &Evidence) -> RuleVerdict {
    if verdict.outcome != Outcome::Pass {
        let fits = |waiver: &&Waiver| {
            waiver.rule == rule.subject
                && evidence.at_ms < waiver.expires_ms
                && waiver.roles.iter().any(|role| rule.waivable_by.contains(role))
        };
        verdict.waiver = evidence.waivers.iter().find(fits).cloned();
    }
    verdict
}

fn verdict(subject: &Subject, demand: String) -> RuleVerdict {
    RuleVerdict {
        subject: subject.clone(),
        demand,
        outcome: Outcome::NotEnoughData,
        reason: String::new(),
        value: None,
        low: None,
        high: None,
        support: None,
        p_value: None,
        difference: None,
        waiver: None,
    }
}

fn findings(subject: &Subject, at_most: Severity, evidence: &Evidence) -> RuleVerdict {
    let mut verdict = verdict(subject, format!("no finding above {}", severity(at_most)));
    let Some(report) = evidence.reports.get(&subject.stage) else {
        return RuleVerdict { reason: format!("stage `{}` made no report", subject.stage), ..verdict };
    };
    let above: Vec<_> = report.findings.iter().filter(|finding| finding.severity > at_most).collect();
    (verdict.outcome, verdict.reason) = match above.as_slice() {
        [] => (Outcome::Pass, format!("{} findings, none above {}", report.findings.len(), severity(at_most))),
        [one, more @ ..] => {
            let more = if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
            (Outcome::Fail, format!("{}: {}{more}", severity(one.severity), one.message))
        }
    };
    verdict
}

/// The metric that a rule is about, or why it is not there.
fn find<'a>(subject: &Subject, evidence: &'a Evidence) -> Result<&'a Metric, String> {
    let Some(report) = evidence.reports.get(&subject.stage) else {
        return Err(format!("stage `{}` made no report", subject.stage));
    };
    let found = report.metrics.iter().find(|metric| metric.name == subject.metric && metric.labels == subject.labels);
    found.ok_or_else(|| {
        let same = report.metrics.iter().filter(|metric| metric.name == subject.metric);
        let slices: Vec<String> = same.map(|metric| shown(&subject.stage, metric)).collect();
        let names: Vec<&str> = report.metrics.iter().map(|metric| metric.name.as_str()).collect();
        let hint = match (slices.as_slice(), nearest(&subject.metric, names.iter().copied())) {
            ([], Some(near)) => format!("; the nearest is `{near}`"),
            ([], None) => String::new(),
            (slices, _) => format!("; it has {}", slices.join(", ")),
        };
        format!("the report has no such figure{hint}")
    })
}

fn shown(stage: &str, metric: &Metric) -> String {
    Subject { stage: stage.to_owned(), metric: metric.name.clone(), labels: metric.labels.clone() }.to_string()
}

fn within(subject: &Subject, bounds: &Bounds, p_value: Option<f64>, evidence: &Evidence) -> RuleVerdict {
    let mut verdict = verdict(subject, bounds_text(bounds));
    let metric = match find(subject, evidence) {
        Ok(metric) => metric,
        Err(reason) => return RuleVerdict { reason, ..verdict },
    };
    (verdict.value, verdict.low, verdict.high) = (metric.value, metric.low, metric.high);
    verdict.support = metric.support;
    verdict.p_value = p_value;
    (verdict.outcome, verdict.reason) = decide(metric, bounds, p_value);
    if verdict.outcome == Outcome::Pass {
        let small = small_groups(subject, evidence);
        if !small.is_empty() {
            let groups = small.join(", ");
            verdict.reason = match bounds.small_groups {
                SmallGroups::Report => format!("{}; too small to be compared: {groups}", verdict.reason),
                SmallGroups::Hold => {
                    verdict.outcome = Outcome::NotEnoughData;
                    format!("{}, but these groups are too small to be compared: {groups}", verdict.reason)
                }
            };
        }
    }
    verdict
}

fn decide(metric: &Metric, bounds: &Bounds, p_value: Option<f64>) -> (Outcome, String) {
    let Some(value) = metric.value else {
        return (Outcome::NotEnoughData, "it is undefined".to_owned());
    };
    match (metric.support, bounds.min_support) {
        (Some(rows), wanted) if rows < wanted.unwrap_or(MIN_SUPPORT) => {
            let wanted = wanted.unwrap_or(MIN_SUPPORT);
            return (Outcome::NotEnoughData, format!("it rests on {rows} rows, where {wanted} are asked for"));
        }
        (None, Some(wanted)) => {
            let reason = format!("{wanted} rows are asked for, and it does not say on how many it rests");
            return (Outcome::NotEnoughData, reason);
        }
        _ => {}
    }
    let inside = |value: f64| bounds.min.is_none_or(|min| value >= min) && bounds.max.is_none_or(|max| value <= max);
    let said = number(value);
    if bounds.by == By::Interval {
        let (Some(low), Some(high)) = (metric.low, metric.high) else {
            return (Outcome::NotEnoughData, format!("it is {said} and has no confidence interval"));
        };
        let interval = format!("it is {said} ({} to {})", number(low), number(high));
        let outside = bounds.min.is_some_and(|min| high < min) || bounds.max.is_some_and(|max| low > max);
        return match (inside(low) && inside(high), outside) {
            (true, _) => (Outcome::Pass, interval),
            (false, true) => (Outcome::Fail, format!("{interval}, all of it outside")),
            (false, false) => (Outcome::NotEnoughData, format!("{interval}, part of it outside")),
        };
    }
    if inside(value) {
        return (Outcome::Pass, format!("it is {said}"));
    }
    match (bounds.significance, p_value) {
        (None, _) => (Outcome::Fail, format!("it is {said}")),
        (Some(_), None) => (Outcome::NotEnoughData, format!("it is {said}, and whether by chance was not tested")),
        (Some(alpha), Some(p)) if p < alpha => {
            (Outcome::Fail, format!("it is {said}, and chance does not explain it (p = {p:.4})"))
        }
        (Some(_), Some(p)) => (Outcome::NotEnoughData, format!("it is {said}, but chance may explain it (p = {p:.4})")),
    }
}

/// The groups of a disparity's column that were too small to be compared: they have rates, but no ratio.
fn small_groups(subject: &Subject, evidence: &Evidence) -> Vec<String> {
    let (Some(report), Some(column)) = (evidence.reports.get(&subject.stage), subject.labels.get("column")) else {
        return Vec::new();
    };
    if subject.labels.len() != 1 {
        return Vec::new();
    }
    let of_column = |metric: &&Metric, name: &str| metric.name == name && metric.labels.get("column") == Some(column);
    let groups = report.metrics.iter().filter(|metric| of_column(metric, "selection-rate"));
    let groups: Vec<&Metric> = groups.filter(|metric| metric.labels.contains_key("group")).collect();
    let compared = report.metrics.iter().find(|metric| of_column(metric, "groups-compared"));
    let Some(compared) = compared.and_then(|metric| metric.value) else { return Vec::new() };
    if compared as usize >= groups.len() {
        return Vec::new();
    }
    let has_ratio = |group: &&Metric| {
        let ratio = |metric: &&Metric| metric.name == "impact-ratio" && metric.labels == group.labels;
        report.metrics.iter().find(ratio).is_some_and(|ratio| ratio.value.is_some())
    };
    let small = groups.iter().filter(|group| !has_ratio(group));
    let named = small.filter_map(|group| {
        let rows = group.support.map(|rows| format!(" ({rows} rows)")).unwrap_or_default();
        Some(format!("{}{rows}", group.labels.get("group")?))
    });
    named.collect()
}

/// The p-values of the rules that ask for one, adjusted for their number by Holm's method.
fn adjusted(gate: &Gate, evidence: &Evidence) -> BTreeMap<Subject, f64> {
    let tested = gate
        .rules
        .iter()
        .filter(|rule| matches!(&rule.demand, Demand::Figure { bounds, .. } if bounds.significance.is_some()));
    let mut p_values: Vec<(Subject, f64)> = tested
        .filter_map(|rule| {
            let test = Subject { metric: format!("{}-p-value", rule.subject.metric), ..rule.subject.clone() };
            Some((rule.subject.clone(), find(&test, evidence).ok()?.value?))
        })
        .collect();
    p_values.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let many = p_values.len();
    let mut largest = 0.0_f64;
    let adjust = |(place, (subject, p)): (usize, (Subject, f64))| {
        largest = largest.max(p * (many - place) as f64).min(1.0);
        (subject, largest)
    };
    p_values.into_iter().enumerate().map(adjust).collect()
}

fn compared(subject: &Subject, demand: &NonInferiority, bounds: &Bounds, evidence: &Evidence) -> RuleVerdict {
    let margin = number(demand.margin);
    let verdict = verdict(subject, format!("no more than {margin} worse than the champion"));
    let held = |reason: String| RuleVerdict { reason, ..verdict.clone() };
    let metric = match find(subject, evidence) {
        Ok(metric) => metric,
        Err(reason) => return held(reason),
    };
    let Some(champion) = &evidence.champion else {
        let reason = "there is no champion yet that it could be worse than".to_owned();
        return RuleVerdict { outcome: Outcome::Pass, value: metric.value, support: metric.support, ..held(reason) };
    };
    let name = format!("{}@{}", champion.model.name, champion.model.number);
    let pairs = match champion.pairs.get(&subject.stage) {
        Some(Ok(pairs)) => pairs,
        Some(Err(reason)) => return held(format!("{name} cannot be compared: {reason}")),
        None => return held(format!("{name} predicted none of the rows")),
    };
    let (Some(value), Some(measured)) = (metric.value, pairs.candidate_value(&subject.metric)) else {
        return held("it is undefined".to_owned());
    };
    // Where the evaluator means something else by this name, comparing would mean nothing.
    if (value - measured).abs() > AGREEMENT * value.abs().max(measured.abs()).max(1.0) {
        let (value, measured) = (number(value), number(measured));
        return held(format!("the report says {value}, but the stored predictions come to {measured}"));
    }
    let Some(difference) = pairs.difference(&subject.metric, demand.confidence, demand.resamples, evidence.seed) else {
        return held("the difference is undefined".to_owned());
    };
    let wanted = bounds.min_support.unwrap_or(MIN_SUPPORT);
    let (outcome, reason) = if difference.rows < wanted {
        (Outcome::NotEnoughData, format!("both predicted {} rows, where {wanted} are asked for", difference.rows))
    } else {
        let (which, by, least, most) = match difference.gain < 0.0 {
            true => ("worse", -difference.gain, -difference.high, -difference.low),
            false => ("better", difference.gain, difference.low, difference.high),
        };
        let said = format!(
            "it is {}, {name} {}: {which} by {} (at least {} and at most {}, each at {} %)",
            number(difference.candidate),
            number(difference.champion),
            number(by),
            number(least),
            number(most),
            number(100.0 * demand.confidence),
        );
        if difference.low >= -demand.margin {
            (Outcome::Pass, said)
        } else if difference.high < -demand.margin {
            (Outcome::Fail, said)
        } else {
            (Outcome::NotEnoughData, said)
        }
    };
    RuleVerdict {
        outcome,
        value: metric.value,
        support: Some(difference.rows),
        difference: Some(difference),
        ..held(reason)
    }
}

fn bounds_text(bounds: &Bounds) -> String {
    let ends: Vec<String> = [("at least", bounds.min), ("at most", bounds.max)]
        .iter()
        .filter_map(|(word, end)| end.map(|end| format!("{word} {}", number(end))))
        .collect();
    let by = if bounds.by == By::Interval { ", all of its interval" } else { "" };
    let tested = bounds.significance.map(|alpha| format!(", tested at {}", number(alpha))).unwrap_or_default();
    format!("{}{by}{tested}", ends.join(" and "))
}

/// A number with at most four decimals, more where it is small.
pub(super) fn number(value: f64) -> String {
    // A negative zero is no other number.
    let value = value + 0.0;
    let text = if value != 0.0 && value.abs() < 0.001 { format!("{value:.2e}") } else { format!("{value:.4}") };
    match text.contains('e') {
        true => text,
        false => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests;
