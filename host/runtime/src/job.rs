//! What is asked of the sandbox, and what it answers.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stagewright_core::{
    Batch, Digest, Report, Schema, StageKind,
    record::{LogLine, MetricPoint, StageLog},
    stage::{Profile, StageInfo},
};

use crate::{
    BoxError, Limits, StageError,
    grants::{Exchange, Granted},
    recording::HostCall,
};

/// A component, by its digest. Cheap to clone.
#[derive(Clone)]
pub struct Component {
    digest: Digest,
    source: Source,
}

/// Where a component's bytes are. They are needed only where it is compiled, which is rare.
#[derive(Clone)]
enum Source {
    Here(Arc<[u8]>),
    Elsewhere(Arc<dyn Fn() -> Result<Vec<u8>, BoxError> + Send + Sync>),
}

impl Component {
    /// Names the bytes by their digest.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { digest: Digest::of(&bytes), source: Source::Here(bytes) }
    }

    /// A component that is kept somewhere. `fetch` gets its bytes, verified, and is called only where they are needed.
    pub fn kept(digest: Digest, fetch: impl Fn() -> Result<Vec<u8>, BoxError> + Send + Sync + 'static) -> Self {
        Self { digest, source: Source::Elsewhere(Arc::new(fetch)) }
    }

    /// A component whose code is loaded, so that nobody will ask for its bytes.
    pub(crate) fn known(digest: Digest) -> Self {
        Self::kept(digest, || Err("the bytes of a loaded component are not at hand".into()))
    }

    /// The digest of the bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The bytes.
    ///
    /// # Errors
    /// They are kept somewhere and cannot be read.
    pub fn bytes(&self) -> Result<Arc<[u8]>, StageError> {
        match &self.source {
            Source::Here(bytes) => Ok(Arc::clone(bytes)),
            Source::Elsewhere(fetch) => fetch()
                .map(Arc::from)
                .map_err(|error| StageError::host(format!("component {} cannot be read", self.digest), error)),
        }
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Component({})", self.digest)
    }
}

/// A table that a stage reads. Its batches are trusted: they were checked when they were stored.
pub trait Table: Send + Sync {
    /// The columns.
    fn schema(&self) -> &Schema;
    /// The rows of the whole table.
    fn rows(&self) -> u64;
    /// The number of batches.
    fn batches(&self) -> usize;
    /// One batch.
    ///
    /// # Errors
    /// It cannot be read.
    fn batch(&self, index: usize) -> Result<Batch, BoxError>;
    /// Some columns of one batch, by position; all where `columns` is empty.
    ///
    /// # Errors
    /// It cannot be read.
    fn columns(&self, index: usize, columns: &[usize]) -> Result<Batch, BoxError> {
        let mut batch = self.batch(index)?;
        if !columns.is_empty() {
            // A column that is asked for twice is rare; every other is moved, not copied.
            let chosen = columns.iter().enumerate().map(|(at, column)| match columns[at + 1..].contains(column) {
                true => batch.columns[*column].clone(),
                false => std::mem::take(&mut batch.columns[*column]),
            });
            batch.columns = chosen.collect();
        }
        Ok(batch)
    }
    /// The same, [encoded](Batch::encode). A table that is kept encoded need not take it apart: the worker that it is
    /// for checks it.
    ///
    /// # Errors
    /// It cannot be read.
    fn encoded(&self, index: usize, columns: &[usize]) -> Result<Vec<u8>, BoxError> {
        Ok(self.columns(index, columns)?.encode())
    }
}

/// A table in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryTable {
    /// The columns.
    pub schema: Schema,
    /// The rows.
    pub batches: Vec<Batch>,
}

impl Table for MemoryTable {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn rows(&self) -> u64 {
        self.batches.iter().map(|batch| u64::from(batch.rows)).sum()
    }

    fn batches(&self) -> usize {
        self.batches.len()
    }

    fn batch(&self, index: usize) -> Result<Batch, BoxError> {
        self.batches.get(index).cloned().ok_or_else(|| format!("the table has no batch {index}").into())
    }

    fn columns(&self, index: usize, columns: &[usize]) -> Result<Batch, BoxError> {
        let batch = self.batches.get(index).ok_or_else(|| format!("the table has no batch {index}"))?;
        Ok(batch.select(columns))
    }
}

/// Where the embedder keeps a table that a stage writes. Everything it is given was checked and is canonical. What it
/// was given counts only once the whole job succeeded.
pub trait TableSink: Send {
    /// The columns that follow; called once, before the first batch.
    ///
    /// # Errors
    /// It cannot be kept.
    fn start(&mut self, schema: &Schema) -> Result<(), BoxError>;
    /// Further rows.
    ///
    /// # Errors
    /// They cannot be kept.
    fn write(&mut self, batch: Batch) -> Result<(), BoxError>;
}

/// A servable model, with the bytes of its parts.
#[derive(Clone, Debug)]
pub struct ModelParts {
    /// Featurizers with their states, in the order in which they are applied.
    pub featurizers: Vec<(Component, Arc<[u8]>)>,
    /// The predictor with its weights.
    pub predictor: (Component, Arc<[u8]>),
    /// The columns of the training rows, before any featurizer.
    pub input: Schema,
}

/// A table to read.
pub type Input = Arc<dyn Table>;
/// A table to write.
pub type Output = Box<dyn TableSink>;

