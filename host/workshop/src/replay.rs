//! Replaying a recorded stage: the same component must make the same calls, and one that was mended shows where it goes
//! another way.

use std::{
    ffi::OsString,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use stagewright_core::{Batch, Digest, Schema, canonical};
use stagewright_runtime::{
    BoxError, CancelToken, CompiledCache, Component, Input, Job, Observer, Output, StageError, TableSink, WorkerPool,
    grants::{Granted, Recorded},
    recording::{CALLS, Ended, HostCall, RecordingFile},
    spec::{self, Incomplete, Shelf},
};

/// A call or an answer is told with at most so many characters.
const SHOWN: usize = 600;

/// Why a recording could not be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The recording lacks something that it names.
    #[error("the recording is incomplete")]
    Incomplete(#[from] Incomplete),
    /// The operator, or whoever interrupted.
    #[error("the recording could not be replayed")]
    Host(#[from] StageError),
}

/// Where a component first did something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "at")]
pub enum Difference {
    /// In a call to the host.
    Call {
        /// Which, counted from 1.
        number: usize,
        /// The call in the recording; none where it has no further.
        recorded: Option<String>,
        /// The call that was made; none where no further was.
        now: Option<String>,
    },
    /// Only in how it ended.
    End,
}

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// The component that was run.
    pub component: Digest,
    /// How many calls to the host it made.
    pub calls: usize,
    /// Where it first did something else; none where it did the same.
    pub difference: Option<Difference>,
    /// How the recorded stage ended.
    pub recorded_ended: String,
    /// How this one ended.
    pub ended: String,
}

/// What a replay works with.
pub struct Replay<'a> {
    /// What starts a worker process.
    pub worker: Vec<OsString>,
    /// Where compiled code is kept.
    pub cache: Arc<dyn CompiledCache>,
    /// Stops it.
    pub cancel: &'a CancelToken,
}

impl Replay<'_> {
    /// Runs the recorded step again: with the component that the recording holds, or with another in its place.
    ///
    /// # Errors
    /// The recording is incomplete, or nothing can be run here. A stage that fails is no error but an end.
    pub fn run(&self, file: &RecordingFile, component: Option<Component>) -> Result<Replayed, ReplayError> {
        let recording = &file.recording;
        let spec = &recording.spec;
        let shelf = Replaced { file, component };
        let component = shelf.component(&spec.component)?;
        let outputs = spec.outputs.iter().map(|name| (name.clone(), Box::new(Away) as Output)).collect();
        let granted = (!spec.grants.is_empty()).then(|| -> Result<Granted, Incomplete> {
            let outside = Arc::new(Recorded::new(file.exchanges()?));
            Ok(Granted { grants: spec.grants.clone(), outside })
        });
        let job = Job {
            work: spec::work(spec, &shelf, outputs)?,
            parameters: String::from_utf8_lossy(&canonical::to_vec(&spec.parameters)).into_owned(),
            seed: spec.seed,
            limits: recording.limits.clone(),
            profile: spec.profile,
            granted: granted.transpose()?,
            record: true,
            component: component.clone(),
        };
        let ear = Ear::default();
        let pool = WorkerPool::new(self.worker.clone(), 1, Arc::clone(&self.cache));
        let ended = match pool.run(job, self.cancel, &ear) {
            Ok(_) => Ended::Succeeded,
            Err(error @ (StageError::Cancelled | StageError::NoWorker(_) | StageError::Host { .. })) => {
                return Err(error.into());
            }
            Err(error) => Ended::Failed { message: error.to_string() },
        };
        let calls = ear.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Replayed {
            component: component.digest(),
            calls: calls.len(),
            difference: difference(&recording.calls, &calls, recording.ended == ended),
            recorded_ended: end(&recording.ended),
            ended: end(&ended),
        })
    }
}

/// The first call in which two lists differ. Behind as many as are recorded at most, nothing is known.
fn difference(recorded: &[HostCall], now: &[HostCall], same_end: bool) -> Option<Difference> {
    let place = (0..recorded.len().max(now.len())).find(|place| recorded.get(*place) != now.get(*place));
    match place.filter(|place| (*place as u64) < CALLS) {
        Some(place) => Some(Difference::Call {
            number: place + 1,
            recorded: recorded.get(place).map(shown),
            now: now.get(place).map(shown),
        }),
        None if same_end => None,
        None => Some(Difference::End),
    }
}

fn shown(call: &HostCall) -> String {
    let mut text = call.function.clone();
    if !call.asked.is_null() {
        text = format!("{text} {}", call.asked);
    }
    if !call.answered.is_null() {
        text = format!("{text} → {}", call.answered);
    }
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn end(ended: &Ended) -> String {
    match ended {
        Ended::Succeeded => "it succeeded".to_owned(),
        Ended::Failed { message } => format!("it failed: {message}"),
    }
}

/// A recording in which one component stands for another.
struct Replaced<'a> {
    file: &'a RecordingFile,
    component: Option<Component>,
}

impl Shelf for Replaced<'_> {
    type Error = Incomplete;

    fn component(&self, digest: &Digest) -> Result<Component, Incomplete> {
        match &self.component {
            Some(component) if *digest == self.file.recording.spec.component => Ok(component.clone()),
            _ => self.file.component(digest),
        }
    }

    fn table(&self, digest: &Digest) -> Result<Input, Incomplete> {
        self.file.table(digest)
    }

    fn bytes(&self, digest: &Digest) -> Result<Arc<[u8]>, Incomplete> {
        self.file.bytes(digest)
    }
}

/// Output tables are compared as they are written, and kept nowhere.
struct Away;

impl TableSink for Away {
    fn start(&mut self, _: &Schema) -> Result<(), BoxError> {
        Ok(())
    }

    fn write(&mut self, _: Batch) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Hears every call.
#[derive(Default)]
struct Ear(Mutex<Vec<HostCall>>);

impl Observer for Ear {
    fn called(&self, call: &HostCall) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn calls(functions: &[&str]) -> Vec<HostCall> {
        let call =
            |function: &&str| HostCall { function: (*function).to_owned(), asked: Value::Null, answered: 1.into() };
        functions.iter().map(call).collect()
    }

    #[test]
    fn the_first_difference_is_told() {
        let recorded = calls(&["a", "b", "c"]);
        let call = |number, recorded: Option<&str>, now: Option<&str>| {
            let shown = |text: Option<&str>| text.map(|text| format!("{text} → 1"));
            Some(Difference::Call { number, recorded: shown(recorded), now: shown(now) })
        };
        assert_eq!(difference(&recorded, &recorded, true), None);
        assert_eq!(difference(&recorded, &recorded, false), Some(Difference::End));
        assert_eq!(difference(&recorded, &calls(&["a", "x", "y"]), false), call(2, Some("b"), Some("x")));
        assert_eq!(difference(&recorded, &calls(&["a", "b"]), false), call(3, Some("c"), None));
        assert_eq!(difference(&recorded, &calls(&["a", "b", "c", "d"]), true), call(4, None, Some("d")));
    }
}
