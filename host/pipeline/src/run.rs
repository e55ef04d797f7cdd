//! Running a plan: every stage as soon as what it needs is there, every result kept under its run key.

mod stage;
mod step;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, mpsc},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::json;
use stagewright_core::{
    Digest, Grants, canonical,
    record::{GitState, LogLine, RunRecord, StageRun, Status, StepRun, Used},
    stage::{CONTRACT, StageSpec},
};
use stagewright_runtime::{CancelToken, ENGINE};
use stagewright_store::{ArtifactKind, StoreError};

use self::step::{Owner, StepError, Steps};
pub(crate) use self::step::{RESULTS, chain};
use crate::{
    error::{Error, Result},
    file::Pipeline,
    lease::Lease,
    plan::Plan,
    project::Project,
};

/// Finished stages are made durable at least this often, so that a crash costs little.
const SYNC_INTERVAL: Duration = Duration::from_secs(2);

/// How a run is made.
pub struct Options<'a> {
    /// Steps whose result is known run again all the same.
    pub fresh: bool,
    /// Every call that a step makes to the host is kept.
    pub record: bool,
    /// Stops the run.
    pub cancel: CancelToken,
    /// Watches it.
    pub watcher: &'a dyn Watcher,
    /// The state of the project in git; asked for only where the run is recorded.
    pub git: &'a (dyn Fn() -> Option<GitState> + Sync),
}

/// Watches a run.
pub trait Watcher: Sync {
    /// A stage begins.
    fn stage_began(&self, stage: &str) {
        let _ = stage;
    }
    /// A step of a stage begins to run; it was not known.
    fn step_began(&self, stage: &str, step: &str) {
        let _ = (stage, step);
    }
    /// A component of a step is compiled first, which may take a while.
    fn compiling(&self, stage: &str, step: &str) {
        let _ = (stage, step);
    }
    /// How far a step says it is; `total` is 0 where it is not known.
    fn progress(&self, stage: &str, step: &str, done: u64, total: u64) {
        let _ = (stage, step, done, total);
    }
    /// A step logged something.
    fn log(&self, stage: &str, line: &LogLine) {
        let _ = (stage, line);
    }
    /// A stage ended.
    fn stage_ended(&self, stage: &StageRun) {
        let _ = stage;
    }
}

/// Watches nothing.
impl Watcher for () {}

/// What came of a request to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunOutcome {
    /// The run.
    pub run: RunRecord,
    /// Nothing had changed since that run, so it is not a new one.
    pub unchanged: bool,
}

/// What later stages need of a stage.
#[derive(Clone, Debug, Default)]
struct Made {
    outputs: BTreeMap<String, Digest>,
}

/// Runs a plan.
///
/// A stage that fails does not make this fail: the record says how each stage ended.
///
/// # Errors
/// The store cannot be read or written.
pub fn run(project: &Project, plan: &Plan, options: &Options<'_>) -> Result<RunOutcome> {
    let clock = &project.surroundings.clock;
    let (started_ms, began) = (clock.now_ms(), clock.steady());
    let lease = project.leases.begin(started_ms);
    let used = plan.data.values().chain(plan.plugins.values()).map(|used| used.digest);
    lease.find(|| Ok::<_, Error>(()), |()| used)?;
    let stages = run_stages(project, plan, options, &lease)?;
    let status = overall(&stages);
    // Git may take its time.
    let git = (options.git)();
    // One run at a time takes the next number and is kept under it.
    let _deciding = project.deciding();
    let last_id = last_id(project)?;
    let mut record = RunRecord {
        id: last_id + 1,
        pipeline: plan.pipeline.name.clone(),
        pipeline_file: keep_file(project, &plan.pipeline)?,
        seed: plan.pipeline.seed,
        profile: plan.pipeline.profile,
        engine: ENGINE.to_owned(),
        contract: CONTRACT.to_owned(),
        host: project.surroundings.version.clone(),
        author: project.surroundings.author.clone(),
        started_ms,
        elapsed_ms: 0.0,
        git,
        status,
        data: plan.data.clone(),
        plugins: plan.plugins.clone(),
        stages,
        impure: false,
        model: None,
    };
    record.impure = !record.grants().is_empty();
    if record.status == Status::Succeeded {
        if let Some(earlier) = same_as_earlier(project, &record)? {
            sync(project)?;
            return Ok(RunOutcome { run: earlier, unchanged: true });
        }
        record.model = register_model(project, plan, &record)?;
    }
    record.elapsed_ms = (clock.steady().saturating_sub(began)).as_secs_f64() * 1000.0;
    keep_record(project, &record)?;
    Ok(RunOutcome { run: record, unchanged: false })
}

