//! A model version as a whole: what it is made of, what went in, what came out, how it stands; and two of them compared.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use stagewright_core::{
    Digest, Name, Schema, StageKind, VersionRef, canonical,
    record::{Model, RunRecord, Used},
    report::Metric,
    stage::Operation,
};

use super::{
    approval::{Standing, standing},
    evidence,
    state::{resolve, shown},
};
use crate::{
    compare::Difference,
    error::{Error, Result},
    execute,
    project::Project,
};

/// A servable model version and everything that is known of it.
#[derive(Clone, Debug, Serialize)]
pub struct Bundle {
    /// The version, its state, its verdict and what people said of it.
    #[serde(flatten)]
    pub standing: Standing,
    /// The names that point at it beside its number.
    pub aliases: Vec<Name>,
    /// The components with what they learned, in the order in which rows pass them; the predictor is the last.
    pub parts: Vec<Part>,
    /// The columns of the rows that it was trained on.
    pub input: Schema,
    /// The columns of its predictions. None where no scored rows are left to tell.
    pub output: Option<Schema>,
    /// How it was trained. None where the run was forgotten or is another project's.
    pub training: Option<Training>,
}

/// A component of a model, and what it learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `featurizer` or `predictor`.
    pub kind: StageKind,
    /// The plugin's version, where the run says which it was.
    pub plugin: Option<Used>,
    /// The component.
    pub component: Digest,
    /// Its state or weights.
    pub state: Digest,
    /// Their bytes.
    pub state_bytes: u64,
}

/// The run that trained a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Training {
    /// The run.
    pub run: u64,
    /// Its pipeline.
    pub pipeline: Used,
    /// Who started it.
    pub author: String,
    /// The seed.
    pub seed: u64,
    /// The commit of the project in git, where it was in git.
    pub git: Option<stagewright_core::record::GitState>,
    /// The data that went in, by the pipeline's name for it.
    pub data: BTreeMap<String, Used>,
    /// The parameters that the model was trained with.
    pub parameters: BTreeMap<String, Value>,
    /// The reports, by stage.
    pub reports: BTreeMap<String, Digest>,
}

/// Everything about a version.
///
/// # Errors
/// There is no such version, or a record about it is damaged.
pub fn bundle(project: &Project, wanted: &VersionRef) -> Result<Bundle> {
    let standing = standing(project, wanted)?;
    let version = &standing.version;
    let models = project.store.models()?;
    let model: Model = canonical::from_slice(&models.bytes(&version.digest)?)
        .map_err(|error| Error::Invalid(format!("{} is no model: {error}", shown(version))))?;
    let run = evidence::run_of(project, version).ok();
    let plugin = |component: Digest| {
        let plugins = run.iter().flat_map(|run| run.plugins.values());
        plugins.into_iter().find(|used| used.digest == component).cloned()
    };
    let fitted = model.featurizers.iter().map(|part| (StageKind::Featurizer, part));
    let parts = fitted.chain([(StageKind::Predictor, &model.predictor)]).map(|(kind, part)| {
        let state_bytes = models.len(&part.state)?;
        Ok(Part { kind, plugin: plugin(part.component), component: part.component, state: part.state, state_bytes })
    });
    let parts = parts.collect::<Result<_>>()?;
    let tags = models.tags(&version.name)?.into_iter();
    let aliases = tags.filter(|(_, number)| *number == version.number).map(|(tag, _)| tag).collect();
    let output = run.as_ref().and_then(|run| output_schema(project, run, version.digest));
    let training = run.map(|run| training(&run, &model));
    Ok(Bundle { aliases, parts, input: model.input, output, training, standing })
}

/// Predictions stand behind the rows' own columns, wherever this model scored rows.
fn output_schema(project: &Project, run: &RunRecord, model: Digest) -> Option<Schema> {
    let scored = run
        .steps()
        .map(|(_, step)| &step.result)
        .filter(|result| result.spec.operation == Operation::Score && result.spec.inputs.get("model") == Some(&model));
    let data = project.store.data().ok()?;
    let schema = |digest: Option<&Digest>| Some(data.table(digest?).ok()?.schema().clone());
    scored.into_iter().find_map(|result| {
        let rows = schema(result.spec.inputs.get("input"))?;
        let scored = schema(result.outputs.get("output"))?;
        Schema::new(scored.fields().get(rows.len()..)?.to_vec()).ok()
    })
}

fn training(run: &RunRecord, model: &Model) -> Training {
    let made = |result: &&stagewright_core::record::StageResult| {
        result.spec.operation == Operation::Train && result.outputs.values().any(|made| *made == model.predictor.state)
    };
    let step = run.steps().map(|(_, step)| &step.result).find(made);
    Training {
        run: run.id,
        pipeline: run.pipeline_file.clone(),
        author: run.author.clone(),
        seed: run.seed,
        git: run.git.clone(),
        data: run.data.clone(),
        parameters: step.map(|step| step.spec.parameters.clone()).unwrap_or_default(),
        reports: evidence::reports(run),
    }
}

/// How two versions differ.
#[derive(Clone, Debug, Serialize)]
pub struct ModelComparison {
    /// The first.
    pub before: Used,
    /// The second.
    pub after: Used,
    /// Data, plugins, parameters, seeds and parts that differ.
    pub inputs: Vec<Difference>,
    /// The figures of either's reports, overall and of each slice, where they differ.
    pub metrics: Vec<MetricPair>,
}

