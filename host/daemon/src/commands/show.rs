//! `runs`, `show`, `compare`, `lineage`.

use std::fmt::Write;

use serde_json::json;
use stagewright::{
    Project, compare,
    lineage::{self, Direction},
    report, run,
};
use stagewright_core::{
    Report,
    record::{RunRecord, StageRun, Status},
    report::Metric,
};

use super::Context;
use crate::{
    args::Drawing,
    failure::{Failure, WRONG_INPUT},
    text::{Columns, count, duration, number, printable, time},
};

/// More metrics than this are too many to read between others.
const SHOWN_METRICS: usize = 40;

pub(crate) fn runs(context: &Context, limit: usize, pipeline: Option<&str>) -> Result<(), Failure> {
    let runs = run::list(&context.read()?, limit, pipeline)?;
    context.print(&runs, |runs| {
        let mut columns = Columns::new(&["run", "pipeline", "status", "started (UTC)", "took", "by", "model"]);
        for run in runs {
            let model = run.model.as_ref().map(|model| format!("{}@{}", model.name, model.number));
            columns.row([
                run.id.to_string(),
                run.pipeline.to_string(),
                run.status.as_str().to_owned(),
                time(run.started_ms),
                duration(run.elapsed_ms),
                run.author.clone(),
                model.unwrap_or_default(),
            ]);
        }
        match columns.is_empty() {
            true => "no runs yet; `stagewright run PIPELINE` makes one\n".to_owned(),
            false => columns.text(),
        }
    })
}

/// The stages of a run and what was selected and registered.
pub(crate) fn summary(run: &RunRecord) -> String {
    let mut text = String::new();
    for stage in &run.stages {
        if stage.candidates.len() > 1 {
            let mut columns = Columns::new(&["candidate", "parameters", "value", ""]);
            for (position, candidate) in stage.candidates.iter().enumerate() {
                let varied: Vec<_> = candidate.varied.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let selected = if stage.selected == Some(position) { "selected" } else { "" };
                columns.row([candidate.plugin.clone(), varied.join(" "), number(candidate.value), selected.to_owned()]);
            }
            let _ = write!(text, "\n{}\n{}", stage.name, columns.text());
        }
    }
    if let Some(model) = &run.model {
        let _ = writeln!(text, "\nregistered {}@{} ({})", model.name, model.number, model.digest.short());
    }
    text
}

pub(crate) fn show(context: &Context, wanted: &str, stage: Option<&str>) -> Result<(), Failure> {
    let project = context.read()?;
    let record = run::find(&project, wanted)?;
    let Some(name) = stage else {
        let reports: serde_json::Map<String, serde_json::Value> = record
            .stages
            .iter()
            .filter_map(|stage| Some((stage.name.clone(), serde_json::to_value(report_of(&project, stage)?).ok()?)))
            .collect();
        return context.print(&json!({ "run": record, "reports": reports }), |_| run_text(&project, &record));
    };
    let Some(stage) = record.stages.iter().find(|stage| stage.name == name) else {
        let names: Vec<_> = record.stages.iter().map(|stage| stage.name.as_str()).collect();
        return Err(Failure::new(
            WRONG_INPUT,
            format!("run {} has no stage `{name}`; its stages are {}", record.id, names.join(", ")),
        ));
    };
    let logs: Vec<_> =
        stage.steps.iter().map(|step| stagewright::log(&project, &step.result.log).unwrap_or_default()).collect();
    let report = report_of(&project, stage);
    context.print(&json!({ "stage": stage, "logs": logs, "report": report }), |_| {
        stage_text(stage, &logs, report.as_ref())
    })
}

fn report_of(project: &Project, stage: &StageRun) -> Option<Report> {
    report(project, stage.outputs.get("report")?).ok()
}

