//! What each stage will do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use stagewright_core::{StageKind, VersionRef, stage::Port};

use super::{PlannedCandidate, PlannedSelect, PlannedStage, Planner, Work, graph::Wanted};
use crate::{
    file::{Located, Select, Stage},
    params::Parameters,
};

/// More candidates than this are a slip, not a sweep.
const MAX_CANDIDATES: usize = 10_000;

impl<'a> Planner<'a> {
    pub(super) fn stages(&mut self, order: &[usize]) -> Vec<PlannedStage> {
        let pipeline = self.pipeline;
        let planned: BTreeMap<&str, usize> = order
            .iter()
            .enumerate()
            .map(|(planned, position)| (pipeline.stages[*position].name.value.as_str(), planned))
            .collect();
        let mut stages = Vec::new();
        for (position, stage) in pipeline.stages.iter().enumerate() {
            // Stages of a cycle are planned too, so that their other mistakes are told at the same time.
            let work = self.work(stage, &planned);
            if let (Some(work), Some(index)) = (work, planned.get(stage.name.value.as_str())) {
                let after = self
                    .dependencies(stage)
                    .into_iter()
                    .filter_map(|other| planned.get(pipeline.stages[other].name.value.as_str()).copied());
                let after = after.collect();
                let seed = stage.seed.unwrap_or(pipeline.seed);
                let (name, cache) = (stage.name.value.clone(), stage.cache.as_ref().is_some_and(|cache| cache.value));
                stages.push((*index, PlannedStage { name, position, after, seed, cache, work }));
            }
        }
        stages.sort_by_key(|(index, _)| *index);
        stages.into_iter().map(|(_, stage)| stage).collect()
    }

    fn work(&mut self, stage: &'a Stage, planned: &BTreeMap<&str, usize>) -> Option<Work> {
        match stage.kind {
            StageKind::Preprocessor => self.prepare(stage, planned),
            StageKind::Featurizer => {
                let call = self.only_call(stage);
                let input = stage.inputs.get("input").and_then(|input| self.table(input, planned));
                let features = self.features(stage, planned);
                Some(Work::Fit { call: call?, input: input?, features: features? })
            }
            StageKind::Trainer => self.train(stage, planned),
            kind => {
                let call = self.only_call(stage);
                let ports = if kind == StageKind::Monitor { &["reference", "current"][..] } else { &["input"] };
                let mut inputs = Some(Vec::new());
                for port in ports {
                    match stage.inputs.get(*port).and_then(|reference| self.table(reference, planned)) {
                        Some(table) => inputs.iter_mut().for_each(|all| all.push(((*port).to_owned(), table.clone()))),
                        None => inputs = None,
                    }
                }
                let model = match &stage.model {
                    Some(reference) => Some(self.find(reference, Wanted::Trainer, planned)?),
                    None => None,
                };
                Some(Work::Report { kind, call: call?, inputs: inputs?, model })
            }
        }
    }

    fn only_call(&mut self, stage: &Stage) -> Option<super::Call> {
        self.call(stage, stage.plugins.first()?, stage.kind, &stage.with, &stage.with_at, &Parameters::new())
    }

    fn features(&mut self, stage: &Stage, planned: &BTreeMap<&str, usize>) -> Option<Vec<usize>> {
        let found: Vec<_> =
            stage.features.iter().map(|reference| self.find(reference, Wanted::Featurizer, planned)).collect();
        found.into_iter().collect()
    }

    fn prepare(&mut self, stage: &Stage, planned: &BTreeMap<&str, usize>) -> Option<Work> {
        let call = self.only_call(stage);
        let plugin = stage.plugins.first()?;
        let (_, record) = self.plugins.get(&plugin.value.to_string())?.clone();
        let info = record.stage(StageKind::Preprocessor)?;

        let outputs = self.outputs(stage);
        let free = |ports: &[Port]| ports.iter().any(|port| port.name == "*");
        let names = |ports: &[Port]| ports.iter().map(|port| port.name.clone()).collect::<Vec<_>>().join(", ");
        let unknown = |ports: &[Port], name: &str| !free(ports) && !ports.iter().any(|port| port.name == name);
        for output in stage.outputs.iter().filter(|output| unknown(&info.outputs, &output.value)) {
            let message = format!("plugin `{}` has no output `{}`", plugin.value, output.value);
            self.file.problem(&output.at, message, Some(format!("its outputs: {}", names(&info.outputs))));
        }
        if outputs.is_empty() {
            let message = format!("plugin `{}` writes as many tables as the stage names", plugin.value);
            self.file.problem(&stage.name.at, message, Some("add: outputs = [\"NAME\", ...]".to_owned()));
        }

        let mut inputs = Vec::new();
        for (port, reference) in &stage.inputs {
            // `input` stands for the plugin's first port, whatever the plugin calls it.
            let only = stage.inputs.len() == 1 && port == "input" && unknown(&info.inputs, port);
            let port = match info.inputs.first() {
                Some(first) if only => first.name.clone(),
                _ => port.clone(),
            };
            if unknown(&info.inputs, &port) {
                let message = format!("plugin `{}` has no input `{port}`", plugin.value);
                self.file.problem(&reference.at, message, Some(format!("its inputs: {}", names(&info.inputs))));
            }
            inputs.extend(self.table(reference, planned).map(|table| (port, table)));
        }
        let given: BTreeSet<&str> = inputs.iter().map(|(port, _)| port.as_str()).collect();
        for port in info.inputs.iter().filter(|port| port.name != "*" && !port.optional) {
            if !given.contains(port.name.as_str()) && inputs.len() == stage.inputs.len() {
                let message = format!("plugin `{}` needs an input `{}`: {}", plugin.value, port.name, port.doc);
                self.file.problem(&stage.name.at, message, None);
            }
        }
        (inputs.len() == stage.inputs.len()).then_some(Work::Prepare { call: call?, inputs, outputs })
    }

