//! The measures against scikit-learn's.
//!
//! Compared to 1e-9: everything in the golden file, and the stored predictions of three data sets. Those are rounded to
//! nine places and the references were computed before that, which moves a single error by no more than 5e-10.

mod common;

use common::{Predictions, assert_close, json};
use stagewright_regression::measures::{Measures, Outcome, Sample};

fn measure(actual: &[f64], predicted: &[f64]) -> Measures {
    let rows = actual.iter().zip(predicted).map(|(&actual, &predicted)| Outcome { actual, predicted });
    Sample::new(rows.collect(), 0.9).measure()
}

fn value(measures: &Measures, name: &str) -> f64 {
    let mut named = measures.named().into_iter().chain([("max-error", measures.max_error)]);
    named.find(|(known, _)| *known == name).expect("the measure").1
}

#[test]
fn measures_equal_the_golden_ones() {
    let Some(golden) = json("golden/metrics_golden.json") else { return };
    let numbers = |name: &str| -> Vec<f64> {
        golden["inputs"][name].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    // As the golden file states: y = 10p + label, prediction = 10p + 0.3.
    let scores = numbers("p");
    let actual: Vec<f64> = scores.iter().zip(numbers("y")).map(|(score, label)| 10.0 * score + label).collect();
    let predicted: Vec<f64> = scores.iter().map(|score| 10.0 * score + 0.3).collect();
    let measures = measure(&actual, &predicted);
    for (theirs, ours) in [
        ("mae", "mean-absolute-error"),
        ("mse", "mean-squared-error"),
        ("rmse", "root-mean-squared-error"),
        ("r2", "r2"),
        ("medae", "median-absolute-error"),
        ("max_error", "max-error"),
        ("mape", "mean-absolute-percentage-error"),
        ("pinball_0_9", "pinball-loss"),
    ] {
        assert_close(ours, value(&measures, ours), golden["regression"][theirs].as_f64().unwrap(), 1e-9);
    }
}

#[test]
fn measures_of_stored_predictions_equal_the_references() {
    let Some(reference) = json("data/reference/models.json") else { return };
    for set in ["bike", "bike_time", "wine"] {
        let Some(predictions) = Predictions::of(set) else { continue };
        let actual = predictions.numbers("y");
        for (model, expected) in reference["sets"][set]["models"].as_object().unwrap() {
            let measures = measure(&actual, &predictions.numbers(model));
            for (theirs, ours) in [
                ("mae", "mean-absolute-error"),
                ("rmse", "root-mean-squared-error"),
                ("r2", "r2"),
                ("median_ae", "median-absolute-error"),
                ("max_error", "max-error"),
            ] {
                let what = format!("{set} {model} {ours}");
                assert_close(&what, value(&measures, ours), expected[theirs].as_f64().unwrap(), 1e-9);
            }
        }
    }
}
