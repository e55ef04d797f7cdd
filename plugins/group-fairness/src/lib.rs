//! Group fairness.

pub mod categories;
pub mod check;
pub mod disparity;
pub mod figures;
pub mod input;
pub mod judge;
pub mod parameters;
pub mod partition;
pub mod permutation;
pub mod report;
pub mod table;
pub mod tally;
