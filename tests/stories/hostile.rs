//! Plugins from strangers who mean harm. Each attack ends within its limits and in words, the stages beside it never
//! notice, and the store is clean afterwards.
//!
//! The whole table runs in two pipelines, all attacks beside one another and beside a few innocent stages: what only the
//! limit of time stops, and what another limit has to stop, however slow the machine.

pub(crate) mod attacks;
pub(crate) mod before;
pub(crate) mod elsewhere;
mod granted;

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use serde_json::Value;
use stagewright_tests::Lab;

use self::attacks::Attack;
use crate::guests;

/// Small limits, so that the whole table takes seconds; the limit of time only where nothing else ends the attack.
fn settings(time: &str) -> String {
    format!(
        "[limits]\nmemory = \"64MiB\"\ntime = \"{time}\"\noutput = \"64KiB\"\nlog = \"16KiB\"\nvalue = \"1MiB\"\n\
         compile-time = \"60s\"\ncompile-memory = \"1GiB\"\n"
    )
}

/// More than any attack takes that ends by itself or at another limit.
const AMPLE: &str = "60s";
const SHORT: &str = "1s";

/// Whether only the limit of time ends an attack.
fn endless(name: &str) -> bool {
    name.starts_with("spins")
        || ["logs-for-ever", "logs-long-lines", "reports-progress-for-ever", "reads-for-ever"].contains(&name)
}

const INNOCENT: &str = "
[stage.innocent]
preprocessor = \"innocent-copier\"
input = \"data.rows\"
outputs = [\"table\"]

[stage.innocent-model]
trainer = \"innocent-trainer\"
input = \"data.rows\"

[stage.innocent-verdict]
evaluator = \"innocent-evaluator\"
model = \"innocent-model\"
input = \"data.rows\"
";

/// A project with a table and the innocent plugins.
fn scene() -> Lab {
    let lab = Lab::empty();
    lab.ok(&["init"]);
    lab.write("stagewright.toml", settings(AMPLE));
    lab.write("rows.csv", (0..100).map(|row| format!("{row}.5\n")).fold("x\n".to_owned(), |all, row| all + &row));
    lab.ok(&["data", "add", "rows", "rows.csv"]);
    // Where a validator fails, nothing else may read the table that it was to judge.
    lab.ok(&["data", "add", "judged", "rows.csv"]);
    lab.write("plugins/innocent-copier.wasm", guests::copier());
    lab.write("plugins/innocent-trainer.wasm", guests::model());
    lab.write("plugins/innocent-evaluator.wasm", guests::evaluator());
    lab
}

/// A pipeline in which every attack is a stage, and the innocent ones stand between.
fn pipeline<'a>(attacks: impl IntoIterator<Item = &'a Attack>) -> String {
    let mut text = "[pipeline]\nname = \"attacks\"\n\n[data]\nrows = \"rows\"\njudged = \"judged\"\n".to_owned();
    text.push_str(INNOCENT);
    for Attack { name, kind, .. } in attacks {
        let stage = match *kind {
            "validator" => "input = \"data.judged\"\n",
            "preprocessor" => "input = \"data.rows\"\noutputs = [\"table\"]\n",
            "evaluator" | "fairness-checker" => "input = \"data.rows\"\nmodel = \"innocent-model\"\n",
            "monitor" => "reference = \"data.rows\"\ncurrent = \"data.rows\"\n",
            _ => "input = \"data.rows\"\n",
        };
        let used = match *kind {
            "features" => "featurizer",
            "model" => "trainer",
            kind => kind,
        };
        let _ = write!(text, "\n[stage.{name}]\n{used} = \"{name}\"\n{stage}");
        // What attacks only when it is used has to be used.
        let user = match *kind {
            "features" => "trainer = \"innocent-trainer\"\ninput = \"data.rows\"\nfeatures",
            "model" => "evaluator = \"innocent-evaluator\"\ninput = \"data.rows\"\nmodel",
            _ => continue,
        };
        let _ = write!(text, "\n[stage.{name}-used]\n{user} = \"{name}\"\n");
    }
    text
}

