//! From a table and a pipeline's parameters to a report.

use serde_json::json;
use stagewright_group_fairness::GroupFairness;
use stagewright_group_fairness::parameters::Parameters;
use stagewright_stage::{Failure, FairnessChecker, Reader, Report, Series, Table, Values};

/// 200 rows; of every ten, all women score 0.3 and all men 0.7, and the decisions say the opposite.
fn table() -> Table {
    let woman = |row: i64| row % 10 < 5;
    let texts =
        |name: &str, value: fn(i64) -> &'static str| Series::of_texts(name, (0..200).map(|row| Some(value(row))));
    let integers = |name: &str, value: fn(i64) -> i64| Series::new(name, Values::Int64((0..200).map(value).collect()));
    Table::new(vec![
        texts("sex", |row| if row % 10 < 5 { "f" } else { "m" }),
        texts("race", |row| if row < 100 { "x" } else { "y" }),
        integers("age", |row| 18 + row % 60),
        integers("paid", |row| row % 2),
        Series::of_floats("score", (0..200).map(|row| if woman(row) { 0.3 } else { 0.7 }).collect()),
        integers("prediction", |row| i64::from(row % 10 < 5)),
    ])
    .expect("a table")
}

fn run(mut parameters: serde_json::Value) -> Result<Report, Failure> {
    parameters["label"] = json!("paid");
    let parameters: Parameters = serde_json::from_value(parameters).expect("the parameters fit");
    GroupFairness::check(&mut Reader::of(table()), None, parameters)
}

fn value(report: &Report, name: &str, labels: &[&str]) -> Option<f64> {
    let found = report.metrics.iter().find(|metric| {
        metric.name == name && metric.labels.iter().map(|label| label.value.as_str()).eq(labels.iter().copied())
    });
    found.unwrap_or_else(|| panic!("no {name} of {labels:?}")).value
}

fn refusal(parameters: serde_json::Value) -> String {
    match run(parameters).expect_err("a refusal") {
        Failure::InvalidParameter(message) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn decisions_are_predictions_unless_there_is_a_threshold() {
    let report = run(json!({"protected": ["sex"]})).unwrap();
    assert_eq!(value(&report, "selection-rate", &["sex", "f"]), Some(1.0));
    let report = run(json!({"protected": ["sex"], "threshold": 0.5})).unwrap();
    assert_eq!(value(&report, "selection-rate", &["sex", "f"]), Some(0.0));
}

#[test]
fn every_pair_of_columns_is_looked_at_together_unless_told_otherwise() {
    let columns = |parameters| -> Vec<String> {
        let report = run(parameters).unwrap();
        let compared = report.metrics.iter().filter(|metric| metric.name == "groups-compared");
        compared.map(|metric| metric.labels[0].value.clone()).collect()
    };
    assert_eq!(columns(json!({"protected": ["sex", "race"]})), ["sex", "race", "sex*race"]);
    assert_eq!(columns(json!({"protected": ["sex", "race"], "intersections": false})), ["sex", "race"]);
    let listed = json!({"protected": ["sex", "race"], "intersections": [["race", "sex"]]});
    assert_eq!(columns(listed), ["sex", "race", "race*sex"]);
}

#[test]
fn numbers_need_bins_and_bins_make_groups() {
    assert_eq!(
        refusal(json!({"protected": ["age"]})),
        "the protected column `age` has 60 different numbers: say in `bins` where its groups end, such as age = [25, 45, \
         65]"
    );
    let report = run(json!({"protected": ["age"], "bins": {"age": [25, 45]}, "min-support": 1})).unwrap();
    assert_eq!(value(&report, "groups-compared", &["age"]), Some(3.0));
    assert!(value(&report, "selection-rate", &["age", "25..45"]).is_some());
    assert!(refusal(json!({"protected": ["age"], "bins": {"age": [45, 25]}})).contains("each larger"));
}

#[test]
fn what_names_no_protected_column_is_refused() {
    let message = refusal(json!({"protected": ["sex"], "bins": {"age": [25]}}));
    assert_eq!(message, "`bins` names `age`, which is not in `protected`");
    let message = refusal(json!({"protected": ["sex"], "privileged": {"race": "x"}}));
    assert_eq!(message, "`privileged` names `race`, which is not in `protected`");
    let message = refusal(json!({"protected": ["sex"], "intersections": [["sex", "race"]]}));
    assert_eq!(message, "`intersections` names `race`, which is not in `protected`: `sex`");
    assert_eq!(refusal(json!({"protected": ["sex", "sex"]})), "`protected` names `sex` twice");
    assert_eq!(refusal(json!({"protected": []})), "`protected` must name at least one column");
}

#[test]
fn a_privileged_group_may_be_one_of_an_intersection() {
    let parameters = json!({"protected": ["sex", "race"], "privileged": {"sex*race": "m*x"}, "min-support": 1});
    let report = run(parameters).unwrap();
    assert!(value(&report, "statistical-parity-difference", &["sex*race"]).is_some());
}

#[test]
fn a_positive_class_that_the_label_lacks_is_refused() {
    assert_eq!(
        refusal(json!({"protected": ["sex"], "positive": 2})),
        "`positive` is `2`, which is no value of the label `paid`; its values are `0`, `1`"
    );
}

#[test]
fn a_protected_column_that_the_table_lacks_is_refused_with_the_nearest() {
    let failure = run(json!({"protected": ["rase"]})).unwrap_err();
    let Failure::InvalidData(message) = failure else { panic!("{failure:?}") };
    assert!(message.contains("did you mean `race`?"), "{message}");
}

#[test]
fn every_figure_of_a_report_is_declared_with_its_labels() {
    let report = run(json!({
        "protected": ["sex", "race"], "privileged": { "sex": "m" }, "min-support": 10, "min-positives": 1, "permutations": 20,
    }))
    .expect("a report");
    let schema = stagewright_stage::schemars::schema_for!(Parameters).to_value();
    let families = schema["x-metrics"].as_array().expect("the schema says which figures there are");
    for metric in &report.metrics {
        let labels: std::collections::BTreeSet<&str> = metric.labels.iter().map(|label| label.name.as_str()).collect();
        let declared = families.iter().any(|family| {
            let named = family["names"].as_array().is_some_and(|names| names.iter().any(|name| *name == metric.name));
            let own = family["labels"].as_object().into_iter().flatten().map(|(label, _)| label.as_str());
            named && own.collect::<std::collections::BTreeSet<_>>() == labels
        });
        assert!(declared, "{} with {labels:?}", metric.name);
    }
}