    fn train(&mut self, stage: &'a Stage, planned: &BTreeMap<&str, usize>) -> Option<Work> {
        let mut candidates = Vec::new();
        let mut swept = BTreeSet::new();
        for plugin in &stage.plugins {
            if let Some((_, record)) = self.plugins.get(&plugin.value.to_string())
                && record.stage(StageKind::Trainer).is_some()
                && record.stage(StageKind::Predictor).is_none()
            {
                let message =
                    format!("plugin `{}` exports a trainer but no predictor to read its weights", plugin.value);
                self.file.problem(&plugin.at, message, Some("this is the plugin author's to mend".to_owned()));
            }
            for varied in self.choices(stage, plugin, &mut swept) {
                if let Some(call) = self.call(stage, plugin, stage.kind, &stage.with, &stage.with_at, &varied) {
                    candidates.push(PlannedCandidate { call, varied });
                }
            }
        }
        let all_found = stage.plugins.iter().all(|plugin| self.plugins.contains_key(&plugin.value.to_string()));
        for (name, values) in stage.sweep.iter().filter(|(name, _)| all_found && !swept.contains(*name)) {
            self.file.problem(&values.at, format!("no candidate takes a parameter `{name}`"), None);
        }
        let input = stage.inputs.get("input").and_then(|input| self.table(input, planned));
        let validation = match stage.inputs.get("validation") {
            Some(reference) => Some(self.table(reference, planned)?),
            None => None,
        };
        let features = self.features(stage, planned);
        let select = match &stage.select {
            Some(select) => Some(self.select(stage, select, planned)?),
            None if candidates.len() > 1 => {
                let message =
                    format!("[stage.{}] has {} candidates but no `select`", stage.name.value, candidates.len());
                let hint =
                    "add: select = { metric = \"roc-auc\", goal = \"maximize\", on = \"STAGE.OUTPUT\" }".to_owned();
                self.file.problem(&stage.name.at, message, Some(hint));
                None
            }
            None => None,
        };
        let features = features?;
        (!candidates.is_empty()).then_some(Work::Train { candidates, input: input?, validation, features, select })
    }

    /// Every combination of the swept parameters that this plugin takes.
    fn choices(
        &mut self,
        stage: &Stage,
        plugin: &Located<VersionRef>,
        swept: &mut BTreeSet<String>,
    ) -> Vec<Parameters> {
        let Some((_, record)) = self.plugins.get(&plugin.value.to_string()) else { return Vec::new() };
        let record = record.clone();
        let schema = record.stage(StageKind::Trainer).map_or(&Value::Null, |info| &info.parameters);
        let known = crate::params::known(schema);
        let mut choices = vec![Parameters::new()];
        for (name, values) in stage.sweep.iter().filter(|(name, _)| known.contains(&name.as_str())) {
            swept.insert(name.clone());
            if choices.len() * values.value.len() > MAX_CANDIDATES {
                let message = format!("the sweep has more than {MAX_CANDIDATES} candidates");
                self.file.problem(&values.at, message, None);
                return Vec::new();
            }
            let with = |choice: &Parameters, value: &Value| {
                let mut choice = choice.clone();
                choice.insert(name.clone(), value.clone());
                choice
            };
            choices =
                choices.iter().flat_map(|choice| values.value.iter().map(move |value| with(choice, value))).collect();
        }
        choices
    }

    fn select(&mut self, stage: &Stage, select: &Select, planned: &BTreeMap<&str, usize>) -> Option<PlannedSelect> {
        let on = self.table(&select.on, planned);
        let judge = self.pipeline.stages.iter().find(|other| {
            other.kind == StageKind::Evaluator
                && other.model.as_ref().is_some_and(|model| model.value.stage == stage.name.value)
        });
        let nothing = BTreeMap::new();
        let call = match (&select.evaluator, judge) {
            (Some(evaluator), _) => {
                self.call(stage, evaluator, StageKind::Evaluator, &nothing, &evaluator.at, &Parameters::new())
            }
            (None, Some(judge)) => self.only_call(judge),
            (None, None) => {
                let message = "nothing says which evaluator computes the metric".to_owned();
                let hint =
                    "add to select: evaluator = \"classification\", or an evaluator stage of this model".to_owned();
                self.file.problem(&select.metric.at, message, Some(hint));
                None
            }
        };
        Some(PlannedSelect { call: call?, metric: select.metric.value.clone(), maximize: select.maximize, on: on? })
    }
}
