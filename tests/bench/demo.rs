//! The demo's pipeline: its first run, and the same again.

use stagewright_tests::{Lab, components, examples};

use crate::median;

/// Aims, in seconds.
const FIRST: f64 = 20.0;
const UNCHANGED: f64 = 0.2;

pub(crate) fn run() {
    let lab = Lab::empty();
    let example = examples().join("adult-income");
    let data = example.join("data/census.csv.gz");
    let pipeline = std::fs::read(example.join("pipelines/income.toml")).expect("the example can be read");
    lab.write("pipelines/income.toml", pipeline);
    let components = components();
    let mut add = vec!["plugin", "add"];
    add.extend(components.iter().map(|path| path.to_str().expect("a path of text")));
    let first = median(1, || {
        lab.ok(&["init"]);
        lab.ok(&add);
        lab.ok(&["data", "add", "adult", data.to_str().expect("a path of text")]);
        lab.ok(&["run", "pipelines/income.toml"]);
    }) / 1000.0;
    let unchanged = median(10, || drop(lab.ok(&["run", "pipelines/income.toml"]))) / 1000.0;
    let fresh = median(1, || drop(lab.ok(&["run", "pipelines/income.toml", "--fresh"]))) / 1000.0;
    println!("from init to the registered model {first:6.2} s: {:.2} of the aim {FIRST} s", first / FIRST);
    println!("every stage again (--fresh)       {fresh:6.2} s");
    println!(
        "unchanged                         {unchanged:6.2} s: {:.2} of the aim {UNCHANGED} s",
        unchanged / UNCHANGED
    );
}
