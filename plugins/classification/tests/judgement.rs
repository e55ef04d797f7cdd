//! What a report says of rows that are few, odd or missing.

use stagewright_classification::bootstrap::Settings;
use stagewright_classification::categories::Categories;
use stagewright_classification::judge::{Rules, Scored, judge};
use stagewright_stage::{Failure, Report, Series, Severity, Values};

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

fn numbers(values: &[f64]) -> Categories {
    Categories::read(&Series::of_floats("column", values.to_vec()))
}

fn booleans(values: &[bool]) -> Categories {
    Categories::read(&Series::new("column", Values::Boolean(values.to_vec())))
}

fn scored(labels: &[Option<&str>], scores: &[f64]) -> Scored {
    Scored {
        label: "income".to_owned(),
        labels: texts(labels.iter().copied()),
        scores: Some(scores.to_vec()),
        class_scores: Vec::new(),
        predictions: None,
        weights: None,
        slices: Vec::new(),
    }
}

fn rules() -> Rules {
    Rules { positive: None, threshold: 0.5, bootstrap: Settings { replicates: 200, confidence: 0.95 }, figures: false }
}

fn run(scored: &Scored, rules: &Rules) -> Result<Report, Failure> {
    judge(scored, rules, &mut generator(7), || true)
}

/// The metric without labels, or of a slice's group.
fn value(report: &Report, name: &str, group: Option<&str>) -> Option<f64> {
    let found = report
        .metrics
        .iter()
        .find(|metric| metric.name == name && metric.labels.last().map(|label| label.value.as_str()) == group);
    found.unwrap_or_else(|| panic!("no {name} of {group:?}")).value
}

fn messages(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.message.as_str()).collect()
}

#[test]
fn no_rows_give_a_report_in_which_nothing_is_defined() {
    let report = run(&scored(&[], &[]), &rules()).unwrap();
    assert_eq!(value(&report, "rows", None), Some(0.0));
    assert_eq!(value(&report, "accuracy", None), None);
    assert_eq!(messages(&report), ["there is no row to judge: every measure is undefined"]);
}

#[test]
fn a_single_row_is_judged_as_far_as_one_can() {
    let positive = Some(">50K".to_owned());
    let report = run(&scored(&[Some(">50K")], &[0.7]), &Rules { positive, ..rules() }).unwrap();
    assert_eq!(value(&report, "accuracy", None), Some(1.0));
    assert_eq!(value(&report, "roc-auc", None), None);
    assert_eq!(messages(&report), ["no row is labelled `not >50K`: what compares the two classes is undefined"]);
}

#[test]
fn one_class_alone_asks_which_one_is_positive() {
    let failure = run(&scored(&[Some("<=50K"), Some("<=50K")], &[0.1, 0.2]), &rules()).unwrap_err();
    assert_eq!(
        failure,
        Failure::invalid_data(
            "every row's `income` is `<=50K`, so the other class cannot be told: name the positive one in `positive`"
        )
    );
}

#[test]
fn a_positive_class_that_no_row_has_is_refused_with_those_there_are() {
    let rows = scored(&[Some("<=50K"), Some(">50K")], &[0.1, 0.2]);
    let failure = run(&rows, &Rules { positive: Some("yes".to_owned()), ..rules() }).unwrap_err();
    assert_eq!(
        failure,
        Failure::invalid_parameter(
            "`positive` is `yes`, which is no value of the label `income`; its values are `<=50K`, `>50K`"
        )
    );
}

#[test]
fn rows_without_label_or_score_are_left_out_and_counted() {
    let rows = scored(&[Some("a"), Some("b"), None, Some("b")], &[0.1, 0.9, 0.5, f64::NAN]);
    let report = run(&rows, &rules()).unwrap();
    assert_eq!(value(&report, "rows", None), Some(2.0));
    assert_eq!(value(&report, "rows-left-out", None), Some(2.0));
    assert_eq!(value(&report, "accuracy", None), Some(1.0));
    assert_eq!(
        messages(&report)[..2],
        ["1 of 4 rows have no label and are left out", "1 of 4 rows have no score or prediction and are left out"]
    );
}

