//! Which figures a report can hold, for gates that name them before there is a report.

use serde_json::{Value, json};

use crate::classes::ClassConfusion;
use crate::measures::Sample;

/// What the parameters' schema says under `x-metrics`: names, and for each label the parameter that lists its values.
pub(crate) fn figures() -> Value {
    let nothing = Sample::new(Vec::new()).measure();
    let of_two = nothing.named().map(|(name, _)| name);
    let counts = nothing.confusion.counts().map(|(name, _)| name);
    let of_many = ClassConfusion::new(0).named().map(|(name, _)| name);
    let mut measures: Vec<&str> = of_two.into_iter().chain(counts).chain(of_many).chain(["roc-auc-macro"]).collect();
    measures.sort_unstable();
    measures.dedup();
    json!([
        { "names": measures },
        { "names": ["rows", "rows-left-out"] },
        { "names": measures, "labels": { "column": "slices", "group": null } },
        { "names": ["precision", "recall", "f1"], "labels": { "class": null } },
    ])
}
