//! Grants: what a stage may see of the real world is what the pipeline grants and the operator allows, no more; and what
//! it saw once is kept, so that the run can be verified when the world has moved on.

use expect_test::expect;
use serde_json::Value;
use stagewright_tests::{Lab, Said};

mod host;

use crate::guests;

/// A project with a table, a folder of rates, and a plugin of this name.
pub(crate) fn scene(plugins: &[(&str, Vec<u8>)]) -> Lab {
    let lab = Lab::empty();
    lab.ok(&["init"]);
    lab.write("rows.csv", "x\n1.5\n2.5\n");
    lab.ok(&["data", "add", "rows", "rows.csv"]);
    lab.write("rates/eur.txt", "eur 1.0");
    lab.write("secret.txt", "nobody may read this");
    for (name, component) in plugins {
        lab.write(&format!("plugins/{name}.wasm"), component);
    }
    lab.ok(&["plugin", "add", "plugins"]);
    lab
}

/// A pipeline of one stage, `ask`, with these further lines.
pub(crate) fn pipeline(lab: &Lab, plugin: &str, more: &str) {
    let text = format!(
        "[pipeline]\nname = \"ask\"\n[data]\nrows = \"rows\"\n[stage.ask]\nvalidator = \"{plugin}\"\ninput = \"data.rows\"\n{more}"
    );
    lab.write("ask.toml", text);
}

fn operator(lab: &Lab, grants: &str) {
    lab.write("stagewright.toml", format!("[grants]\n{grants}"));
}

/// Runs the pipeline, and returns what the stage found.
#[track_caller]
fn found(lab: &Lab, environment: &[(&str, &str)], arguments: &[&str]) -> String {
    let said = lab.run_in(environment, &[&["run", "ask.toml"], arguments].concat());
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    finding(lab, "latest")
}

fn finding(lab: &Lab, run: &str) -> String {
    let shown = lab.json(&["show", run, "ask"]);
    shown["report"]["findings"][0]["message"].as_str().unwrap_or("nothing").to_owned()
}

