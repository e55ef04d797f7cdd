//! Both tables, column by column: figures, and alarms where a difference is neither chance nor trifle.
//!
//! An alarm needs both. With many rows everything is significant, and with few a fixed threshold on the size of the
//! effect is passed by chance; over many columns, some test always fails.

use serde_json::json;
use stagewright_stage::{Failure, Field, Figure, Finding, Label, Metric, Reader, Report, Series, Severity, nearest};

use crate::compare::{Comparison, Wanted, numbers, words};
use crate::parameters::Parameters;
use crate::significance::benjamini_hochberg;

/// Compares the tables.
pub fn judge(reference: &mut Reader, current: &mut Reader, parameters: &Parameters) -> Result<Report, Failure> {
    check(parameters)?;
    let mut report = Report { metrics: vec![], findings: vec![], figures: vec![] };
    let mut columns: Vec<(String, Comparison)> = Vec::new();
    for name in chosen(reference.fields(), parameters)? {
        if !current.fields().iter().any(|field| field.name == name) {
            find(&mut report, Severity::Violation, &name, format!("the current table has no column `{name}`"));
            continue;
        }
        let (before, now) = (reference.read(&[&name])?, current.read(&[&name])?);
        let (before, now) = (before.column(&name)?, now.column(&name)?);
        match compare(before, now, parameters) {
            Some(comparison) => columns.push((name, comparison)),
            None => {
                let message = format!("`{name}` holds text in one table and numbers in the other");
                find(&mut report, Severity::Violation, &name, message);
            }
        }
    }
    let tested: Vec<usize> = (0..columns.len()).filter(|&place| columns[place].1.probability.is_some()).collect();
    let probabilities: Vec<f64> = tested.iter().filter_map(|&place| columns[place].1.probability).collect();
    let adjusted = benjamini_hochberg(&probabilities);
    let mut drifted = 0;
    let mut ranked: Vec<(f64, usize)> = Vec::new();
    for (place, (name, comparison)) in columns.iter().enumerate() {
        let p = tested.iter().position(|&tested| tested == place).map(|rank| adjusted[rank]);
        drifted += u64::from(alarm(&mut report, name, comparison, p, parameters));
        for &(metric, value) in &comparison.metrics {
            push(&mut report, metric, Some(name), value, Some(comparison.support[1]));
        }
        push(&mut report, "p-value-adjusted", Some(name), p, Some(comparison.support[1]));
        let effect = comparison.metrics.iter().filter_map(|&(metric, value)| {
            parameters.warning.of(metric).zip(value).map(|(floor, value)| value / floor.max(f64::MIN_POSITIVE))
        });
        ranked.push((effect.fold(0.0, f64::max), place));
    }
    push(&mut report, "columns", None, Some(columns.len() as f64), None);
    push(&mut report, "columns-drifted", None, Some(drifted as f64), None);
    let share = (!columns.is_empty()).then(|| drifted as f64 / columns.len() as f64);
    push(&mut report, "share-drifted", None, share, None);
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, place) in ranked.into_iter().take(parameters.figures as usize) {
        let (name, comparison) = &columns[place];
        report.figures.extend(figure(name, comparison));
    }
    Ok(report)
}

fn check(parameters: &Parameters) -> Result<(), Failure> {
    if !(2..=1000).contains(&parameters.bins) {
        return Err(Failure::invalid_parameter(format!("`bins` is {}; it must be in 2..=1000", parameters.bins)));
    }
    if !(0.0..=1.0).contains(&parameters.alpha) {
        return Err(Failure::invalid_parameter(format!("`alpha` is {}; it must be in 0..=1", parameters.alpha)));
    }
    if parameters.methods.is_empty() {
        return Err(Failure::invalid_parameter("`methods` is empty; name one, or `auto`"));
    }
    Ok(())
}

