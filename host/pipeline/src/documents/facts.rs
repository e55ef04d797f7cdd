//! What the record says of a model: everything that its documents are made from, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use stagewright_core::{
    Digest, Field, Name, Report, Schema, StageKind, VersionRef, canonical,
    record::{Fitted, Model, PluginRecord, RunRecord, StageRun, StepRun, Used},
    stage::Operation,
};
use stagewright_store::{ArtifactKind, Repository, StoreError, Version};

use super::decisions::Decisions;
use crate::{
    code,
    error::{Error, Result},
    execute,
    file::Pipeline,
    project::Project,
    run,
};

/// Everything that the documents of a model are made from.
#[derive(Debug)]
pub struct Facts {
    /// The project's name, where its settings have one.
    pub project: Option<String>,
    /// The model's version.
    pub version: Version,
    /// The versions of the same name before it that are still there, newest first.
    pub earlier: Vec<Version>,
    /// The tags of this version.
    pub tags: Vec<Name>,
    /// The model.
    pub model: Model,
    /// The model's record, which names its parts.
    pub record: Artifact,
    /// The run that made it.
    pub run: RunRecord,
    /// The pipeline file of that run.
    pub pipeline_file: Artifact,
    /// The components of that run, by name and number.
    pub components: Vec<Component>,
    /// The model's parts in the order in which they are applied, the predictor last.
    pub parts: Vec<Part>,
    /// The data versions of that run.
    pub data: Vec<Dataset>,
    /// How the predictor was trained.
    pub training: Option<Training>,
    /// What evaluators and fairness checkers said of this model, and validators of the data, in the run's order.
    pub reports: Vec<StageReport>,
    /// The columns that the model returns, where a run applied it to rows.
    pub outputs: Vec<Field>,
    /// What was decided about the version.
    pub decisions: Decisions,
}

/// Stored bytes, named in the ways that other formats ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its name here: BLAKE3.
    pub digest: Digest,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// The number of bytes.
    pub bytes: u64,
}

/// A component of the run.
#[derive(Debug)]
pub struct Component {
    /// The plugin's name.
    pub name: Name,
    /// The plugin's version.
    pub number: u64,
    /// The component.
    pub artifact: Artifact,
    /// What it says of itself.
    pub record: Option<PluginRecord>,
}

impl Component {
    /// `gradient-boosting@1`.
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.number)
    }

    /// What its metadata say under this name.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.record.as_ref()?.metadata.get(name).map(String::as_str)
    }
}

/// A part of the model.
#[derive(Debug)]
pub struct Part {
    /// `featurizer` or `predictor`.
    pub role: &'static str,
    /// The position of its component among [`Facts::components`].
    pub component: usize,
    /// What it learned.
    pub state: Artifact,
}

/// A data version of the run.
#[derive(Debug)]
pub struct Dataset {
    /// What the pipeline calls it.
    pub alias: String,
    /// The version.
    pub used: Used,
    /// What is stored under its digest: the table's manifest, which names every row's batch by digest. None where the
    /// version was deleted since.
    pub manifest: Option<Artifact>,
    /// The number of rows.
    pub rows: Option<u64>,
    /// The columns.
    pub schema: Option<Schema>,
    /// Who added it, when, and why.
    pub version: Option<Version>,
}

impl Dataset {
    /// `adult@1`.
    pub fn label(&self) -> String {
        format!("{}@{}", self.used.name, self.used.number)
    }
}

/// Rows of the run, as its pipeline calls them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// `split.test`, or `adult@1`.
    pub name: String,
    /// The table.
    pub digest: Digest,
    /// How many; none where they were deleted since.
    pub count: Option<u64>,
}

/// How the predictor was trained.
#[derive(Debug)]
pub struct Training {
    /// The stage.
    pub stage: String,
    /// The trainer's component among [`Facts::components`].
    pub component: usize,
    /// Every parameter, defaults included.
    pub parameters: BTreeMap<String, Value>,
    /// The seed.
    pub seed: u64,
    /// The rows that it was trained on.
    pub rows: Rows,
    /// The rows that it was given to stop early or the like.
    pub validation: Option<Rows>,
    /// How many candidates were trained.
    pub candidates: usize,
    /// How the best was found; none where there was nothing to choose.
    pub selection: Option<Selection>,
    /// Milliseconds of training, over all candidates.
    pub elapsed_ms: f64,
    /// The most memory that a step of the run used, in bytes.
    pub peak_memory: u64,
}

/// How the best candidate was found.
#[derive(Debug)]
pub struct Selection {
    /// The metric.
    pub metric: String,
    /// Whether the largest value won.
    pub maximize: bool,
    /// The rows that the candidates were compared on.
    pub on: String,
    /// The value of the selected one.
    pub value: Option<f64>,
}

