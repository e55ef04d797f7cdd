//! The model card: Hugging Face's front matter with a `model-index`
//! (<https://huggingface.co/docs/hub/model-cards>), and Markdown in the order of their template.

use std::fmt::Write;

use stagewright_core::{
    StageKind,
    report::{Metric, Severity},
};

use super::{
    facts::{Facts, StageReport},
    text::{
        Gap, METRIC_TITLES, Markdown, code, count, field_row, metric_name, metric_row, number, plain, rows, sentence,
        time,
    },
};

/// The card and its gaps.
pub(crate) fn card(facts: &Facts) -> (String, Vec<Gap>) {
    let mut markdown = Markdown::default();
    head(facts, &mut markdown);
    uses(facts, &mut markdown);
    risks(facts, &mut markdown);
    training(facts, &mut markdown);
    evaluation(facts, &mut markdown);
    fairness(facts, &mut markdown);
    markdown.heading(2, "Governance");
    facts.decisions.section(facts, &mut markdown);
    technical(facts, &mut markdown);
    markdown.list_gaps();
    (format!("{}\n{}", front_matter(facts), markdown.text), markdown.gaps)
}

/// YAML in which every text from outside is quoted as JSON quotes it, which YAML reads too.
fn front_matter(facts: &Facts) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let task = format!("tabular-{}", facts.task());
    let mut yaml = String::from("---\nlibrary_name: stagewright\n");
    let _ = writeln!(yaml, "pipeline_tag: {task}\ntags:\n- stagewright\n- tabular\nmodel-index:");
    let _ = writeln!(yaml, "- name: {}\n  results:", quoted(facts.version.name.as_str()));
    let mut results = String::new();
    for report in facts.reports.iter().filter(|report| report.kind != StageKind::Validator) {
        let mut metrics = String::new();
        for metric in report.report.metrics.iter().filter(|metric| is_compared(report.kind, metric)) {
            // A figure that is undefined has no place in a list of values; the table below has it.
            let Some(value) = metric.value else { continue };
            let kind = metric.name.replace('-', "_");
            let _ = writeln!(metrics, "    - type: {}\n      value: {value}", quoted(&kind));
            let _ = writeln!(metrics, "      name: {}", quoted(&metric_name(metric)));
            if let (Some(low), Some(high)) = (metric.low, metric.high) {
                let _ = writeln!(metrics, "      args:\n        low: {low}\n        high: {high}");
            }
        }
        if metrics.is_empty() {
            continue;
        }
        let (name, revision) = match &report.rows {
            Some(rows) => (rows.name.clone(), rows.digest.to_string()),
            None => (report.stage.clone(), report.artifact.digest.to_string()),
        };
        let data = facts.data.iter().map(|data| data.label()).collect::<Vec<_>>().join(", ");
        let shown = if name == data { name.clone() } else { format!("{name} of {data}") };
        let _ = writeln!(results, "  - task:\n      type: {task}\n    dataset:\n      type: {}", quoted(&data));
        let _ = writeln!(results, "      name: {}\n      revision: {}", quoted(&shown), quoted(&revision));
        let _ = write!(results, "    metrics:\n{metrics}");
    }
    if results.is_empty() {
        // An index of no results would be none.
        yaml.truncate(yaml.find("model-index:").unwrap_or(yaml.len()));
    }
    yaml + &results + "---\n"
}

/// What a leaderboard would compare: of an evaluator the overall figures, of a fairness checker the disparities.
fn is_compared(kind: StageKind, metric: &Metric) -> bool {
    match kind {
        StageKind::FairnessChecker => {
            let beside = metric.name.ends_with("-p-value") || metric.name == "groups-compared";
            metric.labels.contains_key("column") && !metric.labels.contains_key("group") && !beside
        }
        _ => metric.labels.is_empty(),
    }
}

fn head(facts: &Facts, markdown: &mut Markdown) {
    markdown.heading(1, format!("{} (version {})", plain(facts.version.name.as_str()), facts.version.number));
    let predictor = facts.parts.last().map(|part| &facts.components[part.component]);
    let what = predictor.map(|component| format!(", a {} by {}", facts.task(), code(&component.label())));
    markdown.paragraph(format!(
        "Version {} of {}{}, made by run {} of pipeline {} on {}.",
        facts.version.number,
        code(facts.version.name.as_str()),
        what.unwrap_or_default(),
        facts.run.id,
        code(facts.run.pipeline.as_str()),
        time(facts.finished_ms())
    ));
    markdown.paragraph(
        "This card is made from the record of that run; nothing in it was written by hand. What the record cannot \
         know is marked as a gap.",
    );
    markdown.heading(2, "Model details");
    let tags: Vec<String> = facts.tags.iter().map(|tag| code(tag.as_str())).collect();
    let mut list = vec![
        format!("Model: {}", code(&facts.label())),
        format!("Digest (BLAKE3 of `model.json`): `{}`", facts.record.digest),
        format!("Made by: {}", plain(&facts.version.author)),
    ];
    list.extend((!tags.is_empty()).then(|| format!("Tags: {}", tags.join(", "))));
    list.extend(facts.project.as_ref().map(|project| format!("Project: {}", plain(project))));
    list.extend(
        facts.earlier.first().map(|earlier| format!("Previous version: `{}@{}`", earlier.name, earlier.number)),
    );
    markdown.list(list);
    markdown.gap("licence", "the licence of the model, and `license` in the front matter.");
    markdown.gap("contact", "who answers for the model, and how to reach them.");
}

