//! Worker processes: where batch stages run.
//!
//! A guest in a process of its own runs at full speed, because whoever wants it stopped kills the process, and a fault
//! that the sandbox itself does not catch costs one job. The parent treats a worker as if its guest had taken it over:
//! it reads frames of bounded length, checks everything in them, and gives it nothing but the tables of its own job.

mod frame;
mod pool;
mod process;
mod serve;

pub use self::{pool::WorkerPool, process::ENVIRONMENT, serve::serve};
