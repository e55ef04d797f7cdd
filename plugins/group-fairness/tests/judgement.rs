//! What a report says of groups that are few, small, missing or unfairly treated.

use std::collections::BTreeMap;

use stagewright_group_fairness::categories::Categories;
use stagewright_group_fairness::judge::{Rules, Scored, judge};
use stagewright_group_fairness::partition::Partition;
use stagewright_group_fairness::tally::Outcome;
use stagewright_stage::{Failure, Report, Series, Severity};

/// SplitMix64: enough for a test.
fn generator(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

fn texts<'values>(values: impl IntoIterator<Item = Option<&'values str>>) -> Categories {
    Categories::read(&Series::of_texts("column", values))
}

fn rules() -> Rules {
    Rules {
        min_support: 1,
        min_positives: 0,
        privileged: BTreeMap::new(),
        permutations: 500,
        alpha: 0.05,
        figures: false,
    }
}

/// Rows of one protected column: a group's name, its number of rows and how many of them are selected. Every second
/// row is positive.
fn column(groups: &[(Option<&str>, usize, usize)]) -> Scored {
    let mut rows = Vec::new();
    let mut names = Vec::new();
    for &(name, count, selected) in groups {
        for row in 0..count {
            let outcome = Outcome { positive: row % 2 == 0, selected: row < selected, score: f64::NAN };
            rows.push((rows.len(), outcome));
            names.push(name);
        }
    }
    Scored { rows, partitions: vec![Partition::by_values("sex", &texts(names))] }
}

fn run(scored: &Scored, rules: &Rules) -> Result<Report, Failure> {
    let mut report = Report { metrics: Vec::new(), findings: Vec::new(), figures: Vec::new() };
    judge(scored, rules, &mut generator(7), || true, &mut report)?;
    Ok(report)
}

fn assert_close(found: Option<f64>, expected: f64) {
    assert!(found.is_some_and(|found| (found - expected).abs() < 1e-12), "{found:?} is not {expected}");
}

/// The metric of everybody, of a column or of a group.
fn value(report: &Report, name: &str, labels: &[&str]) -> Option<f64> {
    let found = report.metrics.iter().find(|metric| {
        metric.name == name && metric.labels.iter().map(|label| label.value.as_str()).eq(labels.iter().copied())
    });
    found.unwrap_or_else(|| panic!("no {name} of {labels:?}")).value
}

fn findings(report: &Report) -> Vec<(Severity, &str)> {
    report.findings.iter().map(|finding| (finding.severity, finding.message.as_str())).collect()
}

#[test]
fn no_rows_give_a_report_in_which_nothing_is_defined() {
    let report = run(&column(&[]), &rules()).unwrap();
    assert_eq!(value(&report, "rows", &[]), Some(0.0));
    assert_eq!(value(&report, "selection-rate", &[]), None);
    assert_eq!(value(&report, "theil-index", &[]), None);
    assert_eq!(value(&report, "demographic-parity-ratio", &["sex"]), None);
    assert_eq!(value(&report, "demographic-parity-ratio-p-value", &["sex"]), None);
}

#[test]
fn one_group_alone_is_not_called_fair() {
    let report = run(&column(&[(Some("f"), 50, 20)]), &rules()).unwrap();
    assert_eq!(value(&report, "selection-rate", &["sex", "f"]), Some(0.4));
    assert_eq!(value(&report, "demographic-parity-difference", &["sex"]), None);
    assert_eq!(
        findings(&report),
        [(
            Severity::Warning,
            "fewer than two groups of `sex` have enough rows to be compared: its disparities are undefined, which is \
             not the same as fair"
        )]
    );
}

#[test]
fn a_large_gap_breaks_the_four_fifths_rule() {
    let report = run(&column(&[(Some("f"), 500, 100), (Some("m"), 500, 300)]), &rules()).unwrap();
    assert_close(value(&report, "demographic-parity-ratio", &["sex"]), 1.0 / 3.0);
    assert_eq!(value(&report, "impact-ratio", &["sex", "m"]), Some(1.0));
    assert_eq!(
        findings(&report),
        [(
            Severity::Warning,
            "`f` is selected at 0.333 of the rate of `m` by `sex`, below four fifths, and chance does not explain it \
             (p = 0.0020)"
        )]
    );
}

