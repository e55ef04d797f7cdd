//! Write a Stagewright stage plugin in Rust: a struct, a trait and one macro.
//!
//! Algorithms live in plain functions over [`Table`] and [`Reader`], so that they run, are tested and are measured
//! natively as well as in the sandbox: nothing here calls an import unless it was compiled for WebAssembly.
//!
//! Parameters are plain structs. [`serde`] reads them, [`schemars`] describes them to the host.

extern crate self as stagewright_stage;

pub mod bindings;
pub mod context;
pub mod design;
mod export;
mod failure;
pub mod grants;
pub mod label;
pub mod linear;
mod reader;
pub mod several;
mod stages;
pub mod state;
pub mod table;

#[doc(hidden)]
pub use export::worlds;
pub use export::{
    ExportedEvaluator, ExportedFairnessChecker, ExportedFeaturizer, ExportedModel, ExportedMonitor,
    ExportedPreprocessor, ExportedValidator,
};
pub use failure::nearest;
pub use rand;
pub use schemars;
pub use serde;
pub use serde_json;
#[doc(hidden)]
pub use wit_bindgen;

pub use bindings::stagewright::stage::failures::Failure;
pub use bindings::stagewright::stage::reports::{Figure, Finding, Label, Metric, Report, Severity};
pub use bindings::stagewright::stage::tables::{Batch, Column, ColumnType, Field};
pub use reader::{Model, Reader, Writer};
pub use stages::{
    Evaluator, FairnessChecker, Featurizer, Monitor, NoParameters, Port, Predictor, Preprocessor, Trainer, Validator,
    parse_parameters, schema_of,
};
pub use table::{Series, Table, Values};
