//! From a table and a pipeline's parameters to a report.

use serde_json::json;
use stagewright_regression::Regression;
use stagewright_regression::parameters::Parameters;
use stagewright_stage::{Evaluator, Failure, Reader, Report, Series, Table, Values};

fn run(parameters: serde_json::Value) -> Result<Report, Failure> {
    let mut count = Series::new("count", Values::Int64(vec![1, 2, 0]));
    count.valid = Some(vec![true, true, false]);
    let table = Table::new(vec![
        Series::of_texts("city", [Some("Ulm"), None, None]),
        count,
        Series::of_floats("prediction", vec![1.5, 2.5, 3.0]),
    ])
    .expect("a table");
    let parameters: Parameters = serde_json::from_value(parameters).expect("the parameters fit");
    Regression::evaluate(&mut Reader::of(table), None, parameters)
}

#[test]
fn the_label_is_all_that_must_be_named() {
    let report = run(json!({"label": "count"})).unwrap();
    let error = report.metrics.iter().find(|metric| metric.name == "mean-absolute-error").unwrap();
    assert_eq!((error.value, error.support), (Some(0.5), Some(2)));
}

#[test]
fn a_label_that_the_table_lacks_is_refused_with_the_nearest() {
    let failure = run(json!({"label": "counts"})).unwrap_err();
    let Failure::InvalidData(message) = failure else { panic!("{failure:?}") };
    assert!(message.contains("`counts`") && message.contains("did you mean `count`?"), "{message}");
}

#[test]
fn a_label_that_is_text_is_refused() {
    assert!(matches!(run(json!({"label": "city"})), Err(Failure::InvalidData(_))));
}

#[test]
fn parameters_out_of_range_are_refused() {
    assert!(matches!(run(json!({"label": "count", "quantile": 0.0})), Err(Failure::InvalidParameter(_))));
    assert!(matches!(run(json!({"label": "count", "prediction": "count"})), Err(Failure::InvalidParameter(_))));
}
