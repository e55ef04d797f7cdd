//! The trainer and the predictor as the host sees them.

use stagewright_gradient_boosting::train::{Goal, Parameters};
use stagewright_gradient_boosting::{BoostedTrees, Trees};
use stagewright_stage::{Failure, Predictor, Reader, Series, Table, Trainer, Values};

const ROWS: usize = 400;

/// A label that follows from a number and a word, with gaps in the number.
fn people() -> Vec<Series> {
    let number = |row: usize| if row.is_multiple_of(7) { f64::NAN } else { (row * 37 % 100) as f64 };
    let word = |row: usize| ["Größe", "新", "plain"][row % 3];
    let rich = |row: usize| number(row) > 50.0 || word(row) == "新";
    vec![
        Series::of_floats("number", (0..ROWS).map(number).collect()),
        Series::of_texts("word", (0..ROWS).map(|row| Some(word(row)))),
        Series::new("flag", Values::Boolean((0..ROWS).map(|row| row % 5 == 0).collect())),
        Series::of_texts("label", (0..ROWS).map(|row| Some(if rich(row) { "yes" } else { "no" }))),
    ]
}

fn labelled() -> Parameters {
    Parameters { label: "label".into(), rounds: 20, ..Parameters::default() }
}

fn train(columns: Vec<Series>, parameters: Parameters) -> Result<Vec<u8>, Failure> {
    BoostedTrees::train(&mut Reader::of(Table::new(columns)?), None, parameters)
}

fn message(result: Result<Vec<u8>, Failure>) -> String {
    format!("{:?}", result.expect_err("a refusal"))
}

#[test]
fn two_classes_are_learned_from_numbers_words_and_gaps() {
    let weights = train(people(), labelled()).unwrap();
    let table = Table::new(people()).unwrap();
    let model = Trees::load(&weights, &table.fields()).unwrap();
    let predictions = model.predict(&table).unwrap();
    assert_eq!(model.schema().iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["score", "prediction"]);
    let labels = table.column("label").unwrap();
    let found = predictions.column("prediction").unwrap();
    let right = (0..ROWS).filter(|&row| labels.word(row) == found.word(row)).count();
    assert!(right as f64 > 0.95 * ROWS as f64, "{right} of {ROWS}");
}

#[test]
fn the_same_rows_and_seed_give_the_same_bytes() {
    let some = Parameters { subsample: 0.7, feature_fraction: 0.7, ..labelled() };
    for parameters in [labelled(), some] {
        assert_eq!(train(people(), parameters.clone()).unwrap(), train(people(), parameters).unwrap());
    }
}

#[test]
fn a_number_is_learned_and_unknown_words_and_missing_values_are_predicted() {
    let mut columns = people();
    columns[3] = Series::of_floats("label", (0..ROWS).map(|row| (row * 37 % 100) as f64 / 3.0).collect());
    let weights = train(columns, labelled()).unwrap();
    let rows = Table::new(vec![
        Series::of_texts("word", [Some("never seen"), None]),
        Series::of_floats("number", vec![90.0, f64::NAN]),
        Series::new("flag", Values::Boolean(vec![true, false])),
    ])
    .unwrap();
    let found = Trees::load(&weights, &rows.fields()).unwrap().predict(&rows).unwrap();
    let found = found.numeric("prediction").unwrap();
    assert!((found[0] - 30.0).abs() < 5.0 && found[1].is_finite(), "{found:?}");
    assert_eq!(Trees::load(&weights, &rows.fields()).unwrap().predict(&rows.take(&[])).unwrap().rows(), 0);
}

#[test]
fn early_stopping_keeps_the_best_trees() {
    // What holds in training is reversed in validation: every tree makes it worse.
    let table = |sign: f64| {
        let values = || (0..ROWS).map(|row| (row * 37 % 100) as f64);
        let label = values().map(|value| value * sign).collect();
        Table::new(vec![Series::of_floats("value", values().collect()), Series::of_floats("label", label)]).unwrap()
    };
    let trained = |early_stopping| {
        let (mut training, mut validation) = (Reader::of(table(2.0)), Reader::of(table(-1.0)));
        BoostedTrees::train(&mut training, Some(&mut validation), Parameters { early_stopping, ..labelled() }).unwrap()
    };
    assert!(trained(3).len() < trained(0).len());
}

#[test]
fn labels_that_cannot_be_learned_are_refused() {
    let with = |label: &str| Parameters { label: label.into(), ..labelled() };
    assert!(message(train(people(), with("lable"))).contains("did you mean `label`?"));
    let mut constant = people();
    constant[3] = Series::of_texts("label", (0..ROWS).map(|_| Some("yes")));
    assert!(message(train(constant, labelled())).contains("every row has the same label"));
    let features = Parameters { features: vec!["number".into(), "label".into()], ..labelled() };
    assert!(message(train(people(), features)).contains("cannot be among the features"));
    let mut leak = people();
    leak[1] = Series { name: "copy".into(), ..leak[3].clone() };
    assert!(message(train(leak, labelled())).contains("`copy` equals the label"));
    let many = Parameters { objective: Goal::Binary, label: "number".into(), exclude: vec![], ..labelled() };
    assert!(message(train(people(), many)).contains("rows have no label"));
    assert!(message(train(people(), Parameters { bins: 256, ..labelled() })).contains("`bins` is 256"));
}

#[test]
fn damaged_weights_are_refused_and_never_panic() {
    let weights = train(people(), labelled()).unwrap();
    let table = Table::new(people()).unwrap();
    for length in (0..weights.len()).step_by(7) {
        assert!(matches!(Trees::load(&weights[..length], &table.fields()), Err(Failure::InvalidState(_))), "{length}");
    }
    for place in (0..weights.len()).step_by(3) {
        let mut damaged = weights.clone();
        damaged[place] ^= 0x81;
        if let Ok(model) = Trees::load(&damaged, &table.fields()) {
            let _ = model.predict(&table);
        }
    }
}
