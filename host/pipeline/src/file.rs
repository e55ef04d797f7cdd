//! The files a user writes: pipelines and `stagewright.toml`. Strict TOML: what is not understood is an error that
//! names the place and the nearest thing that would be.

mod grants;
mod pipeline;
mod settings;
mod source;

pub use self::{
    grants::{Allowed, StageGrants},
    pipeline::{ModelSection, Pipeline, Reference, Select, Stage, StageInputs},
    settings::{RequestLog, Retention, Serve, Settings},
    source::{Located, Problem, Problems, Source},
};
