//! From rows to a registered model, again, and with one thing changed.

use std::process::{Command, Output};

use serde_json::Value;
use stagewright_tests::{Lab, census, components, examples, program};

/// The stages of the latest run by name: whether each was known already.
fn known(lab: &Lab) -> Vec<(String, bool)> {
    let run = lab.json(&["show", "latest"]);
    let run = run.get("run").unwrap_or(&run);
    let stages = run["stages"].as_array().expect("a run has stages");
    let is_known = |stage: &Value| {
        let steps = stage["steps"].as_array().expect("a stage has steps");
        steps.iter().all(|step| step["cached"] == true)
    };
    stages.iter().map(|stage| (stage["name"].as_str().expect("a name").to_owned(), is_known(stage))).collect()
}

/// The digest of the newest version of the model.
fn model(lab: &Lab) -> String {
    let run = lab.json(&["show", "latest"]);
    run.get("run").unwrap_or(&run)["model"]["digest"].as_str().expect("the run registered a model").to_owned()
}

#[test]
fn census_rows_become_a_registered_model_and_the_run_verifies() {
    let lab = Lab::census();
    lab.ok(&["check", "pipelines/income.toml"]);
    lab.ok(&["run", "pipelines/income.toml"]);
    let run = lab.json(&["show", "latest"]);
    let run = run.get("run").unwrap_or(&run);
    assert_eq!(run["status"], "succeeded");
    assert_eq!(run["model"]["name"], "income");
    assert_eq!(run["model"]["number"], 1);
    let candidates = run["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == "train").unwrap();
    assert_eq!(
        candidates["candidates"].as_array().unwrap().len(),
        3,
        "one of the plugins takes `rounds`, the other not"
    );
    lab.ok(&["verify", "latest"]);
}

#[test]
fn an_unchanged_pipeline_is_not_run_again() {
    let lab = Lab::census();
    lab.ok(&["run", "pipelines/income.toml"]);
    lab.ok(&["run", "pipelines/income.toml"]);
    let runs = lab.json(&["runs"]);
    let count = runs.as_array().or_else(|| runs["runs"].as_array()).unwrap().len();
    assert_eq!(count, 1, "nothing changed, so there is nothing to record: {runs}");
}

#[test]
fn what_has_not_changed_is_told_without_the_engine_and_in_its_words() {
    let lab = Lab::census();
    lab.ok(&["run", "pipelines/income.toml"]);
    let run = |program: &std::path::Path, arguments: &[&str]| -> Output {
        Command::new(program).current_dir(lab.path()).arg("run").args(arguments).output().expect("it starts")
    };
    let text = |output: &Output| String::from_utf8(output.stdout.clone()).expect("text");
    let (front, engine) = (program("stagewright"), program("stagewright-engine"));
    // A copy of the front alone can tell nothing but that.
    let alone = lab.file("stagewright");
    std::fs::copy(&front, &alone).expect("the program can be copied");
    for arguments in
        [&["pipelines/income.toml"][..], &["--json", "pipelines/income.toml"], &["pipelines/income.toml", "-q"]]
    {
        let told = run(&alone, arguments);
        assert!(told.status.success(), "{arguments:?}: {told:?}");
        assert_eq!(text(&told), text(&run(&engine, arguments)), "{arguments:?}");
    }
    assert!(text(&run(&alone, &["pipelines/income.toml"])).starts_with("nothing has changed since run 1\n"));
    let json: Value = serde_json::from_str(&text(&run(&alone, &["pipelines/income.toml", "--json"]))).expect("JSON");
    assert_eq!((&json["unchanged"], &json["run"]["id"]), (&Value::Bool(true), &Value::from(1)));

    // Whatever may make a difference is the engine's to decide.
    let is_asked = |arguments: &[&str]| {
        let told = run(&alone, arguments);
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(told.status.code(), Some(1), "{arguments:?}: {told:?}");
        assert!(said.contains("stagewright-engine") && said.contains("one folder"), "{arguments:?}: {said}");
    };
    is_asked(&["pipelines/income.toml", "--fresh"]);
    is_asked(&["pipelines/income.toml", "--seed", "4"]);
    is_asked(&["pipelines/income.toml", "--record"]);
    is_asked(&["pipelines/missing.toml"]);
    is_asked(&["pipelines/income.toml", "pipelines/income.toml"]);
    let settings = std::fs::read_to_string(lab.file("stagewright.toml")).expect("settings");
    lab.write("stagewright.toml", format!("{settings}\n# changed\n"));
    is_asked(&["pipelines/income.toml"]);
    lab.write("stagewright.toml", settings);
    lab.ok(&["run", "pipelines/income.toml", "--seed", "4"]);
    is_asked(&["pipelines/income.toml"]);
}

#[test]
fn a_changed_parameter_runs_only_what_depends_on_it() {
    let lab = Lab::census();
    lab.ok(&["run", "pipelines/income.toml"]);
    lab.replace("pipelines/income.toml", "bootstrap = 50", "bootstrap = 40");
    lab.ok(&["run", "pipelines/income.toml"]);
    let again: Vec<_> = known(&lab).into_iter().filter(|(_, known)| !known).map(|(name, _)| name).collect();
    // The candidates are judged as the evaluator stage judges, so the trainer's comparison is made anew.
    assert_eq!(again, ["train", "evaluate"]);
}

#[test]
fn a_new_version_of_the_data_makes_a_new_version_of_the_model() {
    let lab = Lab::census();
    lab.ok(&["run", "pipelines/income.toml"]);
    let first = model(&lab);
    lab.write("more.csv", census(3500));
    lab.ok(&["data", "add", "adult", "more.csv"]);
    lab.ok(&["run", "pipelines/income.toml"]);
    assert_ne!(model(&lab), first);
    lab.ok(&["compare", "1", "2"]);
    lab.ok(&["lineage", "income@2"]);
}

#[test]
fn two_projects_make_the_same_model_of_the_same_rows() {
    let (one, other) = (Lab::census(), Lab::census());
    one.ok(&["run", "pipelines/income.toml"]);
    other.ok(&["run", "pipelines/income.toml"]);
    assert_eq!(model(&one), model(&other));
}

#[test]
fn the_example_fits_its_data_and_plugins() {
    let lab = Lab::empty();
    lab.ok(&["init"]);
    let components = components();
    let mut add = vec!["plugin", "add"];
    add.extend(components.iter().map(|path| path.to_str().unwrap()));
    lab.ok(&add);
    let example = examples().join("adult-income");
    lab.ok(&["data", "add", "adult", example.join("data/census.csv.gz").to_str().unwrap()]);
    lab.write("pipelines/income.toml", std::fs::read(example.join("pipelines/income.toml")).unwrap());
    lab.ok(&["check", "pipelines/income.toml"]);
}
