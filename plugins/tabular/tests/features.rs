//! What becomes of columns, in training and when serving, and what is refused.
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]
#![expect(clippy::unwrap_used, reason = "the helpers of these tests unwrap as the tests do")]

use std::path::Path;

use stagewright_stage::{
    ColumnType, Failure, Featurizer, Field, Reader, Series, Table, Values, parse_parameters, schema_of,
};
use stagewright_tabular::{Features, Parameters};

fn table(columns: impl IntoIterator<Item = Series>) -> Table {
    Table::new(columns.into_iter().collect()).unwrap()
}

fn fit(training: &Table, parameters: &str) -> Result<Vec<u8>, Failure> {
    Features::fit(&mut Reader::of(training.clone()), parse_parameters(parameters)?)
}

/// Fits and loads for the same columns.
fn fitted(training: &Table, parameters: &str) -> Features {
    Features::load(&fit(training, parameters).unwrap(), &training.fields()).unwrap()
}

/// Applies to other rows of the same columns, as the host does: through the contract and its schema.
fn apply(features: &Features, rows: &Table) -> Table {
    let made = features.transform(rows).unwrap();
    let (schema, found) = (features.schema(), made.fields());
    assert_eq!(schema.len(), found.len());
    for (promised, found) in schema.iter().zip(&found) {
        assert_eq!((&promised.name, promised.type_), (&found.name, found.type_));
        assert!(promised.nullable || !found.nullable, "`{}` has gaps", found.name);
    }
    Table::decode(&schema, &made.encode().unwrap()).unwrap()
}

fn texts(name: &str, words: &[Option<&str>]) -> Series {
    Series::of_texts(name, words.iter().copied())
}

fn floats(name: &str, values: &[f64]) -> Series {
    Series::of_floats(name, values.to_vec())
}

/// The words of a column; `-` where there is none.
fn words(table: &Table, name: &str) -> Vec<String> {
    let column = table.column(name).unwrap();
    (0..column.len()).map(|row| column.word(row).unwrap_or("-").to_owned()).collect()
}

fn names(table: &Table) -> Vec<&str> {
    table.columns().iter().map(|column| column.name.as_str()).collect()
}

