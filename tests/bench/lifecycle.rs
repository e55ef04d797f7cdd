//! Ten stages in a line that do next to nothing: what the program itself costs.

use std::{fmt::Write as _, time::Instant};

use serde_json::Value;
use stagewright_tests::{Lab, component};

const STAGES: usize = 10;
const TIMES: usize = 30;
/// Aims, in milliseconds for each stage.
const FRESH: f64 = 3.0;
const UNCHANGED: f64 = 0.3;

pub(crate) fn run() {
    let lab = Lab::empty();
    lab.ok(&["init"]);
    lab.ok(&["plugin", "add", component("clean").to_str().expect("a path of text")]);
    lab.write("rows.csv", "a,b\n1,x\n2,y\n");
    lab.ok(&["data", "add", "rows", "rows.csv"]);
    lab.write("line.toml", line(0));
    lab.ok(&["run", "line.toml"]);

    let nothing = times(|| drop(lab.ok(&["--version"])));
    let fresh = (1..=TIMES)
        .map(|round| {
            lab.write("line.toml", line(round));
            let start = Instant::now();
            let answer = lab.json(&["run", "line.toml"]);
            let time = start.elapsed().as_secs_f64() * 1000.0;
            assert_eq!(executed(&answer), STAGES, "every stage ran");
            time
        })
        .collect();
    let fresh = Times::of(fresh);
    let unchanged = times(|| drop(lab.ok(&["run", "line.toml"])));
    println!("the program alone (--version)  {:8.2} ms (median {:.2})", nothing.least, nothing.median);
    for (what, Times { least, median }, aim) in [("fresh", fresh, FRESH), ("unchanged", unchanged, UNCHANGED)] {
        let each = least / STAGES as f64;
        println!(
            "{STAGES} stages, {what:<10} {least:17.2} ms (median {median:.2}), {each:.2} ms for each: {:.2} of the aim {aim} ms",
            each / aim
        );
    }
}

/// Milliseconds: what the program costs, and what it took beside whatever else the machine did.
struct Times {
    least: f64,
    median: f64,
}

impl Times {
    fn of(mut all: Vec<f64>) -> Self {
        all.sort_by(f64::total_cmp);
        Self { least: all[0], median: all[all.len() / 2] }
    }
}

fn times(mut work: impl FnMut()) -> Times {
    let one = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1000.0
    };
    Times::of((0..TIMES).map(one).collect())
}

/// The pipeline with a seed of its own for each stage: the rows stay as they are, so that stages of one seed would be
/// one step, known from the second on.
fn line(round: usize) -> String {
    let mut pipeline = "[pipeline]\nname = \"line\"\n\n[data]\nrows = \"rows\"\n".to_owned();
    for stage in 0..STAGES {
        let input = if stage == 0 { "data.rows".to_owned() } else { format!("s{}", stage - 1) };
        let seed = round * STAGES + stage;
        let section = format!("\n[stage.s{stage}]\npreprocessor = \"clean\"\ninput = \"{input}\"\nseed = {seed}\n");
        pipeline.write_str(&section).expect("text grows");
    }
    pipeline
}

/// How many steps of a run were not known already.
fn executed(answer: &Value) -> usize {
    let stages = answer["run"]["stages"].as_array().expect("a run has stages");
    let steps = stages.iter().flat_map(|stage| stage["steps"].as_array().expect("a stage has steps"));
    steps.filter(|step| step["cached"] == false).count()
}
