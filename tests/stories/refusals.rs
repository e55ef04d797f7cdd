//! What each bad input gets: before anything runs where that is possible, and always in words.
//!
//! What a bad component does when it runs (trap, loop, allocate without end, return nonsense) is told by the runtime's
//! own tests; here is what a user meets.

use expect_test::{Expect, expect};
use stagewright_tests::{Lab, census, component};

const PIPELINE: &str = "pipelines/income.toml";

/// Changes the pipeline at one place, and shows what `stagewright check` says.
fn check_refuses(from: &str, to: &str, expected: Expect) {
    let lab = Lab::census();
    lab.replace(PIPELINE, from, to);
    expected.assert_eq(&lab.run(&["check", PIPELINE]).refusal());
    // Nothing runs that does not pass the check.
    assert_eq!(lab.run(&["run", PIPELINE]).code, Some(2));
}

#[test]
fn a_cycle_is_shown() {
    check_refuses(
        "input = \"data.census\"\noutputs",
        "input = \"features\"\noutputs",
        expect![[r#"
        exit 2
        error: pipelines/income.toml:18:8: these stages wait for each other: split needs features needs split
          hint: take one of the references out
        pipelines/income.toml:20:9: stage `features` (featurizer) has no table
          hint: read a data version or a preprocessor's output
    "#]],
    );
}

#[test]
fn an_unknown_plugin_is_named_with_the_nearest_one() {
    check_refuses(
        "preprocessor = \"split\"",
        "preprocessor = \"splt\"",
        expect![[r#"
        exit 2
        error: pipelines/income.toml:19:16: there is no plugin `splt@latest`; did you mean `split`?
    "#]],
    );
}

#[test]
fn a_plugin_of_another_kind_is_refused() {
    check_refuses(
        "preprocessor = \"split\"",
        "preprocessor = \"tabular\"",
        expect![[r#"
        exit 2
        error: pipelines/income.toml:19:16: plugin `tabular@latest` is no preprocessor
          hint: it exports: featurizer
    "#]],
    );
}

#[test]
fn data_that_is_not_there_is_named() {
    check_refuses(
        "adult@latest",
        "adlut@latest",
        expect![[r#"
        exit 2
        error: pipelines/income.toml:7:10: there is no data set `adlut@latest`; did you mean `adult`?
    "#]],
    );
    check_refuses(
        "adult@latest",
        "adult@9",
        expect![[r#"
        exit 2
        error: pipelines/income.toml:7:10: there is no data set `adult@9`; the latest version is adult@1
    "#]],
    );
}

#[test]
fn an_input_that_no_stage_makes_is_named() {
    check_refuses(
        "on = \"split.validation\"",
        "on = \"split.validaton\"",
        expect![[r#"
        exit 2
        error: pipelines/income.toml:34:56: stage `split` has no output `validaton`
          hint: name one of `split.train`, `split.validation`, `split.test`
    "#]],
    );
    check_refuses(
        "[stage.features]\nfeaturizer = \"tabular\"\ninput",
        "[stage.features]\nfeaturizer = \"tabular\"\ninptu",
        expect![[r#"
        exit 2
        error: pipelines/income.toml:24:8: [stage.features] has no `input`
          hint: add: input = "data.NAME" or "STAGE.OUTPUT"
        pipelines/income.toml:26:1: unknown key `inptu` in [stage.features], a featurizer,
          hint: did you mean `input`?
    "#]],
    );
}

#[test]
fn a_parameter_that_the_plugin_does_not_take_is_refused_at_its_place() {
    check_refuses(
        "bootstrap = 50",
        "bootstrp = 50",
        expect![[r#"
            exit 2
            error: pipelines/income.toml:40:10: unknown parameter `bootstrp` (evaluator `classification`)
              hint: did you mean `bootstrap`?
        "#]],
    );
    check_refuses(
        "bootstrap = 50",
        "bootstrap = \"many\"",
        expect![[r#"
            exit 2
            error: pipelines/income.toml:40:10: parameter `bootstrap`: "many" is not of type "integer" (evaluator `classification`)
        "#]],
    );
    check_refuses(
        "rounds = [10, 20]",
        "round = [10, 20]",
        expect![[r#"
        exit 2
        error: pipelines/income.toml:33:11: no candidate takes a parameter `round`
    "#]],
    );
}

#[test]
fn text_that_is_not_toml_is_refused_at_its_place() {
    check_refuses(
        "seed = 7",
        "seed = ",
        expect![[r#"
        exit 2
        error: pipelines/income.toml:4:8: not valid TOML: string values must be quoted, expected literal string
    "#]],
    );
}

/// Changes the pipeline, and shows what `stagewright run` says.
fn run_refuses(change: impl Fn(&Lab), expected: Expect) {
    let lab = Lab::census();
    change(&lab);
    expected.assert_eq(&lab.run(&["run", PIPELINE]).refusal());
}

#[test]
fn a_label_that_the_table_lacks_is_named_with_the_columns() {
    run_refuses(
        |lab| lab.replace(PIPELINE, "label = \"loan\"", "label = \"lona\""),
        expect![[r#"
        exit 3
        + expectations     [time]
        + split            [time]
        x features         failed: invalid parameter: the table has no column `lona`; did you mean `loan`?
        - train            skipped
        - evaluate         skipped
        - fairness         skipped
        error: features: invalid parameter: the table has no column `lona`; did you mean `loan`?
    "#]],
    );
}

#[test]
fn a_constant_label_is_refused() {
    let constant = |lab: &Lab| {
        lab.write("constant.csv", census(500).replace(">50K", "<=50K"));
        lab.ok(&["data", "add", "adult", "constant.csv"]);
    };
    run_refuses(
        constant,
        expect![[r#"
        exit 3
        + expectations     [time]
        + split            [time]
        + features         [time]
        x train            failed: invalid data: every row has the same label: `loan` is always `<=50K`
        - evaluate         skipped
        - fairness         skipped
        error: train: invalid data: every row has the same label: `loan` is always `<=50K`
    "#]],
    );
}

#[test]
fn a_label_among_the_features_is_refused() {
    let among = |lab: &Lab| lab.replace(PIPELINE, "exclude = [\"column_1\"]", "columns = [\"age\", \"loan\"]");
    run_refuses(
        among,
        expect![[r#"
        exit 3
        + expectations     [time]
        + split            [time]
        x features         failed: invalid parameter: `loan` is the label, so it cannot be listed in `columns`
        - train            skipped
        - evaluate         skipped
        - fairness         skipped
        error: features: invalid parameter: `loan` is the label, so it cannot be listed in `columns`
    "#]],
    );
}

#[test]
fn a_violated_expectation_stops_the_run() {
    run_refuses(
        |lab| lab.replace(PIPELINE, "max = 120", "max = 60"),
        expect![[r#"
        exit 3
        x expectations     violated: `age`: expected that all of its values are at most 60; 218 of 3000 do not: row 75 (`79`), row 78 (`67`), row 101 (`76`), row 141 (`61`), row 145 (`70`)
        - split            skipped
        - features         skipped
        - train            skipped
        - evaluate         skipped
        - fairness         skipped
        error: expectations: `age`: expected that all of its values are at most 60; 218 of 3000 do not: row 75 (`79`), row 78 (`67`), row 101 (`76`), row 141 (`61`), row 145 (`70`)
    "#]],
    );
}

/// Shows what a command that must not succeed says.
fn refuses(lab: &Lab, arguments: &[&str], expected: Expect) {
    expected.assert_eq(&lab.run(arguments).refusal());
}

#[test]
fn truncated_data_is_refused_and_leaves_nothing_behind() {
    let lab = Lab::empty();
    lab.ok(&["init"]);
    lab.write("empty.csv", "");
    lab.write("quote.csv", "a,b\n1,\"two\n3,4\n");
    lab.write("short.csv", "a,b\n1,2\n3\n");
    let packed = std::fs::read(stagewright_tests::examples().join("adult-income/data/census.csv.gz")).unwrap();
    lab.write("cut.csv.gz", &packed[..packed.len() / 2]);
    refuses(
        &lab,
        &["data", "add", "x", "empty.csv"],
        expect![[r#"
        exit 2
        error: empty.csv: the file is empty: there is neither a header nor a row
    "#]],
    );
    refuses(
        &lab,
        &["data", "add", "x", "quote.csv"],
        expect![[r#"
        exit 2
        error: quote.csv, line 2: a quote opens here and is never closed; close it, or read quotes as plain text with --quote none
    "#]],
    );
    refuses(
        &lab,
        &["data", "add", "x", "short.csv"],
        expect![[r#"
        exit 2
        error: short.csv, line 3: 1 value where the first line has 2; pad with --ragged pad
    "#]],
    );
    refuses(
        &lab,
        &["data", "add", "x", "cut.csv.gz"],
        expect![[r#"
        exit 2
        error: cut.csv.gz: the gzip data is cut short or damaged after line 16187 (incomplete deflate stream)
    "#]],
    );
    refuses(
        &lab,
        &["data", "add", "x", "nowhere.csv"],
        expect![[r#"
        exit 2
        error: cannot read or write nowhere.csv
        caused by: No such file or directory (os error 2)
    "#]],
    );
    let tables = lab.json(&["data", "list"]);
    assert_eq!(tables.as_array().or_else(|| tables["tables"].as_array()).map(Vec::len), Some(0), "{tables}");
}

#[test]
fn what_is_not_a_plugin_is_refused() {
    let lab = Lab::empty();
    lab.ok(&["init"]);
    lab.write("text.wasm", "this is a text");
    lab.write("module.wasm", wat::parse_str("(module)").unwrap());
    lab.write("empty.wasm", wat::parse_str("(component)").unwrap());
    let plugin = std::fs::read(component("split")).unwrap();
    lab.write("cut.wasm", &plugin[..plugin.len() / 2]);
    lab.write("worlds.wasm", wat::parse_str(r#"(component (import "wasi:sockets/tcp@0.2.0" (instance)))"#).unwrap());
    refuses(
        &lab,
        &["plugin", "add", "text.wasm"],
        expect![[r#"
        exit 2
        checking text.wasm
        error: text.wasm cannot be a plugin
        caused by: this is not WebAssembly: it begins with "this is "
    "#]],
    );
    refuses(
        &lab,
        &["plugin", "add", "module.wasm"],
        expect![[r#"
        exit 2
        checking module.wasm
        error: module.wasm cannot be a plugin
        caused by: this is a core module, not a component; turn it into one with `wasm-tools component new` or a component tool of its language
    "#]],
    );
    refuses(
        &lab,
        &["plugin", "add", "empty.wasm"],
        expect![[r#"
        exit 2
        checking empty.wasm
        error: empty.wasm cannot be a plugin
        caused by: the component exports no stage; it must export `stagewright:stage/plugin@0.1.0` and one or more of `preprocessor`, `featurizer`, `trainer`, `predictor`, `evaluator`, `fairness-checker`, `validator`, `monitor`
    "#]],
    );
    refuses(
        &lab,
        &["plugin", "add", "cut.wasm"],
        expect![[r#"
        exit 2
        checking cut.wasm
        error: cut.wasm cannot be a plugin
        caused by: the component is not valid: unexpected end-of-file
    "#]],
    );
    refuses(
        &lab,
        &["plugin", "add", "worlds.wasm"],
        expect![[r#"
        exit 2
        checking worlds.wasm
        error: worlds.wasm cannot be a plugin
        caused by: the component exports no stage; it must export `stagewright:stage/plugin@0.1.0` and one or more of `preprocessor`, `featurizer`, `trainer`, `predictor`, `evaluator`, `fairness-checker`, `validator`, `monitor`
    "#]],
    );
    refuses(
        &lab,
        &["plugin", "add", "nowhere.wasm"],
        expect![[r#"
        exit 2
        checking nowhere.wasm
        error: cannot read nowhere.wasm
        caused by: No such file or directory (os error 2)
    "#]],
    );
}

#[test]
fn without_a_project_the_first_step_is_named() {
    let lab = Lab::empty();
    refuses(
        &lab,
        &["data", "list"],
        expect![[r#"
        exit 1
        error: [project] holds no Stagewright project; `stagewright init` makes one
    "#]],
    );
    lab.ok(&["init"]);
    refuses(
        &lab,
        &["init"],
        expect![[r#"
        exit 1
        error: [project] holds a Stagewright project already
    "#]],
    );
}
