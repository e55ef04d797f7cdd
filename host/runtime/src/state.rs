//! What stands behind a guest's imports: the context, the tables it reads and writes, and the models it questions.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stagewright_core::{
    Batch, Schema,
    record::{Level, LogLine, MetricPoint},
};
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};

use crate::{
    bindings::{self, Failure, context, datasets, models, tables},
    error::{BoxError, StageError},
    grants::{self, Granted, Outside},
    job::{CancelToken, Input, Observer, Output},
    limits::{Budget, Guard, Journal, Limits, selection},
    model::Chain,
    recording::{self, HostCall},
    wasi::Virtual,
};

/// Longer messages are cut: one line must not be the whole log.
const LINE_BYTES: usize = 64 << 10;
/// Progress is for eyes.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// What all sandboxes of one job share.
pub(crate) struct Session {
    pub(crate) seed: u64,
    pub(crate) limits: Limits,
    pub(crate) budget: Arc<Budget>,
    pub(crate) journal: Mutex<Journal>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) cancel: CancelToken,
    /// What the stage's own component is granted. A model's parts never are.
    pub(crate) granted: Option<Granted>,
    /// Whether the observer hears of every call.
    pub(crate) record: bool,
    progress: Mutex<Option<Instant>>,
}

/// Cuts what would be too long to read.
pub(crate) fn short(mut message: String) -> String {
    if message.len() > LINE_BYTES {
        message.truncate(message.floor_char_boundary(LINE_BYTES));
        message.push('…');
    }
    message
}

impl Session {
    pub(crate) fn new(seed: u64, limits: Limits, observer: Arc<dyn Observer>, cancel: CancelToken) -> Self {
        let journal = Mutex::new(Journal::new(&limits));
        Self {
            seed,
            limits,
            budget: Arc::default(),
            journal,
            observer,
            cancel,
            granted: None,
            record: false,
            progress: Mutex::default(),
        }
    }

    pub(crate) fn log(&self, level: Level, message: String) {
        let line = LogLine { level, message: short(message) };
        if self.journal.lock().unwrap_or_else(PoisonError::into_inner).line(&line) {
            self.observer.log(&line);
        }
    }

    /// Tells the observer of a call, where it wants to hear of calls.
    pub(crate) fn note(&self, function: &str, asked: impl FnOnce() -> Value, answered: impl FnOnce() -> Value) {
        if self.record {
            self.observer.called(&HostCall { function: function.to_owned(), asked: asked(), answered: answered() });
        }
    }

    fn metric(&self, point: &MetricPoint) {
        if self.journal.lock().unwrap_or_else(PoisonError::into_inner).point(point) {
            self.observer.metric(point);
        }
    }

    fn progress(&self, done: u64, total: u64) {
        let mut last = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= PROGRESS_EVERY) {
            *last = Some(Instant::now());
            self.observer.progress(done, total);
        }
    }
}

/// The host's side of one sandbox.
pub(crate) struct State {
    pub(crate) session: Arc<Session>,
    pub(crate) guard: Guard,
    pub(crate) handles: ResourceTable,
    pub(crate) wasi: Virtual,
    /// Who answers granted calls; none where nothing is granted.
    pub(crate) outside: Option<Arc<dyn Outside>>,
    /// Why the host ended the guest: the trap that it then sees says less.
    pub(crate) stopped: Option<StageError>,
    /// What a call may take, where the engine counts fuel.
    pub(crate) time: Duration,
}

impl State {
    pub(crate) fn new(session: &Arc<Session>, outside: Option<Arc<dyn Outside>>) -> Self {
        let guard = Guard::new(Arc::clone(&session.budget), session.limits.memory_bytes);
        let wasi = Virtual::new(session.seed);
        let (session, handles, time) = (Arc::clone(session), ResourceTable::new(), session.limits.time);
        Self { session, guard, handles, wasi, outside, stopped: None, time }
    }

    /// Tells the observer of a call, where it wants to hear of calls.
    pub(crate) fn note(&self, function: &str, asked: impl FnOnce() -> Value, answered: impl FnOnce() -> Value) {
        self.session.note(function, asked, answered);
    }

    /// Ends the guest.
    pub(crate) fn stop<T>(&mut self, error: StageError) -> wasmtime::Result<T> {
        let message = error.to_string();
        self.stopped.get_or_insert(error);
        Err(wasmtime::Error::msg(message))
    }
}

/// Gives guests everything of the contract.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    tables::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    bindings::stagewright::stage::failures::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    context::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    datasets::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    models::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    grants::add_to_linker(linker)
}

impl tables::Host for State {}
impl bindings::stagewright::stage::failures::Host for State {}
impl bindings::reports::Host for State {}
impl datasets::Host for State {}
impl models::Host for State {}

