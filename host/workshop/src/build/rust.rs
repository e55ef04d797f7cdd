//! Rust: cargo for `wasm32-unknown-unknown`, which imports no WASI.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{
    BuildError, Work, component,
    toolbox::{read, run},
};

const TARGET: &str = "wasm32-unknown-unknown";
const INSTALL: &str = "install Rust from https://rustup.rs and type `rustup target add wasm32-unknown-unknown`; where \
    rustup cannot, on Debian or Ubuntu: `apt-get install --no-install-recommends rustc-web cargo-web rust-web-src lld`";

pub(super) fn build(work: Work<'_>) -> Result<Vec<u8>, BuildError> {
    let cargo = work.toolbox.need(work.folder, &["cargo"], INSTALL)?;
    let mut metadata = Command::new(&cargo);
    let metadata = metadata.current_dir(work.folder).args(["metadata", "--format-version=1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&run(metadata)?).unwrap_or_default();
    let here = work.folder.join("Cargo.toml");
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let mut packages = packages.filter(|package| package["manifest_path"].as_str().map(Path::new) == Some(&here));
    let package = packages.next().cloned().unwrap_or_default();
    let targets = package["targets"].as_array().into_iter().flatten();
    let is_library = |target: &&Value| {
        target["crate_types"].as_array().into_iter().flatten().any(|crate_type| crate_type == "cdylib")
    };
    let library = targets.into_iter().find(is_library).and_then(|target| target["name"].as_str());
    let library = library
        .ok_or_else(|| BuildError::Manifest { file: here, message: "no library of crate-type \"cdylib\"".into() })?;
    let says = |field: &str| package[field].as_str().map(str::to_owned);
    let manifest = &mut *work.manifest;
    manifest.version = manifest.version.take().or_else(|| says("version"));
    manifest.description = manifest.description.take().or_else(|| says("description"));
    manifest.licence = manifest.licence.take().or_else(|| says("license"));
    manifest.source = manifest.source.take().or_else(|| says("repository"));

    let built = work.toolbox.cargo_target.clone().unwrap_or_else(|| work.place("rust"));
    let (mut command, linker) = match has_target(&work)? {
        true => (Command::new(&cargo), None),
        false => distribution(&work)?,
    };
    if linker.is_some() {
        command.args(["build", "-Zbuild-std=std,panic_abort"]);
    } else {
        command.arg("build");
    }
    command.current_dir(work.folder).args(["--release", "--lib", "--target", TARGET, "--target-dir"]).arg(&built);
    command.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags(&work).join("\u{1f}"));
    command.env("CARGO_PROFILE_RELEASE_LTO", "fat").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
    command.env("CARGO_PROFILE_RELEASE_PANIC", "abort").env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
    run(&mut command)?;
    let module = built.join(TARGET).join("release").join(library.replace('-', "_")).with_extension("wasm");
    component::encode(&read(&module)?)
}

/// Vectors, and no path of this machine in a panic's message.
fn flags(work: &Work<'_>) -> Vec<String> {
    let mut flags = vec!["-Ctarget-feature=+simd128".to_owned()];
    if let Some(home) = &work.toolbox.home {
        flags.push(format!("--remap-path-prefix={}=cargo", home.join(".cargo").display()));
    }
    flags.push(format!("--remap-path-prefix={}=.", work.folder.display()));
    flags
}

fn has_target(work: &Work<'_>) -> Result<bool, BuildError> {
    let rustc = work.toolbox.need(work.folder, &["rustc"], INSTALL)?;
    let folder = run(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET])).unwrap_or_default();
    let is_core = |name: &str| name.starts_with("libcore-") && name.ends_with(".rlib");
    Ok(fs::read_dir(folder.trim()).is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(is_core)))
    }))
}

/// The distribution's compiler, which comes with the source of its library.
fn distribution(work: &Work<'_>) -> Result<(Command, Option<PathBuf>), BuildError> {
    let missing = || BuildError::MissingTool { tool: format!("a Rust compiler for {TARGET}"), install: INSTALL };
    let (cargo, rustc) = (PathBuf::from("/usr/bin/cargo"), PathBuf::from("/usr/bin/rustc"));
    let sysroot = run(Command::new(&rustc).args(["--print", "sysroot"])).map_err(|_| missing())?;
    let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std/Cargo.toml");
    let rustup = work.toolbox.find(work.folder, &["rustc"]);
    let carried = rustup.and_then(|rustc| run(Command::new(rustc).args(["--print", "target-libdir"])).ok());
    let carried = carried.and_then(|folder| Some(Path::new(folder.trim()).parent()?.join("bin/rust-lld")));
    let installed =
        work.toolbox.find(work.folder, &["wasm-ld", "wasm-ld-22", "wasm-ld-21", "wasm-ld-20", "wasm-ld-19"]);
    let linker = carried.into_iter().chain(installed).find(|linker| linker.exists());
    let (Some(linker), true, true) = (linker, sources.exists(), cargo.exists()) else { return Err(missing()) };
    let mut command = Command::new(cargo);
    for name in ["CARGO", "RUSTDOC", "RUSTUP_TOOLCHAIN", "RUST_RECURSION_COUNT", "LD_LIBRARY_PATH"] {
        command.env_remove(name);
    }
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", rustc);
    command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &linker);
    Ok((command, Some(linker)))
}
