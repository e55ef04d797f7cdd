//! The whole way of a model: held by its gate, let through by people, deployed, tried, rolled back, and made again.

use std::fs;

use serde_json::{Value, json};
use stagewright_tests::{Got, Lab, Serving};

const PIPELINE: &str = "pipelines/income.toml";
const PARITY: &str = "fairness.demographic-parity-ratio{column=gender}";

/// The cut-down demo with a gate behind its pipeline, and its people: ada, who trains models, and grace, who may approve.
fn demo(gate: &str) -> Lab {
    let lab = Lab::census();
    let text = fs::read_to_string(lab.file(PIPELINE)).expect("the demo has a pipeline");
    lab.write(PIPELINE, format!("{text}\n[gate]\n{gate}\n"));
    lab.ok(&["user", "add", "ada", "--role", "admin"]);
    lab.ok(&["user", "add", "grace", "--role", "model-risk"]);
    lab.ok(&["run", PIPELINE]);
    lab
}

fn approve(lab: &Lab, model: &str) {
    lab.ok(&["approve", model, "--reason", "accurate enough for mailings", "--as", "grace"]);
}

fn deploy<'a>(model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["deploy", model, "--to", "production"], more].concat()
}

/// Asks about somebody of this age.
fn ask(serving: &Serving, id: &str, age: usize) -> Got {
    let person = json!({
        "age": age, "workclass": "State-gov", "education": "Bachelors", "education-num": 13,
        "marital-status": "Never-married", "occupation": "Adm-clerical", "relationship": "Not-in-family",
        "ethnicity": "White", "gender": "Male", "capital-gain": 2174, "capital-loss": 0, "hours-per-week": 40,
    });
    serving.ask("POST", "/predict/income", &[("x-request-id", id)], person.to_string().as_bytes())
}

#[track_caller]
fn answered_by(serving: &Serving, id: &str, age: usize) -> String {
    let got = ask(serving, id, age);
    assert_eq!(got.status, 200, "{}", got.text());
    got.header("x-model").expect("an answer says who gave it").to_owned()
}

#[test]
fn a_model_is_held_let_through_deployed_tried_rolled_back_and_made_again() {
    let lab = demo(&format!(
        "evaluate.accuracy = {{ min = 0.7 }}\n\"{PARITY}\" = {{ min = 0.8, significance = 0.05, waivable-by = \
         [\"model-risk\"] }}\napprovals = {{ count = 1, roles = [\"model-risk\"] }}"
    ));
    // The gate holds it, and so does the deployment.
    assert_eq!(lab.run(&["gate", "check", "income@1"]).code, Some(3));
    let held = lab.run(&deploy("income@1", &[]));
    assert_ne!(held.code, Some(0));
    assert!(held.err.contains("income@1"), "{}", held.err);

    // A waiver and an approval let it pass.
    let waive = |model: &str| {
        lab.ok(&[
            "gate",
            "waive",
            model,
            "--rule",
            PARITY,
            "--reason",
            "mailings",
            "--expires",
            "30d",
            "--as",
            "grace",
        ]);
        approve(&lab, model);
    };
    waive("income@1");
    lab.ok(&deploy("income@1", &[]));
    let serving = Serving::start(&lab, &["--environment", "production"]);
    assert_eq!(answered_by(&serving, "first", 39), "income@1");

    // A second version is tried with half of the requests, and promoted.
    lab.replace(PIPELINE, "[\"logistic-regression\", \"gradient-boosting\"]", "\"gradient-boosting\"");
    lab.ok(&["run", PIPELINE]);
    waive("income@2");
    lab.ok(&deploy("income@2", &["--canary", "50%"]));
    let tried: Vec<String> = (0..24).map(|age| answered_by(&serving, &format!("tried-{age}"), 20 + age)).collect();
    for model in ["income@1", "income@2"] {
        assert!(tried.iter().any(|answered| answered == model), "{tried:?}");
    }
    lab.ok(&["deployments", "promote", "production"]);
    assert_eq!(answered_by(&serving, "second", 39), "income@2");

    // And taken back at once.
    lab.ok(&["rollback", "production", "-m", "complaints"]);
    assert_eq!(answered_by(&serving, "third", 39), "income@1");
    let states = |model: &str| lab.json(&["gate", "explain", model])["state"]["state"].clone();
    assert_eq!((states("income@1"), states("income@2")), (json!("deployed"), json!("approved")));

    // Whatever answered then answers the same now, whether or not it still serves.
    let made_again = |id: &str| lab.json(&["predictions", "replay", id])[0].clone();
    for (id, model) in [("first", "income@1"), ("second", "income@2"), ("third", "income@1"), ("tried-3", &tried[3])] {
        let again = made_again(id);
        assert_eq!(
            (&again["replay"]["verdict"], &again["answer"]["model"]),
            (&json!("same"), &json!(model)),
            "{again}"
        );
    }
    let (status, log) = serving.stop();
    assert!(status.success(), "{log}");
    assert_eq!(made_again("second")["replay"]["verdict"], "same", "without a server, too");
    lab.ok(&["gate", "verify"]);
    lab.ok(&["audit", "verify"]);

    // A log that was tampered with is noticed.
    let packs = fs::read_dir(lab.file(".stagewright/repos/data/packs")).expect("the repository has packs");
    for pack in packs.map(|pack| pack.expect("the folder can be read").path()) {
        let mut bytes = fs::read(&pack).expect("the pack can be read");
        let len = bytes.len();
        // Behind the data sets come the predictions.
        bytes[len - len / 100..].iter_mut().for_each(|byte| *byte ^= 1);
        fs::write(&pack, bytes).expect("the pack can be written");
    }
    let tampered = lab.run(&["predictions", "replay", "third"]);
    assert_ne!(tampered.code, Some(0), "{}", tampered.out);
    assert_eq!(lab.run(&["fsck"]).code, Some(4));
}

