//! Verifying a run: every byte that it names is checked, every step is run again, and the outputs must be the same bits.
//!
//! Nothing that is kept can help or hide: results are not looked up, components are compiled anew, outputs are only
//! hashed. The steps do not wait for each other, because each one's inputs are stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde::Serialize;
use stagewright_core::{
    Digest, VersionRef,
    record::{RunRecord, StageRun, StepRun},
};
use stagewright_runtime::{CancelToken, grants::Exchange};
use stagewright_store::StoreError;

use crate::{
    error::{Error, Result},
    execute::{Executor, LocalExecutor, Outputs},
    granted,
    project::Project,
    run::chain,
};

/// What verifying a step found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// The same bits.
    Same,
    /// Other bits.
    Differs {
        /// Which output.
        output: String,
        /// What the run recorded.
        recorded: Digest,
        /// What came out now.
        found: Option<Digest>,
    },
    /// Something that the step used or made is not what the run recorded.
    Damaged {
        /// What, and how.
        what: String,
    },
    /// It could not run again.
    Failed {
        /// Why.
        message: String,
    },
}

/// A step that was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The stage.
    pub stage: String,
    /// The step.
    pub step: String,
    /// How many granted calls were answered from what the run recorded, and not by the world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<usize>,
    /// What was found.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What verifying a run found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The run.
    pub run: u64,
    /// Every step, each behind those that it depends on.
    pub steps: Vec<Verified>,
    /// The first step that is not the same; none where all are.
    pub first_difference: Option<usize>,
}

impl Verification {
    /// The first step that is not the same.
    pub fn first(&self) -> Option<&Verified> {
        self.first_difference.map(|position| &self.steps[position])
    }
}

/// Verifies a run. `watch` is told of each step as it ends, in no particular order.
///
/// # Errors
/// The pipeline file or a log that the run kept is damaged, it was cancelled, or no directory could be made to work in.
pub fn verify(
    project: &Project,
    run: &RunRecord,
    cancel: &CancelToken,
    watch: &(dyn Fn(&Verified) + Sync),
) -> Result<Verification> {
    verify_record(project, run)?;
    let scratch = Scratch::new(project)?;
    let pool = project.fresh_pool(&scratch.0);
    let swapped = swapped_plugins(project, run);
    let steps = ordered(run);
    let next = AtomicUsize::new(0);
    let found: Mutex<BTreeMap<usize, Verified>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..project.width().min(steps.len()) {
            scope.spawn(|| {
                loop {
                    let position = next.fetch_add(1, Ordering::Relaxed);
                    let Some((stage, step)) = steps.get(position) else { return };
                    if cancel.is_cancelled() {
                        return;
                    }
                    let (verdict, replayed) = match answers(project, step) {
                        Ok(answers) => {
                            let replayed = (!step.result.spec.grants.is_empty()).then_some(answers.len());
                            let (outputs, answers) = (Outputs::Forget, Some(answers));
                            let executor = LocalExecutor { project, pool: &pool, outputs, answers, record: false };
                            (verify_step(project, &executor, step, &swapped, cancel), replayed)
                        }
                        Err(error) => {
                            let what = format!("what it was answered by the real world: {}", chain(&error));
                            (Verdict::Damaged { what }, None)
                        }
                    };
                    let (stage, step) = (stage.name.clone(), step.title.clone());
                    let verified = Verified { stage, step, replayed, verdict };
                    watch(&verified);
                    found.lock().unwrap_or_else(PoisonError::into_inner).insert(position, verified);
                }
            });
        }
    });
    if cancel.is_cancelled() {
        return Err(Error::Invalid("verifying was interrupted".to_owned()));
    }
    let steps: Vec<Verified> = found.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect();
    let first_difference = steps.iter().position(|step| step.verdict != Verdict::Same);
    Ok(Verification { run: run.id, steps, first_difference })
}

/// Reads what the run kept beside its steps' outputs: how it was asked for, and what was said.
fn verify_record(project: &Project, run: &RunRecord) -> Result<()> {
    let store = &project.store;
    store.code()?.bytes(&run.pipeline_file.digest)?;
    for (stage, step) in run.steps() {
        store.ledger()?.bytes(&step.result.log).map_err(|error| {
            let step = if stage.name == step.title { String::new() } else { format!(", step `{}`", step.title) };
            Error::Damaged { what: format!("the log of stage `{}`{step}", stage.name), source: error }
        })?;
    }
    Ok(())
}

