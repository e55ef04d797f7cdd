use proptest::prelude::*;
use stagewright_core::{Digest, report::Finding};

use super::*;
use crate::governance::paired::Task;

/// The rules below `[gate]` of a pipeline file.
fn gate(text: &str) -> Gate {
    let text = format!(
        "[pipeline]\nname = \"p\"\n[data]\nx = \"x@1\"\n[stage.v]\nvalidator = \"v\"\ninput = \"data.x\"\n[model]\nname \
         = \"m\"\n[gate]\n{text}"
    );
    let pipeline = crate::file::Pipeline::parse("p.toml", &text).unwrap_or_else(|problems| panic!("{problems}"));
    pipeline.gate.expect("there is a gate").gate
}

fn metric(name: &str, labels: &[(&str, &str)], value: Option<f64>, support: u64) -> Metric {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Metric { name: name.into(), labels, value, low: None, high: None, support: Some(support) }
}

fn evidence(stage: &str, metrics: Vec<Metric>) -> Evidence {
    let report = Report { metrics, ..Report::default() };
    Evidence { reports: BTreeMap::from([(stage.to_owned(), report)]), ..Evidence::default() }
}

/// The first rule's verdict, in a line.
fn first(gate_text: &str, evidence: &Evidence) -> String {
    let verdict = judge(&gate(gate_text), evidence);
    let rule = &verdict.rules[0];
    format!("{}: {}", rule.outcome.as_str(), rule.reason)
}

#[test]
fn a_figure_within_its_bounds_passes_and_one_outside_fails() {
    let of = |value| evidence("evaluate", vec![metric("accuracy", &[], Some(value), 500)]);
    let rule = "evaluate.accuracy = { min = 0.8, max = 0.99 }";
    assert_eq!(first(rule, &of(0.8)), "pass: it is 0.8");
    assert_eq!(first(rule, &of(0.7999)), "fail: it is 0.7999");
    assert_eq!(first(rule, &of(0.995)), "fail: it is 0.995");
}

#[test]
fn what_is_undefined_absent_or_rests_on_too_few_rows_never_passes() {
    let rule = "evaluate.accuracy = { min = 0.8 }";
    let of = |metric| evidence("evaluate", vec![metric]);
    assert_eq!(first(rule, &of(metric("accuracy", &[], None, 500))), "not enough data: it is undefined");
    assert_eq!(
        first(rule, &of(metric("accuracy", &[], Some(0.9), 99))),
        "not enough data: it rests on 99 rows, where 100 are asked for"
    );
    assert_eq!(
        first(rule, &of(metric("acuracy", &[], Some(0.9), 500))),
        "not enough data: the report has no such figure; the nearest is `acuracy`"
    );
    assert_eq!(first(rule, &Evidence::default()), "not enough data: stage `evaluate` made no report");
    let unsaid = Metric { support: None, ..metric("accuracy", &[], Some(0.9), 0) };
    assert_eq!(
        first("evaluate.accuracy = { min = 0.8, min-support = 10 }", &of(unsaid)),
        "not enough data: 10 rows are asked for, and it does not say on how many it rests"
    );
}

#[test]
fn an_interval_that_straddles_the_bound_is_not_enough_data() {
    let of = |low, high| {
        let metric = Metric { low: Some(low), high: Some(high), ..metric("accuracy", &[], Some(0.8), 500) };
        evidence("evaluate", vec![metric])
    };
    let rule = "evaluate.accuracy = { min = 0.75, by = \"interval\" }";
    assert!(first(rule, &of(0.76, 0.84)).starts_with("pass:"));
    assert!(first(rule, &of(0.7, 0.84)).starts_with("not enough data:"));
    assert!(first(rule, &of(0.6, 0.7)).starts_with("fail:"));
}

fn disparity(ratio: f64, p: Option<f64>) -> Evidence {
    let by = [("column", "gender")];
    evidence(
        "fairness",
        vec![
            metric("demographic-parity-ratio", &by, Some(ratio), 500),
            metric("demographic-parity-ratio-p-value", &by, p, 500),
        ],
    )
}

const PARITY: &str = "\"fairness.demographic-parity-ratio{column=gender}\" = { min = 0.8, significance = 0.05 }";

#[test]
fn a_gap_that_chance_explains_is_not_enough_data_and_one_that_it_does_not_fails() {
    assert_eq!(first(PARITY, &disparity(0.85, Some(0.001))), "pass: it is 0.85");
    assert_eq!(
        first(PARITY, &disparity(0.5, Some(0.01))),
        "fail: it is 0.5, and chance does not explain it (p = 0.0100)"
    );
    assert_eq!(
        first(PARITY, &disparity(0.7, Some(0.4))),
        "not enough data: it is 0.7, but chance may explain it (p = 0.4000)"
    );
    assert_eq!(
        first(PARITY, &disparity(0.7, None)),
        "not enough data: it is 0.7, and whether by chance was not tested"
    );
}

