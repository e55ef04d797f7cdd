//! The technical documentation that Annex IV of the EU AI Act (Regulation (EU) 2024/1689) asks of high-risk systems:
//! its nine points, each with what the record knows and, named, what a person has to write.
//!
//! The headings summarize the regulation; its text is what counts.

use stagewright_core::{StageKind, report::Severity};

use super::{
    card::{megabytes, sandbox, seconds},
    facts::{Facts, StageReport},
    text::{Gap, METRIC_TITLES, Markdown, code, field_row, metric_row, number, plain, rows, sentence, time},
};

/// The document and its gaps.
pub(crate) fn annex(facts: &Facts) -> (String, Vec<Gap>) {
    let mut markdown = Markdown::default();
    markdown.heading(1, format!("Technical documentation of {}", code(&facts.label())));
    markdown.paragraph(format!(
        "By Annex IV of Regulation (EU) 2024/1689. The facts are those of the record of run {} of pipeline {}, which \
         ended on {}; what only a person can say is marked as a gap. Documentation is kept for ten years after the \
         system was placed on the market (Article 18), automatic logs for at least six months (Articles 19 and 26).",
        facts.run.id,
        code(facts.run.pipeline.as_str()),
        time(facts.finished_ms())
    ));
    general(facts, &mut markdown);
    development(facts, &mut markdown);
    data(facts, &mut markdown);
    testing(facts, &mut markdown);
    control(facts, &mut markdown);
    rest(facts, &mut markdown);
    markdown.list_gaps();
    (markdown.text, markdown.gaps)
}

fn general(facts: &Facts, markdown: &mut Markdown) {
    markdown.heading(2, "1. General description");
    markdown.heading(3, "1(a) Purpose, provider, version");
    let mut list = vec![
        format!("Version: {}, digest `{}`", code(&facts.label()), facts.record.digest),
        format!("Registered by {} on {}", plain(&facts.version.author), time(facts.version.at_ms)),
    ];
    list.extend(facts.project.as_ref().map(|project| format!("Project: {}", plain(project))));
    list.push(match facts.earlier.first() {
        Some(earlier) => {
            format!("Previous version: `{}@{}`, registered on {}", earlier.name, earlier.number, time(earlier.at_ms))
        }
        None => "There is no previous version".to_owned(),
    });
    markdown.list(list);
    markdown.gap("intended-purpose", "the intended purpose, and the persons and groups on whom the system is used.");
    markdown.gap("provider", "name and address of the provider.");
    markdown.heading(3, "1(b) Interaction with other hardware and software");
    markdown.gap("interaction", "how the system interacts with systems that are not part of it.");
    markdown.heading(3, "1(c) Versions of software");
    markdown.list([
        format!("Stagewright {}", plain(&facts.run.host)),
        format!("engine {}", plain(&facts.run.engine)),
        format!("contract {}", plain(&facts.run.contract)),
    ]);
    let components = facts.components.iter().map(|component| {
        vec![
            code(&component.label()),
            component.metadata("version").map(plain).unwrap_or_default(),
            component.metadata("licence").map(plain).unwrap_or_default(),
            format!("`{}`", component.artifact.digest),
        ]
    });
    markdown.table(&["plugin", "its own version", "licence", "digest"], components);
    markdown.heading(3, "1(d) Forms in which it is placed on the market");
    markdown.gap("forms", "package, download, service.");
    markdown.heading(3, "1(e) Hardware");
    markdown.paragraph(format!(
        "Making it, no step used more than {} of memory. No accelerator is used.",
        megabytes(facts.training.as_ref().map_or(0, |training| training.peak_memory))
    ));
    markdown.gap("hardware", "the hardware that it is meant to run on.");
    markdown.heading(3, "1(f) Products of which it is a component");
    markdown.gap("product", "photographs or drawings, where it is part of a product; otherwise that it is not.");
    markdown.heading(3, "1(g) and 1(h) User interface and instructions for use");
    markdown.gap("instructions", "the deployer's interface, and instructions for use.");
}

