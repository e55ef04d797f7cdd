//! `plugin new` and `plugin build`: from nothing to a component, outside of any project.

use std::path::{Path, PathBuf};

use serde_json::json;
use stagewright_workshop::{
    build::{self, BuildError},
    scaffold::{self, ScaffoldError},
};

use super::Context;
use crate::{
    failure::{CANNOT, Failure, WRONG_INPUT},
    surroundings, text,
};

/// Writes a new plugin's folder.
pub(crate) fn new(
    context: &Context,
    name: &str,
    language: &str,
    kind: &str,
    path: Option<PathBuf>,
) -> Result<(), Failure> {
    let name: stagewright_core::Name = name.parse()?;
    let wrong = |message: String| Failure::new(WRONG_INPUT, message);
    let language: scaffold::Language = language.parse().map_err(wrong)?;
    let kind: scaffold::PluginKind = kind.parse().map_err(wrong)?;
    let folder = path.unwrap_or_else(|| PathBuf::from(name.as_str()));
    let files = scaffold::create(&folder, &name, language, kind).map_err(|error| {
        let code = if matches!(error, ScaffoldError::Exists { .. }) { WRONG_INPUT } else { CANNOT };
        Failure { code, error: Some(error.into()) }
    })?;
    let answer = json!({ "folder": folder, "name": name.as_str(), "language": language.word(), "kind": kind.word(), "files": files });
    context.print(&answer, |_| {
        format!(
            "{}: a {kind} in {language}, {} files\n  stagewright plugin build {0}\n  stagewright plugin test {}\n",
            folder.display(),
            files.len(),
            folder.join(format!("{name}.wasm")).display(),
        )
    })
}

/// Builds the plugin in a folder.
pub(crate) fn build(context: &Context, folder: &Path, output: Option<&Path>) -> Result<(), Failure> {
    let built = build::build(folder, output, &surroundings::toolbox()).map_err(|error| {
        let code = match error {
            BuildError::NoPlugin { .. } | BuildError::Manifest { .. } => WRONG_INPUT,
            _ => CANNOT,
        };
        Failure { code, error: Some(error.into()) }
    })?;
    context.print(&built, |built| {
        let size = text::size(built.bytes);
        format!("{}\n  {} in {}, {size}\n  digest {}\n", built.file.display(), built.name, built.language, built.digest)
    })
}