impl context::Host for State {
    fn log(&mut self, level: context::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            context::Level::Debug => Level::Debug,
            context::Level::Info => Level::Info,
            context::Level::Warn => Level::Warn,
            context::Level::Error => Level::Error,
        };
        self.note("context.log", || json!({ "level": level, "message": short(message.clone()) }), || Value::Null);
        self.session.log(level, message);
        Ok(())
    }

    fn progress(&mut self, done: u64, total: u64) -> wasmtime::Result<()> {
        self.note("context.progress", || json!({ "done": done, "total": total }), || Value::Null);
        self.session.progress(done, total);
        Ok(())
    }

    fn metric(&mut self, name: String, step: u64, value: f64) -> wasmtime::Result<()> {
        let value = Some(value).filter(|value| value.is_finite());
        let point = MetricPoint { name: short(name), step, value };
        self.note("context.metric", || json!(point), || Value::Null);
        self.session.metric(&point);
        Ok(())
    }

    fn seed(&mut self) -> wasmtime::Result<u64> {
        self.note("context.seed", || Value::Null, || json!(self.session.seed));
        Ok(self.session.seed)
    }

    fn cancelled(&mut self) -> wasmtime::Result<bool> {
        let cancelled = self.session.cancel.is_cancelled();
        self.note("context.cancelled", || Value::Null, || json!(cancelled));
        Ok(cancelled)
    }
}

/// A table on its way into a guest.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ReaderHandle {
    name: String,
    table: Input,
    /// The next row to hand out: its batch and its place in that.
    batch: usize,
    row: usize,
    /// The batch at hand, and of which columns.
    current: Option<(Vec<usize>, Batch)>,
}

impl ReaderHandle {
    pub(crate) fn new(name: String, table: Input) -> Self {
        Self { name, table, batch: 0, row: 0, current: None }
    }

    fn next(&mut self, columns: &[u32], most: usize) -> Result<Option<Batch>, ReadError> {
        let schema = self.table.schema();
        let columns: Vec<usize> = columns.iter().map(|column| *column as usize).collect();
        selection(&columns, schema.len()).map_err(ReadError::Guest)?;
        if most == 0 {
            return Err(ReadError::Guest("`max-rows` must be at least 1".to_owned()));
        }
        loop {
            let current = match self.current.take() {
                Some((of, batch)) if of == columns => batch,
                _ if self.batch >= self.table.batches() => return Ok(None),
                _ => self.table.columns(self.batch, &columns).map_err(ReadError::Host)?,
            };
            let rows = current.rows as usize;
            if self.row >= rows {
                (self.batch, self.row) = (self.batch + 1, 0);
                continue;
            }
            let end = rows.min(self.row.saturating_add(most));
            if (self.row, end) == (0, rows) {
                self.batch += 1;
                return Ok(Some(current));
            }
            let part = current.slice(&selected(self.table.schema(), &columns), self.row..end);
            if end == rows {
                (self.batch, self.row) = (self.batch + 1, 0);
            } else {
                self.row = end;
                self.current = Some((columns, current));
            }
            return Ok(Some(part));
        }
    }
}

fn selected(schema: &Schema, columns: &[usize]) -> Schema {
    if columns.is_empty() {
        return schema.clone();
    }
    let fields = columns.iter().map(|column| schema.fields()[*column].clone());
    Schema::new(fields.collect()).expect("no column is selected twice")
}

enum ReadError {
    Guest(String),
    Host(BoxError),
}

impl datasets::HostReader for State {
    fn schema(&mut self, reader: Resource<ReaderHandle>) -> wasmtime::Result<Vec<tables::Field>> {
        let reader = self.handles.get(&reader)?;
        let asked = || json!({ "reader": reader.name });
        self.note("reader.schema", asked, || json!(reader.table.schema()));
        Ok(bindings::fields(reader.table.schema()))
    }

    fn rows(&mut self, reader: Resource<ReaderHandle>) -> wasmtime::Result<u64> {
        let reader = self.handles.get(&reader)?;
        let rows = reader.table.rows();
        self.note("reader.rows", || json!({ "reader": reader.name }), || json!(rows));
        Ok(rows)
    }

    fn next(
        &mut self,
        reader: Resource<ReaderHandle>,
        columns: Vec<u32>,
        max_rows: u32,
    ) -> wasmtime::Result<Result<Option<tables::Batch>, Failure>> {
        let next = self.handles.get_mut(&reader)?.next(&columns, max_rows as usize);
        let reader = self.handles.get(&reader)?;
        let asked = || json!({ "reader": reader.name, "columns": columns, "max-rows": max_rows });
        self.note("reader.next", asked, || match &next {
            Ok(batch) => batch.as_ref().map_or(Value::Null, recording::batch),
            Err(ReadError::Guest(message)) => json!({ "failure": message }),
            Err(ReadError::Host(error)) => json!({ "stopped": error.to_string() }),
        });
        match next {
            Ok(batch) => Ok(Ok(batch.map(Into::into))),
            Err(ReadError::Guest(message)) => Ok(Err(Failure::Internal(message))),
            Err(ReadError::Host(error)) => self.stop(stage_error("an input table could not be read", error)),
        }
    }

    fn rewind(&mut self, reader: Resource<ReaderHandle>) -> wasmtime::Result<()> {
        let reader = self.handles.get_mut(&reader)?;
        (reader.batch, reader.row, reader.current) = (0, 0, None);
        let name = reader.name.clone();
        self.note("reader.rewind", || json!({ "reader": name }), || Value::Null);
        Ok(())
    }

