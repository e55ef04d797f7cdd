//! From a file to a graph: versions resolved, parameters checked and completed, references followed, order found.
//!
//! Planning runs nothing. Whatever it accepts can only fail for what the data or a plugin's code turn out to be.

mod gate;
mod grants;
mod graph;
mod stage;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use serde_json::Value;
use stagewright_core::{
    Digest, Grants, Name, Schema, StageKind, VersionRef,
    grant::Capability,
    name::nearest,
    record::{PluginRecord, Used},
};

use crate::{
    file::{Located, Pipeline, Problem, Problems, Source, Stage},
    params::{Checker, Parameters},
};

/// What a plan needs to know of the repositories.
pub trait Catalog {
    /// A version in the data repository, and its columns.
    ///
    /// # Errors
    /// There is no such version; the text says what there is.
    fn data(&self, version: &VersionRef) -> Result<(Used, Schema), String>;

    /// A version of a plugin.
    ///
    /// # Errors
    /// There is no such version; the text says what there is.
    fn plugin(&self, version: &VersionRef) -> Result<(Used, Arc<PluginRecord>), String>;

    /// What the operator allows stages to be granted.
    fn allowed(&self) -> Grants {
        Grants::default()
    }

    /// Whether a folder that the operator names can be granted.
    ///
    /// # Errors
    /// It is not there, or holds what no stage may see; the text says which.
    fn folder(&self, path: &str) -> Result<(), String> {
        Err(format!("there is no {path}"))
    }
}

/// A pipeline that can run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The file.
    pub pipeline: Pipeline,
    /// Data versions, by the name that the pipeline gives them.
    pub data: BTreeMap<String, Used>,
    /// Plugin versions, by the text that the pipeline names them with.
    pub plugins: BTreeMap<String, Used>,
    /// The stages, each behind those that it depends on.
    pub stages: Vec<PlannedStage>,
    /// The name of the model to register and the trainer that makes it.
    pub model: Option<(Name, usize)>,
    /// What could not be checked, and why.
    pub notes: Vec<Problem>,
}

/// A stage that can run once those before it have.
#[derive(Clone, Debug)]
pub struct PlannedStage {
    /// Its name.
    pub name: String,
    /// Its position in the file.
    pub position: usize,
    /// The stages that must have succeeded.
    pub after: BTreeSet<usize>,
    /// Its seed.
    pub seed: u64,
    /// Whether results are kept for later runs even where the stage is granted something.
    pub cache: bool,
    /// What it does.
    pub work: Work,
}

/// A plugin with its parameters complete.
#[derive(Clone, Debug)]
pub struct Call {
    /// The plugin.
    pub plugin: Used,
    /// Its parameters.
    pub parameters: Parameters,
    /// What it is granted of the real world.
    pub grants: Grants,
}

/// Where a table comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Table {
    /// The data repository.
    Data(Used),
    /// An output of an earlier stage.
    Output(usize, String),
}

/// What a stage does.
#[derive(Clone, Debug)]
pub enum Work {
    /// A preprocessor.
    Prepare {
        /// What runs.
        call: Call,
        /// Tables by port.
        inputs: Vec<(String, Table)>,
        /// The tables to write, in order.
        outputs: Vec<String>,
    },
    /// A featurizer is fitted.
    Fit {
        /// What runs.
        call: Call,
        /// The training rows.
        input: Table,
        /// Featurizers in front of it.
        features: Vec<usize>,
    },
    /// Candidates are trained and the best is selected.
    Train {
        /// What competes.
        candidates: Vec<PlannedCandidate>,
        /// The training rows.
        input: Table,
        /// The validation rows.
        validation: Option<Table>,
        /// Featurizers in front of it.
        features: Vec<usize>,
        /// How the best is found, where there is a choice.
        select: Option<PlannedSelect>,
    },
    /// An evaluator, fairness checker, validator or monitor reports.
    Report {
        /// Which of the four.
        kind: StageKind,
        /// What runs.
        call: Call,
        /// The tables by port: `input`, or `reference` and `current`.
        inputs: Vec<(String, Table)>,
        /// The trainer whose model is judged.
        model: Option<usize>,
    },
}

