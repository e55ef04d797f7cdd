//! What a user calls. It answers `run` of a pipeline in which nothing has changed, from a few small files; for everything
//! else it becomes the engine, the program of that name beside it.
//!
//! The engine holds a compiler, a web server and half a dozen file formats. Placing all that in memory takes several
//! times as long as finding out that there is nothing to do.

use std::{
    env, fs,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode},
};

use stagewright::{
    Project,
    memo::{self, Answer},
    project::{DAEMON_SOCKET, STORE_DIRECTORY},
};

const ENGINE: &str = "stagewright-engine";

fn main() -> ExitCode {
    match unchanged() {
        Some(told) => told,
        None => engine(),
    }
}

/// Tells that nothing has changed; none where something may have, or where something else is wanted.
fn unchanged() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next()? != "run" {
        return None;
    }
    let (mut file, mut json) = (None, false);
    for argument in arguments {
        match argument.to_str()? {
            "--json" => json = true,
            "--quiet" | "-q" => {}
            option if option.starts_with('-') => return None,
            _ if file.is_some() => return None,
            _ => file = Some(argument),
        }
    }
    let file = file?;
    let root = Project::find(&env::current_dir().ok()?)?;
    // Where a daemon holds the project, it answers.
    if root.join(STORE_DIRECTORY).join(DAEMON_SOCKET).exists() {
        return None;
    }
    let file = Path::new(&file);
    let text = fs::read_to_string(file).ok()?;
    let shown = file.display().to_string();
    let Answer { text, json: as_json } = memo::unchanged(&root, &shown, &text, None, env!("CARGO_PKG_VERSION"))?;
    let said = if json { as_json } else { text };
    match io::stdout().write_all(said.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Some(failed(&format!("cannot write to standard output: {error}")))
        }
        _ => Some(ExitCode::SUCCESS),
    }
}

/// Goes on as the engine.
fn engine() -> ExitCode {
    let program = match env::current_exe() {
        Ok(program) => program.with_file_name(ENGINE),
        Err(error) => return failed(&format!("cannot find out where this program is: {error}")),
    };
    let mut arguments = env::args_os();
    let mut command = Command::new(&program);
    command.arg0(arguments.next().unwrap_or_else(|| "stagewright".into())).args(arguments);
    if env::args_os().nth(1).is_some_and(|word| word == "run") {
        // A run ends soon: its allocator need not give memory back piece by piece before the system takes all of it.
        command.env("MIMALLOC_PURGE_DELAY", "-1");
    }
    // It returns only where it fails.
    let error = command.exec();
    failed(&format!(
        "cannot start {}: {error}\n  stagewright is two programs, which belong into one folder",
        program.display()
    ))
}

fn failed(what: &str) -> ExitCode {
    // Where even this cannot be written, nobody is listening.
    let _ = writeln!(io::stderr(), "error: {what}");
    ExitCode::FAILURE
}
