//! Encodes each world of the contract as the section that turns a plugin's module into a component.
//!
//! `wit-bindgen` writes this section too, but for one world per crate; the SDK knows seven, and a plugin picks one.

use std::path::Path;

use wit_component::{StringEncoding, metadata};
use wit_parser::Resolve;

#[expect(clippy::disallowed_methods, reason = "a build script has no other way to learn where to write")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit");
    let out = std::env::var("OUT_DIR")?;
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(contract)?;
    let worlds = resolve.packages[package].worlds.clone();
    // A component imports only what its code calls, so that every plugin may be given the grants to call.
    for name in worlds.keys() {
        let world = format!(
            "world {name}-section {{ include stagewright:stage/{name}@0.1.0; include stagewright:stage/grants@0.1.0; }}"
        );
        let package = resolve.push_source("section.wit", &format!("package stagewright:{name}; {world}"))?;
        let world = resolve.select_world(&[package], None)?;
        let section = metadata::encode(&resolve, world, StringEncoding::UTF8, None)?;
        std::fs::write(Path::new(&out).join(format!("{name}.section")), section)?;
    }
    println!("cargo::rerun-if-changed={contract}");
    Ok(())
}
