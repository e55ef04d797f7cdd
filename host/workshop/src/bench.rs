//! What a plugin costs: to compile, to load, to start, for each batch, and for a million rows.
//!
//! Figures are of this machine at this moment. What two plugins cost compares only where both were measured together.

use std::{
    ffi::OsString,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use stagewright_core::{
    Batch, Digest, Schema, StageKind,
    stage::{Profile, StageInfo},
};
use stagewright_runtime::{
    BoxError, CancelToken, CompiledCache, Component, Flavour, Input, Job, Limits, Measured, ModelParts, Outcome,
    StageError, Table, Value, Work, WorkerPool,
};

use crate::conformance::{
    frame::{Cut, Frame, Kept},
    guess::{self, Parameters},
    samples,
};

/// The rows of the numeric column that throughput is measured on.
const ROWS: usize = 1_000_000;
/// The rows that the cost of a batch is measured on, and that models are trained on.
const FEW: usize = 2_000;
/// A step that takes longer is not worth waiting for.
const TIME: Duration = Duration::from_secs(120);
const TIMES: usize = 5;

/// What a component costs.
#[derive(Clone, Debug, Serialize)]
pub struct Measurements {
    /// Which component.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
    /// Compiling it, in a process of its own.
    pub compile_ms: f64,
    /// Loading compiled code.
    pub load_ms: f64,
    /// Making an instance.
    pub instantiate_us: f64,
    /// A new process that loads compiled code, makes an instance and asks it to describe itself.
    pub start_ms: f64,
    /// What each of its functions costs.
    pub steps: Vec<Step>,
}

/// What one function costs, in a worker process as in a run.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// The stage's kind.
    pub stage: StageKind,
    /// The function.
    pub function: &'static str,
    /// The columns that it was given.
    pub columns: Vec<String>,
    /// How many rows it was given.
    pub rows: u64,
    /// How long it took; none where it could not be measured.
    pub elapsed_ms: Option<f64>,
    /// Rows in a second.
    pub rows_per_second: Option<f64>,
    /// Bytes of the table in a second.
    pub bytes_per_second: Option<f64>,
    /// What a batch costs, beside its rows.
    pub batch_us: Option<f64>,
    /// The most memory that its sandboxes held.
    pub peak_memory: Option<u64>,
    /// Why it could not be measured.
    pub problem: Option<String>,
}

/// What a measurement works with.
pub struct Bench<'a> {
    /// What starts a worker process.
    pub worker: Vec<OsString>,
    /// Where compiled code is kept.
    pub cache: Arc<dyn CompiledCache>,
    /// Parameters for the stages that know them.
    pub parameters: Parameters,
    /// Stops it.
    pub cancel: &'a CancelToken,
}

impl Bench<'_> {
    /// Measures a component. `told` hears what is measured next.
    ///
    /// # Errors
    /// It is no plugin, or no worker could be started.
    pub fn measure(&self, component: &Component, told: &dyn Fn(&str)) -> Result<Measurements, StageError> {
        told("describing");
        let pool = self.pool();
        let stages = pool.inspect(component, self.cancel)?.stages;
        told("compiling");
        let nothing_kept = WorkerPool::new(self.worker.clone(), 1, Arc::new(()));
        let (_, compile) = timed(|| Measured::load(&nothing_kept, component, Flavour::Batch, Profile::Fast))?;
        told("loading and starting");
        let load = || timed(|| Measured::load(&pool, component, Flavour::Batch, Profile::Fast));
        let loaded = load()?.0;
        let load = median(|| load().map(|(_, elapsed)| elapsed))?;
        let instantiate = median(|| loaded.instantiate())?;
        let start = median(|| {
            let fresh = self.pool();
            // Not `inspect`, which looks at every instruction of a stranger's component before anything of it runs.
            let describe = || fresh.run(Job::new(component.clone(), Work::Describe), self.cancel, &());
            timed(describe).map(|(_, elapsed)| elapsed)
        })?;
        let mut steps = Vec::new();
        for stage in &stages {
            told(&format!("{} over {ROWS} rows", stage.kind));
            steps.extend(self.stage(&pool, component, stage, &stages)?);
        }
        Ok(Measurements {
            digest: component.digest(),
            bytes: component.bytes()?.len() as u64,
            compile_ms: milliseconds(compile),
            load_ms: milliseconds(load),
            instantiate_us: milliseconds(instantiate) * 1000.0,
            start_ms: milliseconds(start),
            steps,
        })
    }

    fn pool(&self) -> WorkerPool {
        WorkerPool::new(self.worker.clone(), 1, Arc::clone(&self.cache))
    }

    fn stage(
        &self,
        pool: &WorkerPool,
        component: &Component,
        stage: &StageInfo,
        stages: &[StageInfo],
    ) -> Result<Vec<Step>, StageError> {
        // A predictor needs what the trainer of the same component makes.
        let teacher = match stage.kind {
            StageKind::Predictor => stages.iter().find(|other| other.kind == StageKind::Trainer),
            StageKind::Featurizer => Some(stage),
            _ => None,
        };
        let learner = teacher.unwrap_or(stage);
        let parameters = guess::complete(&learner.parameters, &guess::guess(&learner.parameters, &self.parameters));
        let subject = Subject { pool, component, stage, parameters, cancel: self.cancel };
        let mut refusal = String::new();
        for shape in Shape::ALL {
            let few = shape.table(FEW);
            let learned = match teacher {
                Some(teacher) => match subject.learn(teacher.kind, &few) {
                    Ok(learned) => learned,
                    Err(StageError::Failed { message, .. }) => {
                        refusal = message;
                        continue;
                    }
                    Err(error) => return error_or_step(error, stage.kind, &few),
                },
                None => Arc::from([]),
            };
            let mut steps = Vec::new();
            for function in functions(stage.kind) {
                match subject.step(function, &learned, shape) {
                    Ok(step) => steps.push(step),
                    Err(StageError::Failed { message, .. }) => refusal = message,
                    Err(error) => steps.extend(error_or_step(error, stage.kind, &few)?),
                }
            }
            if !steps.is_empty() {
                return Ok(steps);
            }
        }
        Ok(vec![Step::without(stage.kind, functions(stage.kind)[0], refusal)])
    }
}

