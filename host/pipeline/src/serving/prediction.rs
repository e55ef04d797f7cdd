//! What was answered, for whoever keeps it.

use std::sync::Arc;

use stagewright_core::Batch;

use super::{Route, Variant};
use crate::{
    error::Result,
    predictions::{Kept, feedback::Accepted},
};

/// A request that a model answered, or failed at.
pub struct Prediction {
    /// The endpoint that was asked, as it was then.
    pub route: Arc<Route>,
    /// Which of its models answered.
    pub variant: Variant,
    /// The request's id.
    pub request: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// How long the model took, waiting and computing together, in microseconds.
    pub latency_us: u64,
    /// The rows.
    pub rows: Batch,
    /// A prediction for each, or why there is none.
    pub outcome: Result<Batch, String>,
}

/// Takes answered requests.
pub trait PredictionSink: Send + Sync {
    /// Takes one, or drops and counts it where there is no room. It must not block: it is called while the answer is on
    /// its way.
    fn take(&self, prediction: Prediction);

    /// Takes late labels of an endpoint's requests, as a client sent them. None where nothing is kept of the endpoint.
    fn feedback(&self, endpoint: &str, body: &[u8]) -> Option<Result<Accepted>> {
        let _ = (endpoint, body);
        None
    }

    /// How much was kept so far.
    fn kept(&self) -> Kept {
        Kept::default()
    }

    /// Makes everything durable that was taken.
    fn stop(&self) {}
}

/// Keeps nothing.
impl PredictionSink for () {
    fn take(&self, _: Prediction) {}
}
