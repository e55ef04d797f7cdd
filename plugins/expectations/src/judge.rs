//! A whole table against what is expected of it.

use stagewright_stage::{Failure, Finding, Label, Metric, Reader, Report, Severity, nearest};

use crate::parameters::{Bounds, Parameters, Rules};
use crate::rules::{Outcome, check, summarize, unique};

/// Gathers what was found.
struct Judge {
    report: Report,
    rules: u64,
    failed: u64,
}

/// Reads the table, one column after the other, and reports on it.
pub fn judge(table: &mut Reader, parameters: &Parameters) -> Result<Report, Failure> {
    let report = Report { metrics: vec![], findings: vec![], figures: vec![] };
    let mut judge = Judge { report, rules: 0, failed: 0 };
    let severity: Severity = parameters.severity.into();
    judge.shape(table, parameters, severity);
    for (name, rules) in &parameters.columns {
        let severity = rules.severity.map_or(severity, Severity::from);
        if judge.has_column(table, name, severity) {
            judge.column(table, name, rules, severity)?;
        }
    }
    for names in &parameters.compound_unique {
        if names.is_empty() {
            return Err(Failure::invalid_parameter("a set of `compound-unique` names no column"));
        }
        let mut all_there = true;
        for name in names {
            all_there &= judge.has_column(table, name, severity);
        }
        if all_there {
            let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
            let columns = table.read(&wanted)?;
            let columns: Vec<_> = columns.columns().iter().collect();
            let outcome = unique("compound-unique", &columns, "differ from each other");
            judge.outcome(&names.join(", "), &outcome, 1.0, severity);
        }
    }
    judge.metric("expectations", vec![], Some(judge.rules as f64), None);
    judge.metric("expectations-failed", vec![], Some(judge.failed as f64), None);
    Ok(judge.report)
}

fn labels(column: &str, rule: &str) -> Vec<Label> {
    [("column", column), ("rule", rule)].map(|(name, value)| Label { name: name.into(), value: value.into() }).to_vec()
}

/// Bounds as people say them.
fn words(bounds: Bounds) -> String {
    match (bounds.min, bounds.max) {
        (Some(min), Some(max)) => format!("from {min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "anything".into(),
    }
}

impl Judge {
    fn metric(&mut self, name: &str, labels: Vec<Label>, value: Option<f64>, support: Option<u64>) {
        self.report.metrics.push(Metric { name: name.into(), labels, value, low: None, high: None, support });
    }

    fn fail(&mut self, severity: Severity, message: String, labels: Vec<Label>) {
        self.failed += 1;
        self.report.findings.push(Finding { severity, message, labels });
    }

    /// Checks the number of rows and the names of the columns.
    fn shape(&mut self, table: &Reader, parameters: &Parameters, severity: Severity) {
        let rows = table.rows() as f64;
        self.metric("rows", vec![], Some(rows), None);
        if parameters.rows != Bounds::default() {
            self.rules += 1;
            let Bounds { min, max } = parameters.rows;
            if min.is_some_and(|min| rows < min) || max.is_some_and(|max| rows > max) {
                let message = format!("the table has {rows} rows; expected {}", words(parameters.rows));
                self.fail(severity, message, vec![]);
            }
        }
        let found: Vec<&str> = table.fields().iter().map(|field| field.name.as_str()).collect();
        if let Some(exact) = &parameters.exact_columns {
            self.rules += 1;
            let list = |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let missing: Vec<&str> = exact.iter().map(String::as_str).filter(|name| !found.contains(name)).collect();
            let more: Vec<&str> =
                found.iter().copied().filter(|name| !exact.iter().any(|wanted| wanted == name)).collect();
            if !missing.is_empty() {
                self.fail(severity, format!("the table lacks {}", list(missing)), vec![]);
            }
            if !more.is_empty() {
                self.fail(severity, format!("the table has columns that are not expected: {}", list(more)), vec![]);
            }
        }
        if !parameters.order.is_empty() {
            self.rules += 1;
            let places: Vec<Option<usize>> =
                parameters.order.iter().map(|name| found.iter().position(|column| column == name)).collect();
            if places.contains(&None) || !places.is_sorted() {
                let message = format!("the columns {} do not stand in this order", parameters.order.join(", "));
                self.fail(severity, message, vec![]);
            }
        }
    }

    fn has_column(&mut self, table: &Reader, name: &str, severity: Severity) -> bool {
        let names = || table.fields().iter().map(|field| field.name.as_str());
        if names().any(|column| column == name) {
            return true;
        }
        self.rules += 1;
        let hint = nearest(name, names()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        self.fail(severity, format!("the table has no column `{name}`{hint}"), labels(name, "exists"));
        false
    }

    fn column(&mut self, table: &mut Reader, name: &str, rules: &Rules, severity: Severity) -> Result<(), Failure> {
        let read = table.read(&[name])?;
        let column = read.column(name)?;
        for outcome in check(column, rules)? {
            self.outcome(name, &outcome, rules.at_least, severity);
        }
        for summary in summarize(column, rules)? {
            self.rules += 1;
            self.metric(
                &summary.rule.replace(' ', "-"),
                labels(name, &summary.rule),
                summary.value,
                Some(summary.support),
            );
            if let (false, Some(value)) = (summary.holds(), summary.value) {
                let (rule, expected) = (&summary.rule, words(summary.bounds));
                self.fail(
                    severity,
                    format!("the {rule} of `{name}` is {value}; expected {expected}"),
                    labels(name, rule),
                );
            }
        }
        Ok(())
    }

    fn outcome(&mut self, column: &str, outcome: &Outcome, at_least: f64, severity: Severity) {
        self.rules += 1;
        let labels = labels(column, &outcome.rule);
        self.metric("fraction-passing", labels.clone(), outcome.share(), Some(outcome.checked));
        if outcome.holds(at_least) {
            return;
        }
        let Outcome { checked, broken, expected, .. } = outcome;
        let share = if at_least < 1.0 { format!("at least {} %", at_least * 100.0) } else { "all".into() };
        let mut message =
            format!("`{column}`: expected that {share} of its values {expected}; {broken} of {checked} do not");
        if !outcome.examples.is_empty() {
            let examples: Vec<String> =
                outcome.examples.iter().map(|(row, value)| format!("row {row} (`{value}`)")).collect();
            message.push_str(&format!(": {}", examples.join(", ")));
        }
        self.fail(severity, message, labels);
    }
}
