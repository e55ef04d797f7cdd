//! From scored rows to a report.

use stagewright_stage::{Figure, Finding, Metric, Report, Severity};

use crate::bootstrap::{Settings, estimate};
use crate::figures;
use crate::measures::{Outcome, Sample};

/// How to judge.
pub struct Rules {
    /// The quantile of the pinball loss.
    pub quantile: f64,
    /// How intervals are made.
    pub bootstrap: Settings,
    /// Whether figures are drawn.
    pub figures: bool,
}

/// Judges the rows: `actual` and `predicted` values, NaN where there is none. `keep_on` is asked now and then; on its
/// no, the report is cut short.
pub fn judge(
    actual: &[f64],
    predicted: &[f64],
    rules: &Rules,
    random: &mut impl FnMut() -> u64,
    keep_on: impl Fn() -> bool,
) -> Report {
    let mut report = Report { metrics: Vec::new(), findings: Vec::new(), figures: Vec::new() };
    let mut tell = |severity, message| report.findings.push(Finding { severity, message, labels: Vec::new() });
    let count = |values: &[f64]| values.iter().filter(|value| !value.is_finite()).count();
    for (lacking, what) in [(count(actual), "label"), (count(predicted), "prediction")] {
        if lacking > 0 {
            let message = format!("{lacking} of {} rows have no finite {what} and are left out", actual.len());
            tell(Severity::Warning, message);
        }
    }
    let rows: Vec<Outcome> = actual
        .iter()
        .zip(predicted)
        .filter(|(actual, predicted)| actual.is_finite() && predicted.is_finite())
        .map(|(&actual, &predicted)| Outcome { actual, predicted })
        .collect();
    if rows.is_empty() {
        tell(Severity::Warning, "there is no row to judge: every measure is undefined".to_owned());
    }
    let zeros = rows.iter().filter(|row| row.actual == 0.0).count();
    if zeros > 0 {
        let message = format!("{zeros} rows have a label of 0: the mean absolute percentage error is undefined");
        tell(Severity::Info, message);
    }
    let support = rows.len() as u64;
    let left_out = actual.len() - rows.len();
    let sample = Sample::new(rows, rules.quantile);
    let measures = sample.measure();
    let plain = |name: &str, value: f64, support: Option<u64>| Metric {
        name: name.to_owned(),
        labels: Vec::new(),
        value: (!value.is_nan()).then_some(value),
        low: None,
        high: None,
        support,
    };
    report.metrics.push(plain("rows", support as f64, None));
    report.metrics.push(plain("rows-left-out", left_out as f64, None));
    let resample = |counts: &[u32]| sample.measure_resample(counts).named();
    for estimate in estimate(measures.named(), sample.rows().len(), rules.bootstrap, random, keep_on, resample) {
        let ends = estimate.interval.and_then(|interval| interval.ends);
        if let Some(missing) = estimate.interval.map(|interval| interval.missing).filter(|missing| *missing > 0) {
            let message = format!(
                "{} is undefined in {missing} of {} resamples; its interval rests on the others",
                estimate.name, rules.bootstrap.replicates
            );
            report.findings.push(Finding { severity: Severity::Info, message, labels: Vec::new() });
        }
        report.metrics.push(Metric {
            low: ends.map(|(low, _)| low),
            high: ends.map(|(_, high)| high),
            ..plain(estimate.name, estimate.value, Some(support))
        });
    }
    // No interval: a resample's largest error is never larger than the sample's, so the bootstrap says nothing here.
    report.metrics.push(plain("max-error", measures.max_error, Some(support)));
    if rules.figures {
        let residuals = figures::residuals(&sample).map(|spec| ("Residuals".to_owned(), spec));
        for (title, spec) in figures::predicted_against_actual(&sample).into_iter().chain(residuals) {
            report.figures.push(Figure { title, vega_lite: spec.to_string() });
        }
    }
    report
}
