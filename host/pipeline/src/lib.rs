//! Stagewright as a library: the machine-learning lifecycle without a server, a terminal or a clock of its own.
//!
//! A pipeline file is [read](mod@file), [planned](plan) and [run]; every stage's result is kept under its run key, so a
//! stage runs once for each combination of component, parameters, inputs and seed. A run can be [verified](verify),
//! [compared](compare) and [traced](lineage). Which models may serve is [governed](governance). Data comes in and goes
//! out through [`ingest`].

pub mod code;
pub mod compare;
pub mod data;
pub mod deploy;
pub mod documents;
mod error;
pub mod execute;
pub mod file;
mod given;
pub mod governance;
pub mod granted;
pub mod house;
pub mod ingest;
mod lease;
pub mod lineage;
pub mod memo;
pub mod params;
pub mod plan;
pub mod predictions;
pub mod project;
pub mod recording;
pub mod run;
pub mod serving;
pub mod verify;

pub use stagewright_runtime as runtime;
pub use stagewright_store as store;

pub use self::{
    error::{Error, Result},
    given::GivenPath,
    project::{Clock, Project, Surroundings},
};

use stagewright_core::{Digest, Report, canonical, record::StageLog};

/// A report of a run.
///
/// # Errors
/// There is none of this digest, or it is damaged.
pub fn report(project: &Project, digest: &Digest) -> Result<Report> {
    execute::report(project, digest)
}

/// What a step said while it ran.
///
/// # Errors
/// There is none of this digest, or it is damaged.
pub fn log(project: &Project, digest: &Digest) -> Result<StageLog> {
    canonical::from_slice(&project.store.ledger()?.bytes(digest)?)
        .map_err(|error| Error::Invalid(format!("artifact {digest} is no log: {error}")))
}
