//! `show --recording`, `plugin test --replay`: a stage's recording as a file, and a plugin run against it.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::json;
use stagewright::{recording, run, runtime::recording::RecordingFile};
use stagewright_workshop::replay::{Difference, Replay, Replayed};

use super::{Context, trial};
use crate::{
    failure::{CANNOT, Failure, INTERRUPTED, NOT_VERIFIED, WRONG_INPUT},
    text::printable,
};

/// Writes the recording of one step to a file.
pub(crate) fn export(
    context: &Context,
    wanted: &str,
    stage: Option<&str>,
    step: Option<&str>,
    file: &Path,
) -> Result<(), Failure> {
    let project = context.read()?;
    let record = run::find(&project, wanted)?;
    let stage = stage.unwrap_or_default();
    let recorded = recording::of_stage(&record, stage);
    let chosen = match step {
        Some(step) => recorded.iter().find(|recorded| recorded.title == step),
        // The one that failed stands first; of others, the last is the one that the stage is about.
        None if record.stages.iter().any(|run| run.name == stage && run.failed.is_some()) => recorded.first(),
        None => recorded.last(),
    };
    let Some(chosen) = chosen else {
        let message = if recorded.is_empty() {
            format!(
                "run {} has no recording of a stage `{stage}`: `stagewright run --record` records the stages that run, \
                 and with --fresh every stage runs",
                record.id
            )
        } else {
            let titles: Vec<String> = recorded.iter().map(|recorded| format!("`{}`", recorded.title)).collect();
            format!("stage `{stage}` has no such step; recorded are {}", titles.join(", "))
        };
        return Err(Failure::new(WRONG_INPUT, message));
    };
    let bytes = recording::export(&project, &chosen.recording)?;
    let path = context.path(file)?;
    fs::write(path.at(), &bytes).map_err(|error| Failure::new(CANNOT, format!("cannot write {path}: {error}")))?;
    let told = json!({ "run": record.id, "stage": stage, "step": chosen.title, "file": file, "bytes": bytes.len() });
    context.print(&told, |_| {
        format!(
            "wrote step `{}` of stage `{stage}` to {}; `stagewright plugin test --replay {}` runs it again anywhere\n",
            printable(&chosen.title),
            file.display(),
            file.display()
        )
    })
}

/// Runs a component against a recording.
pub(crate) fn replay(context: &Context, file: &Path, component: Option<&Path>) -> Result<(), Failure> {
    let bytes = fs::read(file)
        .map_err(|error| Failure::new(WRONG_INPUT, format!("cannot read {}: {error}", file.display())))?;
    let recorded = RecordingFile::decode(&bytes)
        .map_err(|error| Failure::new(WRONG_INPUT, format!("{}: {error}", file.display())))?;
    let component = component.map(trial::read).transpose()?;
    let cancel = context.cancelled_by_user();
    let replay = Replay { worker: context.worker(), cache: trial::cache(context), cancel: &cancel };
    let found = replay.run(&recorded, component).map_err(|error| match cancel.is_cancelled() {
        true => Failure::new(INTERRUPTED, "interrupted"),
        false => Failure { code: CANNOT, error: Some(error.into()) },
    })?;
    context.print(&found, told)?;
    if found.difference.is_none() { Ok(()) } else { Err(Failure::silent(NOT_VERIFIED)) }
}

fn told(found: &Replayed) -> String {
    let mut text = String::new();
    let ended = |ended: &str| printable(ended);
    match &found.difference {
        None => {
            let _ = writeln!(text, "the same {} calls, and the same end: {}", found.calls, ended(&found.ended));
        }
        Some(Difference::Call { number, recorded, now }) => {
            let nothing = || "no further call".to_owned();
            let _ = writeln!(text, "the first {} calls are the same; call {number} differs:", number - 1);
            let _ = writeln!(text, "  recorded  {}", recorded.as_ref().map_or_else(nothing, |call| printable(call)));
            let _ = writeln!(text, "  now       {}", now.as_ref().map_or_else(nothing, |call| printable(call)));
        }
        Some(Difference::End) => {
            let _ = writeln!(text, "the same {} calls, but another end:", found.calls);
        }
    }
    if found.difference.is_some() {
        let _ = writeln!(text, "the recorded stage: {}", ended(&found.recorded_ended));
        let _ = writeln!(text, "this component:     {}", ended(&found.ended));
    }
    text
}