#[test]
fn scores_that_are_all_missing_leave_everything_undefined() {
    let report = run(&scored(&[Some("a"), Some("b")], &[f64::NAN, f64::NAN]), &rules()).unwrap();
    assert_eq!(value(&report, "roc-auc", None), None);
    assert_eq!(value(&report, "rows", None), Some(0.0));
}

#[test]
fn predictions_alone_are_judged_without_what_needs_scores() {
    let rows = Scored {
        scores: None,
        predictions: Some(numbers(&[1.0, 0.0, 1.0])),
        labels: numbers(&[1.0, 0.0, 0.0]),
        ..scored(&[], &[])
    };
    let report = run(&rows, &rules()).unwrap();
    assert_eq!(value(&report, "precision", None), Some(0.5));
    assert_eq!(value(&report, "recall", None), Some(1.0));
    assert_eq!(value(&report, "log-loss", None), None);
}

#[test]
fn predictions_that_are_no_labels_are_refused() {
    let rows = Scored {
        scores: None,
        predictions: Some(numbers(&[1.0, 0.0])),
        labels: booleans(&[true, false]),
        ..scored(&[], &[])
    };
    assert_eq!(
        run(&rows, &rules()).unwrap_err(),
        Failure::invalid_data(
            "no prediction is a value of the label `income`: it has `false`, `true`, the predictions are `0`, `1`"
        )
    );
}

#[test]
fn weights_count_as_so_many_rows() {
    let rows =
        Scored { weights: Some(vec![3.0, 1.0, 0.0]), ..scored(&[Some("a"), Some("b"), Some("b")], &[0.1, 0.2, 0.9]) };
    assert_eq!(value(&run(&rows, &rules()).unwrap(), "accuracy", None), Some(0.75));
    let rows = Scored { weights: Some(vec![1.0, -1.0, 1.0]), ..rows };
    let failure = run(&rows, &rules()).unwrap_err();
    assert_eq!(failure, Failure::invalid_data("the weight of row 2 is -1; weights are finite and not below 0"));
}

#[test]
fn every_group_of_a_slice_is_measured_and_missing_values_are_one() {
    let sexes = texts([Some("f"), Some("m"), None, Some("f")]);
    let rows = Scored {
        slices: vec![("sex".to_owned(), sexes)],
        ..scored(&[Some("a"), Some("b"), Some("a"), Some("b")], &[0.1, 0.2, 0.3, 0.9])
    };
    let report = run(&rows, &rules()).unwrap();
    assert_eq!(value(&report, "accuracy", Some("f")), Some(1.0));
    assert_eq!(value(&report, "accuracy", Some("m")), Some(0.0));
    assert_eq!(value(&report, "accuracy", Some("unknown")), Some(1.0));
}

#[test]
fn intervals_hold_the_value_and_replicates_without_a_class_are_told() {
    let labels: Vec<Option<&str>> = (0..12).map(|row| Some(if row == 0 { "b" } else { "a" })).collect();
    let scores: Vec<f64> = (0..12).map(|row| f64::from(12 - row) / 13.0).collect();
    let report = run(&scored(&labels, &scores), &rules()).unwrap();
    let accuracy = report.metrics.iter().find(|metric| metric.name == "accuracy").unwrap();
    assert!(accuracy.low < accuracy.value && accuracy.value < accuracy.high, "{accuracy:?}");
    let finding = report.findings.iter().find(|finding| finding.message.starts_with("of 200 resamples")).unwrap();
    assert_eq!(finding.severity, Severity::Info);
    assert!(finding.message.contains("roc-auc in "), "{}", finding.message);
}

