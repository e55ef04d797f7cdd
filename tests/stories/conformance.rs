//! The conformance kit: plugins that keep the contract pass, and each kind of liar is caught by the check that is about
//! its lie.

use std::thread;

use expect_test::{Expect, expect};
use serde_json::Value;
use stagewright_tests::{Lab, component, components};

use crate::{
    guests,
    hostile::{attacks, before, elsewhere},
};

fn test(lab: &Lab, file: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let said = lab.run(&[&["--json", "--quiet", "plugin", "test", file], arguments].concat());
    let found = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}{}", said.out, said.err));
    (said.code, found)
}

fn checks<'a>(found: &'a Value, result: &str) -> Vec<(&'a str, &'a str)> {
    let checks = found["checks"].as_array().expect("the kit lists its checks");
    let text = |check: &'a Value, key: &str| check[key].as_str().unwrap_or_default();
    checks
        .iter()
        .filter(|check| check["result"] == result)
        .map(|check| (text(check, "name"), text(check, "detail")))
        .collect()
}

#[test]
fn every_plugin_that_comes_along_keeps_every_promise() {
    let lab = Lab::census();
    let plugins = components();
    assert!(plugins.len() >= 11);
    thread::scope(|scope| {
        for half in [0, 1] {
            let (lab, plugins) = (&lab, &plugins);
            scope.spawn(move || {
                for plugin in plugins.iter().skip(half).step_by(2) {
                    let (code, found) = test(lab, plugin.to_str().expect("a path of text"), &[]);
                    assert_eq!(code, Some(0), "{}: {:#?}", plugin.display(), checks(&found, "failed"));
                    assert!(checks(&found, "passed").len() >= 25, "{}: {found}", plugin.display());
                }
            });
        }
    });
}

#[test]
fn a_quick_look_compiles_once_and_says_what_it_left_out() {
    let lab = Lab::empty();
    lab.ok(&["init"]);
    let plugin = component("logistic-regression");
    let plugin = plugin.to_str().expect("a path of text");
    let compiled = || std::fs::read_dir(lab.file(".stagewright/cache/compiled")).expect("it is kept").count();
    let (code, quick) = test(&lab, plugin, &["--quick"]);
    assert_eq!((code, compiled()), (Some(0), 1), "{quick}");
    let left_out = |found| checks(found, "skipped").iter().filter(|(name, _)| name.ends_with("profiles")).count();
    assert_eq!(left_out(&quick), 1, "{quick}");
    // A check that goes in several ways passes on those that it went, and names the one that it did not.
    let passed = checks(&quick, "passed");
    for name in ["describes itself the same way each time", "gives the same in another process and profile"] {
        assert!(passed.iter().any(|check| check.0 == name && check.1.contains("`fast` alone")), "{name}: {quick}");
    }
    let (code, whole) = test(&lab, plugin, &[]);
    assert_eq!((code, compiled(), left_out(&whole)), (Some(0), 2, 0), "{whole}");
}

/// Shows the checks that a guest fails.
fn caught(guest: Vec<u8>, expected: Expect) {
    let lab = Lab::empty();
    lab.ok(&["init"]);
    lab.write("liar.wasm", guest);
    let (code, found) = test(&lab, "liar.wasm", &[]);
    assert_eq!(code, Some(4));
    let failed = checks(&found, "failed");
    let line =
        |(name, detail): &(&str, &str)| format!("{name}: {}\n", detail.escape_debug().to_string().replace("\\'", "'"));
    expected.assert_eq(&failed.iter().map(line).collect::<String>());
}