#[test]
fn a_gap_between_small_groups_may_be_chance_and_warns_nobody() {
    let report = run(&column(&[(Some("f"), 20, 5), (Some("m"), 20, 8)]), &rules()).unwrap();
    let [(severity, message)] = findings(&report)[..] else { panic!("{:?}", report.findings) };
    assert_eq!(severity, Severity::Info);
    assert!(message.contains("but chance may explain it"), "{message}");
    let report =
        run(&column(&[(Some("f"), 20, 5), (Some("m"), 20, 8)]), &Rules { permutations: 0, ..rules() }).unwrap();
    let [(severity, message)] = findings(&report)[..] else { panic!("{:?}", report.findings) };
    assert_eq!(severity, Severity::Info);
    assert!(message.ends_with("whether by chance was not tested"), "{message}");
}

#[test]
fn a_group_that_is_too_small_is_reported_but_not_compared() {
    let scored = column(&[(Some("f"), 200, 80), (Some("m"), 200, 90), (Some("x"), 5, 0)]);
    let report = run(&scored, &Rules { min_support: 100, min_positives: 10, ..rules() }).unwrap();
    assert_eq!(value(&report, "selection-rate", &["sex", "x"]), Some(0.0));
    assert_eq!(value(&report, "impact-ratio", &["sex", "x"]), None);
    assert_close(value(&report, "demographic-parity-ratio", &["sex"]), 8.0 / 9.0);
    assert_eq!(value(&report, "groups-compared", &["sex"]), Some(2.0));
    assert_eq!(
        findings(&report),
        [(
            Severity::Info,
            "insufficient: `x` has 5 rows, 3 of them positive, where 100 and 10 are asked for; it is reported but not \
             compared"
        )]
    );
}

#[test]
fn rows_whose_group_is_unknown_are_a_group() {
    let report = run(&column(&[(Some("f"), 10, 5), (None, 10, 4)]), &rules()).unwrap();
    assert_eq!(value(&report, "selection-rate", &["sex", "unknown"]), Some(0.4));
    assert_eq!(value(&report, "groups-compared", &["sex"]), Some(2.0));
}

#[test]
fn a_privileged_group_that_is_not_there_is_refused_with_those_that_are() {
    let privileged = BTreeMap::from([("sex".to_owned(), "male".to_owned())]);
    let failure = run(&column(&[(Some("f"), 5, 1), (Some("m"), 5, 1)]), &Rules { privileged, ..rules() });
    assert_eq!(
        failure.unwrap_err(),
        Failure::invalid_parameter("`privileged` says `male` for `sex`, whose groups are `f`, `m`")
    );
}

#[test]
fn the_others_are_compared_with_the_privileged_group() {
    let privileged = BTreeMap::from([("sex".to_owned(), "m".to_owned())]);
    let scored = column(&[(Some("f"), 10, 2), (Some("m"), 10, 5), (Some("x"), 10, 4)]);
    let report = run(&scored, &Rules { privileged, ..rules() }).unwrap();
    assert_close(value(&report, "disparate-impact", &["sex"]), 0.6);
    assert_close(value(&report, "disparate-impact", &["sex", "f"]), 0.4);
    assert_close(value(&report, "statistical-parity-difference", &["sex"]), -0.2);
}

#[test]
fn nobody_selected_leaves_ratios_undefined() {
    let report = run(&column(&[(Some("f"), 10, 0), (Some("m"), 10, 0)]), &rules()).unwrap();
    assert_eq!(value(&report, "demographic-parity-difference", &["sex"]), Some(0.0));
    assert_eq!(value(&report, "demographic-parity-ratio", &["sex"]), None);
    assert_eq!(value(&report, "precision", &["sex", "f"]), None);
    assert_eq!(value(&report, "predictive-parity-difference", &["sex"]), None);
}
