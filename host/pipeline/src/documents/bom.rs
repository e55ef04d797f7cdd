//! The bill of materials: CycloneDX 1.6 with the model as the component that it describes, its data and plugins as the
//! components that it depends on, and the run as the workflow that made it.
//!
//! Nothing here is random or of now: the serial number is made from the content, the time is the run's.

use serde_json::{Map, Value, json};
use stagewright_core::{Digest, Field, StageKind, canonical, report::Severity};

use super::{
    facts::{Artifact, Component, Dataset, Facts, Rows},
    text::{Gap, time},
};

/// What a model card has to say that no run knows.
const GAPS: [(&str, &str); 4] = [
    ("users", "modelCard.considerations.users: who uses the model."),
    ("use-cases", "modelCard.considerations.useCases: what it is for."),
    ("mitigation", "modelCard.considerations.fairnessAssessments: benefits, and what is done about the disparities."),
    ("supplier", "metadata.supplier and the model's licences."),
];

/// The bill of materials as indented JSON, and its gaps.
pub(crate) fn bom(facts: &Facts) -> (String, Vec<Gap>) {
    let gaps: Vec<Gap> =
        GAPS.iter().map(|(name, ask)| Gap { name: (*name).to_owned(), ask: (*ask).to_owned() }).collect();
    let mut components: Vec<Value> = facts.data.iter().map(dataset).collect();
    components.extend(derived(facts).into_iter().map(|(rows, what)| derived_table(rows, what)));
    components.extend(facts.components.iter().map(|component| plugin(facts, component)));
    let mut bom = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time(facts.finished_ms()),
            "lifecycles": [{ "phase": "build" }],
            "tools": { "components": [{ "type": "application", "name": "stagewright", "version": facts.run.host }] },
            "component": model(facts),
            "properties": gaps.iter().map(|gap| property("stagewright:gap", &gap.name)).collect::<Vec<_>>(),
        },
        "components": components,
        "dependencies": dependencies(facts),
        "formulation": [{ "bom-ref": "formula", "workflows": [workflow(facts)] }],
    });
    let serial = uuid(&canonical::digest(&bom));
    bom["serialNumber"] = json!(format!("urn:uuid:{serial}"));
    let text = serde_json::to_string_pretty(&bom).unwrap_or_default();
    (text + "\n", gaps)
}

