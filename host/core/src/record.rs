//! Records: what is kept of a run, a stage's result, a plugin and a model.
//!
//! A record is canonical JSON. Times are milliseconds since 1970-01-01T00:00:00Z; they are kept for people and never
//! hashed into a run key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Digest, Grants, Name, Schema, StageKind,
    stage::{Profile, StageInfo, StageSpec},
};

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// For whoever reads the run.
    Info,
    /// Something to look at.
    Warn,
    /// Something went wrong.
    Error,
}

/// A line of a stage's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub message: String,
}

/// A point of a curve that a stage recorded (training loss by iteration, say).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricPoint {
    /// The curve.
    pub name: String,
    /// The position along it.
    pub step: u64,
    /// The value; none where it is not finite.
    pub value: Option<f64>,
}

/// What a stage said while it ran. Kept beside its result, bounded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageLog {
    /// Its log.
    pub lines: Vec<LogLine>,
    /// Lines that were dropped because the log was full.
    pub dropped_lines: u64,
    /// Its curves.
    pub curves: Vec<MetricPoint>,
    /// Points that were dropped because there were too many.
    pub dropped_points: u64,
}

/// What a stage's run key stands for: only successes are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageResult {
    /// Everything that decided the outputs.
    pub spec: StageSpec,
    /// The outputs by name: tables by theirs, otherwise `state`, `weights` or `report`.
    pub outputs: BTreeMap<String, Digest>,
    /// The stage's log and curves, in the ledger.
    pub log: Digest,
    /// How long it took.
    pub elapsed_ms: f64,
    /// The most memory that its sandbox used.
    pub peak_memory: u64,
    /// What it asked of the real world and was answered, in the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<Digest>,
}

/// One step of a stage in a run. Most stages take one; a trainer takes several for each candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRun {
    /// What it was, for people: `train logistic-regression l2=0.1`.
    pub title: String,
    /// The run key.
    pub key: Digest,
    /// Whether the result was there already.
    pub cached: bool,
    /// The result.
    pub result: StageResult,
    /// Every call that it made to the host, in the ledger, where the run was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<Digest>,
}

/// A step that failed, where there is more to know of it than its message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedStep {
    /// What it was, for people.
    pub title: String,
    /// Everything that decided how it failed.
    pub spec: StageSpec,
    /// What it asked of the real world and was answered, in the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<Digest>,
    /// Every call that it made to the host, in the ledger, where the run was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<Digest>,
}

/// How a candidate of a trainer did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The plugin's name.
    pub plugin: String,
    /// The parameters that were varied.
    pub varied: BTreeMap<String, serde_json::Value>,
    /// The model, in the model repository.
    pub model: Digest,
    /// The value of the metric that selects; none where it is undefined or nothing was selected.
    pub value: Option<f64>,
}

/// How a run or a stage ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "status")]
pub enum Status {
    /// It did its work.
    Succeeded,
    /// It could not.
    Failed {
        /// Why.
        message: String,
    },
    /// A validator found what must not be.
    Violated {
        /// What it found.
        message: String,
    },
    /// The user stopped it.
    Cancelled,
    /// Something that it needs did not succeed.
    Skipped,
}

impl Status {
    /// The status in one word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Violated { .. } => "violated",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// A stage in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRun {
    /// Its name in the pipeline.
    pub name: String,
    /// Which kind of stage.
    pub kind: StageKind,
    /// How it ended.
    #[serde(flatten)]
    pub status: Status,
    /// What it took, in order.
    pub steps: Vec<StepRun>,
    /// What the step that failed had said; what others said stands with their results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
    /// The step that failed, where it was granted something or recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Box<FailedStep>>,
    /// What other stages may refer to.
    pub outputs: BTreeMap<String, Digest>,
    /// For a trainer, every candidate, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// Which candidate was selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected: Option<usize>,
}

impl StageRun {
    /// Whether every step's result was there already.
    pub fn cached(&self) -> bool {
        self.steps.iter().all(|step| step.cached)
    }

