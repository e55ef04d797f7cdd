//! The process that holds a project open, and how other processes have their commands run in it.
//!
//! `stagewright serve` holds the project's one right to write. Every other command that finds its socket sends what was
//! typed, and prints what comes back; the daemon runs the very code that would have run there. Nothing is decided here.

mod ask;
mod client;
mod frame;
mod serve;
pub(crate) mod socket;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use stagewright::{Project, Surroundings};

pub(crate) use self::{ask::ask, client::Client, serve::serve_clients};

/// A project that is held open for many commands.
#[derive(Clone)]
pub(crate) struct Holder(Arc<Held>);

struct Held {
    root: PathBuf,
    surroundings: Surroundings,
    project: Mutex<Project>,
}

impl Holder {
    /// Holds a project that is open to change it.
    pub(crate) fn new(project: Project, surroundings: &Surroundings) -> Self {
        let root = project.root.clone();
        Self(Arc::new(Held { root, surroundings: surroundings.clone(), project: Mutex::new(project) }))
    }

    /// The project's directory.
    pub(crate) fn root(&self) -> &Path {
        &self.0.root
    }

    /// What the machine gives every command.
    pub(crate) fn surroundings(&self) -> &Surroundings {
        &self.0.surroundings
    }

    /// The project, with the settings and repositories as they are now.
    pub(crate) fn project(&self, progress: &dyn Fn(&str)) -> stagewright::Result<Project> {
        let mut project = self.0.project.lock().unwrap_or_else(PoisonError::into_inner);
        project.refresh(progress)?;
        Ok(project.clone())
    }
}
