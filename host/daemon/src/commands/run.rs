//! `check`, `run`, `verify`.

use std::{fmt::Write, path::Path};

use serde_json::json;
use stagewright::{
    file::Pipeline,
    governance::verdict,
    memo::{self, Answer},
    plan::{Plan, Work},
    run::{self, Options, RunOutcome, Watcher},
    verify::{self, Verdict, Verification, Verified},
};
use stagewright_core::record::Status;

use super::{Context, show};
use crate::{
    context,
    failure::{CANNOT, Failure, INTERRUPTED, NOT_VERIFIED, STAGE_FAILED, WRONG_INPUT},
    git,
    text::duration,
};

const NOTHING_RECORDED: &str = "nothing had to run, so nothing was recorded; with --fresh every stage runs";

fn read(context: &Context, path: &Path) -> Result<String, Failure> {
    let path = context.path(path)?;
    std::fs::read_to_string(path.at()).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => Failure::new(WRONG_INPUT, format!("{path} is not UTF-8 text")),
        _ => Failure::new(WRONG_INPUT, format!("cannot read {path}: {error}")),
    })
}

fn parse(path: &Path, text: &str) -> Result<Pipeline, Failure> {
    Ok(Pipeline::parse(&path.display().to_string(), text).map_err(stagewright::Error::from)?)
}

pub(crate) fn check(context: &Context, path: &Path) -> Result<(), Failure> {
    let pipeline = parse(path, &read(context, path)?)?;
    let project = context.read()?;
    let plan = Plan::new(&pipeline, &project).map_err(stagewright::Error::from)?;
    let stages: Vec<_> = plan
        .stages
        .iter()
        .map(|stage| {
            let after: Vec<&str> = stage.after.iter().map(|other| plan.stages[*other].name.as_str()).collect();
            let candidates = match &stage.work {
                Work::Train { candidates, .. } => Some(candidates.len()),
                _ => None,
            };
            let grants: Vec<_> =
                stage.work.calls().map(|call| &call.grants).filter(|grants| !grants.is_empty()).collect();
            json!({
                "stage": stage.name, "kind": stage.work.kind(), "after": after, "candidates": candidates,
                "grants": grants,
            })
        })
        .collect();
    context.print(
        &json!({ "pipeline": pipeline.name, "data": plan.data, "plugins": plan.plugins, "stages": stages, "notes": plan.notes }),
        |_| {
            let mut text = format!("{} is in order: {} stages\n", path.display(), plan.stages.len());
            for (stage, said) in plan.stages.iter().zip(&stages) {
                let after: Vec<&str> = stage.after.iter().map(|other| plan.stages[*other].name.as_str()).collect();
                let after = if after.is_empty() { String::new() } else { format!(" after {}", after.join(", ")) };
                let candidates = said["candidates"].as_u64().filter(|many| *many > 1);
                let candidates = candidates.map(|many| format!(", {many} candidates")).unwrap_or_default();
                let _ = writeln!(text, "  {} ({}{candidates}){after}", stage.name, stage.work.kind());
                let mut granted: Vec<String> = stage.work.calls().map(|call| call.grants.to_string()).collect();
                granted.dedup();
                for grants in granted.iter().filter(|grants| !grants.is_empty()) {
                    let _ = writeln!(text, "    impure: it is granted {grants}");
                }
            }
            for note in &plan.notes {
                let _ = writeln!(text, "note: {note}");
            }
            text
        },
    )
}

pub(crate) fn run(context: &Context, path: &Path, seed: Option<u64>, fresh: bool, record: bool) -> Result<(), Failure> {
    let text = read(context, path)?;
    let (shown, version) = (path.display().to_string(), context.surroundings.version.as_str());
    if !fresh && let Some(answer) = memo::unchanged(context.root(), &shown, &text, seed, version) {
        if record {
            context.progress.line(NOTHING_RECORDED);
        }
        return context.text_or_json(&answer.text, &answer.json);
    }
    let cancel = context.cancelled_by_user();
    let mut pipeline = parse(path, &text)?;
    pipeline.seed = seed.unwrap_or(pipeline.seed);
    let project = context.write_to_run()?;
    let plan = Plan::new(&pipeline, &project).map_err(stagewright::Error::from)?;
    // The state of the work tree belongs to the time when the run began.
    let asked = std::sync::Mutex::new(git::ask(context.root()));
    let git = || {
        let asked = asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        asked.and_then(|asked| asked.join().ok().flatten())
    };
    let options = Options { fresh, record, cancel, watcher: &context.progress as &dyn Watcher, git: &git };
    let cancel = options.cancel.clone();
    let outcome = run::run(&project, &plan, &options)?;
    let judged = match (&pipeline.gate, &outcome.run.model) {
        (Some(_), Some(model)) if !outcome.unchanged => {
            Some(verdict::check(&project, &format!("{}@{}", model.name, model.number).parse()?, &cancel)?)
        }
        _ => None,
    };
    if outcome.run.status == Status::Succeeded && plan.repeatable() {
        let next = RunOutcome { run: outcome.run.clone(), unchanged: true };
        let answer = Answer { text: outcome_text(&next, ""), json: context::json_text(&next)? };
        memo::note(context.root(), &shown, &text, seed, version, answer);
    }
    let judged = judged.map(|checked| super::gate::summary(&checked)).unwrap_or_default();
    told(context, &outcome, record, &judged)
}

