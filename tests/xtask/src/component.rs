//! From the compiler's core module to a component that says who it is.

use anyhow::{Context as _, Result, anyhow};
use wasm_encoder::{ComponentSection as _, CustomSection};
use wasm_metadata::{AddMetadata, AddMetadataField};
use wit_component::ComponentEncoder;

use crate::workspace::Package;

/// Encodes a core module as a component named `name`, with what its package says about itself.
pub(crate) fn encode(name: &str, package: &Package, compiler: &str, module: &[u8]) -> Result<Vec<u8>> {
    let component = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| anyhow!("{error:#}"))
        .with_context(|| format!("{} does not make a component", package.name))?;
    let mut metadata = AddMetadata::default();
    metadata.name = AddMetadataField::Set(name.to_owned());
    // A component's bytes depend on the compiler, so its record names it.
    metadata.processed_by = vec![("rustc".to_owned(), compiler.to_owned())];
    let mut component = metadata.to_wasm(&component)?;
    // The standard annotations are plain text in sections of these names. wasm-metadata writes them too, but only
    // with a URL parser and its Unicode tables, which would build before everything else here.
    let says = [
        ("version", Some(&package.version)),
        ("description", package.description.as_ref()),
        ("licenses", package.license.as_ref()),
        ("source", package.repository.as_ref()),
    ];
    for (section, text) in says {
        if let Some(text) = text {
            CustomSection { name: section.into(), data: text.as_bytes().into() }.append_to_component(&mut component);
        }
    }
    Ok(component)
}
