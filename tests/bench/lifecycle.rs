//! Ten stages in a line that do next to nothing: what the program itself costs.

use std::{fmt::Write as _, time::Instant};

use serde_json::Value;
use stagewright_tests::{Lab, component};

use crate::median;

const STAGES: usize = 10;
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

    let nothing = median(20, || drop(lab.ok(&["--version"])));
    let mut times: Vec<f64> = (1..=20)
        .map(|round| {
            lab.write("line.toml", line(round));
            let start = Instant::now();
            let answer = lab.json(&["run", "line.toml"]);
            let time = start.elapsed().as_secs_f64() * 1000.0;
            assert_eq!(executed(&answer), STAGES, "every stage ran");
            time
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let fresh = times[times.len() / 2];
    let unchanged = median(20, || drop(lab.ok(&["run", "line.toml"])));
    println!("the program alone (--version)  {nothing:8.2} ms");
    for (what, time, aim) in [("fresh", fresh, FRESH), ("unchanged", unchanged, UNCHANGED)] {
        let each = time / STAGES as f64;
        println!(
            "{STAGES} stages, {what:<10} {time:17.2} ms, {each:.2} ms for each: {:.2} of the aim {aim} ms",
            each / aim
        );
    }
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
