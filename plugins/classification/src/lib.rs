//! Evaluates a classifier.

pub mod bootstrap;
pub mod categories;
pub mod classes;
pub mod confusion;
pub mod evaluate;
pub mod figures;
pub mod judge;
pub mod measures;
pub mod parameters;
pub mod report;
pub mod table;