fn run_text(project: &Project, run: &RunRecord) -> String {
    let mut text = format!("run {}: {} {}\n", run.id, run.pipeline, run.status.as_str());
    if let Status::Failed { message } | Status::Violated { message } = &run.status {
        let _ = writeln!(text, "  {}", printable(message));
    }
    let _ =
        writeln!(text, "  started  {} UTC by {}, took {}", time(run.started_ms), run.author, duration(run.elapsed_ms));
    let _ = writeln!(
        text,
        "  pipeline {}@{} {}",
        run.pipeline_file.name,
        run.pipeline_file.number,
        run.pipeline_file.digest.short()
    );
    let _ = writeln!(text, "  seed {}, profile {}, {}, stagewright {}", run.seed, run.profile, run.engine, run.host);
    for (stage, grants) in run.grants() {
        for grants in grants {
            let _ = writeln!(text, "  impure: {stage} was granted {}", printable(&grants.to_string()));
        }
    }
    if let Some(git) = &run.git {
        let dirty = if git.dirty { " with uncommitted changes" } else { "" };
        let _ = writeln!(text, "  git {}{dirty}", git.commit.chars().take(12).collect::<String>());
    }
    for (name, used) in &run.data {
        let _ = writeln!(text, "  data {name} is {}@{} {}", used.name, used.number, used.digest.short());
    }
    for used in run.plugins.values() {
        let _ = writeln!(text, "  plugin {}@{} {}", used.name, used.number, used.digest.short());
    }
    let mut columns = Columns::new(&["stage", "kind", "status", "took", "memory", "outputs"]);
    for stage in &run.stages {
        let memory = stage.steps.iter().map(|step| step.result.peak_memory).max();
        let outputs: Vec<_> = stage.outputs.iter().map(|(name, digest)| format!("{name} {}", digest.short())).collect();
        let took =
            if stage.cached() && !stage.steps.is_empty() { "known".to_owned() } else { duration(stage.elapsed_ms()) };
        columns.row([
            stage.name.clone(),
            stage.kind.to_string(),
            stage.status.as_str().to_owned(),
            took,
            memory.map(crate::text::size).unwrap_or_default(),
            outputs.join("  "),
        ]);
    }
    let _ = write!(text, "\n{}{}", columns.text(), summary(run));
    for stage in &run.stages {
        if let Some(report) = report_of(project, stage) {
            let _ = write!(text, "\n{} ({})\n{}", stage.name, stage.kind, report_text(&report, SHOWN_METRICS));
        }
    }
    text
}

fn report_text(report: &Report, most: usize) -> String {
    let mut columns = Columns::new(&["metric", "value", "interval", "rows"]);
    for metric in report.metrics.iter().take(most) {
        let interval = match (metric.low, metric.high) {
            (Some(low), Some(high)) => format!("{} to {}", number(Some(low)), number(Some(high))),
            _ => String::new(),
        };
        columns.row([
            metric_name(metric),
            number(metric.value),
            interval,
            metric.support.map(count).unwrap_or_default(),
        ]);
    }
    let mut text = if columns.is_empty() { String::new() } else { columns.text() };
    if report.metrics.len() > most {
        let _ = writeln!(text, "… and {} more (name the stage to see all)", report.metrics.len() - most);
    }
    for finding in &report.findings {
        let severity = format!("{:?}", finding.severity).to_lowercase();
        let _ = writeln!(text, "{severity}: {}", printable(&finding.message));
    }
    for figure in &report.figures {
        let _ = writeln!(text, "figure: {} (--json has its Vega-Lite specification)", printable(&figure.title));
    }
    text
}

fn metric_name(metric: &Metric) -> String {
    if metric.labels.is_empty() {
        return metric.name.clone();
    }
    let labels: Vec<_> = metric.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{}{{{}}}", metric.name, labels.join(","))
}

