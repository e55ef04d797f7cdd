//! From a stage's specification to its outputs: the seam between planning and machines.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use stagewright_core::{
    Batch, Digest, Report, Schema, canonical,
    record::StageLog,
    stage::{Operation, StageSpec},
};
use stagewright_runtime::{
    BoxError, CancelToken, Component, Job, Observer, StageError, Table, TableSink, Value, WorkerPool,
    grants::Exchange,
    spec::{self, Shelf},
};
use stagewright_store::{Repository, StoreError, TableDigester, TableReader};

use crate::{
    error::{Error, Result},
    granted,
    project::Project,
};

/// What an execution made.
#[derive(Clone, Debug)]
pub struct Executed {
    /// The outputs by name: tables by theirs, otherwise `state`, `weights` or `report`.
    pub outputs: BTreeMap<String, Digest>,
    /// What the stage said.
    pub log: StageLog,
    /// How long it took, in milliseconds.
    pub elapsed_ms: f64,
    /// The most memory that it used.
    pub peak_memory: u64,
}

/// Turns specifications into outputs. Inputs and outputs are digests, so that an executor may be on another machine.
pub trait Executor: Sync {
    /// Executes a stage.
    ///
    /// # Errors
    /// Its inputs are not there, or it failed.
    fn execute(&self, spec: &StageSpec, cancel: &CancelToken, observer: &dyn Observer) -> Result<Executed>;
}

/// What becomes of outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outputs {
    /// They are stored.
    Keep,
    /// Only their digests are found.
    Forget,
}

/// Executes in worker processes of this machine.
pub(crate) struct LocalExecutor<'a> {
    pub(crate) project: &'a Project,
    pub(crate) pool: &'a WorkerPool,
    pub(crate) outputs: Outputs,
    /// Answers to granted calls; where there are none, the world is asked.
    pub(crate) answers: Option<Vec<Exchange>>,
    /// Whether the observer hears of every call to the host.
    pub(crate) record: bool,
}

/// A stored table as the sandbox reads it.
struct Stored(TableReader);

impl Table for Stored {
    fn schema(&self) -> &Schema {
        self.0.schema()
    }

    fn rows(&self) -> u64 {
        self.0.rows()
    }

    fn batches(&self) -> usize {
        self.0.batches()
    }

    fn batch(&self, index: usize) -> Result<Batch, BoxError> {
        Ok(self.0.batch(index)?)
    }

    fn encoded(&self, index: usize, columns: &[usize]) -> Result<Vec<u8>, BoxError> {
        let all = columns.is_empty() || columns.iter().copied().eq(0..self.schema().len());
        if all { Ok(self.0.encoded(index)?) } else { Ok(self.columns(index, columns)?.encode()) }
    }
}

/// Hands what a stage writes to the thread that stores it, so that hashing and compressing run beside the stage.
struct Channel(SyncSender<Written>);

enum Written {
    Schema(Schema),
    Batch(Batch),
}

impl TableSink for Channel {
    fn start(&mut self, schema: &Schema) -> Result<(), BoxError> {
        Ok(self.0.send(Written::Schema(schema.clone()))?)
    }

    fn write(&mut self, batch: Batch) -> Result<(), BoxError> {
        Ok(self.0.send(Written::Batch(batch))?)
    }
}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("rows that could not be stored")
    }
}

impl std::fmt::Display for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Written {}

