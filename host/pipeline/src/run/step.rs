//! One step: a known run key gives its result; an unknown one is executed, once, whoever asks at the same time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Condvar, Mutex, PoisonError},
};

use stagewright_core::{
    Digest, Grants, canonical,
    record::{FailedStep, LogLine, StageResult, StepRun},
    stage::StageSpec,
};
use stagewright_runtime::{
    Observer, StageError,
    grants::Exchange,
    recording::{Ended, HostCall},
};
use stagewright_store::StoreError;

use super::{Options, Watcher};
use crate::{
    error::{Error, Result},
    execute::{Executor, LocalExecutor, Outputs},
    granted::Keeper,
    lease::Lease,
    plan::PlannedStage,
    project::Project,
    recording,
};

/// The collection of results in the ledger, by run key.
pub(crate) const RESULTS: &str = "result";

/// How a step can fail: by itself, which the run records, or because the store is broken, which ends the run.
#[derive(Debug)]
pub(super) enum StepError {
    Failed { message: String, log: Vec<LogLine>, step: Option<Box<FailedStep>> },
    Cancelled,
    Broken(Error),
}

impl StepError {
    pub(super) fn failed(message: String) -> Self {
        Self::Failed { message, log: Vec::new(), step: None }
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::from(Error::from(error))
    }
}

impl From<Error> for StepError {
    fn from(error: Error) -> Self {
        match error {
            Error::Stage { source: StageError::Cancelled, .. } => Self::Cancelled,
            Error::Stage { source, .. } => Self::failed(chain(&source)),
            // Damage and missing artifacts are about this step's inputs; other stages may go on.
            Error::Store(error @ (StoreError::DamagedArtifact { .. } | StoreError::NoArtifact { .. })) => {
                Self::failed(chain(&error))
            }
            error => Self::Broken(error),
        }
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Runs steps of one run.
pub(super) struct Steps<'a> {
    pub(super) project: &'a Project,
    pub(super) options: &'a Options<'a>,
    executor: LocalExecutor<'a>,
    lease: &'a Lease,
    running: Mutex<BTreeSet<Digest>>,
    ended: Condvar,
    /// Keys that this run executed: asked for again, they are known even in a fresh run.
    done: Mutex<BTreeSet<Digest>>,
}

/// Who asks for a step.
pub(super) struct Owner<'a> {
    /// The stage, for whoever watches.
    pub(super) name: &'a str,
    /// Whether results are kept for later runs even where something is granted.
    pub(super) cache: bool,
}

/// Whose step it is.
struct Watched<'a> {
    watcher: &'a dyn Watcher,
    stage: &'a str,
    step: &'a str,
    /// A step that succeeds has its log in its result; of one that fails, this is all there is.
    said: Mutex<Vec<LogLine>>,
    /// What it asked of the real world.
    granted: Keeper<'a>,
    /// What it asked of the host.
    calls: Mutex<Vec<HostCall>>,
}

impl Observer for Watched<'_> {
    fn progress(&self, done: u64, total: u64) {
        self.watcher.progress(self.stage, self.step, done, total);
    }

    fn log(&self, line: &LogLine) {
        self.watcher.log(self.stage, line);
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
    }

    fn granted(&self, exchange: &Exchange) {
        self.granted.keep(exchange);
    }

    fn called(&self, call: &HostCall) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call.clone());
    }

    fn compiling(&self, _: Digest) {
        self.watcher.compiling(self.stage, self.step);
    }
}

impl<'a> Steps<'a> {
    pub(super) fn new(project: &'a Project, options: &'a Options<'a>, lease: &'a Lease) -> Self {
        let executor = LocalExecutor {
            project,
            pool: &project.pool,
            outputs: Outputs::Keep,
            answers: None,
            record: options.record,
        };
        let (running, done) = (Mutex::default(), Mutex::default());
        Self { project, options, executor, lease, running, ended: Condvar::new(), done }
    }

    pub(super) fn run(&self, stage: &PlannedStage, title: String, spec: StageSpec) -> Result<StepRun, StepError> {
        self.run_for(&Owner { name: &stage.name, cache: stage.cache }, title, spec)
    }