/// A report of the run.
#[derive(Debug)]
pub struct StageReport {
    /// The stage.
    pub stage: String,
    /// Its kind.
    pub kind: StageKind,
    /// Its component among [`Facts::components`].
    pub component: usize,
    /// Every parameter, defaults included.
    pub parameters: BTreeMap<String, Value>,
    /// The rows that it is about.
    pub rows: Option<Rows>,
    /// The same rows with the predictions behind them.
    pub scored: Option<Digest>,
    /// The report as it is stored.
    pub artifact: Artifact,
    /// The report.
    pub report: Report,
}

/// Gathers what is known of a version of a model.
///
/// # Errors
/// There is no such version, its run was forgotten, or the store is damaged.
pub fn gather(project: &Project, wanted: &VersionRef) -> Result<Facts> {
    let models = project.store.models()?;
    let version = models.resolve(wanted)?;
    if version.kind != ArtifactKind::Model {
        return Err(Error::Invalid(format!("`{wanted}` is a {}, not a model", version.kind.as_str())));
    }
    let model: Model = canonical::from_slice(&models.bytes(&version.digest)?)
        .map_err(|error| Error::Invalid(format!("{}@{} is no model: {error}", version.name, version.number)))?;
    let run = run_of(project, &version)?;
    let components = components(project, &run, &model)?;
    let gatherer = Gatherer { project, run: &run, components: &components, model: version.digest };
    let parts = gatherer.parts(&model)?;
    let training = gatherer.training(&model)?;
    let reports = gatherer.reports()?;
    let outputs = gatherer.outputs(&model)?;
    let data = gatherer.data()?;
    let log = models.log(&version.name)?;
    Ok(Facts {
        project: project.settings.project.clone(),
        earlier: log.into_iter().filter(|other| other.number < version.number).collect(),
        tags: models
            .tags(&version.name)?
            .into_iter()
            .filter(|(_, n)| *n == version.number)
            .map(|(tag, _)| tag)
            .collect(),
        record: artifact(models, &version.digest)?,
        pipeline_file: artifact(project.store.code()?, &run.pipeline_file.digest)?,
        decisions: Decisions::gather(project, &version)?,
        version,
        model,
        parts,
        data,
        training,
        reports,
        outputs,
        components,
        run,
    })
}

/// The newest run that registered this version: an equal model that is made again is no new version, and what judged it
/// last counts.
fn run_of(project: &Project, version: &Version) -> Result<RunRecord> {
    let registered = |run: &RunRecord| {
        run.model.as_ref().is_some_and(|model| model.name == version.name && model.number == version.number)
    };
    // The list begins with the newest.
    run::list(project, usize::MAX, None)?.into_iter().find(registered).ok_or_else(|| {
        Error::Invalid(format!(
            "the run that made {}@{} ({}) is not kept any more, and without its record there is nothing to make \
             documents from; raise `runs` under [keep] in stagewright.toml to keep more",
            version.name, version.number, version.message
        ))
    })
}

fn components(project: &Project, run: &RunRecord, model: &Model) -> Result<Vec<Component>> {
    let mut used: BTreeMap<Digest, (Name, u64)> = BTreeMap::new();
    for plugin in run.plugins.values() {
        used.entry(plugin.digest).or_insert_with(|| (plugin.name.clone(), plugin.number));
    }
    let steps = run.steps().map(|(_, step)| step.result.spec.component);
    let parts = model.featurizers.iter().chain([&model.predictor]).map(|part| part.component);
    let wanted: BTreeSet<Digest> = steps.chain(parts).collect();
    let mut components = Vec::new();
    for digest in wanted {
        let Some((name, number)) = used.get(&digest).cloned() else {
            return Err(Error::Invalid(format!("run {} does not say which plugin component {digest} is", run.id)));
        };
        let artifact = artifact(project.store.code()?, &digest)?;
        components.push(Component { name, number, artifact, record: code::record(project, &digest) });
    }
    components.sort_by(|one, other| (&one.name, one.number).cmp(&(&other.name, other.number)));
    Ok(components)
}

/// An artifact's names. Every byte is read, and verified on the way.
pub(crate) fn artifact(repository: &Repository, digest: &Digest) -> Result<Artifact> {
    let (mut hasher, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    let mut reader = repository.reader(digest)?;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) => {
                return Err(match error.downcast::<StoreError>() {
                    Ok(error) => error.into(),
                    Err(source) => Error::Io { action: "cannot read artifact", path: digest.to_string(), source },
                });
            }
        }
    }
    Ok(Artifact { digest: *digest, sha256: hexadecimal(&hasher.finalize()), bytes })
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Gatherer<'a> {
    project: &'a Project,
    run: &'a RunRecord,
    components: &'a [Component],
    model: Digest,
}

