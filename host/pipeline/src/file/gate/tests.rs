use proptest::prelude::*;

use super::*;
use crate::file::Pipeline;

const STAGES: &str = "[pipeline]\nname = \"p\"\n[data]\nx = \"x@1\"\n[stage.evaluate]\nvalidator = \"v\"\ninput = \"data.x\"\n[model]\nname = \"m\"\n[gate]\n";

fn parse(gate: &str) -> Result<Gate, String> {
    let pipeline = Pipeline::parse("p.toml", &format!("{STAGES}{gate}")).map_err(|problems| problems.to_string())?;
    Ok(pipeline.gate.map(|section| section.gate).unwrap_or_default())
}

/// What is wrong, with places counted from the line below `[gate]`.
fn problems(gate: &str) -> Vec<String> {
    let lines = STAGES.matches('\n').count();
    let shifted = |line: &str| match line.strip_prefix("p.toml:").and_then(|rest| rest.split_once(':')) {
        Some((number, rest)) => format!("{}:{rest}", number.parse::<usize>().unwrap() - lines),
        None => line.trim().to_owned(),
    };
    parse(gate).unwrap_err().lines().map(shifted).collect()
}

#[test]
fn a_gate_reads_as_it_is_written() {
    let gate = parse(
        r#"
evaluate.accuracy = { min = 0.84 }
"evaluate.roc-auc" = { min = 0.88, by = "interval", champion = { margin = 0.01 } }
"fairness.demographic-parity-ratio{column=gender}" = { min = 0.8, significance = 0.05, waivable-by = ["model-risk"] }
fairness.findings = { at-most = "warning" }
approvals = { count = 2, roles = ["model-risk", "legal"], within = "14d" }
"#,
    )
    .unwrap();
    assert_eq!(
        gate.to_string(),
        r#""evaluate.accuracy" = { min = 0.84 }
"evaluate.roc-auc" = { min = 0.88, by = "interval", champion = { margin = 0.01, confidence = 0.95, resamples = 1000 } }
"fairness.demographic-parity-ratio{column=gender}" = { min = 0.8, significance = 0.05, waivable-by = ["model-risk"] }
"fairness.findings" = { at-most = "warning" }
approvals = { count = 2, roles = ["model-risk", "legal"], within = "1209600000ms" }
"#
    );
}

#[test]
fn what_a_gate_cannot_mean_is_told_with_its_place() {
    assert_eq!(
        problems(
            "evaluate.accuracy = {}\n\"accuracy\" = { min = 1 }\nevaluate.f1 = { mim = 1, max = \"x\" }\n\
             evaluate.recall = { min = 0.9, max = 0.1 }\nevaluate.findings = { at-most = \"warnings\" }\n\
             evaluate.r2 = { min = nan, significance = 5 }\napprovals = { count = 0, roles = [\"a b\"] }\n"
        ),
        [
            "1:10: the rule of `evaluate.accuracy` asks for nothing",
            "hint: say, for example, { min = 0.8 }",
            "2:1: `accuracy` names no figure: write STAGE.METRIC or STAGE.METRIC{LABEL=VALUE}",
            "3:17: unknown key `mim` in the rule of `evaluate.f1`",
            "hint: did you mean `min`?",
            "3:32: max must be a finite number",
            "4:10: the rule of `evaluate.recall` can never hold: min is above max",
            "5:33: at-most must be \"info\" or \"warning\"",
            "hint: did you mean `warning`?",
            "6:23: min must be a finite number",
            "6:43: significance must be between 0 and 1",
            "7:23: count must be a whole number from 1 to 100",
            "7:35: `a b` is not a name: use 1 to 100 letters, digits, `-`, `_` or `.`, and begin with a letter or digit",
        ]
    );
}

#[test]
fn a_gate_without_a_model_guards_nothing() {
    let text =
        "[pipeline]\nname = \"p\"\n[stage.v]\nvalidator = \"v\"\ninput = \"data.x\"\n[gate]\nv.rows = { min = 1 }\n";
    let said = Pipeline::parse("p.toml", text).map(|_| ()).unwrap_err().to_string();
    assert!(said.contains("p.toml:6:1: [gate] guards a model, but the pipeline registers none"), "{said}");
}

fn name() -> impl Strategy<Value = Name> {
    "[a-z][a-z0-9-]{0,8}".prop_map(|text| text.parse().expect("a name"))
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![-1e6..1e6_f64, Just(0.0), Just(1e-12), Just(1e300), Just(-0.5)]
}

fn share() -> impl Strategy<Value = f64> {
    1e-9..0.999_f64
}

fn subject(metric: &'static str) -> impl Strategy<Value = Subject> {
    let labels = prop::collection::btree_map("[a-z][a-z_-]{0,5}", "[ -~é\"\\\\\n\t{},=]{0,9}", 0..3);
    ("[a-z][a-z0-9_-]{0,8}", metric, labels).prop_map(|(stage, metric, labels)| Subject { stage, metric, labels })
}

fn champion() -> impl Strategy<Value = NonInferiority> {
    (0.0..10.0_f64, share(), 100..100_001_u32).prop_map(|(margin, confidence, resamples)| NonInferiority {
        margin,
        confidence,
        resamples,
    })
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let ends = (prop::option::of(number()), prop::option::of(0.0..1e6_f64));
    let rest = (any::<bool>(), prop::option::of(0..1_000_000_u64), prop::option::of(share()), any::<bool>());
    (ends, rest).prop_map(|((min, above), (interval, min_support, significance, report))| Bounds {
        min,
        max: above.map(|above| min.unwrap_or(0.0) + above),
        by: if interval { By::Interval } else { By::Value },
        min_support,
        significance,
        small_groups: if report { SmallGroups::Report } else { SmallGroups::Hold },
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let figure = (subject("[a-z][a-z0-9-]{0,12}"), bounds(), prop::option::of(champion()))
        .prop_filter("a rule asks for something", |(subject, bounds, champion)| {
            subject.metric != FINDINGS && (bounds.min.is_some() || bounds.max.is_some() || champion.is_some())
        })
        .prop_map(|(subject, bounds, champion)| (subject, Demand::Figure { bounds, champion }));
    let findings = (subject(FINDINGS), any::<bool>()).prop_map(|(subject, info)| {
        (subject, Demand::Findings { at_most: if info { Severity::Info } else { Severity::Warning } })
    });
    (prop_oneof![figure, findings], prop::collection::vec(name(), 0..3))
        .prop_map(|((subject, demand), waivable_by)| Rule { subject, demand, waivable_by })
}

fn gate() -> impl Strategy<Value = Gate> {
    let approvals = (1..101_u32, prop::collection::vec(name(), 1..4), prop::option::of(1..1_000_000_000_u64))
        .prop_map(|(count, roles, within_ms)| Approvals { count, roles, within_ms });
    (prop::collection::vec(rule(), 0..6), prop::option::of(approvals)).prop_map(|(mut rules, approvals)| {
        let mut seen = std::collections::BTreeSet::new();
        rules.retain(|rule: &Rule| seen.insert(rule.subject.clone()));
        Gate { rules, approvals }
    })
}

proptest! {
    #[test]
    fn a_gate_reads_back_what_it_printed(gate in gate()) {
        prop_assert_eq!(parse(&gate.to_string()), Ok(gate));
    }

    #[test]
    fn no_text_of_a_figure_makes_the_reader_panic(text in "\\PC{0,40}") {
        if let Ok(subject) = text.parse::<Subject>() {
            prop_assert_eq!(subject.to_string().parse::<Subject>(), Ok(subject));
        }
    }
}
