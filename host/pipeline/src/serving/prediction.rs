//! What was answered, for whoever keeps it.

use std::sync::Arc;

use stagewright_core::Batch;

use super::Servable;

/// An answered request.
pub struct Prediction {
    /// The endpoint that was asked.
    pub endpoint: Arc<str>,
    /// Which variant answered.
    pub variant: Arc<str>,
    /// The model, with the columns of rows and predictions.
    pub model: Arc<Servable>,
    /// The request's id.
    pub request: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The rows.
    pub rows: Batch,
    /// A prediction for each.
    pub predictions: Batch,
}

/// Takes answered requests.
pub trait PredictionSink: Send + Sync {
    /// Takes one, or drops and counts it where there is no room. It must not block: it is called while the answer is on
    /// its way.
    fn take(&self, prediction: Prediction);
}

/// Keeps nothing.
impl PredictionSink for () {
    fn take(&self, _: Prediction) {}
}
