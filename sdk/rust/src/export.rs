//! From the contract's exports to the traits of this crate, and the macros that plugins end with.

use std::marker::PhantomData;

use crate::bindings::exports::stagewright::stage::{
    evaluator, fairness_checker, featurizer, monitor, plugin, predictor, preprocessor, trainer, validator,
};
use crate::bindings::stagewright::stage::{datasets, models};
use crate::context::log_panics;
use crate::stages::{parse_parameters, schema_of};
use crate::{
    Batch, Evaluator, Failure, FairnessChecker, Featurizer, Field, Model, Monitor, Port, Predictor, Preprocessor,
    Reader, Report, Table, Trainer, Validator, Writer,
};

/// A preprocessor as the contract sees it.
pub struct ExportedPreprocessor<Stage>(PhantomData<Stage>);

/// A featurizer as the contract sees it.
pub struct ExportedFeaturizer<Stage>(PhantomData<Stage>);

/// An evaluator as the contract sees it.
pub struct ExportedEvaluator<Stage>(PhantomData<Stage>);

/// A fairness checker as the contract sees it.
pub struct ExportedFairnessChecker<Stage>(PhantomData<Stage>);

/// A validator as the contract sees it.
pub struct ExportedValidator<Stage>(PhantomData<Stage>);

/// A monitor as the contract sees it.
pub struct ExportedMonitor<Stage>(PhantomData<Stage>);

/// A trainer and its predictor as the contract sees them.
pub struct ExportedModel<T, P>(PhantomData<(T, P)>);

const TRAINING: Port = Port::required("training", "The rows to learn from.");
const VALIDATION: Port = Port::optional("validation", "Rows to watch while learning.");
const ROWS: Port = Port::required("rows", "The rows to predict.");
const SCORED: Port = Port::required("scored", "Rows followed by their predictions.");
const TABLE: Port = Port::required("table", "The table to judge.");
const REFERENCE: Port = Port::required("reference", "How the table used to look.");
const CURRENT: Port = Port::required("current", "How it looks now.");

fn describe(kind: plugin::Kind, doc: &str, parameters: String, inputs: &[Port], outputs: &[Port]) -> plugin::Stage {
    log_panics();
    let port = |port: &Port| plugin::Port { name: port.name.into(), doc: port.doc.into(), optional: port.optional };
    let ports = |ports: &[Port]| ports.iter().map(port).collect();
    plugin::Stage { kind, doc: doc.into(), parameters, inputs: ports(inputs), outputs: ports(outputs) }
}

impl<S: Preprocessor> plugin::Guest for ExportedPreprocessor<S> {
    fn describe() -> Vec<plugin::Stage> {
        vec![describe(plugin::Kind::Preprocessor, S::DOC, schema_of::<S::Parameters>(), S::INPUTS, S::OUTPUTS)]
    }
}

impl<S: Preprocessor> preprocessor::Guest for ExportedPreprocessor<S> {
    fn prepare(
        inputs: Vec<preprocessor::Input>,
        outputs: Vec<preprocessor::Output>,
        parameters: String,
    ) -> Result<(), Failure> {
        log_panics();
        let mut inputs: Vec<_> = inputs.into_iter().map(|input| (input.name, Reader::host(input.table))).collect();
        let mut outputs: Vec<_> = outputs.into_iter().map(|output| (output.name, Writer::host(output.table))).collect();
        S::prepare(&mut inputs, &mut outputs, parse_parameters(&parameters)?)
    }
}

impl<S: Featurizer> plugin::Guest for ExportedFeaturizer<S> {
    fn describe() -> Vec<plugin::Stage> {
        vec![describe(plugin::Kind::Featurizer, S::DOC, schema_of::<S::Parameters>(), &[TRAINING], &[])]
    }
}

/// A fitted featurizer or a loaded model, and the columns its rows come with.
pub struct Loaded<Stage> {
    stage: Stage,
    fields: Vec<Field>,
}

impl<S: Featurizer> featurizer::Guest for ExportedFeaturizer<S> {
    type Features = Loaded<S>;

    fn fit(training: datasets::Reader, parameters: String) -> Result<Vec<u8>, Failure> {
        log_panics();
        S::fit(&mut Reader::host(training), parse_parameters(&parameters)?)
    }
}

impl<S: Featurizer> featurizer::GuestFeatures for Loaded<S> {
    fn load(state: Vec<u8>, input: Vec<Field>) -> Result<featurizer::Features, Failure> {
        log_panics();
        let loaded = Self { stage: S::load(&state, &input)?, fields: input };
        Ok(featurizer::Features::new(loaded))
    }

    fn input(&self) -> Vec<Field> {
        self.stage.input()
    }

