//! C: bindings written from the contract, compiled by Zig's clang.

use std::{fs, process::Command};

use wit_bindgen_core::Files;

use super::{
    BuildError, Work, component,
    contract::Contract,
    toolbox::{read, run, write},
};

const INSTALL: &str = "install it with `python3 -m venv .venv && .venv/bin/pip install ziglang==0.17.1` \
    in the plugin's folder, or Zig itself anywhere in PATH";

/// Rather the same names in every world than names that tell which.
const PREFIX: &str = "stagewright";

pub(super) fn build(work: &Work<'_>) -> Result<Vec<u8>, BuildError> {
    let zig = work.toolbox.need(work.folder, &["zig", "python-zig"], INSTALL)?;
    let kind = work.kind()?;
    let bindings = work.place("c");
    let Contract { mut types, world } = Contract::of(kind, &work.manifest.asks)?;
    let options = wit_bindgen_c::Opts {
        no_object_file: true,
        rename_world: Some(PREFIX.to_owned()),
        ..wit_bindgen_c::Opts::default()
    };
    let mut files = Files::default();
    let made = options.build().generate(&mut types, world, &mut files);
    made.map_err(|error| BuildError::Contract(format!("{error:#}")))?;
    for (name, content) in files.iter() {
        // Its name would hide the SDK's own header.
        let text = String::from_utf8_lossy(content).replace("\"stagewright.h\"", "\"stagewright_bindings.h\"");
        write(&bindings.join(name.replace("stagewright.", "stagewright_bindings.")), text)?;
    }
    // The generated code wants to be linked with an object that says which world it is for; that is said afterwards.
    write(&bindings.join("stagewright_world.c"), "void __component_type_object_force_link_stagewright(void) {}\n")?;
    let output = work.place("c.wasm");
    let mut command = Command::new(zig);
    command.current_dir(work.folder).args(["cc", "-target", "wasm32-wasi", "-mexec-model=reactor", "-O2", "-std=c17"]);
    // Zig's own stack would be 16 MiB; a stage that needs more than one should say why.
    command.args(["-Wl,-z,stack-size=1048576", "-Wl,--strip-debug", "-Wall", "-Ibuild/c", "-Isdk/c"]);
    command.arg(format!("-DSTAGEWRIGHT_{}", kind.word().to_uppercase().replace('-', "_")));
    command
        .args(sources(work)?)
        .args(["build/c/stagewright_bindings.c", "build/c/stagewright_world.c", "-lm", "-o"])
        .arg(&output);
    run(&mut command)?;
    component::of_module(kind, &work.manifest.asks, read(&output)?)
}

/// The C files of the plugin, in order of their names.
fn sources(work: &Work<'_>) -> Result<Vec<String>, BuildError> {
    let io = |source| BuildError::File { path: work.folder.to_owned(), source };
    let entries = fs::read_dir(work.folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(io)?;
    let names = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut sources: Vec<String> = names.filter(|name| name.ends_with(".c")).collect();
    sources.sort();
    Ok(sources)
}