/// What a step was answered by the world when it ran.
fn answers(project: &Project, step: &StepRun) -> Result<Vec<Exchange>> {
    step.result.granted.as_ref().map_or_else(|| Ok(Vec::new()), |digest| granted::exchanges(project, digest))
}

fn verify_step(
    project: &Project,
    executor: &dyn Executor,
    step: &StepRun,
    swapped: &BTreeMap<Digest, String>,
    cancel: &CancelToken,
) -> Verdict {
    let spec = &step.result.spec;
    if let Some(what) = swapped.get(&spec.component) {
        return Verdict::Damaged { what: what.clone() };
    }
    if spec.key() != step.key {
        return Verdict::Damaged {
            what: "its record was changed: the run key is not that of what it describes".to_owned(),
        };
    }
    for (name, output) in &step.result.outputs {
        if let Err(error) = read_whole(project, output) {
            return Verdict::Damaged { what: format!("output `{name}`: {}", chain(&error)) };
        }
    }
    match executor.execute(spec, cancel, &()) {
        Ok(executed) => {
            let differs = |(name, recorded): (&String, &Digest)| {
                let found = executed.outputs.get(name).copied();
                (found != Some(*recorded)).then(|| Verdict::Differs {
                    output: name.clone(),
                    recorded: *recorded,
                    found,
                })
            };
            step.result.outputs.iter().find_map(differs).unwrap_or(Verdict::Same)
        }
        Err(Error::Store(error)) => Verdict::Damaged { what: chain(&error) },
        Err(error) => Verdict::Failed { message: chain(&error) },
    }
}

/// Reads everything that an artifact is made of.
fn read_whole(project: &Project, digest: &Digest) -> Result<(), StoreError> {
    let store = &project.store;
    let repository = if store.data()?.contains(digest)? { store.data()? } else { store.models()? };
    repository.bytes(digest)?;
    for reference in repository.references(digest)? {
        repository.bytes(&reference)?;
    }
    Ok(())
}

/// Components whose version now stands for other bytes than when the run used it.
fn swapped_plugins(project: &Project, run: &RunRecord) -> BTreeMap<Digest, String> {
    let mut swapped = BTreeMap::new();
    for used in run.plugins.values() {
        let wanted = format!("{}@{}", used.name, used.number);
        let now =
            wanted.parse::<VersionRef>().ok().and_then(|version| project.store.code().ok()?.resolve(&version).ok());
        // A version that was deleted since is no swap: the component's own digest still speaks.
        if let Some(now) = now.filter(|now| now.digest != used.digest) {
            let (then, now) = (used.digest.short(), now.digest.short());
            swapped.insert(used.digest, format!("plugin {wanted} was {then} when the run used it and is {now} now"));
        }
    }
    swapped
}

/// The steps, each behind those whose outputs it reads; equal steps once.
fn ordered(run: &RunRecord) -> Vec<(&StageRun, &StepRun)> {
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<_> = run.steps().filter(|(_, step)| seen.insert(step.key)).collect();
    let mut order = Vec::new();
    let mut missing: BTreeSet<Digest> =
        waiting.iter().flat_map(|(_, step)| step.result.outputs.values().copied()).collect();
    while !waiting.is_empty() {
        let ready = |step: &StepRun| {
            let own: BTreeSet<_> = step.result.outputs.values().collect();
            step.result.spec.inputs.values().all(|input| own.contains(input) || !missing.contains(input))
        };
        // Steps that make what they read would never be ready; then the order of the file has to do.
        let position = waiting.iter().position(|(_, step)| ready(step)).unwrap_or(0);
        let (stage, step) = waiting.remove(position);
        for output in step.result.outputs.values() {
            missing.remove(output);
        }
        order.push((stage, step));
    }
    order
}

/// A directory for this verification alone, removed when it ends.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(project: &Project) -> Result<Self> {
        let parent = project.root.join(crate::project::STORE_DIRECTORY).join("cache");
        let directory = parent.join(format!("verify-{}", std::process::id()));
        std::fs::create_dir_all(&directory).map_err(|source| Error::io("cannot create", &directory, source))?;
        Ok(Self(directory))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is only a cache.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