/// The stages, in the order of the file.
fn run_stages(project: &Project, plan: &Plan, options: &Options<'_>, lease: &Lease) -> Result<Vec<StageRun>> {
    let steps = Steps::new(project, options, lease);
    let mut waiting: BTreeSet<usize> = (0..plan.stages.len()).collect();
    let mut ended: BTreeMap<usize, StageRun> = BTreeMap::new();
    let made: Mutex<BTreeMap<usize, Made>> = Mutex::default();
    let mut last_sync = project.surroundings.clock.steady();
    thread::scope(|scope| -> Result<()> {
        let (sender, receiver) = mpsc::channel::<(usize, Result<StageRun>)>();
        let mut running = 0_usize;
        let mut broken = None;
        loop {
            // Whatever waits for a stage that did not succeed is skipped; in order, so that skipping spreads.
            for index in waiting.clone() {
                let stage = &plan.stages[index];
                let lost =
                    stage.after.iter().any(|other| ended.get(other).is_some_and(|run| run.status != Status::Succeeded));
                if lost || options.cancel.is_cancelled() || broken.is_some() {
                    let status = if lost { Status::Skipped } else { Status::Cancelled };
                    let skipped = StageRun {
                        name: stage.name.clone(),
                        kind: stage.work.kind(),
                        status,
                        steps: Vec::new(),
                        log: Vec::new(),
                        failed: None,
                        outputs: BTreeMap::new(),
                        candidates: Vec::new(),
                        selected: None,
                    };
                    waiting.remove(&index);
                    options.watcher.stage_ended(&skipped);
                    ended.insert(index, skipped);
                }
            }
            let ready: Vec<usize> = waiting
                .iter()
                .copied()
                .filter(|index| plan.stages[*index].after.iter().all(|other| ended.contains_key(other)))
                .collect();
            let alone = ready.len() == 1 && running == 0;
            for index in ready {
                waiting.remove(&index);
                running += 1;
                options.watcher.stage_began(&plan.stages[index].name);
                let inputs = made.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
                let (sender, steps) = (sender.clone(), &steps);
                let stage = move || {
                    let run = stage::run(steps, plan, index, &inputs);
                    // The receiver outlives every stage.
                    let _ = sender.send((index, run));
                };
                // One that nothing can run beside needs no thread.
                if alone {
                    stage();
                } else {
                    scope.spawn(stage);
                }
            }
            if running == 0 {
                return broken.map_or(Ok(()), Err);
            }
            let Ok((index, run)) = receiver.recv() else { return Ok(()) };
            running -= 1;
            match run {
                Ok(run) => {
                    options.watcher.stage_ended(&run);
                    let outputs = run.outputs.clone();
                    made.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(index, Made { outputs });
                    ended.insert(index, run);
                }
                Err(error) => {
                    options.cancel.cancel();
                    broken = broken.or(Some(error));
                }
            }
            let now = project.surroundings.clock.steady();
            if now.saturating_sub(last_sync) > SYNC_INTERVAL {
                sync(project)?;
                last_sync = now;
            }
        }
    })?;
    let mut stages: Vec<(usize, StageRun)> =
        ended.into_iter().map(|(index, run)| (plan.stages[index].position, run)).collect();
    stages.sort_by_key(|(position, _)| *position);
    Ok(stages.into_iter().map(|(_, run)| run).collect())
}

