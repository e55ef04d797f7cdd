//! The files a user writes: pipelines and `stagewright.toml`. Strict TOML: what is not understood is an error that
//! names the place and the nearest thing that would be.

mod grants;
mod gate;
mod pipeline;
mod settings;
mod source;

pub(crate) use self::source::unknown;
pub use self::{
    grants::{Allowed, StageGrants},
    gate::GateSection,
    pipeline::{ModelSection, Pipeline, Reference, Select, Stage, StageInputs},
    settings::{OperatorGate, Retention, Settings, time},
    source::{Located, Problem, Problems, Source},
};