#[test]
fn several_fairness_rules_pay_for_each_other() {
    let mut evidence = disparity(0.7, Some(0.03));
    let report = evidence.reports.get_mut("fairness").unwrap();
    for name in ["demographic-parity-ratio", "demographic-parity-ratio-p-value"] {
        let value = if name.ends_with("p-value") { 0.04 } else { 0.7 };
        report.metrics.push(metric(name, &[("column", "race")], Some(value), 500));
    }
    let two = format!("{PARITY}\n{}", PARITY.replace("gender", "race"));
    let verdict = judge(&gate(&two), &evidence);
    // By itself, each would be significant at 0.05; together the smaller counts double.
    assert_eq!(verdict.rules[0].p_value, Some(0.06));
    assert_eq!(verdict.outcome, Outcome::NotEnoughData);
}

#[test]
fn groups_too_small_to_be_compared_hold_a_model_unless_the_rule_says_otherwise() {
    let mut evidence = disparity(0.9, Some(0.5));
    let report = evidence.reports.get_mut("fairness").unwrap();
    report.metrics.push(metric("groups-compared", &[("column", "gender")], Some(2.0), 500));
    for (group, ratio, rows) in [("f", Some(0.9), 250), ("m", Some(1.0), 250), ("x", None, 12)] {
        let labels = [("column", "gender"), ("group", group)];
        report.metrics.push(metric("selection-rate", &labels, Some(0.3), rows));
        report.metrics.push(metric("impact-ratio", &labels, ratio, rows));
    }
    assert_eq!(
        first(PARITY, &evidence),
        "not enough data: it is 0.9, but these groups are too small to be compared: x (12 rows)"
    );
    let report = PARITY.replace("0.05 }", "0.05, small-groups = \"report\" }");
    assert_eq!(first(&report, &evidence), "pass: it is 0.9; too small to be compared: x (12 rows)");
}

#[test]
fn a_violation_holds_a_model_even_where_no_rule_asks() {
    let mut evidence = evidence("evaluate", vec![metric("accuracy", &[], Some(0.9), 500)]);
    let finding = |severity| Finding { severity, message: "rows leak".into(), labels: BTreeMap::new() };
    evidence.reports.get_mut("evaluate").unwrap().findings.push(finding(Severity::Warning));
    let rule = "evaluate.accuracy = { min = 0.8 }";
    assert_eq!(judge(&gate(rule), &evidence).outcome, Outcome::Pass);
    evidence.reports.get_mut("evaluate").unwrap().findings.push(finding(Severity::Violation));
    let verdict = judge(&gate(rule), &evidence);
    assert_eq!(verdict.outcome, Outcome::Fail);
    assert_eq!(verdict.held().next().unwrap().reason, "violation: rows leak");
    let strict = format!("{rule}\nevaluate.findings = {{ at-most = \"info\" }}");
    assert_eq!(judge(&gate(&strict), &evidence).held().next().unwrap().reason, "warning: rows leak (and 1 more)");
}

/// Rows on which the candidate is right in `ours` of 100 and the champion in `theirs`.
fn against(rows: usize, ours: usize, theirs: usize) -> Evidence {
    let label: Vec<f64> = (0..rows).map(|row| (row % 2) as f64).collect();
    let says = |right: usize| -> Vec<f64> {
        (0..rows).map(|row| if (row * 7) % 100 < right { label[row] } else { 1.0 - label[row] }).collect()
    };
    let (candidate, champion) = (says(ours), says(theirs));
    let pairs = Pairs { task: Task::Classification { threshold: 0.5 }, label, candidate, champion };
    let accuracy = pairs.candidate_value("accuracy");
    let mut evidence = evidence("evaluate", vec![metric("accuracy", &[], accuracy, rows as u64)]);
    let model = Used { name: "m".parse().unwrap(), number: 1, digest: Digest::of(b"m") };
    evidence.champion = Some(Champion { model, pairs: BTreeMap::from([("evaluate".to_owned(), Ok(pairs))]) });
    evidence
}

const NOT_WORSE: &str = "evaluate.accuracy = { champion = { margin = 0.02, resamples = 200 } }";

