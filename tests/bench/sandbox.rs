//! What the sandbox costs: both trainers on 100,000 × 30, in a worker process, natively from the same source, and
//! (where `python3` has them) scikit-learn and LightGBM.

use std::{fmt::Write as _, process::Command, time::Instant};

use stagewright_gradient_boosting::train::BoostedTrees;
use stagewright_logistic_regression::Logistic;
use stagewright_stage::{Reader, Series, Table, Trainer};
use stagewright_tests::{Lab, component};

use crate::median;

const ROWS: usize = 100_000;
const COLUMNS: usize = 30;
/// The aim: sandboxed over native.
const TAX: f64 = 1.3;
const PROFILES: [&str; 2] = ["fast", "strict"];
const ROUNDS: usize = 7;

pub(crate) fn run() {
    let (columns, label) = rows(ROWS);
    let lab = Lab::empty();
    lab.ok(&["init"]);
    lab.write("rows.csv", csv(&columns, &label));
    lab.ok(&["data", "add", "rows", "rows.csv", "--type", "label=text"]);
    for plugin in ["logistic-regression", "gradient-boosting"] {
        lab.ok(&["plugin", "add", component(plugin).to_str().expect("a path of text")]);
        for profile in PROFILES {
            let pipeline = format!(
                "[pipeline]\nname = \"bench\"\nprofile = \"{profile}\"\n\n[data]\nrows = \"rows\"\n\n\
                 [stage.train]\ntrainer = \"{plugin}\"\ninput = \"data.rows\"\nwith = {{ label = \"label\" }}\n"
            );
            lab.write(&format!("{plugin}-{profile}.toml"), pipeline);
            lab.ok(&["run", &format!("{plugin}-{profile}.toml")]);
        }
    }
    for plugin in ["logistic-regression", "gradient-boosting"] {
        report(&lab, plugin);
    }
    python(&lab);
}

/// Trains natively, in this process, and prints the milliseconds that it took.
pub(crate) fn train_natively(plugin: &str) {
    let (columns, label) = rows(ROWS);
    let table = table(columns, &label);
    let milliseconds = match plugin {
        "logistic-regression" => train::<Logistic>(table),
        _ => train::<BoostedTrees>(table),
    };
    println!("{milliseconds}");
}

fn train<Plugin: Trainer>(table: Table) -> f64 {
    let parameters = serde_json::from_value(serde_json::json!({ "label": "label" })).expect("the parameters fit");
    let mut reader = Reader::of(table);
    let start = Instant::now();
    let weights = Plugin::train(&mut reader, None, parameters).expect("the model can be trained");
    assert!(!weights.is_empty());
    start.elapsed().as_secs_f64() * 1000.0
}

/// One run of each after the other, and again: a machine that slows down for a while slows all of them.
fn report(lab: &Lab, plugin: &str) {
    let (mut natively, mut inside, mut whole) = (Vec::new(), [const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for _ in 0..ROUNDS {
        natively.push(native(plugin));
        for (nth, profile) in PROFILES.iter().enumerate() {
            let start = Instant::now();
            let run = lab.json(&["run", &format!("{plugin}-{profile}.toml"), "--fresh"]);
            whole[nth].push(start.elapsed().as_secs_f64() * 1000.0);
            inside[nth].push(train_ms(&run));
        }
    }
    let native = least(natively);
    println!("{plugin:<20} native, same source  {native:8.0} ms");
    for ((profile, inside), whole) in PROFILES.iter().zip(inside).zip(whole) {
        let (stage, whole) = (least(inside), least(whole));
        let tax = stage / native;
        let aim = if *profile == "fast" { format!(": {:.2} of the aim {TAX}", tax / TAX) } else { String::new() };
        println!(
            "{plugin:<20} sandbox, {profile:<11} {stage:8.0} ms = {tax:.2} × native{aim}; whole process {whole:.0} ms"
        );
    }
}

/// The least: whatever else a machine does only ever adds, and here it adds up to half.
fn least(times: Vec<f64>) -> f64 {
    times.into_iter().fold(f64::INFINITY, f64::min)
}

/// The time that the trainer's step took, wherever in the answer the run stands.
fn train_ms(answer: &serde_json::Value) -> f64 {
    let run = answer.get("run").unwrap_or(answer);
    run["stages"][0]["steps"][0]["result"]["elapsed_ms"].as_f64().expect("the step says how long it took")
}

/// In a process of its own, as a stage is: it finds no memory that the one before it made ready.
fn native(plugin: &str) -> f64 {
    let mut itself = Command::new(std::env::current_exe().expect("this program has a path"));
    let output = itself.args([crate::NATIVE, plugin]).output().expect("this program starts again");
    let text = String::from_utf8(output.stdout).expect("a number is text");
    text.trim().parse::<f64>().expect("it printed a number")
}

/// Rows from a fixed generator: columns in (-1, 1), and a label that depends on some of them, with noise.
pub(crate) fn rows(count: usize) -> (Vec<Vec<f64>>, Vec<bool>) {
    let mut state = 1_u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    let columns: Vec<Vec<f64>> = (0..COLUMNS).map(|_| (0..count).map(|_| draw()).collect()).collect();
    let label = (0..count)
        .map(|row| {
            let linear: f64 = (0..10).map(|column| columns[column][row] * (1.0 - 0.15 * column as f64)).sum();
            linear + columns[10][row] * columns[11][row] + draw() > 0.0
        })
        .collect();
    (columns, label)
}

fn word(label: bool) -> &'static str {
    if label { "yes" } else { "no" }
}

pub(crate) fn csv(columns: &[Vec<f64>], label: &[bool]) -> String {
    let mut text: String = (0..COLUMNS).map(|column| format!("x{column},")).collect();
    text.push_str("label\n");
    for (row, label) in label.iter().enumerate() {
        columns.iter().for_each(|column| write!(text, "{},", column[row]).expect("text grows"));
        text.push_str(word(*label));
        text.push('\n');
    }
    text
}

fn table(columns: Vec<Vec<f64>>, label: &[bool]) -> Table {
    let numbered = columns.into_iter().enumerate();
    let mut all: Vec<_> = numbered.map(|(index, column)| Series::of_floats(format!("x{index}"), column)).collect();
    all.push(Series::of_texts("label", label.iter().map(|label| Some(word(*label)))));
    Table::new(all).expect("columns of one length")
}

/// The same data through scikit-learn and LightGBM, each as a process of its own on one thread.
fn python(lab: &Lab) {
    for name in ["logistic", "lightgbm"] {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/reference.py");
        let mut ran = true;
        let time = median(3, || {
            let mut python = Command::new("python3");
            python.args([script, name]).arg(lab.file("rows.csv")).env("OMP_NUM_THREADS", "1");
            ran &= python.output().is_ok_and(|output| output.status.success());
        });
        if ran {
            println!("{name:<20} python, whole process {time:6.0} ms, reading the CSV included");
        } else {
            println!("{name:<20} python3 lacks what it takes (pandas, scikit-learn, lightgbm): not compared");
        }
    }
}