/// A UUID of version 8 (RFC 9562): its bits are the digest's.
pub(super) fn uuid(digest: &Digest) -> String {
    let mut bytes: [u8; 16] = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = super::facts::hexadecimal(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn property(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}

fn hashes(artifact: &Artifact) -> Value {
    json!([
        { "alg": "SHA-256", "content": artifact.sha256 },
        { "alg": "BLAKE3", "content": artifact.digest.to_string() },
    ])
}

fn model(facts: &Facts) -> Value {
    let mut properties = vec![
        property("stagewright:run", &facts.run.id.to_string()),
        property("stagewright:pipeline", facts.run.pipeline.as_str()),
        property("stagewright:seed", &facts.run.seed.to_string()),
        property("stagewright:profile", &facts.run.profile.to_string()),
        property("stagewright:engine", &facts.run.engine),
        property("stagewright:contract", &facts.run.contract),
    ];
    let granted = facts.granted().into_iter();
    properties.extend(granted.map(|(stage, grants)| property(&format!("stagewright:granted:{stage}"), &grants)));
    for part in &facts.parts {
        let component = facts.components[part.component].label();
        properties.push(property(&format!("stagewright:{}:{component}:sha256", part.role), &part.state.sha256));
        properties
            .push(property(&format!("stagewright:{}:{component}:blake3", part.role), &part.state.digest.to_string()));
    }
    json!({
        "type": "machine-learning-model",
        "bom-ref": model_ref(facts),
        "name": facts.version.name,
        "version": facts.version.number.to_string(),
        "hashes": hashes(&facts.record),
        "modelCard": card(facts),
        "properties": properties,
    })
}

fn card(facts: &Facts) -> Value {
    let mut parameters = Map::new();
    if facts.training_text("label").is_some() {
        parameters.insert("approach".into(), json!({ "type": "supervised" }));
    }
    parameters.insert("task".into(), json!(facts.task()));
    if let Some(training) = &facts.training {
        parameters.insert("modelArchitecture".into(), json!(facts.components[training.component].label()));
    }
    let data = facts.data.iter().map(|data| json!({ "ref": data_ref(data) }));
    let derived = derived(facts).into_iter().map(|(rows, _)| json!({ "ref": rows_ref(rows) }));
    parameters.insert("datasets".into(), data.chain(derived).collect());
    let columns = |fields: &[Field]| -> Value {
        fields
            .iter()
            .map(|field| json!({ "format": format!("{}: {}", field.name, field.column_type.as_str()) }))
            .collect()
    };
    parameters.insert("inputs".into(), columns(facts.model.input.fields()));
    parameters.insert("outputs".into(), columns(&facts.outputs));
    json!({
        "bom-ref": format!("{}/card", model_ref(facts)),
        "modelParameters": parameters,
        "quantitativeAnalysis": { "performanceMetrics": metrics(facts) },
        "considerations": considerations(facts),
        "properties": facts.training.iter().flat_map(|training| &training.parameters)
            .map(|(name, value)| property(&format!("stagewright:parameter:{name}"), &value.to_string()))
            .collect::<Vec<_>>(),
    })
}

/// Every figure with a value; its slice is the rows, then the group.
fn metrics(facts: &Facts) -> Vec<Value> {
    let mut metrics = Vec::new();
    for report in facts.reports.iter().filter(|report| report.kind != StageKind::Validator) {
        let rows = report.rows.as_ref().map_or(report.stage.as_str(), |rows| rows.name.as_str());
        for metric in &report.report.metrics {
            let Some(value) = metric.value else { continue };
            let labels = metric.labels.iter().map(|(name, value)| format!("{name}={value}"));
            let slice = [rows.to_owned()].into_iter().chain(labels).collect::<Vec<_>>().join(", ");
            let mut entry = json!({ "type": metric.name, "value": value.to_string(), "slice": slice });
            if let (Some(low), Some(high)) = (metric.low, metric.high) {
                entry["confidenceInterval"] = json!({ "lowerBound": low.to_string(), "upperBound": high.to_string() });
            }
            metrics.push(entry);
        }
    }
    metrics
}

fn considerations(facts: &Facts) -> Value {
    let serious = |kind: StageKind| {
        let findings = facts.reports_of(kind).flat_map(|report| &report.report.findings);
        findings.filter(|finding| finding.severity >= Severity::Warning)
    };
    let limitations: Vec<&str> = serious(StageKind::Evaluator).map(|finding| finding.message.as_str()).collect();
    let mut considerations = Map::new();
    if !limitations.is_empty() {
        considerations.insert("technicalLimitations".into(), json!(limitations));
    }
    let ethical: Vec<Value> =
        serious(StageKind::FairnessChecker).map(|finding| json!({ "name": finding.message })).collect();
    if !ethical.is_empty() {
        considerations.insert("ethicalConsiderations".into(), ethical.into());
    }
    let mut assessments = Vec::new();
    for report in facts.reports_of(StageKind::FairnessChecker) {
        let ratios = report.report.metrics.iter().filter(|metric| metric.name == "impact-ratio");
        let mut columns: Vec<(&str, &str, f64)> = Vec::new();
        for metric in ratios {
            let (Some(column), Some(group), Some(ratio)) =
                (metric.labels.get("column"), metric.labels.get("group"), metric.value)
            else {
                continue;
            };
            match columns.iter_mut().find(|(known, ..)| known == column) {
                Some(lowest) if ratio < lowest.2 => *lowest = (column, group, ratio),
                Some(_) => {}
                None => columns.push((column, group, ratio)),
            }
        }
        assessments.extend(columns.into_iter().filter(|(.., ratio)| *ratio < 1.0).map(|(column, group, ratio)| {
            json!({
                "groupAtRisk": format!("{column}: {group}"),
                "harms": format!("selected at {ratio:.3} of the rate of the most selected group by {column}"),
            })
        }));
    }
    if !assessments.is_empty() {
        considerations.insert("fairnessAssessments".into(), assessments.into());
    }
    considerations.into()
}

fn dataset(data: &Dataset) -> Value {
    let mut properties = vec![property("stagewright:alias", &data.alias)];
    properties.extend(data.rows.map(|rows| property("stagewright:rows", &rows.to_string())));
    properties.extend(
        data.schema
            .iter()
            .flat_map(|schema| schema.fields())
            .map(|field| property(&format!("stagewright:column:{}", field.name), field.column_type.as_str())),
    );
    let mut component = json!({
        "type": "data",
        "bom-ref": data_ref(data),
        "name": data.used.name,
        "version": data.used.number.to_string(),
        "data": [{ "type": "dataset", "name": data.used.name, "contents": { "properties": properties } }],
    });
    component["hashes"] = match &data.manifest {
        Some(manifest) => hashes(manifest),
        None => json!([{ "alg": "BLAKE3", "content": data.used.digest.to_string() }]),
    };
    if let Some(message) = data.version.as_ref().map(|version| &version.message).filter(|message| !message.is_empty()) {
        component["description"] = json!(message);
    }
    component
}

/// The tables that the model was trained and judged on, where they are not data versions themselves.
fn derived(facts: &Facts) -> Vec<(&Rows, &'static str)> {
    let training = facts.training.iter().map(|training| (&training.rows, "training"));
    let validation = facts.training.iter().filter_map(|training| Some((training.validation.as_ref()?, "validation")));
    let judged = facts.reports.iter().filter(|report| report.kind != StageKind::Validator);
    let judged = judged.filter_map(|report| Some((report.rows.as_ref()?, "evaluation")));
    let mut derived: Vec<(&Rows, &'static str)> = Vec::new();
    for (rows, what) in training.chain(validation).chain(judged) {
        let known = facts.data.iter().any(|data| data.used.digest == rows.digest)
            || derived.iter().any(|(other, _)| other.digest == rows.digest);
        if !known {
            derived.push((rows, what));
        }
    }
    derived
}

fn derived_table(rows: &Rows, what: &str) -> Value {
    let mut properties = vec![property("stagewright:used-for", what)];
    properties.extend(rows.count.map(|count| property("stagewright:rows", &count.to_string())));
    json!({
        "type": "data",
        "bom-ref": rows_ref(rows),
        "name": rows.name,
        "hashes": [{ "alg": "BLAKE3", "content": rows.digest.to_string() }],
        "data": [{ "type": "dataset", "name": rows.name, "contents": { "properties": properties } }],
    })
}

fn plugin(facts: &Facts, component: &Component) -> Value {
    let place = facts.components.iter().position(|other| std::ptr::eq(other, component));
    let serves = facts.parts.iter().any(|part| Some(part.component) == place);
    let mut properties = vec![property("stagewright:bytes", &component.artifact.bytes.to_string())];
    if let Some(record) = &component.record {
        properties.extend(record.stages.iter().map(|stage| property("stagewright:stage", stage.kind.as_str())));
        properties.extend(record.imports.iter().map(|import| property("stagewright:import", import)));
        properties
            .extend(component.metadata("version").map(|version| property("stagewright:component-version", version)));
    }
    let mut value = json!({
        "type": "library",
        "bom-ref": plugin_ref(component),
        "mime-type": "application/wasm",
        "name": component.name,
        "version": component.number.to_string(),
        "scope": if serves { "required" } else { "excluded" },
        "hashes": hashes(&component.artifact),
        "properties": properties,
    });
    if let Some(description) = component.metadata("description") {
        value["description"] = json!(description);
    }
    if let Some(authors) = component.metadata("authors") {
        value["authors"] = json!([{ "name": authors }]);
    }
    if let Some(licence) = component.metadata("licence") {
        // What a stranger's component calls its licence may be no expression of SPDX.
        let expression = licence.chars().all(|c| c.is_ascii_alphanumeric() || " .-+()".contains(c));
        value["licenses"] = match expression {
            true => json!([{ "expression": licence }]),
            false => json!([{ "license": { "name": licence } }]),
        };
    }
    value
}

fn dependencies(facts: &Facts) -> Value {
    let mut needs: Vec<String> = facts.parts.iter().map(|part| plugin_ref(&facts.components[part.component])).collect();
    needs.extend(facts.training.iter().map(|training| {
        let data = facts.data.iter().find(|data| data.used.digest == training.rows.digest);
        data.map_or_else(|| rows_ref(&training.rows), data_ref)
    }));
    needs.sort_unstable();
    needs.dedup();
    let sources: Vec<String> = facts.data.iter().map(data_ref).collect();
    let derived = derived(facts).into_iter().map(|(rows, _)| json!({ "ref": rows_ref(rows), "dependsOn": sources }));
    [json!({ "ref": model_ref(facts), "dependsOn": needs })].into_iter().chain(derived).collect()
}

fn workflow(facts: &Facts) -> Value {
    let tasks: Vec<Value> = facts
        .run
        .stages
        .iter()
        .map(|stage| {
            let mut used: Vec<Value> = Vec::new();
            let mut parameters: Vec<Value> = Vec::new();
            for step in &stage.steps {
                let spec = &step.result.spec;
                let plugin = facts.components.iter().find(|component| component.artifact.digest == spec.component);
                used.extend(plugin.map(|plugin| json!({ "ref": plugin_ref(plugin) })).filter(|plugin| !used.contains(plugin)));
                let named = spec.parameters.iter();
                parameters.extend(named.map(|(name, value)| json!({ "name": format!("{}: {name}", step.title), "value": value.to_string() })));
            }
            let mut task = json!({
                "bom-ref": format!("run/{}/{}", facts.run.id, stage.name),
                "uid": stage.name,
                "name": format!("{} {}", stage.kind, stage.name),
                "taskTypes": [match stage.kind {
                    StageKind::Trainer | StageKind::Featurizer => "build",
                    StageKind::Evaluator | StageKind::FairnessChecker | StageKind::Validator | StageKind::Monitor => "test",
                    StageKind::Preprocessor | StageKind::Predictor => "other",
                }],
                "resourceReferences": used,
            });
            if !parameters.is_empty() {
                task["inputs"] = json!([{ "parameters": parameters }]);
            }
            task
        })
        .collect();
    json!({
        "bom-ref": format!("run/{}", facts.run.id),
        "uid": format!("run/{}", facts.run.id),
        "name": facts.run.pipeline,
        "description": format!("version {} of {}", facts.run.pipeline_file.number, facts.run.pipeline_file.name),
        "taskTypes": ["build", "test"],
        "tasks": tasks,
        "timeStart": time(facts.run.started_ms),
        "timeEnd": time(facts.finished_ms()),
        "properties": [
            property("stagewright:pipeline-file:sha256", &facts.pipeline_file.sha256),
            property("stagewright:pipeline-file:blake3", &facts.pipeline_file.digest.to_string()),
        ],
    })
}

fn model_ref(facts: &Facts) -> String {
    format!("model/{}", facts.label())
}

fn data_ref(data: &Dataset) -> String {
    format!("data/{}", data.label())
}

fn rows_ref(rows: &Rows) -> String {
    format!("rows/{}", rows.digest)
}

fn plugin_ref(component: &Component) -> String {
    format!("plugin/{}", component.label())
}
