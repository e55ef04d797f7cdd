//! The prediction log: what was asked, what was answered, by which model, and what turned out to be true.
//!
//! Each endpoint of each environment has a log, a table of the data repository named `predictions.ENVIRONMENT.ENDPOINT`
//! whose versions are its [segments](Segment), and one of late labels, `feedback.ENVIRONMENT.ENDPOINT`. A process that
//! serves hands answers to a [`Keeper`], which makes them durable in batches; whoever reads sees all that are durable.
//! Any logged answer can be [made again](replay) and must be the same bits.

mod export;
pub mod feedback;
mod layout;
mod replay;
mod storage;
mod writer;

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;
use stagewright_core::{Digest, Name, record::Used};
use stagewright_store::Version;

use self::storage::Log;
pub use self::{
    export::{Choice, Exported, to_file, to_table},
    layout::{Answer, Layout, Source},
    replay::{Entry, Replay, find, replay},
    storage::{Segment, Stretch},
    writer::{Keeper, Kept},
};
use crate::{
    deploy,
    error::{Error, Result},
    project::Project,
    serving::{Alarm, Alarms, ModelVersion, Servable},
};

/// The name of an endpoint's log.
///
/// # Errors
/// The names together are too long.
pub fn log_name(environment: &Name, endpoint: &Name) -> Result<Name> {
    name_of("predictions", environment, endpoint)
}

/// Whether the answer to a request belongs to the logged share. One id always gets one answer.
pub fn is_logged(share: deploy::Share, request_id: &str) -> bool {
    share.includes("log", request_id)
}

/// The name of an endpoint's log of late labels.
fn feedback_name(environment: &Name, endpoint: &Name) -> Result<Name> {
    name_of("feedback", environment, endpoint)
}

fn name_of(what: &str, environment: &Name, endpoint: &Name) -> Result<Name> {
    let name = format!("{what}.{environment}.{endpoint}");
    name.parse().map_err(|_| {
        Error::Invalid(format!("the log `{name}` would have a name of {} characters; 100 are allowed", name.len()))
    })
}

/// A log, at a glance.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// The environment.
    pub environment: Name,
    /// The endpoint.
    pub endpoint: Name,
    /// The log's name in the data repository.
    pub log: Name,
    /// Everything that it holds.
    #[serde(flatten)]
    pub all: Stretch,
    /// Rows that are in no segment yet.
    pub open_rows: u64,
    /// The segments, oldest first.
    pub segments: Vec<Segment>,
    /// Late labels.
    pub labels: u64,
}

/// The logs, by environment and endpoint.
///
/// # Errors
/// They cannot be read.
pub fn list(project: &Project) -> Result<Vec<Listed>> {
    project.followers.settle();
    let mut listed = Vec::new();
    for deployment in deploy::status(project, None)? {
        let deploy::Plan { environment, endpoint, .. } = deployment.plan;
        let log = Log::open(project, &log_name(&environment, &endpoint)?)?;
        let (open, segments) = (log.open_stretch()?, log.segments()?);
        let all = segments.iter().fold(open, |sum, segment| sum.with(segment.stretch));
        let feedback = Log::open(project, &feedback_name(&environment, &endpoint)?)?;
        let labels =
            feedback.segments()?.iter().fold(feedback.open_stretch()?, |sum, segment| sum.with(segment.stretch)).rows;
        let (log, open_rows) = (log.name, open.rows);
        listed.push(Listed { environment, endpoint, log, all, open_rows, segments, labels });
    }
    Ok(listed)
}

/// Makes segments of an endpoint's open rows, of predictions and of labels, so that they are versions of tables.
///
/// # Errors
/// The log cannot be written.
pub fn seal(project: &Project, environment: &Name, endpoint: &Name) -> Result<Vec<Version>> {
    project.followers.settle();
    let mut versions = Log::open(project, &log_name(environment, endpoint)?)?.seal()?;
    versions.extend(Log::open(project, &feedback_name(environment, endpoint)?)?.seal()?);
    Ok(versions)
}

/// Erases a segment of an endpoint's log. `gc` removes the bytes.
///
/// # Errors
/// There is no such segment.
pub fn erase(project: &Project, environment: &Name, endpoint: &Name, segment: u64, reason: &str) -> Result<Version> {
    Log::open(project, &log_name(environment, endpoint)?)?.delete(segment, reason)
}

/// What gc must keep of all logs.
pub(crate) fn roots(project: &Project) -> Result<BTreeSet<Digest>> {
    let mut roots = BTreeSet::new();
    for deployment in deploy::status(project, None)? {
        let deploy::Plan { environment, endpoint, .. } = deployment.plan;
        for name in [log_name(&environment, &endpoint)?, feedback_name(&environment, &endpoint)?] {
            roots.extend(Log::open(project, &name)?.roots()?);
        }
    }
    Ok(roots)
}

/// Loads a model to answer in this process, and lets it go again.
///
/// # Errors
/// It is damaged, or cannot be loaded.
pub(crate) fn try_load(project: &Project, model: &Used) -> Result<()> {
    load(project, model).map(|servable| servable.stop())
}

/// Loads a model to answer in this process.
fn load(project: &Project, model: &Used) -> Result<Arc<Servable>> {
    let version = ModelVersion { name: model.name.clone(), number: model.number, digest: model.digest };
    Servable::load_version(project, version, Arc::new(Unheard))
}

/// Nobody need hear of a model that fails where it is only tried.
struct Unheard;

impl Alarms for Unheard {
    fn raise(&self, _: Alarm) {}
}

#[cfg(test)]
mod tests;