fn all() -> [(&'static str, Vec<u8>); 4] {
    [
        ("file", guests::asks_file("rates", "eur.txt")),
        ("host", guests::asks_host("api.example.org", "/rates")),
        ("region", guests::asks_environment("REGION")),
        ("time", guests::asks_time()),
    ]
}

#[test]
fn what_a_plugin_asks_for_and_the_pipeline_does_not_grant_is_refused_before_anything_runs() {
    let lab = scene(&all());
    let mut told = String::new();
    for (plugin, _) in all() {
        pipeline(&lab, plugin, "");
        for command in ["check", "run"] {
            told.push_str(&lab.run(&[command, "ask.toml"]).refusal());
        }
    }
    let hint = "if you trust it with that, add: [stage.ask.grants]";
    assert_eq!(told.matches(hint).count(), 8, "{told}");
    let first: String = told.lines().take(3).collect::<Vec<_>>().join("\n");
    expect![[r#"
        exit 2
        error: ask.toml:6:13: plugin `file@latest` asks for `files`, which [stage.ask] does not grant
          hint: if you trust it with that, add: [stage.ask.grants] files = { FOLDER = "read" }; stagewright.toml must allow it under [grants]"#]]
    .assert_eq(&first);
    assert_eq!(lab.json(&["runs"]).as_array().map(Vec::len), Some(0));
}

#[test]
fn what_the_operator_does_not_allow_is_refused_where_the_pipeline_grants_it() {
    let lab = scene(&all());
    let refusal = |plugin: &str, grant: &str, allowed: &str| {
        pipeline(&lab, plugin, &format!("[stage.ask.grants]\n{grant}\n"));
        operator(&lab, allowed);
        lab.run(&["check", "ask.toml"]).refusal()
    };
    let mut told = refusal("file", "files = { rates = \"read\" }", "");
    told +=
        &refusal("file", "files = { rates = \"read-write\" }", "files.rates = { path = \"rates\", access = \"read\" }");
    told += &refusal("file", "files = { rats = \"read\" }", "files.rates = { path = \"rates\", access = \"read\" }");
    told += &refusal("file", "files = { rates = \"read\" }", "files.rates = { path = \"missing\", access = \"read\" }");
    told += &refusal("file", "files = { rates = \"read\" }", "files.rates = { path = \".\", access = \"read\" }");
    told += &refusal("host", "http = [\"api.example.org\"]", "http = [\"api.example.org:8443\"]");
    told += &refusal("region", "environment = [\"REGION\"]", "environment = [\"HOME\"]");
    told += &refusal("time", "wall-clock = true", "wall-clock = false");
    told += &refusal(
        "time",
        "wall-clock = true\nhttp = [\"api.example.org\"]",
        "wall-clock = true\nhttp = [\"api.example.org\"]",
    );
    expect![[r#"
        exit 2
        error: ask.toml:9:19: stagewright.toml allows no folder `rates`
          hint: whoever runs this project can allow it in stagewright.toml: [grants] files.rates = { path = "FOLDER", access = "read" }
        exit 2
        error: ask.toml:9:19: stagewright.toml allows folder `rates` for `read` only
          hint: whoever runs this project can allow it in stagewright.toml: [grants] files.rates = { .., access = "read-write" }
        exit 2
        error: ask.toml:9:18: stagewright.toml allows no folder `rats`
          hint: did you mean `rates`?
        exit 2
        error: ask.toml:9:19: folder `rates`: `missing` cannot be opened: No such file or directory (os error 2)
          hint: stagewright.toml names it: [grants] files.rates
        exit 2
        error: ask.toml:9:19: folder `rates`: `.` holds or lies in .stagewright, which no stage may see
          hint: stagewright.toml names it: [grants] files.rates
        exit 2
        error: ask.toml:9:9: stagewright.toml does not allow host `api.example.org`
          hint: whoever runs this project can allow it in stagewright.toml: [grants] http = ["api.example.org"]
        exit 2
        error: ask.toml:9:16: stagewright.toml does not allow environment name `REGION`
          hint: whoever runs this project can allow it in stagewright.toml: [grants] environment = ["REGION"]
        exit 2
        error: ask.toml:9:14: stagewright.toml does not allow the wall clock
          hint: whoever runs this project can allow it in stagewright.toml: [grants] wall-clock = true
        exit 2
        error: ask.toml:10:8: no plugin of [stage.ask] asks for `http`
          hint: take the grant out
    "#]].assert_eq(&told);
}

#[test]
fn a_granted_stage_sees_the_world_and_its_run_says_so() {
    let lab = scene(&all());
    operator(
        &lab,
        "environment = [\"REGION\"]\nwall-clock = true\nfiles.rates = { path = \"rates\", access = \"read\" }\n",
    );
    pipeline(&lab, "region", "[stage.ask.grants]\nenvironment = [\"REGION\"]\n");
    assert_eq!(found(&lab, &[("REGION", "north")], &[]), "north");
    let run = lab.json(&["show"])["run"].clone();
    assert_eq!(run["impure"], Value::Bool(true));
    assert_eq!(run["stages"][0]["steps"][0]["result"]["spec"]["grants"]["environment"][0], "REGION");
    let shown = lab.ok(&["show"]).out;
    assert!(shown.contains("impure: ask was granted environment name `REGION`"), "{shown}");
    let audit = lab.ok(&["audit", "log", "--repository", "ledger"]).out;
    assert!(audit.contains("environment name `REGION`"), "{audit}");
    pipeline(&lab, "file", "[stage.ask.grants]\nfiles = { rates = \"read\" }\n");
    assert_eq!(found(&lab, &[], &[]), "eur 1.0");
    pipeline(&lab, "time", "[stage.ask.grants]\nwall-clock = true\n");
    let time = found(&lab, &[], &[]);
    assert_ne!(time, found(&lab, &[], &[]), "the time goes on");
    pipeline(&lab, "time", "seed = 1\n[stage.ask.grants]\nwall-clock = true\n");
    assert_eq!(lab.ok(&["plugin", "inspect", "time"]).out.matches("see the real time").count(), 1);
}

#[test]
fn a_granted_result_is_kept_for_later_runs_only_where_the_pipeline_says_so() {
    let lab = scene(&all());
    operator(&lab, "environment = [\"REGION\"]\n");
    let grants = "[stage.ask.grants]\nenvironment = [\"REGION\"]\n";
    pipeline(&lab, "region", grants);
    assert_eq!(found(&lab, &[("REGION", "north")], &[]), "north");
    assert_eq!(found(&lab, &[("REGION", "south")], &[]), "south");
    assert_eq!(found(&lab, &[], &[]), "");
    pipeline(&lab, "region", &format!("cache = true\n{grants}"));
    assert_eq!(found(&lab, &[("REGION", "east")], &["--fresh"]), "east");
    assert_eq!(found(&lab, &[("REGION", "west")], &[]), "east");
    pipeline(&lab, "region", &format!("cache = false\n{grants}"));
    assert_eq!(found(&lab, &[("REGION", "west")], &[]), "west");
}

#[test]
fn a_granted_run_is_verified_from_what_it_was_answered_and_not_by_the_world() {
    let lab = scene(&all());
    operator(&lab, "environment = [\"REGION\"]\nfiles.rates = { path = \"rates\", access = \"read\" }\n");
    pipeline(&lab, "region", "[stage.ask.grants]\nenvironment = [\"REGION\"]\n");
    found(&lab, &[("REGION", "north")], &[]);
    pipeline(&lab, "file", "[stage.ask.grants]\nfiles = { rates = \"read\" }\n");
    found(&lab, &[], &[]);
    std::fs::remove_dir_all(lab.file("rates")).expect("the folder can be removed");
    // Nothing is allowed any more, either.
    operator(&lab, "");
    for run in ["1", "2"] {
        let verified = lab.ok(&["verify", run]);
        assert!(verified.out.contains("1 steps ran again, and every output is the same"), "{}", verified.out);
        assert!(
            verified.out.contains(": 1 granted call was answered from the recording, not by the world"),
            "{}",
            verified.out
        );
    }
    lab.ok(&["gc"]);
    lab.ok(&["verify", "1"]);
    lab.ok(&["fsck"]);
}

#[test]
fn a_folder_may_be_written_only_where_that_is_granted_and_never_left() {
    let lab = scene(&[
        ("write", guests::asks_to_write("rates", "out/mine.txt")),
        ("escape", guests::asks_file("rates", "../secret.txt")),
        ("link", guests::asks_file("rates", "link")),
        ("write-out", guests::asks_to_write("rates", "../stagewright.toml")),
    ]);
    std::os::unix::fs::symlink("../secret.txt", lab.file("rates/link")).expect("a link can be made");
    let allowed = "files.rates = { path = \"rates\", access = \"read-write\" }\n";
    operator(&lab, allowed);
    let refused = |plugin: &str, access: &str| {
        pipeline(&lab, plugin, &format!("[stage.ask.grants]\nfiles = {{ rates = \"{access}\" }}\n"));
        found(&lab, &[], &[])
    };
    assert_eq!(refused("write", "read"), "folder `rates` is granted for `read` only");
    assert_eq!(refused("escape", "read"), "`../secret.txt` in folder `rates` leads out of its folder");
    assert_eq!(refused("link", "read-write"), "`link` in folder `rates` leads out of its folder");
    assert_eq!(refused("write-out", "read-write"), "`../stagewright.toml` in folder `rates` leads out of its folder");
    assert_eq!(refused("write", "read-write"), "nothing");
    assert_eq!(std::fs::read_to_string(lab.file("rates/out/mine.txt")).expect("it was written"), "rates");
    // Verifying writes nothing.
    std::fs::remove_dir_all(lab.file("rates/out")).expect("the folder can be removed");
    lab.ok(&["verify"]);
    assert!(!lab.file("rates/out").exists());
}

#[test]
fn a_granted_host_is_asked_over_tls_and_verified_when_it_is_gone() {
    let server = host::Host::over_tls("rates: 42");
    let lab = scene(&[
        ("rates", guests::asks_host(&server.authority, "/rates")),
        ("other", guests::asks_host("localhost:1", "/rates")),
    ]);
    lab.write("ca.pem", &server.certificate);
    let grants = format!("http = [\"{}\"]\n", server.authority);
    operator(&lab, &format!("{grants}certificates = \"ca.pem\"\n"));
    pipeline(&lab, "rates", &format!("[stage.ask.grants]\n{grants}"));
    // A proxy of the environment is nobody that was granted.
    let proxy = [("HTTPS_PROXY", "http://127.0.0.1:9"), ("https_proxy", "http://127.0.0.1:9")];
    assert_eq!(found(&lab, &proxy, &[]), "rates: 42");
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with("GET /rates HTTP/1.1"), "{asked:?}");
    pipeline(&lab, "other", &format!("[stage.ask.grants]\n{grants}"));
    assert_eq!(found(&lab, &[], &[]), "host `localhost:1` is not granted");
    assert_eq!(server.asked().len(), 1);
    drop(server);
    let verified = lab.ok(&["verify", "1"]);
    assert!(
        verified.out.contains(": 1 granted call was answered from the recording, not by the world"),
        "{}",
        verified.out
    );
    pipeline(&lab, "rates", &format!("[stage.ask.grants]\n{grants}"));
    let failed = found(&lab, &[], &[]);
    assert!(failed.starts_with("host `localhost:") && !failed.contains("rates"), "{failed}");
}

#[test]
fn a_host_that_cannot_prove_who_it_is_is_not_believed() {
    let server = host::Host::over_tls("rates: 42");
    let lab = scene(&[("rates", guests::asks_host(&server.authority, "/rates"))]);
    let grants = format!("http = [\"{}\"]\n", server.authority);
    operator(&lab, &grants);
    pipeline(&lab, "rates", &format!("[stage.ask.grants]\n{grants}"));
    let failed = found(&lab, &[], &[]);
    assert!(failed.contains("certificate"), "{failed}");
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[test]
fn a_redirect_is_an_answer_and_never_followed() {
    let elsewhere = host::Host::plain("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nelsewhere");
    let moved = format!("HTTP/1.1 302 Found\r\nlocation: {}/\r\ncontent-length: 5\r\n\r\nmoved", elsewhere.authority);
    let server = host::Host::plain(&moved);
    let lab = scene(&[("rates", guests::asks_host(&server.authority, "/rates"))]);
    let grants = format!("http = [\"{}\", \"{}\"]\n", server.authority, elsewhere.authority);
    operator(&lab, &grants);
    pipeline(&lab, "rates", &format!("[stage.ask.grants]\n{grants}"));
    assert_eq!(found(&lab, &[], &[]), "moved");
    assert_eq!((server.asked().len(), elsewhere.asked().len()), (1, 0));
}

#[test]
fn a_stage_that_crashed_is_replayed_without_its_project() {
    let crash = |end: &str| {
        let body = format!(
            "(call $get (i32.const 2048) (i32.const 6) (i32.const 3200))
             (call $tell (i32.load (i32.const 3208)) (i32.load (i32.const 3212))) {end}"
        );
        guests::asking(&["environment"], "REGION", &body)
    };
    let lab = scene(&[("crash", crash("unreachable"))]);
    operator(&lab, "environment = [\"REGION\"]\n");
    pipeline(&lab, "crash", "[stage.ask.grants]\nenvironment = [\"REGION\"]\n");
    let said = lab.run_in(&[("REGION", "north")], &["run", "ask.toml", "--record"]);
    assert_eq!(said.code, Some(3), "{}", said.err);
    lab.ok(&["gc"]);
    lab.ok(&["show", "latest", "ask", "--recording", "crash.swr"]);
    let elsewhere = Lab::empty();
    elsewhere.write("crash.swr", std::fs::read(lab.file("crash.swr")).expect("it was written"));
    elsewhere.write("mended.wasm", crash(""));
    elsewhere.write("changed.wasm", guests::asks_environment("HOME"));
    let replay = |more: &[&str]| told(&elsewhere.run(&[&["plugin", "test", "--replay", "crash.swr"], more].concat()));
    expect![[r#"
        exit 0
        the same 2 calls, and the same end: it failed: the plugin crashed: wasm `unreachable` instruction executed
    "#]]
    .assert_eq(&replay(&[]));
    expect![[r#"
        exit 4
        the first 2 calls are the same; call 3 differs:
          recorded  no further call
          now       returned → {"report":"[digest]"}
        the recorded stage: it failed: the plugin crashed: wasm `unreachable` instruction executed
        this component:     it succeeded
    "#]]
    .assert_eq(&replay(&["mended.wasm"]));
    expect![[r#"
        exit 4
        the first 0 calls are the same; call 1 differs:
          recorded  environment.get {"call":"environment","name":"REGION"} → {"Ok":{"environment":"north"}}
          now       no further call
        the recorded stage: it failed: the plugin crashed: wasm `unreachable` instruction executed
        this component:     it failed: granted call 1 asks for environment name `HOME`, where the recording has environment name `REGION`
    "#]].assert_eq(&replay(&["changed.wasm"]));
    elsewhere.write("crash.swr", "no recording");
    expect![[r#"
        exit 2
        error: crash.swr: this is no recording of a stage: it does not begin with SWR1
    "#]]
    .assert_eq(&elsewhere.run(&["plugin", "test", "--replay", "crash.swr"]).refusal());
}

fn told(said: &Said) -> String {
    format!("exit {}\n{}{}", said.code.unwrap_or(-1), said.shown(), said.err)
}

#[test]
fn a_recording_has_every_call_and_replays_the_same() {
    let lab = scene(&[("copier", guests::copier()), ("model", guests::model()), ("judge", guests::evaluator())]);
    let text = "[pipeline]\nname = \"record\"\n[data]\nrows = \"rows\"\n\
         [stage.copy]\npreprocessor = \"copier\"\ninput = \"data.rows\"\noutputs = [\"table\"]\n\
         [stage.train]\ntrainer = \"model\"\ninput = \"copy.table\"\n\
         [stage.judge]\nevaluator = \"judge\"\nmodel = \"train\"\ninput = \"copy.table\"\n";
    lab.write("record.toml", text);
    lab.ok(&["run", "record.toml"]);
    let nothing = lab.run(&["show", "latest", "copy", "--recording", "copy.swr"]);
    assert!(nothing.err.contains("`stagewright run --record`"), "{}", nothing.err);
    lab.ok(&["run", "record.toml", "--record", "--fresh"]);
    for stage in ["copy", "train", "judge"] {
        lab.ok(&["show", "latest", stage, "--recording", "stage.swr"]);
        let replayed = lab.ok(&["plugin", "test", "--replay", "stage.swr"]).out;
        assert!(replayed.contains("calls, and the same end: it succeeded"), "{stage}: {replayed}");
        let file = std::fs::read(lab.file("stage.swr")).expect("it was written");
        let text = String::from_utf8_lossy(&file).into_owned();
        let call = match stage {
            "copy" => "writer.write",
            "train" => "returned",
            _ => "model.predict",
        };
        assert!(text.contains(call), "{stage}");
    }
    lab.ok(&["show", "latest", "judge", "--recording", "score.swr", "--step", "score"]);
    lab.ok(&["plugin", "test", "--replay", "score.swr"]);
}