/// A figure in both versions' reports, with its interval.
#[derive(Clone, Debug, Serialize)]
pub struct MetricPair {
    /// The stage that reports it.
    pub stage: String,
    /// In the first version's report; none where it is not there.
    pub before: Option<Metric>,
    /// In the second's.
    pub after: Option<Metric>,
}

impl MetricPair {
    /// The figure as gates name it.
    pub fn subject(&self) -> super::gate::Subject {
        let metric = self.before.as_ref().or(self.after.as_ref());
        let (name, labels) = metric.map(|metric| (metric.name.clone(), metric.labels.clone())).unwrap_or_default();
        super::gate::Subject { stage: self.stage.clone(), metric: name, labels }
    }
}

/// Compares two versions, of one model or of two.
///
/// # Errors
/// There is no such version, or its run is not known.
pub fn compare(project: &Project, before: &VersionRef, after: &VersionRef) -> Result<ModelComparison> {
    let (before, after) = (bundle(project, before)?, bundle(project, after)?);
    let run = |bundle: &Bundle| evidence::run_of(project, &bundle.standing.version);
    let (old, new) = (run(&before)?, run(&after)?);
    let mut inputs = training_differences(&before, &after);
    let part = |bundle: &Bundle, place: usize| {
        let part = bundle.parts.get(place)?;
        let plugin = part.plugin.as_ref().map(|plugin| format!("{}@{} ", plugin.name, plugin.number));
        Some(format!("{}with state {}", plugin.unwrap_or_default(), part.state.short()))
    };
    for place in 0..before.parts.len().max(after.parts.len()) {
        let (one, other) = (part(&before, place), part(&after, place));
        if one != other {
            inputs.push(Difference { what: format!("part {}", place + 1), before: one, after: other });
        }
    }
    let figures = |run: &RunRecord| -> Result<BTreeMap<_, Metric>> {
        let mut figures = BTreeMap::new();
        for (stage, digest) in evidence::reports(run) {
            for metric in execute::report(project, &digest)?.metrics {
                figures.insert((stage.clone(), metric.name.clone(), metric.labels.clone()), metric);
            }
        }
        Ok(figures)
    };
    let (old, new) = (figures(&old)?, figures(&new)?);
    let names: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
    let pair = |key: &(String, String, BTreeMap<String, String>)| MetricPair {
        stage: key.0.clone(),
        before: old.get(key).cloned(),
        after: new.get(key).cloned(),
    };
    let metrics = names.iter().map(pair).filter(|pair| pair.before != pair.after).collect();
    let used = |bundle: &Bundle| {
        let version = &bundle.standing.version;
        Used { name: version.name.clone(), number: version.number, digest: version.digest }
    };
    Ok(ModelComparison { before: used(&before), after: used(&after), inputs, metrics })
}

/// What went into two models and is not the same: pipeline, seed, data, and the parameters that they were trained with.
fn training_differences(before: &Bundle, after: &Bundle) -> Vec<Difference> {
    let facts = |bundle: &Bundle| -> BTreeMap<String, String> {
        let Some(training) = &bundle.training else { return BTreeMap::new() };
        let said = |used: &Used| format!("{}@{} {}", used.name, used.number, used.digest.short());
        let data = training.data.iter().map(|(name, used)| (format!("data {name}"), said(used)));
        let parameters =
            training.parameters.iter().map(|(name, value)| (format!("parameter {name}"), value.to_string()));
        let rest = [
            ("pipeline".to_owned(), said(&training.pipeline)),
            ("seed".to_owned(), training.seed.to_string()),
            ("author".to_owned(), training.author.clone()),
        ];
        data.chain(parameters).chain(rest).collect()
    };
    let (before, after) = (facts(before), facts(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differs = |name: &&String| before.get(*name) != after.get(*name);
    let difference = |name: &String| Difference {
        what: name.clone(),
        before: before.get(name).cloned(),
        after: after.get(name).cloned(),
    };
    names.into_iter().filter(differs).map(difference).collect()
}

/// Registered versions with their states and aliases, newest first for each name.
///
/// # Errors
/// The models repository cannot be read.
pub fn list(project: &Project, name: Option<&Name>) -> Result<Vec<Listed>> {
    let models = project.store.models()?;
    let mut listed = Vec::new();
    for known in models.names()?.into_iter().filter(|known| name.is_none_or(|name| name == known)) {
        let tags = models.tags(&known)?;
        for version in models.log(&known)? {
            if version.kind != stagewright_store::ArtifactKind::Model {
                continue;
            }
            let aliases = tags.iter().filter(|(_, number)| *number == version.number).map(|(tag, _)| tag.clone());
            let state = super::state::state(project, &version)?;
            listed.push(Listed { aliases: aliases.collect(), state, version });
        }
    }
    match (listed.is_empty(), name) {
        // The store's own message says what there is instead.
        (true, Some(name)) => Err(resolve(project, &name.to_string().parse()?)
            .map(|_| ())
            .err()
            .unwrap_or_else(|| Error::Invalid(format!("there is no model `{name}`")))),
        _ => Ok(listed),
    }
}

/// A version in a list.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// The version.
    pub version: stagewright_store::Version,
    /// Its state.
    pub state: super::state::ModelState,
    /// The names that point at it beside its number.
    pub aliases: Vec<Name>,
}
