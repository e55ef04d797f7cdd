//! From a candidate to a model that may serve: gates, waivers, approvals, and the record of all of it.

use expect_test::expect;
use serde_json::Value;
use stagewright_tests::Lab;

const PIPELINE: &str = "pipelines/income.toml";
const PARITY: &str = "fairness.demographic-parity-ratio{column=gender}";

/// A project whose gate asks for accuracy, for fairness and for two approvals, and its people: ada, who trains models
/// and is the administrator, grace and hopper, who may approve, and joan, who may not.
fn guarded() -> Lab {
    let lab = Lab::census();
    let text = std::fs::read_to_string(lab.file(PIPELINE)).expect("the demo has a pipeline");
    let gate = format!(
        "\n[gate]\nevaluate.accuracy = {{ min = 0.7 }}\n\"{PARITY}\" = {{ min = 0.8, significance = 0.05, waivable-by = \
         [\"model-risk\"] }}\napprovals = {{ count = 2, roles = [\"model-risk\"], within = \"14d\" }}\n"
    );
    lab.write(PIPELINE, text + &gate);
    lab.ok(&["user", "add", "ada", "--role", "admin", "--role", "model-risk"]);
    for (name, role) in [("grace", "model-risk"), ("hopper", "model-risk"), ("joan", "marketing")] {
        lab.ok(&["user", "add", name, "--role", role]);
    }
    lab.ok(&["run", PIPELINE]);
    lab
}

fn waive<'a>(by: &'a str, rule: &'a str) -> [&'a str; 11] {
    ["gate", "waive", "income@1", "--rule", rule, "--reason", "mailings only", "--expires", "30d", "--as", by]
}

fn approve(by: &str) -> [&str; 6] {
    ["approve", "income@1", "--reason", "good enough for mailings", "--as", by]
}

fn state(lab: &Lab) -> Value {
    lab.json(&["gate", "explain", "income@1"])["state"]["state"].clone()
}

#[test]
fn an_unfair_model_is_held_until_a_waiver_and_two_people_let_it_pass() {
    let lab = guarded();
    let explained = lab.json(&["gate", "explain", "income@1"]);
    let rules = explained["verdict"]["record"]["verdict"]["rules"].as_array().unwrap();
    let outcomes: Vec<_> = rules.iter().map(|rule| (rule["subject"].as_str().unwrap(), &rule["outcome"])).collect();
    assert_eq!(
        outcomes,
        [
            ("evaluate.accuracy", &Value::from("pass")),
            (PARITY, &Value::from("fail")),
            ("evaluate.findings", &Value::from("pass")),
            ("expectations.findings", &Value::from("pass")),
            ("fairness.findings", &Value::from("pass")),
        ]
    );
    assert_eq!(lab.run(&["gate", "check", "income@1"]).code, Some(3));
    assert_eq!(lab.run(&approve("grace")).code, Some(1), "nobody approves what the gate holds");
    assert_eq!(lab.run(&waive("joan", PARITY)).code, Some(1), "a waiver takes the role that the rule names");
    assert_eq!(lab.run(&waive("grace", "evaluate.accuracy")).code, Some(1), "this rule names no role");
    lab.ok(&waive("grace", PARITY));
    lab.ok(&["gate", "check", "income@1"]);
    assert_eq!(state(&lab), "candidate");
    lab.ok(&approve("grace"));
    lab.ok(&approve("grace"));
    assert_eq!(state(&lab), "candidate", "one person is one approval, however often it is said");
    lab.ok(&approve("hopper"));
    assert_eq!(state(&lab), "approved");
    lab.ok(&["gate", "verify"]);
    lab.ok(&["audit", "verify"]);
    let shown = lab.ok(&["model", "show", "income@1"]).out;
    for said in
        ["income@1 is approved", "is waived by grace", "hopper approved it", "score", "nothing stands in its way"]
    {
        assert!(shown.contains(said), "{said}: {shown}");
    }
}