#[test]
fn the_same_seed_gives_the_same_report_and_the_order_of_rows_does_not_matter() {
    let labels: Vec<Option<&str>> = (0..50).map(|row| Some(if row % 3 == 0 { "b" } else { "a" })).collect();
    let scores: Vec<f64> = (0..50).map(|row| f64::from(row * 7 % 50) / 50.0).collect();
    let forward = run(&scored(&labels, &scores), &rules()).unwrap();
    let (labels, scores): (Vec<_>, Vec<_>) = labels.into_iter().zip(scores).rev().unzip();
    assert_eq!(forward, run(&scored(&labels, &scores), &rules()).unwrap());
}

#[test]
fn more_than_two_classes_are_judged_class_by_class() {
    let rows = Scored {
        scores: None,
        predictions: Some(texts([Some("a"), Some("b"), Some("b"), Some("c")])),
        ..scored(&[Some("a"), Some("b"), Some("c"), Some("c")], &[])
    };
    let report = run(&rows, &Rules { figures: true, ..rules() }).unwrap();
    assert_eq!(value(&report, "accuracy", None), Some(0.75));
    assert_eq!(value(&report, "recall", Some("c")), Some(0.5));
    assert_eq!(value(&report, "precision", Some("b")), Some(0.5));
    assert_eq!(value(&report, "false-positives", Some("b")), Some(1.0));
    assert_eq!(value(&report, "precision-weighted", None), Some(0.875));
    assert_eq!(value(&report, "log-loss", None), None);
    assert_eq!(report.figures.len(), 1);
}

#[test]
fn scores_of_each_class_are_weighed_and_a_class_without_any_leaves_that_undefined() {
    let class = |name: &str, scores: [f64; 3]| (name.to_owned(), scores.to_vec());
    let mut rows = Scored {
        scores: None,
        class_scores: vec![class("a", [0.5, 0.2, 0.1]), class("b", [0.3, 0.5, 0.4]), class("c", [0.2, 0.3, 0.5])],
        predictions: Some(texts([Some("a"), Some("b"), Some("c")])),
        ..scored(&[Some("a"), Some("b"), Some("c")], &[])
    };
    let report = run(&rows, &rules()).unwrap();
    let loss = value(&report, "log-loss", None).unwrap();
    assert!((loss - 2.0_f64.ln()).abs() < 1e-12, "{loss}");
    assert_eq!(value(&report, "roc-auc-macro", None), Some(1.0));
    rows.class_scores.pop();
    let report = run(&rows, &rules()).unwrap();
    assert_eq!((value(&report, "log-loss", None), value(&report, "accuracy", None)), (None, Some(1.0)));
    let expected = "the model gives no score to the class `c`: what ranks or weighs scores is undefined";
    assert!(messages(&report).contains(&expected), "{:?}", messages(&report));
}

#[test]
fn a_named_class_of_many_is_judged_against_the_others() {
    let rows = scored(&[Some("a"), Some("b"), Some("c"), Some("c")], &[0.1, 0.2, 0.8, 0.9]);
    let report = run(&rows, &Rules { positive: Some("c".to_owned()), ..rules() }).unwrap();
    assert_eq!(value(&report, "roc-auc", None), Some(1.0));
    assert!(run(&rows, &rules()).is_err());
}

#[test]
fn numbers_are_not_taken_for_classes() {
    let rows = Scored { labels: numbers(&(0..200).map(f64::from).collect::<Vec<f64>>()), ..scored(&[], &[0.5; 200]) };
    assert_eq!(
        run(&rows, &rules()).unwrap_err(),
        Failure::invalid_data(
            "the label column has 200 distinct values, more than the 100 that classes may be; use the regression \
             evaluator for numbers"
        )
    );
}

#[test]
fn all_four_figures_are_drawn() {
    let rows = scored(&[Some("a"), Some("b"), Some("a")], &[0.1, 0.9, 0.6]);
    let report = run(&rows, &Rules { figures: true, ..rules() }).unwrap();
    let titles: Vec<&str> = report.figures.iter().map(|figure| figure.title.as_str()).collect();
    assert_eq!(titles, ["ROC curve", "Precision and recall", "Calibration", "Confusion"]);
}
