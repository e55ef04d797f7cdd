//! `plugin list`, and the way to what other files do.

use stagewright::{code, data, store::ArtifactKind};

use super::Context;
use crate::{args::PluginCommand, failure::Failure, text::Columns};

pub(crate) fn dispatch(context: &Context, command: PluginCommand) -> Result<(), Failure> {
    match command {
        PluginCommand::New { name, lang, kind, path } => super::author::new(context, &name, &lang, &kind, path),
        PluginCommand::Build { folder, output } => super::author::build(context, &folder, output.as_deref()),
        PluginCommand::Add(arguments) => super::add::add(context, &arguments),
        PluginCommand::Share(command) => super::share::dispatch(context, command),
        PluginCommand::Test { file, replay: Some(replay), .. } => {
            super::recording::replay(context, &replay, file.as_deref())
        }
        PluginCommand::Test { file, with, quick, replay: None } => {
            super::trial::test(context, file.as_deref().unwrap_or(std::path::Path::new("")), &with, quick)
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
