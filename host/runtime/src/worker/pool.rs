//! The parent's side: hands jobs to workers, answers their questions, and checks what they say.

use std::{
    ffi::OsString,
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use stagewright_core::{Batch, Digest, Schema, stage::Profile, table::MAX_BATCH_BYTES};

use super::{
    frame::{Answer, Done, FromWorker, ModelInfo, Order, TableInfo, Task, ToWorker},
    process::{Process, Watch},
};
use crate::{
    BoxError, CancelToken, CompiledCache, Component, Input, Inspection, Job, Limits, ModelParts, Observer, Outcome,
    Output, Refused, StageError, Value, Work, check, compiled,
    engine::{Flavour, engine, fingerprint},
    grants::{Exchange, Granted, Request},
    limits::{Journal, selection},
    metadata::metadata,
    recording,
    sandbox::Loaded,
    state::stage_error,
};

/// An encoded batch is little larger than its buffers.
const BATCH_FRAME: u64 = MAX_BATCH_BYTES as u64 + (4 << 20);
/// Machine code is larger than the component, but not by more.
const CODE_FRAME: u64 = 4 << 30;
/// What a description may take.
const DESCRIBE_TIME: Duration = Duration::from_secs(20);
const DESCRIBE_MEMORY: u64 = 512 << 20;
const DESCRIBE_BYTES: u64 = 4 << 20;

/// Runs jobs in worker processes. Processes are started when they are needed and kept for further jobs; one that ran
/// into trouble is not used again.
pub struct WorkerPool {
    command: Vec<OsString>,
    size: usize,
    cache: Arc<dyn CompiledCache>,
    idle: Mutex<Idle>,
    freed: Condvar,
    /// Components that are being compiled, so that two jobs do not both compile one.
    compiling: Mutex<Vec<String>>,
    compiled: Condvar,
}

#[derive(Default)]
struct Idle {
    workers: Vec<Worker>,
    running: usize,
    /// A worker that was started ahead.
    ahead: Option<JoinHandle<Result<Worker, StageError>>>,
}

/// A process, and what it has loaded.
struct Worker {
    process: Process,
    loaded: Vec<(Digest, Profile)>,
}

/// Compiled code, ready to be loaded by a worker.
enum Code {
    File(String),
    Bytes(Vec<u8>),
}

impl WorkerPool {
    /// A pool whose workers are started by `command`, which must end up in [`serve`](crate::worker::serve). At most
    /// `size` jobs run at once; further ones wait.
    pub fn new(command: Vec<OsString>, size: usize, cache: Arc<dyn CompiledCache>) -> Self {
        Self {
            command,
            size: size.max(1),
            cache,
            idle: Mutex::default(),
            freed: Condvar::new(),
            compiling: Mutex::default(),
            compiled: Condvar::new(),
        }
    }

    /// Runs a job and waits for its end.
    ///
    /// # Errors
    /// See [`StageError`]. None of them is a fact about the stage that may be remembered, except to people.
    pub fn run(&self, job: Job, cancel: &CancelToken, observer: &dyn Observer) -> Result<Outcome, StageError> {
        let _turn = self.turn(cancel)?;
        let components = components(&job);
        let mut worker = self.worker()?;
        for component in components {
            self.load(&mut worker, component, job.profile, &job.limits, cancel, observer)?;
        }
        let began = Instant::now();
        let watch = Watch {
            cancel,
            deadline: began.checked_add(job.limits.time),
            memory: None,
            seconds: job.limits.time.as_secs_f64(),
        };
        let mut conversation = Conversation::new(&mut worker.process, watch, &job.limits, observer);
        let order = Order {
            component: job.component.digest(),
            work: Task::Describe,
            parameters: job.parameters,
            seed: job.seed,
            limits: job.limits.clone(),
            profile: job.profile,
            grants: job.granted.as_ref().map(|granted| granted.grants.clone()),
            record: job.record,
        };
        conversation.granted = job.granted;
        let result = conversation.run(job.work, order);
        let (log, peak_memory) = (conversation.journal.log, conversation.peak_memory);
        if result.as_ref().err().is_none_or(StageError::leaves_worker_usable) {
            self.idle().workers.push(worker);
        }
        Ok(Outcome { value: result?, log, peak_memory, elapsed: began.elapsed() })
    }

    /// Says what a component is: its world, its metadata, and what it says of its stages.
    ///
    /// # Errors
    /// It is no plugin, or does not manage to describe itself.
    pub fn inspect(&self, component: &Component, cancel: &CancelToken) -> Result<Inspection, StageError> {
        self.inspect_within(component, &Limits::default(), cancel)
    }

    /// The same within these limits, if they are narrower than what a description may take anyway.
    ///
    /// # Errors
    /// It is no plugin, or does not manage to describe itself.
    pub fn inspect_within(
        &self,
        component: &Component,
        limits: &Limits,
        cancel: &CancelToken,
    ) -> Result<Inspection, StageError> {
        let bytes = component.bytes()?;
        let world = check(&bytes)?;
        let limits = Limits {
            time: limits.time.min(DESCRIBE_TIME),
            memory_bytes: limits.memory_bytes.min(DESCRIBE_MEMORY),
            value_bytes: limits.value_bytes.min(DESCRIBE_BYTES),
            log_lines: 100,
            ..limits.clone()
        };
        let job = Job { limits, ..Job::new(component.clone(), Work::Describe) };
        let Value::Stages(stages) = self.run(job, cancel, &())?.value else {
            return Err(StageError::WorkerDied("it answered something else".to_owned()));
        };
        for stage in &stages {
            if !world.kinds.contains(&stage.kind) {
                return Err(
                    Refused::Description(format!("it describes a {}, which it does not export", stage.kind)).into()
                );
            }
        }
        if let Some(kind) =
            world.kinds.iter().find(|kind| stages.iter().filter(|stage| stage.kind == **kind).count() != 1)
        {
            return Err(Refused::Description(format!("it exports a {kind} but does not describe exactly one")).into());
        }
        Ok(Inspection { kinds: world.kinds, imports: world.imports, stages, metadata: metadata(&bytes) })
    }

    /// Loads a component into this process. A worker compiles it, if the cache does not hold it.
    pub(crate) fn compiled(
        &self,
        component: &Component,
        flavour: Flavour,
        profile: Profile,
        limits: &Limits,
        cancel: &CancelToken,
        observer: &dyn Observer,
    ) -> Result<Loaded, StageError> {
        let engine = engine(flavour, profile).map_err(|error| StageError::Compile(format!("{error:#}")))?;
        let key = key(component, flavour, profile)?;
        let kept = self.cache.load(&key).and_then(|path| compiled::load_file(&engine, &path, &key));
        let loaded = match kept {
            Some(component) => Some(component),
            None => match self.compile(component, (flavour, profile), &key, limits, cancel, observer)? {
                Code::File(path) => compiled::load_file(&engine, Path::new(&path), &key),
                Code::Bytes(code) => compiled::load_bytes(&engine, &code, &key),
            },
        };
        let loaded = loaded.ok_or_else(|| StageError::Compile("the engine does not accept its own code".to_owned()))?;
        Loaded::new(&engine, &loaded)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a worker for the first of the jobs that are about to come, and does not wait for it.
    pub fn warm(&self) {
        let mut idle = self.idle();
        if idle.workers.is_empty() && idle.ahead.is_none() {
            let command = self.command.clone();
            // Without a thread for it, the job starts its worker itself.
            idle.ahead = thread::Builder::new().spawn(move || start(&command)).ok();
        }
    }

    /// A worker that has nothing to do, or a new one.
    fn worker(&self) -> Result<Worker, StageError> {
        let mut idle = self.idle();
        if let Some(worker) = idle.workers.pop() {
            return Ok(worker);
        }
        let ahead = idle.ahead.take();
        drop(idle);
        match ahead {
            Some(ahead) => ahead.join().unwrap_or_else(|_| start(&self.command)),
            None => start(&self.command),
        }
    }

    /// Waits until fewer than `size` jobs run.
    fn turn(&self, cancel: &CancelToken) -> Result<Turn<'_>, StageError> {
        let mut idle = self.idle();
        while idle.running >= self.size {
            if cancel.is_cancelled() {
                return Err(StageError::Cancelled);
            }
            let waited = self.freed.wait_timeout(idle, Duration::from_millis(20));
            idle = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        idle.running += 1;
        Ok(Turn(self))
    }

    fn load(
        &self,
        worker: &mut Worker,
        component: &Component,
        profile: Profile,
        limits: &Limits,
        cancel: &CancelToken,
        observer: &dyn Observer,
    ) -> Result<(), StageError> {
        let digest = component.digest();
        if worker.loaded.contains(&(digest, profile)) {
            return Ok(());
        }
        let watch = Watch {
            cancel,
            deadline: Instant::now().checked_add(limits.compile_time),
            memory: None,
            seconds: limits.compile_time.as_secs_f64(),
        };
        let key = key(component, Flavour::Batch, profile)?;
        let mut attempt = |code: Code| -> Result<bool, StageError> {
            let (path, body) = match &code {
                Code::File(path) => (Some(path.clone()), &[][..]),
                Code::Bytes(bytes) => (None, bytes.as_slice()),
            };
            let load = ToWorker::Load { digest, profile, key: key.clone(), path };
            worker.process.send(&watch, &load, body).map_err(explain)?;
            match worker.process.receive(&watch, 0).map_err(explain)? {
                (FromWorker::Loaded { usable }, _) => Ok(usable),
                _ => Err(protocol()),
            }
        };
        let kept = self.cache.load(&key).and_then(|path| path.into_os_string().into_string().ok());
        if let Some(path) = kept
            && attempt(Code::File(path))?
        {
            worker.loaded.push((digest, profile));
            return Ok(());
        }
        // What the cache holds is of no use: make it anew.
        let code = self.compile(component, (Flavour::Batch, profile), &key, limits, cancel, observer)?;
        if !attempt(code)? {
            return Err(StageError::Compile("the engine does not accept its own code".to_owned()));
        }
        worker.loaded.push((digest, profile));
        Ok(())
    }

    /// Compiles in a fresh process, which is bounded in time and memory: the engine's authors do not promise that
    /// compiling hostile code ends.
    fn compile(
        &self,
        component: &Component,
        target: (Flavour, Profile),
        key: &str,
        limits: &Limits,
        cancel: &CancelToken,
        observer: &dyn Observer,
    ) -> Result<Code, StageError> {
        let _claim = match self.claim(key, cancel)? {
            Claim::Ours(claim) => claim,
            Claim::Done => {
                if let Some(path) = self.cache.load(key).and_then(|path| path.into_os_string().into_string().ok()) {
                    return Ok(Code::File(path));
                }
                return self.compile(component, target, key, limits, cancel, observer);
            }
        };
        let bytes = component.bytes()?;
        check(&bytes)?;
        observer.compiling(component.digest());
        let watch = Watch {
            cancel,
            deadline: Instant::now().checked_add(limits.compile_time),
            memory: Some(limits.compile_memory_bytes),
            seconds: limits.compile_time.as_secs_f64(),
        };
        let mut process = Process::start(&self.command)?;
        process
            .send(&watch, &ToWorker::Compile { flavour: target.0, profile: target.1, key: key.to_owned() }, &bytes)
            .map_err(explain)?;
        match process.receive(&watch, CODE_FRAME).map_err(explain)? {
            (FromWorker::Compiled, code) => {
                let saved = self.cache.save(key, &code).and_then(|path| path.into_os_string().into_string().ok());
                Ok(saved.map_or(Code::Bytes(code), Code::File))
            }
            (FromWorker::NotCompiled(why), _) => Err(StageError::Compile(why)),
            _ => Err(protocol()),
        }
    }

    fn claim(&self, key: &str, cancel: &CancelToken) -> Result<Claim<'_>, StageError> {
        let mut compiling = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waited = false;
        while compiling.iter().any(|other| other == key) {
            if cancel.is_cancelled() {
                return Err(StageError::Cancelled);
            }
            waited = true;
            let timeout = self.compiled.wait_timeout(compiling, Duration::from_millis(20));
            compiling = timeout.unwrap_or_else(PoisonError::into_inner).0;
        }
        if waited && self.cache.load(key).is_some() {
            return Ok(Claim::Done);
        }
        compiling.push(key.to_owned());
        Ok(Claim::Ours(Claimed { pool: self, key: key.to_owned() }))
    }
}

fn start(command: &[OsString]) -> Result<Worker, StageError> {
    Ok(Worker { process: Process::start(command)?, loaded: Vec::new() })
}

struct Turn<'a>(&'a WorkerPool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.idle().running -= 1;
        self.0.freed.notify_one();
    }
}