/// How the rule that compares with the champion comes out.
fn against_the_champion(lab: &Lab, model: &str) -> Value {
    let explained = lab.json(&["gate", "explain", model]);
    let rules = explained["verdict"]["record"]["verdict"]["rules"].as_array().expect("a verdict has rules").clone();
    // Behind the one that asks for a least value.
    let rule = rules.into_iter().rfind(|rule| rule["subject"] == "evaluate.roc-auc").expect("the rule is there");
    rule["outcome"].clone()
}

#[test]
fn a_candidate_may_not_be_worse_than_the_champion_on_the_same_rows() {
    let lab = demo("evaluate.roc-auc = { min = 0.5, champion = { margin = 0.02 } }");
    lab.replace(PIPELINE, "exclude = [\"column_1\"]", "exclude = [\"column_1\", \"capital-gain\", \"age\"]");
    lab.ok(&["run", PIPELINE]);
    lab.ok(&deploy("income@2", &[]));

    // The first sees more of each person than the champion.
    lab.ok(&["gate", "check", "income@1"]);
    assert_eq!(against_the_champion(&lab, "income@1"), "pass");
    // This one sees next to nothing.
    lab.replace(PIPELINE, "\"capital-gain\", \"age\"]", WORSE);
    lab.ok(&["run", PIPELINE]);
    assert_eq!(lab.run(&["gate", "check", "income@3"]).code, Some(3));
    assert_eq!(against_the_champion(&lab, "income@3"), "fail");
    // And this one is judged by too few rows.
    lab.replace(PIPELINE, "[0.6, 0.2, 0.2]", "[0.5, 0.48, 0.02]");
    lab.ok(&["run", PIPELINE]);
    assert_eq!(lab.run(&["gate", "check", "income@4"]).code, Some(3));
    assert_eq!(against_the_champion(&lab, "income@4"), "not-enough-data");
    lab.ok(&["gate", "verify"]);
}

const WORSE: &str = "\"capital-gain\", \"age\", \"education\", \"education-num\", \"marital-status\", \"occupation\", \
                     \"relationship\", \"hours-per-week\", \"capital-loss\"]";