    fn drop(&mut self, reader: Resource<ReaderHandle>) -> wasmtime::Result<()> {
        self.handles.delete(reader)?;
        Ok(())
    }
}

/// A table on its way out of a guest.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct WriterHandle {
    name: String,
    sink: Output,
    started: Arc<AtomicBool>,
}

impl WriterHandle {
    pub(crate) fn new(name: String, sink: Output, started: Arc<AtomicBool>) -> Self {
        Self { name, sink, started }
    }
}

impl datasets::HostWriter for State {
    fn start(
        &mut self,
        writer: Resource<WriterHandle>,
        schema: Vec<tables::Field>,
    ) -> wasmtime::Result<Result<(), Failure>> {
        let writer = self.handles.get_mut(&writer)?;
        let what = format!("output `{}`", writer.name);
        let result = bindings::schema(schema, &what).and_then(|schema| {
            if writer.started.swap(true, Ordering::Relaxed) {
                return Err(StageError::bad_output(&what, "`start` was called twice"));
            }
            writer.sink.start(&schema).map_err(|error| stage_error(&format!("{what} could not be kept"), error))?;
            Ok(schema)
        });
        let name = writer.name.clone();
        let result = result
            .map(|schema| self.note("writer.start", || json!({ "writer": name, "columns": schema }), || Value::Null));
        result.map_or_else(|error| self.stop(error), |()| Ok(Ok(())))
    }

    fn write(&mut self, writer: Resource<WriterHandle>, rows: tables::Batch) -> wasmtime::Result<Result<(), Failure>> {
        let writer = self.handles.get_mut(&writer)?;
        let what = format!("output `{}`", writer.name);
        let result = match writer.started.load(Ordering::Relaxed) {
            false => Err(StageError::bad_output(&what, "`write` was called before `start`")),
            true => {
                let rows = Batch::from(rows);
                let noted = self.session.record.then(|| recording::batch(&rows));
                let written = writer.sink.write(rows);
                if let Some(rows) = noted {
                    let name = writer.name.clone();
                    self.note("writer.write", || json!({ "writer": name, "rows": rows }), || Value::Null);
                }
                written.map_err(|error| stage_error(&format!("{what} could not be kept"), error))
            }
        };
        result.map_or_else(|error| self.stop(error), |()| Ok(Ok(())))
    }

    fn drop(&mut self, writer: Resource<WriterHandle>) -> wasmtime::Result<()> {
        self.handles.delete(writer)?;
        Ok(())
    }
}

/// Our own errors pass through the embedder's traits as they are.
pub(crate) fn stage_error(what: &str, error: BoxError) -> StageError {
    match error.downcast::<StageError>() {
        Ok(error) => *error,
        Err(error) => StageError::host(what, error),
    }
}

/// A model that a guest questions.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ModelHandle(pub(crate) Chain);

impl models::HostModel for State {
    fn input(&mut self, model: Resource<ModelHandle>) -> wasmtime::Result<Vec<tables::Field>> {
        let input = self.handles.get(&model)?.0.input();
        self.note("model.input", || Value::Null, || json!(input));
        Ok(bindings::fields(input))
    }

    fn schema(&mut self, model: Resource<ModelHandle>) -> wasmtime::Result<Vec<tables::Field>> {
        let output = self.handles.get(&model)?.0.output();
        self.note("model.schema", || Value::Null, || json!(output));
        Ok(bindings::fields(output))
    }

    fn predict(
        &mut self,
        model: Resource<ModelHandle>,
        rows: tables::Batch,
    ) -> wasmtime::Result<Result<tables::Batch, Failure>> {
        let chain = &mut self.handles.get_mut(&model)?.0;
        let rows = Batch::from(rows);
        if let Err(error) = rows.check(chain.input()) {
            let message = format!("the rows do not fit the model's input: {error}");
            self.note("model.predict", || recording::batch(&rows), || json!({ "failure": message }));
            return Ok(Err(Failure::InvalidData(message)));
        }
        let asked = self.session.record.then(|| recording::batch(&rows));
        let (_, predicted) = chain.predict(rows);
        self.note(
            "model.predict",
            || json!(asked),
            || match &predicted {
                Ok(predictions) => recording::batch(predictions),
                Err(error) => json!({ "failure": error.to_string() }),
            },
        );
        match predicted {
            Ok(predictions) => Ok(Ok(predictions.into())),
            Err(StageError::Failed { kind, message }) => Ok(Err(match kind {
                crate::FailureKind::InvalidParameter => Failure::InvalidParameter(message),
                crate::FailureKind::InvalidData => Failure::InvalidData(message),
                crate::FailureKind::InvalidState => Failure::InvalidState(message),
                crate::FailureKind::Internal => Failure::Internal(message),
            })),
            Err(error) => self.stop(error),
        }
    }

    fn drop(&mut self, model: Resource<ModelHandle>) -> wasmtime::Result<()> {
        self.handles.delete(model)?;
        Ok(())
    }
}