/// Trouble with the plugin is a finding; trouble with the machine is an error.
fn error_or_step(error: StageError, kind: StageKind, table: &Frame) -> Result<Vec<Step>, StageError> {
    match error {
        StageError::Cancelled | StageError::Host { .. } | StageError::NoWorker(_) => Err(error),
        error => {
            let mut step = Step::without(kind, functions(kind)[0], error.to_string());
            step.columns = table.0.iter().map(|(name, _)| name.clone()).collect();
            Ok(vec![step])
        }
    }
}

impl Step {
    fn without(stage: StageKind, function: &'static str, problem: String) -> Self {
        Self {
            stage,
            function,
            columns: Vec::new(),
            rows: 0,
            elapsed_ms: None,
            rows_per_second: None,
            bytes_per_second: None,
            batch_us: None,
            peak_memory: None,
            problem: Some(problem),
        }
    }
}

const fn functions(kind: StageKind) -> &'static [&'static str] {
    match kind {
        StageKind::Preprocessor => &["prepare"],
        StageKind::Featurizer => &["fit", "transform"],
        StageKind::Trainer => &["train"],
        StageKind::Predictor => &["predict"],
        StageKind::Evaluator => &["evaluate"],
        StageKind::FairnessChecker => &["check"],
        StageKind::Validator => &["validate"],
        StageKind::Monitor => &["observe"],
    }
}

/// A numeric column, and as little beside it as a stage works with.
#[derive(Clone, Copy)]
enum Shape {
    Number,
    Labelled(samples::Label),
    Scored(samples::Label),
    Grouped,
}

impl Shape {
    const ALL: [Self; 6] = [
        Self::Number,
        Self::Labelled(samples::Label::Words),
        Self::Labelled(samples::Label::Numbers),
        Self::Scored(samples::Label::Words),
        Self::Scored(samples::Label::Numbers),
        Self::Grouped,
    ];

    fn table(self, rows: usize) -> Frame {
        let (whole, columns): (Frame, &[&str]) = match self {
            Self::Number => (samples::ordinary(samples::Label::Words), &["number"]),
            Self::Labelled(label) => (samples::ordinary(label), &["number", samples::LABEL]),
            Self::Scored(label) => (samples::scored(label), &[samples::LABEL, "score", "prediction"]),
            Self::Grouped => (samples::scored(samples::Label::Words), &["word", samples::LABEL, "score", "prediction"]),
        };
        let named = whole.0.into_iter().filter(|(name, _)| columns.contains(&name.as_str())).collect();
        // The same rows again and again, a little shifted: no two batches are alike.
        let places: Vec<usize> = (0..rows).map(|row| (row + row / 97) % samples::ROWS).collect();
        Frame(named).take(&places)
    }
}

struct Subject<'a> {
    pool: &'a WorkerPool,
    component: &'a Component,
    stage: &'a StageInfo,
    parameters: Parameters,
    cancel: &'a CancelToken,
}

