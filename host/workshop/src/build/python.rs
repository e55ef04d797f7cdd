//! Python: CPython and the plugin's modules, frozen into one component by componentize-py.

use std::{fs, path::Path, process::Command};

use super::{
    BuildError, Work, contract,
    toolbox::{fresh, read, run, write},
};

const INSTALL: &str = "install it with `python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1` \
    in the plugin's folder, or with pip anywhere in PATH";

/// Where the SDK lies in a plugin's folder.
const SDK: &str = "sdk/python/stagewright";

pub(super) fn build(work: &Work<'_>) -> Result<Vec<u8>, BuildError> {
    let tool = work.toolbox.need(work.folder, &["componentize-py"], INSTALL)?;
    let (app, wit) = (work.place("python"), work.place("wit"));
    fresh(&app)?;
    for (name, text) in contract::files(work.kind()?, &work.manifest.asks) {
        write(&wit.join(name), text)?;
    }
    // Everything in the application's folder becomes part of the component, so it holds nothing but source.
    copy_source(work.folder, &app, Depth::Top)?;
    copy_source(&work.folder.join(SDK), &app.join("stagewright"), Depth::Below)?;
    let module = work.manifest.entry.trim_end_matches(".py").replace('/', ".");
    let entry = format!("import {module}\nfrom stagewright import glue\n\nglue.export({module}, globals())\n");
    write(&app.join("stagewright_entry.py"), entry)?;
    let output = work.place("python.wasm");
    let mut command = Command::new(tool);
    command.current_dir(&app).arg("-d").arg(&wit).args(["-w", work.kind()?.world()]);
    command.args(["componentize", "--stub-wasi", "-p", ".", "stagewright_entry", "-o"]).arg(&output);
    // Hash seeds are frozen with everything else; a fixed one makes two builds more alike.
    command.env("PYTHONHASHSEED", "0").env_remove("VIRTUAL_ENV").env_remove("PYTHONPATH");
    run(&mut command)?;
    read(&output)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Top,
    Below,
}

/// Copies Python files, but neither environments nor what is not the plugin's own.
fn copy_source(from: &Path, to: &Path, depth: Depth) -> Result<(), BuildError> {
    let io = |source| BuildError::File { path: from.to_owned(), source };
    for entry in fs::read_dir(from).map_err(io)? {
        let entry = entry.map_err(io)?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let skipped = name.starts_with(['.', '_']) && name != "__init__.py"
            || depth == Depth::Top && ["sdk", "build", "wit", "venv", "tests", "node_modules"].contains(&&*name);
        if skipped {
            continue;
        }
        if path.is_dir() {
            copy_source(&path, &to.join(&*name), Depth::Below)?;
        } else if name.ends_with(".py") {
            write(&to.join(&*name), read(&path)?)?;
        }
    }
    Ok(())
}
