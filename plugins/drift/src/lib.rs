//! Compares a current table with a reference, column by column.

pub mod distance;
pub mod significance;