    /// The time that its steps took when they ran.
    pub fn elapsed_ms(&self) -> f64 {
        self.steps.iter().filter(|step| !step.cached).map(|step| step.result.elapsed_ms).sum()
    }
}

/// A version of something that a run used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Its name.
    pub name: Name,
    /// Its number.
    pub number: u64,
    /// Its digest.
    pub digest: Digest,
}

/// The state of the user's project in git when a run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitState {
    /// The commit.
    pub commit: String,
    /// Whether the work tree differed from it.
    pub dirty: bool,
}

/// One execution of a pipeline. Immutable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Counted from 1 in its project.
    pub id: u64,
    /// The pipeline's name.
    pub pipeline: Name,
    /// The pipeline file, in the code repository.
    pub pipeline_file: Used,
    /// The seed.
    pub seed: u64,
    /// The determinism profile.
    pub profile: Profile,
    /// The engine and its major version.
    pub engine: String,
    /// The contract's version.
    pub contract: String,
    /// This program's version.
    pub host: String,
    /// Who started it.
    pub author: String,
    /// When it began.
    pub started_ms: u64,
    /// How long it took.
    pub elapsed_ms: f64,
    /// The user's project in git, where it is in git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitState>,
    /// How it ended.
    #[serde(flatten)]
    pub status: Status,
    /// Data versions, by the name that the pipeline gives them.
    pub data: BTreeMap<String, Used>,
    /// Plugin versions, by the text that the pipeline names them with.
    pub plugins: BTreeMap<String, Used>,
    /// The stages, in the order of the file.
    pub stages: Vec<StageRun>,
    /// Whether a stage was granted something of the real world: what it made is no function of what went in alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub impure: bool,
    /// The model that was registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Used>,
}

impl RunRecord {
    /// What each stage was granted; stages that were granted nothing are left out.
    pub fn grants(&self) -> BTreeMap<&str, Vec<&Grants>> {
        let failed = self.stages.iter().filter_map(|stage| Some((stage, &stage.failed.as_ref()?.spec)));
        let all = self.steps().map(|(stage, step)| (stage, &step.result.spec)).chain(failed);
        let mut grants: BTreeMap<&str, Vec<&Grants>> = BTreeMap::new();
        for (stage, spec) in all.filter(|(_, spec)| !spec.grants.is_empty()) {
            let granted = grants.entry(&stage.name).or_default();
            if !granted.contains(&&spec.grants) {
                granted.push(&spec.grants);
            }
        }
        grants
    }

    /// Every step, with its stage, in the order in which they depend on each other.
    pub fn steps(&self) -> impl Iterator<Item = (&StageRun, &StepRun)> {
        self.stages.iter().flat_map(|stage| stage.steps.iter().map(move |step| (stage, step)))
    }
}

/// A plugin as `stagewright plugin add` found it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// The component's digest.
    pub digest: Digest,
    /// The component's size in bytes.
    pub bytes: u64,
    /// The stages that it exports.
    pub stages: Vec<StageInfo>,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// Name, version, licence and the like, from the component's metadata sections.
    pub metadata: BTreeMap<String, String>,
}

impl PluginRecord {
    /// What it says of its stage of this kind.
    pub fn stage(&self, kind: StageKind) -> Option<&StageInfo> {
        self.stages.iter().find(|stage| stage.kind == kind)
    }
}

/// A component and what it learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fitted {
    /// The component, in the code repository.
    pub component: Digest,
    /// Its state or weights, in the model repository.
    pub state: Digest,
}

/// A servable model: featurizers, a predictor, and the columns that they were trained on. Its digest is that of its
/// canonical JSON, so the same parts are the same model, whichever run made them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Applied in this order.
    pub featurizers: Vec<Fitted>,
    /// Applied to the features.
    pub predictor: Fitted,
    /// The columns of the training rows, before any featurizer.
    pub input: Schema,
}
