//! A project that a daemon holds, and everybody else's commands.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    thread,
    time::{Duration, Instant},
};

use stagewright_tests::{Lab, Said, signal};

use crate::interruption::{slow_lab, wait_for};

const SOCKET: &str = ".stagewright/daemon.sock";

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn whole(said: &Said) -> (Option<i32>, &str, &str) {
    (said.code, &said.out, &said.err)
}

#[test]
fn commands_that_read_print_every_byte_as_without_the_daemon() {
    let lab = Lab::census();
    lab.ok(&["run", "pipelines/income.toml"]);
    lab.write("wrong.toml", "[pipeline]\nname = \"wrong\"\nsede = 7\n");
    let mut lines: Vec<String> = [
        "data list",
        "data show adult -n 3",
        "data diff adult@1 adult@1",
        "data log adult",
        "data show nobody",
        "data log nobody",
        "data export adult@1 no-ending",
        "plugin list",
        "plugin inspect split",
        "model list",
        "model show income",
        "check pipelines/income.toml",
        "check wrong.toml",
        "check pipelines/nowhere.toml",
        "run pipelines/income.toml",
        "run wrong.toml",
        "runs",
        "show",
        "show latest train",
        "show 7",
        "compare 1 latest",
        "lineage income@latest",
        "lineage income@latest --format dot",
        "lineage income@latest --format svg",
        "audit log",
        "audit verify",
        "repo export data nobody x.package",
        "repo import data nowhere.package",
        "fsck",
        "gc --dry-run",
    ]
    .map(str::to_owned)
    .to_vec();
    lines.extend(lines.clone().iter().map(|line| format!("--json {line}")));
    let without: Vec<Said> = lines.iter().map(|line| lab.run(&words(line))).collect();
    let _daemon = lab.serve();
    for (line, without) in lines.iter().zip(&without) {
        assert_eq!(whole(&lab.run(&words(line))), whole(without), "stagewright {line}");
    }
}

#[test]
fn commands_that_change_do_and_say_the_same_as_without_the_daemon() {
    let story = |lab: &Lab| -> Vec<String> {
        lab.write("elsewhere/more.csv", stagewright_tests::census(3100));
        lab.write("elsewhere/broken.csv", "a,b\n1,2\n3\n");
        let lines = [
            "run pipelines/income.toml",
            "run pipelines/income.toml",
            "data add adult elsewhere/more.csv -m more",
            "data add adult elsewhere/more.csv",
            "data add other elsewhere/broken.csv",
            "data tag adult@2 golden",
            "data export adult@golden elsewhere/out.csv",
            "run pipelines/income.toml",
            "verify",
            "audit export audit.json",
            "data delete adult@1 -m gone --derived",
            "data log adult",
            "repo lock data",
            "data tag adult@2 silver",
            "repo unlock data",
            "repo export models income@latest income.package",
            "gc",
            "repo backup models models.backup",
            "fsck",
        ];
        let told = |line: &&str| {
            let said = lab.run(&words(line));
            // Stages end in any order, and who is first computes what two of them share; how much lies in which pack is
            // the process's affair.
            let (refusal, has_sizes) =
                (said.refusal(), ["gc", "fsck", "repo backup"].iter().any(|it| line.starts_with(it)));
            let shared = |line: &&str| line.starts_with("+ ") && line.ends_with(" steps");
            let ended = |line| if shared(&line) { line.split(", ").next().unwrap_or(line) } else { line };
            let mut lines: Vec<&str> = refusal.lines().map(ended).collect();
            lines.sort_unstable();
            let shown = if has_sizes { String::new() } else { said.shown() };
            format!("{line}\n{}\n{shown}", lines.join("\n"))
        };
        lines.iter().map(told).collect()
    };
    let (alone, served) = (Lab::census(), Lab::census());
    let without = story(&alone);
    let daemon = served.serve();
    let with = story(&served);
    for (with, without) in with.iter().zip(&without) {
        assert_eq!(with, without);
    }
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), Some(0));
    served.ok(&["fsck"]);
    let read = |lab: &Lab| fs::read(lab.file("elsewhere/out.csv")).expect("the export is there");
    assert_eq!(read(&alone), read(&served));
}

