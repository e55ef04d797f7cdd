//! References between stages, and the order that follows from them.

use std::collections::{BTreeMap, BTreeSet};

use stagewright_core::{StageKind, name::nearest};

use super::{Planner, Table};
use crate::file::{Located, Reference, Stage};

/// What a reference must point at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Table,
    Featurizer,
    Trainer,
}

impl Planner<'_> {
    /// The positions of the stages in the file, each behind those that it depends on; stages of a cycle are left out,
    /// and the cycle is noted.
    pub(super) fn order(&mut self) -> Vec<usize> {
        let after: Vec<BTreeSet<usize>> = self.pipeline.stages.iter().map(|stage| self.dependencies(stage)).collect();
        let mut order = Vec::new();
        let mut placed = BTreeSet::new();
        // The first stage of the file that can run comes next: the order of the file is kept where it can be.
        while let Some(next) =
            (0..after.len()).find(|stage| !placed.contains(stage) && after[*stage].is_subset(&placed))
        {
            placed.insert(next);
            order.push(next);
        }
        if let Some(stuck) = (0..after.len()).find(|stage| !placed.contains(stage)) {
            self.report_cycle(&after, &placed, stuck);
        }
        order
    }

    fn report_cycle(&mut self, after: &[BTreeSet<usize>], placed: &BTreeSet<usize>, stuck: usize) {
        let mut path = vec![stuck];
        let cycle = loop {
            let last = path[path.len() - 1];
            let next = after[last].iter().find(|stage| !placed.contains(stage)).copied();
            let Some(next) = next else { break path.as_slice() };
            if let Some(start) = path.iter().position(|stage| *stage == next) {
                path.push(next);
                break &path[start..];
            }
            path.push(next);
        };
        let names: Vec<_> = cycle.iter().map(|stage| self.pipeline.stages[*stage].name.value.as_str()).collect();
        let at = self.pipeline.stages[cycle[0]].name.at.clone();
        let message = format!("these stages wait for each other: {}", names.join(" needs "));
        self.file.problem(&at, message, Some("take one of the references out".to_owned()));
    }

    /// What a stage refers to, and the validators of the tables that it reads: a violation must stop what follows.
    pub(super) fn dependencies(&self, stage: &Stage) -> BTreeSet<usize> {
        let position = |name: &str| self.pipeline.stages.iter().position(|other| other.name.value == name);
        let references = stage.inputs.values().chain(&stage.features).chain(&stage.model);
        let references: Vec<&Located<Reference>> =
            references.chain(stage.select.as_ref().map(|select| &select.on)).collect();
        let mut after: BTreeSet<usize> =
            references.iter().filter_map(|reference| position(&reference.value.stage)).collect();
        if stage.kind != StageKind::Validator {
            let guards = self.pipeline.stages.iter().enumerate().filter(|(_, other)| {
                other.kind == StageKind::Validator
                    && other.inputs.values().any(|table| stage.inputs.values().any(|input| input.value == table.value))
            });
            after.extend(guards.map(|(guard, _)| guard));
        }
        after
    }

    /// The planned position of the stage that a reference points at.
    pub(super) fn find(
        &mut self,
        reference: &Located<Reference>,
        wanted: Wanted,
        planned: &BTreeMap<&str, usize>,
    ) -> Option<usize> {
        let name = &reference.value.stage;
        let Some(stage) = self.pipeline.stage(name) else {
            let names: Vec<_> = self.pipeline.stages.iter().map(|stage| stage.name.value.as_str()).collect();
            let hint = match nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the stages are: {}", names.join(", ")),
            };
            self.file.problem(&reference.at, format!("there is no stage `{name}`"), Some(hint));
            return None;
        };
        let fits = match wanted {
            Wanted::Table => stage.kind == StageKind::Preprocessor,
            Wanted::Featurizer => stage.kind == StageKind::Featurizer,
            Wanted::Trainer => stage.kind == StageKind::Trainer,
        };
        if !fits {
            let (what, hint) = match wanted {
                Wanted::Table => ("has no table", "read a data version or a preprocessor's output"),
                Wanted::Featurizer => ("learns no features", "name a featurizer stage"),
                Wanted::Trainer => ("trains no model", "name a trainer stage"),
            };
            let message = format!("stage `{name}` ({}) {what}", stage.kind);
            self.file.problem(&reference.at, message, Some(hint.to_owned()));
            return None;
        }
        // A stage that is part of a cycle has no planned position; the cycle was noted.
        planned.get(name.as_str()).copied()
    }

    /// The table that a reference points at.
    pub(super) fn table(&mut self, reference: &Located<Reference>, planned: &BTreeMap<&str, usize>) -> Option<Table> {
        let output = reference.value.output.as_deref();
        if reference.value.stage == "data" {
            let name = output.unwrap_or_default();
            if let Some((used, _)) = self.data.get(name) {
                return Some(Table::Data(used.clone()));
            }
            // A name that [data] has but the repository lacks was noted there.
            if !self.pipeline.data.contains_key(name) {
                let names: Vec<_> = self.pipeline.data.keys().map(String::as_str).collect();
                let hint = match nearest(name, names.iter().copied()) {
                    Some(near) => format!("did you mean `data.{near}`?"),
                    None => format!("add under [data]: {name} = \"NAME@latest\""),
                };
                self.file.problem(&reference.at, format!("[data] has no `{name}`"), Some(hint));
            }
            return None;
        }
        let stage = self.find(reference, Wanted::Table, planned)?;
        let outputs = self.outputs(self.pipeline.stage(&reference.value.stage)?);
        match output {
            Some(output) if outputs.iter().any(|name| name == output) => Some(Table::Output(stage, output.to_owned())),
            None if outputs.len() == 1 => Some(Table::Output(stage, outputs[0].clone())),
            _ => {
                let stage = &reference.value.stage;
                let names: Vec<_> = outputs.iter().map(|output| format!("`{stage}.{output}`")).collect();
                let message = match output {
                    Some(output) => format!("stage `{stage}` has no output `{output}`"),
                    None => format!("stage `{stage}` has {} outputs", outputs.len()),
                };
                self.file.problem(&reference.at, message, Some(format!("name one of {}", names.join(", "))));
                None
            }
        }
    }

    /// The names of a preprocessor's outputs: those that the file gives, else those that the plugin always writes.
    pub(super) fn outputs(&self, stage: &Stage) -> Vec<String> {
        if !stage.outputs.is_empty() {
            return stage.outputs.iter().map(|output| output.value.clone()).collect();
        }
        let record = stage.plugins.first().and_then(|plugin| self.plugins.get(&plugin.value.to_string()));
        let info = record.and_then(|(_, record)| record.stage(StageKind::Preprocessor));
        let ports = info.map(|info| info.outputs.as_slice()).unwrap_or_default();
        ports.iter().filter(|port| port.name != "*" && !port.optional).map(|port| port.name.clone()).collect()
    }
}
