//! `plugin inspect`: everything that can be said of a component for people, and what it may do.

use std::{fmt::Write, path::Path};

use serde::Serialize;
use serde_json::{Value, json};
use stagewright::{
    Project, code,
    runtime::{Limits, WorkerPool},
};
use stagewright_core::{Digest, StageKind, VersionRef, grant::Capability, record::PluginRecord};
use stagewright_sharing::{Signature, Standing, Trust, obtain::beside};

use super::Context;
use crate::{
    args::share::Demands,
    failure::{CANNOT, Failure},
    text::{printable, size},
};

/// Shows a version of a plugin, or a file, for which no project is needed.
pub(crate) fn inspect(context: &Context, plugin: &str) -> Result<(), Failure> {
    let path = context.path(Path::new(plugin))?;
    if path.given().extension().is_some_and(|ending| ending == "wasm") || path.at().is_file() {
        let pool = WorkerPool::new(context.worker(), 1, super::trial::cache(context));
        let (component, record) = code::inspect_file(&pool, &Limits::default(), &path)?;
        let settings = Project::settings(context.root())?;
        let trust = super::share::trust(context, &settings, &Demands::default())?;
        let bytes = component.bytes().map_err(|error| Failure::new(CANNOT, error.to_string()))?;
        let vouched = Vouched::of(trust, plugin, &bytes, beside(path.at())?)?;
        let mut told = serde_json::to_value(&record).map_err(|error| Failure::new(CANNOT, error.to_string()))?;
        told["signature"] = json!(vouched);
        return context.print(&told, |_| described(plugin, &record, &vouched));
    }
    let wanted: VersionRef = plugin.parse()?;
    let project = context.read()?;
    let (version, record) = code::plugin(&project, &wanted)?;
    let signature = code::signature(&project, &version.digest)?;
    let component = project.store.code()?.bytes(&version.digest)?;
    let trust = super::share::trust(context, &project.settings, &Demands::default())?;
    let vouched = Vouched::of(trust, plugin, &component, signature)?;
    let title = format!("{}@{}", version.name, version.number);
    let told = json!({ "version": version, "plugin": record, "signature": vouched });
    context.print(&told, |_| described(&title, &record, &vouched))
}

/// Who signed a plugin, and whether that counts here.
#[derive(Debug, Default, Serialize)]
struct Vouched {
    standing: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

impl Vouched {
    fn of(trust: Trust, plugin: &str, component: &[u8], text: Option<String>) -> Result<Self, Failure> {
        let signature = text.map(|text| Signature::parse(plugin, &text)).transpose()?;
        // To look at a plugin is not to take it: what would be refused is told.
        let trust = Trust { require_signature: false, ..trust };
        let judged = trust.judge(plugin, component, signature.as_ref());
        Ok(Self {
            standing: judged.as_ref().map_or_else(ToString::to_string, super::share::standing_text),
            key: signature.as_ref().map(Signature::key_id),
            comment: match judged {
                Ok(Standing::Signed { comment, .. }) => Some(comment),
                _ => None,
            },
        })
    }
}

fn described(title: &str, record: &PluginRecord, vouched: &Vouched) -> String {
    let mut text = format!("{title}\n");
    let kinds: Vec<&str> = record.stages.iter().map(|stage| stage.kind.as_str()).collect();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<12} {}", printable(value));
    };
    for name in ["name", "version", "description", "licence", "authors", "source"] {
        line(name, record.metadata.get(name).map_or("not said", String::as_str));
    }
    line("digest", &Digest::to_string(&record.digest));
    line("signature", &vouched.standing);
    line("size", &size(record.bytes));
    line("exports", &kinds.join(", "));
    line("imports", &if record.imports.is_empty() { "nothing".to_owned() } else { record.imports.join(", ") });
    for (index, may) in may(record).iter().enumerate() {
        line(if index == 0 { "may" } else { "" }, may);
    }
    for stage in &record.stages {
        let _ = writeln!(text, "\n{}: {}", stage.kind, printable(&stage.doc));
        for (what, ports) in [("input", &stage.inputs), ("output", &stage.outputs)] {
            for port in ports {
                let optional = if port.optional { " (optional)" } else { "" };
                let _ = writeln!(text, "  {what} {}{optional}: {}", printable(&port.name), printable(&port.doc));
            }
        }
        parameters(&stage.parameters, &mut text);
    }
    text
}

