//! `model list`, `show`.

use std::fmt::Write;

use serde_json::json;
use stagewright::{Error, data, store::ArtifactKind};
use stagewright_core::{VersionRef, canonical, record::Model};

use super::Context;
use crate::{
    args::ModelCommand,
    failure::Failure,
    text::{Columns, time},
};

pub(crate) fn dispatch(context: &Context, command: ModelCommand) -> Result<(), Failure> {
    let project = context.read()?;
    let models = project.store.models()?;
    match command {
        ModelCommand::List => {
            let listed = data::list(models, ArtifactKind::Model)?;
            context.print(&listed, |listed| {
                let mut columns = Columns::new(&["model", "versions", "made by", "made", "digest"]);
                for one in listed {
                    let latest = &one.latest;
                    columns.row([
                        format!("{}@{}", latest.name, latest.number),
                        one.versions.to_string(),
                        latest.message.clone(),
                        time(latest.at_ms),
                        latest.digest.short(),
                    ]);
                }
                match columns.is_empty() {
                    true => "no models yet; a pipeline with a [model] section registers one\n".to_owned(),
                    false => columns.text(),
                }
            })
        }
        ModelCommand::Export { version, directory } => super::document::export(context, &version, &directory),
        ModelCommand::Key { of } => super::document::key(context, of),
        ModelCommand::Show { version } => {
            let version = models.resolve(&version.parse::<VersionRef>()?)?;
            let model: Model = canonical::from_slice(&models.bytes(&version.digest)?)
                .map_err(|error| Error::Invalid(format!("{}@{} is no model: {error}", version.name, version.number)))?;
            context.print(&json!({ "version": version, "model": model }), |_| {
                let mut text = format!(
                    "{}@{}  {}\n  made by {} on {} UTC: {}\n",
                    version.name,
                    version.number,
                    version.digest,
                    version.author,
                    time(version.at_ms),
                    version.message
                );
                for part in &model.featurizers {
                    let _ = writeln!(text, "  featurizer {} with state {}", part.component.short(), part.state.short());
                }
                let predictor = &model.predictor;
                let _ = writeln!(
                    text,
                    "  predictor  {} with weights {}",
                    predictor.component.short(),
                    predictor.state.short()
                );
                let mut columns = Columns::new(&["column", "type", "nullable"]);
                for field in model.input.fields() {
                    let nullable = if field.nullable { "yes" } else { "no" };
                    columns.row([field.name.clone(), field.column_type.as_str().to_owned(), nullable.to_owned()]);
                }
                text + "\ntrained on\n" + &columns.text()
            })
        }
    }
}
