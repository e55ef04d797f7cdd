//! Features of a table: gaps are filled, numbers are standardized, and words become categories or indicators.
//!
//! Everything is learned from the training rows, one column at a time, so that the table need not fit into memory; the
//! same state is applied, unchanged, when the model serves. Columns are found by name, and the label is passed through
//! as the last column where the rows have it.

mod apply;
mod learn;
mod parameters;
mod state;

pub use apply::Features;
pub use parameters::{Encode, Impute, Numeric, Parameters};

stagewright_stage::export!(featurizer: Features);