/// Bytes first, then the results that name them.
fn sync(project: &Project) -> Result<(), StoreError> {
    sync_artifacts(project)?;
    project.store.ledger()?.sync()
}

/// The repositories of artifacts know nothing of each other, so their disks need not wait for each other either.
fn sync_artifacts(project: &Project) -> Result<(), StoreError> {
    let store = &project.store;
    thread::scope(|scope| {
        let others = [store.models()?, store.code()?].map(|repository| scope.spawn(|| repository.sync()));
        let first = store.data()?.sync();
        let panicked = || Err(StoreError::Invalid("making a repository durable panicked".to_owned()));
        others.into_iter().fold(first, |synced, other| synced.and(other.join().unwrap_or_else(|_| panicked())))
    })
}

fn overall(stages: &[StageRun]) -> Status {
    let named = |stage: &StageRun, message: &str| format!("{}: {message}", stage.name);
    let worst = stages.iter().find_map(|stage| match &stage.status {
        Status::Failed { message } => Some(Status::Failed { message: named(stage, message) }),
        _ => None,
    });
    let violated = stages.iter().find_map(|stage| match &stage.status {
        Status::Violated { message } => Some(Status::Violated { message: named(stage, message) }),
        _ => None,
    });
    let stopped = stages.iter().any(|stage| matches!(stage.status, Status::Cancelled | Status::Skipped));
    worst.or(violated).unwrap_or(if stopped { Status::Cancelled } else { Status::Succeeded })
}

fn last_id(project: &Project) -> Result<u64> {
    let last = project.store.ledger()?.records(RUNS, 1, true)?;
    Ok(last.first().and_then(|(key, _)| <[u8; 8]>::try_from(key.as_slice()).ok()).map_or(0, u64::from_be_bytes))
}

/// The collection of runs in the ledger, by number.
pub(crate) const RUNS: &str = "run";

/// A run by its number, or `latest`.
///
/// # Errors
/// There is none.
pub fn find(project: &Project, wanted: &str) -> Result<RunRecord> {
    let ledger = project.store.ledger()?;
    let missing = || Error::Invalid(format!("there is no run `{wanted}`; `stagewright runs` lists them"));
    let bytes = match wanted {
        "latest" => ledger.records(RUNS, 1, true)?.pop().map(|(_, bytes)| bytes),
        number => {
            let number: u64 = number.parse().map_err(|_| missing())?;
            ledger.record(RUNS, &number.to_be_bytes())?
        }
    };
    let bytes = bytes.ok_or_else(|| match wanted {
        "latest" => Error::Invalid("there are no runs yet; `stagewright run PIPELINE` makes one".to_owned()),
        _ => missing(),
    })?;
    canonical::from_slice(&bytes)
        .map_err(|error| Error::Invalid(format!("the record of run {wanted} is damaged: {error}")))
}

/// The newest runs, newest first.
///
/// # Errors
/// The ledger cannot be read.
pub fn list(project: &Project, limit: usize, pipeline: Option<&str>) -> Result<Vec<RunRecord>> {
    let records = project.store.ledger()?.records(RUNS, if pipeline.is_some() { usize::MAX } else { limit }, true)?;
    let runs = records.iter().filter_map(|(_, bytes)| canonical::from_slice::<RunRecord>(bytes).ok());
    Ok(runs.filter(|run| pipeline.is_none_or(|name| run.pipeline.as_str() == name)).take(limit).collect())
}