fn development(facts: &Facts, markdown: &mut Markdown) {
    markdown.heading(2, "2. Elements and development");
    markdown.heading(3, "2(a) Steps of development, third parties' tools");
    markdown.paragraph(format!(
        "The pipeline is version {} of {} (BLAKE3 `{}`){}; its stages:",
        facts.run.pipeline_file.number,
        code(facts.run.pipeline_file.name.as_str()),
        facts.run.pipeline_file.digest,
        facts.run.git.as_ref().map_or_else(String::new, |git| format!(
            ", in git at {}{}",
            code(&git.commit),
            if git.dirty { " with uncommitted changes" } else { "" }
        ))
    ));
    let stages = facts.run.stages.iter().map(|stage| {
        let mut plugins: Vec<String> = Vec::new();
        for step in &stage.steps {
            let digest = step.result.spec.component;
            let plugin = facts.components.iter().find(|component| component.artifact.digest == digest);
            let label = plugin.map(|component| code(&component.label()));
            plugins.extend(label.filter(|label| !plugins.contains(label)));
        }
        vec![code(&stage.name), stage.kind.to_string(), plugins.join(", "), stage.status.as_str().to_owned()]
    });
    markdown.table(&["stage", "kind", "plugins", "ended"], stages);
    let foreign = facts.components.iter().filter_map(|component| {
        let authors = component.metadata("authors")?;
        Some(format!("{} by {}", code(&component.label()), plain(authors)))
    });
    markdown.list(foreign);
    markdown.paragraph("No pre-trained model was used: the run started from data, and every state was learned in it.");
    markdown.heading(3, "2(b) Design: logic, choices, what it optimizes");
    if let Some(training) = &facts.training {
        let component = &facts.components[training.component];
        let doc =
            component.record.as_ref().and_then(|record| record.stage(StageKind::Trainer)).map(|info| plain(&info.doc));
        markdown.paragraph(format!("{}: {}", code(&component.label()), doc.unwrap_or_default()));
        if let Some(selection) = &training.selection {
            markdown.paragraph(format!(
                "Of {} candidates, the one with the {} {} on {} was selected: {}.",
                training.candidates,
                if selection.maximize { "highest" } else { "lowest" },
                code(&selection.metric),
                code(&selection.on),
                number(selection.value)
            ));
        }
        let parameters = training.parameters.iter().map(|(name, value)| vec![code(name), code(&value.to_string())]);
        markdown.table(&["parameter", "value"], parameters);
    }
    markdown.gap("design-choices", "the rationale of the choices, the assumptions, and the trade-offs.");
    markdown.heading(3, "2(c) Architecture and computational resources");
    markdown.paragraph("A request's columns pass through these parts in this order:");
    let parts = facts.parts.iter().map(|part| {
        let component = &facts.components[part.component];
        vec![
            part.role.to_owned(),
            code(&component.label()),
            format!("`{}`", component.artifact.digest),
            format!("`{}`", part.state.digest),
        ]
    });
    markdown.table(&["part", "plugin", "component", "what it learned"], parts);
    let steps: f64 = facts.run.steps().map(|(_, step)| step.result.elapsed_ms).sum();
    markdown.paragraph(format!(
        "The run's {} steps took {}, {} of it for training, on one machine.",
        facts.run.steps().count(),
        seconds(steps),
        seconds(facts.training.as_ref().map_or(0.0, |training| training.elapsed_ms))
    ));
}

fn data(facts: &Facts, markdown: &mut Markdown) {
    markdown.heading(3, "2(d) Data");
    let data = facts.data.iter().map(|data| {
        let added =
            data.version.as_ref().map(|version| format!("{} by {}", time(version.at_ms), plain(&version.author)));
        let message = data.version.as_ref().map(|version| plain(&version.message)).unwrap_or_default();
        vec![
            code(&data.label()),
            rows(data.rows),
            added.unwrap_or_else(|| "deleted since".to_owned()),
            message,
            format!("`{}`", data.used.digest),
        ]
    });
    markdown.table(&["data", "rows>", "added", "message", "digest"], data);
    for data in &facts.data {
        if let Some(schema) = &data.schema {
            markdown.paragraph(format!("Columns of {}:", code(&data.label())));
            markdown.table(&["column", "type", ""], schema.fields().iter().map(field_row));
        }
    }
    if let Some(training) = &facts.training {
        let mut used = vec![format!("training: {}, {} rows", code(&training.rows.name), rows(training.rows.count))];
        used.extend(
            training
                .validation
                .iter()
                .map(|v| format!("validation while training: {}, {} rows", code(&v.name), rows(v.count))),
        );
        used.extend(training.selection.as_ref().map(|selection| format!("selection: {}", code(&selection.on))));
        markdown.list(used);
    }
    for report in facts.reports_of(StageKind::Validator) {
        markdown.paragraph(format!(
            "Stage {} validated {}: {}.",
            code(&report.stage),
            report.rows.as_ref().map_or_else(|| "its table".to_owned(), |rows| code(&rows.name)),
            if report.report.violations().next().is_some() {
                "violations were found"
            } else {
                "no violation was found"
            }
        ));
        markdown.list(report.report.findings.iter().map(|finding| sentence(&finding.message)));
    }
    markdown.gap(
        "data-provenance",
        "where the data comes from, how it was obtained, selected, labelled and cleaned before it was added here.",
    );
    markdown.heading(3, "2(e) Human oversight");
    markdown.gap(
        "oversight-assessment",
        "the oversight measures that Article 14 asks for, and how outputs can be interpreted.",
    );
    markdown.heading(3, "2(f) Pre-determined changes");
    markdown.gap(
        "planned-changes",
        "changes of the system and its performance that are planned from the start; otherwise none.",
    );
}

