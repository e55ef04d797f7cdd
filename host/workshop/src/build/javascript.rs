//! JavaScript and TypeScript: bundled into one module by esbuild, put on SpiderMonkey by componentize-js.

use std::process::Command;

use super::{
    BuildError, Work, contract,
    toolbox::{read, run, write},
};

const INSTALL: &str = "install it with `npm install --save-dev @bytecodealliance/componentize-js@0.23.0 \
    esbuild@0.28.2` in the plugin's folder";

/// Where the SDK lies in a plugin's folder.
const SDK: &str = "./sdk/javascript";

pub(super) fn build(work: &Work<'_>) -> Result<Vec<u8>, BuildError> {
    let esbuild = work.toolbox.need(work.folder, &["esbuild"], INSTALL)?;
    let componentize = work.toolbox.need(work.folder, &["componentize-js"], INSTALL)?;
    let wit = work.place("wit");
    for (name, text) in contract::files(work.kind()?, &work.manifest.asks) {
        write(&wit.join(name), text)?;
    }
    let kind = work.kind()?;
    let interfaces = kind.interfaces().map(camel).collect::<Vec<_>>().join(", ");
    let entry = format!(
        "import stage from \"../{}\";\nimport {{ exported }} from \"../{SDK}/glue.js\";\n\n\
         export const {{ plugin, {interfaces} }} = exported(stage);\n",
        work.manifest.entry
    );
    let (source, bundle) = (work.place("entry.js"), work.place("bundle.js"));
    write(&source, entry)?;
    let mut command = Command::new(esbuild);
    command.current_dir(work.folder).arg("build/entry.js").args(["--bundle", "--format=esm", "--log-level=warning"]);
    command.args(["--external:stagewright:*", "--outfile=build/bundle.js"]);
    run(command.arg(format!("--alias:stagewright={SDK}/index.js")))?;

    let output = work.place("javascript.wasm");
    let mut command = Command::new(componentize);
    command.current_dir(work.folder).arg(&bundle).arg("--wit").arg(&wit).args(["-n", kind.world(), "-o"]).arg(&output);
    // What is disabled is not imported; this list swallows everything behind it.
    run(command.args(["-d", "stdio", "random", "clocks", "http", "fetch-event"]))?;
    read(&output)
}

/// `fairness-checker` as `fairnessChecker`.
fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |camel, word| camel + &word[..1].to_uppercase() + &word[1..])
}
