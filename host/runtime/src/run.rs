//! Does a job in this process. A worker calls it, and so does whoever serves small calls.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Value as Json, json};
use stagewright_core::{Digest, Schema, canonical};
use wasmtime::component::Resource;

use crate::{
    bindings::{self, exported, reports},
    error::StageError,
    job::{Columns, Component, Input, ModelParts, Output, Value, Work},
    model::{Applied, Chain},
    recording,
    sandbox::{Loaded, Sandbox},
    state::{ModelHandle, ReaderHandle, Session, WriterHandle, stage_error},
};

/// Where loaded components come from.
pub(crate) trait Components {
    fn get(&self, component: &Component) -> Result<Arc<Loaded>, StageError>;
}

/// Does the work.
pub(crate) fn execute(
    session: &Arc<Session>,
    components: &dyn Components,
    component: &Component,
    work: Work,
    parameters: &str,
) -> Result<Value, StageError> {
    let value = value(session, components, component, work, parameters)?;
    session.note(
        "returned",
        || Json::Null,
        || match &value {
            Value::Tables => Json::Null,
            Value::Bytes(bytes) => json!({ "bytes": bytes.len(), "digest": Digest::of(bytes) }),
            Value::Report(report) => json!({ "report": canonical::digest(report) }),
            Value::Columns(columns) => json!(columns),
            Value::Stages(stages) => json!(stages),
        },
    );
    Ok(value)
}

fn value(
    session: &Arc<Session>,
    components: &dyn Components,
    component: &Component,
    work: Work,
    parameters: &str,
) -> Result<Value, StageError> {
    let stage = || Stage::new(session, components, component);
    match work {
        Work::Prepare { inputs, outputs } => stage()?.prepare(inputs, outputs, parameters),
        Work::Fit { training } => stage()?.fit(training, parameters),
        Work::Train { training, validation } => stage()?.train(training, validation, parameters),
        Work::Evaluate { scored, model } => stage()?.evaluate(scored, model, parameters),
        Work::Check { scored, model } => stage()?.check(scored, model, parameters),
        Work::Validate { table } => stage()?.validate(table, parameters),
        Work::Observe { reference, current, model } => stage()?.observe(reference, current, model, parameters),
        Work::Describe => Stage::pure(session, components, component)?.describe(),
        Work::Transform { state, input, output } => {
            let loaded = components.get(component)?;
            let mut features = Applied::features(session, &loaded, &state, input.schema())?;
            let columns = Columns { input: features.input().clone(), output: features.output().clone() };
            let mut sink = Kept::start(session, output, &columns.output)?;
            for index in 0..input.batches() {
                let batch = features.apply(read(&input, index)?).1?;
                sink.write(batch)?;
            }
            Ok(Value::Columns(columns))
        }
        Work::Score { model, input, output } => {
            let mut chain = Chain::load(session, components, &model, input.schema())?;
            let columns = Columns { input: chain.input().clone(), output: chain.output().clone() };
            let mut sink = Kept::start(session, output, &scored(input.schema(), chain.output())?)?;
            for index in 0..input.batches() {
                let (mut rows, predictions) = chain.predict(read(&input, index)?);
                rows.columns.extend(predictions?.columns);
                sink.write(rows)?;
            }
            Ok(Value::Columns(columns))
        }
        Work::DescribeModel { model } => {
            let chain = Chain::load_to_serve(session, components, &model)?;
            Ok(Value::Columns(Columns { input: chain.input().clone(), output: chain.output().clone() }))
        }
    }
}

/// The rows' columns and the predictions' behind them.
fn scored(rows: &Schema, predictions: &Schema) -> Result<Schema, StageError> {
    if let Some(both) = predictions.fields().iter().find(|field| rows.index_of(&field.name).is_some()) {
        let problem =
            format!("the rows already have a column `{}`: rename or drop it before the model is applied", both.name);
        return Err(StageError::bad_output("schema of the predictions", problem));
    }
    let fields = rows.fields().iter().chain(predictions.fields()).cloned().collect();
    Schema::new(fields).map_err(|error| StageError::batch("schema of the predictions", &error))
}

fn read(input: &Input, index: usize) -> Result<stagewright_core::Batch, StageError> {
    input.batch(index).map_err(|error| stage_error("an input table could not be read", error))
}

/// An output that the host itself writes.
struct Kept<'a> {
    session: &'a Session,
    output: Output,
}

impl<'a> Kept<'a> {
    const WHAT: &'static str = "the output table could not be kept";

    fn start(session: &'a Session, mut output: Output, schema: &Schema) -> Result<Self, StageError> {
        output.start(schema).map_err(|error| stage_error(Self::WHAT, error))?;
        Ok(Self { session, output })
    }

    fn write(&mut self, batch: stagewright_core::Batch) -> Result<(), StageError> {
        self.session.note("applied", || Json::Null, || recording::batch(&batch));
        self.output.write(batch).map_err(|error| stage_error(Self::WHAT, error))
    }
}

/// Instantiates the component, finds one of its stages, and calls it: `call!(self, evaluator, call_evaluate, ..)`.
macro_rules! call {
    ($stage:expr, $interface:ident, $function:ident, $($argument:expr),*) => {{
        let Stage { sandbox, .. } = &mut $stage;
        let pre = sandbox.loaded.pre.clone();
        let guest = sandbox.call(|store, instance| {
            exported::$interface::GuestIndices::new(&pre)?.load(store, instance)
        })?;
        sandbox.call(|store, _| guest.$function(store, $($argument),*))
    }};
}

