//! Two runs side by side: what went in, what came out, and where they part.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use stagewright_core::{
    Report,
    record::{RunRecord, StageRun, Used},
};

/// What differs between two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The first run.
    pub before: u64,
    /// The second run.
    pub after: u64,
    /// Seeds, profiles, data versions, plugins and parameters that differ, each with both values.
    pub inputs: Vec<Difference>,
    /// Each stage of either run.
    pub stages: Vec<StageComparison>,
    /// Metrics without slices that both or either run reports, where they differ.
    pub metrics: Vec<MetricDifference>,
}

/// Something that is not the same in both runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What.
    pub what: String,
    /// In the first run; none where it is not there.
    pub before: Option<String>,
    /// In the second.
    pub after: Option<String>,
}

/// A stage in both runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageComparison {
    /// The stage.
    pub stage: String,
    /// `same` outputs, `different`, `only before`, `only after`.
    pub outputs: &'static str,
}

/// A metric in both runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricDifference {
    /// The stage that reports it.
    pub stage: String,
    /// The metric.
    pub metric: String,
    /// In the first run; none where it is undefined or absent.
    pub before: Option<f64>,
    /// In the second.
    pub after: Option<f64>,
}

/// Compares two runs. `report` finds the report of a stage that has one.
pub fn compare<'a>(
    before: &'a RunRecord,
    after: &'a RunRecord,
    report: &dyn Fn(&'a StageRun) -> Option<Report>,
) -> Comparison {
    let mut inputs = Vec::new();
    let mut differ = |what: &str, before: Option<String>, after: Option<String>| {
        if before != after {
            inputs.push(Difference { what: what.to_owned(), before, after });
        }
    };
    differ("pipeline", Some(before.pipeline.to_string()), Some(after.pipeline.to_string()));
    differ("seed", Some(before.seed.to_string()), Some(after.seed.to_string()));
    differ("profile", Some(before.profile.to_string()), Some(after.profile.to_string()));
    differ("engine", Some(before.engine.clone()), Some(after.engine.clone()));
    let said = |used: &Used| format!("{}@{} {}", used.name, used.number, used.digest.short());
    for (kind, before, after) in [("data", &before.data, &after.data), ("plugin", &before.plugins, &after.plugins)] {
        for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            differ(&format!("{kind} {name}"), before.get(name).map(said), after.get(name).map(said));
        }
    }
    let names: Vec<&str> = before.stages.iter().chain(&after.stages).map(|stage| stage.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    let (mut stages, mut metrics) = (Vec::new(), Vec::new());
    for name in names.into_iter().filter(|name| seen.insert(*name)) {
        let find = |run: &'a RunRecord| run.stages.iter().find(|stage| stage.name == name);
        let (old, new) = (find(before), find(after));
        let outputs = match (old, new) {
            (Some(old), Some(new)) if old.outputs == new.outputs => "same",
            (Some(_), Some(_)) => "different",
            (Some(_), None) => "only before",
            _ => "only after",
        };
        stages.push(StageComparison { stage: name.to_owned(), outputs });
        let (old_parameters, new_parameters) = (parameters(old), parameters(new));
        for key in old_parameters.keys().chain(new_parameters.keys()).collect::<BTreeSet<_>>() {
            let said = |of: &BTreeMap<String, &Value>| of.get(key).map(ToString::to_string);
            differ(&format!("{name}: {key}"), said(&old_parameters), said(&new_parameters));
        }
        let (old_metrics, new_metrics) = (overall(old.and_then(report)), overall(new.and_then(report)));
        for metric in old_metrics.keys().chain(new_metrics.keys()).collect::<BTreeSet<_>>() {
            let value = |of: &BTreeMap<String, Option<f64>>| of.get(metric).copied().flatten();
            let (before, after) = (value(&old_metrics), value(&new_metrics));
            if before != after {
                metrics.push(MetricDifference { stage: name.to_owned(), metric: metric.clone(), before, after });
            }
        }
    }
    Comparison { before: before.id, after: after.id, inputs, stages, metrics }
}

/// The parameters of a stage's steps. Where several steps give one a different value (a sweep), the step says which.
fn parameters(stage: Option<&StageRun>) -> BTreeMap<String, &Value> {
    let steps = stage.map(|stage| stage.steps.as_slice()).unwrap_or_default();
    let several = steps.iter().filter(|step| !step.result.spec.parameters.is_empty()).count() > 1;
    let named = |step: &str, name: &str| if several { format!("{name} of {step}") } else { name.to_owned() };
    steps
        .iter()
        .flat_map(|step| step.result.spec.parameters.iter().map(move |(name, value)| (named(&step.title, name), value)))
        .collect()
}

fn overall(report: Option<Report>) -> BTreeMap<String, Option<f64>> {
    let metrics = report.into_iter().flat_map(|report| report.metrics);
    metrics.filter(|metric| metric.labels.is_empty()).map(|metric| (metric.name, metric.value)).collect()
}
