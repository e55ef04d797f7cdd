//! A project in a temporary folder, driven through the built `stagewright`, as a user drives it.
//!
//! A story that finds nothing built fails and says what to type: a skipped story would pass for a told one.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::OnceLock,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::masked;

/// How many census rows a story's project holds: enough for every stage to have something to do.
const ROWS: usize = 3000;

/// A project of its own, gone when the story ends.
#[derive(Debug)]
pub struct Lab {
    folder: TempDir,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
    folder: PathBuf,
}

impl Lab {
    /// An empty folder.
    pub fn empty() -> Self {
        Self { folder: TempDir::with_prefix("stagewright-").expect("a temporary folder") }
    }

    /// A project with every plugin, the first census rows as `adult@1`, and the demo's pipeline cut down to be quick.
    pub fn census() -> Self {
        // Plugins are compiled when they are added; once is enough for all stories.
        static TEMPLATE: OnceLock<Lab> = OnceLock::new();
        let template = TEMPLATE.get_or_init(|| {
            let lab = Self::empty();
            lab.ok(&["init"]);
            let components = components();
            let mut add = vec!["plugin", "add"];
            add.extend(components.iter().map(|path| path.to_str().expect("a path of text")));
            lab.ok(&add);
            lab.write("census.csv", census(ROWS));
            lab.ok(&["data", "add", "adult", "census.csv"]);
            lab.write("pipelines/income.toml", include_str!("income.toml"));
            lab
        });
        let lab = Self::empty();
        copy(template.path(), lab.path());
        lab
    }

    /// The project's folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of a file of the project.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file of the project.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.file(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder can be made");
        fs::write(path, content).expect("the file can be written");
    }

    /// Replaces a text that a file of the project holds exactly once.
    pub fn replace(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.file(name)).expect("the file can be read");
        assert_eq!(text.matches(from).count(), 1, "{name} holds {from:?} exactly once");
        self.write(name, text.replace(from, to));
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Said {
        self.said(self.command(arguments).output().expect("stagewright starts"))
    }

    /// Runs a command to its end, in an environment with these names.
    pub fn run_in(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Said {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        self.said(command.output().expect("stagewright starts"))
    }

    /// Runs a command that must succeed.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> Said {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "stagewright {}\n{}{}", arguments.join(" "), said.out, said.err);
        said
    }

    /// Runs a command that must succeed, with `--json`, and reads what it prints.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let said = self.ok(&[&["--json"], arguments].concat());
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error} in {}", said.out))
    }

    /// Starts a command, with a process group of its own as a shell gives it, and leaves it running.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.process_group(0);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("stagewright starts")
    }

    /// Runs a command that must succeed, in a folder of the project.
    #[track_caller]
    pub fn ok_in(&self, folder: &str, arguments: &[&str]) -> Said {
        let output = self.command(arguments).current_dir(self.file(folder)).output();
        let said = self.said(output.expect("stagewright starts"));
        assert_eq!(said.code, Some(0), "stagewright {}\n{}{}", arguments.join(" "), said.out, said.err);
        said
    }

    /// Starts the project's daemon; it ends with what is returned.
    pub fn serve(&self) -> Daemon {
        self.serve_with(&[])
    }

    /// The same with further arguments.
    pub fn serve_with(&self, arguments: &[&str]) -> Daemon {
        let mut child = self.start(&[&["serve"], arguments].concat());
        let out = child.stdout.take().expect("the daemon's output is piped");
        let mut said = String::new();
        BufReader::new(out).read_line(&mut said).expect("the daemon prints UTF-8");
        if said.is_empty() {
            let ended = child.wait_with_output().expect("the daemon ended");
            panic!("the daemon did not begin: {}", String::from_utf8_lossy(&ended.stderr));
        }
        Daemon { child, said }
    }

    /// Waits for a started command.
    pub fn end(&self, child: Child) -> Said {
        self.said(child.wait_with_output().expect("stagewright ends"))
    }

    #[expect(clippy::disallowed_methods, reason = "a story is told in the environment of whoever tells it")]
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("stagewright"));
        command.current_dir(self.path()).env("STAGEWRIGHT_AUTHOR", "ada").args(arguments).stdin(Stdio::null());
        // What surrounds the tests must not change what is said.
        command.env_remove("STAGEWRIGHT_LOG").env("NO_COLOR", "1").env("COLUMNS", "100");
        command.env("XDG_CACHE_HOME", self.file(".cache")).env("XDG_CONFIG_HOME", self.file(".config"));
        command.env_remove("REGISTRY_AUTH_FILE").env("DOCKER_CONFIG", self.file(".docker"));
        // Other languages' tools, where `cargo test-all` could install them, and one place for what cargo builds.
        let toolchains = target().0.join("toolchains");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let tools = [toolchains.join("python/bin"), toolchains.join("node/node_modules/.bin")];
        let path = std::env::join_paths(tools.into_iter().chain(std::env::split_paths(&path)));
        command.env("PATH", path.expect("folders without a colon")).env("CARGO_TARGET_DIR", toolchains.join("rust"));
        // The C and Go libraries are built once for all stories.
        command.env("ZIG_GLOBAL_CACHE_DIR", toolchains.join("zig")).env("GOCACHE", toolchains.join("go"));
        command
    }

    fn said(&self, output: Output) -> Said {
        let text = |bytes| String::from_utf8(bytes).expect("stagewright prints UTF-8");
        let Output { status, stdout, stderr } = output;
        Said { code: ExitStatus::code(&status), out: text(stdout), err: text(stderr), folder: self.path().to_owned() }
    }
}

