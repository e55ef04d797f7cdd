//! Evaluates a regression.

pub mod bootstrap;
pub mod measures;