enum Claim<'a> {
    Ours(Claimed<'a>),
    Done,
}

struct Claimed<'a> {
    pool: &'a WorkerPool,
    key: String,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        let mut compiling = self.pool.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        compiling.retain(|key| *key != self.key);
        self.pool.compiled.notify_all();
    }
}

fn protocol() -> StageError {
    StageError::WorkerDied("it broke the protocol".to_owned())
}

/// What compiled code is kept under: everything that it depends on.
fn key(component: &Component, flavour: Flavour, profile: Profile) -> Result<String, StageError> {
    let engine = engine(flavour, profile).map_err(|error| StageError::Compile(format!("{error:#}")))?;
    Ok(format!("{}-{profile}-{}", component.digest(), fingerprint(&engine)))
}

/// Every component that the job runs.
fn components(job: &Job) -> Vec<&Component> {
    let model = match &job.work {
        Work::Score { model, .. } | Work::DescribeModel { model } => return of_model(model).collect(),
        Work::Evaluate { model, .. } | Work::Check { model, .. } | Work::Observe { model, .. } => model.as_ref(),
        _ => None,
    };
    [&job.component].into_iter().chain(model.into_iter().flat_map(of_model)).collect()
}

fn of_model(model: &ModelParts) -> impl Iterator<Item = &Component> {
    model.featurizers.iter().chain([&model.predictor]).map(|(component, _)| component)
}

