//! A version of a model with the threads that answer for it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::sync_channel,
    },
    thread::JoinHandle,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stagewright_core::{Digest, Name, Schema, canonical, record::StageResult, stage::Profile};
use stagewright_runtime::{LargeStack, Limits, Served, ServedModel, StageError, spec};
use stagewright_store::{ArtifactKind, Version};

use super::{
    alarm::Alarms,
    pace::Pace,
    queue::{Question, Queue, Unanswered},
    worker::{work, work_in_between},
};
use crate::{
    error::{Error, Result},
    ingest::rows::{Form, Renderer},
    project::Project,
    run::RESULTS,
};

/// Log lines of a model that are kept in memory; a model that talks is not worth more.
const LOG_LINES: u64 = 100;

/// Which model it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// Its name.
    pub name: Name,
    /// Its number.
    pub number: u64,
    /// Its digest.
    pub digest: Digest,
}

impl fmt::Display for ModelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.number)
    }
}

/// What a model has done since it was loaded.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests that were answered.
    pub answered: AtomicU64,
    /// Requests that were not.
    pub unanswered: AtomicU64,
    /// Rows of answered requests.
    pub rows: AtomicU64,
    /// Calls of the model; fewer than requests where several were answered together.
    pub calls: AtomicU64,
    /// Instances that were replaced because they crashed.
    pub replaced: AtomicU64,
}

/// A loaded model that answers. Dropping it lets its threads answer what waits, and end.
pub struct Servable {
    label: String,
    form: Form,
    renderer: Renderer,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads of a model share.
pub(super) struct Shared {
    pub(super) version: ModelVersion,
    pub(super) model: ServedModel,
    /// Questions, and the instances that nobody uses; none in place of one that crashed and could not be made again.
    pub(super) queue: Queue<Option<Served>>,
    pub(super) pace: Pace,
    pub(super) timeout: Duration,
    /// The most rows that are answered together.
    pub(super) together: AtomicUsize,
    pub(super) counters: Counters,
    pub(super) alarms: Arc<dyn Alarms>,
    columns: (Schema, Schema),
}

impl Shared {
    pub(super) fn input(&self) -> &Schema {
        &self.columns.0
    }

    pub(super) fn output(&self) -> &Schema {
        &self.columns.1
    }
}

impl Servable {
    /// Loads a version of a model and starts its threads, as `[serve]` in the project's settings says.
    ///
    /// # Errors
    /// The version is no model, a part is missing or damaged, or the model does not load.
    pub fn load(project: &Project, version: &Version, alarms: Arc<dyn Alarms>) -> Result<Arc<Self>> {
        match version.kind {
            ArtifactKind::Model => {
                let version =
                    ModelVersion { name: version.name.clone(), number: version.number, digest: version.digest };
                Self::load_version(project, version, alarms)
            }
            kind => {
                let problem = format!("{}@{} is a {}, not a model", version.name, version.number, kind.as_str());
                Err(Error::Invalid(problem))
            }
        }
    }

    /// The same for what is known to be a model, whether or not its version is still there.
    pub(crate) fn load_version(project: &Project, version: ModelVersion, alarms: Arc<dyn Alarms>) -> Result<Arc<Self>> {
        let failed = |source: StageError| Error::Stage { what: format!("{version} cannot be served"), source };
        let settings = &project.settings.serve;
        let limits = Limits {
            memory_bytes: settings.memory,
            time: settings.timeout.max(Duration::from_secs(60)),
            log_lines: LOG_LINES,
            ..project.limits()
        };
        let parts = spec::parts(project, &version.digest)?;
        let profile = profile(project, &version.digest)?;
        let said = Arc::new(Said(version.to_string()));
        let model = ServedModel::load(&project.pool, parts, profile, &limits, said).map_err(failed)?;
        let (sender, receiver) = sync_channel(1);
        let (queue, timeout, batch) = (settings.queue, settings.timeout, settings.batch);
        let (name, of) = (version.to_string(), version.clone());
        // The first thread's instance says which columns there are, and then waits for what it is to work on.
        let first = LargeStack::spawn(&name, move |stack| {
            let instance = match model.instance(stack) {
                Ok(instance) => instance,
                Err(error) => {
                    let _ = sender.send(Err(error));
                    return;
                }
            };
            let columns = (instance.input().clone(), instance.output().clone());
            let (queue, together, counters) = (Queue::new(queue), AtomicUsize::new(batch), Counters::default());
            queue.add(Some(instance));
            let pace = Pace::default();
            let shared = Shared { version: of, model, queue, pace, timeout, together, counters, alarms, columns };
            let shared = Arc::new(shared);
            if sender.send(Ok(Arc::clone(&shared))).is_ok() {
                drop(sender);
                work(&shared, stack);
            }
        });
        let no_thread = |source| Error::Io { action: "cannot start a thread for", path: version.to_string(), source };
        let mut threads = vec![first.map_err(no_thread)?];
        let loaded = receiver.recv().unwrap_or_else(|_| {
            Err(StageError::WorkerDied("the thread that loaded the model ended before it was done".to_owned()))
        });
        let shared = loaded.map_err(failed)?;
        for _ in 1..settings.instances.unwrap_or_else(|| project.width()) {
            let of = Arc::clone(&shared);
            let thread = LargeStack::spawn(&name, move |stack| {
                of.queue.add(of.model.instance(stack).ok());
                work(&of, stack);
            });
            threads.push(thread.map_err(no_thread)?);
        }
        let form = Form::new(shared.input(), shared.model.trained_on(), settings.rows);
        let renderer = Renderer::new(shared.output());
        Ok(Arc::new(Self { label: name, form, renderer, shared, threads: Mutex::new(threads) }))
    }

