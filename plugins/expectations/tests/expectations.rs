//! What each rule accepts and how it refuses.

use serde_json::json;
use stagewright_expectations::Expectations;
use stagewright_stage::{Failure, Reader, Report, Series, Severity, Table, Validator, Values, parse_parameters};

fn people() -> Table {
    Table::new(vec![
        Series::new("id", Values::Int64(vec![1, 2, 3, 3])),
        Series { valid: Some(vec![true, true, true, false]), ..Series::of_floats("age", vec![30.0, -5.0, 50.0, 0.0]) },
        Series::of_texts("name", [Some("Ada"), Some("Größe"), None, Some("新")]),
    ])
    .expect("a table")
}

fn validate(table: Table, parameters: serde_json::Value) -> Result<Report, Failure> {
    Expectations::validate(&mut Reader::of(table), parse_parameters(&parameters.to_string())?)
}

fn messages(parameters: serde_json::Value) -> Vec<String> {
    validate(people(), parameters).expect("a report").findings.into_iter().map(|finding| finding.message).collect()
}

#[test]
fn a_table_that_is_as_expected_gives_metrics_and_no_finding() {
    let report = validate(
        people(),
        json!({
            "columns": {
                "id": { "type": "int64", "not-null": true, "monotonic": "increasing", "in": [1, 2, 3] },
                "age": { "min": -5, "max": 50, "mean-min": 25, "mean-max": 25, "quantiles": { "0.5": { "max": 30 } } },
                "name": { "regex": "^[^ ]+$", "min-length": 1, "max-length": 5, "unique": true },
            },
            "rows": { "min": 4, "max": 4 },
            "exact-columns": ["name", "age", "id"],
            "order": ["id", "name"],
            "compound-unique": [["id", "name"]],
        }),
    )
    .unwrap();
    assert_eq!(report.findings, []);
    let failed = report.metrics.iter().find(|metric| metric.name == "expectations-failed").unwrap();
    assert_eq!(failed.value, Some(0.0));
    assert!(report.metrics.iter().all(|metric| metric.name != "fraction-passing" || metric.value == Some(1.0)));
}

#[test]
fn each_broken_rule_names_its_rows() {
    let parameters = json!({ "columns": {
        "id": { "unique": true, "monotonic": "strictly-increasing" },
        "age": { "min": 0, "not-null": true, "mean-max": 20 },
        "name": { "max-length": 3 },
        "naem": { "unique": true },
    } });
    assert_eq!(
        messages(parameters),
        [
            "`age`: expected that all of its values are there; 1 of 4 do not: row 4 (`missing`)",
            "`age`: expected that all of its values are at least 0; 1 of 3 do not: row 2 (`-5`)",
            "the mean of `age` is 25; expected at most 20",
            "`id`: expected that all of its values differ from each other; 2 of 4 do not: row 3 (`3`), row 4 (`3`)",
            "`id`: expected that all of its values always rise; 1 of 4 do not: row 4 (`3`)",
            "the table has no column `naem`; did you mean `name`?",
            "`name`: expected that all of its values have at most 3 characters; 1 of 3 do not: row 2 (`Größe`)",
        ]
    );
}

#[test]
fn enough_good_values_keep_a_rule_and_missing_ones_do_not_count() {
    let rule = |share: f64| json!({ "columns": { "age": { "min": 0, "at-least": share } } });
    assert_eq!(messages(rule(2.0 / 3.0)).len(), 0);
    assert_eq!(messages(rule(0.67)).len(), 1);
    let not_null = |share: f64| json!({ "columns": { "age": { "not-null": true, "at-least": share } } });
    assert_eq!((messages(not_null(0.75)).len(), messages(not_null(0.76)).len()), (0, 1));
}

#[test]
fn a_warning_is_for_one_column_or_for_all() {
    let parameters = json!({ "severity": "warning", "columns": {
        "age": { "min": 0 }, "name": { "max-length": 1, "severity": "violation" },
    } });
    let severities: Vec<Severity> =
        validate(people(), parameters).unwrap().findings.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Violation]);
}

#[test]
fn a_table_without_rows_or_values_breaks_no_rule_on_values() {
    let rules = json!({ "columns": { "age": { "min": 0, "unique": true, "mean-min": 1, "quantiles": { "0.9": { "min": 1 } } } } });
    for ages in [vec![], vec![f64::NAN; 3]] {
        let table = Table::new(vec![Series::of_floats("age", ages)]).unwrap();
        let report = validate(table, rules.clone()).unwrap();
        assert_eq!(report.findings, []);
        assert!(report.metrics.iter().filter(|metric| metric.name == "fraction-passing").all(|m| m.value.is_none()));
    }
}

#[test]
fn parameters_that_make_no_sense_are_refused() {
    for rules in [
        json!({ "name": { "min": 1 } }),
        json!({ "name": { "regex": "(" } }),
        json!({ "age": { "at-least": 1.5 } }),
        json!({ "age": { "quantiles": { "half": {} } } }),
        json!({ "age": { "minimum": 1 } }),
    ] {
        let failure = validate(people(), json!({ "columns": rules })).unwrap_err();
        assert!(matches!(failure, Failure::InvalidParameter(_)), "{failure:?}");
    }
}
