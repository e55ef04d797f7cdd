//! The worker's side: does what its parent says until its parent closes the pipe.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::fd::AsFd,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver},
    },
    thread,
};

use rustix::thread::disable_transparent_huge_pages;
use stagewright_core::{
    Batch, Digest, Schema,
    record::{LogLine, MetricPoint},
    stage::Profile,
};

use super::frame::{Answer, Done, FromWorker, ModelInfo, Order, TableInfo, Task, ToWorker, receive, send};
use crate::{
    BoxError, CancelToken, Component, Input, ModelParts, Observer, Output, StageError, Table, TableSink, Value, Work,
    compiled,
    engine::{Flavour, engine},
    grants::{self, Granted, Outside, Request},
    limits::THREAD_STACK_BYTES,
    recording::HostCall,
    run::{self, Components},
    sandbox::Loaded,
    state::Session,
};

/// Serves as a worker on standard input and output until the parent closes them.
///
/// # Errors
/// The parent's pipe broke, or what came through it was not a parent's.
pub fn serve() -> io::Result<()> {
    // A batch stage goes through whole tables, which huge pages make a tenth faster; the parent may have none.
    let _ = disable_transparent_huge_pages(false);
    // Guests run on a thread whose stack is far larger than theirs.
    let thread = thread::Builder::new().name("stage".to_owned()).stack_size(THREAD_STACK_BYTES);
    let served = thread.spawn(|| {
        // The pipes themselves: the standard library's would look for the ends of lines in what is no text.
        let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        // Nearly every order needs it, and the parent is still busy with making up its mind.
        engine(Flavour::Batch, Profile::default()).map_err(io::Error::other)?;
        let input = Mutex::new(Source::Pipe(input));
        let pipe = Pipe { input, output: Mutex::new(output), ahead: Mutex::default() };
        Worker { pipe: Arc::new(pipe), loaded: BTreeMap::new(), blobs: Vec::new() }.serve()
    })?;
    served.join().unwrap_or_else(|_| Err(io::Error::other("the worker's thread panicked")))
}

/// The parent is trusted, so that bodies may have any length.
const ANY: u64 = u64::MAX;

struct Pipe {
    input: Mutex<Source>,
    output: Mutex<File>,
    /// A batch that was asked for before the guest did and that is on its way, or here already.
    ahead: Mutex<Option<Wanted>>,
}

/// Where messages come from.
enum Source {
    Pipe(File),
    /// A thread that takes them from the pipe. So the parent, which sends a batch while the guest is busy with the one
    /// before, never has to wait, and can always be told something.
    Thread(Receiver<io::Result<Received>>),
}

type Received = (ToWorker, Vec<u8>);

/// A batch of a table, by their numbers, and some of its columns.
#[derive(Clone, PartialEq, Eq)]
struct Wanted {
    table: usize,
    batch: usize,
    columns: Vec<usize>,
}

