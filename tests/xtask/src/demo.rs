//! The demo: a project made from examples/adult-income, from raw rows to a verified model.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    command::{command, run},
    plugins, stories,
    toolchain::Choice,
    workspace::Workspace,
};

/// Builds everything and runs the demo in a fresh folder, showing each command as a user would type it.
pub(crate) fn run_demo(workspace: &Workspace) -> Result<()> {
    stories::build_host(workspace)?;
    plugins::build_all(workspace, Choice::Any)?;
    let folder = workspace.target.join("demo/adult-income");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    copy(&workspace.root.join("examples/adult-income"), &folder)?;
    let stagewright = workspace.target.join("release/stagewright");
    let components = components(&workspace.target.join("plugins"))?;
    println!("\nThe demo's project is {}\n", folder.display());

    let step = |shown: &str, arguments: &[&str]| {
        println!("$ stagewright {shown}");
        // The keys of the demo's people belong to the demo.
        let keys = folder.join(".config");
        run(command(&stagewright).current_dir(&folder).env("XDG_CONFIG_HOME", keys).args(arguments))?;
        println!();
        Ok::<_, anyhow::Error>(())
    };
    let typed = |line: &str| step(line, &line.split(' ').collect::<Vec<_>>());
    typed("init")?;
    let mut add = vec!["plugin", "add"];
    add.extend(components.iter().filter_map(|path| path.to_str()));
    step("plugin add ../../plugins/*.wasm", &add)?;
    typed("data add adult data/census.csv.gz")?;
    typed("run pipelines/income.toml")?;
    typed("show latest")?;
    typed("user add ada --role admin")?;
    typed("user add grace --role model-risk --as ada")?;
    let decide = |before: &str, behind: &str, reason: &str| {
        let words = before.split(' ').chain([reason]).chain(behind.split(' ')).collect::<Vec<_>>();
        step(&format!("{before} \"{reason}\" {behind}"), &words)
    };
    let rule = "fairness.demographic-parity-ratio{column=gender}";
    let waive = format!("gate waive income@1 --rule {rule} --reason");
    decide(&waive, "--expires 90d --as grace", "it ranks mailings and decides about nobody")?;
    decide("approve income@1 --reason", "--as grace", "accurate enough for mailings, and the waiver ends in 90 days")?;
    typed("gate explain income@1")?;
    typed("gate verify")?;
    typed("verify latest")
}

/// Every component, in order of its name, as a path relative to the demo's folder.
fn components(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut names: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    names.sort();
    Ok(names.iter().map(|name| Path::new("../../plugins").join(name)).collect())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