/// `judged` says what the gate made of the model.
fn told(context: &Context, outcome: &RunOutcome, record: bool, judged: &str) -> Result<(), Failure> {
    let run = &outcome.run;
    let recorded = run.steps().any(|(_, step)| step.recording.is_some());
    if record && (outcome.unchanged || !recorded && run.stages.iter().all(|stage| stage.failed.is_none())) {
        context.progress.line(NOTHING_RECORDED);
    }
    context.print(outcome, |outcome| outcome_text(outcome, judged))?;
    match &run.status {
        Status::Succeeded => Ok(()),
        Status::Failed { message } | Status::Violated { message } => Err(Failure::new(STAGE_FAILED, message.clone())),
        Status::Cancelled | Status::Skipped => Err(Failure::new(
            INTERRUPTED,
            "interrupted; what is finished is kept, and running the pipeline again goes on from there",
        )),
    }
}

fn outcome_text(RunOutcome { run, unchanged }: &RunOutcome, judged: &str) -> String {
    let summary = show::summary(run);
    match unchanged {
        true => format!("nothing has changed since run {}\n{summary}", run.id),
        false => {
            let status = run.status.as_str();
            format!("run {}: {status} in {}\n{summary}{judged}", run.id, duration(run.elapsed_ms))
        }
    }
}

/// Which steps did not ask the world again.
fn replayed(verification: &Verification) -> String {
    let mut text = String::new();
    for step in &verification.steps {
        if let Some(calls) = step.replayed {
            let name = if step.stage == step.step { String::new() } else { format!(": {}", step.step) };
            let calls =
                if calls == 1 { "1 granted call was".to_owned() } else { format!("{calls} granted calls were") };
            let _ = writeln!(text, "  {}{name}: {calls} answered from the recording, not by the world", step.stage);
        }
    }
    text
}

pub(crate) fn verify(context: &Context, wanted: &str) -> Result<(), Failure> {
    let cancel = context.cancelled_by_user();
    let project = context.read()?;
    let run = run::find(&project, wanted)?;
    let watch = |step: &Verified| {
        let name = if step.stage == step.step { step.stage.clone() } else { format!("{}: {}", step.stage, step.step) };
        let mark = if step.verdict == Verdict::Same { "=" } else { "x" };
        context.progress.line(&format!("{mark} {name}"));
    };
    let verification = match verify::verify(&project, &run, &cancel, &watch) {
        Err(_) if cancel.is_cancelled() => return Err(Failure::new(INTERRUPTED, "verifying was interrupted")),
        verification => verification?,
    };
    context.print(&verification, |verification| match verification.first() {
        None => format!(
            "run {}: {} steps ran again, and every output is the same, bit for bit\n{}",
            run.id,
            verification.steps.len(),
            replayed(verification)
        ),
        Some(_) => String::new(),
    })?;
    let Some(first) = verification.first() else { return Ok(()) };
    let what = match &first.verdict {
        Verdict::Same => return Err(Failure::silent(CANNOT)),
        Verdict::Differs { output, recorded, found } => {
            let found = found.map_or_else(|| "nothing".to_owned(), |found| found.short());
            format!("output `{output}` was {} and is {found} now", recorded.short())
        }
        Verdict::Damaged { what } => what.clone(),
        Verdict::Failed { message } => format!("it could not run again: {message}"),
    };
    let step = if first.stage == first.step { String::new() } else { format!(", step `{}`", first.step) };
    Err(Failure::new(NOT_VERIFIED, format!("run {} does not verify: stage `{}`{step}: {what}", run.id, first.stage)))
}
