//! Why a stage gave no output, sorted by who can mend it.

use std::fmt;

use serde::{Deserialize, Serialize};
use stagewright_core::{grant::Capability, table::TableError};

/// What the embedder's tables and sinks fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A component that may not run, found before anything of it ran. The plugin's author mends it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refused {
    /// Some other file.
    #[error("this is not WebAssembly: it begins with {0}")]
    NotWasm(String),
    /// The text form of a component.
    #[error("this is the text form of WebAssembly; turn it into a component with `wasm-tools parse` first")]
    Text,
    /// A module without the component's types around it.
    #[error(
        "this is a core module, not a component; turn it into one with `wasm-tools component new` or a component tool of its language"
    )]
    CoreModule,
    /// Machine code that claims to come from this engine.
    #[error(
        "this is precompiled machine code (.cwasm), which cannot be checked; bring the component (.wasm) it was compiled from"
    )]
    Precompiled,
    /// A component larger than any is allowed to be.
    #[error("the component has {found} bytes; at most {most} are allowed")]
    TooLarge {
        /// Its size.
        found: u64,
        /// The limit.
        most: u64,
    },
    /// A component that breaks the rules of WebAssembly, or uses a feature that stages may not.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// A component of another contract.
    #[error("the component exports no stage; it must export `{}` and one or more of {}", names::PLUGIN, names::kinds())]
    NoStage,
    /// A stage without its description.
    #[error("the component exports `{kind}` but not `{}`, which every plugin must", names::PLUGIN)]
    NoPlugin {
        /// A stage interface that it does export.
        kind: String,
    },
    /// Something that no stage may have.
    #[error(
        "the component imports `{0}`, which no stage may have: stages import {contract}'s host interfaces and virtual WASI 0.2 only",
        contract = stagewright_core::stage::CONTRACT
    )]
    Import(String),
    /// A function with other types than the contract's.
    #[error("`{item}`: {problem}")]
    Mismatch {
        /// The interface and function.
        item: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// What `describe` says does not fit what the component exports.
    #[error("the plugin's description does not fit: {0}")]
    Description(String),
}

mod names {
    pub(super) const PLUGIN: &str = "stagewright:stage/plugin@0.1.0";

    pub(super) fn kinds() -> String {
        let kinds: Vec<_> = stagewright_core::StageKind::ALL.iter().map(|kind| format!("`{kind}`")).collect();
        kinds.join(", ")
    }
}

/// Who a plugin says can mend its failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The pipeline's author.
    InvalidParameter,
    /// Whoever made the data.
    InvalidData,
    /// Whoever made the model.
    InvalidState,
    /// The plugin's author.
    Internal,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidParameter => "invalid parameter",
            Self::InvalidData => "invalid data",
            Self::InvalidState => "invalid state",
            Self::Internal => "internal failure of the plugin",
        })
    }
}

/// Why a stage gave no output. Only successes are facts about a stage; none of these may be cached.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StageError {
    /// The plugin's author: the component does not fit the contract.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The pipeline's author: the plugin asks for something of the real world that the stage was not granted.
    #[error("the plugin asks for `{capability}`, which the stage is not granted")]
    NotGranted {
        /// The capability.
        capability: Capability,
    },
    /// Whoever changed the plugin: it asks for something of the real world that nobody has an answer to.
    #[error("granted call {call} asks for {asked}, where the recording has {recorded}")]
    NotRecorded {
        /// Which call, counted from 1.
        call: usize,
        /// What it asks for.
        asked: String,
        /// What the recording has there.
        recorded: String,
    },
    /// Whoever the kind says: the stage ran and gave up.
    #[error("{kind}: {message}")]
    Failed {
        /// Who can mend it.
        kind: FailureKind,
        /// The plugin's own words.
        message: String,
    },
    /// The plugin's author: the code trapped.
    #[error("the plugin crashed: {reason}")]
    Trapped {
        /// What kind of trap.
        reason: String,
    },
    /// The operator or the plugin's author: it took too long.
    #[error("the stage ran longer than {seconds} s (`limits.time` in stagewright.toml raises this)")]
    TimedOut {
        /// The limit.
        seconds: f64,
    },
    /// The operator or the plugin's author: it wanted too much memory.
    #[error("the stage needs more than {} MiB of memory (`limits.memory` in stagewright.toml raises this)", .limit >> 20)]
    MemoryLimit {
        /// The limit in bytes.
        limit: u64,
    },
    /// The plugin's author: it recursed too deeply.
    #[error("the plugin used up its stack of {} KiB: it recurses too deeply", .limit >> 10)]
    StackOverflow {
        /// The limit in bytes.
        limit: u64,
    },
    /// The operator or the plugin's author: it wrote too much.
    #[error("{what} exceeds {limit} bytes (`{name}` in stagewright.toml raises this)")]
    OutputLimit {
        /// Which output.
        what: String,
        /// The limit in bytes.
        limit: u64,
        /// The name of the limit.
        name: String,
    },
    /// The plugin's author: what it returned breaks the contract.
    #[error("the plugin returned a bad {what}: {problem}")]
    BadOutput {
        /// Which output.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The plugin's author, or this host's: compiling failed, or took too much time or memory.
    #[error("the component could not be compiled: {0}")]
    Compile(String),
    /// The operator: the process that ran the stage ended before the stage did. Other stages are not affected.
    #[error("the worker process ended while it ran the stage: {0}")]
    WorkerDied(String),
    /// The operator: no worker process could be started.
    #[error("no worker process could be started: {0}")]
    NoWorker(String),
    /// Nobody: somebody asked for it.
    #[error("cancelled")]
    Cancelled,
    /// The embedder: a table could not be read or an output not be kept.
    #[error("{what}")]
    #[serde(skip)]
    Host {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: BoxError,
    },
}

impl StageError {
    pub(crate) fn bad_output(what: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self::BadOutput { what: what.into(), problem: problem.to_string() }
    }

    pub(crate) fn host(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Host { what: what.into(), source: source.into() }
    }

    pub(crate) fn batch(what: &str, error: &TableError) -> Self {
        Self::bad_output(what, error)
    }

    /// Whether the process that ran the stage may be trusted with another: a guest that only gave up harmed nothing.
    pub(crate) fn leaves_worker_usable(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Failed { .. })
    }
}
