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
