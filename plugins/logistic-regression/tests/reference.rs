//! The weights of scikit-learn's logistic regression on public data, and what is refused.
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use parquet::file::reader::SerializedFileReader;
use stagewright_logistic_regression::multinomial::Softmax;
use stagewright_logistic_regression::newton::{End, Next, Objective};
use stagewright_logistic_regression::{Logistic, Model, Parameters, fit, fit_several};
use stagewright_stage::{Failure, Predictor, Reader, Series, Table, Trainer, Values, parse_parameters};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");

fn text(path: &str) -> Option<String> {
    let path = Path::new(DATA).join(path);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    let bytes = std::fs::read(&path).unwrap();
    let mut text = String::new();
    match path.extension().is_some_and(|extension| extension == "gz") {
        true => flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
        false => (&bytes[..]).read_to_string(&mut text).unwrap(),
    };
    Some(text)
}

fn csv(text: &str, delimiter: char) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        let (mut cells, mut quoted) = (vec![String::new()], false);
        for letter in line.chars() {
            match letter {
                '"' => quoted = !quoted,
                _ if letter == delimiter && !quoted => cells.push(String::new()),
                _ => cells.last_mut().unwrap().push(letter),
            }
        }
        cells
    };
    text.lines().filter(|line| !line.is_empty()).map(cells).collect()
}

/// Standardizes as the reference did.
fn standardized(values: &[f64]) -> Vec<f64> {
    let rows = values.len() as f64;
    let mean = values.iter().sum::<f64>() / rows;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / rows).sqrt();
    let divisor = if values.iter().all(|value| *value == values[0]) { 1.0 } else { deviation };
    values.iter().map(|value| (value - mean) / divisor).collect()
}