/// What is to be done.
pub enum Work {
    /// `preprocessor.prepare`.
    Prepare {
        /// Tables by port.
        inputs: Vec<(String, Input)>,
        /// Tables by port.
        outputs: Vec<(String, Output)>,
    },
    /// `featurizer.fit`.
    Fit {
        /// The rows to learn from.
        training: Input,
    },
    /// `featurizer.features.transform` over a whole table.
    Transform {
        /// What `fit` learned.
        state: Arc<[u8]>,
        /// The rows.
        input: Input,
        /// The features.
        output: Output,
    },
    /// `trainer.train`.
    Train {
        /// The rows to learn from.
        training: Input,
        /// Rows to stop early by.
        validation: Option<Input>,
    },
    /// The whole model over a whole table. [`Job::component`] is not used.
    Score {
        /// The model.
        model: ModelParts,
        /// The rows.
        input: Input,
        /// The rows' columns, and the predictions behind them.
        output: Output,
    },
    /// `evaluator.evaluate`.
    Evaluate {
        /// What `Score` wrote.
        scored: Input,
        /// The model that it may question.
        model: Option<ModelParts>,
    },
    /// `fairness-checker.check`.
    Check {
        /// What `Score` wrote.
        scored: Input,
        /// The model that it may question.
        model: Option<ModelParts>,
    },
    /// `validator.validate`.
    Validate {
        /// The table.
        table: Input,
    },
    /// `monitor.observe`.
    Observe {
        /// What the data looked like.
        reference: Input,
        /// What it looks like.
        current: Input,
        /// The model that it may question.
        model: Option<ModelParts>,
    },
    /// Which columns a model asks for and returns. [`Job::component`] is not used.
    DescribeModel {
        /// The model.
        model: ModelParts,
    },
    /// `plugin.describe`.
    Describe,
}

/// One stage to run, and everything that decides its output.
pub struct Job {
    /// The component that does it.
    pub component: Component,
    /// What is done.
    pub work: Work,
    /// A JSON object: parameters that fit the plugin's schema, with the defaults filled in.
    pub parameters: String,
    /// The only randomness it has.
    pub seed: u64,
    /// What it may use.
    pub limits: Limits,
    /// How strictly floating point is pinned down.
    pub profile: Profile,
    /// What it is granted of the real world; none for a pure stage.
    pub granted: Option<Granted>,
    /// Whether every call to the host is told to the observer.
    pub record: bool,
}

impl Job {
    /// A job without parameters, with seed 0, the default limits and the default profile.
    pub fn new(component: Component, work: Work) -> Self {
        Self {
            component,
            work,
            parameters: "{}".to_owned(),
            seed: 0,
            limits: Limits::default(),
            profile: Profile::default(),
            granted: None,
            record: false,
        }
    }
}

/// What a stage returned, beside the tables that it wrote.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `Prepare`: everything is in the outputs.
    Tables,
    /// `Fit` and `Train`: a state or weights.
    Bytes(Vec<u8>),
    /// `Evaluate`, `Check`, `Validate` and `Observe`.
    Report(Report),
    /// `Transform`, `Score` and `DescribeModel`.
    Columns(Columns),
    /// `Describe`.
    Stages(Vec<StageInfo>),
}

/// The columns that a featurizer or model reads and returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    /// The columns that it reads: what a request to serve must bring.
    pub input: Schema,
    /// The columns that it returns.
    pub output: Schema,
}

/// What a stage that succeeded did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it returned.
    pub value: Value,
    /// What it said.
    pub log: StageLog,
    /// The most bytes that its sandboxes held.
    pub peak_memory: u64,
    /// How long it took, without compiling.
    pub elapsed: Duration,
}

/// Asks a running job to stop. Clones ask the same job.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that nobody has used yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops every job that runs with this token.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Watches a job while it runs. Nothing it sees is needed: [`Outcome::log`] holds what is kept.
pub trait Observer: Send + Sync {
    /// How far the stage says it is; `total` is 0 where it is not known.
    fn progress(&self, done: u64, total: u64) {
        let _ = (done, total);
    }
    /// A line that the stage logged.
    fn log(&self, line: &LogLine) {
        let _ = line;
    }
    /// A point of a curve.
    fn metric(&self, point: &MetricPoint) {
        let _ = point;
    }
    /// A granted call was answered.
    fn granted(&self, exchange: &Exchange) {
        let _ = exchange;
    }
    /// The stage called the host; told only where [`Job::record`] asks for it.
    fn called(&self, call: &HostCall) {
        let _ = call;
    }
    /// A component is about to be compiled, which may take long.
    fn compiling(&self, component: Digest) {
        let _ = component;
    }
}

/// Watches nothing.
impl Observer for () {}

/// What a component is, found without running it and then by asking it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The stages it exports.
    pub kinds: Vec<StageKind>,
    /// Every interface it imports.
    pub imports: Vec<String>,
    /// What it says of its stages.
    pub stages: Vec<StageInfo>,
    /// What its metadata sections say.
    pub metadata: Metadata,
}

/// What the standard metadata sections of a component say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Its name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Its licence.
    pub licence: Option<String>,
    /// Who wrote it.
    pub authors: Option<String>,
    /// Where its source is.
    pub source: Option<String>,
    /// The tools that made it, with their versions.
    pub producers: Vec<String>,
}