impl Gatherer<'_> {
    fn component(&self, digest: &Digest) -> Result<usize> {
        let place = self.components.iter().position(|component| component.artifact.digest == *digest);
        place.ok_or_else(|| Error::Invalid(format!("run {} does not name component {digest}", self.run.id)))
    }

    fn parts(&self, model: &Model) -> Result<Vec<Part>> {
        let models = self.project.store.models()?;
        let part = |role, fitted: &Fitted| -> Result<Part> {
            let state = artifact(models, &fitted.state)?;
            Ok(Part { role, component: self.component(&fitted.component)?, state })
        };
        let featurizers = model.featurizers.iter().map(|fitted| part("featurizer", fitted));
        featurizers.chain([part("predictor", &model.predictor)]).collect()
    }

    /// Data may be deleted while what was made from it stays: then its name and digest are all there is.
    fn data(&self) -> Result<Vec<Dataset>> {
        let data = self.project.store.data()?;
        let dataset = |(alias, used): (&String, &Used)| -> Result<Dataset> {
            let known = data.log(&used.name)?.into_iter().find(|version| version.number == used.number);
            let table = if data.contains(&used.digest)? { Some(data.table(&used.digest)?) } else { None };
            Ok(Dataset {
                alias: alias.clone(),
                used: used.clone(),
                manifest: table.as_ref().map(|_| artifact(data, &used.digest)).transpose()?,
                rows: table.as_ref().map(stagewright_store::TableReader::rows),
                schema: table.as_ref().map(|table| table.schema().clone()),
                version: known,
            })
        };
        self.run.data.iter().map(dataset).collect()
    }

    /// Rows as the pipeline calls them; those behind featurizers are traced to the ones in front.
    fn rows(&self, digest: Digest) -> Result<Rows> {
        let mut source = digest;
        // Each step leads further to the front, and a table is not made from itself.
        for _ in 0..self.run.steps().count() {
            let transformed = self.run.steps().find(|(_, step)| {
                step.result.spec.operation == Operation::Transform && step.result.outputs.values().any(|o| *o == source)
            });
            match transformed.and_then(|(_, step)| step.result.spec.inputs.get("input")) {
                Some(input) => source = *input,
                None => break,
            }
        }
        let data = self.project.store.data()?;
        let count = if data.contains(&source)? { Some(data.table(&source)?.rows()) } else { None };
        Ok(Rows { name: self.name(&source), digest: source, count })
    }

    fn name(&self, digest: &Digest) -> String {
        let named = self.run.data.values().find(|used| used.digest == *digest);
        if let Some(used) = named {
            return format!("{}@{}", used.name, used.number);
        }
        let output = self.run.stages.iter().find_map(|stage| {
            let (name, _) = stage.outputs.iter().find(|(_, output)| *output == digest)?;
            Some(if stage.outputs.len() == 1 { stage.name.clone() } else { format!("{}.{name}", stage.name) })
        });
        output.unwrap_or_else(|| digest.short())
    }

    fn training(&self, model: &Model) -> Result<Option<Training>> {
        let trained = self.run.steps().find(|(_, step)| {
            let spec = &step.result.spec;
            spec.operation == Operation::Train
                && spec.component == model.predictor.component
                && step.result.outputs.get("weights") == Some(&model.predictor.state)
        });
        let Some((stage, step)) = trained else { return Ok(None) };
        let spec = &step.result.spec;
        let Some(training) = spec.inputs.get("training") else { return Ok(None) };
        let trainings = stage.steps.iter().filter(|step| step.result.spec.operation == Operation::Train);
        Ok(Some(Training {
            stage: stage.name.clone(),
            component: self.component(&spec.component)?,
            parameters: spec.parameters.clone(),
            seed: spec.seed,
            rows: self.rows(*training)?,
            validation: spec.inputs.get("validation").map(|table| self.rows(*table)).transpose()?,
            candidates: stage.candidates.len(),
            selection: self.selection(stage)?,
            elapsed_ms: trainings.map(|step| step.result.elapsed_ms).sum(),
            peak_memory: self.run.steps().map(|(_, step)| step.result.peak_memory).max().unwrap_or_default(),
        }))
    }

    /// The metric's name stands in the pipeline file only.
    fn selection(&self, stage: &StageRun) -> Result<Option<Selection>> {
        let file = self.project.store.code()?.bytes(&self.run.pipeline_file.digest)?;
        let label = self.run.pipeline_file.name.as_str();
        // The file was sound when it ran; one that a later version cannot read leaves the metric unnamed.
        let Ok(pipeline) = Pipeline::parse(label, &String::from_utf8_lossy(&file)) else { return Ok(None) };
        let written = pipeline.stages.into_iter().find(|written| written.name.value == stage.name);
        let Some(select) = written.and_then(|written| written.select) else { return Ok(None) };
        let selected = stage.selected.and_then(|place| stage.candidates.get(place));
        Ok(Some(Selection {
            metric: select.metric.value,
            maximize: select.maximize,
            on: select.on.value.to_string(),
            value: selected.and_then(|candidate| candidate.value),
        }))
    }

    fn reports(&self) -> Result<Vec<StageReport>> {
        let mut reports = Vec::new();
        for stage in &self.run.stages {
            let Some(step) = stage.steps.last().filter(|step| step.result.outputs.contains_key("report")) else {
                continue;
            };
            let of_a_model = matches!(stage.kind, StageKind::Evaluator | StageKind::FairnessChecker);
            if of_a_model && step.result.spec.inputs.get("model") != Some(&self.model) {
                continue;
            }
            if of_a_model || stage.kind == StageKind::Validator {
                reports.push(self.report(stage, step)?);
            }
        }
        Ok(reports)
    }

    fn report(&self, stage: &StageRun, step: &StepRun) -> Result<StageReport> {
        let spec = &step.result.spec;
        let scored = spec.inputs.get("scored").copied();
        let unscored = self.run.steps().find(|(_, step)| {
            step.result.spec.operation == Operation::Score && step.result.outputs.get("output") == scored.as_ref()
        });
        let input = unscored.and_then(|(_, step)| step.result.spec.inputs.get("input"));
        let rows = input.or_else(|| spec.inputs.get("table")).or(scored.as_ref()).copied();
        let digest = step.result.outputs.get("report").copied();
        let digest = digest.ok_or_else(|| Error::Invalid(format!("stage `{}` kept no report", stage.name)))?;
        Ok(StageReport {
            stage: stage.name.clone(),
            kind: stage.kind,
            component: self.component(&spec.component)?,
            parameters: spec.parameters.clone(),
            rows: rows.map(|rows| self.rows(rows)).transpose()?,
            scored,
            artifact: artifact(self.project.store.models()?, &digest)?,
            report: execute::report(self.project, &digest)?,
        })
    }

    /// The columns of scored rows behind those of the rows themselves.
    fn outputs(&self, model: &Model) -> Result<Vec<Field>> {
        let data = self.project.store.data()?;
        let scores = self.run.steps().filter(|(_, step)| {
            step.result.spec.operation == Operation::Score && step.result.spec.inputs.get("model") == Some(&self.model)
        });
        for (_, step) in scores {
            let Some(scored) = step.result.outputs.get("output") else { continue };
            if data.contains(scored)? {
                let schema = data.table(scored)?.schema().clone();
                let added = schema.fields().iter().filter(|field| model.input.index_of(&field.name).is_none());
                return Ok(added.cloned().collect());
            }
        }
        Ok(Vec::new())
    }
}