fn uses(facts: &Facts, markdown: &mut Markdown) {
    markdown.heading(2, "Uses");
    if let (Some(label), positive) = (facts.training_text("label"), facts.training_text("positive")) {
        let positive = positive.map(|class| format!("; the positive class is {}", code(&class)));
        markdown.paragraph(format!("It predicts {}{}.", code(&label), positive.unwrap_or_default()));
    }
    markdown.gap("intended-use", "what it is for, who uses it, and whom its decisions concern.");
    markdown.gap("out-of-scope-use", "what it must not be used for.");
}

fn risks(facts: &Facts, markdown: &mut Markdown) {
    markdown.heading(2, "Bias, risks and limitations");
    let findings = facts.reports.iter().flat_map(|report| {
        let serious = report.report.findings.iter().filter(|finding| finding.severity >= Severity::Warning);
        serious.map(|finding| format!("{} (stage {})", sentence(&finding.message), code(&report.stage)))
    });
    let findings: Vec<String> = findings.collect();
    if findings.is_empty() {
        markdown
            .paragraph("No stage of the run found anything that it warns of. That is no proof that there is nothing.");
    } else {
        markdown.paragraph("The stages of the run warn:");
        markdown.list(findings);
    }
    markdown.gap("risks", "harms that the figures do not show, and what users should do about those they do.");
}

fn training(facts: &Facts, markdown: &mut Markdown) {
    markdown.heading(2, "Training");
    markdown.heading(3, "Training data");
    let data = facts.data.iter().map(|data| {
        let columns = data.schema.as_ref().map(|schema| schema.len().to_string()).unwrap_or_default();
        vec![code(&data.label()), rows(data.rows), columns, format!("`{}`", data.used.digest.short())]
    });
    markdown.table(&["data", "rows>", "columns>", "digest"], data);
    markdown
        .gap("data-origin", "where the data comes from, how it was collected and labelled, and under which licence.");
    let Some(training) = &facts.training else { return };
    markdown.paragraph(format!(
        "Trained on {} ({} rows){}.",
        code(&training.rows.name),
        rows(training.rows.count),
        training.validation.as_ref().map_or_else(String::new, |validation| format!(
            ", with {} ({} rows) for validation",
            code(&validation.name),
            rows(validation.count)
        ))
    ));
    markdown.heading(3, "Training procedure");
    let featurizers = facts.parts.iter().filter(|part| part.role == "featurizer");
    let featurizers: Vec<String> = featurizers.map(|part| code(&facts.components[part.component].label())).collect();
    if !featurizers.is_empty() {
        markdown.paragraph(format!("Features: {}, fitted on the training rows.", featurizers.join(", then ")));
    }
    if let Some(selection) = &training.selection {
        markdown.paragraph(format!(
            "Selected from {} candidates by the {} {} on {}: {}.",
            training.candidates,
            if selection.maximize { "highest" } else { "lowest" },
            code(&selection.metric),
            code(&selection.on),
            number(selection.value)
        ));
    }
    let parameters = training.parameters.iter().map(|(name, value)| vec![code(name), code(&value.to_string())]);
    markdown.table(&["parameter", "value"], parameters);
    markdown.paragraph(format!(
        "Seed {}. Training all candidates took {}; no step used more than {} of memory.",
        training.seed,
        seconds(training.elapsed_ms),
        megabytes(training.peak_memory)
    ));
}

fn evaluation(facts: &Facts, markdown: &mut Markdown) {
    markdown.heading(2, "Evaluation");
    let mut any = false;
    for report in facts.reports_of(StageKind::Evaluator) {
        any = true;
        about(facts, report, markdown);
        markdown.table(&METRIC_TITLES, report.report.metrics.iter().map(metric_row));
        findings(report, markdown);
    }
    if !any {
        markdown.gap("evaluation", "the run evaluated nothing: add an evaluator stage to its pipeline.");
    }
}

