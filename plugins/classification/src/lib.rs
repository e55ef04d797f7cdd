//! Evaluates a classifier.

pub mod bootstrap;
pub mod classes;
pub mod confusion;
pub mod figures;
pub mod measures;