impl Facts {
    /// `income@1`.
    pub fn label(&self) -> String {
        format!("{}@{}", self.version.name, self.version.number)
    }

    /// The reports of one kind of stage.
    pub fn reports_of(&self, kind: StageKind) -> impl Iterator<Item = &StageReport> {
        self.reports.iter().filter(move |report| report.kind == kind)
    }

    /// What the model does, by the columns that it returns: a prediction that is a number and no score is a regression.
    pub fn task(&self) -> &'static str {
        let column = |name: &str| self.outputs.iter().find(|field| field.name == name);
        let number =
            column("prediction").is_some_and(|field| field.column_type == stagewright_core::ColumnType::Float64);
        if number && column("score").is_none() { "regression" } else { "classification" }
    }

    /// What stages were granted of the real world, as JSON, by stage.
    pub fn granted(&self) -> Vec<(String, String)> {
        let grants =
            self.run.grants().into_iter().flat_map(|(stage, all)| all.into_iter().map(move |grants| (stage, grants)));
        let text = |grants| String::from_utf8_lossy(&canonical::to_vec(grants)).into_owned();
        grants.map(|(stage, grants)| (stage.to_owned(), text(grants))).collect()
    }

    /// When the run ended, in milliseconds since 1970.
    pub fn finished_ms(&self) -> u64 {
        self.run.started_ms + self.run.elapsed_ms.max(0.0) as u64
    }

    /// A training parameter that is text: `label`, `positive`.
    pub fn training_text(&self, name: &str) -> Option<String> {
        match self.training.as_ref()?.parameters.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}
