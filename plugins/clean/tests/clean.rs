//! What becomes of dirty tables.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its scene has failed")]

use stagewright_clean::{Clean, Parameters, clean};
use stagewright_stage::{
    ColumnType, Failure, Preprocessor, Reader, Series, Table, Values, Writer, parse_parameters, schema_of,
};

fn words(name: &str, words: &[&str]) -> Series {
    Series::of_texts(name, words.iter().map(|word| Some(*word)))
}

fn cleaned(columns: Vec<Series>, parameters: &str) -> Result<Table, Failure> {
    let parameters: Parameters = parse_parameters(parameters)?;
    let mut output = Writer::memory();
    clean(&mut Reader::of(Table::new(columns)?), &mut output, &parameters)?;
    Ok(output.into_table().unwrap())
}

/// The rows as text, `-` where a value is missing.
fn shown(table: &Table) -> Vec<String> {
    let cell = |column: &Series, row| column.display(row).unwrap_or_else(|| "-".into());
    let row = |row| table.columns().iter().map(|column| cell(column, row)).collect::<Vec<_>>().join("|");
    (0..table.rows()).map(row).collect()
}

fn invalid_data(columns: Vec<Series>, parameters: &str) -> String {
    match cleaned(columns, parameters) {
        Err(Failure::InvalidData(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn invalid_parameter(columns: Vec<Series>, parameters: &str) -> String {
    match cleaned(columns, parameters) {
        Err(Failure::InvalidParameter(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_adult_test_file_becomes_like_the_training_file() {
    let table = cleaned(
        vec![
            words("age", &["39", " 50", "38"]),
            words("workclass", &[" State-gov", " ?", "Private "]),
            words("income", &[" <=50K.", " >50K.", " >50K"]),
        ],
        r#"{
            "missing": ["?"], "cast": {"age": "int64", "income": "category"},
            "replace": [{"columns": ["income"], "from": ".", "at": "end"}]
        }"#,
    )
    .unwrap();
    assert_eq!(shown(&table), ["39|State-gov|<=50K", "50|-|>50K", "38|Private|>50K"]);
    let kinds: Vec<_> = table.fields().iter().map(|field| field.type_).collect();
    assert_eq!(kinds, [ColumnType::Int64, ColumnType::Text, ColumnType::Category]);
}

#[test]
fn columns_are_chosen_renamed_and_dropped() {
    let columns = || vec![words("a", &["1"]), words("b", &["2"]), words("größe", &["3"])];
    let names = |table: &Table| table.fields().into_iter().map(|field| field.name).collect::<Vec<_>>();
    let table = cleaned(columns(), r#"{"select": ["größe", "a"], "rename": {"größe": "size"}}"#).unwrap();
    assert_eq!((names(&table), shown(&table)), (vec!["size".into(), "a".into()], vec!["3|1".into()]));
    assert_eq!(names(&cleaned(columns(), r#"{"drop": ["b"]}"#).unwrap()), ["a", "größe"]);
    assert_eq!(
        invalid_parameter(columns(), r#"{"rename": {"a": "b"}}"#),
        "two columns would be called `b`; mend `select` or `rename`"
    );
    assert_eq!(invalid_parameter(columns(), r#"{"drop": ["a", "b", "größe"]}"#), "`select` and `drop` leave no column");
    assert_eq!(
        invalid_data(columns(), r#"{"rename": {"a": "age"}, "require": ["agw"]}"#),
        "`require` names column `agw`, which is not there; did you mean `age`?"
    );
}

#[test]
fn words_that_mean_missing_are_missing_in_categories_and_numbers_too() {
    let category = Values::Category { codes: vec![0, 1, 2, 1], words: vec!["a ".into(), " n/a".into(), "a".into()] };
    let columns = vec![
        Series::new("group", category),
        Series::new("income", Values::Int64(vec![5, -999, 7, 8])),
        Series::new("rate", Values::Float64(vec![0.5, f64::NAN, 9e9, 1.0])),
    ];
    let table =
        cleaned(columns.clone(), r#"{"missing": ["n/a"], "missing-in": {"income": ["-999"], "rate": ["9e9"]}}"#);
    let table = table.unwrap();
    assert_eq!(shown(&table), ["a|5|0.5", "-|-|-", "a|7|-", "-|8|1"]);
    let Values::Category { words, .. } = &table.column("group").unwrap().values else { panic!() };
    assert_eq!(words, &["a"]);
    assert!(invalid_parameter(columns, r#"{"missing-in": {"income": ["none"]}}"#).contains("give a number"));
}

#[test]
fn what_stands_somewhere_is_replaced_there_only() {
    let replaced = |replace: &str| {
        let table = cleaned(vec![words("w", &["a.a.", ".a", "a"])], &format!(r#"{{"replace": [{replace}]}}"#));
        shown(&table.unwrap()).join(" ")
    };
    assert_eq!(replaced(r#"{"from": ".", "to": "!", "at": "end"}"#), "a.a! .a a");
    assert_eq!(replaced(r#"{"from": ".", "to": "!", "at": "start"}"#), "a.a. !a a");
    assert_eq!(replaced(r#"{"from": ".", "to": "!", "at": "anywhere"}"#), "a!a! !a a");
    assert_eq!(replaced(r#"{"from": "a", "to": "b"}"#), "a.a. .a b");
    let number = || vec![Series::new("n", Values::Int64(vec![1]))];
    assert!(invalid_parameter(number(), r#"{"replace": [{"at": "end"}]}"#).contains("`from`"));
    assert!(invalid_parameter(number(), r#"{"replace": [{"columns": ["n"], "from": "1"}]}"#).contains("no words"));
}

#[test]
fn a_value_that_cannot_be_cast_is_named_with_its_row_or_counts_as_missing() {
    let column = || vec![words("age", &["39", "", "forty", "41.0", "41.5"])];
    assert_eq!(
        invalid_data(column(), r#"{"cast": {"age": "int64"}}"#),
        "column `age`, row 3 (counted from 1): `forty` is not a whole number (int64); mend it, name it in `missing`, \
         or set `on-error = \"missing\"`"
    );
    let table = cleaned(column(), r#"{"cast": {"age": "int64"}, "on-error": "missing"}"#).unwrap();
    assert_eq!(shown(&table), ["39", "-", "-", "41", "-"]);
}

#[test]
fn each_type_reads_what_people_write() {
    let cast = |kind: &str, given: &[&str]| {
        let parameters =
            format!(r#"{{"cast": {{"c": "{kind}"}}, "on-error": "missing", "time-formats": ["%d.%m.%Y"]}}"#);
        shown(&cleaned(vec![words("c", given)], &parameters).unwrap()).join(" ")
    };
    assert_eq!(cast("boolean", &["Yes", "0", "T", "false", "2"]), "true false true false -");
    assert_eq!(cast("float64", &["1e3", "-0.5", "inf", "nan", "1,5"]), "1000 -0.5 - - -");
    assert_eq!(
        cast("int64", &["9223372036854775807", "9223372036854775808", "-1", "1e2"]),
        "9223372036854775807 - -1 100"
    );
    assert_eq!(cast("category", &["b", "a", "b"]), "b a b");
    assert_eq!(
        cast("timestamp", &["1970-01-01", "1970-01-01T00:00:01.5", "1970-01-01 01:00:00+01:00", "02.01.1970", "soon"]),
        "0 1500000 0 86400000000 -"
    );
    let times = vec![Series::new("t", Values::Timestamp(vec![0, 1_500_000]))];
    let table = cleaned(times, r#"{"cast": {"t": "text"}}"#).unwrap();
    assert_eq!(shown(&table), ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01.500Z"]);
    assert!(invalid_parameter(vec![words("c", &[])], r#"{"time-formats": ["%Q"]}"#).contains("`%Q`"));
}

#[test]
fn the_first_of_equal_rows_is_kept() {
    let columns = || vec![words("id", &["a", "b ", "b", "a", ""]), words("x", &["1", "2", "2", "3", "3"])];
    assert_eq!(shown(&cleaned(columns(), r#"{"dedupe": "rows"}"#).unwrap()), ["a|1", "b|2", "a|3", "-|3"]);
    let by_id = r#"{"dedupe": {"columns": ["id"]}}"#;
    assert_eq!(shown(&cleaned(columns(), by_id).unwrap()), ["a|1", "b|2", "-|3"]);
    assert_eq!(cleaned(columns(), "{}").unwrap().rows(), 5);
    assert!(invalid_parameter(columns(), r#"{"dedupe": {"columns": []}}"#).contains("`\"rows\"`"));
}

#[test]
fn equal_rows_are_found_across_batches_and_counted_once_in_a_mean() {
    let ids: Vec<i64> = (0..150_000).map(|row| row % 3).collect();
    let numbers = (0..150_000).map(|row| [1.0, 5.0, f64::NAN][row % 3]).collect();
    let columns = vec![Series::new("id", Values::Int64(ids)), Series::of_floats("x", numbers)];
    let table = cleaned(columns, r#"{"dedupe": "rows", "fill": {"x": "mean"}}"#).unwrap();
    assert_eq!(shown(&table), ["0|1", "1|5", "2|3"]);
}

#[test]
fn missing_values_are_filled_and_the_column_has_none_any_more() {
    let number = |values: &[f64]| Series::of_floats("x", values.to_vec());
    let filled = |series: Series, fill: &str| {
        let table = cleaned(vec![series], &format!(r#"{{"fill": {{"x": {fill}}}}}"#)).unwrap();
        assert!(!table.fields()[0].nullable);
        shown(&table).join(" ")
    };
    assert_eq!(filled(number(&[1.0, f64::NAN, 2.0, 6.0]), r#""mean""#), "1 3 2 6");
    assert_eq!(filled(number(&[4.0, f64::NAN, 1.0, 2.0, 10.0]), r#""median""#), "4 3 1 2 10");
    assert_eq!(filled(words("x", &["b", "", "a", "a", "b"]), r#""mode""#), "b b a a b");
    assert_eq!(filled(words("x", &["b", ""]), r#"{"constant": "none"}"#), "b none");
    assert_eq!(filled(number(&[f64::NAN]), r#"{"constant": 7}"#), "7");
    let whole = Series { valid: Some(vec![true, false, true]), ..Series::new("x", Values::Int64(vec![1, 0, 2])) };
    assert_eq!(filled(whole, r#""median""#), "1 1.5 2");

    assert!(invalid_data(vec![number(&[f64::NAN])], r#"{"fill": {"x": "mean"}}"#).contains("no value at all"));
    assert!(invalid_parameter(vec![words("x", &["a"])], r#"{"fill": {"x": "mean"}}"#).contains("cast it to float64"));
    assert_eq!(
        invalid_parameter(vec![number(&[1.0])], r#"{"fill": {"x": {"constant": "many"}}}"#),
        "`fill` gives `many` for column `x`, which is not a number (float64)"
    );
}

#[test]
fn rows_that_lack_what_is_required_are_dropped() {
    let columns = || vec![words("a", &["1", "", "3"]), words("b", &["", "2", "3"])];
    assert_eq!(shown(&cleaned(columns(), r#"{"require": ["a"]}"#).unwrap()), ["1|-", "3|3"]);
    let complete = cleaned(columns(), r#"{"require": ["*"]}"#).unwrap();
    assert_eq!(shown(&complete), ["3|3"]);
    assert!(complete.fields().iter().all(|field| !field.nullable));
    assert_eq!(shown(&cleaned(columns(), r#"{"fill": {"a": "mode"}, "require": ["a"]}"#).unwrap()).len(), 3);
}

#[test]
fn a_table_without_rows_stays_one_and_gets_its_types() {
    let columns = vec![words("a", &[]), Series::new("n", Values::Int64(Vec::new()))];
    let table = cleaned(columns, r#"{"cast": {"a": "timestamp"}, "fill": {"n": "mean"}, "dedupe": "rows"}"#).unwrap();
    let kinds: Vec<_> = table.fields().iter().map(|field| field.type_).collect();
    assert_eq!((table.rows(), kinds), (0, vec![ColumnType::Timestamp, ColumnType::Float64]));
}

#[test]
fn unknown_parameters_and_a_wrong_number_of_tables_are_refused() {
    assert!(invalid_parameter(vec![], r#"{"tirm": true}"#).contains("unknown field `tirm`"));
    assert!(invalid_parameter(vec![], r#"{"replace": [{"form": "a"}]}"#).contains("unknown field `form`"));
    assert!(matches!(Clean::prepare(&mut [], &mut [], Parameters::default()), Err(Failure::InvalidParameter(_))));
}

#[test]
fn the_schema_knows_the_defaults_and_nothing_else() {
    let schema: serde_json::Value = serde_json::from_str(&schema_of::<Parameters>()).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let properties = schema["properties"].as_object().unwrap();
    let shown: Vec<String> = properties.iter().map(|(name, one)| format!("{name} = {}", one["default"])).collect();
    assert_eq!(
        shown,
        [
            "cast = {}",
            r#"dedupe = "off""#,
            "drop = []",
            "fill = {}",
            r#"missing = [""]"#,
            "missing-in = {}",
            r#"on-error = "fail""#,
            "rename = {}",
            "replace = []",
            "require = []",
            "select = []",
            "time-formats = []",
            "trim = true",
        ]
    );
}
