//! Models over HTTP: what clients get, what those who err are told, and what a model that misbehaves comes to.

mod clients;
mod misbehaviour;
mod mistakes;

use serde_json::{Value, json};
use stagewright_tests::{Lab, Serving};

use crate::guests;

/// A project with a model that returns its only column, `x`, and does what a story wants where that is 666.
fn echo(at_666: &str, settings: &str) -> Lab {
    let lab = Lab::empty();
    lab.ok(&["init"]);
    lab.write("stagewright.toml", format!("[serve]\n{settings}"));
    lab.write("rows.csv", "x\n0.5\n1.5\n2.5\n");
    lab.ok(&["data", "add", "rows", "rows.csv"]);
    // Every row is looked at, since rows of several requests may come together.
    let first = format!(
        "(local $i i32)
         (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $i) (local.get $rows)))
            (if (f64.eq (f64.const 666) (f64.load (i32.add (i32.load (local.get $columns)) (i32.shl (local.get $i) (i32.const 3)))))
                (then {at_666}))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))"
    );
    lab.write("echo.wasm", guests::model_that(&first));
    lab.ok(&["plugin", "add", "echo.wasm"]);
    lab.write(
        "echo.toml",
        "[pipeline]\nname = \"echo\"\n\n[data]\nrows = \"rows\"\n\n[stage.train]\ntrainer = \"echo\"\ninput = \"data.rows\"\n\n\
         [model]\nname = \"echo\"\n",
    );
    lab.ok(&["run", "echo.toml"]);
    lab
}

/// A census row as a request brings it.
fn person() -> Value {
    json!({
        "age": 39, "workclass": "State-gov", "education": "Bachelors", "education-num": 13,
        "marital-status": "Never-married", "occupation": "Adm-clerical", "relationship": "Not-in-family",
        "ethnicity": "White", "gender": "Male", "capital-gain": 2174, "capital-loss": 0, "hours-per-week": 40,
    })
}

/// The cut-down demo, trained and served.
fn income() -> (Lab, Serving) {
    let lab = Lab::census();
    lab.ok(&["run", "pipelines/income.toml"]);
    let serving = Serving::start(&lab, &["income"]);
    (lab, serving)
}
