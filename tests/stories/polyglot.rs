//! Plugins in every language: from `plugin new` to a verified run, alone and in one pipeline.
//!
//! A language whose tools are not installed is skipped with a line that says so; `cargo test-all` installs them.

use stagewright_tests::{Lab, Said, component};

const KINDS: [&str; 7] =
    ["preprocessor", "featurizer", "model", "evaluator", "fairness-checker", "validator", "monitor"];

/// Every kind of stage on one table.
const EVERY_KIND: &str = r#"
[pipeline]
name = "every-kind"

[data]
rows = "rows"

[stage.check]
validator = "validator"
input = "data.rows"

[stage.clip]
preprocessor = "preprocessor"
input = "data.rows"
with = { high = 50.0 }

[stage.features]
featurizer = "featurizer"
input = "clip"
with = { label = "y" }

[stage.train]
trainer = "model"
input = "clip"
features = "features"
with = { label = "y", feature = "x" }

[stage.evaluate]
evaluator = "evaluator"
model = "train"
input = "clip"
with = { label = "y" }

[stage.fairness]
fairness-checker = "fairness-checker"
model = "train"
input = "clip"
with = { group = "group" }

[stage.watch]
monitor = "monitor"
reference = "data.rows"
current = "clip"
"#;

/// Four languages and the model of one questioned by another.
const POLYGLOT: &str = r#"
[pipeline]
name = "polyglot"

[data]
census = "adult"

[defaults]
label = "loan"
positive = ">50K"

[stage.clip]
preprocessor = "in-python"
input = "data.census"
with = { high = 60.0 }

[stage.check]
validator = "in-javascript"
input = "clip"

[stage.features]
featurizer = "tabular"
input = "clip"

[stage.train]
trainer = "logistic-regression"
input = "clip"
features = "features"

[stage.watch]
monitor = "in-c"
reference = "data.census"
current = "clip"

[stage.watch-again]
monitor = "in-go"
reference = "data.census"
current = "clip"

[stage.evaluate]
evaluator = "asks-from-javascript"
model = "train"
input = "clip"

[stage.evaluate-again]
evaluator = "asks-from-python"
model = "train"
input = "clip"
"#;

/// Starts, builds and adds a plugin. False, with a line that says why, where the language's tools are missing.
fn made(lab: &Lab, name: &str, language: &str, kind: &str) -> bool {
    lab.ok(&["plugin", "new", name, "--lang", language, "--kind", kind]);
    let said: Said = lab.run(&["plugin", "build", name]);
    if said.code != Some(0) && said.err.contains("is not installed") {
        println!("skipped: plugins in {language}: {}", said.err.trim());
        return false;
    }
    assert_eq!(said.code, Some(0), "plugin build {name}\n{}{}", said.out, said.err);
    lab.ok(&["plugin", "add", &format!("{name}/{name}.wasm")]);
    true
}

/// The value of a metric that a stage of the latest run reported for the whole.
fn metric(lab: &Lab, stage: &str, name: &str) -> f64 {
    let shown = lab.json(&["show", "latest", stage]);
    let text = shown.to_string();
    let found = find(&shown, name);
    found.unwrap_or_else(|| panic!("{stage} reports no {name}: {text}"))
}

fn find(value: &serde_json::Value, name: &str) -> Option<f64> {
    if value["name"] == name && value["value"].is_number() {
        return value["value"].as_f64();
    }
    let inner: Vec<&serde_json::Value> = match value {
        serde_json::Value::Array(items) => items.iter().collect(),
        serde_json::Value::Object(entries) => entries.values().collect(),
        _ => Vec::new(),
    };
    inner.into_iter().find_map(|value| find(value, name))
}

/// Numbers that fall on a line, with groups and gaps.
fn rows() -> String {
    let mut text = String::from("x,y,group,note\n");
    for row in 0..400_u32 {
        let x = f64::from(row * 37 % 101);
        let group = if row % 3 == 0 { "a" } else { "b" };
        let note = if row % 7 == 0 { String::new() } else { format!("note {row} äöü") };
        text.push_str(&format!("{x}.5,{},{group},{note}\n", 2.0 * x + 1.0));
    }
    text
}

