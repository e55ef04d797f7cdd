//! Plots, as Vega-Lite specifications with their data inlined and few enough points to be read by eye.

use serde_json::{Value, json};

use crate::measures::{Outcome, Sample};

/// The most points of a scatter plot.
const POINTS: usize = 200;

/// Bins of the histogram.
const BINS: usize = 40;

const SCHEMA: &str = "https://vega.github.io/schema/vega-lite/v5.json";

/// What was predicted against what was observed. Of many rows, a selection: evenly spaced in the order of what was
/// observed, so that the same rows are drawn however they come.
pub fn predicted_against_actual(sample: &Sample) -> Option<(String, Value)> {
    let mut rows = sample.rows().to_vec();
    rows.sort_by(|a, b| a.actual.total_cmp(&b.actual).then(a.predicted.total_cmp(&b.predicted)));
    let (first, last) = (rows.first()?, rows.last()?);
    let ends = [first.actual, last.actual];
    let title = match rows.len() {
        count if count > POINTS => format!("Predicted against actual ({POINTS} of {count} rows)"),
        _ => "Predicted against actual".to_owned(),
    };
    let points: Vec<Value> = thin(&rows).map(|row| json!({"actual": row.actual, "predicted": row.predicted})).collect();
    let diagonal: Vec<Value> = ends.iter().map(|end| json!({"actual": end, "predicted": end})).collect();
    let encoding = json!({"x": axis("actual", "Actual"), "y": axis("predicted", "Predicted")});
    let spec = json!({
        "$schema": SCHEMA,
        "layer": [
            {
                "data": {"values": diagonal},
                "mark": {"type": "line", "strokeDash": [4, 4], "color": "gray"},
                "encoding": encoding,
            },
            {"data": {"values": points}, "mark": {"type": "point"}, "encoding": encoding},
        ],
    });
    Some((title, spec))
}

/// How residuals are distributed.
pub fn residuals(sample: &Sample) -> Option<Value> {
    let residuals = || sample.rows().iter().map(Outcome::residual);
    let low = residuals().reduce(f64::min)?;
    let high = residuals().reduce(f64::max)?;
    let width = (high - low) / BINS as f64;
    let mut counts = vec![0_u64; if width > 0.0 { BINS } else { 1 }];
    for residual in residuals() {
        let bin = if width > 0.0 { ((residual - low) / width) as usize } else { 0 };
        let last = counts.len() - 1;
        counts[bin.min(last)] += 1;
    }
    let edge = |bin: usize| low + bin as f64 * width;
    let bars: Vec<Value> = counts
        .iter()
        .enumerate()
        .map(|(bin, count)| json!({"from": edge(bin), "to": edge(bin + 1), "rows": count}))
        .collect();
    Some(json!({
        "$schema": SCHEMA,
        "data": {"values": bars},
        "mark": {"type": "bar"},
        "encoding": {
            "x": {"field": "from", "type": "quantitative", "bin": "binned", "title": "Predicted minus actual"},
            "x2": {"field": "to"},
            "y": {"field": "rows", "type": "quantitative", "title": "Rows"},
        },
    }))
}

/// All rows, or the first, the last and evenly spaced ones between.
fn thin(rows: &[Outcome]) -> impl Iterator<Item = &Outcome> {
    let kept = rows.len().min(POINTS);
    (0..kept)
        .map(move |place| if kept == rows.len() { place } else { place * (rows.len() - 1) / (kept - 1) })
        .map(|index| &rows[index])
}

fn axis(field: &str, title: &str) -> Value {
    json!({"field": field, "type": "quantitative", "title": title})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rows: u32) -> Sample {
        let outcome = |row| Outcome { actual: f64::from(row), predicted: f64::from(row * row % 7) };
        Sample::new((0..rows).map(outcome).collect(), 0.9)
    }

    #[test]
    fn figures_stay_small_and_count_every_row() {
        for rows in [1, 2, 200, 201, 1000] {
            let (_, spec) = predicted_against_actual(&sample(rows)).unwrap();
            let points = spec["layer"][1]["data"]["values"].as_array().unwrap();
            assert_eq!(points.len(), (rows as usize).min(200));
            assert_eq!(points[points.len() - 1]["actual"], f64::from(rows - 1));
            let histogram = residuals(&sample(rows)).unwrap();
            let counted =
                histogram["data"]["values"].as_array().unwrap().iter().map(|bar| bar["rows"].as_u64().unwrap());
            assert_eq!(counted.sum::<u64>(), u64::from(rows));
        }
    }

    #[test]
    fn no_rows_draw_nothing() {
        assert_eq!(predicted_against_actual(&sample(0)), None);
        assert_eq!(residuals(&sample(0)), None);
    }
}
