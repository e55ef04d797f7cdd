//! What the component is and says of itself, before any of its stages does its work.

use std::collections::BTreeSet;

use stagewright_core::{
    StageKind,
    grant::Capability,
    stage::{Profile, StageInfo},
};
use stagewright_runtime::{Inspection, StageError, check as world_check};

use super::{
    Book, Broken, Error,
    guess::{self, Parameters, properties},
    subject::{Subject, Trouble, Way},
};

/// Checks the whole component. Returns its stages, if it has any that can be looked at.
pub(super) fn check(subject: &Subject<'_>, book: &mut Book<'_>) -> Result<Option<Vec<StageInfo>>, Error> {
    let name = "fits the world";
    match world_check(&subject.component.bytes()?) {
        Ok(world) => {
            let kinds: Vec<&str> = world.kinds.iter().map(|kind| kind.as_str()).collect();
            book.note(name, Ok(format!("exports {}", kinds.join(", "))))?;
        }
        Err(refused) => {
            book.note(name, Err(Broken::because(refused.to_string())))?;
            book.skip("describes itself", "it does not fit the world");
            return Ok(None);
        }
    }
    let name = "describes itself";
    let inspection = match subject.inspect() {
        Ok(inspection) => inspection,
        Err(error @ (StageError::Cancelled | StageError::NoWorker(_) | StageError::Host { .. })) => {
            return Err(error.into());
        }
        Err(error) => {
            book.note(name, Err(Broken::because(error.to_string())))?;
            return Ok(None);
        }
    };
    book.note(name, Ok(String::new()))?;
    book.note("describes itself the same way each time", steady(subject, &inspection))?;
    metadata(&inspection, book)?;
    for stage in &inspection.stages {
        book.stage = Some(stage.kind);
        book.note("says what it does", documented(stage))?;
        book.note("has sane ports", ports(stage))?;
        parameters(stage, book)?;
    }
    book.stage = None;
    let asked: Vec<_> = Capability::asked_by(&inspection.imports).into_iter().map(Capability::as_str).collect();
    if !asked.is_empty() {
        let why = format!("it asks for {}, which the kit grants nobody; replay a recording instead", asked.join(", "));
        book.skip("does its work without grants", &why);
        return Ok(None);
    }
    Ok(Some(inspection.stages))
}

fn steady(subject: &Subject<'_>, inspection: &Inspection) -> Result<String, Broken> {
    let ways = [
        ("a second time", Way::USUAL, 0),
        ("with another seed", Way::USUAL, 99),
        ("in another process", Way { room: 1, ..Way::USUAL }, 0),
        ("in the strict profile", Way { profile: Profile::Strict, ..Way::USUAL }, 0),
    ];
    for (what, way, seed) in ways.into_iter().filter(|(_, way, _)| subject.goes(*way)) {
        let again = subject.describe(way, seed).map_err(|trouble| match trouble {
            Trouble::Host(error) => Broken::Host(error),
            other => Broken::Promise(format!("{what}: {}", other.text())),
        })?;
        if again != inspection.stages {
            return Err(Broken::because(format!("{what} it says something else")));
        }
    }
    Ok(subject.left_out())
}

fn metadata(inspection: &Inspection, book: &mut Book<'_>) -> Result<(), Error> {
    let found = &inspection.metadata;
    let fields = [
        ("name", &found.name),
        ("version", &found.version),
        ("licence", &found.licence),
        ("description", &found.description),
    ];
    let missing: Vec<&str> = fields.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
    let name = "carries its metadata";
    if missing.is_empty() {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        return book.note(name, Ok(format!("{} {}", text(&found.name), text(&found.version))));
    }
    // Nothing depends on it, so that a plugin without is poorer, not wrong.
    book.skip(name, &format!("no {} in the component's standard sections", missing.join(", ")));
    Ok(())
}

fn documented(stage: &StageInfo) -> Result<String, Broken> {
    if stage.doc.trim().is_empty() {
        return Err(Broken::because("its `doc` is empty"));
    }
    let mut ports = stage.inputs.iter().chain(&stage.outputs);
    match ports.find(|port| port.doc.trim().is_empty()) {
        Some(port) => Err(Broken::because(format!("the `doc` of port `{}` is empty", port.name))),
        None => Ok(String::new()),
    }
}

fn ports(stage: &StageInfo) -> Result<String, Broken> {
    for (what, ports) in [("input", &stage.inputs), ("output", &stage.outputs)] {
        let mut seen = BTreeSet::new();
        for port in ports {
            let name = port.name.as_str();
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name != "*" && (name.is_empty() || name.len() > 64 || !name.chars().all(plain)) {
                let problem = format!("{what} `{name}` is no name: letters, digits, `-` and `_`, or `*`");
                return Err(Broken::because(problem));
            }
            if !seen.insert(name) {
                return Err(Broken::because(format!("two {what}s are named `{name}`")));
            }
        }
    }
    if stage.kind == StageKind::Preprocessor && stage.outputs.is_empty() {
        return Err(Broken::because("a preprocessor without an output makes nothing"));
    }
    Ok(String::new())
}

fn parameters(stage: &StageInfo, book: &mut Book<'_>) -> Result<(), Error> {
    let name = "describes its parameters";
    let schema = &stage.parameters;
    if schema.as_object().is_some_and(serde_json::Map::is_empty) {
        book.skip(name, "it takes none");
        return Ok(());
    }
    book.note(name, described(schema))
}

fn described(schema: &serde_json::Value) -> Result<String, Broken> {
    if !schema.is_object() {
        return Err(Broken::because("the schema is not a JSON object"));
    }
    let validator = jsonschema::draft202012::new(schema);
    let validator = validator.map_err(|error| Broken::because(format!("the schema is not valid: {error}")))?;
    if schema.get("type").is_some_and(|kind| kind != "object") {
        return Err(Broken::because("the schema must be one of an object: parameters have names"));
    }
    let mut undocumented = Vec::new();
    for (name, property) in properties(schema) {
        if property.get("description").is_none() {
            undocumented.push(format!("`{name}`"));
        }
        let Some(default) = property.get("default") else { continue };
        let given = guess::complete(schema, &guess::guess(schema, &Parameters::new()));
        let whole = serde_json::Value::Object(given.into_iter().collect());
        if let Some(error) = validator
            .iter_errors(&whole)
            .find(|error| error.instance_path().to_string().starts_with(&format!("/{name}")))
        {
            return Err(Broken::because(format!("the default of `{name}`, {default}, does not fit: {error}")));
        }
    }
    match undocumented.is_empty() {
        true => Ok(format!("{} parameters", properties(schema).count())),
        false => Ok(format!("without a description: {}", undocumented.join(", "))),
    }
}