#[test]
fn an_author_approves_nothing_of_his_own_and_nobody_signs_for_another() {
    let lab = guarded();
    lab.ok(&waive("grace", PARITY));
    let said = lab.run(&approve("ada"));
    expect![[r#"
        exit 1
        error: `ada` may not approve income@1: an author does not decide about his own model
    "#]]
    .assert_eq(&said.refusal());
    // Grace's name with hopper's key is nobody.
    let key = lab.file(".config/stagewright/keys/hopper.key");
    let said = lab.run(&[&approve("grace")[..], &["--key", key.to_str().unwrap()]].concat());
    expect![[r#"
        exit 1
        error: the statement is not accepted: it is not signed with the key of `grace`
    "#]]
    .assert_eq(&said.refusal());
    let said = lab.run(&approve("joan"));
    expect![[r#"
        exit 1
        error: `joan` may not approve income@1: that takes `model-risk`
    "#]]
    .assert_eq(&said.refusal());
    assert_eq!(state(&lab), "candidate");
}

#[test]
fn two_approvals_at_the_same_time_are_both_counted() {
    let lab = guarded();
    lab.ok(&waive("grace", PARITY));
    let both = [lab.start(&approve("grace")), lab.start(&approve("hopper"))];
    for child in both {
        let said = lab.end(child);
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
    assert_eq!(state(&lab), "approved");
}

#[test]
fn a_rejection_stands_until_the_same_person_approves() {
    let lab = guarded();
    lab.ok(&waive("grace", PARITY));
    lab.ok(&["reject", "income@1", "--reason", "the data is of 1994", "--as", "hopper"]);
    lab.ok(&approve("grace"));
    let missing = lab.json(&["gate", "explain", "income@1"])["missing"].to_string();
    assert!(missing.contains("`hopper` rejected it: the data is of 1994"), "{missing}");
    lab.ok(&approve("hopper"));
    assert_eq!(state(&lab), "approved");
}

#[test]
fn what_a_gate_names_is_checked_before_anything_runs() {
    let lab = guarded();
    let refused = |from: &str, to: &str| {
        let whole = std::fs::read(lab.file(PIPELINE)).unwrap();
        lab.replace(PIPELINE, from, to);
        let said = lab.run(&["check", PIPELINE]).refusal();
        lab.write(PIPELINE, whole);
        said
    };
    expect![[r#"
        exit 2
        error: pipelines/income.toml:52:10: stage `evaluate` reports no figure `accurcy`
          hint: did you mean `accuracy`?
    "#]]
    .assert_eq(&refused("evaluate.accuracy =", "evaluate.accurcy ="));
    expect![[r#"
        exit 2
        error: pipelines/income.toml:53:1: stage `fairness` reports nothing for column `gendre`
          hint: did you mean `gender`?
    "#]]
    .assert_eq(&refused("{column=gender}", "{column=gendre}"));
    expect![[r#"
        exit 2
        error: pipelines/income.toml:53:1: `fairness.demographic-parity-ratio` has not the labels of a `demographic-parity-ratio`
          hint: write `fairness.demographic-parity-ratio{column=COLUMN}`
    "#]]
    .assert_eq(&refused("{column=gender}", ""));
}

#[test]
fn another_gate_asks_for_another_verdict_and_its_approvals_anew() {
    let lab = guarded();
    lab.ok(&waive("grace", PARITY));
    lab.ok(&approve("grace"));
    lab.ok(&approve("hopper"));
    lab.replace(PIPELINE, "min = 0.7 }", "min = 0.99 }");
    lab.ok(&["run", PIPELINE]);
    // The same model, so the same version; but this is not what grace and hopper looked at.
    assert_eq!(state(&lab), "candidate");
    assert_eq!(lab.run(&approve("grace")).code, Some(1));
    lab.ok(&["gate", "verify", "income"]);
}

#[test]
fn a_token_is_shown_once_and_kept_as_a_hash() {
    let lab = Lab::census();
    lab.ok(&["user", "add", "ada", "--role", "admin"]);
    let made = lab.json(&["token", "create", "ada", "--scope", "predict:models", "--expires", "1h"]);
    let text = made["token"].as_str().unwrap();
    let secret = text.rsplit('_').next().unwrap();
    assert_eq!(secret.len(), 64);
    let listed = lab.ok(&["--json", "token", "list"]).out;
    assert!(!listed.contains(secret) && !listed.contains("argon2"), "{listed}");
    // No file of the project holds the secret.
    let found = std::process::Command::new("grep").args(["-r", "-l", secret, "."]).current_dir(lab.path()).output();
    assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "");
    let id = made["about"]["id"].as_str().unwrap();
    lab.ok(&["token", "revoke", id]);
    assert!(lab.json(&["token", "list"])[0]["revoked_ms"].is_u64());
}

#[test]
fn private_keys_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::census();
    lab.ok(&["user", "add", "ada", "--role", "admin"]);
    let file = lab.file(".config/stagewright/keys/ada.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    expect![[r#"
        exit 2
        error: [project]/.config/stagewright/keys/ada.key: others may read this private key (mode 644); `chmod 600` it
    "#]]
    .assert_eq(&lab.run(&["user", "add", "eve", "--role", "model-risk"]).refusal());
    // And eve has no say until somebody gives her one.
    assert_eq!(lab.json(&["user", "list"]).as_array().unwrap().len(), 1);
}

#[test]
fn versions_are_compared_with_their_intervals() {
    let lab = guarded();
    lab.replace(PIPELINE, "[\"logistic-regression\", \"gradient-boosting\"]", "\"gradient-boosting\"");
    lab.ok(&["run", PIPELINE]);
    let compared = lab.json(&["model", "compare", "income@1", "income@2"]);
    let metrics = compared["metrics"].as_array().unwrap();
    let auc = metrics.iter().find(|pair| pair["before"]["name"] == "roc-auc").expect("the models differ");
    assert!(auc["before"]["low"].is_f64() && auc["after"]["high"].is_f64());
    lab.ok(&["lineage", "income@1"]);
    let listed = lab.json(&["model", "list", "income"]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

#[test]
fn the_aliases_of_production_are_not_given_away() {
    let lab = guarded();
    lab.ok(&["model", "tag", "income@1", "reviewed"]);
    expect![[r#"
        exit 1
        error: `champion` says what serves in production; only a deployment moves it
    "#]]
    .assert_eq(&lab.run(&["model", "tag", "income@1", "champion"]).refusal());
    lab.ok(&["model", "retire", "income@1", "--reason", "a better one is coming"]);
    assert_eq!(state(&lab), "retired");
}