fn message(result: Result<Vec<u8>, Failure>) -> String {
    match result.unwrap_err() {
        Failure::InvalidParameter(message) => format!("parameter: {message}"),
        Failure::InvalidData(message) => format!("data: {message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn gaps_become_the_median_the_mean_a_constant_or_stay() {
    let training = table([floats("x", &[1.0, f64::NAN, 10.0, 2.0, 3.0])]);
    let filled = |impute: &str| {
        let parameters = format!(r#"{{"numeric": {{"impute": "{impute}", "constant": -1, "standardize": false}}}}"#);
        apply(&fitted(&training, &parameters), &training).numeric("x").unwrap()[1]
    };
    assert_eq!([filled("median"), filled("mean"), filled("constant")], [2.5, 4.0, -1.0]);
    assert!(filled("none").is_nan());
    let odd = table([floats("x", &[7.0, 1.0, 2.0, f64::NAN])]);
    let features = fitted(&odd, r#"{"numeric": {"standardize": false}}"#);
    assert_eq!(apply(&features, &odd).numeric("x").unwrap().as_ref(), [7.0, 1.0, 2.0, 2.0]);
}

#[test]
fn numbers_are_standardized_over_n_after_gaps_are_filled() {
    let training = table([floats("x", &[1.0, f64::NAN, 3.0, 8.0])]);
    // Filled: 1, 3, 3, 8, whose mean is 3.75 and whose variance is 26.75 / 4.
    let deviation = (26.75_f64 / 4.0).sqrt();
    let found = apply(&fitted(&training, "{}"), &training);
    let found = found.numeric("x").unwrap();
    for (found, value) in found.iter().zip([1.0, 3.0, 3.0, 8.0]) {
        assert!((found - (value - 3.75) / deviation).abs() < 1e-15);
    }
}

#[test]
fn a_column_of_equal_values_becomes_zeros_and_keeps_its_unit() {
    let training = table([floats("x", &[0.1; 1000])]);
    let features = fitted(&training, "{}");
    assert_eq!(apply(&features, &training).numeric("x").unwrap().as_ref(), [0.0; 1000]);
    assert!((apply(&features, &table([floats("x", &[2.1])])).numeric("x").unwrap()[0] - 2.0).abs() < 1e-12);
}

#[test]
fn integers_times_and_booleans_are_numbers_and_booleans_stay_0_and_1() {
    let training = table([
        Series::new("count", Values::Int64(vec![1, 3])),
        Series::new("when", Values::Timestamp(vec![1_000_000, 3_000_000])),
        Series { name: "flag".into(), values: Values::Boolean(vec![true, false]), valid: Some(vec![true, false]) },
    ]);
    let made = apply(&fitted(&training, "{}"), &training);
    assert_eq!(made.numeric("count").unwrap().as_ref(), [-1.0, 1.0]);
    assert_eq!(made.numeric("when").unwrap().as_ref(), [-1.0, 1.0]);
    assert_eq!(made.numeric("flag").unwrap().as_ref(), [1.0, 1.0]);
    assert!(made.fields().iter().all(|field| field.type_ == ColumnType::Float64));
}

#[test]
fn an_indicator_says_where_numbers_were_missing_if_training_had_gaps() {
    let training = table([floats("x", &[1.0, f64::NAN]), floats("y", &[1.0, 2.0])]);
    let made = apply(&fitted(&training, r#"{"numeric": {"missing-indicator": true}}"#), &training);
    assert_eq!(names(&made), ["x", "x=missing", "y"]);
    assert_eq!(made.column("x=missing").unwrap().values, Values::Boolean(vec![false, true]));
}

#[test]
fn rare_words_share_a_bucket_that_unseen_words_join() {
    let training = table([texts("w", &[Some("b"), Some("a"), Some("b"), Some("c"), None, Some("a"), None])]);
    let rows = table([texts("w", &[Some("a"), Some("c"), Some("new"), None])]);
    let frequent = fitted(&training, r#"{"min-frequency": 2}"#);
    assert_eq!(words(&apply(&frequent, &rows), "w"), ["a", "other", "other", "missing"]);
    let few = fitted(&training, r#"{"max-categories": 1}"#);
    assert_eq!(words(&apply(&few, &rows), "w"), ["a", "other", "other", "other"]);
    let Values::Category { words: kept, .. } = &apply(&frequent, &training).column("w").unwrap().values.clone() else {
        panic!("not a category")
    };
    assert_eq!(kept, &["a", "b", "missing", "other"]);
}

#[test]
fn a_word_called_other_shares_the_bucket() {
    let training = table([texts("w", &[Some("other"), Some("other"), Some("z"), Some("z"), Some("rare")])]);
    let made = apply(&fitted(&training, r#"{"min-frequency": 2, "encode": "one-hot"}"#), &training);
    assert_eq!(names(&made), ["w=z", "w=other"]);
    assert_eq!(made.column("w=other").unwrap().values, Values::Boolean(vec![true, true, false, false, true]));
}

#[test]
fn without_a_bucket_an_unseen_word_has_no_value_or_no_indicator() {
    let training = table([texts("w", &[Some("a"), Some("größe 🦀")])]);
    let rows = table([texts("w", &[Some("größe 🦀"), Some("new"), None])]);
    assert_eq!(words(&apply(&fitted(&training, "{}"), &rows), "w"), ["größe 🦀", "-", "-"]);
    let made = apply(&fitted(&training, r#"{"encode": "one-hot"}"#), &rows);
    assert_eq!(names(&made), ["w=a", "w=größe 🦀"]);
    assert_eq!(made.column("w=a").unwrap().values, Values::Boolean(vec![false; 3]));
    assert_eq!(made.column("w=größe 🦀").unwrap().values, Values::Boolean(vec![true, false, false]));
}

#[test]
fn categories_and_texts_of_the_same_words_are_the_same_features() {
    let codes = vec![2, 0, 2, 1];
    let dictionary = vec!["c".to_owned(), "never".into(), "a".into()];
    let category = Series {
        name: "w".into(),
        values: Values::Category { codes, words: dictionary },
        valid: Some(vec![true, true, true, false]),
    };
    let (category, text) = (table([category]), table([texts("w", &[Some("a"), Some("c"), Some("a"), None])]));
    for parameters in ["{}", r#"{"encode": "one-hot"}"#, r#"{"max-categories": 1, "missing": "?"}"#] {
        assert_eq!(fit(&category, parameters).unwrap(), fit(&text, parameters).unwrap());
        let features = fitted(&category, parameters);
        let row_by_row = features.transform(&category.take(&[3])).unwrap();
        assert_eq!(row_by_row, features.transform(&text.take(&[3])).unwrap());
        assert_eq!(apply(&features, &category), apply(&features, &text));
    }
}

#[test]
fn a_single_row_brings_only_its_own_word() {
    let many: Vec<String> = (0..700).map(|word| format!("word {word:03}")).collect();
    let training = table([Series::of_texts("w", many.iter().map(Some))]);
    let made = apply(&fitted(&training, "{}"), &training.take(&[42]));
    let expected = Values::Category { codes: vec![0], words: vec!["word 042".into()] };
    assert_eq!(made.column("w").unwrap().values, expected);
}

#[test]
fn numbers_listed_as_categories_are_words() {
    let training = table([Series::new("code", Values::Int64(vec![10, 9, 10])), floats("zero", &[0.0, -0.0, f64::NAN])]);
    let features = fitted(&training, r#"{"categories": ["code", "zero"]}"#);
    let made = apply(&features, &training);
    assert_eq!(words(&made, "code"), ["10", "9", "10"]);
    assert_eq!(words(&made, "zero"), ["0", "0", "missing"]);
}

#[test]
fn the_label_is_passed_through_last_in_training_and_absent_when_serving() {
    let label = texts("loan", &[Some("yes"), None, Some("no")]);
    let training = table([label.clone(), floats("x", &[1.0, 2.0, 3.0])]);
    let state = fit(&training, r#"{"label": "loan"}"#).unwrap();
    let features = Features::load(&state, &training.fields()).unwrap();
    let made = apply(&features, &training);
    assert_eq!(names(&made), ["x", "loan"]);
    assert_eq!(made.column("loan").unwrap(), &label);
    assert_eq!(features.input().iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["x"]);

    let serving = table([floats("further", &[0.0]), floats("x", &[2.0])]);
    let features = Features::load(&state, &serving.fields()).unwrap();
    assert_eq!(names(&apply(&features, &serving)), ["x"]);

    let without = fitted(&training, r#"{"columns": ["x"]}"#);
    assert_eq!(names(&apply(&without, &training)), ["x"]);
}

#[test]
fn parameters_that_contradict_the_table_are_refused_by_name() {
    let training = table([texts("w", &[Some("a"), Some("b")]), floats("income", &[1.0, 2.0])]);
    for (parameters, expected) in [
        (
            r#"{"label": "income", "columns": ["w", "income"]}"#,
            "parameter: `income` is the label, so it cannot be listed in `columns`",
        ),
        (r#"{"label": "incme"}"#, "parameter: the table has no column `incme`; did you mean `income`?"),
        (r#"{"exclude": ["incme"]}"#, "parameter: the table has no column `incme`; did you mean `income`?"),
        (r#"{"columns": ["w", "w"]}"#, "parameter: `w` is listed twice in `columns`"),
        (r#"{"label": "w", "exclude": ["income"]}"#, "parameter: there is no column to make features of"),
        (r#"{"label": "w", "categories": ["w"]}"#, "parameter: `w` is listed in `categories`, but becomes no feature"),
        (r#"{"max-categories": 0}"#, "parameter: `max-categories` is 0; it must be 1 or more"),
    ] {
        assert_eq!(message(fit(&training, parameters)), expected);
    }
    assert!(message(fit(&training, r#"{"colums": []}"#)).contains("unknown field `colums`"));
}

#[test]
fn data_that_cannot_become_features_is_refused_with_the_column() {
    let infinite = table([floats("x", &[1.0, f64::INFINITY])]);
    assert_eq!(message(fit(&infinite, "{}")), "data: column `x` is infinite in row 2; clean it first");
    let huge = table([floats("x", &[f64::MAX, -f64::MAX])]);
    assert_eq!(message(fit(&huge, "{}")), "data: the values of column `x` are too large to standardize");
    let clash = table([texts("a", &[Some("b")]), floats("a=b", &[1.0])]);
    let found = message(fit(&clash, r#"{"encode": "one-hot"}"#));
    assert!(found.starts_with("data: two columns would be called `a=b`"), "{found}");
    let names: Vec<String> = (0..10_001).map(|row| row.to_string()).collect();
    let unique = table([Series::of_texts("name", names.iter().map(Some))]);
    assert!(message(fit(&unique, r#"{"encode": "one-hot"}"#)).contains("most of them from `name`"));
    let features = fitted(&table([floats("x", &[1.0, 2.0])]), "{}");
    assert!(matches!(features.transform(&infinite), Err(Failure::InvalidData(_))));
}

#[test]
fn no_rows_cannot_be_learned_from_but_can_be_transformed() {
    let training = table([texts("w", &[Some("a")]), floats("x", &[1.0]), floats("y", &[0.0])]);
    let empty = training.take(&[]);
    assert_eq!(message(fit(&empty, "{}")), "data: the table has no rows to learn from");
    for encode in ["category", "one-hot"] {
        let features = fitted(&training, &format!(r#"{{"label": "y", "encode": "{encode}"}}"#));
        let made = apply(&features, &empty);
        assert_eq!((made.rows(), made.columns().len()), (0, 3));
    }
}

#[test]
fn columns_without_any_value_become_zeros_and_the_missing_word() {
    let training = table([floats("x", &[f64::NAN; 3]), texts("w", &[None; 3])]);
    let made = apply(&fitted(&training, "{}"), &training);
    assert_eq!(made.numeric("x").unwrap().as_ref(), [0.0; 3]);
    assert_eq!(words(&made, "w"), ["missing"; 3]);
    let kept = apply(&fitted(&training, r#"{"numeric": {"impute": "none"}}"#), &training);
    assert_eq!(kept.column("x").unwrap().missing(), 3);
}

#[test]
fn rows_of_other_columns_are_refused_when_the_state_is_loaded() {
    let training = table([texts("word", &[Some("a"), Some("b")]), floats("age", &[1.0, 2.0])]);
    let state = fit(&training, "{}").unwrap();
    let field = |name: &str, type_| Field { name: name.into(), type_, nullable: true };
    let refusal = |fields: &[Field]| match Features::load(&state, fields).unwrap_err() {
        Failure::InvalidData(message) => message,
        other => panic!("{other:?}"),
    };
    let word = field("word", ColumnType::Category);
    assert_eq!(
        refusal(&[word.clone(), field("agee", ColumnType::Int64)]),
        "the table has no column `age`; did you mean `agee`?"
    );
    assert!(refusal(&[word.clone(), field("age", ColumnType::Text)]).starts_with("column `age` holds text"));
    assert!(refusal(&[field("word", ColumnType::Int64)]).starts_with("column `word` holds numbers"));
    assert!(Features::load(&state, &[field("age", ColumnType::Int64), word]).is_ok());
}

#[test]
fn equal_training_gives_equal_bytes_and_spoilt_bytes_are_refused() {
    let training = table([
        texts("w", &[Some("b"), Some("a"), Some("b"), None]),
        floats("x", &[0.1, 0.7, f64::NAN, 1e300]),
        floats("y", &[0.0, 1.0, 0.0, 1.0]),
    ]);
    let parameters = r#"{"label": "y", "max-categories": 2, "numeric": {"standardize": false}}"#;
    let state = fit(&training, parameters).unwrap();
    assert_eq!(state, fit(&training, parameters).unwrap());
    let fields = training.fields();
    for length in 0..state.len() {
        assert!(matches!(Features::load(&state[..length], &fields), Err(Failure::InvalidState(_))));
    }
    let text = String::from_utf8(state).unwrap();
    assert!(Features::load(text.as_bytes(), &fields).is_ok());
    for (from, to) in [
        (r#""divisor":1.0"#, r#""divisor":0.0"#),
        (r#""divisor":1.0"#, r#""divisor":-1.0"#),
        (r#""divisor":1.0"#, r#""divisor":1e999"#),
        (r#"["a","b","other"]"#, r#"[]"#),
        (r#"["a","b","other"]"#, r#"["other","b"]"#),
        (r#"["a","b","other"]"#, r#"["b","a","other"]"#),
        (r#"["a","b","other"]"#, r#"["other","other"]"#),
        (r#""name":"x""#, r#""name":"w""#),
        (r#""label":"y""#, r#""label":"x""#),
        (r#""encode""#, r#""decode""#),
    ] {
        let spoilt = text.replace(from, to);
        assert_ne!(spoilt, text, "{from} is not in {text}");
        assert!(matches!(Features::load(spoilt.as_bytes(), &fields), Err(Failure::InvalidState(_))), "{spoilt}");
    }
}

#[test]
fn the_schema_of_the_parameters_names_them_all_with_their_defaults() {
    let schema: serde_json::Value = serde_json::from_str(&schema_of::<Parameters>()).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let properties = schema["properties"].as_object().unwrap();
    let defaults: Vec<String> =
        properties.iter().map(|(name, property)| format!("{name} = {}", property["default"])).collect();
    assert_eq!(
        defaults.join("\n"),
        r#"categories = []
columns = []
encode = "category"
exclude = []
label = ""
max-categories = null
min-frequency = 1
missing = "missing"
numeric = {"constant":0.0,"impute":"median","missing-indicator":false,"standardize":true}"#
    );
    assert!(properties.values().all(|property| property["description"].is_string()));
}

#[test]
fn scikit_learns_weights_of_the_german_credits_are_optimal_for_these_features() {
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    if !data.exists() {
        eprintln!("skipped: the reference data is absent");
        return;
    }
    let names = "status duration credit_history purpose amount savings employment installment_rate personal_status \
                 debtors residence property age installment_plans housing existing_credits job liable telephone foreign";
    let text = std::fs::read_to_string(data.join("german_credit/german.data")).unwrap();
    let lines = text.lines().enumerate().filter(|(row, _)| row % 5 != 0);
    let rows: Vec<Vec<&str>> = lines.map(|(_, line)| line.split_whitespace().collect()).collect();
    let mut columns: Vec<Series> = names
        .split_whitespace()
        .enumerate()
        .map(|(place, name)| match rows[0][place].parse::<i64>() {
            Ok(_) => Series::new(name, Values::Int64(rows.iter().map(|row| row[place].parse().unwrap()).collect())),
            Err(_) => Series::of_texts(name, rows.iter().map(|row| Some(row[place]))),
        })
        .collect();
    columns.push(Series::new("good", Values::Boolean(rows.iter().map(|row| row[20] == "1").collect())));
    let training = table(columns);
    let made = apply(&fitted(&training, r#"{"label": "good", "encode": "one-hot"}"#), &training);

    let reference = std::fs::read_to_string(data.join("reference/coef/german.logistic.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&reference).unwrap();
    let names: Vec<&str> =
        reference["features"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let weights: Vec<f64> =
        reference["coef"][0].as_array().unwrap().iter().map(|weight| weight.as_f64().unwrap()).collect();
    assert_eq!(made.columns().len(), names.len() + 1);
    let features: Vec<Vec<f64>> = names.iter().map(|name| made.numeric(name).unwrap().into_owned()).collect();
    let labels = made.numeric("good").unwrap();
    let residuals: Vec<f64> = (0..made.rows())
        .map(|row| {
            let sum: f64 = features.iter().zip(&weights).map(|(feature, weight)| feature[row] * weight).sum();
            1.0 / (1.0 + (-sum - reference["intercept"][0].as_f64().unwrap()).exp()) - labels[row]
        })
        .collect();
    for (feature, weight) in features.iter().zip(&weights) {
        let gradient = weight + feature.iter().zip(&residuals).map(|(value, residual)| value * residual).sum::<f64>();
        assert!(gradient.abs() < 1e-7, "{gradient}");
    }
}