    fn schema(&self) -> Vec<Field> {
        self.stage.schema()
    }

    fn transform(&self, rows: Batch) -> Result<Batch, Failure> {
        self.stage.transform(&Table::decode(&self.fields, &rows)?)?.encode()
    }
}

impl<T: Trainer, P: Predictor> plugin::Guest for ExportedModel<T, P> {
    fn describe() -> Vec<plugin::Stage> {
        vec![
            describe(plugin::Kind::Trainer, T::DOC, schema_of::<T::Parameters>(), &[TRAINING, VALIDATION], &[]),
            describe(plugin::Kind::Predictor, P::DOC, String::new(), &[ROWS], &[]),
        ]
    }
}

impl<T: Trainer, P: Predictor> trainer::Guest for ExportedModel<T, P> {
    fn train(
        training: datasets::Reader,
        validation: Option<datasets::Reader>,
        parameters: String,
    ) -> Result<Vec<u8>, Failure> {
        log_panics();
        let mut validation = validation.map(Reader::host);
        T::train(&mut Reader::host(training), validation.as_mut(), parse_parameters(&parameters)?)
    }
}

impl<T: Trainer, P: Predictor> predictor::Guest for ExportedModel<T, P> {
    type Model = Loaded<P>;
}

impl<P: Predictor> predictor::GuestModel for Loaded<P> {
    fn load(weights: Vec<u8>, input: Vec<Field>) -> Result<predictor::Model, Failure> {
        log_panics();
        let loaded = Self { stage: P::load(&weights, &input)?, fields: input };
        Ok(predictor::Model::new(loaded))
    }

    fn input(&self) -> Vec<Field> {
        self.stage.input()
    }

    fn schema(&self) -> Vec<Field> {
        self.stage.schema()
    }

    fn predict(&self, rows: Batch) -> Result<Batch, Failure> {
        self.stage.predict(&Table::decode(&self.fields, &rows)?)?.encode()
    }
}

impl<S: Evaluator> plugin::Guest for ExportedEvaluator<S> {
    fn describe() -> Vec<plugin::Stage> {
        vec![describe(plugin::Kind::Evaluator, S::DOC, schema_of::<S::Parameters>(), &[SCORED], &[])]
    }
}

impl<S: Evaluator> evaluator::Guest for ExportedEvaluator<S> {
    fn evaluate(scored: datasets::Reader, model: Option<models::Model>, parameters: String) -> Result<Report, Failure> {
        log_panics();
        let model = model.map(Model::host);
        S::evaluate(&mut Reader::host(scored), model.as_ref(), parse_parameters(&parameters)?)
    }
}

impl<S: FairnessChecker> plugin::Guest for ExportedFairnessChecker<S> {
    fn describe() -> Vec<plugin::Stage> {
        vec![describe(plugin::Kind::FairnessChecker, S::DOC, schema_of::<S::Parameters>(), &[SCORED], &[])]
    }
}

impl<S: FairnessChecker> fairness_checker::Guest for ExportedFairnessChecker<S> {
    fn check(scored: datasets::Reader, model: Option<models::Model>, parameters: String) -> Result<Report, Failure> {
        log_panics();
        let model = model.map(Model::host);
        S::check(&mut Reader::host(scored), model.as_ref(), parse_parameters(&parameters)?)
    }
}

impl<S: Validator> plugin::Guest for ExportedValidator<S> {
    fn describe() -> Vec<plugin::Stage> {
        vec![describe(plugin::Kind::Validator, S::DOC, schema_of::<S::Parameters>(), &[TABLE], &[])]
    }
}

impl<S: Validator> validator::Guest for ExportedValidator<S> {
    fn validate(table: datasets::Reader, parameters: String) -> Result<Report, Failure> {
        log_panics();
        S::validate(&mut Reader::host(table), parse_parameters(&parameters)?)
    }
}

impl<S: Monitor> plugin::Guest for ExportedMonitor<S> {
    fn describe() -> Vec<plugin::Stage> {
        vec![describe(plugin::Kind::Monitor, S::DOC, schema_of::<S::Parameters>(), &[REFERENCE, CURRENT], &[])]
    }
}

impl<S: Monitor> monitor::Guest for ExportedMonitor<S> {
    fn observe(
        reference: datasets::Reader,
        current: datasets::Reader,
        model: Option<models::Model>,
        parameters: String,
    ) -> Result<Report, Failure> {
        log_panics();
        let model = model.map(Model::host);
        let (mut reference, mut current) = (Reader::host(reference), Reader::host(current));
        S::observe(&mut reference, &mut current, model.as_ref(), parse_parameters(&parameters)?)
    }
}