fn stage_text(stage: &StageRun, logs: &[stagewright_core::record::StageLog], report: Option<&Report>) -> String {
    let mut text = format!("{}: {} {}\n", stage.name, stage.kind, stage.status.as_str());
    for line in &stage.log {
        let _ = writeln!(text, "  {:?}: {}", line.level, printable(&line.message));
    }
    for (step, log) in stage.steps.iter().zip(logs) {
        let how = if step.cached { "known already; it took" } else { "took" };
        let _ = writeln!(text, "\n{} ({how} {})", step.title, duration(step.result.elapsed_ms));
        let _ = writeln!(text, "  run key    {}", step.key);
        let _ = writeln!(text, "  component  {}", step.result.spec.component);
        for (port, digest) in &step.result.spec.inputs {
            let _ = writeln!(text, "  input      {port} {digest}");
        }
        for (name, value) in &step.result.spec.parameters {
            let _ = writeln!(text, "  parameter  {name} = {}", printable(&value.to_string()));
        }
        if !step.result.spec.grants.is_empty() {
            let _ = writeln!(text, "  granted    {}", printable(&step.result.spec.grants.to_string()));
        }
        if let Some(answers) = &step.result.granted {
            let _ = writeln!(text, "  answers    {answers}");
        }
        for (name, digest) in &step.result.outputs {
            let _ = writeln!(text, "  output     {name} {digest}");
        }
        for line in &log.lines {
            let _ = writeln!(text, "  {:?}: {}", line.level, printable(&line.message));
        }
        if log.dropped_lines > 0 {
            let _ = writeln!(text, "  … {} more lines were dropped", count(log.dropped_lines));
        }
        let mut names: Vec<&str> = log.curves.iter().map(|point| point.name.as_str()).collect();
        names.dedup();
        for name in names {
            let points: Vec<_> = log.curves.iter().filter(|point| point.name == name).collect();
            if let (Some(first), Some(last)) = (points.first(), points.last()) {
                let (from, to) = (number(first.value), number(last.value));
                let _ = writeln!(text, "  curve      {}: {} points, {from} to {to}", printable(name), points.len());
            }
        }
    }
    if let Some(report) = report {
        let _ = write!(text, "\n{}", report_text(report, usize::MAX));
    }
    text
}

pub(crate) fn compare(context: &Context, before: &str, after: &str) -> Result<(), Failure> {
    let project = context.read()?;
    let (before, after) = (run::find(&project, before)?, run::find(&project, after)?);
    let comparison = compare::compare(&before, &after, &|stage| report_of(&project, stage));
    context.print(&comparison, |comparison| {
        let mut text = format!("run {} and run {}\n", comparison.before, comparison.after);
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let mut inputs = Columns::new(&["what went in", "before", "after"]);
        for input in &comparison.inputs {
            inputs.row([input.what.clone(), shown(&input.before), shown(&input.after)]);
        }
        let mut metrics = Columns::new(&["metric", "before", "after", "difference"]);
        for metric in &comparison.metrics {
            let difference = metric.before.zip(metric.after).map(|(before, after)| number(Some(after - before)));
            metrics.row([
                format!("{}.{}", metric.stage, metric.metric),
                number(metric.before),
                number(metric.after),
                difference.unwrap_or_default(),
            ]);
        }
        let same = comparison.stages.iter().filter(|stage| stage.outputs == "same").count();
        let _ = writeln!(text, "{same} of {} stages have the same outputs", comparison.stages.len());
        for stage in comparison.stages.iter().filter(|stage| stage.outputs != "same") {
            let _ = writeln!(text, "  {}: {}", stage.stage, stage.outputs);
        }
        for columns in [inputs, metrics] {
            if !columns.is_empty() {
                let _ = write!(text, "\n{}", columns.text());
            }
        }
        text
    })
}

pub(crate) fn lineage(context: &Context, artifact: &str, up: bool, down: bool, format: Drawing) -> Result<(), Failure> {
    let direction = match (up, down) {
        (true, _) => Direction::Up,
        (_, true) => Direction::Down,
        _ => Direction::Both,
    };
    let graph = lineage::lineage(&context.read()?, artifact, direction)?;
    match format {
        Drawing::Tree => context.print(&graph, lineage::Graph::tree),
        Drawing::Dot => context.text(&graph.dot()),
        Drawing::Svg => context.text(&graph.svg()),
    }
}
