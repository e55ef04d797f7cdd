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
    for (name, world) in worlds {
        let section = metadata::encode(&resolve, world, StringEncoding::UTF8, None)?;
        std::fs::write(Path::new(&out).join(format!("{name}.section")), section)?;
    }
    println!("cargo::rerun-if-changed={contract}");
    Ok(())
}