/// Each world as the bytes of a component's custom section.
#[doc(hidden)]
pub mod worlds {
    pub const PREPROCESSOR: &[u8; include_bytes!(concat!(env!("OUT_DIR"), "/preprocessor-plugin.section")).len()] =
        include_bytes!(concat!(env!("OUT_DIR"), "/preprocessor-plugin.section"));
    pub const FEATURIZER: &[u8; include_bytes!(concat!(env!("OUT_DIR"), "/featurizer-plugin.section")).len()] =
        include_bytes!(concat!(env!("OUT_DIR"), "/featurizer-plugin.section"));
    pub const MODEL: &[u8; include_bytes!(concat!(env!("OUT_DIR"), "/model-plugin.section")).len()] =
        include_bytes!(concat!(env!("OUT_DIR"), "/model-plugin.section"));
    pub const EVALUATOR: &[u8; include_bytes!(concat!(env!("OUT_DIR"), "/evaluator-plugin.section")).len()] =
        include_bytes!(concat!(env!("OUT_DIR"), "/evaluator-plugin.section"));
    pub const FAIRNESS: &[u8; include_bytes!(concat!(env!("OUT_DIR"), "/fairness-plugin.section")).len()] =
        include_bytes!(concat!(env!("OUT_DIR"), "/fairness-plugin.section"));
    pub const VALIDATOR: &[u8; include_bytes!(concat!(env!("OUT_DIR"), "/validator-plugin.section")).len()] =
        include_bytes!(concat!(env!("OUT_DIR"), "/validator-plugin.section"));
    pub const MONITOR: &[u8; include_bytes!(concat!(env!("OUT_DIR"), "/monitor-plugin.section")).len()] =
        include_bytes!(concat!(env!("OUT_DIR"), "/monitor-plugin.section"));
}

/// Exports a stage from a component, by its kind: `export!(preprocessor: Split)`, or `export!(model: Trainer, Predictor)`.
/// The kinds are `preprocessor`, `featurizer`, `model`, `evaluator`, `fairness`, `validator` and `monitor`. Natively it
/// does nothing.
#[macro_export]
macro_rules! export {
    (model: $trainer:ty, $predictor:ty) => {
        $crate::export_as!(MODEL, $crate::ExportedModel<$trainer, $predictor>, trainer
            __export_stagewright_stage_trainer_0_1_0_cabi, predictor __export_stagewright_stage_predictor_0_1_0_cabi);
    };
    (preprocessor: $stage:ty) => {
        $crate::export_as!(PREPROCESSOR, $crate::ExportedPreprocessor<$stage>, preprocessor
            __export_stagewright_stage_preprocessor_0_1_0_cabi);
    };
    (featurizer: $stage:ty) => {
        $crate::export_as!(FEATURIZER, $crate::ExportedFeaturizer<$stage>, featurizer
            __export_stagewright_stage_featurizer_0_1_0_cabi);
    };
    (evaluator: $stage:ty) => {
        $crate::export_as!(EVALUATOR, $crate::ExportedEvaluator<$stage>, evaluator
            __export_stagewright_stage_evaluator_0_1_0_cabi);
    };
    (fairness: $stage:ty) => {
        $crate::export_as!(FAIRNESS, $crate::ExportedFairnessChecker<$stage>, fairness_checker
            __export_stagewright_stage_fairness_checker_0_1_0_cabi);
    };
    (validator: $stage:ty) => {
        $crate::export_as!(VALIDATOR, $crate::ExportedValidator<$stage>, validator
            __export_stagewright_stage_validator_0_1_0_cabi);
    };
    (monitor: $stage:ty) => {
        $crate::export_as!(MONITOR, $crate::ExportedMonitor<$stage>, monitor
            __export_stagewright_stage_monitor_0_1_0_cabi);
    };
}

/// What [`export!`] does, for one world: the symbols that the host calls, and the section that says which world it is.
#[doc(hidden)]
#[macro_export]
macro_rules! export_as {
    ($section:ident, $stage:ty, $($interface:ident $symbols:ident),+) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, missing_docs, reason = "generated: the symbols that the host calls")]
        mod exported {
            use super::*;
            type Stage = $stage;
            use $crate::bindings::exports::stagewright::stage as interfaces;
            interfaces::plugin::__export_stagewright_stage_plugin_0_1_0_cabi!(Stage with_types_in interfaces::plugin);
            $(interfaces::$interface::$symbols!(Stage with_types_in interfaces::$interface);)+

            #[unsafe(link_section = "component-type:stagewright:world")]
            pub static WORLD: [u8; $crate::worlds::$section.len()] = *$crate::worlds::$section;
        }
    };
}
