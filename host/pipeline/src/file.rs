//! The files a user writes: pipelines and `stagewright.toml`. Strict TOML: what is not understood is an error that
//! names the place and the nearest thing that would be.

mod environment;
mod gate;
mod grants;
mod pipeline;
mod settings;
mod source;
mod trust;

pub(crate) use self::source::unknown;
pub use self::{
    gate::GateSection,
    grants::{Allowed, StageGrants},
    pipeline::{ModelSection, Pipeline, Reference, Select, Stage, StageInputs},
    settings::{OperatorGate, RequestLog, Retention, Serve, Settings, time},
    source::{Located, Problem, Problems, Source},
    trust::Trust,
};
