//! The command line for programs: JSON on every command, and exit codes.

use stagewright_tests::Lab;

#[test]
fn every_command_that_reads_prints_json_that_parses() {
    let lab = Lab::census();
    lab.ok(&["run", "pipelines/income.toml"]);
    for command in [
        "data list",
        "data show adult",
        "data diff adult@1 adult@1",
        "data log adult",
        "plugin list",
        "plugin inspect split",
        "model list",
        "model show income",
        "check pipelines/income.toml",
        "run pipelines/income.toml",
        "runs",
        "show",
        "show latest train",
        "compare 1 latest",
        "verify",
        "lineage income@latest",
        "audit log",
        "audit verify",
        "fsck",
        "gc --dry-run",
    ] {
        let answer = lab.json(&command.split(' ').collect::<Vec<_>>());
        assert!(answer.is_object() || answer.is_array(), "{command}: {answer}");
    }
}

#[test]
fn exit_codes_tell_what_kind_of_thing_went_wrong() {
    let lab = Lab::census();
    let codes: Vec<_> = ["data list", "data show nobody", "no-such-command", "run pipelines/nowhere.toml", "show 7"]
        .iter()
        .map(|line| (*line, lab.run(&line.split(' ').collect::<Vec<_>>()).code))
        .collect();
    expect_test::expect![[r#"
        [
            (
                "data list",
                Some(
                    0,
                ),
            ),
            (
                "data show nobody",
                Some(
                    2,
                ),
            ),
            (
                "no-such-command",
                Some(
                    2,
                ),
            ),
            (
                "run pipelines/nowhere.toml",
                Some(
                    2,
                ),
            ),
            (
                "show 7",
                Some(
                    1,
                ),
            ),
        ]
    "#]]
    .assert_debug_eq(&codes);

    lab.replace("pipelines/income.toml", "max = 120", "max = 30");
    assert_eq!(lab.run(&["run", "pipelines/income.toml"]).code, Some(3), "a validator found a violation");
}

#[test]
fn completions_are_printed_for_the_shells() {
    let lab = Lab::empty();
    for shell in ["bash", "zsh", "fish"] {
        assert!(lab.ok(&["completions", shell]).out.contains("stagewright"), "{shell}");
    }
}

#[test]
fn where_json_is_asked_for_a_failure_is_a_line_of_it_on_standard_error() {
    let lab = Lab::census();
    let error = |arguments: &[&str]| -> serde_json::Value {
        let said = lab.run(arguments);
        assert_eq!(said.out, "");
        let said: serde_json::Value = serde_json::from_str(said.err.trim()).expect("one line of JSON");
        said["error"].clone()
    };
    let none = error(&["--json", "show", "7"]);
    assert!(none["message"].as_str().expect("a message").contains('7') && none["exit_code"] != 0, "{none}");

    lab.write("wrong.toml", "[pipeline]\nname = \"wrong\"\nsede = 7\n");
    let wrong = error(&["--json", "check", "wrong.toml"]);
    let problem = &wrong["problems"][0];
    assert_eq!((&problem["line"], &problem["column"]), (&3.into(), &1.into()), "{wrong}");
    assert!(problem["hint"].as_str().expect("a hint").contains("seed"), "{wrong}");

    let unknown = error(&["chek", "--json"]);
    assert_eq!(
        (unknown["message"].as_str(), &unknown["exit_code"]),
        (Some("unrecognized subcommand 'chek'; tip: a similar subcommand exists: 'check'"), &2.into())
    );
}
