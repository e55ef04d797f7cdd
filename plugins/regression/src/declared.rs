//! Which figures a report can hold, for gates that name them before there is a report.

use serde_json::{Value, json};

use crate::measures::Sample;

/// What the parameters' schema says under `x-metrics`.
pub(crate) fn figures() -> Value {
    let measures = Sample::new(Vec::new(), 0.5).measure().named().map(|(name, _)| name);
    json!([{ "names": measures }, { "names": ["max-error", "rows", "rows-left-out"] }])
}
