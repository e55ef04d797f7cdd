//! Evaluates a regression.

pub mod bootstrap;
pub mod evaluate;
pub mod figures;
pub mod judge;
pub mod measures;
pub mod parameters;
pub mod report;
pub mod table;