impl Subject<'_> {
    fn run(&self, work: Work) -> Result<Outcome, StageError> {
        let parameters = serde_json::Value::Object(self.parameters.clone().into_iter().collect());
        let limits = Limits { time: TIME, ..Limits::default() };
        let job = Job { parameters: parameters.to_string(), limits, ..Job::new(self.component.clone(), work) };
        self.pool.run(job, self.cancel, &())
    }

    fn learn(&self, kind: StageKind, table: &Frame) -> Result<Arc<[u8]>, StageError> {
        let training = table.input(Cut::Whole);
        let work = match kind {
            StageKind::Featurizer => Work::Fit { training },
            _ => Work::Train { training, validation: None },
        };
        match self.run(work)?.value {
            Value::Bytes(bytes) => Ok(bytes.into()),
            _ => Err(StageError::WorkerDied("it answered something else".to_owned())),
        }
    }

    fn work(&self, function: &str, learned: &Arc<[u8]>, input: Input) -> Work {
        let state = Arc::clone(learned);
        let sink = || Kept::default().sink();
        match (self.stage.kind, function) {
            (StageKind::Preprocessor, _) => {
                let inputs = self.stage.inputs.iter().filter(|port| !port.optional);
                Work::Prepare {
                    inputs: inputs.map(|port| (port.name.replace('*', "first"), Arc::clone(&input))).collect(),
                    outputs: outputs(self.stage).into_iter().map(|name| (name, sink())).collect(),
                }
            }
            (StageKind::Featurizer, "fit") => Work::Fit { training: input },
            (StageKind::Featurizer, _) => Work::Transform { state, input, output: sink() },
            (StageKind::Trainer, _) => Work::Train { training: input, validation: None },
            (StageKind::Predictor, _) => {
                let predictor = (self.component.clone(), state);
                let model = ModelParts { featurizers: Vec::new(), predictor, input: input.schema().clone() };
                Work::Score { model, input, output: sink() }
            }
            (StageKind::Evaluator, _) => Work::Evaluate { scored: input, model: None },
            (StageKind::FairnessChecker, _) => Work::Check { scored: input, model: None },
            (StageKind::Validator, _) => Work::Validate { table: input },
            (StageKind::Monitor, _) => Work::Observe { reference: Arc::clone(&input), current: input, model: None },
        }
    }

    fn step(&self, function: &'static str, learned: &Arc<[u8]>, shape: Shape) -> Result<Step, StageError> {
        let few = shape.table(FEW);
        let with = |cut| median(|| Ok(self.run(self.work(function, learned, few.input(cut)))?.elapsed));
        let (one, many) = (with(Cut::Whole)?, with(Cut::Ones)?);
        let batch = many.saturating_sub(one).as_secs_f64() / (FEW - 1) as f64;
        let table = shape.table(ROWS);
        let bytes: usize = table.batch().bytes();
        let watched = Arc::new(Watched { table: table.input(Cut::Stored), read: AtomicBool::new(false) });
        let outcome = self.run(self.work(function, learned, Arc::clone(&watched) as Input))?;
        if !watched.read.load(Ordering::Relaxed) {
            let problem = "with these parameters it reads no rows: give it some by --with".to_owned();
            return Ok(Step::without(self.stage.kind, function, problem));
        }
        let seconds = outcome.elapsed.as_secs_f64().max(1e-9);
        Ok(Step {
            stage: self.stage.kind,
            function,
            columns: table.0.iter().map(|(name, _)| name.clone()).collect(),
            rows: ROWS as u64,
            elapsed_ms: Some(seconds * 1000.0),
            rows_per_second: Some(ROWS as f64 / seconds),
            bytes_per_second: Some(bytes as f64 / seconds),
            batch_us: Some(batch * 1e6),
            peak_memory: Some(outcome.peak_memory),
            problem: None,
        })
    }
}

/// A table that knows whether anybody read it: whoever did not cannot be said to be fast.
struct Watched {
    table: Input,
    read: AtomicBool,
}

impl Table for Watched {
    fn schema(&self) -> &Schema {
        self.table.schema()
    }

    fn rows(&self) -> u64 {
        self.table.rows()
    }

    fn batches(&self) -> usize {
        self.table.batches()
    }

    fn batch(&self, index: usize) -> Result<Batch, BoxError> {
        self.read.store(true, Ordering::Relaxed);
        self.table.batch(index)
    }
}

/// As many outputs as a preprocessor with its defaults may be asked for.
fn outputs(stage: &StageInfo) -> Vec<String> {
    let mut names = Vec::new();
    for port in &stage.outputs {
        match port.name.as_str() {
            "*" => names.extend(["part1".to_owned(), "part2".to_owned()]),
            name => names.push(name.to_owned()),
        }
    }
    names
}

fn timed<T>(work: impl FnOnce() -> Result<T, StageError>) -> Result<(T, Duration), StageError> {
    let began = Instant::now();
    let value = work()?;
    Ok((value, began.elapsed()))
}

fn median(mut measured: impl FnMut() -> Result<Duration, StageError>) -> Result<Duration, StageError> {
    let mut all = Vec::new();
    for _ in 0..TIMES {
        all.push(measured()?);
    }
    all.sort();
    Ok(all[TIMES / 2])
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
