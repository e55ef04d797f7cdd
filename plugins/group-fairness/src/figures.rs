//! Plots, as Vega-Lite specifications with their data inlined and few enough points to be read by eye.

use serde_json::{Value, json};

use crate::tally::Tally;

/// The most groups that one figure shows.
const GROUPS: usize = 200;

/// How often each group is selected, with Wilson's 95 % intervals. Of very many groups, the largest.
pub fn selection_rates<'groups>(
    column: &str,
    groups: impl IntoIterator<Item = (&'groups str, &'groups Tally)>,
) -> Option<Value> {
    let mut groups: Vec<(&str, &Tally)> = groups.into_iter().collect();
    groups.sort_by(|a, b| b.1.rows.cmp(&a.1.rows).then(a.0.cmp(b.0)));
    groups.truncate(GROUPS);
    let points: Vec<Value> = groups
        .iter()
        .filter_map(|(name, tally)| {
            let (low, high) = tally.selection_rate().interval()?;
            let rate = tally.selection_rate().value();
            Some(json!({"group": name, "rate": rate, "low": low, "high": high, "rows": tally.rows}))
        })
        .collect();
    if points.is_empty() {
        return None;
    }
    Some(json!({
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "data": {"values": points},
        "encoding": {"y": {"field": "group", "type": "nominal", "title": column}},
        "layer": [
            {
                "mark": {"type": "rule"},
                "encoding": {"x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}},
            },
            {
                "mark": {"type": "point", "filled": true},
                "encoding": {
                    "x": {
                        "field": "rate",
                        "type": "quantitative",
                        "title": "Selection rate",
                        "scale": {"domain": [0, 1]},
                    },
                },
            },
        ],
    }))
}