/// The stages in a run's record.
fn stages(run: &Value) -> &[Value] {
    run.get("run").unwrap_or(run)["stages"].as_array().expect("a run has stages")
}

/// How each attack among the stages of the runs ended, in the order of the attacks.
fn endings(runs: &[Value], attacks: &[Attack]) -> String {
    let stages: Vec<&Value> = runs.iter().flat_map(stages).collect();
    let ending = |name: &str| {
        let stage = stages.iter().find(|stage| stage["name"] == name).expect("every stage is in the record");
        match (&stage["status"], &stage["message"]) {
            (Value::String(status), Value::String(message)) => format!("{status}: {message}"),
            (Value::String(status), _) => status.clone(),
            (status, _) => status.to_string(),
        }
    };
    // A failure may be long, and hold what must not reach a terminal.
    let shown = |text: String| match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}… ({} bytes)", text[..end].escape_debug(), text.len()),
        None => text.escape_debug().to_string().replace("\\'", "'"),
    };
    let mut text = String::new();
    for Attack { name, kind, .. } in attacks {
        let used = ["features", "model"].contains(kind);
        let how = ending(&if used { format!("{name}-used") } else { (*name).to_owned() });
        let _ = writeln!(text, "{name}: {}", shown(how));
    }
    text
}

#[test]
fn every_attack_ends_in_words_and_harms_nobody() {
    let attacks: Vec<Attack> =
        [attacks::validators(), attacks::preprocessors(), elsewhere::others()].into_iter().flatten().collect();
    let lab = scene();
    lab.ok(&["plugin", "add", "plugins"]);
    lab.write("alone.toml", format!("[pipeline]\nname = \"alone\"\n\n[data]\nrows = \"rows\"\n{INNOCENT}"));
    let alone = lab.json(&["run", "alone.toml", "--fresh"]);

    for attack in &attacks {
        lab.write(&format!("plugins/{}.wasm", attack.name), &attack.component);
    }
    lab.ok(&["plugin", "add", "plugins"]);
    let runs = [(AMPLE, false), (SHORT, true)].map(|(time, without_end)| {
        lab.write("stagewright.toml", settings(time));
        lab.write("attacks.toml", pipeline(attacks.iter().filter(|attack| endless(attack.name) == without_end)));
        let run = lab.run(&["--json", "run", "attacks.toml", "--fresh"]);
        assert_eq!(run.code, Some(3), "{}", run.err);
        serde_json::from_str::<Value>(&run.out).expect("the run is told as JSON")
    });
    CONTAINED.assert_eq(&endings(&runs, &attacks));

    let outputs = |run: &Value| -> Vec<Value> {
        let innocent = |stage: &&Value| stage["name"].as_str().is_some_and(|name| name.starts_with("innocent"));
        stages(run).iter().filter(innocent).map(|stage| stage["outputs"].clone()).collect()
    };
    for run in &runs {
        assert_eq!(outputs(run), outputs(&alone), "the innocent stages made the same as when they were alone");
        assert_eq!(outputs(run).len(), 3);
    }
    lab.ok(&["fsck"]);
    lab.ok(&["audit", "verify"]);
    lab.ok(&["gc"]);
    lab.ok(&["fsck"]);
}

