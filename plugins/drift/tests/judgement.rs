//! When the monitor gives an alarm, and when it does not.

use stagewright_drift::Drift;
use stagewright_drift::parameters::Parameters;
use stagewright_stage::{Monitor, Reader, Report, Series, Severity, Table, Values};

fn even(rows: usize, shift: f64) -> Series {
    Series::of_floats("size", (0..rows).map(|row| row as f64 / rows as f64 + shift).collect())
}

fn observe(before: Vec<Series>, now: Vec<Series>, parameters: Parameters) -> Report {
    let reader = |columns| Reader::of(Table::new(columns).expect("a table"));
    Drift::observe(&mut reader(before), &mut reader(now), None, parameters).expect("a report")
}

fn findings(report: &Report) -> Vec<(Severity, &str)> {
    report.findings.iter().map(|finding| (finding.severity, finding.message.as_str())).collect()
}

#[test]
fn a_large_and_significant_shift_is_an_alarm_with_a_plot() {
    let report = observe(vec![even(1000, 0.0)], vec![even(1000, 0.5)], Parameters::default());
    assert_eq!(findings(&report).len(), 1);
    assert_eq!(findings(&report)[0].0, Severity::Violation);
    assert_eq!(report.figures.len(), 1);
    let plot: serde_json::Value = serde_json::from_str(&report.figures[0].vega_lite).unwrap();
    assert_eq!(plot["data"]["values"].as_array().unwrap().len(), 40);
}

#[test]
fn a_significant_trifle_and_a_large_effect_in_few_rows_are_no_alarms() {
    let report = observe(vec![even(200_000, 0.0)], vec![even(200_000, 0.02)], Parameters::default());
    assert_eq!(findings(&report), []);
    let report = observe(vec![even(1000, 0.0)], vec![even(100, 0.5)], Parameters::default());
    let message = "not enough data to judge `size`: 1000 and 100 values; 500 are needed";
    assert_eq!(findings(&report), [(Severity::Info, message)]);
}

#[test]
fn new_words_lost_columns_and_lost_values_are_noticed() {
    let words = |name: &str, word: &'static str| {
        Series::of_texts(name, (0..600).map(|row| Some(if row % 2 == 0 { "Größe" } else { word })))
    };
    let none = Series::of_floats("gone", vec![f64::NAN; 600]);
    let report = observe(
        vec![words("word", "a"), words("lost", "a"), even(600, 0.0), Series { name: "gone".into(), ..even(600, 0.0) }],
        vec![words("word", "新"), even(600, 0.0), none],
        Parameters::default(),
    );
    let found: Vec<String> = findings(&report).iter().map(|(_, message)| message[..14].to_owned()).collect();
    assert_eq!(found, ["the current ta", "`word` drifted", "`gone` has no "]);
}

#[test]
fn empty_constant_and_missing_columns_give_undefined_figures_rather_than_errors() {
    for column in [vec![], vec![f64::NAN; 9], vec![1.0; 9], vec![f64::INFINITY; 9]] {
        let series = || Series::of_floats("size", column.clone());
        let methods = vec![stagewright_drift::parameters::Method::All];
        let report =
            observe(vec![series()], vec![series()], Parameters { methods, min_rows: 0, ..Parameters::default() });
        assert!(report.metrics.iter().all(|metric| metric.value.is_none_or(f64::is_finite)), "{report:?}");
    }
    let flags = || Series::new("flag", Values::Boolean(vec![true; 9]));
    assert_eq!(
        findings(&observe(vec![flags()], vec![flags()], Parameters { min_rows: 0, ..Parameters::default() })),
        []
    );
}

#[test]
fn an_unknown_column_is_refused_with_its_neighbour() {
    let reader = || Reader::of(Table::new(vec![even(10, 0.0)]).unwrap());
    let parameters = Parameters { columns: vec!["sise".into()], ..Parameters::default() };
    let failure = Drift::observe(&mut reader(), &mut reader(), None, parameters).unwrap_err();
    assert!(format!("{failure:?}").contains("did you mean `size`?"), "{failure:?}");
}
