//! The files a user writes: pipelines and `stagewright.toml`. Strict TOML: what is not understood is an error that
//! names the place and the nearest thing that would be.

mod pipeline;
mod settings;
mod source;

pub use self::{
    pipeline::{ModelSection, Pipeline, Reference, Select, Stage, StageInputs},
    settings::{Retention, Settings},
    source::{Located, Problem, Problems, Source},
};