/// One job's talk with its worker.
struct Conversation<'a> {
    process: &'a mut Process,
    watch: Watch<'a>,
    limits: &'a Limits,
    observer: &'a dyn Observer,
    tables: Vec<Input>,
    /// What the stage will probably ask for next.
    ahead: Option<Ahead>,
    outputs: Vec<Checked>,
    blobs: usize,
    written: u64,
    granted: Option<Granted>,
    called: u64,
    journal: Journal,
    peak_memory: u64,
}

/// A batch that nobody has asked for yet.
struct Ahead {
    table: usize,
    batch: usize,
    columns: Vec<usize>,
    encoded: Result<Vec<u8>, BoxError>,
}

/// An output, and the columns that it was started with.
struct Checked {
    name: String,
    sink: Output,
    schema: Option<Schema>,
}

impl<'a> Conversation<'a> {
    fn new(process: &'a mut Process, watch: Watch<'a>, limits: &'a Limits, observer: &'a dyn Observer) -> Self {
        Self {
            process,
            watch,
            limits,
            observer,
            tables: Vec::new(),
            ahead: None,
            outputs: Vec::new(),
            blobs: 0,
            written: 0,
            granted: None,
            called: 0,
            journal: Journal::new(limits),
            peak_memory: 0,
        }
    }