/// The columns to compare, in the reference's order.
fn chosen(fields: &[Field], parameters: &Parameters) -> Result<Vec<String>, Failure> {
    let names = || fields.iter().map(|field| field.name.as_str());
    for name in parameters.columns.iter().chain(&parameters.exclude).chain(&parameters.categorical) {
        if !names().any(|column| column == name) {
            let hint = nearest(name, names()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(Failure::invalid_parameter(format!("the reference has no column `{name}`{hint}")));
        }
    }
    let wanted = |name: &&str| {
        let listed = |list: &[String]| list.iter().any(|listed| listed == name);
        (parameters.columns.is_empty() || listed(&parameters.columns)) && !listed(&parameters.exclude)
    };
    Ok(names().filter(wanted).map(str::to_owned).collect())
}

/// Compares a column as words if it holds text or yes and no, else as numbers; nothing if it holds one here, one there.
fn compare(before: &Series, now: &Series, parameters: &Parameters) -> Option<Comparison> {
    let wanted = Wanted(&parameters.methods);
    if before.is_numeric() != now.is_numeric() {
        return None;
    }
    let names =
        matches!(before.values, stagewright_stage::Values::Boolean(_)) || parameters.categorical.contains(&before.name);
    match (before.numeric(), now.numeric()) {
        (Some(before), Some(now)) if !names => Some(numbers(&before, &now, parameters.bins as usize, wanted)),
        _ => Some(words(before, now, wanted)),
    }
}

/// Says whether a column drifted, and adds the finding.
fn alarm(report: &mut Report, name: &str, comparison: &Comparison, p: Option<f64>, parameters: &Parameters) -> bool {
    let [before, now] = comparison.support;
    if before > 0 && before >= parameters.min_rows && now == 0 {
        find(report, Severity::Violation, name, format!("`{name}` has no values any more"));
        return true;
    }
    if before.min(now) < parameters.min_rows.max(1) {
        let least = parameters.min_rows.max(1);
        let message = format!("not enough data to judge `{name}`: {before} and {now} values; {least} are needed");
        find(report, Severity::Info, name, message);
        return false;
    }
    let Some(p) = p.filter(|&p| p < parameters.alpha) else { return false };
    for (severity, floors) in [(Severity::Violation, parameters.violation), (Severity::Warning, parameters.warning)] {
        let over: Vec<String> = comparison
            .metrics
            .iter()
            .filter_map(|&(metric, value)| {
                let (floor, value) = floors.of(metric).zip(value)?;
                (value >= floor).then(|| format!("{metric} {value:.4} is at least {floor}"))
            })
            .collect();
        if !over.is_empty() {
            let message = format!("`{name}` drifted: {} (p = {p:.1e} after correction)", over.join(", "));
            find(report, severity, name, message);
            return true;
        }
    }
    false
}

fn of_column(name: &str) -> Vec<Label> {
    vec![Label { name: "column".into(), value: name.into() }]
}

fn find(report: &mut Report, severity: Severity, column: &str, message: String) {
    report.findings.push(Finding { severity, message, labels: of_column(column) });
}

fn push(report: &mut Report, name: &str, column: Option<&str>, value: Option<f64>, support: Option<u64>) {
    let labels = column.map(of_column).unwrap_or_default();
    report.metrics.push(Metric { name: name.into(), labels, value, low: None, high: None, support });
}

/// Reference and current side by side.
fn figure(name: &str, comparison: &Comparison) -> Option<Figure> {
    if comparison.bars.is_empty() {
        return None;
    }
    let values: Vec<_> = comparison
        .bars
        .iter()
        .flat_map(|(label, before, now)| {
            [("reference", before), ("current", now)]
                .map(|(table, share)| json!({ "value": label, "table": table, "share": share }))
        })
        .collect();
    let plot = json!({
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "data": { "values": values },
        "mark": "bar",
        "encoding": {
            "x": { "field": "value", "type": "ordinal", "sort": null, "title": name },
            "xOffset": { "field": "table", "sort": ["reference", "current"] },
            "y": { "field": "share", "type": "quantitative", "title": "share of rows" },
            "color": { "field": "table", "type": "nominal", "sort": ["reference", "current"] },
        },
    });
    Some(Figure { title: format!("{name}: reference and current"), vega_lite: plot.to_string() })
}
