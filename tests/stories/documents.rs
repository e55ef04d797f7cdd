//! Documents from the record: what they say, that they say it again, and that other people's validators agree.
//!
//! Validators that are not installed are skipped with a line that says so; `cargo test-all` installs them.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;
use stagewright_tests::{Lab, validators};

const KINDS: [&str; 7] =
    ["model-card", "annex-iv", "bias-audit", "ml-bom", "provenance", "test-result", "model-signature"];

/// A registered model whose fairness was checked by sex and by ethnicity, and that its gate has judged.
fn registered() -> Lab {
    let lab = Lab::census();
    lab.replace("pipelines/income.toml", "protected = [\"gender\"]", "protected = [\"gender\", \"ethnicity\"]");
    lab.ok(&["run", "pipelines/income.toml"]);
    let judged = lab.run(&["gate", "check", "income"]);
    assert!([Some(0), Some(3)].contains(&judged.code), "{}{}", judged.out, judged.err);
    lab
}

fn document(lab: &Lab, kind: &str) -> String {
    lab.ok(&["document", kind, "income"]).out
}

/// A program of the validators' environment; none, with a line that says so, where they are not installed.
fn validator(program: &str) -> Option<PathBuf> {
    let path = validators().join("bin").join(program);
    if !path.exists() {
        println!("skipped: {program} of the validators of documents is not installed");
    }
    path.exists().then_some(path)
}

fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

#[test]
fn the_same_record_makes_the_same_bytes() {
    let lab = registered();
    for kind in KINDS {
        assert_eq!(document(&lab, kind), document(&lab, kind), "{kind}");
        let written = lab.json(&["document", kind, "income@1", "--output", "document"]);
        assert_eq!(written["kind"], kind);
        assert_eq!(fs::read_to_string(lab.file("document")).unwrap(), document(&lab, kind), "{kind}");
    }
    lab.ok(&["model", "export", "income", "one"]);
    lab.ok(&["model", "export", "income", "two"]);
    let signature = |folder: &str| fs::read(lab.file(folder).join("model.sig")).unwrap();
    assert_eq!(signature("one"), signature("two"));
    assert_eq!(String::from_utf8(signature("one")).unwrap(), document(&lab, "model-signature"));
    let refused = lab.run(&["model", "export", "income", "one"]);
    assert!(refused.err.contains("is not empty"), "{}", refused.err);
}

#[test]
fn a_bias_audit_agrees_with_the_fairness_checker_where_both_count_the_same() {
    let lab = registered();
    let audit = document(&lab, "bias-audit");
    let report = lab.json(&["show", "latest", "fairness"])["report"].clone();
    let reported = |name: &str, column: &str, group: &str| {
        let metrics = report["metrics"].as_array().expect("a report has metrics");
        let of_group = |metric: &&Value| {
            metric["name"] == name && metric["labels"]["column"] == column && metric["labels"]["group"] == group
        };
        metrics.iter().find(of_group).and_then(|metric| metric["value"].as_f64()).expect("the group is reported")
    };
    for group in ["Female", "Male"] {
        let row = audit.lines().find(|line| line.starts_with(&format!("| {group} |"))).expect("the group has a row");
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let rate = format!("{:.3}", reported("selection-rate", "gender", group));
        let ratio = format!("{:.3}", reported("impact-ratio", "gender", group));
        assert_eq!(cells[5..7], [rate.as_str(), ratio.as_str()], "{row}");
    }
    let scoring = audit.lines().filter(|line| line.starts_with("| Female |")).nth(1).expect("scoring rates by sex");
    assert!(scoring.contains(&format!("{:.3}", reported("scoring-rate", "gender", "Female"))), "{scoring}");
    for title in ["## Sex\n", "## Race or ethnicity\n", "## Race or ethnicity and sex\n", "left out (< 2 %)"] {
        assert!(audit.contains(title), "{title} in\n{audit}");
    }
    let refused = lab.run(&["document", "bias-audit", "income", "--race", "ethnicty"]);
    assert!(refused.err.contains("did you mean `ethnicity`?"), "{}", refused.err);
}

