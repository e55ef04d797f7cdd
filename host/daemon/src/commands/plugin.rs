//! `plugin add`, `list`, `inspect`.

use std::{fmt::Write, path::Path};

use serde_json::{Value, json};
use stagewright::{code, data, store::ArtifactKind};
use stagewright_core::{VersionRef, record::PluginRecord};

use super::Context;
use crate::{
    args::PluginCommand,
    failure::{Failure, WRONG_INPUT},
    text::{self, Columns, printable},
};

pub(crate) fn dispatch(context: &Context, command: PluginCommand) -> Result<(), Failure> {
    match command {
        PluginCommand::New { name, lang, kind, path } => super::author::new(context, &name, &lang, &kind, path),
        PluginCommand::Build { folder, output } => super::author::build(context, &folder, output.as_deref()),
        PluginCommand::Add { files, name, message } => {
            let project = context.write()?;
            let mut paths = Vec::new();
            for file in &files {
                paths.extend(code::files(file)?);
            }
            if name.is_some() && paths.len() > 1 {
                return Err(Failure::new(WRONG_INPUT, "--name is for a single file"));
            }
            let name = name.map(|name| name.parse()).transpose()?;
            let mut added = Vec::new();
            for path in &paths {
                context.progress.line(&format!("checking {}", path.display()));
                added.push(code::add(&project, path, name.as_ref(), &message)?);
            }
            context.print(&added, |added| {
                let mut columns = Columns::new(&["plugin", "exports", "size", "digest", ""]);
                for one in added {
                    columns.row([
                        format!("{}@{}", one.version.name, one.version.number),
                        code::kinds(&one.plugin),
                        text::size(one.plugin.bytes),
                        one.version.digest.short(),
                        if one.unchanged { "unchanged" } else { "" }.to_owned(),
                    ]);
                }
                columns.text()
            })
        }
        PluginCommand::Test { file, with } => super::trial::test(context, &file, &with),
        PluginCommand::Bench { file, with } => super::trial::bench(context, &file, &with),
        PluginCommand::List => {
            let project = context.read()?;
            let listed = data::list(project.store.code()?, ArtifactKind::Plugin)?;
            context.print(&listed, |listed| {
                let mut columns = Columns::new(&["plugin", "versions", "exports", "digest"]);
                for one in listed {
                    let wanted = format!("{}@{}", one.latest.name, one.latest.number);
                    let record = wanted.parse().ok().and_then(|version| code::plugin(&project, &version).ok());
                    let kinds = record.map(|(_, record)| code::kinds(&record)).unwrap_or_default();
                    columns.row([wanted, one.versions.to_string(), kinds, one.latest.digest.short()]);
                }
                match columns.is_empty() {
                    true => "no plugins yet; `stagewright plugin add FILE.wasm` adds one\n".to_owned(),
                    false => columns.text(),
                }
            })
        }
        PluginCommand::Inspect { plugin } => {
            let path = Path::new(&plugin);
            if path.extension().is_some_and(|ending| ending == "wasm") || path.is_file() {
                let (_, record) = code::inspect_file(&context.read()?, path)?;
                return context.print(&record, |record| described(&plugin, record));
            }
            let wanted: VersionRef = plugin.parse()?;
            let (version, record) = code::plugin(&context.read()?, &wanted)?;
            let title = format!("{}@{}", version.name, version.number);
            context.print(&json!({ "version": version, "plugin": record }), |_| described(&title, &record))
        }
    }
}

fn described(title: &str, record: &PluginRecord) -> String {
    let mut text = format!("{title}\n  digest   {}\n  size     {}\n", record.digest, text::size(record.bytes));
    for (name, value) in &record.metadata {
        let _ = writeln!(text, "  {name:8} {}", printable(value));
    }
    let imports = match record.imports.as_slice() {
        [] => "nothing".to_owned(),
        imports => imports.join(", "),
    };
    let _ = writeln!(text, "  imports  {}", printable(&imports));
    for stage in &record.stages {
        let _ = writeln!(text, "\n{}: {}", stage.kind, printable(&stage.doc));
        for (what, ports) in [("input", &stage.inputs), ("output", &stage.outputs)] {
            for port in ports {
                let optional = if port.optional { " (optional)" } else { "" };
                let _ = writeln!(text, "  {what} {}{optional}: {}", printable(&port.name), printable(&port.doc));
            }
        }
        let properties = stage.parameters.get("properties").and_then(Value::as_object);
        let required = stage.parameters.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        for (name, schema) in properties.into_iter().flatten() {
            let default = schema.get("default").map(|default| format!(" = {default}")).unwrap_or_default();
            let needed = if required.iter().any(|needed| needed == name) { " (required)" } else { "" };
            let kind = match schema.get("type") {
                Some(Value::String(kind)) => format!(": {kind}"),
                _ => String::new(),
            };
            let doc = schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
            let _ = writeln!(text, "  {name}{kind}{default}{needed}\n      {}", printable(&doc));
        }
    }
    text
}
