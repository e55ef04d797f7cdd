//! What a report says of rows that are few, odd or missing.

use stagewright_regression::bootstrap::Settings;
use stagewright_regression::judge::{Rules, judge};
use stagewright_stage::Report;

/// SplitMix64: enough for a test.
fn generator(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

fn run(actual: &[f64], predicted: &[f64]) -> Report {
    let bootstrap = Settings { replicates: 200, confidence: 0.95 };
    let rules = Rules { quantile: 0.9, bootstrap, figures: true };
    judge(actual, predicted, &rules, &mut generator(7), || true)
}

fn value(report: &Report, name: &str) -> Option<f64> {
    report.metrics.iter().find(|metric| metric.name == name).expect("the metric").value
}

#[test]
fn no_rows_give_a_report_in_which_nothing_is_defined() {
    let report = run(&[], &[]);
    assert_eq!(value(&report, "rows"), Some(0.0));
    for metric in &report.metrics[2..] {
        assert_eq!((metric.value, metric.low), (None, None), "{}", metric.name);
    }
    assert_eq!(report.findings[0].message, "there is no row to judge: every measure is undefined");
    assert_eq!(report.figures.len(), 0);
}

#[test]
fn rows_that_lack_a_number_are_left_out_and_counted() {
    let report = run(&[1.0, f64::NAN, 3.0, 4.0], &[1.5, 2.0, f64::INFINITY, 4.5]);
    assert_eq!(value(&report, "rows"), Some(2.0));
    assert_eq!(value(&report, "rows-left-out"), Some(2.0));
    assert_eq!(value(&report, "mean-absolute-error"), Some(0.5));
    let messages: Vec<&str> = report.findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(messages[0], "1 of 4 rows have no finite label and are left out");
    assert_eq!(messages[1], "1 of 4 rows have no finite prediction and are left out");
}

#[test]
fn a_label_of_zero_is_told_where_it_makes_a_measure_undefined() {
    let report = run(&[0.0, 2.0], &[1.0, 2.0]);
    assert_eq!(value(&report, "mean-absolute-percentage-error"), None);
    assert_eq!(report.findings[0].message, "1 rows have a label of 0: the mean absolute percentage error is undefined");
}

#[test]
fn intervals_hold_the_value_and_the_largest_error_has_none() {
    let actual: Vec<f64> = (1..60).map(f64::from).collect();
    let predicted: Vec<f64> = (1..60).map(|row| f64::from(row + row * 13 % 7)).collect();
    let report = run(&actual, &predicted);
    for metric in &report.metrics {
        if metric.name == "max-error" || metric.name.starts_with("rows") {
            assert_eq!(metric.low, None, "{}", metric.name);
        } else {
            assert!(metric.low < metric.value && metric.value < metric.high, "{metric:?}");
        }
    }
    assert_eq!(report.figures.len(), 2);
}

#[test]
fn the_same_seed_gives_the_same_report_and_the_order_of_rows_does_not_matter() {
    let actual: Vec<f64> = (0..40).map(|row| f64::from(row * 11 % 17)).collect();
    let predicted: Vec<f64> = (0..40).map(|row| f64::from(row * 5 % 23)).collect();
    let reversed = |values: &[f64]| values.iter().rev().copied().collect::<Vec<f64>>();
    assert_eq!(run(&actual, &predicted), run(&reversed(&actual), &reversed(&predicted)));
}
