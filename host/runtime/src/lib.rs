//! The sandbox: runs one stage of one component, bytes in, bytes out.
//!
//! The crate knows neither a store nor names nor other stages. Components, tables and parameters come in; tables,
//! states and reports go out; and nothing else a guest does has an effect. It is the only user of the engine, and the
//! only place where a component's machine code is loaded.
//!
//! Start at [`WorkerPool`], which runs a [`Job`] in a process of its own, and at [`check`], which says whether bytes
//! are a plugin at all.

mod bindings;
mod cache;
mod compiled;
mod engine;
mod error;
pub mod grants;
mod job;
mod limits;
mod measure;
mod metadata;
mod model;
pub mod recording;
mod run;
mod sandbox;
mod served;
pub mod spec;
mod stack;
mod state;
mod wasi;
pub mod worker;
mod world;

pub use self::{
    cache::{CompiledCache, DirCache},
    engine::{ENGINE, Flavour, engine, fingerprint},
    error::{BoxError, FailureKind, Refused, StageError},
    job::{
        CancelToken, Columns, Component, Input, Inspection, Job, MemoryTable, Metadata, ModelParts, Observer, Outcome,
        Output, Table, TableSink, Value, Work,
    },
    limits::{COMPONENT_BYTES, Limits, STACK_BYTES},
    measure::Measured,
    served::{Served, ServedModel},
    stack::LargeStack,
    worker::WorkerPool,
    world::{World, check},
};