struct Stage<'a> {
    session: &'a Arc<Session>,
    components: &'a dyn Components,
    sandbox: Sandbox,
}

impl<'a> Stage<'a> {
    fn new(
        session: &'a Arc<Session>,
        components: &'a dyn Components,
        component: &Component,
    ) -> Result<Self, StageError> {
        let sandbox = Sandbox::granted(session, &components.get(component)?)?;
        Ok(Self { session, components, sandbox })
    }

    /// A stage that needs no grants to say what it is.
    fn pure(
        session: &'a Arc<Session>,
        components: &'a dyn Components,
        component: &Component,
    ) -> Result<Self, StageError> {
        let sandbox = Sandbox::new(session, &components.get(component)?)?;
        Ok(Self { session, components, sandbox })
    }

    fn reader(&mut self, name: &str, table: Input) -> Result<Resource<ReaderHandle>, StageError> {
        self.push(ReaderHandle::new(name.to_owned(), table))
    }

    fn model(&mut self, parts: Option<ModelParts>) -> Result<Option<Resource<ModelHandle>>, StageError> {
        let Some(parts) = parts else { return Ok(None) };
        let chain = Chain::load_to_serve(self.session, self.components, &parts)?;
        self.push(ModelHandle(chain)).map(Some)
    }

    fn push<T: Send + 'static>(&mut self, handle: T) -> Result<Resource<T>, StageError> {
        let pushed = self.sandbox.store.data_mut().handles.push(handle);
        pushed.map_err(|error| StageError::host("a handle could not be made", error))
    }

    fn prepare(
        mut self,
        inputs: Vec<(String, Input)>,
        outputs: Vec<(String, Output)>,
        parameters: &str,
    ) -> Result<Value, StageError> {
        let mut tables = Vec::new();
        for (name, table) in inputs {
            tables.push(exported::preprocessor::Input { table: self.reader(&name, table)?, name });
        }
        let (mut written, mut started) = (Vec::new(), Vec::new());
        for (name, sink) in outputs {
            let start = Arc::new(AtomicBool::new(false));
            started.push((name.clone(), Arc::clone(&start)));
            let table = self.push(WriterHandle::new(name.clone(), sink, start))?;
            written.push(exported::preprocessor::Output { name, table });
        }
        call!(self, preprocessor, call_prepare, &tables, &written, parameters)??;
        match started.iter().find(|(_, start)| !start.load(Ordering::Relaxed)) {
            Some((name, _)) => {
                Err(StageError::bad_output(format!("output `{name}`"), "the stage ended without calling `start` on it"))
            }
            None => Ok(Value::Tables),
        }
    }

    fn fit(mut self, training: Input, parameters: &str) -> Result<Value, StageError> {
        let training = self.reader("training", training)?;
        let state = call!(self, featurizer, call_fit, training, parameters)??;
        self.bytes("the state", state)
    }

    fn train(mut self, training: Input, validation: Option<Input>, parameters: &str) -> Result<Value, StageError> {
        let training = self.reader("training", training)?;
        let validation = validation.map(|table| self.reader("validation", table)).transpose()?;
        let weights = call!(self, trainer, call_train, training, validation, parameters)??;
        self.bytes("the weights", weights)
    }

    fn evaluate(mut self, scored: Input, model: Option<ModelParts>, parameters: &str) -> Result<Value, StageError> {
        let (scored, model) = (self.reader("scored", scored)?, self.model(model)?);
        let report = call!(self, evaluator, call_evaluate, scored, model, parameters)??;
        self.report(report)
    }

    fn check(mut self, scored: Input, model: Option<ModelParts>, parameters: &str) -> Result<Value, StageError> {
        let (scored, model) = (self.reader("scored", scored)?, self.model(model)?);
        let report = call!(self, fairness_checker, call_check, scored, model, parameters)??;
        self.report(report)
    }

    fn validate(mut self, table: Input, parameters: &str) -> Result<Value, StageError> {
        let table = self.reader("table", table)?;
        let report = call!(self, validator, call_validate, table, parameters)??;
        self.report(report)
    }

    fn observe(
        mut self,
        reference: Input,
        current: Input,
        model: Option<ModelParts>,
        parameters: &str,
    ) -> Result<Value, StageError> {
        let (reference, current) = (self.reader("reference", reference)?, self.reader("current", current)?);
        let model = self.model(model)?;
        let report = call!(self, monitor, call_observe, reference, current, model, parameters)??;
        self.report(report)
    }

    fn describe(mut self) -> Result<Value, StageError> {
        let stages = call!(self, plugin, call_describe,)?;
        Ok(Value::Stages(stages.into_iter().map(bindings::stage_info).collect::<Result<_, _>>()?))
    }

    fn bytes(&self, what: &str, bytes: Vec<u8>) -> Result<Value, StageError> {
        within(what, bytes.len(), self.session.limits.value_bytes)?;
        Ok(Value::Bytes(bytes))
    }

    fn report(&self, report: reports::Report) -> Result<Value, StageError> {
        Ok(Value::Report(bindings::report(report)?))
    }
}

pub(crate) fn within(what: &str, bytes: usize, limit: u64) -> Result<(), StageError> {
    if bytes as u64 <= limit {
        return Ok(());
    }
    Err(StageError::OutputLimit { what: what.to_owned(), limit, name: "limits.value".to_owned() })
}
