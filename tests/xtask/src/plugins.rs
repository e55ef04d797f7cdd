//! Every folder of plugins/ becomes a component in target/plugins.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    command::{run, variable},
    component,
    toolchain::{Choice, TARGET, Toolchain},
    workspace::{Package, Workspace},
};

/// Builds every plugin of the workspace, and removes components whose folder is gone.
pub(crate) fn build_all(workspace: &Workspace, choice: Choice) -> Result<()> {
    let folder = workspace.root.join("plugins");
    let packages: Vec<_> =
        workspace.packages.iter().filter(|package| package.folder.parent() == Some(&folder)).collect();
    let toolchain = find(workspace, choice)?;
    let output = workspace.target.join("plugins");
    build(&toolchain, workspace, &packages, &workspace.target)?;
    for entry in fs::read_dir(&output)? {
        let path = entry?.path();
        if !packages.iter().any(|package| path == output.join(name(package)).with_extension("wasm")) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Builds the plugins in these folders, whichever workspace each belongs to.
pub(crate) fn build_folders(workspace: &Workspace, choice: Choice, folders: &[PathBuf]) -> Result<()> {
    let toolchain = find(workspace, choice)?;
    for folder in folders {
        let folder = folder.canonicalize().with_context(|| format!("there is no folder {}", folder.display()))?;
        let home = Workspace::of(&folder)?;
        let package = home.package(&folder).with_context(|| format!("{} holds no package", folder.display()))?;
        build(&toolchain, &home, &[package], &workspace.target)?;
    }
    Ok(())
}

fn find(workspace: &Workspace, choice: Choice) -> Result<Toolchain> {
    let toolchain = Toolchain::find(choice, &workspace.target.join("wasm"))?;
    println!("plugins: building with rustc {}: {}", toolchain.version, toolchain.why);
    Ok(toolchain)
}

/// Builds packages of one workspace in one go, into `target`/plugins.
fn build(toolchain: &Toolchain, workspace: &Workspace, packages: &[&Package], target: &Path) -> Result<()> {
    let built = target.join("wasm");
    let output = target.join("plugins");
    // What was encoded from which module, so that an unchanged one is left alone.
    let memory = built.join("encoded");
    fs::create_dir_all(&output)?;
    fs::create_dir_all(&memory)?;

    let mut cargo = toolchain.build();
    cargo.current_dir(&workspace.root).args(["--release", "--locked", "--lib", "--target-dir"]).arg(&built);
    cargo.args(packages.iter().flat_map(|package| ["--package", &package.name]));
    cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags(workspace).join("\u{1f}"));
    // A stage is small and runs long: let the compiler see all of it at once.
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "fat").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
    cargo.env("CARGO_PROFILE_RELEASE_PANIC", "abort");
    run(&mut cargo).context("the plugins do not build")?;

    let mut new = 0;
    for package in packages {
        let library = package.library.as_ref().with_context(|| format!("{} builds no cdylib", package.name))?;
        let module = fs::read(built.join(TARGET).join("release").join(library).with_extension("wasm"))?;
        let (remembered, label) = (memory.join(library), memory.join(library).with_extension("label"));
        let component = output.join(name(package)).with_extension("wasm");
        let says = format!("{} {package:?}", toolchain.version);
        let known = fs::read(&remembered).is_ok_and(|known| known == module);
        if known && component.exists() && fs::read_to_string(&label).is_ok_and(|known| known == says) {
            continue;
        }
        let encoded = component::encode(name(package), package, &toolchain.version, &module)?;
        println!("plugins: {:<22}{:>6} KB", name(package), encoded.len().div_ceil(1024));
        fs::write(&component, encoded)?;
        fs::write(&label, says)?;
        fs::write(&remembered, module)?;
        new += 1;
    }
    println!("plugins: {} of {} are new in {}", new, packages.len(), output.display());
    Ok(())
}

/// A plugin is named as its folder is.
fn name(package: &Package) -> &str {
    package.folder.file_name().and_then(|name| name.to_str()).unwrap_or(&package.name)
}

/// Compiler flags: vectors, and no path of this machine in a panic's message, so that a component's bytes do not
/// depend on where it was built.
fn flags(workspace: &Workspace) -> Vec<String> {
    let mut flags = vec!["-Ctarget-feature=+simd128".to_owned()];
    let mut replace = |from: &Path, to: &str| flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    let home = variable("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    if let Some(home) = variable("CARGO_HOME").map(PathBuf::from).or(home) {
        replace(&home, "cargo");
    }
    replace(&workspace.root, ".");
    flags
}
