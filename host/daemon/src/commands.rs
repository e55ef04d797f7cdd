//! The commands, a file for each group.

pub(crate) mod audit;
pub(crate) mod author;
pub(crate) mod data;
pub(crate) mod inspect;
pub(crate) mod model;
pub(crate) mod plugin;
pub(crate) mod project;
pub(crate) mod recording;
pub(crate) mod repo;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod trial;

use std::path::PathBuf;

use serde::Serialize;
use stagewright::{Project, Surroundings, runtime::CancelToken, store::Access};

use crate::{
    args::Cli,
    failure::{CANNOT, Failure},
    out,
    progress::Progress,
    surroundings,
};

/// What a command works with.
pub(crate) struct Context {
    root: PathBuf,
    json: bool,
    surroundings: Surroundings,
    pub(crate) progress: Progress,
}

impl Context {
    pub(crate) fn new(cli: &Cli) -> Result<Self, Failure> {
        let io = |error: std::io::Error| Failure::new(CANNOT, format!("this machine cannot be looked at: {error}"));
        Ok(Self {
            root: surroundings::project(cli.project.as_deref()).map_err(io)?,
            json: cli.json,
            surroundings: surroundings::of_this_machine(cli.author.as_deref()).map_err(io)?,
            progress: Progress::new(cli.quiet),
        })
    }

    /// Where the project is, if there is one.
    fn root(&self) -> &std::path::Path {
        &self.root
    }

    /// What starts a worker process.
    fn worker(&self) -> Vec<std::ffi::OsString> {
        self.surroundings.worker.clone()
    }

    fn open(&self, access: Access) -> Result<Project, Failure> {
        Ok(Project::open(&self.root, access, &self.surroundings, &|line| self.progress.line(line))?)
    }

    /// The project, to change it.
    fn write(&self) -> Result<Project, Failure> {
        self.open(Access::Write)
    }

    /// The project, to look at it, beside whoever may be changing it.
    fn read(&self) -> Result<Project, Failure> {
        self.open(Access::Read)
    }

    /// Prints a value: as JSON if asked to, else as the text that is made of it.
    fn print<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        if self.json { out::json(value) } else { out::text(&text(value)) }
    }
}

/// A token that Ctrl-C cancels. A second Ctrl-C ends the process at once.
fn cancelled_by_user() -> CancelToken {
    let token = CancelToken::new();
    let cancel = token.clone();
    // Where no handler can be set, Ctrl-C just ends the process, which loses nothing either.
    let _ = ctrlc::set_handler(move || {
        if cancel.is_cancelled() {
            #[expect(clippy::disallowed_methods, reason = "the user insists; nothing acknowledged is lost")]
            std::process::exit(i32::from(crate::failure::INTERRUPTED));
        }
        cancel.cancel();
    });
    token
}