#[test]
fn a_candidate_must_be_shown_to_be_no_worse_than_the_champion() {
    assert!(first(NOT_WORSE, &against(2000, 85, 85)).starts_with("pass: it is 0.85, m@1 0.85: better by 0"));
    assert!(
        first(NOT_WORSE, &against(2000, 70, 90)).starts_with("fail: it is 0.7, m@1 0.9: worse by 0.2 (at least 0.1")
    );
    // On few rows nobody can tell.
    assert!(first(NOT_WORSE, &against(100, 84, 85)).starts_with("not enough data:"));
    assert_eq!(
        first(NOT_WORSE, &against(50, 85, 85)),
        "not enough data: both predicted 50 rows, where 100 are asked for"
    );
}

#[test]
fn without_a_champion_nothing_can_be_worse_than_it() {
    let evidence = Evidence { champion: None, ..against(200, 85, 85) };
    assert_eq!(first(NOT_WORSE, &evidence), "pass: there is no champion yet that it could be worse than");
}

#[test]
fn predictions_that_do_not_come_to_what_the_report_says_are_not_compared() {
    let mut evidence = against(200, 85, 85);
    evidence.reports.get_mut("evaluate").unwrap().metrics[0].value = Some(0.99);
    assert_eq!(
        first(NOT_WORSE, &evidence),
        "not enough data: the report says 0.99, but the stored predictions come to 0.85"
    );
    let mut evidence = against(200, 85, 85);
    evidence.champion.as_mut().unwrap().pairs.insert("evaluate".into(), Err("it lacks a column".into()));
    assert_eq!(first(NOT_WORSE, &evidence), "not enough data: m@1 cannot be compared: it lacks a column");
}

fn waiver(roles: &[&str], expires_ms: u64) -> Waiver {
    Waiver {
        rule: "fairness.demographic-parity-ratio{column=gender}".parse().unwrap(),
        by: "ada".parse().unwrap(),
        roles: roles.iter().map(|role| role.parse().unwrap()).collect(),
        reason: "a pilot".into(),
        expires_ms,
    }
}

#[test]
fn a_waiver_needs_the_role_that_the_rule_names_and_ends_in_time() {
    let waivable = gate(&PARITY.replace("0.05 }", "0.05, waivable-by = [\"model-risk\"] }"));
    let with = |waiver| Evidence { waivers: vec![waiver], at_ms: 1000, ..disparity(0.3, Some(0.001)) };
    let outcome = |gate: &Gate, waiver| judge(gate, &with(waiver)).outcome;
    assert_eq!(outcome(&waivable, waiver(&["model-risk"], 1001)), Outcome::Pass);
    assert_eq!(outcome(&waivable, waiver(&["model-risk"], 1000)), Outcome::Fail);
    assert_eq!(outcome(&waivable, waiver(&["marketing"], 1001)), Outcome::Fail);
    assert_eq!(outcome(&gate(PARITY), waiver(&["model-risk"], 1001)), Outcome::Fail);
    let verdict = judge(&waivable, &with(waiver(&["model-risk"], 1001)));
    assert_eq!(verdict.rules[0].outcome, Outcome::Fail, "the rule still says what it says");
}

fn value() -> impl Strategy<Value = Option<f64>> {
    prop::option::weighted(0.9, 0.0..1.0_f64)
}

proptest! {
    #[test]
    fn the_same_evidence_always_gives_the_same_verdict(
        accuracy in value(), support in 0..300_u64, ratio in 0.0..1.0_f64, p in value(), at_ms in 0..2000_u64, seed: u64,
        ours in 60..95_usize,
    ) {
        let gate = gate(&format!("evaluate.accuracy = {{ min = 0.5, champion = {{ margin = 0.02, resamples = 100 }} }}\n\
            evaluate.f1 = {{ min = 0.5 }}\n{}", PARITY.replace("0.05 }", "0.05, waivable-by = [\"model-risk\"] }")));
        let mut evidence = against(120, ours, 80);
        evidence.reports.extend(disparity(ratio, p).reports);
        evidence.reports.get_mut("evaluate").unwrap().metrics.push(metric("f1", &[], accuracy, support));
        (evidence.waivers, evidence.at_ms, evidence.seed) = (vec![waiver(&["model-risk"], 1000)], at_ms, seed);
        let (one, other) = (judge(&gate, &evidence), judge(&gate, &evidence.clone()));
        prop_assert_eq!(stagewright_core::canonical::to_vec(&one), stagewright_core::canonical::to_vec(&other));
        // It passes exactly where everything that is not waived does, and never on what is undefined.
        prop_assert_eq!(one.outcome == Outcome::Pass, one.held().count() == 0);
        let undefined = one.rules.iter().filter(|rule| rule.subject.metric != FINDINGS && rule.value.is_none());
        prop_assert!(undefined.into_iter().all(|rule| rule.outcome == Outcome::NotEnoughData));
    }
}
