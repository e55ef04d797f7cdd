//! Stagewright as a library: the machine-learning lifecycle without a server, a terminal or a clock of its own.
//!
//! A pipeline file is [read](file), [planned](plan) and run; every stage's result is kept under its run key, so a stage
//! runs once for each combination of component, parameters, inputs and seed.

pub mod file;
pub mod params;
pub mod plan;