    fn run(&mut self, work: Work, mut order: Order) -> Result<Value, StageError> {
        order.work = self.task(work)?;
        let record = order.record;
        self.process.send(&self.watch, &ToWorker::Run(Box::new(order)), &[])?;
        let most = self.limits.value_bytes.max(BATCH_FRAME);
        loop {
            let (message, body) = self.process.receive(&self.watch, most)?;
            if let Some(stopped) = self.watch.over() {
                return Err(stopped);
            }
            match message {
                FromWorker::Read { table, batch, columns } => self.read(table, batch, columns)?,
                FromWorker::Start { output, schema } => self.begin(output, schema)?,
                FromWorker::Write { output } => self.write(output, &body)?,
                FromWorker::Ask(request) => self.ask(request, body)?,
                FromWorker::Called(call) if record => {
                    // What is told in one frame is bounded; so is what is told in all of them.
                    self.called += 1;
                    if self.called <= recording::CALLS {
                        self.observer.called(&call);
                    }
                }
                FromWorker::Log(line) => {
                    if self.journal.line(&line) {
                        self.observer.log(&line);
                    }
                }
                FromWorker::Metric(point) => {
                    if self.journal.point(&point) {
                        self.observer.metric(&point);
                    }
                }
                FromWorker::Progress { done, total } => self.observer.progress(done, total),
                FromWorker::Done(done) => return self.end(*done, body),
                _ => return Err(protocol()),
            }
        }
    }