/// Fits rows whose label is the last cell, and compares objective and weights with the reference's.
fn assert_reference(set: &str, rows: &[Vec<String>], numeric: &[usize], words: &[usize]) {
    let column = |place: usize| rows.iter().map(move |row| row[place].as_str());
    let numbers = |place| column(place).map(|cell| cell.parse().unwrap()).collect::<Vec<f64>>();
    let mut columns: Vec<Series> =
        numeric.iter().map(|place| Series::of_floats(place.to_string(), standardized(&numbers(*place)))).collect();
    columns.extend(words.iter().map(|place| Series::of_texts(place.to_string(), column(*place).map(Some))));
    columns.push(Series::new("label", Values::Int64(column(rows[0].len() - 1).map(|c| c.parse().unwrap()).collect())));
    let parameters = Parameters { label: "label".into(), ..Parameters::default() };
    let (found, how) = fit(&Table::new(columns).unwrap(), &parameters, |_, _| Next::Continue).unwrap();
    let json = |path: &str| serde_json::from_str::<serde_json::Value>(&text(path).unwrap()).unwrap();
    let objective = json("reference/models.json")["sets"][set]["models"]["logistic"]["train_objective"].as_f64();
    assert!((how.objective / objective.unwrap() - 1.0).abs() < 1e-12, "{} {objective:?}", how.objective);
    assert!(how.end == End::Minimum && how.slope <= 1e-8, "{how:?}");
    let reference = json(&format!("reference/coef/{set}.logistic.json"));
    let mut weights = found.weights.clone();
    let intercept = weights.remove(found.encoding.constant());
    assert!((intercept - reference["intercept"][0].as_f64().unwrap()).abs() < 1e-6);
    let expected = reference["coef"][0].as_array().unwrap();
    assert_eq!(weights.len(), expected.len());
    for (found, expected) in weights.iter().zip(expected) {
        assert!((found - expected.as_f64().unwrap()).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn weights_equal_scikit_learns_on_german_credit() {
    let Some(text) = text("german_credit/german.data") else { return };
    let mut rows = csv(&text, ' ');
    rows.iter_mut().for_each(|row| row[20] = u8::from(row[20] == "1").to_string());
    let training: Vec<_> = rows.into_iter().enumerate().filter(|(row, _)| row % 5 != 0).map(|(_, row)| row).collect();
    let words = [0, 2, 3, 5, 6, 8, 9, 11, 13, 14, 16, 18, 19];
    assert_reference("german", &training, &[1, 4, 7, 10, 12, 15, 17], &words);
}

#[test]
fn weights_equal_scikit_learns_on_compas() {
    let Some(text) = text("compas/compas-scores-two-years.csv") else { return };
    let rows = csv(&text, ',');
    let (header, rows) = rows.split_first().unwrap();
    let place = |name: &str| header.iter().position(|column| column == name).unwrap();
    let kept = rows.iter().enumerate().filter(|(number, row)| {
        let days: f64 = row[place("days_b_screening_arrest")].parse().unwrap_or(f64::NAN);
        number % 5 != 0
            && (-30.0..=30.0).contains(&days)
            && row[place("is_recid")] != "-1"
            && row[place("c_charge_degree")] != "O"
            && row[place("score_text")] != "N/A"
    });
    let training: Vec<_> = kept.map(|(_, row)| row.clone()).collect();
    assert_eq!(training.len(), 4_939);
    let numeric = ["age", "priors_count", "juv_fel_count", "juv_misd_count", "juv_other_count"].map(place);
    assert_reference("compas", &training, &numeric, &["c_charge_degree", "sex", "race", "age_cat"].map(place));
}

#[test]
fn weights_equal_scikit_learns_on_adult() {
    let Some(text) = text("adult/adult.data.gz") else { return };
    let rows = csv(&text, ',').into_iter().filter(|row| row.len() == 15);
    let clean = |row: Vec<String>| {
        let mut row: Vec<String> = row.iter().map(|cell| cell.trim().to_owned()).collect();
        row[14] = u8::from(row[14].starts_with(">50K")).to_string();
        row
    };
    let training: Vec<_> = rows.map(clean).collect();
    assert_reference("adult", &training, &[0, 2, 4, 10, 11, 12], &[1, 3, 5, 6, 7, 8, 9, 13]);
}

#[test]
fn weights_equal_scikit_learns_on_electricity_whose_columns_are_partly_constant() {
    let Some(text) = text("electricity/elec.csv.gz") else { return };
    assert_reference("electricity", &csv(&text, ',')[1..=15_104], &[0, 1, 2, 3, 4, 5], &[]);
}

#[test]
fn weights_equal_scikit_learns_on_a_census_with_hundreds_of_occupations() {
    let Some(text) = text("acs_income/ACSIncome.validation.csv.gz") else { return };
    let rows = csv(&text, ',');
    let names = ["AGEP", "SCHL", "WKHP", "COW", "MAR", "OCCP", "POBP", "RELP", "SEX", "RAC1P", "PINCP"];
    let order = names.map(|name| rows[0].iter().position(|column| column == name).unwrap());
    let training: Vec<_> = rows[1..].iter().map(|row| order.map(|place| row[place].clone()).to_vec()).collect();
    assert_reference("acs_income", &training, &[0, 1, 2], &[3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn weights_equal_scikit_learns_on_network_connections() {
    let Some(text) = text("kddcup99/kddcup.data_10_percent.gz") else { return };
    let rows = csv(&text, ',').into_iter().enumerate().filter(|(row, _)| row % 5 != 0);
    let training: Vec<_> = rows
        .map(|(_, mut row)| {
            row[41] = u8::from(row[41] != "normal.").to_string();
            row
        })
        .collect();
    let numeric: Vec<usize> = [0].into_iter().chain(4..41).collect();
    assert_reference("kdd99", &training, &numeric, &[1, 2, 3]);
}

#[test]
fn weights_equal_scikit_learns_on_who_is_employed() {
    let path = Path::new(DATA).join("census_ma_employment/employment_MA_reference.pq");
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return;
    };
    let words = "SCHL MAR RELP DIS ESP CIT MIG MIL ANC NATIVITY DEAR DEYE DREM SEX RAC1P".split(' ');
    let names: Vec<&str> = ["AGEP"].into_iter().chain(words).chain(["employed"]).collect();
    let cells = |row: parquet::record::Row| {
        let columns: BTreeMap<&str, String> =
            row.get_column_iter().map(|(name, cell)| (name.as_str(), text_of(cell))).collect();
        names.iter().map(|name| columns[name].clone()).collect()
    };
    let rows = SerializedFileReader::new(file).unwrap().into_iter();
    let training: Vec<Vec<String>> = rows.map(|row| cells(row.unwrap())).collect();
    assert_eq!(training.len(), 68_785);
    assert_reference("census_ma", &training, &[0], &(1..16).collect::<Vec<_>>());
}

fn text_of(cell: &parquet::record::Field) -> String {
    match cell {
        parquet::record::Field::Str(word) => word.clone(),
        number => number.to_string(),
    }
}

#[test]
fn weights_equal_scikit_learns_on_ten_digits() {
    let Some(text) = text("digits/digits.csv.gz") else { return };
    let rows: Vec<Vec<f64>> = csv(&text, ',')
        .iter()
        .enumerate()
        .filter(|(row, _)| row % 5 != 0)
        .map(|(_, row)| row.iter().map(|cell| cell.parse().unwrap()).collect())
        .collect();
    let pixel =
        |place: usize| Series::of_floats(format!("p{place}"), rows.iter().map(|row| row[place] / 16.0).collect());
    let mut columns: Vec<Series> = (0..64).map(pixel).collect();
    columns.push(Series::new("label", Values::Int64(rows.iter().map(|row| row[64] as i64).collect())));
    let table = Table::new(columns).unwrap();
    let parameters = Parameters { label: "label".into(), ..Parameters::default() };
    let (found, how) = fit_several(&table, &parameters, |_, _| Next::Continue).unwrap();
    assert!(how.end == End::Minimum && how.slope <= 1e-8, "{how:?}");
    let json = |path: &str| serde_json::from_str::<serde_json::Value>(&self::text(path).unwrap()).unwrap();
    let objective = json("reference/models.json")["sets"]["digits"]["models"]["logistic"]["train_objective"].as_f64();
    assert!(how.objective <= objective.unwrap() && how.objective > objective.unwrap() * (1.0 - 1e-9));
    let reference = json("reference/coef/digits.logistic.json");
    let (constant, mut theirs) = (found.encoding.constant(), Vec::new());
    for class in 0..10 {
        let number = |value: &serde_json::Value| value.as_f64().unwrap();
        let mut expected: Vec<f64> = reference["coef"][class].as_array().unwrap().iter().map(number).collect();
        expected.insert(constant, number(&reference["intercept"][class]));
        for (found, expected) in found.weights[class].iter().zip(&expected) {
            assert!((found - expected).abs() < 3e-5, "{class}: {found} {expected}");
        }
        theirs.extend(expected);
    }
    // Why not closer: the reference stopped on the slope, four digits before these weights did.
    let design = found.encoding.apply(&table).unwrap();
    let digits: Vec<usize> = rows.iter().map(|row| row[64] as usize).collect();
    let scales = vec![1.0; design.width()];
    let problem = Softmax { design: &design, classes: &digits, count: 10, constant, scales: &scales, l2: 1.0 };
    let theirs = problem.point(theirs).unwrap();
    assert!(theirs.slope > 1e4 * how.slope && theirs.objective > how.objective, "{} {}", theirs.slope, how.slope);
}

#[test]
fn a_model_of_three_classes_predicts_and_comes_back_as_the_same_bits() {
    let kinds = ["low", "middle", "high"];
    let columns = || {
        vec![
            Series::new("x", Values::Int64((0..60).collect())),
            Series::of_texts("y", (0..60).map(|row| Some(kinds[(row / 20) as usize]))),
        ]
    };
    let parameters = parse_parameters(r#"{"label": "y", "l2": 0.001}"#).unwrap();
    let mut reader = Reader::of(Table::new(columns()).unwrap());
    let bytes = Logistic::train(&mut reader, None, parameters).unwrap();
    let model = Model::load(&bytes, reader.fields()).unwrap();
    let answer = model.predict(&Table::new(vec![Series::new("x", Values::Int64(vec![0, 30, 59]))]).unwrap()).unwrap();
    assert_eq!(answer.fields(), model.schema());
    let words = answer.column("prediction").unwrap();
    assert_eq!([0, 1, 2].map(|row| words.word(row)), kinds.map(Some));
    let sums =
        (0..3).map(|row| kinds.iter().map(|kind| answer.numeric(&format!("score-{kind}")).unwrap()[row]).sum::<f64>());
    assert!(sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-12));
    let positive = parse_parameters(r#"{"label": "y", "positive": "low"}"#).unwrap();
    assert!(matches!(Logistic::train(&mut reader, None, positive), Err(Failure::InvalidParameter(_))));
}

#[test]
fn a_trained_model_predicts_and_its_weights_come_back_as_the_same_bits() {
    let columns = || {
        vec![
            Series::new("x", Values::Int64((0..40).collect())),
            Series::of_texts("y", (0..40).map(|row| Some(if row > 20 && row != 30 { "yes" } else { "no" }))),
        ]
    };
    let parameters = parse_parameters(r#"{"label": "y"}"#).unwrap();
    let mut reader = Reader::of(Table::new(columns()).unwrap());
    let bytes = Logistic::train(&mut reader, None, parameters).unwrap();
    let model = Model::load(&bytes, reader.fields()).unwrap();
    let parameters = Parameters { label: "y".into(), ..Parameters::default() };
    let fitted = fit(&Table::new(columns()).unwrap(), &parameters, |_, _| Next::Continue).unwrap().0;
    assert_eq!(model, Model::Binary(fitted));
    let answer = model.predict(&Table::new(vec![Series::new("x", Values::Int64(vec![0, 39]))]).unwrap()).unwrap();
    let words = answer.column("prediction").unwrap();
    assert_eq!((words.word(0), words.word(1)), (Some("no"), Some("yes")));
    assert!(matches!(Model::load(&bytes[1..], reader.fields()), Err(Failure::InvalidState(_))));
}

#[test]
fn classes_told_apart_without_a_mistake_need_a_penalty() {
    let table = Table::new(vec![
        Series::of_floats("x", vec![1.0, 2.0, 4.0, 7.0]),
        Series::new("y", Values::Boolean(vec![false, false, true, true])),
    ])
    .unwrap();
    let with = |l2| Parameters { label: "y".into(), l2, ..Parameters::default() };
    assert!(fit(&table, &with(1.0), |_, _| Next::Continue).is_ok());
    let refused = fit(&table, &with(0.0), |_, _| Next::Continue);
    assert!(matches!(refused, Err(Failure::InvalidData(_))));
    assert!(matches!(fit(&table, &with(-1.0), |_, _| Next::Continue), Err(Failure::InvalidParameter(_))));
}
