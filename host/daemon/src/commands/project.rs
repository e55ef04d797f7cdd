//! `init`.

use std::path::Path;

use serde_json::json;
use stagewright::{Project, store::REPOSITORIES};

use super::Context;
use crate::failure::{CANNOT, Failure};

pub(crate) fn init(context: &Context, directory: &Path, name: Option<String>) -> Result<(), Failure> {
    std::fs::create_dir_all(directory)
        .map_err(|error| Failure::new(CANNOT, format!("cannot create {}: {error}", directory.display())))?;
    let root = directory
        .canonicalize()
        .map_err(|error| Failure::new(CANNOT, format!("cannot find {}: {error}", directory.display())))?;
    let name = name.or_else(|| root.file_name().map(|name| name.to_string_lossy().into_owned()));
    let name = name.unwrap_or_else(|| "project".to_owned());
    let made = Project::create(&root, &name, &context.surroundings)?;
    context.print(&json!({ "project": name, "directory": root, "repositories": made }), |_| {
        if made.len() < REPOSITORIES.len() {
            return format!("Made what was missing in {}, empty: {}.\n", root.display(), made.join(", "));
        }
        format!(
            "Made project `{name}` in {}.\n\
             Next: stagewright plugin add FILE.wasm, stagewright data add NAME FILE, then a pipeline under pipelines/.\n",
            root.display()
        )
    })
}