/// Scores rows by another model than the step that did, in every other respect as that one did. The outer error is the
/// store's; the inner text says why that model cannot.
pub(crate) fn score(
    project: &Project,
    model: Digest,
    predictor: Digest,
    rows: Digest,
    like: &StepRun,
    cancel: &CancelToken,
) -> Result<Result<Digest, String>> {
    let options = Options { fresh: false, record: false, cancel: cancel.clone(), watcher: &(), git: &|| None };
    let asks = Owner { name: "gate", cache: true };
    let inputs = BTreeMap::from([("model".to_owned(), model), ("input".to_owned(), rows)]);
    let spec = StageSpec {
        contract: CONTRACT.to_owned(),
        engine: ENGINE.to_owned(),
        component: predictor,
        inputs,
        ..like.result.spec.clone()
    };
    let lease = project.leases.begin(project.actor().at_ms);
    match Steps::new(project, &options, &lease).run_for(&asks, "score".to_owned(), spec) {
        Ok(step) => Ok(step.result.outputs.get("output").copied().ok_or_else(|| "it predicted nothing".to_owned())),
        Err(StepError::Failed { message, .. }) => Ok(Err(message)),
        Err(StepError::Cancelled) => Err(Error::Invalid("judging was interrupted".to_owned())),
        Err(StepError::Broken(error)) => Err(error),
    }
}

/// The last run of the same pipeline, if this one is equal to it: same inputs, same steps, nothing new.
fn same_as_earlier(project: &Project, record: &RunRecord) -> Result<Option<RunRecord>> {
    if !record.stages.iter().all(StageRun::cached) {
        return Ok(None);
    }
    let keys = |run: &RunRecord| run.steps().map(|(_, step)| step.key).collect::<Vec<_>>();
    let earlier = list(project, 1, Some(record.pipeline.as_str()))?.pop();
    Ok(earlier.filter(|earlier| {
        earlier.status == Status::Succeeded
            && earlier.pipeline_file.digest == record.pipeline_file.digest
            && earlier.seed == record.seed
            && earlier.data == record.data
            && earlier.plugins == record.plugins
            && keys(earlier) == keys(record)
    }))
}

/// The pipeline's file as a version in the code repository; a new one only where the text is new.
fn keep_file(project: &Project, pipeline: &Pipeline) -> Result<Used> {
    let name: stagewright_core::Name = format!("pipeline.{}", pipeline.name).parse()?;
    let code = project.store.code()?;
    let digest = Digest::of(pipeline.source.text().as_bytes());
    let known = |version: &stagewright_store::Version| version.digest == digest;
    let latest = code.latest(&name)?.filter(known);
    let same = if latest.is_some() { latest } else { code.log(&name)?.into_iter().find(known) };
    if let Some(same) = same {
        return Ok(Used { name, number: same.number, digest });
    }
    let mut transaction = code.begin(&project.actor())?;
    transaction.put_bytes(pipeline.source.text().as_bytes())?;
    transaction.set_version(&name, digest, ArtifactKind::Pipeline, None, "");
    let ticket = transaction.commit_later()?;
    Ok(Used { name, number: ticket.versions[0].number, digest })
}

/// Registers the model that the pipeline names; a new version only where the model is new.
fn register_model(project: &Project, plan: &Plan, record: &RunRecord) -> Result<Option<Used>> {
    let Some((name, trainer)) = &plan.model else { return Ok(None) };
    let stage = record.stages.iter().find(|stage| stage.name == plan.stages[*trainer].name);
    let Some(digest) = stage.and_then(|stage| stage.outputs.get("model")).copied() else { return Ok(None) };
    let models = project.store.models()?;
    let latest = models.latest(name)?;
    if let Some(latest) = latest.as_ref().filter(|latest| latest.digest == digest) {
        return Ok(Some(Used { name: name.clone(), number: latest.number, digest }));
    }
    let mut transaction = models.begin(&project.actor())?;
    let message = format!("run {} of {}", record.id, record.pipeline);
    transaction.set_version(name, digest, ArtifactKind::Model, latest.map(|latest| latest.number), &message);
    let ticket = transaction.commit_later()?;
    Ok(Some(Used { name: name.clone(), number: ticket.versions[0].number, digest }))
}

/// Under this name, a run holds on to what it made.
fn pin_owner(run: u64) -> String {
    format!("run/{run}")
}