    fn end(&mut self, done: Done, body: Vec<u8>) -> Result<Value, StageError> {
        self.peak_memory = done.peak_memory;
        self.journal.log.dropped_lines += done.dropped_lines;
        self.journal.log.dropped_points += done.dropped_points;
        let answer = done.result?;
        if body.len() as u64 > self.limits.value_bytes {
            return Err(protocol());
        }
        if let Some(output) = self.outputs.iter().find(|output| output.schema.is_none()) {
            return Err(StageError::bad_output(format!("output `{}`", output.name), "it was never started"));
        }
        let json = |error: serde_json::Error| StageError::bad_output("value", error);
        Ok(match answer {
            Answer::Tables => Value::Tables,
            Answer::Bytes => Value::Bytes(body),
            Answer::Report => Value::Report(serde_json::from_slice(&body).map_err(json)?),
            Answer::Columns(columns) => Value::Columns(columns),
            Answer::Stages => Value::Stages(serde_json::from_slice(&body).map_err(json)?),
        })
    }

    /// Answers with a batch and, while the stage is busy with it, prepares the one behind it.
    fn read(&mut self, number: usize, batch: usize, columns: Vec<usize>) -> Result<(), StageError> {
        let table = self.tables.get(number).ok_or_else(protocol)?;
        if batch >= table.batches() || selection(&columns, table.schema().len()).is_err() {
            return Err(protocol());
        }
        let guessed =
            self.ahead.take().filter(|ahead| ahead.table == number && ahead.batch == batch && ahead.columns == columns);
        let encoded = guessed.map_or_else(|| table.encoded(batch, &columns), |ahead| ahead.encoded);
        let encoded = encoded.map_err(|error| StageError::host("an input table could not be read", error))?;
        self.process.send(&self.watch, &ToWorker::Batch, &encoded)?;
        drop(encoded);
        if batch + 1 < table.batches() {
            let encoded = table.encoded(batch + 1, &columns);
            self.ahead = Some(Ahead { table: number, batch: batch + 1, columns, encoded });
        }
        Ok(())
    }

    /// Has a granted call answered. What was not granted is refused here, whatever the worker let pass.
    fn ask(&mut self, request: Request, body: Vec<u8>) -> Result<(), StageError> {
        let granted = self.granted.as_ref().ok_or_else(protocol)?;
        let capability = request.capability();
        if !granted.grants.capabilities().contains(&capability) {
            return Err(StageError::NotGranted { capability });
        }
        let watch = &self.watch;
        let answer = granted.outside.ask(&request, &body, &|| watch.over().is_some());
        if let Some(stopped) = self.watch.over() {
            return Err(stopped);
        }
        let answer = answer.map_err(|error| stage_error("a granted call could not be answered", error))?;
        let exchange = Exchange { request: request.without_secrets(), body, answer };
        self.observer.granted(&exchange);
        self.process.send(&self.watch, &ToWorker::Answer(exchange.answer.result), &exchange.answer.body)
    }

    fn begin(&mut self, output: usize, schema: Schema) -> Result<(), StageError> {
        let output = self.outputs.get_mut(output).filter(|output| output.schema.is_none()).ok_or_else(protocol)?;
        let failed = |error| StageError::host(format!("output `{}` could not be kept", output.name), error);
        output.sink.start(&schema).map_err(failed)?;
        output.schema = Some(schema);
        Ok(())
    }