impl Work {
    /// Every plugin that it runs, with parameters.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        let (one, candidates, select) = match self {
            Self::Prepare { call, .. } | Self::Fit { call, .. } | Self::Report { call, .. } => {
                (Some(call), &[][..], None)
            }
            Self::Train { candidates, select, .. } => (None, candidates.as_slice(), select.as_ref()),
        };
        let candidates = candidates.iter().map(|candidate| &candidate.call);
        one.into_iter().chain(candidates).chain(select.map(|select| &select.call))
    }

    /// The kind of stage.
    pub const fn kind(&self) -> StageKind {
        match self {
            Self::Prepare { .. } => StageKind::Preprocessor,
            Self::Fit { .. } => StageKind::Featurizer,
            Self::Train { .. } => StageKind::Trainer,
            Self::Report { kind, .. } => *kind,
        }
    }
}

/// A trainer with one choice of parameters.
#[derive(Clone, Debug)]
pub struct PlannedCandidate {
    /// What runs.
    pub call: Call,
    /// The parameters that the sweep chose.
    pub varied: Parameters,
}

/// How the best candidate is found.
#[derive(Clone, Debug)]
pub struct PlannedSelect {
    /// The evaluator.
    pub call: Call,
    /// Its metric.
    pub metric: String,
    /// Whether a larger value is better.
    pub maximize: bool,
    /// The table that the candidates are compared on.
    pub on: Table,
}

impl Plan {
    /// Plans a pipeline.
    ///
    /// # Errors
    /// Everything that is wrong, at its place in the file.
    pub fn new(pipeline: &Pipeline, catalog: &dyn Catalog) -> Result<Self, Problems> {
        let mut planner = Planner {
            file: pipeline.source.clone(),
            pipeline,
            catalog,
            data: BTreeMap::new(),
            plugins: BTreeMap::new(),
            taken: BTreeSet::new(),
            grants: BTreeMap::new(),
            asked: BTreeMap::new(),
            checkers: BTreeMap::new(),
            notes: Vec::new(),
        };
        planner.resolve_data();
        planner.resolve_plugins();
        planner.resolve_grants();
        let order = planner.order();
        let stages = planner.stages(&order);
        let model = planner.model(&order);
        planner.gate(&stages, model.as_ref().map(|(_, trainer)| *trainer));
        planner.unused_defaults();
        planner.unused_grants();
        let notes = std::mem::take(&mut planner.notes);
        let plugins = planner.plugins.into_iter().map(|(name, (used, _))| (name, used)).collect();
        let data = planner.data.into_iter().map(|(name, (used, _))| (name, used)).collect();
        planner.file.finish(Self { pipeline: pipeline.clone(), data, plugins, stages, model, notes })
    }

    /// Whether running it again would do nothing new: no stage asks the world anew.
    pub fn repeatable(&self) -> bool {
        self.stages.iter().all(|stage| stage.cache || stage.work.calls().all(|call| call.grants.is_empty()))
    }

    /// The position of a planned stage.
    pub fn stage(&self, name: &str) -> Option<usize> {
        self.stages.iter().position(|stage| stage.name == name)
    }
}

struct Planner<'a> {
    file: Source,
    pipeline: &'a Pipeline,
    catalog: &'a dyn Catalog,
    data: BTreeMap<String, (Used, Schema)>,
    plugins: BTreeMap<String, (Used, Arc<PluginRecord>)>,
    /// The defaults that some stage takes.
    taken: BTreeSet<String>,
    /// What each stage is granted, by its name.
    grants: BTreeMap<String, Grants>,
    /// What each stage's plugins ask for.
    asked: BTreeMap<String, BTreeSet<Capability>>,
    /// What checks parameters, by component: preparing it costs more than checking.
    checkers: BTreeMap<(Digest, StageKind), Checker>,
    notes: Vec<Problem>,
}

impl<'a> Planner<'a> {
    fn resolve_data(&mut self) {
        for (name, version) in &self.pipeline.data {
            match self.catalog.data(&version.value) {
                Ok(found) => {
                    self.data.insert(name.clone(), found);
                }
                Err(message) => self.file.problem(&version.at, message, None),
            }
        }
    }

