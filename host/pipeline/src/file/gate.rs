//! The section `[gate]`: what a model must show, and who must approve it, before it may serve.

use std::ops::Range;

use stagewright_core::{Name, report::Severity};

use super::{
    settings::duration,
    source::{Kind, Located, Node, Source, unknown},
};
use crate::governance::gate::{
    Approvals, Bounds, By, CONFIDENCE, Demand, FINDINGS, Gate, NonInferiority, RESAMPLES, Rule, SmallGroups, Subject,
    severity,
};

/// A gate as written.
#[derive(Clone, Debug, PartialEq)]
pub struct GateSection {
    /// What it asks for.
    pub gate: Gate,
    /// Where the section stands.
    pub at: Range<usize>,
    /// Where each rule stands, in their order.
    pub rules_at: Vec<Range<usize>>,
}

const APPROVALS: &str = "approvals";

impl GateSection {
    pub(super) fn read(file: &mut Source, node: &Node) -> Self {
        let mut section = Self { gate: Gate::default(), at: node.at.clone(), rules_at: Vec::new() };
        for (key, value) in node.table(file, "[gate]").unwrap_or_default() {
            match (key.value.as_str(), &value.kind) {
                (APPROVALS, _) => section.gate.approvals = approvals(file, value),
                // `evaluate.accuracy = { ... }` without quotes is a table in a table.
                (stage, Kind::Table(entries))
                    if !stage.contains('.') && entries.iter().all(|(_, node)| matches!(node.kind, Kind::Table(_))) =>
                {
                    for (metric, value) in entries {
                        let joined = format!("{stage}.{}", metric.value);
                        section.rule(file, &Located { value: joined, at: metric.at.clone() }, value);
                    }
                }
                _ => section.rule(file, key, value),
            }
        }
        section
    }

    fn rule(&mut self, file: &mut Source, key: &Located<String>, value: &Node) {
        let subject: Subject = match key.value.parse() {
            Ok(subject) => subject,
            Err(error) => return file.problem(&key.at, format!("{error}"), None),
        };
        if self.gate.rules.iter().any(|rule| rule.subject == subject) {
            return file.problem(&key.at, format!("`{subject}` has a rule already"), Some("join the two".to_owned()));
        }
        if let Some(rule) = rule(file, subject, &key.at, value) {
            self.gate.rules.push(rule);
            self.rules_at.push(key.at.clone());
        }
    }
}

fn rule(file: &mut Source, subject: Subject, at: &Range<usize>, node: &Node) -> Option<Rule> {
    let what = format!("the rule of `{subject}`");
    if node.table(file, &what)?.is_empty() {
        let hint = match subject.metric.as_str() {
            FINDINGS => "say, for example, { at-most = \"warning\" }",
            _ => "say, for example, { min = 0.8 }",
        };
        file.problem(at, format!("{what} asks for nothing"), Some(hint.to_owned()));
        return None;
    }
    let (demand, keys) = if subject.metric == FINDINGS {
        let keys = node.known(file, &what, &["at-most", "waivable-by"]);
        let text = keys.get("at-most").and_then(|node| node.text(file, "at-most"));
        let Some(text) = text else {
            if !keys.contains_key("at-most") {
                file.problem(at, format!("{what} has no `at-most`"), Some("add: at-most = \"warning\"".to_owned()));
            }
            return None;
        };
        let all = [Severity::Info, Severity::Warning, Severity::Violation];
        let Some(at_most) = all[..2].iter().find(|known| severity(**known) == text.value) else {
            let hint = unknown(&text.value, &["info", "warning"]);
            file.problem(&text.at, "at-most must be \"info\" or \"warning\"", hint);
            return None;
        };
        (Demand::Findings { at_most: *at_most }, keys)
    } else {
        let known = ["min", "max", "by", "min-support", "significance", "small-groups", "champion", "waivable-by"];
        let keys = node.known(file, &what, &known);
        let number = |file: &mut Source, key: &str| keys.get(key).and_then(|node| number(file, node, key));
        let mut bounds = Bounds { min: number(file, "min"), max: number(file, "max"), ..Bounds::default() };
        if let (Some(min), Some(max)) = (bounds.min, bounds.max)
            && min > max
        {
            file.problem(at, format!("{what} can never hold: min is above max"), None);
        }
        if let Some(text) = keys.get("by").and_then(|node| node.text(file, "by")) {
            match text.value.as_str() {
                "value" => {}
                "interval" => bounds.by = By::Interval,
                other => file.problem(
                    &text.at,
                    "by must be \"value\" or \"interval\"",
                    unknown(other, &["value", "interval"]),
                ),
            }
        }
        let most = i64::from(u32::MAX);
        let rows = keys.get("min-support").and_then(|node| node.integer(file, "min-support", 0..most));
        bounds.min_support = rows.map(|rows| rows as u64);
        bounds.significance = keys.get("significance").and_then(|node| share(file, node, "significance"));
        if let Some(text) = keys.get("small-groups").and_then(|node| node.text(file, "small-groups")) {
            match text.value.as_str() {
                "hold" => {}
                "report" => bounds.small_groups = SmallGroups::Report,
                other => file.problem(
                    &text.at,
                    "small-groups must be \"hold\" or \"report\"",
                    unknown(other, &["hold", "report"]),
                ),
            }
        }
        let champion = keys.get("champion").and_then(|node| champion(file, node));
        if ["min", "max", "champion"].iter().all(|key| !keys.contains_key(key)) {
            let hint = "say `min`, `max` or `champion`".to_owned();
            file.problem(at, format!("{what} has no bound"), Some(hint));
        }
        (Demand::Figure { bounds, champion }, keys)
    };
    let waivable_by = keys.get("waivable-by").map(|node| names(file, node, "a role")).unwrap_or_default();
    Some(Rule { subject, demand, waivable_by })
}