#[test]
fn paths_begin_where_the_client_is_and_the_author_is_the_clients() {
    let lab = Lab::census();
    let _daemon = lab.serve();
    lab.write("pipelines/rows.csv", "a,b\n1,2\n");
    lab.ok_in("pipelines", &["data", "add", "rows", "rows.csv"]);
    lab.ok_in("pipelines", &["--author", "grace", "data", "tag", "rows@1", "checked"]);
    lab.ok_in("pipelines", &["--project", "..", "data", "export", "rows", "out.csv"]);
    assert!(lab.file("pipelines/out.csv").exists());
    let who: Vec<String> = lab
        .json(&["audit", "log", "-n", "2", "--repository", "data"])
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["who"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(who, ["grace", "ada"]);
}

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_the_daemon() {
    let lab = Lab::empty();
    lab.ok(&["init"]);
    let daemon = lab.serve();
    let mode = |path: &str| fs::metadata(lab.file(path)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(SOCKET), mode(".stagewright")), (0o600, 0o700));
    let second = lab.run(&["serve"]);
    assert_eq!(second.code, Some(1));
    assert!(second.err.contains("has a daemon already"), "{}", second.err);
    lab.ok(&["data", "list"]);
    daemon.signal("INT");
    assert_eq!(daemon.ended(), Some(0));
    assert!(!lab.file(SOCKET).exists());
    lab.ok(&["repo", "lock", "data"]);
}

#[test]
fn a_killed_daemon_leaves_a_project_that_is_used_as_before() {
    let lab = slow_lab();
    let daemon = lab.serve();
    let mut run = lab.start(&["run", "pipelines/income.toml"]);
    wait_for(&mut run, "features");
    lab.ok(&["data", "tag", "adult@1", "acknowledged"]);
    daemon.signal("KILL");
    assert_eq!(daemon.ended(), None);
    assert_eq!(lab.end(run).code, Some(1));
    assert!(lab.file(SOCKET).exists(), "nobody could remove it");
    lab.ok(&["data", "show", "adult@acknowledged"]);
    lab.ok(&["fsck"]);
    lab.replace("pipelines/income.toml", "rounds = [100000]", "rounds = [10]");
    lab.ok(&["run", "pipelines/income.toml"]);
    let daemon = lab.serve();
    lab.ok(&["verify"]);
    drop(daemon);
    lab.ok(&["fsck"]);
}