fn fairness(facts: &Facts, markdown: &mut Markdown) {
    markdown.heading(2, "Fairness");
    let mut any = false;
    for report in facts.reports_of(StageKind::FairnessChecker) {
        any = true;
        about(facts, report, markdown);
        let (groups, overall): (Vec<_>, Vec<_>) =
            report.report.metrics.iter().partition(|metric| metric.labels.contains_key("group"));
        markdown.table(&METRIC_TITLES, overall.into_iter().map(metric_row));
        let wanted = ["selection-rate", "impact-ratio", "true-positive-rate", "false-positive-rate", "precision"];
        let label = |metric: &Metric, name: &str| metric.labels.get(name).map(|value| plain(value)).unwrap_or_default();
        let mut table: Vec<(String, String, Vec<String>, String)> = Vec::new();
        for metric in groups {
            let key = (label(metric, "column"), label(metric, "group"));
            let place = table.iter().position(|row| row.0 == key.0 && row.1 == key.1).unwrap_or_else(|| {
                table.push((key.0, key.1, vec![String::new(); wanted.len()], String::new()));
                table.len() - 1
            });
            if let Some(column) = wanted.iter().position(|name| *name == metric.name) {
                table[place].2[column] = number(metric.value);
            }
            if metric.name == "selection-rate" {
                table[place].3 = metric.support.map(count).unwrap_or_default();
            }
        }
        let titles = ["column", "group", "rows>", "selection rate>", "impact ratio>", "TPR>", "FPR>", "precision>"];
        let rows = table.into_iter().map(|(column, group, values, rows)| [vec![column, group, rows], values].concat());
        markdown.table(&titles, rows);
        findings(report, markdown);
    }
    if !any {
        markdown.gap("fairness", "the run checked no fairness: add a fairness-checker stage to its pipeline.");
    }
}

fn about(facts: &Facts, report: &StageReport, markdown: &mut Markdown) {
    let on = report.rows.as_ref().map(|on| format!(" on {} ({} rows)", code(&on.name), rows(on.count)));
    markdown.paragraph(format!(
        "Stage {} by {}{}:",
        code(&report.stage),
        code(&facts.components[report.component].label()),
        on.unwrap_or_default()
    ));
}

fn findings(report: &StageReport, markdown: &mut Markdown) {
    markdown.list(report.report.findings.iter().map(|finding| {
        let severity = match finding.severity {
            Severity::Info => "note",
            Severity::Warning => "warning",
            Severity::Violation => "violation",
        };
        format!("{severity}: {}", sentence(&finding.message))
    }));
}

fn technical(facts: &Facts, markdown: &mut Markdown) {
    markdown.heading(2, "Technical specifications");
    markdown.heading(3, "Parts");
    let parts = facts.parts.iter().map(|part| {
        let component = &facts.components[part.component];
        let licence = component.metadata("licence").map(plain).unwrap_or_default();
        let (component_digest, state) = (component.artifact.digest.short(), part.state.digest.short());
        vec![
            part.role.to_owned(),
            code(&component.label()),
            licence,
            format!("`{component_digest}`"),
            format!("`{state}`"),
            count(part.state.bytes),
        ]
    });
    markdown.table(&["part", "plugin", "licence", "component", "state", "bytes of state>"], parts);
    markdown.heading(3, "Input");
    markdown.table(&["column", "type", ""], facts.model.input.fields().iter().map(field_row));
    markdown.heading(3, "Output");
    markdown.table(&["column", "type", ""], facts.outputs.iter().map(field_row));
    markdown.heading(3, "Reproducing it");
    markdown.paragraph(sandbox(facts));
    markdown.list(
        facts.granted().into_iter().map(|(stage, grants)| format!("{} was granted {}", code(&stage), code(&grants))),
    );
    markdown.paragraph(format!(
        "`stagewright verify {}` runs all {} steps again and compares every output bit for bit; `stagewright lineage \
         {}` shows what it was made from. Engine {}, contract {}, profile {}, Stagewright {}.",
        facts.run.id,
        facts.run.steps().count(),
        facts.label(),
        plain(&facts.run.engine),
        plain(&facts.run.contract),
        facts.run.profile,
        plain(&facts.run.host)
    ));
}

/// What kept the stages from the world, and what did not.
pub(super) fn sandbox(facts: &Facts) -> &'static str {
    match facts.run.impure {
        false => "Every stage ran in a sandbox without clock, network, files, environment or randomness but its seed.",
        true => {
            "Every stage ran in a sandbox without clock, network, files, environment or randomness but its seed, except \
             for what these stages were granted; what they asked and were answered is kept with the run:"
        }
    }
}

pub(super) fn seconds(milliseconds: f64) -> String {
    if milliseconds < 1000.0 { format!("{milliseconds:.0} ms") } else { format!("{:.1} s", milliseconds / 1000.0) }
}

pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
