//! Outside tools for the stories of sharing: a registry, a registry's client, and minisign's own tool.
//!
//! Debian's packages are unpacked below `target`, not installed: nothing of the machine changes, and no service starts.

use std::{fs, path::Path};

use anyhow::Result;

use crate::{
    command::{command, succeeds_within},
    languages::{LIMIT, attempt},
    workspace::Workspace,
};

const DEBIAN: [&str; 3] = ["docker-registry", "minisign", "libsodium23"];
const PYTHON: &str = "oras==0.2.43";

/// Gets what is not there yet, where it can.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let toolchains = workspace.target.join("toolchains");
    let folder = toolchains.join("sharing");
    attempt(&toolchains, "sharing", &DEBIAN.join(" "), || {
        // Where the lists of packages are missing or old, they are fetched first.
        unpack(&folder) || (succeeds_within(command("apt-get").args(["-q", "update"]), LIMIT) && unpack(&folder))
    })?;
    attempt(&toolchains, "oras", PYTHON, || {
        let python = folder.join("oras");
        let made = succeeds_within(command("python3").args(["-m", "venv"]).arg(&python), LIMIT);
        made && succeeds_within(command(python.join("bin/pip")).args(["install", "--quiet", PYTHON]), LIMIT)
    })
}

fn unpack(folder: &Path) -> bool {
    let packages = folder.join("packages");
    if fs::create_dir_all(&packages).is_err() {
        return false;
    }
    let mut download = command("apt-get");
    if !succeeds_within(download.arg("download").args(DEBIAN).current_dir(&packages), LIMIT) {
        return false;
    }
    let Ok(files) = fs::read_dir(&packages) else { return false };
    files.flatten().all(|file| succeeds_within(command("dpkg").arg("--extract").arg(file.path()).arg(folder), LIMIT))
}
