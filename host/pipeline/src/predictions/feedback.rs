//! Late labels: what turned out to be true, by request id. Durable when they are acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stagewright_core::{Batch, ColumnType, Field, Name, Schema};

use super::{
    Keeper, feedback_name,
    layout::{Layout, ints, texts},
    log_name,
    storage::Log,
};
use crate::{
    error::{Error, Result},
    project::Project,
};

/// So many labels may come at once.
pub const MAX_LABELS: usize = 100_000;

/// What turned out to be true of a row of a request.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// The request's id.
    #[serde(alias = "id")]
    pub request_id: String,
    /// The row among the request's, from 0.
    #[serde(default)]
    pub row: u32,
    /// The label: text, a number, or true or false.
    pub label: Value,
}

/// What became of labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// Labels that are kept.
    pub accepted: usize,
    /// Request ids that the log does not know: never answered, not in the logged share, or erased.
    pub unknown: Vec<String>,
}

/// Reads one label, a list of them, or an object with a list under `feedback`.
///
/// # Errors
/// It is neither.
pub fn parse(body: &[u8]) -> Result<Vec<Label>> {
    #[derive(Deserialize)]
    struct Many {
        feedback: Vec<Label>,
    }
    let wrong = |error: serde_json::Error| {
        Error::Invalid(format!(
            "the feedback cannot be read: {error}; send {{\"request_id\": \"...\", \"label\": ...}} or a list of those"
        ))
    };
    let value: Value = serde_json::from_slice(body).map_err(wrong)?;
    let labels: Vec<Label> = match &value {
        Value::Array(_) => serde_json::from_value(value).map_err(wrong)?,
        Value::Object(fields) if fields.contains_key("feedback") => {
            serde_json::from_value::<Many>(value).map_err(wrong)?.feedback
        }
        _ => vec![serde_json::from_value(value).map_err(wrong)?],
    };
    if labels.len() > MAX_LABELS {
        return Err(Error::Invalid(format!("{} labels at once; at most {MAX_LABELS} are taken", labels.len())));
    }
    for label in &labels {
        text(&label.label).ok_or_else(|| {
            Error::Invalid(format!("the label of request `{}` must be text, a number, true or false", label.request_id))
        })?;
    }
    Ok(labels)
}

/// Keeps labels of requests that the endpoint's log knows.
///
/// # Errors
/// The log cannot be read or written.
pub fn keep(
    project: &Project,
    keeper: &Keeper,
    environment: &Name,
    endpoint: &Name,
    labels: &[Label],
) -> Result<Accepted> {
    let log = Log::open(project, &log_name(environment, endpoint)?)?;
    let unknown =
        keeper.unknown(&log, labels.iter().map(|label| label.request_id.as_str()).collect::<BTreeSet<_>>())?;
    let known: Vec<&Label> = labels.iter().filter(|label| !unknown.contains(label.request_id.as_str())).collect();
    if !known.is_empty() {
        let now = project.actor().at_ms;
        let texts_of: Vec<String> = known.iter().filter_map(|label| text(&label.label)).collect();
        let columns = vec![
            texts(known.iter().map(|label| Some(label.request_id.as_str()))),
            ints(known.iter().map(|label| i64::from(label.row))),
            ints(known.iter().map(|_| i64::try_from(now.saturating_mul(1000)).unwrap_or(i64::MAX))),
            texts(texts_of.iter().map(|label| Some(label.as_str()))),
        ];
        let batch = Batch { rows: known.len() as u32, columns };
        batch.check(&layout().schema).map_err(|error| Error::Invalid(format!("the feedback: {error}")))?;
        Log::open(project, &feedback_name(environment, endpoint)?)?.append(layout(), &[batch], (now, now), 0)?;
    }
    Ok(Accepted { accepted: known.len(), unknown: unknown.into_iter().map(str::to_owned).collect() })
}

/// The newest label of each row of an endpoint's requests.
pub(crate) fn labels(
    project: &Project,
    environment: &Name,
    endpoint: &Name,
) -> Result<BTreeMap<(String, i64), String>> {
    let mut labels = BTreeMap::new();
    Log::open(project, &feedback_name(environment, endpoint)?)?.each(&|_| true, &mut |_, batch| {
        let [ids, rows, _, texts] = batch.columns.as_slice() else { return Ok(()) };
        for (position, row) in rows.ints().enumerate() {
            if let (Some(id), Some(label)) = (ids.text(position), texts.text(position)) {
                labels.insert((id.to_owned(), row), label.to_owned());
            }
        }
        Ok(())
    })?;
    Ok(labels)
}

fn layout() -> &'static Layout {
    static LAYOUT: OnceLock<Layout> = OnceLock::new();
    LAYOUT.get_or_init(|| {
        let fields = [
            ("request.id", ColumnType::Text),
            ("request.row", ColumnType::Int64),
            ("feedback.time", ColumnType::Timestamp),
            ("feedback.label", ColumnType::Text),
        ];
        let fields = fields.map(|(name, column_type)| Field::new(name, column_type, false));
        Layout { schema: Schema::new(fields.to_vec()).expect("four names that differ"), inputs: 0 }
    })
}

/// A label as text.
fn text(label: &Value) -> Option<String> {
    match label {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(label.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_comes_alone_in_a_list_or_under_its_name() {
        let one = r#"{"request_id": "a", "label": ">50K"}"#;
        for body in [one.to_owned(), format!("[{one}]"), format!("{{\"feedback\": [{one}]}}")] {
            let labels = parse(body.as_bytes()).unwrap();
            assert_eq!((labels.len(), labels[0].row, &labels[0].label), (1, 0, &Value::from(">50K")));
        }
    }

    #[test]
    fn feedback_that_is_none_is_refused() {
        for body in [
            "",
            "3",
            "{}",
            r#"{"request_id": "a"}"#,
            r#"{"request_id": "a", "label": null}"#,
            r#"{"request_id": "a", "label": [1]}"#,
            r#"{"request_id": "a", "label": 1, "lable": 2}"#,
            r#"{"request_id": "a", "label": 1, "row": -1}"#,
        ] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
