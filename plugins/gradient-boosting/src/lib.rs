//! Gradient-boosted trees on histograms: trainer and predictor.
//!
//! The method and its defaults are LightGBM's (Ke et al. 2017), on one thread and with every sum in a fixed order.
//! No crate is used for it: those that compile to WebAssembly were neither as accurate nor as fast on one thread.

pub mod bins;
pub mod boost;
pub mod bytes;
pub mod grow;
pub mod model;
pub mod train;
pub mod tree;

pub use train::{BoostedTrees, Trees};

stagewright_stage::export!(model: BoostedTrees, Trees);