/// Makes everything that the run made durable, then the run. Data versions that it used are not held: deleting one must
/// be possible, and a run that can no longer be verified says so.
fn keep_record(project: &Project, record: &RunRecord) -> Result<()> {
    let owner = pin_owner(record.id);
    let store = &project.store;
    let digests = |of: &BTreeMap<String, Digest>| of.values().copied().collect::<Vec<_>>();
    let steps: Vec<_> = record.steps().map(|(_, step)| &step.result).collect();
    let made: BTreeSet<Digest> = steps
        .iter()
        .flat_map(|result| digests(&result.outputs))
        .chain(record.stages.iter().flat_map(|stage| digests(&stage.outputs)))
        // A candidate that was not selected is still what its scores were made from.
        .chain(record.stages.iter().flat_map(|stage| stage.candidates.iter().map(|candidate| candidate.model)))
        .collect();
    let code: BTreeSet<Digest> =
        steps.iter().map(|result| result.spec.component).chain([record.pipeline_file.digest]).collect();
    let failed: Vec<_> = record.stages.iter().filter_map(|stage| stage.failed.as_ref()).collect();
    let logs: BTreeSet<Digest> = steps
        .iter()
        .map(|result| result.log)
        .chain(steps.iter().filter_map(|result| result.granted))
        .chain(record.steps().filter_map(|(_, step)| step.recording))
        .chain(failed.iter().flat_map(|step| step.granted.into_iter().chain(step.recording)))
        .collect();
    for (repository, wanted) in [(store.data()?, &made), (store.models()?, &made), (store.code()?, &code)] {
        let mut here = Vec::new();
        for digest in wanted {
            if repository.contains(digest)? {
                here.push(*digest);
            }
        }
        let mut transaction = repository.begin(&project.actor())?;
        transaction.pin(&owner, here);
        transaction.audit(json!({ "action": "pin", "owner": owner }));
        let _ticket = transaction.commit_later()?;
    }
    sync_artifacts(project)?;
    let mut transaction = store.ledger()?.begin(&project.actor())?;
    transaction.pin(&owner, logs);
    transaction.put_record(RUNS, &record.id.to_be_bytes(), &canonical::to_vec(record))?;
    transaction.audit(json!({
        "action": "run", "run": record.id, "pipeline": record.pipeline, "status": record.status.as_str(),
        "model": record.model, "grants": audited(record),
    }));
    transaction.commit()?;
    Ok(())
}

/// What each stage was granted, in words; nothing where nothing was.
fn audited(record: &RunRecord) -> Option<BTreeMap<&str, String>> {
    let words = |grants: &[&Grants]| grants.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let grants: BTreeMap<&str, String> =
        record.grants().iter().map(|(stage, grants)| (*stage, words(grants))).collect();
    (!grants.is_empty()).then_some(grants)
}

/// Forgets runs: their records, and the results that no other run has. What they made goes with the next gc.
///
/// # Errors
/// The store cannot be written.
pub fn forget(project: &Project, forgotten: &BTreeSet<u64>) -> Result<()> {
    if forgotten.is_empty() {
        return Ok(());
    }
    let all = list(project, usize::MAX, None)?;
    let keys = |run: &RunRecord| run.steps().map(|(_, step)| step.key).collect::<Vec<_>>();
    let kept: BTreeSet<Digest> = all.iter().filter(|run| !forgotten.contains(&run.id)).flat_map(keys).collect();
    let store = &project.store;
    for repository in [store.data()?, store.models()?, store.code()?] {
        let mut transaction = repository.begin(&project.actor())?;
        for id in forgotten {
            transaction.unpin(&pin_owner(*id))?;
        }
        transaction.commit()?;
    }
    let mut transaction = store.ledger()?.begin(&project.actor())?;
    for run in all.iter().filter(|run| forgotten.contains(&run.id)) {
        transaction.unpin(&pin_owner(run.id))?;
        transaction.delete_record(RUNS, &run.id.to_be_bytes());
        transaction.audit(json!({ "action": "forget-run", "run": run.id, "pipeline": run.pipeline }));
        for key in keys(run).into_iter().filter(|key| !kept.contains(key)) {
            transaction.delete_record(RESULTS, key.as_bytes());
        }
    }
    transaction.commit()?;
    Ok(())
}
