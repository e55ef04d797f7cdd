//! The files a user writes: pipelines and `stagewright.toml`. Strict TOML: what is not understood is an error that
//! names the place and the nearest thing that would be.

mod grants;
mod pipeline;
mod settings;
mod source;
mod trust;

pub use self::{
    grants::{Allowed, StageGrants},
    pipeline::{ModelSection, Pipeline, Reference, Select, Stage, StageInputs},
    settings::{Retention, Settings},
    source::{Located, Problem, Problems, Source},
    trust::Trust,
};
