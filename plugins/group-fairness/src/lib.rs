//! Group fairness.

pub mod disparity;
pub mod permutation;
pub mod tally;