/// What the imports allow, in words. A component can do nothing that it does not import.
fn may(record: &PluginRecord) -> Vec<String> {
    let imports = |interface: &str| {
        let short = |import: &String| import.split('@').next().is_some_and(|name| name.ends_with(interface));
        record.imports.iter().any(short)
    };
    let mut all = Vec::new();
    if imports("/datasets") {
        let writes = record.stages.iter().any(|stage| stage.kind == StageKind::Preprocessor);
        all.push(format!("read the tables that it is given{}", if writes { ", and write its outputs" } else { "" }));
    }
    if imports("/models") {
        all.push("question the model that it is given".to_owned());
    }
    if imports("/context") {
        all.push("log, report progress and curves, and know the stage's seed".to_owned());
    }
    if record.imports.iter().any(|import| import.starts_with("wasi:")) {
        all.push(
            "look at a virtual WASI: a clock that stands still, chance from the seed, output to the log".to_owned(),
        );
    }
    let without_grants = all.len();
    let known = ["tables", "failures", "context", "datasets", "models", "reports", "refusals"];
    for import in &record.imports {
        let short = import.strip_prefix("stagewright:stage/").and_then(|name| name.split('@').next());
        if !import.starts_with("wasi:") && short.is_none_or(|name| !known.contains(&name)) {
            let what = match Capability::of_import(import) {
                Some(Capability::Files) => "use files of folders",
                Some(Capability::Http) => "send requests to hosts",
                Some(Capability::Environment) => "read names of the environment",
                Some(Capability::WallClock) => "see the real time",
                None => import,
            };
            all.push(format!("{what} that the pipeline and the project's stagewright.toml grant"));
        }
    }
    let nothing = if all.len() == without_grants { ": no file, no network, no environment, no real clock" } else { "" };
    all.push(format!("nothing else{nothing}"));
    all
}

fn parameters(schema: &Value, text: &mut String) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    for (name, property) in properties.into_iter().flatten() {
        let default = property.get("default").map(|default| format!(" = {default}")).unwrap_or_default();
        let needed = if required.iter().any(|needed| needed == name) { " (required)" } else { "" };
        let kind = kind(property, schema, 0);
        let kind = if kind.is_empty() { kind } else { format!(": {kind}") };
        let doc = property.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        let _ = writeln!(text, "  {}\n      {}", printable(&format!("{name}{kind}{default}{needed}")), printable(&doc));
    }
}

/// A schema as one would say it: `integer, at least 1`, `"hash" or "seed"`, `list of string`.
fn kind(schema: &Value, root: &Value, depth: u32) -> String {
    // A plugin may refer in circles.
    if depth > 6 {
        return String::new();
    }
    let inner = |schema: &Value| kind(schema, root, depth + 1);
    let list = |key: &str| schema.get(key).and_then(Value::as_array);
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
    if let Some(target) = reference.and_then(|path| root.pointer(path)) {
        return inner(target);
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = list("enum") {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
    }
    if let Some(schemas) = list("oneOf").or_else(|| list("anyOf")) {
        let mut all: Vec<String> = schemas.iter().map(inner).filter(|kind| !kind.is_empty()).collect();
        all.dedup();
        return all.join(" or ");
    }
    let plain = match schema.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => return String::new(),
    };
    let items = schema.get("items").map(inner).filter(|items| plain == "array" && !items.is_empty());
    let mut said = items.map_or(plain, |items| format!("list of {items}"));
    for (key, words) in
        [("minimum", "at least"), ("exclusiveMinimum", "above"), ("maximum", "at most"), ("exclusiveMaximum", "below")]
    {
        if let Some(bound) = schema.get(key) {
            let _ = write!(said, ", {words} {bound}");
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_parameter_is_described_as_one_would_say_it() {
        let root = json!({ "$defs": { "by": { "oneOf": [{ "const": "hash" }, { "const": "seed" }] } }, "a": { "$ref": "#/a" } });
        let said = |schema: Value| kind(&schema, &root, 0);
        assert_eq!(said(json!({ "type": "integer", "minimum": 1, "maximum": 9 })), "integer, at least 1, at most 9");
        assert_eq!(said(json!({ "$ref": "#/$defs/by" })), "\"hash\" or \"seed\"");
        assert_eq!(said(json!({ "type": "array", "items": { "type": ["string", "null"] } })), "list of string or null");
        assert_eq!(said(json!({ "$ref": "#/a" })), "");
    }
}