fn testing(facts: &Facts, markdown: &mut Markdown) {
    markdown.heading(3, "2(g) Validation and testing");
    for kind in [StageKind::Evaluator, StageKind::FairnessChecker] {
        for report in facts.reports_of(kind) {
            let on = report.rows.as_ref().map(|on| format!(" on {} ({} rows)", code(&on.name), rows(on.count)));
            markdown.paragraph(format!(
                "Stage {} ({kind}) by {}{}; the whole report is `{}`.",
                code(&report.stage),
                code(&facts.components[report.component].label()),
                on.unwrap_or_default(),
                report.artifact.digest
            ));
            let overall = report.report.metrics.iter().filter(|metric| !metric.labels.contains_key("group"));
            markdown.table(&METRIC_TITLES, overall.map(metric_row));
        }
    }
    markdown.paragraph(format!(
        "Test logs: the log of every step is kept with run {}; `stagewright verify {}` repeats all of them and compares \
         bit for bit; `stagewright document provenance {}` is the signed statement of what was used.",
        facts.run.id,
        facts.run.id,
        facts.label()
    ));
    facts.decisions.section(facts, markdown);
    markdown.gap("test-responsible", "who is responsible for the tests: reports are to be dated and signed.");
    markdown.heading(3, "2(h) Cybersecurity");
    markdown.paragraph(sandbox(facts));
    let granted = facts.granted().into_iter();
    markdown.list(granted.map(|(stage, grants)| format!("{} was granted {}", code(&stage), code(&grants))));
    markdown.paragraph(
        "Parts are WebAssembly components, named by the digests of their bytes and checked at each load. Every change \
         of a repository is in a hash-chained, signed audit log.",
    );
    markdown.gap("cybersecurity", "measures around the system: access, keys, operation.");
}

fn control(facts: &Facts, markdown: &mut Markdown) {
    markdown.heading(2, "3. Monitoring, functioning and control");
    markdown.heading(3, "Capabilities and limits, accuracy for groups of persons");
    for report in facts.reports_of(StageKind::FairnessChecker) {
        groups(report, markdown);
    }
    for report in facts.reports_of(StageKind::Evaluator) {
        let sliced = report.report.metrics.iter().filter(|metric| metric.labels.contains_key("group"));
        markdown.table(&METRIC_TITLES, sliced.map(metric_row));
    }
    let warnings = facts.reports.iter().flat_map(|report| {
        report
            .report
            .findings
            .iter()
            .filter(|finding| finding.severity >= Severity::Warning)
            .map(|f| sentence(&f.message))
    });
    markdown.list(warnings);
    markdown
        .gap("risks", "foreseeable unintended outcomes, and sources of risk to health, safety and fundamental rights.");
    markdown.gap("oversight-measures", "the human oversight measures of Article 14.");
    markdown.heading(3, "Specification of input data");
    markdown.table(&["column", "type", ""], facts.model.input.fields().iter().map(field_row));
    if !facts.outputs.is_empty() {
        markdown.heading(3, "Output");
        markdown.table(&["column", "type", ""], facts.outputs.iter().map(field_row));
    }
}

fn groups(report: &StageReport, markdown: &mut Markdown) {
    let wanted = ["accuracy", "selection-rate", "true-positive-rate", "false-positive-rate", "impact-ratio"];
    let metrics = report.report.metrics.iter();
    let of_groups =
        metrics.filter(|metric| metric.labels.contains_key("group") && wanted.contains(&metric.name.as_str()));
    markdown.table(&METRIC_TITLES, of_groups.map(metric_row));
}

fn rest(facts: &Facts, markdown: &mut Markdown) {
    markdown.heading(2, "4. Appropriateness of the performance metrics");
    let metrics: Vec<String> = facts
        .reports
        .iter()
        .filter(|report| report.kind != StageKind::Validator)
        .map(|report| {
            let mut names: Vec<&str> = report.report.metrics.iter().map(|metric| metric.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            format!("{}: {}", code(&report.stage), names.join(", "))
        })
        .collect();
    markdown.paragraph("Measured were, stage by stage:");
    markdown.list(metrics);
    markdown.gap("metric-rationale", "why these metrics fit the intended purpose, and which of them decide.");
    markdown.heading(2, "5. Risk management");
    markdown.gap("risk-management", "the risk management system of Article 9.");
    markdown.heading(2, "6. Changes through the lifecycle");
    let versions = [&facts.version].into_iter().chain(&facts.earlier).map(|version| {
        vec![
            format!("`{}@{}`", version.name, version.number),
            time(version.at_ms),
            plain(&version.author),
            plain(&version.message),
            format!("`{}`", version.digest),
        ]
    });
    markdown.table(&["version", "registered", "by", "made by", "digest"], versions);
    markdown.gap("changes", "what the changes meant for compliance.");
    markdown.heading(2, "7. Harmonised standards");
    markdown.gap("standards", "the harmonised standards that were applied, or the solutions in their place.");
    markdown.heading(2, "8. EU declaration of conformity");
    markdown.gap("declaration", "a copy of the declaration of Article 47.");
    markdown.heading(2, "9. Evaluation after placing on the market");
    markdown.gap("post-market", "the post-market monitoring system and plan of Article 72.");
}
