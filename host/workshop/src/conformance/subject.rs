//! The component under test, and short ways to run each of its stages.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value as Json;
use stagewright_core::{
    Report, Schema, StageKind,
    record::{Level, LogLine},
    stage::{Profile, StageInfo},
};
use stagewright_runtime::{
    CancelToken, Columns, Component, FailureKind, Input, Job, Limits, ModelParts, Observer, StageError, Value, Work,
    WorkerPool,
};

use super::{
    Kit,
    frame::{Cut, Frame, Kept, Written},
    guess::Parameters,
};

/// The kit's tables are small: whatever takes longer has lost its way.
const TIME: Duration = Duration::from_secs(30);
const MEMORY: u64 = 1 << 30;

/// A component, and two groups of worker processes to compare.
pub(super) struct Subject<'a> {
    pub(super) component: Component,
    pools: [WorkerPool; 2],
    cancel: &'a CancelToken,
    quick: bool,
}

/// In which way a stage is run.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) profile: Profile,
    /// Which group of processes.
    pub(super) room: usize,
    pub(super) cut: Cut,
}

impl Way {
    pub(super) const USUAL: Self = Self { profile: Profile::Fast, room: 0, cut: Cut::Whole };
}

/// Everything that one stage made of one table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Made {
    Tables(Vec<(String, Written)>),
    Report(Box<Report>),
    /// A state or weights, and what they make of the same table.
    Applied {
        state: Vec<u8>,
        result: Written,
    },
    /// Weights that no predictor of this component reads.
    Weights(Vec<u8>),
}

/// Why a stage made nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It gave up, and said so as the contract asks it to.
    Said(FailureKind, String),
    /// It broke the contract.
    Broke(String),
    /// It is not the component's fault.
    Host(StageError),
}

impl Trouble {
    /// What it was, for people.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Said(kind, message) => format!("{kind}: {message}"),
            Self::Broke(message) => message.clone(),
            Self::Host(error) => error.to_string(),
        }
    }
}

/// Remembers the last complaint, which says more than a trap does.
#[derive(Default)]
struct Ear(Mutex<Option<String>>);

impl Observer for Ear {
    fn log(&self, line: &LogLine) {
        if line.level == Level::Error {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(line.message.clone());
        }
    }
}

impl<'a> Subject<'a> {
    pub(super) fn new(component: Component, kit: &Kit<'a>) -> Self {
        let pool = || WorkerPool::new(kit.worker.clone(), 1, Arc::clone(&kit.cache));
        Self { component, pools: [pool(), pool()], cancel: kit.cancel, quick: kit.quick }
    }

    /// Whether the kit is to go this way.
    pub(super) fn goes(&self, way: Way) -> bool {
        !self.quick || way.profile != Profile::Strict
    }

    /// What a check that goes in several ways says where the kit does not go all of them.
    pub(super) fn left_out(&self) -> String {
        if self.quick { "a quick look is at the profile `fast` alone".to_owned() } else { String::new() }
    }

    pub(super) fn inspect(&self) -> Result<stagewright_runtime::Inspection, StageError> {
        self.pools[0].inspect(&self.component, self.cancel)
    }

    /// What the component says of itself, in some way and with some seed.
    pub(super) fn describe(&self, way: Way, seed: u64) -> Result<Vec<StageInfo>, Trouble> {
        match self.job(Work::Describe, "{}", way, seed)? {
            Value::Stages(stages) => Ok(stages),
            _ => Err(Trouble::Broke("it answered something else".to_owned())),
        }
    }

    fn job(&self, work: Work, parameters: &str, way: Way, seed: u64) -> Result<Value, Trouble> {
        let job = Job {
            parameters: parameters.to_owned(),
            seed,
            limits: Limits { time: TIME, memory_bytes: MEMORY, ..Limits::default() },
            profile: way.profile,
            ..Job::new(self.component.clone(), work)
        };
        let ear = Ear::default();
        match self.pools[way.room].run(job, self.cancel, &ear) {
            Ok(outcome) => Ok(outcome.value),
            Err(StageError::Failed { kind, message }) => Err(Trouble::Said(kind, message)),
            Err(
                error @ (StageError::Cancelled
                | StageError::Host { .. }
                | StageError::NoWorker(_)
                | StageError::Compile(_)),
            ) => Err(Trouble::Host(error)),
            Err(error) => {
                let heard = ear.0.into_inner().unwrap_or_else(PoisonError::into_inner);
                let heard = heard.map(|line| format!("; it logged: {line}")).unwrap_or_default();
                Err(Trouble::Broke(format!("{error}{heard}")))
            }
        }
    }

