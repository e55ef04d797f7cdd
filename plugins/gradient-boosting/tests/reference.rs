//! Accuracy on public data, against LightGBM with the same settings.

mod common;

use common::{Set, auc, csv, parquet, text};
use stagewright_gradient_boosting::boost::{Objective, Settings};

/// What LightGBM reached, from the reference's `models.json`.
fn reference(set: &str, metric: &str) -> Option<f64> {
    let models: serde_json::Value = serde_json::from_str(&text("data/reference/models.json")?).expect("JSON");
    models["sets"][set]["models"]["lightgbm"][metric].as_f64()
}

#[expect(clippy::print_stdout, reason = "figures for whoever compares")]
fn assert_auc(name: &str, set: &Set) {
    let Some(expected) = reference(name, "auc") else { return };
    let (labels, scores, _) = set.judge(Objective::Binary, &Settings::default());
    let found = auc(&labels, &scores);
    println!("{name}: AUC {found:.6}, LightGBM {expected:.6}");
    assert!((found - expected).abs() <= 0.005, "{name}: AUC {found}, LightGBM {expected}");
}

/// Sorts a header's columns into features; `label` goes last in every row.
fn with_label_last(row: &[String], label: usize) -> Vec<String> {
    let mut row = row.to_vec();
    let value = row[label].clone();
    row.push(value);
    row
}

fn adult(path: &str) -> Option<Vec<Vec<String>>> {
    let rows = csv(&text(path)?, ',').into_iter().filter(|row| row.len() == 15);
    let clean = |row: Vec<String>| {
        let mut row: Vec<String> = row.iter().map(|cell| cell.trim().to_owned()).collect();
        row[14] = u8::from(row[14].starts_with(">50K")).to_string();
        row
    };
    Some(rows.map(clean).collect())
}

#[test]
fn adult_is_learned_as_well_as_by_lightgbm() {
    let (Some(training), Some(test)) = (adult("data/adult/adult.data.gz"), adult("data/adult/adult.test.gz")) else {
        return;
    };
    assert_eq!((training.len(), test.len()), (32_561, 16_281));
    let numeric = [0, 2, 4, 10, 11, 12];
    let categorical = [1, 3, 5, 6, 7, 8, 9, 13];
    let features = numeric.map(|column| (column, true)).into_iter();
    let features = features.chain(categorical.map(|column| (column, false))).collect();
    assert_auc("adult", &Set { training, test, features });
}

#[test]
fn german_credit_is_learned_as_well_as_by_lightgbm() {
    let Some(text) = text("data/german_credit/german.data") else { return };
    let mut rows = csv(&text, ' ');
    for row in &mut rows {
        row[20] = u8::from(row[20] == "1").to_string();
    }
    let numeric = [1, 4, 7, 10, 12, 15, 17];
    let categorical = [0, 2, 3, 5, 6, 8, 9, 11, 13, 14, 16, 18, 19];
    let features = numeric.map(|column| (column, true)).into_iter();
    let features = features.chain(categorical.map(|column| (column, false))).collect();
    assert_auc("german", &Set::by_five(rows.into_iter().enumerate(), features));
}

#[test]
fn compas_is_learned_as_well_as_by_lightgbm() {
    let Some(text) = text("data/compas/compas-scores-two-years.csv") else { return };
    let rows = csv(&text, ',');
    let (header, rows) = rows.split_first().expect("a header");
    let place = |name: &str| header.iter().position(|column| column == name).expect(name);
    let label = place("two_year_recid");
    let kept = rows.iter().enumerate().filter(|(_, row)| {
        let days: f64 = row[place("days_b_screening_arrest")].parse().unwrap_or(f64::NAN);
        (-30.0..=30.0).contains(&days)
            && row[place("is_recid")] != "-1"
            && row[place("c_charge_degree")] != "O"
            && row[place("score_text")] != "N/A"
    });
    let numeric = ["age", "priors_count", "juv_fel_count", "juv_misd_count", "juv_other_count"];
    let features = numeric.iter().map(|name| (place(name), true));
    let features =
        features.chain(["c_charge_degree", "sex", "race", "age_cat"].iter().map(|name| (place(name), false)));
    let set = Set::by_five(kept.map(|(place, row)| (place, with_label_last(row, label))), features.collect());
    assert_eq!((set.training.len(), set.test.len()), (4_939, 1_233));
    assert_auc("compas", &set);
}

#[test]
fn acs_income_is_learned_as_well_as_by_lightgbm() {
    let names = ["AGEP", "SCHL", "WKHP", "COW", "MAR", "OCCP", "POBP", "RELP", "SEX", "RAC1P", "PINCP"];
    let Some(text) = text("data/acs_income/ACSIncome.validation.csv.gz") else { return };
    let Some(test) = parquet("data/acs_income/ACSIncome.test.parquet", &names) else { return };
    let rows = csv(&text, ',');
    let (header, rows) = rows.split_first().expect("a header");
    let order = names.map(|name| header.iter().position(|column| column == name).expect(name));
    let training: Vec<Vec<String>> = rows.iter().map(|row| order.map(|place| row[place].clone()).to_vec()).collect();
    let test: Vec<Vec<String>> = test.into_iter().step_by(5).collect();
    assert_eq!((training.len(), test.len()), (332_900, 66_580));
    let features = (0..10).map(|column| (column, column < 3)).collect();
    assert_auc("acs_income", &Set { training, test, features });
}

#[test]
#[expect(clippy::print_stdout, reason = "figures for whoever compares")]
fn bike_rentals_are_learned_as_well_as_by_lightgbm() {
    let Some(text) = text("data/bike_sharing/hour.csv") else { return };
    let rows = csv(&text, ',');
    let (header, rows) = rows.split_first().expect("a header");
    let place = |name: &&str| header.iter().position(|column| column == name).expect("the column");
    let numeric = ["temp", "atemp", "hum", "windspeed"];
    let categorical = ["season", "yr", "mnth", "hr", "holiday", "weekday", "workingday", "weathersit"];
    let features = numeric.iter().map(|name| (place(name), true));
    let features = features.chain(categorical.iter().map(|name| (place(name), false))).collect();
    let set = Set::by_five(rows.iter().cloned().enumerate(), features);
    let (labels, predictions, _) = set.judge(Objective::Regression, &Settings::default());
    let squares: f64 = labels.iter().zip(&predictions).map(|(label, found)| (label - found).powi(2)).sum();
    let found = (squares / labels.len() as f64).sqrt();
    let expected = reference("bike", "rmse").expect("the reference's figure");
    println!("bike: RMSE {found:.4}, LightGBM {expected:.4}");
    assert!((found / expected - 1.0).abs() <= 0.02, "RMSE {found}, LightGBM {expected}");
}