#[test]
fn what_the_gate_said_stands_in_the_card_and_is_a_signed_test_result() {
    let lab = Lab::census();
    lab.ok(&["run", "pipelines/income.toml"]);
    let refused = lab.run(&["document", "test-result", "income"]);
    assert!(refused.err.contains("`stagewright gate check income@1` does"), "{}", refused.err);
    assert!(document(&lab, "model-card").contains("No gate has judged `income@1` yet."));
    lab.run(&["gate", "check", "income"]);
    let card = document(&lab, "model-card");
    assert!(card.contains("Its gate said **pass**"), "{card}");
    assert!(card.contains("| `fairness.findings` |"), "{card}");
    let envelope: Value = serde_json::from_str(&document(&lab, "test-result")).unwrap();
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
}

#[test]
fn what_no_run_can_know_is_a_named_gap() {
    let lab = registered();
    let annex = document(&lab, "annex-iv");
    for point in 1..=9 {
        assert!(annex.contains(&format!("\n## {point}. ")), "point {point}");
    }
    for gap in ["intended-purpose", "risk-management", "declaration", "post-market"] {
        assert_eq!(annex.matches(&format!("`{gap}`")).count(), 2, "{gap} stands at its place and in the list");
    }
    let shown = lab.json(&["document", "model-card", "income"]);
    let gaps: Vec<&str> = shown["gaps"].as_array().unwrap().iter().filter_map(|gap| gap["name"].as_str()).collect();
    assert!(gaps.contains(&"intended-use"), "{gaps:?}");
}

#[test]
fn a_model_without_people_has_no_bias_audit_and_says_which_option_would_make_one() {
    let lab = registered();
    lab.replace("pipelines/income.toml", "protected = [\"gender\", \"ethnicity\"]", "protected = [\"education\"]");
    lab.replace("pipelines/income.toml", "name = \"income\"\nseed", "name = \"other\"\nseed");
    lab.write("renamed.csv", fs::read_to_string(lab.file("census.csv")).unwrap().replacen("gender", "g", 1));
    lab.ok(&["data", "add", "adult", "renamed.csv"]);
    lab.ok(&["run", "pipelines/income.toml"]);
    let refused = lab.run(&["document", "bias-audit", "income"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("say --sex COLUMN"), "{}", refused.err);
    lab.ok(&["document", "bias-audit", "income", "--sex", "g"]);
    let exported = lab.json(&["model", "export", "income", "exported"]);
    assert_eq!(exported["left_out"][0][0], "bias-audit");
}

#[test]
fn other_peoples_validators_accept_the_documents() {
    let Some(python) = validator("python") else { return };
    let lab = registered();
    let folder = lab.file("documents");
    fs::create_dir_all(&folder).unwrap();
    for kind in KINDS {
        lab.ok(&["document", kind, "income", "--output", folder.join(kind).to_str().unwrap()]);
    }
    let envelope: Value = serde_json::from_str(&document(&lab, "provenance")).unwrap();
    let key = envelope["signatures"][0]["keyid"].as_str().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/stories/validate.py");
    let output = Command::new(python).arg(script).arg(&folder).arg(key).output().expect("python starts");
    println!("{}", told(&output));
    assert!(output.status.success());
}

#[test]
fn model_signing_accepts_an_exported_model_and_names_the_file_that_was_changed() {
    let Some(model_signing) = validator("model_signing") else { return };
    let lab = registered();
    lab.ok(&["model", "export", "income", "exported"]);
    fs::write(lab.file("key.pub"), lab.ok(&["model", "key"]).out).unwrap();
    let verify = || {
        let mut command = Command::new(&model_signing);
        command.args(["verify", "key", "exported", "--signature", "exported/model.sig", "--public_key", "key.pub"]);
        command.current_dir(lab.path()).output().expect("model_signing starts")
    };
    let output = verify();
    assert!(output.status.success(), "{}", told(&output));
    let states = fs::read_dir(lab.file("exported/states")).unwrap();
    let state = states.map(|entry| entry.unwrap().path()).min().unwrap();
    let mut bytes = fs::read(&state).unwrap();
    bytes[0] ^= 1;
    fs::write(&state, bytes).unwrap();
    let output = verify();
    assert!(!output.status.success(), "a changed file was accepted");
    let name = state.file_name().unwrap().to_string_lossy().into_owned();
    assert!(told(&output).contains(&name), "{}", told(&output));
}