#[test]
fn whoever_writes_keeps_a_daemon_from_beginning() {
    let lab = slow_lab();
    let mut run = lab.start(&["run", "pipelines/income.toml"]);
    wait_for(&mut run, "features");
    let refused = lab.run(&["serve"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("another process is writing"), "{}", refused.err);
    signal(&run, "INT");
    lab.end(run);
    lab.serve();
}

#[test]
fn a_run_in_the_daemon_is_cancelled_by_its_clients_interrupt_and_by_its_death() {
    for how in ["INT", "KILL"] {
        let lab = slow_lab();
        let _daemon = lab.serve();
        let mut run = lab.start(&["run", "pipelines/income.toml"]);
        wait_for(&mut run, "features");
        signal(&run, how);
        let said = lab.end(run);
        assert_eq!(said.code, if how == "INT" { Some(130) } else { None });
        let began = Instant::now();
        while lab.json(&["runs"]).as_array().expect("a list").iter().all(|run| run["status"] != "cancelled") {
            assert!(began.elapsed() < Duration::from_secs(60), "the run goes on after SIG{how}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_daemon_that_is_told_to_stop_cancels_runs_and_keeps_what_is_finished() {
    let lab = slow_lab();
    let daemon = lab.serve();
    let mut run = lab.start(&["run", "pipelines/income.toml"]);
    wait_for(&mut run, "features");
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), Some(0));
    assert_eq!(lab.end(run).code, Some(130));
    lab.ok(&["fsck"]);
    assert_eq!(lab.json(&["runs"])[0]["status"], "cancelled");
}

#[test]
fn commands_of_many_clients_go_on_beside_a_run_and_each_other() {
    let lab = slow_lab();
    let _daemon = lab.serve();
    lab.write(
        "quick.toml",
        fs::read_to_string(lab.file("pipelines/income.toml"))
            .unwrap()
            .replace("rounds = [100000]", "rounds = [5]")
            .replacen("income", "quick", 1),
    );
    let mut slow = lab.start(&["run", "pipelines/income.toml"]);
    wait_for(&mut slow, "features");
    thread::scope(|scope| {
        for number in 0..8 {
            let lab = &lab;
            scope.spawn(move || {
                lab.write(&format!("rows{number}.csv"), format!("a,b\n{number},2\n"));
                lab.ok(&["data", "add", "shared", &format!("rows{number}.csv")]);
                lab.ok(&["data", "list"]);
                lab.ok(&["audit", "verify"]);
            });
        }
        scope.spawn(|| lab.ok(&["run", "quick.toml"]));
        scope.spawn(|| lab.ok(&["fsck"]));
    });
    let parents: Vec<_> = lab.json(&["data", "log", "shared"])["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| (version["number"].as_u64().unwrap(), version["parent"].as_u64()))
        .collect();
    let expected: Vec<_> = (1..=8).rev().map(|number| (number, (number > 1).then(|| number - 1))).collect();
    assert_eq!(parents, expected);
    signal(&slow, "INT");
    lab.end(slow);
    let runs: Vec<_> = lab.json(&["runs"]).as_array().unwrap().iter().map(|run| run["id"].as_u64().unwrap()).collect();
    assert_eq!(runs, [2, 1]);
}

#[test]
fn gc_beside_a_run_leaves_alone_what_the_run_uses_and_makes() {
    let lab = Lab::census();
    lab.replace("stagewright.toml", "# [keep] ", "[keep] ");
    lab.replace("stagewright.toml", "# runs = 100", "runs = 1");
    lab.ok(&["run", "pipelines/income.toml"]);
    lab.replace("pipelines/income.toml", "rounds = [10, 20]", "rounds = [10]");
    lab.ok(&["run", "pipelines/income.toml"]);
    // Nothing but the run under way needs what only the first run made.
    lab.replace("pipelines/income.toml", "rounds = [10]", "rounds = [20, 400]");
    let _daemon = lab.serve();
    let mut run = lab.start(&["run", "pipelines/income.toml"]);
    wait_for(&mut run, "features");
    let mut held = false;
    while run.try_wait().expect("it can be asked").is_none() {
        held |= lab.ok(&["gc"]).out.contains("under way");
    }
    assert_eq!(lab.end(run).code, Some(0));
    assert!(held, "no gc met the run");
    lab.ok(&["verify"]);
    lab.ok(&["fsck"]);
}

#[test]
fn a_repository_that_goes_and_comes_back_while_the_daemon_runs_is_noticed() {
    let lab = Lab::census();
    let _daemon = lab.serve();
    lab.ok(&["repo", "backup", "data", "data.backup"]);
    fs::rename(lab.file(".stagewright/repos/data"), lab.file("elsewhere")).expect("the folder can be moved");
    let said = lab.run(&["data", "list"]);
    assert!(said.err.contains("repository `data` is missing"), "{}", said.err);
    lab.ok(&["plugin", "list"]);
    lab.ok(&["repo", "restore", "data", "data.backup"]);
    assert!(lab.ok(&["data", "list"]).out.contains("adult@1"));
    lab.ok(&["data", "tag", "adult@1", "restored"]);
    fs::remove_dir_all(lab.file(".stagewright/repos/data")).expect("the folder can be removed");
    lab.ok(&["init"]);
    assert!(lab.ok(&["data", "list"]).out.contains("no tables yet"));
    lab.ok(&["fsck"]);
}

#[test]
fn a_project_deep_in_the_file_system_has_a_daemon_too() {
    let lab = Lab::empty();
    let deep = ["a-folder-with-a-long-name"; 12].join("/");
    fs::create_dir_all(lab.file(&deep)).expect("the folder can be made");
    lab.ok(&["init", &deep]);
    let _daemon = lab.serve_with(&["--project", &deep]);
    lab.write("rows.csv", "a,b\n1,2\n");
    lab.ok(&["--project", &deep, "data", "add", "rows", "rows.csv"]);
    lab.ok_in(&deep, &["data", "show", "rows"]);
    // Through the daemon: nobody else may write.
    assert!(lab.run(&["--project", &deep, "serve"]).err.contains("has a daemon already"));
}

#[test]
fn garbage_silence_and_half_closed_connections_harm_nobody() {
    let lab = Lab::census();
    let daemon = lab.serve();
    let connect = || UnixStream::connect(lab.file(SOCKET)).expect("the daemon listens");
    let mut request = vec![0_u8];
    for field in [env!("CARGO_PKG_VERSION"), "ada", "/", "\0", "stagewright", "data", "list"] {
        request.extend_from_slice(&(field.len() as u32).to_le_bytes());
        request.extend_from_slice(field.as_bytes());
    }
    let len = (request.len() as u32 - 1).to_le_bytes();
    request.splice(1..1, len);
    let ask = |bytes: &[u8]| -> Vec<u8> {
        let mut stream = connect();
        // Whoever is refused early may be gone before everything is said.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    };
    assert_eq!(ask(&[]), b"");
    assert_eq!(ask(b"GET / HTTP/1.1\r\n\r\n"), b"");
    assert_eq!(ask(&[0, 255, 255, 255, 255]), b"");
    assert_eq!(ask(&vec![0xff; 1 << 20]), b"");
    for end in [1, 4, 5, 9, 20, request.len() - 1] {
        assert_eq!(ask(&request[..end]), b"", "a request of {end} bytes");
    }
    // A whole request is answered even where the client has closed its half.
    let answer = ask(&request);
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("adult@1"), "{text}");
    let silent: Vec<UnixStream> = (0..100).map(|_| connect()).collect();
    let mut asking = lab.start(&["data", "list"]);
    drop(silent);
    assert!(asking.wait().expect("it ends").success());
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), Some(0));
}
