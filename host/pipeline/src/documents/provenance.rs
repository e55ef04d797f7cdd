//! How the model was made, signed: SLSA provenance v1 (<https://slsa.dev/spec/v1.0/provenance>) about a run.
//!
//! The run is the build: the pipeline file, the seed and the profile are what its author decided; data and plugins are
//! what it resolved them to; engine and contract are what the host added.

use serde_json::{Map, Value, json};
use stagewright_core::StageKind;

use super::{
    exported,
    facts::Facts,
    statement::{digests, resource, sign, statement},
    text::time,
};
use crate::{error::Result, project::Project};

const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// What the parameters below mean.
const BUILD_TYPE: &str = "urn:stagewright:pipeline-run:1";
/// Who built.
const BUILDER: &str = "urn:stagewright:host";

/// The signed statement.
pub(crate) fn envelope(project: &Project, facts: &Facts) -> Result<String> {
    sign(project, &statement(&subject(facts), PREDICATE_TYPE, &predicate(facts)))
}

/// The files of the exported model that the run made, under the names that they have there.
pub(super) fn subject(facts: &Facts) -> Value {
    let record = resource(exported::RECORD, &facts.record);
    let states = facts.parts.iter().map(|part| resource(&exported::state_name(part), &part.state));
    let mut all: Vec<Value> = Vec::new();
    for file in [record].into_iter().chain(states) {
        // Two parts may have learned the same; a file is there once.
        if !all.contains(&file) {
            all.push(file);
        }
    }
    all.into()
}

fn predicate(facts: &Facts) -> Value {
    let run = &facts.run;
    let data: Map<String, Value> = facts.data.iter().map(|data| (data.alias.clone(), json!(data.label()))).collect();
    let plugins: Vec<String> = facts.components.iter().map(super::facts::Component::label).collect();
    json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "pipeline": format!("{}@{}", run.pipeline_file.name, run.pipeline_file.number),
                "seed": run.seed.to_string(),
                "profile": run.profile,
                "data": data,
                "plugins": plugins,
                "author": run.author,
                "grants": run.grants(),
            },
            "internalParameters": { "engine": run.engine, "contract": run.contract },
            "resolvedDependencies": dependencies(facts),
        },
        "runDetails": {
            "builder": { "id": BUILDER, "version": { "stagewright": run.host, "engine": run.engine } },
            "metadata": {
                "invocationId": format!("run/{}", run.id),
                "startedOn": time(run.started_ms),
                "finishedOn": time(facts.finished_ms()),
            },
            "byproducts": byproducts(facts),
        },
    })
}

fn dependencies(facts: &Facts) -> Vec<Value> {
    let file = &facts.run.pipeline_file;
    let pipeline = json!({
        "name": "pipeline",
        "uri": format!("stagewright:code/{}@{}", file.name, file.number),
        "digest": digests(&facts.pipeline_file),
        "mediaType": "application/toml",
    });
    let data = facts.data.iter().map(|data| {
        let mut entry = json!({
            "name": data.alias,
            "uri": format!("stagewright:data/{}", data.label()),
            "digest": { "blake3": data.used.digest.to_string() },
        });
        if let Some(manifest) = &data.manifest {
            entry["digest"] = digests(manifest);
        }
        entry
    });
    let plugins = facts.components.iter().map(|component| {
        json!({
            "name": component.name,
            "uri": format!("stagewright:code/{}", component.label()),
            "digest": digests(&component.artifact),
            "mediaType": "application/wasm",
        })
    });
    let git = facts.run.git.as_ref().map(|git| {
        json!({
            "name": "project",
            "digest": { "gitCommit": git.commit },
            "annotations": { "uncommitted-changes": git.dirty },
        })
    });
    [pipeline].into_iter().chain(data).chain(plugins).chain(git).collect()
}

/// Reports and the other outputs of the run by digest.
fn byproducts(facts: &Facts) -> Vec<Value> {
    let reports = facts.reports.iter().map(|report| {
        let kind = match report.kind {
            StageKind::Validator => "validation",
            StageKind::FairnessChecker => "fairness",
            _ => "evaluation",
        };
        json!({
            "name": format!("{}/report.json", report.stage),
            "digest": digests(&report.artifact),
            "mediaType": "application/json",
            "annotations": { "kind": kind },
        })
    });
    let tables = facts.run.stages.iter().flat_map(|stage| {
        let outputs = stage.outputs.iter().filter(|(name, _)| !["report", "component", "model", "state"].contains(&name.as_str()));
        outputs.map(|(name, digest)| json!({ "name": format!("{}/{name}", stage.name), "digest": { "blake3": digest.to_string() } }))
    });
    reports.chain(tables).collect()
}
