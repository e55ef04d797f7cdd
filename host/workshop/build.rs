//! Puts the contract, the SDKs and their templates into the program, so that `plugin new` works from anywhere.

use std::{error::Error, fmt::Write as _, fs, path::Path};

#[expect(clippy::disallowed_methods, reason = "a build script has no other way to learn where to write")]
fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let mut table = String::from("&[\n");
    for folder in ["wit", "sdk"] {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
        list(&root, &root.join(folder), &mut table)?;
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
        writeln!(table, "    ({file:?}, include_str!({:?})),", root.join(file))?;
    }
    table.push(']');
    fs::write(Path::new(&std::env::var("OUT_DIR")?).join("files.rs"), table)?;
    Ok(())
}

fn list(root: &Path, folder: &Path, table: &mut String) -> Result<(), Box<dyn Error>> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        // What tools leave behind while an SDK is worked on.
        if ["__pycache__", "node_modules", "target", "build"].iter().any(|left| name == *left) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            list(root, &path, table)?;
        } else {
            writeln!(table, "    ({:?}, include_str!({:?})),", path.strip_prefix(root)?, path)?;
        }
    }
    Ok(())
}