impl Pipe {
    fn receive(&self) -> io::Result<Received> {
        match &mut *lock(&self.input) {
            Source::Pipe(input) => receive(input, ANY),
            Source::Thread(received) => received.recv().unwrap_or_else(|_| Err(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn send(&self, message: &FromWorker, body: &[u8]) -> io::Result<()> {
        send(&mut *lock(&self.output), message, body)
    }

    /// A batch of a table that has so many. The one behind it, if there is one, is asked for too.
    fn batch(&self, wanted: Wanted, batches: usize) -> io::Result<Vec<u8>> {
        let ahead = lock(&self.ahead).take();
        if ahead.as_ref() != Some(&wanted) {
            if ahead.is_some() {
                self.receive_batch()?;
            }
            self.ask(&wanted)?;
        }
        let body = self.receive_batch()?;
        let next = Wanted { batch: wanted.batch + 1, ..wanted };
        if next.batch < batches {
            self.receive_elsewhere()?;
            self.ask(&next)?;
            *lock(&self.ahead) = Some(next);
        }
        Ok(body)
    }

    fn ask(&self, Wanted { table, batch, columns }: &Wanted) -> io::Result<()> {
        self.send(&FromWorker::Read { table: *table, batch: *batch, columns: columns.clone() }, &[])
    }

    /// An answer to anything else than a batch. A batch that was asked for ahead comes before it.
    fn receive_answer(&self) -> io::Result<Received> {
        if lock(&self.ahead).take().is_some() {
            self.receive_batch()?;
        }
        self.receive()
    }

    fn receive_batch(&self) -> io::Result<Vec<u8>> {
        match self.receive()? {
            (ToWorker::Batch, body) => Ok(body),
            _ => Err(io::Error::other("the parent answered something else")),
        }
    }

    fn receive_elsewhere(&self) -> io::Result<()> {
        let mut source = lock(&self.input);
        if let Source::Pipe(input) = &*source {
            let mut input = input.try_clone()?;
            // One message is taken in advance; what comes behind it waits in the pipe.
            let (taken, received) = mpsc::sync_channel(1);
            thread::Builder::new().name("receive".to_owned()).spawn(move || {
                loop {
                    let message = receive(&mut input, ANY);
                    let is_last = message.is_err();
                    if taken.send(message).is_err() || is_last {
                        return;
                    }
                }
            })?;
            *source = Source::Thread(received);
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Worker {
    pipe: Arc<Pipe>,
    loaded: BTreeMap<(Digest, Profile), Arc<Loaded>>,
    blobs: Vec<Arc<[u8]>>,
}

impl Worker {
    fn serve(mut self) -> io::Result<()> {
        loop {
            let (message, body) = match self.pipe.receive_answer() {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                received => received?,
            };
            match message {
                ToWorker::Compile { flavour, profile, key } => {
                    let engine = engine(flavour, profile).map_err(io::Error::other)?;
                    match compiled::compile(&engine, &body, &key) {
                        Ok(code) => self.pipe.send(&FromWorker::Compiled, &code)?,
                        Err(error) => self.pipe.send(&FromWorker::NotCompiled(format!("{error:#}")), &[])?,
                    }
                }
                ToWorker::Load { digest, profile, key, path } => {
                    let usable = self.load((digest, profile), &key, path.as_deref(), &body)?;
                    self.pipe.send(&FromWorker::Loaded { usable }, &[])?;
                }
                ToWorker::Blob => self.blobs.push(body.into()),
                ToWorker::Run(order) => self.run(*order)?,
                ToWorker::Batch | ToWorker::Answer(_) => {
                    return Err(io::Error::other("an answer that was not asked for"));
                }
            }
        }
    }

    fn load(&mut self, of: (Digest, Profile), key: &str, path: Option<&str>, code: &[u8]) -> io::Result<bool> {
        if self.loaded.contains_key(&of) {
            return Ok(true);
        }
        let engine = engine(Flavour::Batch, of.1).map_err(io::Error::other)?;
        let component = match path {
            Some(path) => compiled::load_file(&engine, Path::new(path), key),
            None => compiled::load_bytes(&engine, code, key),
        };
        let loaded = component.and_then(|component| Loaded::new(&engine, &component).ok());
        let usable = loaded.is_some();
        self.loaded.extend(loaded.map(|loaded| (of, Arc::new(loaded))));
        Ok(usable)
    }

    fn run(&mut self, order: Order) -> io::Result<()> {
        let blobs = std::mem::take(&mut self.blobs);
        let observer: Arc<dyn Observer> = Arc::new(Teller(Arc::clone(&self.pipe)));
        // Whoever cancels kills this process, so that nothing in it has to look.
        let mut session = Session::new(order.seed, order.limits, observer, CancelToken::new());
        session.granted = order.grants.map(|grants| {
            let outside = Arc::new(RemoteOutside { pipe: Arc::clone(&self.pipe) });
            Granted { grants, outside }
        });
        session.record = order.record;
        let session = Arc::new(session);
        let shelf = Shelf { loaded: &self.loaded, profile: order.profile };
        let work = Hands { pipe: &self.pipe, blobs: &blobs }.work(order.work);
        let result =
            work.ok_or_else(|| StageError::WorkerDied("an order with wrong numbers".to_owned())).and_then(|work| {
                run::execute(&session, &shelf, &Component::known(order.component), work, &order.parameters)
            });
        let (result, body) = match result {
            Ok(Value::Tables) => (Ok(Answer::Tables), Vec::new()),
            Ok(Value::Bytes(bytes)) => (Ok(Answer::Bytes), bytes),
            Ok(Value::Report(report)) => (Ok(Answer::Report), serde_json::to_vec(&report)?),
            Ok(Value::Columns(columns)) => (Ok(Answer::Columns(columns)), Vec::new()),
            Ok(Value::Stages(stages)) => (Ok(Answer::Stages), serde_json::to_vec(&stages)?),
            Err(StageError::Host { what, source }) => {
                (Err(StageError::WorkerDied(format!("{what}: {source}"))), Vec::new())
            }
            Err(error) => (Err(error), Vec::new()),
        };
        let result =
            result.and_then(|answer| run::within("the value", body.len(), session.limits.value_bytes).map(|()| answer));
        let body = if result.is_ok() { body } else { Vec::new() };
        let journal = session.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let done = Done {
            result,
            peak_memory: session.budget.peak(),
            dropped_lines: journal.log.dropped_lines,
            dropped_points: journal.log.dropped_points,
        };
        self.pipe.send(&FromWorker::Done(Box::new(done)), &body)
    }
}

struct Shelf<'a> {
    loaded: &'a BTreeMap<(Digest, Profile), Arc<Loaded>>,
    profile: Profile,
}

impl Components for Shelf<'_> {
    fn get(&self, component: &Component) -> Result<Arc<Loaded>, StageError> {
        let loaded = self.loaded.get(&(component.digest(), self.profile));
        loaded.cloned().ok_or_else(|| StageError::WorkerDied("a component was not loaded".to_owned()))
    }
}

/// Turns numbers back into things.
struct Hands<'a> {
    pipe: &'a Arc<Pipe>,
    blobs: &'a [Arc<[u8]>],
}

impl Hands<'_> {
    fn work(&self, task: Task) -> Option<Work> {
        Some(match task {
            Task::Prepare { inputs, outputs } => Work::Prepare {
                inputs: inputs.into_iter().map(|(name, table)| (name, self.table(table))).collect(),
                outputs: outputs.into_iter().map(|(name, output)| (name, self.sink(output))).collect(),
            },
            Task::Fit { training } => Work::Fit { training: self.table(training) },
            Task::Transform { state, input, output } => {
                Work::Transform { state: self.blob(state)?, input: self.table(input), output: self.sink(output) }
            }
            Task::Train { training, validation } => {
                Work::Train { training: self.table(training), validation: validation.map(|table| self.table(table)) }
            }
            Task::Score { model, input, output } => {
                Work::Score { model: self.model(model)?, input: self.table(input), output: self.sink(output) }
            }
            Task::Evaluate { scored, model } => {
                Work::Evaluate { scored: self.table(scored), model: self.optional_model(model)? }
            }
            Task::Check { scored, model } => {
                Work::Check { scored: self.table(scored), model: self.optional_model(model)? }
            }
            Task::Validate { table } => Work::Validate { table: self.table(table) },
            Task::Observe { reference, current, model } => Work::Observe {
                reference: self.table(reference),
                current: self.table(current),
                model: self.optional_model(model)?,
            },
            Task::DescribeModel { model } => Work::DescribeModel { model: self.model(model)? },
            Task::Describe => Work::Describe,
        })
    }

    fn table(&self, info: TableInfo) -> Input {
        Arc::new(RemoteTable { pipe: Arc::clone(self.pipe), info })
    }

    fn sink(&self, number: usize) -> Output {
        Box::new(RemoteSink { pipe: Arc::clone(self.pipe), number })
    }

    fn blob(&self, number: usize) -> Option<Arc<[u8]>> {
        self.blobs.get(number).cloned()
    }

    fn model(&self, info: ModelInfo) -> Option<ModelParts> {
        let part = |(digest, blob): (Digest, usize)| Some((Component::known(digest), self.blob(blob)?));
        Some(ModelParts {
            featurizers: info.featurizers.into_iter().map(part).collect::<Option<_>>()?,
            predictor: part(info.predictor)?,
            input: info.input,
        })
    }

    #[expect(clippy::option_option, reason = "no model is fine, a model with a missing part is not")]
    fn optional_model(&self, info: Option<ModelInfo>) -> Option<Option<ModelParts>> {
        info.map_or(Some(None), |info| self.model(info).map(Some))
    }
}

struct RemoteTable {
    pipe: Arc<Pipe>,
    info: TableInfo,
}

impl Table for RemoteTable {
    fn schema(&self) -> &Schema {
        &self.info.schema
    }

    fn rows(&self) -> u64 {
        self.info.rows
    }

    fn batches(&self) -> usize {
        self.info.batches
    }

    fn batch(&self, index: usize) -> Result<Batch, BoxError> {
        self.columns(index, &[])
    }

    fn columns(&self, index: usize, columns: &[usize]) -> Result<Batch, BoxError> {
        let wanted = Wanted { table: self.info.number, batch: index, columns: columns.to_vec() };
        let batch = Batch::decode(&self.pipe.batch(wanted, self.info.batches)?)?;
        // Whole batches come as they were stored; of others the parent had to look at each column.
        if columns.is_empty() || columns.iter().copied().eq(0..self.info.schema.len()) {
            batch.check(&self.info.schema)?;
        }
        Ok(batch)
    }
}

/// Passes granted calls on: this process can do nothing itself.
struct RemoteOutside {
    pipe: Arc<Pipe>,
}

impl Outside for RemoteOutside {
    fn ask(&self, request: &Request, body: &[u8], _: &dyn Fn() -> bool) -> Result<grants::Answer, BoxError> {
        self.pipe.send(&FromWorker::Ask(request.clone()), body)?;
        match self.pipe.receive_answer()? {
            (ToWorker::Answer(result), body) => Ok(grants::Answer { result, body }),
            _ => Err("the parent answered something else".into()),
        }
    }
}

/// Sends what a guest writes as it is: the parent checks it, and must, whatever this process did.
struct RemoteSink {
    pipe: Arc<Pipe>,
    number: usize,
}

impl TableSink for RemoteSink {
    fn start(&mut self, schema: &Schema) -> Result<(), BoxError> {
        Ok(self.pipe.send(&FromWorker::Start { output: self.number, schema: schema.clone() }, &[])?)
    }

    fn write(&mut self, batch: Batch) -> Result<(), BoxError> {
        Ok(self.pipe.send(&FromWorker::Write { output: self.number }, &batch.encode())?)
    }
}

/// Tells the parent what the stage says. A pipe that broke ends this process soon enough.
struct Teller(Arc<Pipe>);

impl Observer for Teller {
    fn progress(&self, done: u64, total: u64) {
        let _ = self.0.send(&FromWorker::Progress { done, total }, &[]);
    }

    fn log(&self, line: &LogLine) {
        let _ = self.0.send(&FromWorker::Log(line.clone()), &[]);
    }

    fn metric(&self, point: &MetricPoint) {
        let _ = self.0.send(&FromWorker::Metric(point.clone()), &[]);
    }

    fn called(&self, call: &HostCall) {
        let _ = self.0.send(&FromWorker::Called(call.clone()), &[]);
    }
}
