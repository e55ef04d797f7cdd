//! `plugin add`, `list`, and the way to what other files do.

use stagewright::{code, data, store::ArtifactKind};

use super::Context;
use crate::{
    args::PluginCommand,
    failure::{Failure, WRONG_INPUT},
    text::{self, Columns},
};

pub(crate) fn dispatch(context: &Context, command: PluginCommand) -> Result<(), Failure> {
    match command {
        PluginCommand::New { name, lang, kind, path } => super::author::new(context, &name, &lang, &kind, path),
        PluginCommand::Build { folder, output } => super::author::build(context, &folder, output.as_deref()),
        PluginCommand::Add { files, name, message } => {
            let project = context.write()?;
            let mut paths = Vec::new();
            for file in &files {
                paths.extend(code::files(&context.path(file)?)?);
            }
            if name.is_some() && paths.len() > 1 {
                return Err(Failure::new(WRONG_INPUT, "--name is for a single file"));
            }
            let name = name.map(|name| name.parse()).transpose()?;
            let mut added = Vec::new();
            for path in &paths {
                context.progress.line(&format!("checking {path}"));
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
        PluginCommand::Test { file, replay: Some(replay), .. } => {
            super::recording::replay(context, &replay, file.as_deref())
        }
        PluginCommand::Test { file, with, replay: None } => {
            super::trial::test(context, file.as_deref().unwrap_or(std::path::Path::new("")), &with)
        }
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
        PluginCommand::Inspect { plugin } => super::inspect::inspect(context, &plugin),
    }
}
