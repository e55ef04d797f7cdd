//! Stored bytes that are not what they were: a verification says so, and where.

use std::{
    fs,
    path::{Path, PathBuf},
};

use stagewright_tests::{Lab, Said};

/// Every file below a folder whose path holds `part`.
fn files(folder: &Path, part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            found.extend(files(&path, part));
        } else if path.to_string_lossy().contains(part) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Changes one byte in the middle of the largest pack of a repository.
fn damage(lab: &Lab, repository: &str) {
    let packs = files(&lab.file(&format!(".stagewright/{repository}")), "packs/");
    let size = |path: &PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
    damage_file(&packs.into_iter().max_by_key(size).expect("the repository has a pack"));
}

fn damage_file(pack: &Path) {
    let mut bytes = fs::read(pack).expect("the pack can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(pack, bytes).expect("the pack can be written");
}

fn lab_with_a_run() -> Lab {
    let lab = Lab::census();
    lab.ok(&["run", "pipelines/income.toml"]);
    lab
}

fn assert_names_a_stage(said: &Said) {
    assert_eq!(said.code, Some(4), "{}{}", said.out, said.err);
    let stages = ["expectations", "split", "features", "train", "evaluate", "fairness"];
    let text = format!("{}{}", said.out, said.err);
    assert!(stages.iter().any(|stage| text.contains(stage)), "no stage is named in: {text}");
}

#[test]
fn a_repository_that_cannot_be_checked_is_named_and_hides_no_other() {
    let lab = Lab::empty();
    lab.ok(&["init"]);
    lab.write("rows.csv", "a,b\n1,x\n2,y\n");
    lab.ok(&["data", "add", "rows", "rows.csv"]);
    let packs = lab.file(".stagewright/repos/data/packs");
    fs::rename(&packs, lab.file("elsewhere")).expect("the folder can be moved");
    std::os::unix::fs::symlink(lab.file("elsewhere"), &packs).expect("a link can be made");
    let said = lab.run(&["fsck"]);
    assert_eq!(said.code, Some(4), "{}{}", said.out, said.err);
    assert!(said.out.contains("not checked: the whole repository `data`: "), "{}", said.out);
    assert!(said.err.contains("not every repository could be checked"), "{}", said.err);
    for repository in ["code", "models", "ledger"] {
        assert!(said.out.lines().any(|line| line.starts_with(repository)), "{repository} is missing: {}", said.out);
    }
}

#[test]
fn a_changed_byte_of_a_table_is_found_and_its_stage_named() {
    let lab = lab_with_a_run();
    damage(&lab, "repos/data");
    assert_names_a_stage(&lab.run(&["verify", "latest"]));
    assert_eq!(lab.run(&["fsck"]).code, Some(4));
}

#[test]
fn a_changed_byte_of_a_model_or_report_is_found_and_its_stage_named() {
    let lab = lab_with_a_run();
    damage(&lab, "repos/models");
    assert_names_a_stage(&lab.run(&["verify", "latest"]));
}

#[test]
fn a_changed_byte_of_a_plugin_is_found_and_its_stage_named() {
    let lab = lab_with_a_run();
    damage(&lab, "repos/code");
    assert_names_a_stage(&lab.run(&["verify", "latest"]));
}

#[test]
fn a_changed_byte_of_the_pipeline_file_that_a_run_kept_is_found() {
    let lab = lab_with_a_run();
    // The run is the last that wrote to the repository of code, and its file is all that it wrote.
    damage_file(files(&lab.file(".stagewright/repos/code"), "packs/").last().expect("a pack"));
    let said = lab.run(&["verify", "latest"]);
    assert_eq!(said.code, Some(4), "{}{}", said.out, said.err);
}

#[test]
fn a_changed_byte_of_a_runs_record_or_log_is_found() {
    let lab = lab_with_a_run();
    damage(&lab, "ledger");
    let said = lab.run(&["verify", "latest"]);
    assert_eq!(said.code, Some(4), "{}{}", said.out, said.err);
}

#[test]
fn an_untouched_run_verifies_even_after_a_plugin_got_a_new_version() {
    let lab = lab_with_a_run();
    let split = stagewright_tests::component("clean");
    lab.ok(&["plugin", "add", "--name", "split", split.to_str().unwrap()]);
    lab.ok(&["verify", "latest"]);
}

#[test]
fn an_exported_log_is_checked_anywhere_and_every_edit_of_it_is_found() {
    let lab = Lab::empty();
    lab.ok(&["init"]);
    lab.write("rows.csv", "a,b\n1,2\n");
    lab.ok(&["data", "add", "rows", "rows.csv", "-m", "the first"]);
    lab.ok(&["data", "tag", "rows@1", "checked"]);
    lab.ok(&["audit", "export", "audit.json"]);
    let elsewhere = Lab::empty();
    let whole = fs::read_to_string(lab.file("audit.json")).expect("the export is there");
    elsewhere.write("audit.json", &whole);
    elsewhere.ok(&["audit", "verify", "audit.json"]);

    let edited = |what: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let mut bundle: serde_json::Value = serde_json::from_str(&whole).expect("the export is JSON");
        change(&mut bundle);
        elsewhere.write("edited.json", bundle.to_string());
        let said = elsewhere.run(&["audit", "verify", "edited.json"]);
        assert_eq!(said.code, Some(4), "{what}: {}{}", said.out, said.err);
        said.err
    };
    let entry = |bundle: &mut serde_json::Value, at: usize| bundle["logs"][0]["entries"][at].take();
    let changed = edited("a changed entry", &|bundle| bundle["logs"][0]["entries"][1]["who"] = "eve".into());
    assert!(changed.contains("entry 2 does not follow from entry 1"), "{changed}");
    let removed = edited("a removed entry", &|bundle| {
        bundle["logs"][0]["entries"].as_array_mut().expect("a list").remove(1);
    });
    assert!(removed.contains("entry 1 says that it is entry 2"), "{removed}");
    let swapped = edited("two entries in another order", &|bundle| {
        let (one, two) = (entry(bundle, 1), entry(bundle, 2));
        (bundle["logs"][0]["entries"][1], bundle["logs"][0]["entries"][2]) = (two, one);
    });
    assert!(swapped.contains("out of order"), "{swapped}");
    let cut = edited("the newest entry removed", &|bundle| {
        bundle["logs"][0]["entries"].as_array_mut().expect("a list").pop();
    });
    assert!(cut.contains("the signed head speaks of"), "{cut}");
    let gone = edited("a whole log removed", &|bundle| {
        bundle["logs"].as_array_mut().expect("a list").remove(2);
    });
    assert!(gone.contains("the log of repository `models` is missing"), "{gone}");
    let renamed = edited("two logs that changed their names", &|bundle| {
        bundle["logs"][0]["repository"] = "models".into();
        bundle["logs"][2]["repository"] = "data".into();
    });
    assert!(renamed.contains("its first entry is that of repository"), "{renamed}");
    let added = edited("a field that no hash covers", &|bundle| {
        bundle["logs"][0]["entries"][1]["approved"] = true.into();
    });
    assert!(added.contains("the file was edited"), "{added}");
    elsewhere.write("edited.json", whole.replacen("\"who\"", "\"who\": \"eve\", \"who\"", 1));
    assert_ne!(elsewhere.run(&["audit", "verify", "edited.json"]).code, Some(0), "a key that is there twice");
}
