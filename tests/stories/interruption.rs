//! Runs that are stopped, and programs that meet at one project.

use std::{
    io::{BufRead as _, BufReader},
    process::Child,
};

use stagewright_tests::{Lab, interrupt, signal};

/// A project whose training takes minutes.
pub(crate) fn slow_lab() -> Lab {
    let lab = Lab::census();
    lab.replace("pipelines/income.toml", "rounds = [10, 20]", "rounds = [100000]");
    lab
}

/// Reads what a run says until a stage has ended: then the next is running.
pub(crate) fn wait_for(child: &mut Child, stage: &str) {
    let said = BufReader::new(child.stderr.take().expect("the child's errors are piped"));
    let mut heard = Vec::new();
    for line in said.lines() {
        let line = line.expect("stagewright prints UTF-8");
        let is_there = line.contains(stage);
        heard.push(line);
        if is_there {
            return;
        }
    }
    panic!("{stage} was never mentioned in: {}", heard.join("\n"));
}

#[test]
fn an_interrupted_run_leaves_the_store_whole_and_goes_on_from_its_finished_stages() {
    let lab = slow_lab();
    let mut child = lab.start(&["run", "pipelines/income.toml"]);
    wait_for(&mut child, "features");
    interrupt(&child);
    let said = lab.end(child);
    assert_eq!(said.code, Some(130), "{}{}", said.out, said.err);
    lab.ok(&["fsck"]);

    lab.replace("pipelines/income.toml", "rounds = [100000]", "rounds = [10]");
    lab.ok(&["run", "pipelines/income.toml"]);
    let run = lab.json(&["show", "latest"]);
    let run = run.get("run").unwrap_or(&run);
    for name in ["expectations", "split", "features"] {
        let stage = run["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == name).unwrap();
        assert!(stage["steps"].as_array().unwrap().iter().all(|step| step["cached"] == true), "{name} ran again");
    }
}

#[test]
fn a_second_writer_is_told_who_holds_the_project_and_a_reader_is_not_disturbed() {
    let lab = slow_lab();
    let mut child = lab.start(&["run", "pipelines/income.toml"]);
    wait_for(&mut child, "features");
    let writer = lab.run(&["data", "add", "other", "census.csv"]);
    let reader = lab.run(&["data", "list"]);
    signal(&child, "INT");
    lab.end(child);
    assert_eq!(writer.code, Some(1), "{}{}", writer.out, writer.err);
    assert!(writer.err.contains("another"), "{}", writer.err);
    assert_eq!(reader.code, Some(0), "{}{}", reader.out, reader.err);
    lab.ok(&["data", "add", "other", "census.csv"]);
}
