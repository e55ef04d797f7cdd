//! Plots, as Vega-Lite specifications with their data inlined and few enough points to be read by eye.

use serde_json::{Value, json};

use crate::measures::{CALIBRATION_BINS, Sample};

/// The most points of a curve.
const POINTS: usize = 200;

const SCHEMA: &str = "https://vega.github.io/schema/vega-lite/v5.json";

/// A point of a threshold curve.
struct Threshold {
    score: f64,
    true_positives: f64,
    false_positives: f64,
}

/// The receiver operating characteristic: what each threshold gains and costs.
pub fn receiver_operating_characteristic(sample: &Sample) -> Option<Value> {
    let (thresholds, positives, negatives) = thresholds(sample)?;
    let points: Vec<Value> = std::iter::once(json!({"false-positive-rate": 0.0, "true-positive-rate": 0.0}))
        .chain(thresholds.iter().map(|at| {
            json!({
                "threshold": at.score,
                "false-positive-rate": at.false_positives / negatives,
                "true-positive-rate": at.true_positives / positives,
            })
        }))
        .collect();
    let diagonal = [json!({"x": 0, "y": 0}), json!({"x": 1, "y": 1})];
    Some(json!({
        "$schema": SCHEMA,
        "layer": [
            {
                "data": {"values": diagonal},
                "mark": {"type": "line", "strokeDash": [4, 4], "color": "gray"},
                "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}},
            },
            {
                "data": {"values": points},
                "mark": {"type": "line"},
                "encoding": {
                    "x": share("false-positive-rate", "False positive rate"),
                    "y": share("true-positive-rate", "True positive rate"),
                    "order": {"field": "false-positive-rate", "type": "quantitative"},
                },
            },
        ],
    }))
}

/// Precision against recall over all thresholds.
pub fn precision_recall(sample: &Sample) -> Option<Value> {
    let (thresholds, positives, _) = thresholds(sample)?;
    let points: Vec<Value> = thresholds
        .iter()
        .map(|at| {
            json!({
                "threshold": at.score,
                "recall": at.true_positives / positives,
                "precision": at.true_positives / (at.true_positives + at.false_positives),
            })
        })
        .collect();
    Some(json!({
        "$schema": SCHEMA,
        "data": {"values": points},
        "mark": {"type": "line"},
        "encoding": {
            "x": share("recall", "Recall"),
            "y": share("precision", "Precision"),
            "order": {"field": "threshold", "type": "quantitative", "sort": "descending"},
        },
    }))
}

/// Scores against what became of them.
pub fn calibration(sample: &Sample) -> Option<Value> {
    if !sample.is_probabilistic() {
        return None;
    }
    let width = 1.0 / CALIBRATION_BINS as f64;
    let points: Vec<Value> = sample
        .calibration()
        .iter()
        .enumerate()
        .filter(|(_, bin)| bin.weight > 0.0)
        .map(|(index, bin)| {
            json!({
                "bin": format!("{:.1} to {:.1}", index as f64 * width, (index + 1) as f64 * width),
                "mean-score": bin.scores / bin.weight,
                "rate": bin.positives / bin.weight,
                "weight": bin.weight,
            })
        })
        .collect();
    let diagonal = [json!({"x": 0, "y": 0}), json!({"x": 1, "y": 1})];
    Some(json!({
        "$schema": SCHEMA,
        "layer": [
            {
                "data": {"values": diagonal},
                "mark": {"type": "line", "strokeDash": [4, 4], "color": "gray"},
                "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}},
            },
            {
                "data": {"values": points},
                "mark": {"type": "line", "point": true},
                "encoding": {"x": share("mean-score", "Mean score"), "y": share("rate", "Share of positives")},
            },
        ],
    }))
}

/// How often each class was decided to be each: `cells` are label, decision and weight.
pub fn confusion(cells: &[(String, String, f64)]) -> Value {
    let values: Vec<Value> = cells
        .iter()
        .map(|(label, decision, weight)| json!({"label": label, "decision": decision, "rows": weight}))
        .collect();
    let decision = json!({"field": "decision", "type": "nominal", "title": "Decided"});
    let label = json!({"field": "label", "type": "nominal", "title": "Really"});
    json!({
        "$schema": SCHEMA,
        "data": {"values": values},
        "encoding": {"x": decision, "y": label},
        "layer": [
            {"mark": {"type": "rect"}, "encoding": {"color": {"field": "rows", "type": "quantitative"}}},
            {"mark": {"type": "text"}, "encoding": {"text": {"field": "rows", "type": "quantitative"}}},
        ],
    })
}

/// The corners of the threshold curves, thinned to what a figure shows; none where a curve needs both classes and
/// finds one.
fn thresholds(sample: &Sample) -> Option<(Vec<Threshold>, f64, f64)> {
    let mut all = Vec::new();
    let (mut true_positives, mut false_positives) = (0.0, 0.0);
    for (index, row) in sample.rows().iter().enumerate() {
        if row.positive {
            true_positives += row.weight;
        } else {
            false_positives += row.weight;
        }
        if sample.ends_tie(index) && true_positives + false_positives > 0.0 {
            all.push(Threshold { score: row.score, true_positives, false_positives });
        }
    }
    if !sample.is_scored() || true_positives == 0.0 || false_positives == 0.0 {
        return None;
    }
    Some((thin(all), true_positives, false_positives))
}

/// Keeps the first, the last and evenly spaced ones between.
fn thin(all: Vec<Threshold>) -> Vec<Threshold> {
    // One point less than the most: the curve's origin comes on top.
    let (count, kept) = (all.len(), POINTS - 1);
    if count <= kept {
        return all;
    }
    let mut wanted = (0..kept).map(|place| place * (count - 1) / (kept - 1)).peekable();
    let keep = |(index, threshold)| (wanted.next_if_eq(&index).is_some()).then_some(threshold);
    all.into_iter().enumerate().filter_map(keep).collect()
}

/// An axis from 0 to 1.
fn share(field: &str, title: &str) -> Value {
    json!({"field": field, "type": "quantitative", "title": title, "scale": {"domain": [0, 1]}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::Outcome;

    fn sample(rows: usize) -> Sample {
        Sample::new(
            (0..rows)
                .map(|row| {
                    let score = row as f64 / rows as f64;
                    Outcome { score, positive: row % 3 == 0, selected: score >= 0.5, weight: 1.0 }
                })
                .collect(),
        )
    }

    #[test]
    fn curves_stay_small_and_keep_their_ends() {
        for rows in [4, 199, 200, 201, 5000] {
            let spec = receiver_operating_characteristic(&sample(rows)).unwrap();
            let values = spec["layer"][1]["data"]["values"].as_array().unwrap();
            assert_eq!(values.len(), (rows + 1).min(200), "{rows} rows");
            assert_eq!(values[0]["true-positive-rate"], 0.0);
            assert_eq!(values[values.len() - 1]["true-positive-rate"], 1.0);
        }
    }

    #[test]
    fn one_class_alone_draws_no_curve() {
        let one = Sample::new(vec![Outcome { score: 0.4, positive: true, selected: false, weight: 1.0 }]);
        assert_eq!(receiver_operating_characteristic(&one), None);
        assert_eq!(precision_recall(&one), None);
        assert_eq!(precision_recall(&Sample::new(Vec::new())), None);
    }
}
