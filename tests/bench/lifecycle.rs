//! Ten stages in a line that do next to nothing: what the program itself costs.

use std::fmt::Write as _;

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
    let mut pipeline = "[pipeline]\nname = \"line\"\n\n[data]\nrows = \"rows\"\n".to_owned();
    for stage in 0..STAGES {
        let input = if stage == 0 { "data.rows".to_owned() } else { format!("s{}", stage - 1) };
        write!(pipeline, "\n[stage.s{stage}]\npreprocessor = \"clean\"\ninput = \"{input}\"\n").expect("text grows");
    }
    lab.write("line.toml", pipeline);
    lab.ok(&["run", "line.toml"]);

    let nothing = median(20, || drop(lab.ok(&["--version"])));
    let mut seed = 0;
    let fresh = median(20, || {
        // A seed of its own makes every stage a new one, as a change of the first would.
        seed += 1;
        lab.ok(&["run", "line.toml", "--seed", &seed.to_string()]);
    });
    lab.ok(&["run", "line.toml"]);
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
