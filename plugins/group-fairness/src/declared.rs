//! Which figures a report can hold, for gates that name them before there is a report.

use serde_json::{Value, json};

use crate::disparity::{DISPARITIES, against};
use crate::permutation::TESTED;
use crate::tally::{Tally, calibration};

/// What the parameters' schema says under `x-metrics`: names, and for each label the parameter that lists its values.
pub(crate) fn figures() -> Value {
    let nobody = Tally::default();
    let calibrations = calibration(std::iter::empty()).map(|(name, _)| name);
    let rates: Vec<&str> = nobody.rates().map(|(name, _)| name).into_iter().chain(calibrations).collect();
    let inequality = nobody.inequality().map(|(name, _)| name);
    let against = against(&nobody, &nobody).map(|(name, _)| name);
    let p_values = TESTED.map(|name| format!("{name}-p-value"));
    let group = ["impact-ratio", "scoring-rate", "scoring-impact-ratio", "disparate-impact"];
    json!([
        { "names": rates },
        { "names": inequality },
        { "names": ["rows", "rows-left-out"] },
        { "names": rates, "labels": { "column": "protected", "group": null } },
        { "names": group, "labels": { "column": "protected", "group": null } },
        { "names": DISPARITIES, "labels": { "column": "protected" } },
        { "names": against, "labels": { "column": "protected" } },
        { "names": p_values, "labels": { "column": "protected" } },
        { "names": ["groups-compared", "worst-calibration-error"], "labels": { "column": "protected" } },
    ])
}