#[test]
fn what_is_no_component_fits_no_world() {
    caught(
        b"no component".to_vec(),
        expect![[r#"
        fits the world: this is not WebAssembly: it begins with \"no compo\"
    "#]],
    );
}

#[test]
fn whole_numbers_that_went_through_a_double_are_noticed() {
    // What a language with one kind of number does to every column of eight bytes.
    let round = "
        (global.set $column (i32.const 0))
        (block $done (loop $columns
            (br_if $done (i32.ge_u (global.get $column) (i32.load offset=16 (i32.const 3200))))
            (global.set $at (i32.add (i32.load offset=12 (i32.const 3200)) (i32.mul (global.get $column) (i32.const 44))))
            (global.set $end (i32.load offset=4 (global.get $at)))
            (global.set $at (i32.load (global.get $at)))
            (if (i32.eq (global.get $end) (i32.mul (i32.const 8) (i32.load offset=8 (i32.const 3200)))) (then
                (global.set $end (i32.add (global.get $at) (global.get $end)))
                (block $last (loop $values
                    (br_if $last (i32.ge_u (global.get $at) (global.get $end)))
                    (i64.store (global.get $at)
                        (i64.trunc_sat_f64_s (f64.convert_i64_s (i64.load (global.get $at)))))
                    (global.set $at (i32.add (global.get $at) (i32.const 8)))
                    (br $values)))))
            (global.set $column (i32.add (global.get $column) (i32.const 1)))
            (br $columns)))";
    let body = format!(
        "(call $reader_schema (i32.load offset=8 (local.get $inputs)) (i32.const 3072))
        (call $start (i32.load offset=8 (local.get $outputs)) (i32.load (i32.const 3072)) (i32.load (i32.const 3076))
            (i32.const 3088))
        (local.set $base (global.get $heap))
        (block $end (loop $more
            (global.set $heap (local.get $base))
            (call $next (i32.load offset=8 (local.get $inputs)) (i32.const 0) (i32.const 0) (i32.const 1000000)
                (i32.const 3200))
            (br_if $end (i32.eqz (i32.load8_u offset=4 (i32.const 3200))))
            {round}
            (call $write (i32.load offset=8 (local.get $outputs)) (i32.load offset=8 (i32.const 3200))
                (i32.load offset=12 (i32.const 3200)) (i32.load offset=16 (i32.const 3200)) (i32.const 3088))
            (br $more)))"
    );
    let globals = "(global $column (mut i32) (i32.const 0)) (global $at (mut i32) (i32.const 0))
        (global $end (mut i32) (i32.const 0))";
    caught(
        guests::preprocessor(&body, globals),
        expect![[r#"
        gives the same however rows are cut into batches: output `table`: column `note`, row 100: note 100 against \0pte 100
        keeps large numbers exact: column `count`: 9007199254740992 came out, where 9007199254740993 went in
    "#]],
    );
}

#[test]
fn a_result_that_depends_on_how_rows_arrive_is_noticed() {
    let count = "(block $end (loop $more
            (global.set $heap (i32.const 65536))
            (call $ask (local.get $table) (i32.const 0) (i32.const 0) (i32.const 1000000))
            (br_if $end (i32.eqz (i32.load8_u offset=4 (i32.const 3200))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $more)))
        (call $give (i32.const 3076) (i32.const 1))
        (i32.store (i32.const 4096) (i32.const 2048)) (i32.store (i32.const 4100) (i32.const 4))
        (i32.store8 (i32.const 4112) (i32.const 1)) (f64.store (i32.const 4120) (f64.convert_i32_u (local.get $i)))";
    caught(
        attacks::validator("", count),
        expect![[r#"
        gives the same however rows are cut into batches: metric `the `: Some(1.0) against Some(120.0)
    "#]],
    );
}

#[test]
fn a_stage_that_cannot_bear_an_empty_table_is_noticed() {
    let body = "(if (i64.eqz (call $rows (local.get $table))) (then unreachable))";
    caught(
        attacks::validator("", body),
        expect![[r#"
        takes no rows: the plugin crashed: wasm `unreachable` instruction executed
        takes missing columns: without any: the plugin crashed: wasm `unreachable` instruction executed
    "#]],
    );
}

#[test]
fn parameters_that_nobody_checks_are_noticed() {
    let schema =
        r#"{"type":"object","properties":{"depth":{"type":"integer","description":"How deep.","default":"x"}}}"#;
    caught(
        before::with_schema(schema),
        expect![[r#"
        says what it does: its `doc` is empty
        describes its parameters: the default of `depth`, \"x\", does not fit: \"x\" is not of type \"integer\"
        refuses unknown parameters: `no-such-parameter = 1` is taken; say `invalid-parameter`
        refuses parameters of a wrong type: `depth = {\"no\":[\"such\",\"thing\"]}` is taken; say `invalid-parameter`
    "#]],
    );
}

#[test]
fn features_that_break_the_layout_are_noticed() {
    caught(
        guests::featurizer(),
        expect![[r#"
        takes missing values: the plugin returned a bad batch of features: column `x` (float64): row 2 has no value, and the column is not nullable
        takes columns without values: the label too: the plugin returned a bad batch of features: column `x` (float64): row 0 has no value, and the column is not nullable
        takes columns of other types: `number` of another type: the plugin returned a bad batch of features: column `x` (float64): offsets belong to text columns only
        refuses a state that is damaged: an empty one is taken; say `invalid-state`
        says which columns it reads and returns: it reads `x`, which it was never given
        refuses rows without a column that it reads: it says that it reads `x`, and does without; say `invalid-data`
        serves rows without values: the plugin returned a bad batch of features: column `x` (float64): row 0 has no value, and the column is not nullable
    "#]],
    );
}

#[test]
fn weights_that_nobody_checks_and_predictions_that_are_none_are_noticed() {
    caught(
        elsewhere::model("", ""),
        expect![[r#"
        refuses a state that is damaged: an empty one is taken; say `invalid-state`
        says which columns it reads and returns: a predictor returns a column `prediction`
        serves rows without values: the plugin returned a bad batch of predictions: column `score` (float64): row 0 has no value, and the column is not nullable
    "#]],
    );
}

#[test]
fn a_stage_that_reads_more_columns_than_it_names_is_asked_for_a_parameter() {
    let lab = Lab::census();
    let file = component("group-fairness");
    let file = file.to_str().expect("a path of text");
    let (code, found) = test(&lab, file, &["--with", "protected=[\"flag\"]", "--with", "permutations=20"]);
    assert_eq!(code, Some(0), "{:#?}", checks(&found, "failed"));
    let said = lab.run(&["--quiet", "plugin", "test", file, "--with", "protectd=[\"flag\"]"]);
    expect![[r#"
        exit 2
        error: no stage of this plugin takes a parameter `protectd`; it takes: alpha, bins, figures, intersections, label, min-positives, min-support, permutations, positive, prediction, privileged, protected, score, threshold
    "#]].assert_eq(&said.refusal());
    let said = lab.run(&["--quiet", "plugin", "test", "nowhere.wasm"]);
    expect![[r#"
        exit 2
        error: cannot read nowhere.wasm
        caused by: No such file or directory (os error 2)
    "#]]
    .assert_eq(&said.refusal());
}

#[test]
fn the_table_of_checks_reads_well() {
    let lab = Lab::census();
    let said = lab.ok(&["--quiet", "plugin", "test", component("split").to_str().expect("a path of text")]);
    expect![[r#"
        check                                                           result  detail
        fits the world                                                  passed  exports preprocessor
        describes itself                                                passed
        describes itself the same way each time                         passed
        carries its metadata                                            passed  split 0.1.0
        preprocessor: says what it does                                 passed
        preprocessor: has sane ports                                    passed
        preprocessor: describes its parameters                          passed  5 parameters
        preprocessor: works on an ordinary table                        passed  120 rows of number, other, count, flag, word, note, when, label
        preprocessor: gives the same twice                              passed
        preprocessor: gives the same in both profiles                   passed
        preprocessor: gives the same however rows are cut into batches  passed
        preprocessor: works with its defaults                           passed
        preprocessor: refuses unknown parameters                        passed
        preprocessor: refuses parameters of a wrong type                passed  5 parameters
        preprocessor: takes no rows                                     passed
        preprocessor: takes one row                                     passed
        preprocessor: takes equal rows                                  passed
        preprocessor: takes missing values                              passed
        preprocessor: takes columns without values                      passed
        preprocessor: takes any Unicode                                 passed
        preprocessor: takes the largest numbers                         passed
        preprocessor: takes NaN and infinities                          passed
        preprocessor: takes missing columns                             passed
        preprocessor: takes columns of other types                      passed
        preprocessor: keeps large numbers exact                         passed  count, number, other, when

        25 passed, 0 failed, 0 skipped
    "#]].assert_eq(&said.shown());
}

#[test]
fn an_inspection_says_what_a_plugin_is_and_may_do_without_a_project() {
    let lab = Lab::empty();
    lab.write("copier.wasm", guests::copier());
    expect![[r#"
        copier.wasm
          name         not said
          version      not said
          description  not said
          licence      not said
          authors      not said
          source       not said
          digest       [digest]
          signature    not signed
          size         6.0 kB
          exports      preprocessor
          imports      stagewright:stage/tables@0.1.0, stagewright:stage/failures@0.1.0, stagewright:stage/datasets@0.1.0
          may          read the tables that it is given, and write its outputs
                       nothing else: no file, no network, no environment, no real clock

        preprocessor: A table.
          input table: A table.
          output table: A table.
    "#]].assert_eq(&lab.ok(&["plugin", "inspect", "copier.wasm"]).shown());
    let shown = lab.ok(&["plugin", "inspect", component("split").to_str().expect("a path of text")]).out;
    assert!(shown.contains("  by: \"hash\" or \"seed\" or \"time\" or \"stratified\" = \"hash\"\n"), "{shown}");
}

#[test]
fn a_bench_measures_every_function() {
    let lab = Lab::census();
    let bench = |name: &str, arguments: &[&str]| {
        let file = component(name);
        lab.json(&[&["plugin", "bench", file.to_str().expect("a path of text")], arguments].concat())
    };
    for (name, functions) in [("tabular", &["fit", "transform"][..]), ("ridge-regression", &["train", "predict"])] {
        let measured = bench(name, &[]);
        for once in ["bytes", "compile_ms", "load_ms", "instantiate_us", "start_ms"] {
            assert!(measured[once].as_f64().is_some_and(|figure| figure > 0.0), "{once}: {measured}");
        }
        let steps = measured["steps"].as_array().expect("it lists the functions");
        assert_eq!(
            steps.iter().map(|step| step["function"].as_str().unwrap_or_default()).collect::<Vec<_>>(),
            functions
        );
        for step in steps {
            assert_eq!((&step["rows"], &step["problem"]), (&1_000_000.into(), &Value::Null), "{step}");
            assert!(step["rows_per_second"].as_f64().is_some_and(|figure| figure > 0.0), "{step}");
            assert!(step["peak_memory"].as_u64().is_some_and(|bytes| bytes > 0), "{step}");
        }
    }
    lab.write("text.wasm", "this is a text");
    expect![[r#"
        exit 2
        error: text.wasm cannot be measured
        caused by: this is not WebAssembly: it begins with "this is "
    "#]]
    .assert_eq(&lab.run(&["--quiet", "plugin", "bench", "text.wasm"]).refusal());
}
