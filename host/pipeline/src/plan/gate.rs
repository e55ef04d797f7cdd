//! Whether the figures that a gate names are figures that its stages can report.
//!
//! A plugin says which in the schema of its parameters, under `x-metrics`: a list of `{"names": [...], "labels": {...}}`.
//! A label's value is the parameter that lists the values it can have, or null where only the data knows them; values of
//! such a parameter joined by `*` stand for their intersection.

use std::{collections::BTreeMap, ops::Range};

use serde::Deserialize;
use serde_json::Value;
use stagewright_core::{StageKind, name::nearest};

use super::{Call, PlannedStage, Planner, Work};
use crate::{
    file::GateSection,
    governance::{
        gate::{Demand, FINDINGS, Rule, Subject},
        paired,
    },
};

/// Where a plugin's schema says which figures it reports.
const DECLARED: &str = "x-metrics";

/// Figures that have the same labels.
#[derive(Clone, Debug, Deserialize)]
struct Family {
    names: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, Option<String>>,
}

/// A rule, and where it stands.
struct Placed<'a> {
    rule: &'a Rule,
    at: &'a Range<usize>,
}

impl Planner<'_> {
    /// Checks the gate, where there is one.
    pub(super) fn gate(&mut self, stages: &[PlannedStage], model: Option<usize>) {
        let pipeline = self.pipeline;
        let Some(GateSection { gate, rules_at, .. }) = &pipeline.gate else { return };
        for (rule, at) in gate.rules.iter().zip(rules_at) {
            self.gate_rule(&Placed { rule, at }, stages, model);
        }
    }

    fn gate_rule(&mut self, placed: &Placed<'_>, stages: &[PlannedStage], gated: Option<usize>) {
        let Placed { rule, at } = placed;
        let subject = &rule.subject;
        let written = &self.pipeline.stages;
        let Some(stage) = self.pipeline.stage(&subject.stage) else {
            let names: Vec<&str> = written.iter().map(|stage| stage.name.value.as_str()).collect();
            let hint = crate::file::unknown(&subject.stage, &names);
            return self.file.problem(
                at,
                format!("the gate names a stage `{}`, and there is none", subject.stage),
                hint,
            );
        };
        // A stage that could not be planned has its own problems.
        let Some(planned) = stages.iter().find(|planned| planned.name == stage.name.value) else { return };
        let Work::Report { kind, call, model, .. } = &planned.work else {
            let message = format!("stage `{}` is a {} and reports nothing", subject.stage, stage.kind);
            return self.file.problem(at, message, None);
        };
        let judges = matches!(kind, StageKind::Evaluator | StageKind::FairnessChecker);
        if judges && *model != gated && gated.is_some() {
            let message = format!("stage `{}` does not judge the model that the pipeline registers", subject.stage);
            let hint = Some("give it that trainer: model = \"STAGE\"".to_owned());
            return self.file.problem(at, message, hint);
        }
        if subject.metric == FINDINGS {
            return;
        }
        let version = stage.plugins.first().map(|plugin| plugin.value.to_string()).unwrap_or_default();
        let record = self.plugins.get(&version).map(|(_, record)| record.clone());
        let Some(info) = record.as_ref().and_then(|record| record.stage(*kind)) else { return };
        match info.parameters.get(DECLARED) {
            Some(declared) => match Vec::<Family>::deserialize(declared) {
                Ok(families) => self.figure(placed, call, &families),
                Err(error) => {
                    let message = format!("plugin `{version}` says wrongly which figures it reports: {error}");
                    self.file.problem(at, message, Some("this is the plugin author's to mend".to_owned()));
                }
            },
            None => {
                let message = format!(
                    "plugin `{version}` does not say which figures it reports, so whether `{subject}` is one shows only \
                     when it has run"
                );
                let hint = format!("its author can list them in the schema of its parameters, under `{DECLARED}`");
                self.notes.push(self.file.locate(at, message, Some(hint)));
            }
        }
        if let Demand::Figure { champion: Some(_), .. } = &rule.demand {
            self.comparable(placed, *kind);
        }
    }

    fn figure(&mut self, placed: &Placed<'_>, call: &Call, families: &[Family]) {
        let Placed { rule, at } = placed;
        let subject = &rule.subject;
        let named: Vec<&Family> = families.iter().filter(|family| family.names.contains(&subject.metric)).collect();
        if named.is_empty() {
            let known: Vec<&str> = families.iter().flat_map(|family| family.names.iter().map(String::as_str)).collect();
            let hint = match nearest(&subject.metric, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it reports {}", known.join(", ")),
            };
            let message = format!("stage `{}` reports no figure `{}`", subject.stage, subject.metric);
            return self.file.problem(at, message, Some(hint));
        }
        let same = |family: &&&Family| family.labels.keys().eq(subject.labels.keys());
        let Some(family) = named.iter().find(same) else {
            let forms: Vec<String> = named.iter().map(|family| form(subject, family)).collect();
            let message = format!("`{subject}` has not the labels of a `{}`", subject.metric);
            return self.file.problem(at, message, Some(format!("write {}", forms.join(" or "))));
        };
        for (label, parameter) in &family.labels {
            let Some(parameter) = parameter else { continue };
            let values = texts(call.parameters.get(parameter));
            let given = &subject.labels[label];
            if !given.split('*').all(|part| values.contains(&part)) {
                let message = format!("stage `{}` reports nothing for {label} `{given}`", subject.stage);
                let hint = match nearest(given, values.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if values.is_empty() => format!("its parameter `{parameter}` names none"),
                    None => format!("its parameter `{parameter}` names {}", values.join(", ")),
                };
                return self.file.problem(at, message, Some(hint));
            }
        }
        if let Demand::Figure { bounds, .. } = &rule.demand
            && bounds.significance.is_some()
        {
            let test = format!("{}-p-value", subject.metric);
            if !families.iter().any(|family| family.names.contains(&test)) {
                let message = format!("stage `{}` does not test whether `{}` is chance", subject.stage, subject.metric);
                self.file.problem(at, message, Some("leave out `significance`".to_owned()));
            }
        }
    }

    /// The host itself compares two models, so it must know the metric.
    fn comparable(&mut self, placed: &Placed<'_>, kind: StageKind) {
        let subject = &placed.rule.subject;
        if kind == StageKind::Evaluator && subject.labels.is_empty() && paired::better(&subject.metric).is_some() {
            return;
        }
        let names: Vec<&str> = paired::COMPARABLE.iter().map(|(name, _)| *name).collect();
        let message = format!("models cannot be compared by `{subject}`");
        let hint = format!("an evaluator's overall {} can", names.join(", "));
        self.file.problem(placed.at, message, Some(hint));
    }
}

/// How a figure of a family is written.
fn form(subject: &Subject, family: &Family) -> String {
    let labels: Vec<String> = family.labels.keys().map(|label| format!("{label}={}", label.to_uppercase())).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    format!("`{}.{}{labels}`", subject.stage, subject.metric)
}

/// The texts of a parameter: one, or a list.
fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