/// Every template of a language, from nothing to a run and a kit that finds nothing to say.
fn every_template_works_in(language: &str) {
    let lab = Lab::empty();
    let interpreted = ["python", "javascript", "typescript"].contains(&language);
    lab.ok(&["init"]);
    lab.write("rows.csv", rows());
    lab.ok(&["data", "add", "rows", "rows.csv", "--type", "group=text", "--type", "note=text"]);
    for kind in KINDS {
        if !made(&lab, kind, language, kind) {
            return;
        }
        let component = format!("{kind}/{kind}.wasm");
        // An interpreter takes ten seconds to compile: the second profile is for the first kind alone.
        let quick = (interpreted && kind != KINDS[0]).then_some("--quick");
        let said = lab.run(&[&["plugin", "test", &component][..], quick.as_slice()].concat());
        assert_eq!(said.code, Some(0), "the {kind} in {language}\n{}", said.out);
    }
    lab.write("pipelines/every-kind.toml", EVERY_KIND);
    lab.ok(&["run", "pipelines/every-kind.toml"]);
    // Verifying compiles everything anew; an interpreter in each plugin is verified once, in the shared pipeline below.
    if !interpreted {
        lab.ok(&["verify"]);
    }
    assert_eq!(metric(&lab, "evaluate", "agreement"), 1.0, "the model says the same when it is asked again");
    assert_eq!(metric(&lab, "check", "rows"), 400.0);
}

#[test]
fn every_template_in_python_goes_from_new_to_a_run() {
    every_template_works_in("python");
}

#[test]
fn every_template_in_javascript_goes_from_new_to_a_run() {
    every_template_works_in("javascript");
}

#[test]
fn every_template_in_typescript_goes_from_new_to_a_run() {
    every_template_works_in("typescript");
}

#[test]
fn every_template_in_c_goes_from_new_to_a_run() {
    every_template_works_in("c");
}

#[test]
fn every_template_in_go_goes_from_new_to_a_run() {
    every_template_works_in("go");
}

#[test]
fn every_template_in_rust_goes_from_new_to_a_run() {
    every_template_works_in("rust");
}

#[test]
fn one_pipeline_speaks_five_languages_and_one_questions_the_model_of_another() {
    let lab = Lab::census();
    for (name, language, kind) in [
        ("in-python", "python", "preprocessor"),
        ("in-javascript", "javascript", "validator"),
        ("in-c", "c", "monitor"),
        ("in-go", "go", "monitor"),
        ("asks-from-javascript", "javascript", "evaluator"),
        ("asks-from-python", "python", "evaluator"),
    ] {
        if !made(&lab, name, language, kind) {
            return;
        }
    }
    assert!(component("logistic-regression").exists(), "the trainer is one of this repository's, in Rust");
    lab.write("pipelines/polyglot.toml", POLYGLOT);
    lab.ok(&["run", "pipelines/polyglot.toml"]);
    for stage in ["evaluate", "evaluate-again"] {
        assert_eq!(metric(&lab, stage, "agreement"), 1.0, "{stage} got other answers than the host");
        let accuracy = metric(&lab, stage, "accuracy");
        assert!((0.7..1.0).contains(&accuracy), "{stage}: {accuracy}");
    }
    assert_eq!(
        metric(&lab, "evaluate", "accuracy").to_bits(),
        metric(&lab, "evaluate-again", "accuracy").to_bits(),
        "two languages count the same"
    );
    lab.ok(&["verify"]);
}

#[test]
fn the_same_source_builds_the_same_bytes_in_c_and_go() {
    let lab = Lab::empty();
    for language in ["c", "go"] {
        lab.ok(&["plugin", "new", language, "--lang", language, "--kind", "monitor"]);
        let digest = || {
            let said = lab.run(&["--json", "plugin", "build", language]);
            let answer: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_default();
            (said.code == Some(0)).then(|| answer["digest"].to_string())
        };
        let (first, second) = (digest(), digest());
        if first.is_none() {
            println!("skipped: plugins in {language}: the tools are not installed");
        }
        assert_eq!(first, second);
    }
}

#[test]
fn a_folder_that_is_no_plugin_and_words_that_are_no_language_are_refused() {
    let lab = Lab::empty();
    expect_test::expect![[r#"
        exit 2
        error: unknown language `cobol`; there are python, javascript, typescript, c, go, rust
    "#]]
    .assert_eq(&lab.run(&["plugin", "new", "x", "--lang", "cobol", "--kind", "monitor"]).refusal());
    expect_test::expect![[r#"
        exit 2
        error: unknown kind `judge`; there are preprocessor, featurizer, model, evaluator, fairness-checker, validator, monitor (a trainer and its predictor)
    "#]]
    .assert_eq(&lab.run(&["plugin", "new", "x", "--lang", "c", "--kind", "judge"]).refusal());
    lab.write("full/file", "");
    expect_test::expect![[r#"
        exit 2
        error: full exists already and is not empty
    "#]]
    .assert_eq(&lab.run(&["plugin", "new", "full", "--lang", "c", "--kind", "monitor"]).refusal());
    assert!(lab.run(&["plugin", "build", "full"]).refusal().contains("holds no plugin.toml"));
    lab.write("odd/plugin.toml", "name = \"odd\"\ncolour = \"red\"\n");
    assert!(lab.run(&["plugin", "build", "odd"]).refusal().contains("unknown key `colour`"));
}