    fn work(&self, work: Work, parameters: &Parameters, way: Way) -> Result<Value, Trouble> {
        let parameters = Json::Object(parameters.clone().into_iter().collect()).to_string();
        self.job(work, &parameters, way, 7)
    }

    fn bytes(&self, work: Work, parameters: &Parameters, way: Way) -> Result<Vec<u8>, Trouble> {
        match self.work(work, parameters, way)? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(Trouble::Broke("it answered something else".to_owned())),
        }
    }

    fn report(&self, work: Work, parameters: &Parameters, way: Way) -> Result<Made, Trouble> {
        match self.work(work, parameters, way)? {
            Value::Report(report) => Ok(Made::Report(Box::new(report))),
            _ => Err(Trouble::Broke("it answered something else".to_owned())),
        }
    }

    /// Runs a stage on a table, as a pipeline would. `outputs` are a preprocessor's.
    pub(super) fn run(
        &self,
        stage: &StageInfo,
        table: &Frame,
        parameters: &Parameters,
        outputs: &[String],
        way: Way,
    ) -> Result<Made, Trouble> {
        let input = || table.input(way.cut);
        match stage.kind {
            StageKind::Preprocessor => {
                let kept: Vec<(String, Kept)> = outputs.iter().map(|name| (name.clone(), Kept::default())).collect();
                let ports = stage.inputs.iter().filter(|port| !port.optional);
                let inputs: Vec<(String, Input)> =
                    ports.map(|port| (port.name.replace('*', "first"), input())).collect();
                let work = Work::Prepare {
                    inputs,
                    outputs: kept.iter().map(|(name, kept)| (name.clone(), kept.sink())).collect(),
                };
                self.work(work, parameters, way)?;
                Ok(Made::Tables(kept.into_iter().map(|(name, kept)| (name, kept.written())).collect()))
            }
            StageKind::Featurizer => {
                let state = self.bytes(Work::Fit { training: input() }, parameters, way)?;
                let (_, result) = self.apply(StageKind::Featurizer, &state, table, way)?;
                Ok(Made::Applied { state, result })
            }
            StageKind::Trainer | StageKind::Predictor => {
                let work = Work::Train { training: input(), validation: None };
                self.bytes(work, parameters, way).map(Made::Weights)
            }
            StageKind::Evaluator => self.report(Work::Evaluate { scored: input(), model: None }, parameters, way),
            StageKind::FairnessChecker => self.report(Work::Check { scored: input(), model: None }, parameters, way),
            StageKind::Validator => self.report(Work::Validate { table: input() }, parameters, way),
            StageKind::Monitor => {
                self.report(Work::Observe { reference: input(), current: input(), model: None }, parameters, way)
            }
        }
    }

    /// Features or predictions of a table, and the columns that they are said to come from and to have.
    pub(super) fn apply(
        &self,
        kind: StageKind,
        state: &[u8],
        table: &Frame,
        way: Way,
    ) -> Result<(Columns, Written), Trouble> {
        let (kept, input) = (Kept::default(), table.input(way.cut));
        let (output, own) = (kept.sink(), table.0.len());
        let (work, skipped) = match kind {
            StageKind::Featurizer => (Work::Transform { state: state.into(), input, output }, 0),
            _ => {
                let model = self.model(state, input.schema().clone());
                (Work::Score { model, input, output }, own)
            }
        };
        match self.work(work, &Parameters::new(), way)? {
            Value::Columns(columns) => Ok((columns, kept.written().behind(skipped))),
            _ => Err(Trouble::Broke("it answered something else".to_owned())),
        }
    }

    /// Which of these columns a model asks for, and what it returns.
    pub(super) fn columns(&self, weights: &[u8], rows: &Frame) -> Result<Columns, Trouble> {
        let work = Work::DescribeModel { model: self.model(weights, rows.schema()) };
        match self.work(work, &Parameters::new(), Way::USUAL)? {
            Value::Columns(columns) => Ok(columns),
            _ => Err(Trouble::Broke("it answered something else".to_owned())),
        }
    }

    fn model(&self, weights: &[u8], input: Schema) -> ModelParts {
        ModelParts { featurizers: Vec::new(), predictor: (self.component.clone(), weights.into()), input }
    }
}