    fn write(&mut self, output: usize, body: &[u8]) -> Result<(), StageError> {
        let output = self.outputs.get_mut(output).ok_or_else(protocol)?;
        let schema = output.schema.as_ref().ok_or_else(protocol)?;
        let what = format!("output `{}`", output.name);
        self.written = self.written.saturating_add(body.len() as u64);
        if self.written > self.limits.output_bytes {
            let limit = self.limits.output_bytes;
            return Err(StageError::OutputLimit {
                what: "the output tables together".to_owned(),
                limit,
                name: "limits.output".to_owned(),
            });
        }
        let batch = Batch::decode(body).map_err(|error| StageError::batch(&what, &error))?;
        batch.check(schema).map_err(|error| StageError::batch(&what, &error))?;
        let failed = |error| StageError::host(format!("{what} could not be kept"), error);
        output.sink.write(batch.canonical(schema)).map_err(failed)
    }

    fn task(&mut self, work: Work) -> Result<Task, StageError> {
        Ok(match work {
            Work::Prepare { inputs, outputs } => Task::Prepare {
                inputs: inputs.into_iter().map(|(name, table)| (name, self.table(table))).collect(),
                outputs: outputs.into_iter().map(|(name, sink)| (name.clone(), self.output(name, sink))).collect(),
            },
            Work::Fit { training } => Task::Fit { training: self.table(training) },
            Work::Transform { state, input, output } => Task::Transform {
                state: self.blob(&state)?,
                input: self.table(input),
                output: self.output("features".to_owned(), output),
            },
            Work::Train { training, validation } => {
                Task::Train { training: self.table(training), validation: validation.map(|table| self.table(table)) }
            }
            Work::Score { model, input, output } => Task::Score {
                model: self.model(model)?,
                input: self.table(input),
                output: self.output("scored".to_owned(), output),
            },
            Work::Evaluate { scored, model } => {
                Task::Evaluate { scored: self.table(scored), model: self.optional_model(model)? }
            }
            Work::Check { scored, model } => {
                Task::Check { scored: self.table(scored), model: self.optional_model(model)? }
            }
            Work::Validate { table } => Task::Validate { table: self.table(table) },
            Work::Observe { reference, current, model } => Task::Observe {
                reference: self.table(reference),
                current: self.table(current),
                model: self.optional_model(model)?,
            },
            Work::DescribeModel { model } => Task::DescribeModel { model: self.model(model)? },
            Work::Describe => Task::Describe,
        })
    }

    fn table(&mut self, table: Input) -> TableInfo {
        let info = TableInfo {
            number: self.tables.len(),
            schema: table.schema().clone(),
            rows: table.rows(),
            batches: table.batches(),
        };
        self.tables.push(table);
        info
    }

    fn output(&mut self, name: String, sink: Output) -> usize {
        self.outputs.push(Checked { name, sink, schema: None });
        self.outputs.len() - 1
    }

    fn blob(&mut self, bytes: &[u8]) -> Result<usize, StageError> {
        self.process.send(&self.watch, &ToWorker::Blob, bytes)?;
        self.blobs += 1;
        Ok(self.blobs - 1)
    }

    fn model(&mut self, parts: ModelParts) -> Result<ModelInfo, StageError> {
        let mut featurizers = Vec::new();
        for (component, state) in &parts.featurizers {
            featurizers.push((component.digest(), self.blob(state)?));
        }
        let predictor = (parts.predictor.0.digest(), self.blob(&parts.predictor.1)?);
        Ok(ModelInfo { featurizers, predictor, input: parts.input })
    }

    fn optional_model(&mut self, parts: Option<ModelParts>) -> Result<Option<ModelInfo>, StageError> {
        parts.map(|parts| self.model(parts)).transpose()
    }
}

/// What a limit means while a component is compiled or loaded.
fn explain(error: StageError) -> StageError {
    match error {
        StageError::TimedOut { seconds } => StageError::Compile(format!(
            "it takes longer than {seconds} s (`limits.compile-time` in stagewright.toml raises this)"
        )),
        StageError::MemoryLimit { limit } => StageError::Compile(format!(
            "it needs more than {} MiB (`limits.compile-memory` in stagewright.toml raises this)",
            limit >> 20
        )),
        StageError::WorkerDied(how) => StageError::Compile(format!("the compiler ended early: {how}")),
        other => other,
    }
}