const CONTAINED: Expect = expect![[r#"
    spins: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    traps: failed: the plugin crashed: wasm `unreachable` instruction executed
    recurses: failed: the plugin used up its stack of 2048 KiB: it recurses too deeply
    grows-its-memory: failed: the stage needs more than 64 MiB of memory (`limits.memory` in stagewright.toml raises this)
    asks-for-all-memory: failed: the stage needs more than 64 MiB of memory (`limits.memory` in stagewright.toml raises this)
    grows-its-table: failed: the stage needs more than 64 MiB of memory (`limits.memory` in stagewright.toml raises this)
    floods-the-log: succeeded
    logs-for-ever: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    logs-long-lines: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    logs-beyond-its-memory: failed: the plugin returned a bad value: string pointer/length out of bounds of memory
    logs-what-is-no-text: failed: the plugin returned a bad value: invalid utf-8 sequence of 1 bytes from index 0
    logs-at-level-9: failed: the plugin returned a bad value: unexpected discriminant: 9
    logs-to-the-terminal: succeeded
    reports-progress-for-ever: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    reports-progress-backwards: succeeded
    floods-a-curve: succeeded
    returns-rubbish: failed: the plugin returned a bad value: invalid expected discriminant
    fails-in-an-unknown-way: failed: the plugin returned a bad value: unexpected discriminant: 9
    fails-beyond-its-memory: failed: the plugin returned a bad value: string pointer/length out of bounds of memory
    fails-without-text: failed: the plugin returned a bad value: invalid utf-8 sequence of 1 bytes from index 0
    fails-at-length: failed: invalid data: \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0… (65561 bytes)
    fails-at-the-terminal: failed: invalid data: \u{1b}]0;owned\u{7}\u{1b}[2
    reports-beyond-its-memory: failed: the plugin returned a bad value: list pointer/length out of bounds of memory
    reports-four-billion-metrics: failed: the plugin returned a bad value: list pointer/length out of bounds of memory
    reports-at-length: failed: the value exceeds 1048576 bytes (`limits.value` in stagewright.toml raises this)
    finds-at-length: failed: the value exceeds 1048576 bytes (`limits.value` in stagewright.toml raises this)
    finds-with-severity-9: failed: the plugin returned a bad value: unexpected discriminant: 9
    draws-what-is-no-json: failed: the plugin returned a bad figure ``: it is not JSON: EOF while parsing a value at line 1 column 0
    draws-without-end: failed: the plugin returned a bad figure ``: it is not JSON: recursion limit exceeded at line 1 column 128
    reports-a-nan: succeeded
    reads-column-four-billion: succeeded
    reads-a-column-ten-million-times: succeeded
    reads-no-rows-at-a-time: succeeded
    reads-behind-the-end: succeeded
    reads-for-ever: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    reads-to-an-odd-address: failed: the plugin returned a bad value: list pointer is not aligned
    uses-a-handle-that-it-dropped: failed: the plugin returned a bad value: unknown handle index 1
    drops-a-handle-twice: failed: the plugin returned a bad value: unknown handle index 1
    invents-a-handle: failed: the plugin returned a bad value: unknown handle index 77
    spins-while-it-is-cleaned-up: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    traps-while-it-is-cleaned-up: failed: the plugin crashed: wasm `unreachable` instruction executed
    writes-before-it-starts: failed: the plugin returned a bad output `table`: `write` was called before `start`
    starts-twice: failed: the plugin returned a bad output `table`: `start` was called twice
    never-starts: failed: the plugin returned a bad output `table`: the stage ended without calling `start` on it
    names-two-columns-alike: failed: the plugin returned a bad output `table`: two columns are named `x`
    writes-columns-that-it-did-not-name: failed: the plugin returned a bad output `table`: the batch has 3 columns where its schema has 0
    writes-four-billion-columns: failed: the plugin returned a bad value: list pointer/length out of bounds of memory
    writes-rows-without-columns: failed: the plugin returned a bad output `table`: the batch has 4294967295 rows; a batch may have at most 4194304
    writes-for-ever: failed: the output tables together exceeds 65536 bytes (`limits.output` in stagewright.toml raises this)
    writes-ten-million-columns: failed: what the plugin hands over in one call exceeds 68157440 bytes (`limits.value` in stagewright.toml raises this)
    reads-from-an-output: failed: the plugin returned a bad value: handle index 2 used with the wrong type, expected guest-defined resource but found a different guest-defined resource
    writes-too-few-bytes: failed: the plugin returned a bad output `table`: column `x` (float64): values holds 15 bytes where 2 rows need 16
    writes-too-many-bytes: failed: the plugin returned a bad output `table`: column `x` (float64): values holds 16 bytes where 1 rows need 8
    writes-too-few-bits: failed: the plugin returned a bad output `table`: column `x` (float64): validity holds 0 bytes where 2 rows need 1
    writes-gaps-that-it-did-not-name: failed: the plugin returned a bad output `table`: column `x` (float64): row 1 has no value, and the column is not nullable
    writes-offsets-behind-the-end: failed: the plugin returned a bad output `table`: column `x` (text): offset 2 is 9, which is no character boundary of 2 bytes
    writes-offsets-backwards: failed: the plugin returned a bad output `table`: column `x` (text): offset 2 is 0, before the one in front of it (1)
    writes-text-without-offsets: failed: the plugin returned a bad output `table`: column `x` (text): the offsets are missing
    writes-what-is-no-text: failed: the plugin returned a bad output `table`: column `x` (text): not UTF-8 at byte 1
    writes-codes-without-words: failed: the plugin returned a bad output `table`: column `x` (category): row 1 has code 7, but there are 1 words
    writes-words-that-are-no-text: failed: the plugin returned a bad value: invalid utf-8 sequence of 1 bytes from index 0
    writes-a-column-of-no-type: failed: the plugin returned a bad value: unexpected discriminant: 9
    writes-a-nan: succeeded
    spins-in-fit: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    spins-in-features-load: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    spins-in-features-input: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    spins-in-features-schema: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    spins-in-transform: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    learns-four-billion-bytes: failed: the plugin returned a bad value: list pointer/length out of bounds of memory
    loads-a-handle-that-is-none: failed: the plugin returned a bad value: unknown handle index 99
    reads-columns-that-are-none: failed: the plugin returned a bad value: pointer out of bounds of memory
    transforms-to-fewer-rows: failed: the plugin returned a bad batch of features: it has 1 rows for 100 rows
    transforms-to-columns-that-are-none: failed: the plugin returned a bad value: list pointer is not aligned
    spins-in-train: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    spins-in-model-load: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    spins-in-model-input: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    spins-in-model-schema: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    spins-in-predict: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    drops-its-own-model: failed: the plugin returned a bad value: unknown handle index 1
    traps-in-its-destructor: succeeded
    spins-in-evaluate: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    asks-the-model-rubbish: succeeded
    takes-its-table-for-a-model: failed: the plugin returned a bad value: handle index 1 used with the wrong type, expected guest-defined resource but found a different guest-defined resource
    spins-in-check: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    spins-in-observe: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    spins-in-prepare: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    spins-in-its-allocator: failed: the stage ran longer than 1 s (`limits.time` in stagewright.toml raises this)
    allocates-behind-its-memory: failed: the plugin returned a bad value: realloc return: beyond end of memory
    allocates-at-odd-addresses: succeeded
    calls-out-of-its-allocator: failed: the plugin crashed: cannot leave component instance
"#]];

#[test]
fn what_a_stage_says_never_drives_the_terminal() {
    let lab = scene();
    let loud: Vec<Attack> =
        attacks::validators().into_iter().filter(|attack| attack.name.ends_with("-the-terminal")).collect();
    assert_eq!(loud.len(), 2);
    for attack in &loud {
        lab.write(&format!("plugins/{}.wasm", attack.name), &attack.component);
    }
    lab.ok(&["plugin", "add", "plugins"]);
    lab.write("attacks.toml", pipeline(&loud));
    let shown = [
        lab.run(&["run", "attacks.toml"]),
        lab.run(&["show", "latest"]),
        lab.run(&["show", "latest", "logs-to-the-terminal"]),
        lab.run(&["show", "latest", "fails-at-the-terminal"]),
    ];
    let all: String = shown.iter().flat_map(|said| [said.out.as_str(), said.err.as_str()]).collect();
    assert!(all.matches("\\u{1b}]0;owned\\u{7}").count() >= 3, "{all}");
    assert!(!all.contains('\u{1b}'));
}

#[test]
fn a_nan_carries_no_message_out_of_the_sandbox() {
    let lab = scene();
    let nans = attacks::preprocessors().into_iter().find(|attack| attack.name == "writes-a-nan");
    let plain = [0_u64, 0].map(|_| f64::NAN.to_le_bytes()).concat().leak();
    let good = guests::Bad { column_type: 2, rows: 2, values: plain, validity: None, offsets: None, word: None };
    lab.write("plugins/one.wasm", nans.expect("it is among the attacks").component);
    lab.write("plugins/other.wasm", guests::writer_of(&good));
    lab.ok(&["plugin", "add", "plugins"]);
    let stage = |name: &str| {
        format!("[stage.{name}]\npreprocessor = \"{name}\"\ninput = \"data.rows\"\noutputs = [\"table\"]\n")
    };
    let text = format!("[pipeline]\nname = \"nan\"\n[data]\nrows = \"rows\"\n{}{}", stage("one"), stage("other"));
    lab.write("nan.toml", text);
    let run = lab.json(&["run", "nan.toml"]);
    let stages = stages(&run);
    assert!(stages[0]["outputs"]["table"].is_string());
    assert_eq!(stages[0]["outputs"], stages[1]["outputs"]);
}

#[test]
fn what_attacks_before_it_does_any_work_is_not_added() {
    let lab = scene();
    let mut told = String::new();
    for (name, component) in before::refused() {
        lab.write("stagewright.toml", settings(if endless(name) { SHORT } else { AMPLE }));
        lab.write("attack.wasm", component);
        let said = lab.run(&["--quiet", "plugin", "add", "attack.wasm"]);
        let refusal = said.refusal().replace("error: attack.wasm cannot be a plugin\ncaused by: ", "");
        let _ = writeln!(told, "{name}: {}", refusal.trim_end().replace('\n', ": "));
    }
    REFUSED.assert_eq(&told);
    assert_eq!(lab.json(&["plugin", "list"]).as_array().map(Vec::len), Some(0), "nothing was added");
    lab.ok(&["fsck"]);
}

const REFUSED: Expect = expect![[r#"
    spins-in-describe: exit 2: the stage ran longer than [time] (`limits.time` in stagewright.toml raises this)
    traps-in-describe: exit 2: the plugin crashed: wasm `unreachable` instruction executed
    spins-while-it-starts: exit 2: the stage ran longer than [time] (`limits.time` in stagewright.toml raises this)
    traps-while-it-starts: exit 2: the plugin crashed: wasm `unreachable` instruction executed
    wants-four-gigabytes: exit 2: the stage needs more than 64 MiB of memory (`limits.memory` in stagewright.toml raises this)
    has-seventeen-memories: exit 2: the component is not valid: it asks for more parts than a sandbox has: memory count too high at 18
    has-a-table-of-a-billion: exit 2: the stage needs more than 64 MiB of memory (`limits.memory` in stagewright.toml raises this)
    has-data-outside-its-memory: exit 2: the plugin crashed: out of bounds memory access
    has-parts-within-parts: exit 2: the component exports no stage; it must export `stagewright:stage/plugin@0.1.0` and one or more of `preprocessor`, `featurizer`, `trainer`, `predictor`, `evaluator`, `fairness-checker`, `validator`, `monitor`
    has-lists-within-lists: exit 2: the component is not valid: type nesting is too deep
    has-a-type-of-a-hundred-thousand-parts: exit 2: `stagewright:stage/plugin@0.1.0.describe`: the result is tuple<tuple<tuple<tuple<tuple<tuple<tuple<tuple<tuple<tuple<tuple<tuple<tuple<tuple<tuple<tuple<tuple<u8, u8>, tuple<u8, u8>>, tuple<tuple<u8, u8>, tuple<u8, u8>>>, tuple<tuple<tuple<u8, u8>, tuple<u8, u8>>, tuple<tuple<u8, u8>, tuple<u8, u8>>>>, tuple<tuple<tuple<tuple<u8, u8>, tuple<u8, u8>>, tuple<tuple<u8, u8>, tuple<u8, u8>>>, tuple<tuple<tuple<u8, u8>, tuple<u8, u8>>, tuple<tuple<u8, u8>, tuple<u8, u8>>>>>, tuple<tuple<tuple<tuple<tuple<u8, u8>, tuple<u8, u8>>, tuple<tuple<u8…
    has-a-type-of-a-billion-parts: exit 2: the component is not valid: effective type size exceeds the limit of 1000000
    describes-another-kind: exit 2: the plugin's description does not fit: it describes a preprocessor, which it does not export
    describes-an-unknown-kind: exit 2: the plugin returned a bad value: unexpected discriminant: 99
    describes-nothing: exit 2: the plugin's description does not fit: it exports a validator but does not describe exactly one
    describes-a-million-stages: exit 2: what the plugin hands over in one call exceeds [digest] bytes (`limits.value` in stagewright.toml raises this)
    describes-itself-beyond-its-memory: exit 2: the plugin returned a bad value: list pointer/length out of bounds of memory
    describes-itself-at-length: exit 2: the value exceeds 1048576 bytes (`limits.value` in stagewright.toml raises this)
    describes-parameters-that-are-no-json: exit 2: the plugin returned a bad description of `validator`: its parameters are not JSON: EOF while parsing a value at line 1 column 10
    describes-parameters-without-end: exit 2: the plugin returned a bad description of `validator`: its parameters are not JSON: recursion limit exceeded at line 1 column 128
    wants-the-network: exit 2: the component imports `wasi:http/outgoing-handler@0.2.0`, which no stage may have: stages import stagewright:stage@0.1.0's host interfaces and virtual WASI 0.2 only
    wants-the-hosts-own: exit 2: the component imports `stagewright:host/store@0.2.0`, which no stage may have: stages import stagewright:stage@0.1.0's host interfaces and virtual WASI 0.2 only
"#]];

#[test]
fn compiling_a_strangers_code_is_bounded_in_time_and_memory() {
    let lab = scene();
    lab.write("attack.wasm", before::huge_function());
    for (limit, expected) in [
        (
            "compile-time = \"20ms\"",
            expect![[r#"
        exit 2
        error: attack.wasm cannot be a plugin
        caused by: the component could not be compiled: it takes longer than [time] (`limits.compile-time` in stagewright.toml raises this)
    "#]],
        ),
        (
            "compile-memory = \"16MiB\"",
            expect![[r#"
        exit 2
        error: attack.wasm cannot be a plugin
        caused by: the component could not be compiled: it needs more than 16 MiB (`limits.compile-memory` in stagewright.toml raises this)
    "#]],
        ),
    ] {
        lab.write("stagewright.toml", format!("[limits]\n{limit}\n"));
        expected.assert_eq(&lab.run(&["--quiet", "plugin", "add", "attack.wasm"]).refusal());
    }
    lab.write("stagewright.toml", settings(AMPLE));
    lab.ok(&["plugin", "add", "attack.wasm"]);
}

#[test]
fn sections_of_any_size_are_carried_and_their_words_cut() {
    let lab = scene();
    lab.write("ballast.wasm", before::with_section("ballast", 20 << 20));
    lab.write("novel.wasm", before::with_section("description", 20 << 20));
    lab.write("segments.wasm", before::many_segments());
    lab.ok(&["plugin", "add", "ballast.wasm", "novel.wasm", "segments.wasm"]);
    let shown = lab.json(&["plugin", "inspect", "novel"]);
    let description = shown["plugin"]["metadata"]["description"].as_str().expect("it has a description");
    assert!(description.len() < 10_000 && description.starts_with("zzz") && description.ends_with('…'));
}

#[test]
fn a_schema_that_never_ends_is_no_harm() {
    let lab = scene();
    let mut told = String::new();
    for (name, schema) in [
        ("a circle", r##"{"type":"object","properties":{"a":{"$ref":"#/properties/a"}}}"##.to_owned()),
        ("a circle through itself", r##"{"$ref":"#","properties":{"a":{"$ref":"#"}}}"##.to_owned()),
        ("allOf in circles", r##"{"allOf":[{"$ref":"#"}],"properties":{"a":{}}}"##.to_owned()),
        ("a file of the host", r#"{"properties":{"a":{"$ref":"file:///etc/passwd"}}}"#.to_owned()),
        ("another machine", r#"{"properties":{"a":{"$ref":"http://127.0.0.1:9/schema"}}}"#.to_owned()),
        ("a slow pattern", r#"{"properties":{"a":{"type":"string","pattern":"^(a|a)*(a+)+(a+)+$"}}}"#.to_owned()),
        (
            "a pattern that looks back",
            r#"{"properties":{"a":{"type":"string","pattern":"^(a+)\\1*b(?=x)$"}}}"#.to_owned(),
        ),
        ("deep defaults", format!(r#"{{"properties":{{"a":{{"default":{}{}}}}}}}"#, "[".repeat(100), "]".repeat(100))),
        ("no object", "7".to_owned()),
    ] {
        lab.write("schema.wasm", before::with_schema(&schema));
        let added = lab.run(&["--quiet", "plugin", "add", "schema.wasm"]);
        let text = "[pipeline]\nname = \"schema\"\n[data]\nrows = \"rows\"\n[stage.stage]\nvalidator = \"schema\"\n\
             input = \"data.rows\"\nwith = { a = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\" }\n";
        lab.write("schema.toml", text);
        let checked = lab.run(&["check", "schema.toml"]);
        let said = if added.code == Some(0) { checked } else { added };
        let _ = writeln!(told, "{name}: {}", said.refusal().trim_end().replace('\n', ": "));
        assert!(said.code.is_some_and(|code| code <= 2), "{told}");
    }
    expect![[r#"
        a circle: exit 0
        a circle through itself: exit 0
        allOf in circles: exit 0
        a file of the host: exit 2: error: schema.toml:8:8: the plugin describes its parameters with a schema that is not valid: Resource 'file:///etc/passwd' is not present in a registry and retrieving it failed: `resolve-file` feature or a custom resolver is required to resolve external schemas via files (validator `schema`):   hint: this is the plugin author's to mend
        another machine: exit 2: error: schema.toml:8:8: the plugin describes its parameters with a schema that is not valid: Resource 'http://127.0.0.1:9/schema' is not present in a registry and retrieving it failed: `resolve-http` feature or a custom resolver is required to resolve external schemas via HTTP (validator `schema`):   hint: this is the plugin author's to mend
        a slow pattern: exit 2: error: schema.toml:8:10: parameter `a`: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!" does not match "^(a|a)*(a+)+(a+)+$" (validator `schema`)
        a pattern that looks back: exit 2: error: schema.toml:8:10: parameter `a`: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!" does not match "^(a+)\1*b(?=x)$" (validator `schema`)
        deep defaults: exit 0
        no object: exit 2: error: schema.toml:8:8: the plugin describes its parameters with a schema that is not valid: 7 is not of types "boolean", "object" (validator `schema`):   hint: this is the plugin author's to mend: schema.toml:8:10: unknown parameter `a` (validator `schema`):   hint: this plugin takes no parameters
    "#]].assert_eq(&told);
}

#[test]
fn a_guest_that_looks_at_clock_and_chance_sees_the_same_each_time() {
    let lab = scene();
    lab.write("worldly.wasm", guests::worldly());
    lab.ok(&["plugin", "add", "worldly.wasm"]);
    let text = "[pipeline]\nname = \"look\"\n[data]\nrows = \"rows\"\n[stage.look]\nvalidator = \"worldly\"\n\
         input = \"data.rows\"\n";
    lab.write("look.toml", text);
    let look = |arguments: &[&str]| {
        lab.ok(&[&["run", "look.toml", "--fresh"], arguments].concat());
        let shown = lab.json(&["show", "latest", "look"]);
        let text = shown.to_string();
        let letters = |word: &&str| word.len() == 16 && word.bytes().all(|letter| (b'a'..=b'p').contains(&letter));
        text.split('"').filter(letters).map(str::to_owned).collect::<Vec<_>>()
    };
    let once = look(&[]);
    assert_eq!(once.len(), 4, "two looks at the clock, a random number, and the environment: {once:?}");
    assert_eq!(once, look(&[]));
    let other = look(&["--seed", "99"]);
    assert_ne!(once[2], other[2], "chance comes from the seed");
    assert_eq!((&once[..2], &once[3]), (&other[..2], &other[3]), "and nothing else does");
}
