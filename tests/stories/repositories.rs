//! Four repositories that do not need each other.

use std::fs;

use stagewright_tests::Lab;

#[test]
fn a_repository_that_is_gone_keeps_none_of_the_others_from_being_used() {
    let lab = Lab::census();
    lab.ok(&["repo", "backup", "data", "data.backup"]);
    fs::rename(lab.file(".stagewright/repos/data"), lab.file("elsewhere")).expect("the folder can be moved");

    for command in [&["plugin", "list"][..], &["model", "list"], &["runs"], &["audit", "log"]] {
        lab.ok(command);
    }
    lab.ok(&["repo", "lock", "code"]);
    lab.ok(&["repo", "unlock", "code"]);
    for command in [&["data", "list"][..], &["run", "pipelines/income.toml"], &["audit", "verify"], &["gc"]] {
        let said = lab.run(command);
        assert_ne!(said.code, Some(0), "{command:?}: {}", said.out);
        assert!(said.err.contains("repository `data` is missing"), "{command:?}: {}", said.err);
    }
    let checked = lab.run(&["fsck"]);
    assert_eq!(checked.code, Some(4));
    assert!(checked.out.contains("the whole repository"), "{}", checked.out);

    lab.ok(&["repo", "restore", "data", "data.backup"]);
    lab.ok(&["check", "pipelines/income.toml"]);
    lab.ok(&["fsck"]);
}

#[test]
fn init_makes_a_repository_that_is_gone_again_and_leaves_the_others_as_they_are() {
    let lab = Lab::census();
    fs::remove_dir_all(lab.file(".stagewright/repos/data")).expect("the folder can be removed");
    let plugins = lab.ok(&["plugin", "list"]).out;
    assert!(lab.ok(&["init"]).out.contains("data"));
    assert_eq!(lab.ok(&["plugin", "list"]).out, plugins);
    assert!(lab.ok(&["data", "list"]).out.contains("no tables yet"));
    assert_ne!(lab.run(&["init"]).code, Some(0));
}