impl Executor for LocalExecutor<'_> {
    fn execute(&self, spec: &StageSpec, cancel: &CancelToken, observer: &dyn Observer) -> Result<Executed> {
        let (sinks, receivers): (Vec<_>, Vec<_>) = spec
            .outputs
            .iter()
            .map(|name| {
                let (sender, receiver) = sync_channel(4);
                ((name.clone(), Box::new(Channel(sender)) as Box<dyn TableSink>), (name.clone(), receiver))
            })
            .unzip();
        let job = Job {
            component: self.project.component(&spec.component)?,
            work: spec::work(spec, self.project, sinks)?,
            parameters: String::from_utf8_lossy(&canonical::to_vec(&spec.parameters)).into_owned(),
            seed: spec.seed,
            limits: self.project.limits(),
            profile: spec.profile,
            granted: match (&self.answers, spec.grants.is_empty()) {
                (_, true) => None,
                (Some(answers), _) => Some(granted::recorded(&spec.grants, answers.clone())),
                (None, _) => Some(granted::live(self.project, &spec.grants)?),
            },
            record: self.record,
        };
        thread::scope(|scope| {
            let writers: Vec<_> = receivers
                .into_iter()
                .map(|(name, receiver)| (name, scope.spawn(move || self.store(&receiver))))
                .collect();
            let outcome = self.pool.run(job, cancel, observer);
            let mut outputs = BTreeMap::new();
            let mut not_stored = None;
            for (name, writer) in writers {
                match writer.join().unwrap_or_else(|_| Err(Error::Invalid("storing a table panicked".to_owned()))) {
                    Ok(digest) => drop(outputs.insert(name, digest)),
                    Err(error) => not_stored = Some(error),
                }
            }
            let outcome = match (outcome, not_stored) {
                // A table that could not be stored is why the stage could not go on, not the other way round.
                (Ok(_) | Err(StageError::Host { .. }), Some(error)) => return Err(error),
                (Err(source), _) => return Err(Error::Stage { what: "the stage failed".to_owned(), source }),
                (Ok(outcome), None) => outcome,
            };
            match outcome.value {
                Value::Bytes(bytes) => {
                    let name = if spec.operation == Operation::Fit { "state" } else { "weights" };
                    outputs.insert(name.to_owned(), self.keep(&bytes)?);
                }
                Value::Report(report) => {
                    outputs.insert("report".to_owned(), self.keep(&canonical::to_vec(&report))?);
                }
                _ => {}
            }
            let elapsed_ms = outcome.elapsed.as_secs_f64() * 1000.0;
            Ok(Executed { outputs, log: outcome.log, elapsed_ms, peak_memory: outcome.peak_memory })
        })
    }
}

impl Shelf for Project {
    type Error = Error;

    fn component(&self, digest: &Digest) -> Result<Component> {
        self.component(digest)
    }

    fn table(&self, digest: &Digest) -> Result<Arc<dyn Table>> {
        Ok(Arc::new(Stored(self.store.data()?.table(digest)?)))
    }

    fn bytes(&self, digest: &Digest) -> Result<Arc<[u8]>> {
        Ok(self.store.models()?.bytes(digest)?.into())
    }
}

impl LocalExecutor<'_> {
    fn keep(&self, bytes: &[u8]) -> Result<Digest> {
        match self.outputs {
            Outputs::Forget => Ok(Digest::of(bytes)),
            Outputs::Keep => {
                put(self.project.store.models()?, self.project, |transaction| transaction.put_bytes(bytes))
            }
        }
    }

    /// Stores what arrives on a channel as a table. Nothing arrives where the stage failed early.
    fn store(&self, receiver: &Receiver<Written>) -> Result<Digest> {
        let Ok(Written::Schema(schema)) = receiver.recv() else {
            return Ok(Digest::of(b""));
        };
        match self.outputs {
            Outputs::Forget => {
                let mut digester = TableDigester::new(&schema);
                for written in receiver {
                    if let Written::Batch(batch) = written {
                        digester.write(&batch)?;
                    }
                }
                Ok(digester.finish()?)
            }
            Outputs::Keep => put(self.project.store.data()?, self.project, |transaction| {
                let mut writer = transaction.put_table(&schema);
                for written in receiver {
                    if let Written::Batch(batch) = written {
                        writer.write(&batch)?;
                    }
                }
                writer.finish()
            }),
        }
    }
}

/// Stores one artifact and pins it to its own digest: it is kept until the results that name it are dropped.
pub(crate) fn put(
    repository: &Repository,
    project: &Project,
    write: impl FnOnce(&mut stagewright_store::Transaction<'_>) -> Result<Digest, StoreError>,
) -> Result<Digest> {
    let mut transaction = repository.begin(&project.actor())?;
    let digest = write(&mut transaction)?;
    // Durable with the run; until then a crash costs no more than running the stage again.
    let _ticket = transaction.commit_later()?;
    Ok(digest)
}

/// Reads a report.
///
/// # Errors
/// There is none, or it is damaged.
pub(crate) fn report(project: &Project, digest: &Digest) -> Result<Report> {
    canonical::from_slice(&project.store.models()?.bytes(digest)?)
        .map_err(|error| Error::Invalid(format!("artifact {digest} is no report: {error}")))
}
