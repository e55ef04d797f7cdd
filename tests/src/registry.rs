//! A registry of the outside world: Debian's `docker-registry`, started on a free port of this machine.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::lab::target;

/// The only user that a registry with a password knows.
pub const USER: &str = "ada";
/// Her password.
pub const PASSWORD: &str = "s3cret word";
/// The password as the registry keeps it (bcrypt).
const PASSWORD_HASH: &str = "$2b$04$3PX0d7OnT1d9Le4ZPNes/uqo90Sku3VswzgSaVxg21Jw6wujVmvjW";

/// A running registry, gone when the story ends.
#[derive(Debug)]
pub struct Registry {
    process: Child,
    _folder: TempDir,
    /// Where it listens: `127.0.0.1:PORT`.
    pub host: String,
}

/// Who may use a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Everybody.
    ToAll,
    /// Those with a password.
    ToUsers,
}

impl Registry {
    /// Starts one. None, with a line that says so, where `cargo test-all` could not install it.
    pub fn start(open: Open) -> Option<Self> {
        let program = tool("usr/bin/docker-registry")?;
        let folder = TempDir::with_prefix("registry-").expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        let login = match open {
            Open::ToAll => String::new(),
            Open::ToUsers => {
                fs::write(at("users"), format!("{USER}:{PASSWORD_HASH}\n")).expect("the file can be written");
                format!("auth: {{htpasswd: {{realm: stories, path: {:?}}}}}\n", at("users"))
            }
        };
        let settings = format!(
            "version: 0.1\nlog: {{level: info, formatter: json}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n\
             storage: {{filesystem: {{rootdirectory: {:?}}}}}\n{login}",
            at("data"),
        );
        fs::write(at("config.yml"), settings).expect("the file can be written");
        let mut process = Command::new(program)
            .arg("serve")
            .arg(at("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the registry starts");
        let mut log = BufReader::new(process.stderr.take().expect("standard error is a pipe")).lines();
        let host = log
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("listening on ")?.1.split_once('"')?.0.to_owned()))
            .expect("the registry says where it listens");
        // A full pipe would stop it.
        std::thread::spawn(move || log.for_each(drop));
        Some(Self { process, _folder: folder, host })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Debian's `minisign`, ready to run. None, with a line that says so, where it could not be installed.
pub fn minisign() -> Option<Command> {
    let program = tool("usr/bin/minisign")?;
    let libraries = program.ancestors().nth(2).expect("it lies in usr/bin").join("lib");
    let of_this_architecture = fs::read_dir(libraries).ok()?.flatten().next()?.path();
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", of_this_architecture).stdin(Stdio::null()).stdout(Stdio::null());
    Some(command)
}

/// A Python that has the client `oras`. None, with a line that says so, where it could not be installed.
pub fn oras() -> Option<Command> {
    tool("oras/bin/python").map(Command::new)
}

/// A program of those that `cargo test-all` installs for the stories of sharing.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn tool(path: &str) -> Option<PathBuf> {
    let found = target().0.join("toolchains/sharing").join(path);
    if !found.exists() {
        println!("skipped: {} is not installed", found.display());
        return None;
    }
    Some(found)
}