    fn resolve_plugins(&mut self) {
        let selects = self.pipeline.stages.iter().filter_map(|stage| stage.select.as_ref()?.evaluator.as_ref());
        let wanted: Vec<&Located<VersionRef>> =
            self.pipeline.stages.iter().flat_map(|stage| &stage.plugins).chain(selects).collect();
        let mut tried = BTreeSet::new();
        for version in wanted {
            if !tried.insert(version.value.to_string()) {
                continue;
            }
            match self.catalog.plugin(&version.value) {
                Ok(found) => {
                    self.plugins.insert(version.value.to_string(), found);
                }
                Err(message) => self.file.problem(&version.at, message, None),
            }
        }
    }

    /// A plugin's call as a stage of this kind; none where the plugin was not found or does not fit.
    fn call(
        &mut self,
        stage: &Stage,
        version: &Located<VersionRef>,
        kind: StageKind,
        with: &BTreeMap<String, Located<Value>>,
        with_at: &Range<usize>,
        varied: &Parameters,
    ) -> Option<Call> {
        let (plugin, record) = self.plugins.get(&version.value.to_string())?.clone();
        let Some(info) = record.stage(kind) else {
            let kinds: Vec<_> = record.stages.iter().map(|stage| stage.kind.as_str()).collect();
            let message = format!("plugin `{}` is no {kind}", version.value);
            self.file.problem(&version.at, message, Some(format!("it exports: {}", kinds.join(", "))));
            return None;
        };
        let grants = self.granted(version, &record, stage);
        let known = crate::params::known(&info.parameters);
        let mut given = Parameters::new();
        for (name, default) in &self.pipeline.defaults {
            if known.contains(&name.as_str()) {
                self.taken.insert(name.clone());
                given.insert(name.clone(), default.value.clone());
            }
        }
        given.extend(with.iter().map(|(name, value)| (name.clone(), value.value.clone())));
        given.extend(varied.clone());
        let checker = self.checkers.entry((plugin.digest, kind)).or_insert_with(|| Checker::new(&info.parameters));
        match checker.complete(&given) {
            Ok(parameters) => Some(Call { plugin, parameters, grants }),
            Err(problems) => {
                for problem in problems {
                    let at = problem.parameter.as_ref().and_then(|name| {
                        with.get(name).or_else(|| self.pipeline.defaults.get(name)).map(|value| value.at.clone())
                    });
                    let message = format!("{} ({kind} `{}`)", problem.message, version.value.name);
                    self.file.problem(&at.unwrap_or_else(|| with_at.clone()), message, problem.hint);
                }
                None
            }
        }
    }

    fn model(&mut self, order: &[usize]) -> Option<(Name, usize)> {
        let section = self.pipeline.model.as_ref()?;
        let stages = &self.pipeline.stages;
        let trainers: Vec<usize> =
            (0..stages.len()).filter(|position| stages[*position].kind == StageKind::Trainer).collect();
        let found = match &section.from {
            Some(from) => trainers.iter().find(|position| stages[**position].name.value == from.value.stage),
            None if trainers.len() == 1 => trainers.first(),
            None => None,
        };
        let Some(found) = found else {
            let names: Vec<_> = trainers.iter().map(|position| stages[*position].name.value.as_str()).collect();
            let at = section.from.as_ref().map_or(&section.name.at, |from| &from.at);
            let hint = match names.as_slice() {
                [] => "the pipeline has no trainer stage".to_owned(),
                names => format!("say which trainer's model it is: from = one of {}", names.join(", ")),
            };
            self.file.problem(at, "[model] needs one trainer", Some(hint));
            return None;
        };
        // A trainer that is part of a cycle has no planned position; the cycle was noted.
        let planned = order.iter().position(|position| position == found)?;
        Some((section.name.value.clone(), planned))
    }

    fn unused_defaults(&mut self) {
        // Where a plugin is missing, nobody can say what it would have taken.
        if !self.file.is_sound() {
            return;
        }
        let known: BTreeSet<String> = self
            .plugins
            .values()
            .flat_map(|(_, record)| &record.stages)
            .flat_map(|stage| crate::params::known(&stage.parameters))
            .map(str::to_owned)
            .collect();
        for (name, default) in &self.pipeline.defaults {
            if !self.taken.contains(name) {
                let hint =
                    nearest(name, known.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
                self.file.problem(&default.at, format!("no stage takes a parameter `{name}`"), hint);
            }
        }
    }
}

#[cfg(test)]
mod tests;
