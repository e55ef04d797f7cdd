//! `plugin test`, `plugin bench`: what a component promises, and what it costs. Neither needs a project.

use std::{fs, path::Path, sync::Arc};

use stagewright::runtime::{COMPONENT_BYTES, CompiledCache, Component, DirCache, StageError};
use stagewright_workshop::{
    bench::{Bench, Measurements},
    conformance::{Check, Conformance, Error, Kit, Parameters, Verdict},
};

use super::Context;
use crate::{
    failure::{CANNOT, Failure, INTERRUPTED, NOT_VERIFIED, WRONG_INPUT},
    surroundings,
    text::{Columns, count, duration, printable, size},
};

/// Checks every promise of the contract.
pub(crate) fn test(context: &Context, file: &Path, with: &[String], quick: bool) -> Result<(), Failure> {
    let component = read(file)?;
    let cancel = context.cancelled_by_user();
    let (worker, cache, parameters) = (context.worker(), cache(context), parameters(with)?);
    let kit = Kit { worker, cache, parameters, quick, cancel: &cancel };
    let mut told = |check: &Check| context.progress.line(&format!("{} {}", title(check), check.result));
    let found = kit.test(&component, &mut told).map_err(|error| match error {
        Error::Parameter { .. } => Failure::new(WRONG_INPUT, error.to_string()),
        _ if cancel.is_cancelled() => Failure::new(INTERRUPTED, "interrupted"),
        error => Failure { code: CANNOT, error: Some(error.into()) },
    })?;
    context.print(&found, table)?;
    if found.passed() { Ok(()) } else { Err(Failure::silent(NOT_VERIFIED)) }
}

/// Measures what it costs.
pub(crate) fn bench(context: &Context, file: &Path, with: &[String]) -> Result<(), Failure> {
    let component = read(file)?;
    let cancel = context.cancelled_by_user();
    let bench =
        Bench { worker: context.worker(), cache: cache(context), parameters: parameters(with)?, cancel: &cancel };
    let told = |what: &str| context.progress.line(what);
    let measured = bench.measure(&component, &told).map_err(|error| {
        let code = match error {
            StageError::Cancelled => INTERRUPTED,
            StageError::NoWorker(_) | StageError::Host { .. } => CANNOT,
            _ => WRONG_INPUT,
        };
        let message = format!("{} cannot be measured", file.display());
        Failure { code, error: Some(anyhow::Error::new(error).context(message)) }
    })?;
    context.print(&measured, figures)
}

fn figures(measured: &Measurements) -> String {
    let mut once = Columns::new(&["", "once"]);
    once.row(["size".to_owned(), size(measured.bytes)]);
    once.row(["compile".to_owned(), duration(measured.compile_ms)]);
    once.row(["load compiled code".to_owned(), duration(measured.load_ms)]);
    once.row(["instantiate".to_owned(), format!("{:.0} µs", measured.instantiate_us)]);
    once.row(["process, load, describe".to_owned(), duration(measured.start_ms)]);
    let mut steps = Columns::new(&["function", "columns", "rows", "time", "rows/s", "data/s", "per batch", "memory"]);
    for step in &measured.steps {
        let text = |value: Option<f64>, show: &dyn Fn(f64) -> String| value.map(show).unwrap_or_default();
        steps.row([
            format!("{}.{}", step.stage, step.function),
            step.problem.clone().map_or_else(|| step.columns.join(", "), |problem| shortened(&problem)),
            if step.rows > 0 { count(step.rows) } else { String::new() },
            text(step.elapsed_ms, &duration),
            text(step.rows_per_second, &|rows| count(rows as u64)),
            text(step.bytes_per_second, &|bytes| size(bytes as u64)),
            text(step.batch_us, &|time| format!("{time:.1} µs")),
            step.peak_memory.map(size).unwrap_or_default(),
        ]);
    }
    format!("{}\n{}", once.text(), steps.text())
}

/// Where compiled code is kept.
pub(crate) fn cache(context: &Context) -> Arc<dyn CompiledCache> {
    match surroundings::compiled(context.root()) {
        Some(directory) => Arc::new(DirCache::new(directory)),
        None => Arc::new(()),
    }
}

fn title(check: &Check) -> String {
    match check.stage {
        Some(stage) => format!("{stage}: {}", check.name),
        None => check.name.clone(),
    }
}

fn table(found: &Conformance) -> String {
    let mut columns = Columns::new(&["check", "result", "detail"]);
    for check in &found.checks {
        columns.row([title(check), check.result.to_string(), shortened(&check.detail)]);
    }
    let count = |verdict| found.count(verdict);
    format!(
        "{}\n{} passed, {} failed, {} skipped\n",
        columns.text(),
        count(Verdict::Passed),
        count(Verdict::Failed),
        count(Verdict::Skipped)
    )
}

/// A plugin's own words may be long; `--json` has all of them.
fn shortened(text: &str) -> String {
    const MOST: usize = 240;
    let text = printable(text);
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// `key=value`, the value as JSON; what is no JSON is text.
fn parameters(with: &[String]) -> Result<Parameters, Failure> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').ok_or_else(|| {
            Failure::new(WRONG_INPUT, format!("--with {text}: write KEY=VALUE, such as --with label=\"loan\""))
        })?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        Ok((key.trim().to_owned(), value))
    };
    with.iter().map(pair).collect()
}

pub(crate) fn read(file: &Path) -> Result<Component, Failure> {
    let cannot = |error: std::io::Error| {
        let message = format!("cannot read {}", file.display());
        let code = if error.kind() == std::io::ErrorKind::NotFound { WRONG_INPUT } else { CANNOT };
        Failure { code, error: Some(anyhow::Error::new(error).context(message)) }
    };
    let size = fs::metadata(file).map_err(cannot)?.len();
    if size > COMPONENT_BYTES {
        let problem = format!("{} has {size} bytes; a component has at most {COMPONENT_BYTES}", file.display());
        return Err(Failure::new(WRONG_INPUT, problem));
    }
    Ok(Component::new(fs::read(file).map_err(cannot)?))
}