fn champion(file: &mut Source, node: &Node) -> Option<NonInferiority> {
    let keys = node.known(file, "champion", &["margin", "confidence", "resamples"]);
    let Some(margin) = keys.get("margin") else {
        let hint = "by how much may the model be worse? add: margin = 0.01".to_owned();
        file.problem(&node.at, "champion has no `margin`", Some(hint));
        return None;
    };
    let value = number(file, margin, "margin")?;
    if value < 0.0 {
        file.problem(&margin.at, "margin must not be negative", None);
    }
    let confidence = keys.get("confidence").map(|node| share(file, node, "confidence"));
    let resamples = keys.get("resamples").map(|node| node.integer(file, "resamples", 100..100_001));
    Some(NonInferiority {
        margin: value,
        confidence: confidence.flatten().unwrap_or(CONFIDENCE),
        resamples: resamples.flatten().and_then(|many| u32::try_from(many).ok()).unwrap_or(RESAMPLES),
    })
}

/// The key `approvals`, of a pipeline's gate or of the operator's.
pub(super) fn approvals(file: &mut Source, node: &Node) -> Option<Approvals> {
    let keys = node.known(file, APPROVALS, &["count", "roles", "within"]);
    let roles = keys.get("roles").map(|node| names(file, node, "a role")).unwrap_or_default();
    if roles.is_empty() && file.is_sound() {
        let hint = "say who may approve: roles = [\"model-risk\"]".to_owned();
        file.problem(&node.at, "approvals names no roles", Some(hint));
    }
    let count = keys.get("count").map(|node| node.integer(file, "count", 1..101));
    let within_ms = keys.get("within").and_then(|node| duration(file, node, "within"));
    Some(Approvals {
        count: count.flatten().and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
        roles,
        within_ms: within_ms.and_then(|within| u64::try_from(within.as_millis()).ok()),
    })
}

fn names(file: &mut Source, node: &Node, what: &str) -> Vec<Name> {
    let mut names = Vec::new();
    for text in node.texts(file, what) {
        match text.value.parse() {
            Ok(name) => names.push(name),
            Err(error) => file.problem(&text.at, format!("{error}"), None),
        }
    }
    names
}

fn number(file: &mut Source, node: &Node, what: &str) -> Option<f64> {
    let number = match node.kind {
        Kind::Float(number) => Some(number),
        Kind::Integer(number) => Some(number as f64),
        _ => None,
    };
    let number = number.filter(|number| number.is_finite());
    if number.is_none() {
        file.problem(&node.at, format!("{what} must be a finite number"), None);
    }
    number
}

/// A number between 0 and 1.
fn share(file: &mut Source, node: &Node, what: &str) -> Option<f64> {
    let share = number(file, node, what)?;
    if share > 0.0 && share < 1.0 {
        return Some(share);
    }
    file.problem(&node.at, format!("{what} must be between 0 and 1"), None);
    None
}

#[cfg(test)]
mod tests;
