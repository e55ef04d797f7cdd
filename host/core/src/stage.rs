//! Stages: what kinds there are, what a plugin says of itself, and what exactly decides a stage's output.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Digest, Grants, canonical};

/// The version of the contract in `wit/` that this host speaks.
pub const CONTRACT: &str = "stagewright:stage@0.1.0";

/// The kinds of stage a component may export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageKind {
    /// Tables in, tables out.
    Preprocessor,
    /// Learns from training rows, then transforms any rows the same way.
    Featurizer,
    /// A table in, weights out.
    Trainer,
    /// Weights and rows in, predictions out.
    Predictor,
    /// Scored rows in, a report out.
    Evaluator,
    /// Scored rows in, a report about groups of people out.
    FairnessChecker,
    /// A table in, a report out.
    Validator,
    /// A reference and a current table in, a report out.
    Monitor,
}

impl StageKind {
    /// Every kind, in the order of the contract.
    pub const ALL: [Self; 8] = [
        Self::Preprocessor,
        Self::Featurizer,
        Self::Trainer,
        Self::Predictor,
        Self::Evaluator,
        Self::FairnessChecker,
        Self::Validator,
        Self::Monitor,
    ];

    /// The kind's name: in the contract, in pipelines and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preprocessor => "preprocessor",
            Self::Featurizer => "featurizer",
            Self::Trainer => "trainer",
            Self::Predictor => "predictor",
            Self::Evaluator => "evaluator",
            Self::FairnessChecker => "fairness-checker",
            Self::Validator => "validator",
            Self::Monitor => "monitor",
        }
    }
}

impl fmt::Display for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no kind of stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kind of stage")]
pub struct NotAKind(String);

impl FromStr for StageKind {
    type Err = NotAKind;

    fn from_str(text: &str) -> Result<Self, NotAKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| NotAKind(text.to_owned()))
    }
}

/// An input or output of a stage, as its plugin describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The port's name; `*` stands for any number of further ports that the pipeline names.
    pub name: String,
    /// One sentence for people.
    pub doc: String,
    /// Whether the stage works without it.
    pub optional: bool,
}

/// What a plugin says of one of its stages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageInfo {
    /// Which kind of stage.
    pub kind: StageKind,
    /// One or more sentences for people.
    pub doc: String,
    /// The JSON Schema (2020-12) of the parameters.
    pub parameters: Value,
    /// Tables that it reads.
    pub inputs: Vec<Port>,
    /// Tables that it writes.
    pub outputs: Vec<Port>,
}

/// How strictly the sandbox pins down floating point. Part of every run key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Relaxed SIMD is deterministic and NaNs are made canonical where values leave the sandbox.
    #[default]
    Fast,
    /// NaNs are canonical inside the sandbox too.
    Strict,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fast => "fast",
            Self::Strict => "strict",
        })
    }
}

/// What the host does with a component. Two operations have no function of their own in the contract: `transform` (a
/// featurizer's state applied to a table) and `score` (a whole model applied to a table).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// `preprocessor.prepare`.
    Prepare,
    /// `featurizer.fit`.
    Fit,
    /// `featurizer.features.transform` over a whole table.
    Transform,
    /// `trainer.train`.
    Train,
    /// Featurizers and `predictor.model.predict` over a whole table; the predictions are appended to its columns.
    Score,
    /// `evaluator.evaluate`.
    Evaluate,
    /// `fairness-checker.check`.
    Check,
    /// `validator.validate`.
    Validate,
    /// `monitor.observe`.
    Observe,
}

/// Everything that decides a stage's outputs, and nothing else. Its digest is the stage's run key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageSpec {
    /// The contract's version: [`CONTRACT`].
    pub contract: String,
    /// The engine and its major version: `wasmtime-48`.
    pub engine: String,
    /// The determinism profile.
    pub profile: Profile,
    /// What is done.
    pub operation: Operation,
    /// The component that does it, by the digest of its bytes.
    pub component: Digest,
    /// Its parameters, with the defaults filled in.
    pub parameters: BTreeMap<String, Value>,
    /// Its inputs by port: tables, states, weights or models, each by digest.
    pub inputs: BTreeMap<String, Digest>,
    /// The names of the tables that it writes, in order.
    pub outputs: Vec<String>,
    /// The only randomness it has.
    pub seed: u64,
    /// What it is granted of the real world. Where that is anything, the outputs are no function of this record alone.
    #[serde(default, skip_serializing_if = "Grants::is_empty")]
    pub grants: Grants,
}

impl StageSpec {
    /// The run key: the same key can only ever mean the same outputs.
    pub fn key(&self) -> Digest {
        canonical::digest(self)
    }
}
