//! The weights of scikit-learn's ridge regression on public data, and what is refused.
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

use std::path::Path;

use stagewright_ridge_regression::{Ridge, Weights, fit};
use stagewright_stage::{Failure, Predictor, Reader, Series, Table, Trainer, Values, parse_parameters};

/// Standardizes as the reference did.
fn standardized(values: &[f64]) -> Vec<f64> {
    let rows = values.len() as f64;
    let mean = values.iter().sum::<f64>() / rows;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / rows).sqrt();
    values.iter().map(|value| (value - mean) / deviation).collect()
}

#[test]
fn weights_equal_scikit_learns_on_the_wine_data() {
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    if !data.exists() {
        eprintln!("skipped: the reference data is absent");
        return;
    }
    let (mut header, mut rows) = (Vec::new(), Vec::<(Vec<f64>, &str)>::new());
    for colour in ["red", "white"] {
        let text = std::fs::read_to_string(data.join(format!("wine_quality/winequality-{colour}.csv"))).unwrap();
        let mut lines = text.lines();
        header = lines.next().unwrap().split(';').map(|name| name.trim_matches('"').to_owned()).collect();
        rows.extend(lines.map(|line| (line.split(';').map(|cell| cell.parse().unwrap()).collect(), colour)));
    }
    let training: Vec<_> = rows.iter().enumerate().filter(|(row, _)| row % 5 != 0).map(|(_, row)| row).collect();
    let column = |place: usize| training.iter().map(|(cells, _)| cells[place]).collect::<Vec<f64>>();
    let mut columns: Vec<Series> =
        (0..11).map(|place| Series::of_floats(&header[place], standardized(&column(place)))).collect();
    columns.push(Series::of_texts("type", training.iter().map(|(_, colour)| Some(*colour))));
    columns.push(Series::of_floats("quality", column(11)));
    let fitted = fit(&Table::new(columns).unwrap(), "quality", 1.0).unwrap();

    let reference = std::fs::read_to_string(data.join("reference/coef/wine.ridge.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&reference).unwrap();
    let mut found = fitted.weights.clone();
    let intercept = found.remove(fitted.encoding.constant());
    assert!((intercept - reference["intercept"][0].as_f64().unwrap()).abs() < 1e-9);
    for (found, expected) in found.iter().zip(reference["coef"][0].as_array().unwrap()) {
        assert!((found - expected.as_f64().unwrap()).abs() < 1e-9, "{found} {expected}");
    }
}

/// Hours of bicycle rental, without what the count is made of: rows that `trains` holds for, numbers and categories by
/// name.
fn assert_bike(set: &str, trains: impl Fn(usize, &[&str]) -> bool, words: &[&str]) {
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let Ok(text) = std::fs::read_to_string(data.join("bike_sharing/hour.csv")) else {
        eprintln!("skipped: the reference data is absent");
        return;
    };
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let rows: Vec<Vec<&str>> =
        lines.enumerate().filter(|(row, cells)| trains(*row, cells)).map(|(_, row)| row).collect();
    let place = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let numbers = |name: &str| rows.iter().map(|row| row[place(name)].parse().unwrap()).collect::<Vec<f64>>();
    let mut columns: Vec<Series> =
        ["temp", "atemp", "hum", "windspeed"].map(|name| Series::of_floats(name, standardized(&numbers(name)))).into();
    columns.extend(words.iter().map(|name| Series::of_texts(*name, rows.iter().map(|row| Some(row[place(name)])))));
    columns.push(Series::of_floats("cnt", numbers("cnt")));
    let fitted = fit(&Table::new(columns).unwrap(), "cnt", 1.0).unwrap();

    let reference = std::fs::read_to_string(data.join(format!("reference/coef/{set}.ridge.json"))).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&reference).unwrap();
    // Words stand in their own order; the reference's categories in that of numbers.
    let names = fitted.encoding.names();
    let expected = reference["features"].as_array().unwrap().iter().zip(reference["coef"][0].as_array().unwrap());
    let mut compared = 0;
    for (name, expected) in expected {
        let name = name.as_str().unwrap();
        let at = names.iter().position(|own| own == name || own.replace('=', "_") == name);
        let found = fitted.weights[at.unwrap_or_else(|| panic!("{name} is none of {names:?}"))];
        assert!((found - expected.as_f64().unwrap()).abs() < 1e-6, "{name}: {found} {expected}");
        compared += 1;
    }
    assert_eq!(compared + 1, names.len());
    let intercept = fitted.weights[fitted.encoding.constant()];
    assert!((intercept - reference["intercept"][0].as_f64().unwrap()).abs() < 1e-6);
}

#[test]
fn weights_equal_scikit_learns_on_hours_of_bicycle_rental() {
    let words = ["season", "yr", "mnth", "hr", "holiday", "weekday", "workingday", "weathersit"];
    assert_bike("bike", |row, _| row % 5 != 0, &words);
}

#[test]
fn weights_equal_scikit_learns_on_a_year_of_bicycle_rental() {
    let words = ["season", "mnth", "hr", "holiday", "weekday", "workingday", "weathersit"];
    assert_bike("bike_time", |_, cells| cells[3] == "0", &words);
}

#[test]
fn a_trained_model_predicts_its_line_and_spoilt_weights_are_refused() {
    let table = Table::new(vec![
        Series::new("x", Values::Int64(vec![1, 2, 3, 4])),
        Series::of_floats("y", vec![3.0, 5.0, 7.0, 9.0]),
    ]);
    let parameters = parse_parameters(r#"{"label": "y", "l2": 0}"#).unwrap();
    let mut reader = Reader::of(table.unwrap());
    let bytes = Ridge::train(&mut reader, None, parameters).unwrap();
    let model = Weights::load(&bytes, reader.fields()).unwrap();
    let answer = model.predict(&Table::new(vec![Series::new("x", Values::Int64(vec![10]))]).unwrap()).unwrap();
    assert!((answer.numeric("prediction").unwrap()[0] - 21.0).abs() < 1e-9);
    assert!(matches!(Weights::load(&bytes[1..], reader.fields()), Err(Failure::InvalidState(_))));
    let negative = parse_parameters(r#"{"label": "y", "l2": -1}"#).unwrap();
    assert!(matches!(Ridge::train(&mut reader, None, negative), Err(Failure::InvalidParameter(_))));
}
