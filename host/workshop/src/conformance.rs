//! The conformance kit: every promise of the contract, as a check over any component.
//!
//! The kit knows nothing of a plugin but what it says of itself. It makes its own small tables, runs every stage on
//! them in worker processes, as a pipeline would, and compares. A stage may give up on a table politely (the contract
//! has words for that); it may never trap, hang, return what is no table, or answer differently the second time.
//!
//! A check that a plugin gives no occasion for is skipped, and says why.

mod apply;
mod description;
mod exact;
pub(crate) mod frame;
pub(crate) mod guess;
mod report;
pub(crate) mod samples;
mod stage;
mod subject;

use std::{ffi::OsString, fmt, sync::Arc};

use serde::Serialize;
use stagewright_core::{Digest, StageKind};
use stagewright_runtime::{CancelToken, CompiledCache, Component, StageError};

pub use self::guess::Parameters;
use self::subject::{Subject, Trouble};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The promise is kept.
    Passed,
    /// The promise is broken: the plugin's author has something to mend.
    Failed,
    /// There was no occasion to look.
    Skipped,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        })
    }
}

/// One promise, looked at once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The stage that it is about; none for the component as a whole.
    pub stage: Option<StageKind>,
    /// The promise.
    pub name: String,
    /// Whether it is kept.
    pub result: Verdict,
    /// What was seen; empty where there is nothing to add.
    pub detail: String,
}

/// Everything that the kit found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conformance {
    /// Which component.
    pub digest: Digest,
    /// Every check, in order.
    pub checks: Vec<Check>,
}

impl Conformance {
    /// How many checks ended so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.result == verdict).count()
    }

    /// Whether no promise is broken.
    pub fn passed(&self) -> bool {
        self.count(Verdict::Failed) == 0
    }
}

/// Why the kit could not look. None of it is the plugin's fault, except that no stage has such a parameter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Whoever called: the parameter is none of the plugin's.
    #[error("no stage of this plugin takes a parameter `{name}`{}", listed(.known))]
    Parameter {
        /// The parameter.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The operator, or whoever interrupted.
    #[error("the plugin could not be tested")]
    Host(#[from] StageError),
}

fn listed(known: &[String]) -> String {
    if known.is_empty() { "; it takes none".to_owned() } else { format!("; it takes: {}", known.join(", ")) }
}

/// What the kit works with.
pub struct Kit<'a> {
    /// What starts a worker process.
    pub worker: Vec<OsString>,
    /// Where compiled code is kept.
    pub cache: Arc<dyn CompiledCache>,
    /// Parameters for the stages that know them, in place of the kit's guesses.
    pub parameters: Parameters,
    /// Whether to leave out the profile `strict`, for which a component is compiled a second time.
    pub quick: bool,
    /// Stops the kit.
    pub cancel: &'a CancelToken,
}

impl Kit<'_> {
    /// Checks a component. `told` hears of each check as it ends.
    ///
    /// # Errors
    /// The kit could not look; a broken promise is no error but a failed check.
    pub fn test(&self, component: &Component, told: &mut dyn FnMut(&Check)) -> Result<Conformance, Error> {
        let subject = Subject::new(component.clone(), self);
        let mut book = Book { stage: None, checks: Vec::new(), told };
        if let Some(stages) = description::check(&subject, &mut book)? {
            self.know(&stages)?;
            for stage in &stages {
                book.stage = Some(stage.kind);
                stage::check(&subject, stage, &stages, &self.parameters, &mut book)?;
            }
        }
        Ok(Conformance { digest: component.digest(), checks: book.checks })
    }

    fn know(&self, stages: &[stagewright_core::stage::StageInfo]) -> Result<(), Error> {
        let known: Vec<String> = stages
            .iter()
            .flat_map(|stage| guess::properties(&stage.parameters))
            .map(|(name, _)| name.clone())
            .collect();
        match self.parameters.keys().find(|name| !known.contains(name)) {
            Some(name) => Err(Error::Parameter { name: name.clone(), known }),
            None => Ok(()),
        }
    }
}

/// Where checks are written down.
struct Book<'a> {
    stage: Option<StageKind>,
    checks: Vec<Check>,
    told: &'a mut dyn FnMut(&Check),
}

impl Book<'_> {
    fn write(&mut self, name: &str, result: Verdict, detail: String) {
        let check = Check { stage: self.stage, name: name.to_owned(), result, detail };
        (self.told)(&check);
        self.checks.push(check);
    }

    fn skip(&mut self, name: &str, why: &str) {
        self.write(name, Verdict::Skipped, why.to_owned());
    }

    /// Writes down what a look brought: words for a promise that is kept, or for one that is broken.
    fn note(&mut self, name: &str, found: Result<String, Broken>) -> Result<(), Error> {
        match found {
            Ok(detail) => self.write(name, Verdict::Passed, detail),
            Err(Broken::Promise(detail)) => self.write(name, Verdict::Failed, detail),
            Err(Broken::Host(error)) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Why a look did not end well.
enum Broken {
    Promise(String),
    Host(StageError),
}

impl Broken {
    fn because(text: impl Into<String>) -> Self {
        Self::Promise(text.into())
    }
}

/// Where no trouble at all is expected.
impl From<Trouble> for Broken {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Host(error) => Self::Host(error),
            other => Self::Promise(other.text()),
        }
    }
}
