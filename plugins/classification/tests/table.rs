//! From a table and a pipeline's parameters to a report.

use serde_json::json;
use stagewright_classification::Classification;
use stagewright_classification::parameters::Parameters;
use stagewright_stage::{Evaluator, Failure, Reader, Report, Series, Table};

fn table() -> Table {
    let texts = |name: &str, values: &[&str]| Series::of_texts(name, values.iter().map(Some));
    Table::new(vec![
        texts("sex", &["f", "m", "f", "m"]),
        texts("income", &["<=50K", ">50K", ">50K", "<=50K"]),
        Series::of_floats("score", vec![0.2, 0.9, 0.4, 0.1]),
        texts("prediction", &["<=50K", ">50K", "<=50K", "<=50K"]),
    ])
    .expect("a table")
}

fn run(parameters: serde_json::Value) -> Result<Report, Failure> {
    let parameters: Parameters = serde_json::from_value(parameters).expect("the parameters fit");
    Classification::evaluate(&mut Reader::of(table()), None, parameters)
}

fn value(report: &Report, name: &str) -> Option<f64> {
    report.metrics.iter().find(|metric| metric.name == name).expect("the metric").value
}

#[test]
fn the_label_is_all_that_must_be_named() {
    let report = run(json!({"label": "income"})).unwrap();
    assert_eq!(value(&report, "accuracy"), Some(0.75));
    assert_eq!(value(&report, "true-positives"), Some(1.0));
    assert_eq!(value(&report, "roc-auc"), Some(1.0));
    assert_eq!(report.figures.len(), 4);
}

#[test]
fn the_other_class_can_be_the_positive_one() {
    let report = run(json!({"label": "income", "positive": "<=50K", "figures": false, "bootstrap": 0})).unwrap();
    assert_eq!(value(&report, "roc-auc"), Some(0.0));
    assert_eq!(value(&report, "base-rate"), Some(0.5));
}

#[test]
fn a_label_that_the_table_lacks_is_refused_with_the_nearest() {
    let failure = run(json!({"label": "incom"})).unwrap_err();
    let Failure::InvalidData(message) = failure else { panic!("{failure:?}") };
    assert!(message.contains("`incom`") && message.contains("did you mean `income`?"), "{message}");
}

#[test]
fn a_score_that_is_text_and_no_score_at_all_are_refused() {
    assert!(matches!(run(json!({"label": "income", "score": "sex"})), Err(Failure::InvalidData(_))));
    let failure = run(json!({"label": "income", "score": "scores", "prediction": "predicted"})).unwrap_err();
    let Failure::InvalidData(message) = failure else { panic!("{failure:?}") };
    assert!(message.contains("did you mean `score`?"), "{message}");
}

#[test]
fn a_label_is_not_judged_against_itself() {
    assert_eq!(
        run(json!({"label": "income", "prediction": "income"})).unwrap_err(),
        Failure::InvalidParameter(
            "`label` and `prediction` are both `income`: a label cannot be compared with itself".to_owned()
        )
    );
}

#[test]
fn parameters_out_of_range_are_refused() {
    assert!(matches!(run(json!({"label": "income", "confidence": 1.0})), Err(Failure::InvalidParameter(_))));
}

#[test]
fn unknown_parameters_are_refused() {
    assert!(serde_json::from_value::<Parameters>(json!({"label": "income", "treshold": 0.4})).is_err());
}

#[test]
fn every_figure_of_a_report_is_declared_with_its_labels() {
    let report = run(json!({"label": "income", "slices": ["sex"], "bootstrap": 0})).unwrap();
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