    /// Runs a step that may be no stage's.
    pub(super) fn run_for(&self, stage: &Owner<'_>, title: String, spec: StageSpec) -> Result<StepRun, StepError> {
        let key = spec.key();

        let _turn = self.take_turn(key);
        let again = self.done.lock().unwrap_or_else(PoisonError::into_inner).contains(&key);
        let reusable = !self.options.fresh && (stage.cache || spec.grants.is_empty());
        if (reusable || again)
            && let Some(result) = self.lease.find(|| known(self.project, &key), |found| named(found.as_ref()))?
        {
            return Ok(StepRun { title, key, cached: true, result, recording: None });
        }
        if self.options.cancel.is_cancelled() {
            return Err(StepError::Cancelled);
        }
        self.options.watcher.step_began(stage.name, &title);
        let watched = Watched {
            watcher: self.options.watcher,
            stage: stage.name,
            step: &title,
            said: Mutex::default(),
            granted: Keeper::new(self.project),
            calls: Mutex::default(),
        };
        let executed = self.executor.execute(&spec, &self.options.cancel, &watched);
        let Watched { said, granted, calls, .. } = watched;
        let calls = calls.into_inner().unwrap_or_else(PoisonError::into_inner);
        let granted = granted.finish()?;
        let executed = match executed.map_err(StepError::from) {
            Ok(executed) => executed,
            Err(StepError::Failed { message, .. }) => {
                let recording = self.record(&spec, calls, Ended::Failed { message: message.clone() }, granted)?;
                let known = recording.is_some() || !spec.grants.is_empty();
                let step = known.then(|| Box::new(FailedStep { title, spec, granted, recording }));
                let log = said.into_inner().unwrap_or_else(PoisonError::into_inner);
                return Err(StepError::Failed { message, log, step });
            }
            Err(other) => return Err(other),
        };
        let recording = self.record(&spec, calls, Ended::Succeeded, granted)?;
        let result = self.keep(&key, spec, executed, granted)?;
        self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        Ok(StepRun { title, key, cached: false, result, recording })
    }

    /// Keeps what a step asked of the host, where the run is recorded.
    fn record(
        &self,
        spec: &StageSpec,
        calls: Vec<HostCall>,
        ended: Ended,
        granted: Option<Digest>,
    ) -> Result<Option<Digest>, StepError> {
        if !self.options.record {
            return Ok(None);
        }
        Ok(Some(recording::keep(self.project, spec, calls, ended, granted)?))
    }

    fn take_turn(&self, key: Digest) -> Turn<'_, 'a> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while !running.insert(key) {
            running = self.ended.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { steps: self, key }
    }

    fn keep(
        &self,
        key: &Digest,
        spec: StageSpec,
        executed: crate::execute::Executed,
        granted: Option<Digest>,
    ) -> Result<StageResult, StepError> {
        let mut transaction = self.project.store.ledger()?.begin(&self.project.actor())?;
        let log = transaction.put_bytes(&canonical::to_vec(&executed.log))?;
        let result = StageResult {
            spec,
            outputs: executed.outputs,
            log,
            elapsed_ms: executed.elapsed_ms,
            peak_memory: executed.peak_memory,
            granted,
        };
        transaction.put_record(RESULTS, key.as_bytes(), &canonical::to_vec(&result))?;
        transaction.edge(&result.spec.component, key, "plugin");
        for (port, input) in &result.spec.inputs {
            transaction.edge(input, key, port);
        }
        for (name, output) in &result.outputs {
            transaction.edge(key, output, name);
        }
        let _ticket = transaction.commit_later()?;
        Ok(result)
    }
}

/// The result that is kept under a run key, if everything that it names is still there.
pub(crate) fn known(project: &Project, key: &Digest) -> Result<Option<StageResult>, StoreError> {
    let Some(bytes) = project.store.ledger()?.record(RESULTS, key.as_bytes())? else { return Ok(None) };
    // A record of an older form is as good as none: the step runs again.
    let Ok(result) = canonical::from_slice::<StageResult>(&bytes) else { return Ok(None) };
    for output in result.outputs.values() {
        if !project.store.data()?.contains(output)? && !project.store.models()?.contains(output)? {
            return Ok(None);
        }
    }
    Ok((result.spec.key() == *key).then_some(result))
}

/// The artifacts that a result names.
fn named(result: Option<&StageResult>) -> Vec<Digest> {
    result
        .into_iter()
        .flat_map(|result| result.outputs.values().copied().chain([result.log]).chain(result.granted))
        .collect()
}

struct Turn<'s, 'a> {
    steps: &'s Steps<'a>,
    key: Digest,
}

impl Drop for Turn<'_, '_> {
    fn drop(&mut self) {
        self.steps.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.steps.ended.notify_all();
    }
}

/// A specification without inputs and parameters.
pub(super) fn spec(
    plan: &crate::plan::Plan,
    operation: stagewright_core::stage::Operation,
    component: Digest,
    seed: u64,
) -> StageSpec {
    StageSpec {
        contract: stagewright_core::stage::CONTRACT.to_owned(),
        engine: stagewright_runtime::ENGINE.to_owned(),
        profile: plan.pipeline.profile,
        operation,
        component,
        parameters: BTreeMap::new(),
        inputs: BTreeMap::new(),
        outputs: Vec::new(),
        seed,
        grants: Grants::default(),
    }
}