    /// Which model it is.
    pub fn version(&self) -> &ModelVersion {
        &self.shared.version
    }

    /// Which model it is, as `name@number`.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The columns that a request must bring.
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// The columns that the model reads, in the order of [`Question::rows`].
    pub fn input(&self) -> &Schema {
        self.shared.input()
    }

    /// The columns of predictions.
    pub fn output(&self) -> &Schema {
        self.shared.output()
    }

    /// Writes predictions.
    pub fn renderer(&self) -> &Renderer {
        &self.renderer
    }

    /// What it has done.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// How many questions wait.
    pub fn waiting(&self) -> usize {
        self.shared.queue.len()
    }

    /// Asks. The question's reply is called on a thread of the model, or here where it cannot wait.
    pub fn ask(&self, question: Question) {
        self.push(question, true);
    }

    /// The same by somebody on a thread with other things to do. Where true is returned, the model answers so quickly
    /// that waking a thread of it would cost more: the caller calls [`answer`](Self::answer) soon, best after others have
    /// asked too, because they are answered together. Only on threads that are known to have a [`LargeStack`].
    pub fn ask_in_between(&self, question: Question) -> bool {
        let quick = LargeStack::here().is_some() && self.shared.pace.is_quick(question.rows.rows);
        self.push(question, !quick);
        quick
    }

    /// Answers what waits, on the caller's thread, for a few milliseconds at most. Threads of the model do what is then
    /// left, and what is not as quick as it seemed.
    pub fn answer(&self) {
        match LargeStack::here() {
            Some(stack) => work_in_between(&self.shared, &stack),
            None => self.shared.queue.wake(),
        }
    }

    fn push(&self, question: Question, wake: bool) {
        if let Err((question, why)) = self.shared.queue.push(question, wake) {
            self.shared.counters.unanswered.fetch_add(1, Relaxed);
            (question.reply)(Err::<_, Unanswered>(why));
        }
    }

    /// Answers what waits, then ends its threads.
    pub fn stop(&self) {
        self.shared.queue.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // It catches its own panics.
            let _ = thread.join();
        }
    }
}

impl Drop for Servable {
    fn drop(&mut self) {
        // Without waiting: whoever drops the last handle may be anyone.
        self.shared.queue.close();
    }
}

/// The determinism profile that the model was trained with: how its answers are computed, too.
fn profile(project: &Project, model: &Digest) -> Result<Profile> {
    let ledger = project.store.ledger()?;
    let parts = project.store.models()?.references(model)?;
    for part in parts {
        for (key, _) in ledger.edges_in(&part)? {
            let result = ledger.record(RESULTS, key.as_bytes())?;
            if let Some(result) = result.and_then(|bytes| canonical::from_slice::<StageResult>(&bytes).ok()) {
                return Ok(result.spec.profile);
            }
        }
    }
    Ok(Profile::default())
}

/// What a model says while it answers goes to the log.
struct Said(String);

impl stagewright_runtime::Observer for Said {
    fn log(&self, line: &stagewright_core::record::LogLine) {
        tracing::info!(model = self.0, level = ?line.level, said = line.message, "the model says");
    }
}