/// A running daemon; dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    /// What it said when it began.
    pub said: String,
}

impl Daemon {
    /// Sends a signal: `TERM`, `INT`, `KILL`.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for its end; its exit code.
    pub fn ended(mut self) -> Option<i32> {
        self.child.wait().expect("the daemon ends").code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.expect("kill runs").success(), "the process is still there");
}

impl Said {
    /// The exit code and standard error, without what differs from machine to machine: for snapshots of refusals.
    pub fn refusal(&self) -> String {
        format!("exit {}\n{}", self.code.unwrap_or(-1), masked(&self.err, &self.folder))
    }

    /// Standard output, without what differs from machine to machine.
    pub fn shown(&self) -> String {
        masked(&self.out, &self.folder)
    }
}

/// A built program: `stagewright`, or `stagewright-engine` beside it.
pub fn program(name: &str) -> PathBuf {
    built(name, target().1)
}

/// A built plugin.
pub fn component(name: &str) -> PathBuf {
    built(&format!("{name}.wasm"), target().0.join("plugins"))
}

/// Every built plugin, in order of its name.
pub fn components() -> Vec<PathBuf> {
    let folder = built("plugins", target().0);
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    paths.sort();
    paths
}

/// A program among the tools that `cargo test-all` could install.
pub fn tool(name: &str) -> Option<PathBuf> {
    Some(target().0.join("toolchains").join(name)).filter(|path| path.exists())
}

/// Where `cargo test-all` installs other people's validators of documents.
pub fn validators() -> PathBuf {
    target().0.join("toolchains/validators")
}

/// The folder of examples.
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// The header and the first rows of the demo's data.
pub fn census(rows: usize) -> String {
    let path = examples().join("adult-income/data/census.csv.gz");
    let mut text = String::new();
    let file = fs::File::open(path).expect("the demo's data is part of the repository");
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("the demo's data is whole");
    text.split_inclusive('\n').take(rows + 1).collect()
}

/// Cargo's target folder, and that of the profile in use: tests lie in `target/PROFILE/deps`.
pub(crate) fn target() -> (PathBuf, PathBuf) {
    let program = std::env::current_exe().expect("a test knows where it lies");
    let profile = program.ancestors().nth(2).expect("a test lies in target/PROFILE/deps");
    (profile.parent().expect("a profile lies in target").to_owned(), profile.to_owned())
}

fn built(name: &str, folder: PathBuf) -> PathBuf {
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built: the stories are told by `cargo test-all`", path.display());
    path
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("the file has a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the file can be copied");
        }
    }
}

/// Sends what Ctrl-C sends on a terminal: an interrupt to the program and to all that it started.
pub fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-INT", "--", &format!("-{}", child.id())]).status();
    assert!(status.expect("kill runs").success(), "the process is still there");
}
