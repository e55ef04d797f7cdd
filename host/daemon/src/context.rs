//! What a command works with: which project, on whose behalf, and who hears what it says.
//!
//! A command knows neither standard output nor the current directory. So the same command runs in the process that was
//! called and, for another process, in the daemon that holds the project.

use std::path::{Path, PathBuf};

use serde::Serialize;
use stagewright::{GivenPath, Project, Surroundings, runtime::CancelToken, store::Access};

use crate::{
    args::Cli,
    daemon::Holder,
    failure::{CANNOT, Failure, WRONG_INPUT},
    listener::Listener,
    progress::Progress,
    surroundings,
};

/// A value as JSON, as it is printed.
pub(crate) fn json_text<T: Serialize>(value: &T) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new(CANNOT, error.to_string()))?;
    Ok(text + "\n")
}

/// What a command works with.
pub(crate) struct Context {
    root: PathBuf,
    directory: PathBuf,
    json: bool,
    pub(crate) surroundings: Surroundings,
    pub(crate) progress: Progress,
    listener: Listener,
    holder: Option<Holder>,
}

impl Context {
    /// For a command of this process.
    pub(crate) fn here(cli: &Cli) -> Result<Self, Failure> {
        let io = |error: std::io::Error| Failure::new(CANNOT, format!("this machine cannot be looked at: {error}"));
        let listener = Listener::here(cli.quiet);
        Ok(Self {
            root: surroundings::project(cli.project.as_deref()).map_err(io)?,
            directory: PathBuf::new(),
            json: cli.json,
            surroundings: surroundings::of_this_machine(cli.author.as_deref()).map_err(io)?,
            progress: Progress::new(listener.clone()),
            listener,
            holder: None,
        })
    }

    /// For a command of another process, whose directory and author are given, on the project that this process holds.
    pub(crate) fn served(cli: &Cli, holder: Holder, directory: PathBuf, author: &str, listener: Listener) -> Self {
        let mut surroundings = holder.surroundings().clone();
        cli.author.as_deref().unwrap_or(author).clone_into(&mut surroundings.author);
        Self {
            root: holder.root().to_owned(),
            directory,
            json: cli.json,
            surroundings,
            progress: Progress::new(listener.clone()),
            listener,
            holder: Some(holder),
        }
    }

    /// Where the project is, if there is one.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path that the user gave.
    pub(crate) fn path(&self, given: &Path) -> Result<GivenPath, Failure> {
        let of_a_process = ["/dev/std", "/dev/fd/", "/proc/self/", "/proc/thread-self/"];
        let lossy = given.to_string_lossy();
        if self.holder.is_some() && of_a_process.iter().any(|start| lossy.starts_with(start)) {
            let what = format!("{lossy} cannot be passed to the daemon that holds this project: name a file");
            return Err(Failure::new(WRONG_INPUT, what));
        }
        Ok(GivenPath::new(&self.directory, given))
    }

    /// What starts a worker process.
    pub(crate) fn worker(&self) -> Vec<std::ffi::OsString> {
        self.surroundings.worker.clone()
    }

    fn open(&self, access: Access) -> Result<Project, Failure> {
        let progress = |line: &str| self.progress.line(line);
        match &self.holder {
            Some(holder) => Ok(holder.project(&progress)?.by(&self.surroundings.author)),
            None => Ok(Project::open(&self.root, access, &self.surroundings, &progress)?),
        }
    }

    /// The project, to change it.
    pub(crate) fn write(&self) -> Result<Project, Failure> {
        self.open(Access::Write)
    }

    /// The project, to run stages: a worker process starts meanwhile.
    pub(crate) fn write_to_run(&self) -> Result<Project, Failure> {
        match self.holder {
            Some(_) => self.write().inspect(Project::warm),
            None => Ok(Project::open_to_run(&self.root, &self.surroundings, &|line| self.progress.line(line))?),
        }
    }

    /// The project, to look at it, beside whoever may be changing it.
    pub(crate) fn read(&self) -> Result<Project, Failure> {
        self.open(Access::Read)
    }

    /// The project where this process holds it, else none: for what repairs projects that cannot be opened.
    pub(crate) fn held(&self) -> Result<Option<Project>, Failure> {
        self.holder.as_ref().map(|_| self.write()).transpose()
    }

    /// Prints a value: as JSON if asked to, else as the text that is made of it.
    pub(crate) fn print<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        if self.json { self.text(&json_text(value)?) } else { self.text(&text(value)) }
    }

    /// Prints one of two texts that say the same.
    pub(crate) fn text_or_json(&self, text: &str, json: &str) -> Result<(), Failure> {
        self.text(if self.json { json } else { text })
    }

    /// Prints text as it is.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        self.out(text.as_bytes())
    }

    fn out(&self, bytes: &[u8]) -> Result<(), Failure> {
        match self.listener.out(bytes) {
            // `stagewright runs | head` is no mistake.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::new(CANNOT, format!("cannot write to standard output: {error}"))),
            Ok(()) => Ok(()),
        }
    }

    /// Says why the command ends.
    pub(crate) fn tell(&self, failure: &Failure) {
        self.listener.error(&failure.text(self.json));
    }

    /// A token that the user's Ctrl-C cancels. A second Ctrl-C ends the user's process at once.
    pub(crate) fn cancelled_by_user(&self) -> CancelToken {
        self.listener.cancelled_by_user()
    }
}
