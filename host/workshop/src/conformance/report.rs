//! Whether a report says something sane.

use std::collections::BTreeSet;

use stagewright_core::Report;

use super::Broken;

/// Checks a report over a table of `rows` rows.
pub(super) fn check(report: &Report, rows: usize) -> Result<String, Broken> {
    let mut seen = BTreeSet::new();
    for metric in &report.metrics {
        let labels: Vec<String> = metric.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let name = format!("metric `{}` {}", metric.name, labels.join(" ")).trim_end().to_owned();
        if metric.name.trim().is_empty() {
            return Err(Broken::because("a metric has no name"));
        }
        if !seen.insert((&metric.name, &metric.labels)) {
            return Err(Broken::because(format!("{name} is there twice")));
        }
        if let (Some(low), Some(high)) = (metric.low, metric.high)
            && low > high
        {
            return Err(Broken::because(format!("{name} has an interval from {low} to {high}")));
        }
        if let Some(support) = metric.support.filter(|support| *support > 2 * rows as u64) {
            return Err(Broken::because(format!("{name} has a support of {support} in {rows} rows")));
        }
    }
    if report.findings.iter().any(|finding| finding.message.trim().is_empty()) {
        return Err(Broken::because("a finding says nothing"));
    }
    for figure in &report.figures {
        if figure.title.trim().is_empty() {
            return Err(Broken::because("a figure has no title"));
        }
        let Some(drawing) = figure.vega_lite.as_object() else {
            return Err(Broken::because(format!("figure `{}` is no Vega-Lite specification", figure.title)));
        };
        if drawing.get("data").and_then(|data| data.get("url")).is_some() {
            return Err(Broken::because(format!("figure `{}` has its data elsewhere, not inlined", figure.title)));
        }
    }
    let (metrics, findings, figures) = (report.metrics.len(), report.findings.len(), report.figures.len());
    Ok(format!("{metrics} metrics, {findings} findings, {figures} figures"))
}
