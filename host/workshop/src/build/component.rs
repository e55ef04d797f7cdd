//! From what a compiler made to a component that says who it is.

use stagewright_core::grant::Capability;
use wasm_encoder::{ComponentSection as _, CustomSection};
use wasm_metadata::{AddMetadata, AddMetadataField};
use wit_component::ComponentEncoder;

use super::{BuildError, Manifest, contract::Contract};
use crate::scaffold::PluginKind;

/// The one adapter that C's and Go's preview 1 imports meet: it imports nothing, and answers what start-up code asks.
const ADAPTER: &str = include_str!("preview1.wat");

/// Encodes a core module that knows nothing of components.
pub(crate) fn of_module(kind: PluginKind, asks: &[Capability], mut module: Vec<u8>) -> Result<Vec<u8>, BuildError> {
    Contract::of(kind, asks)?.embed(&mut module)?;
    encode(&module)
}

/// Encodes a core module that says which world it is meant for.
pub(crate) fn encode(module: &[u8]) -> Result<Vec<u8>, BuildError> {
    let unfit = |error: String| BuildError::Encode(error);
    let adapter = wat::parse_str(ADAPTER).map_err(|error| unfit(error.to_string()))?;
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true);
    encoder.module(module).map_err(|error| unfit(format!("{error:#}")))?;
    encoder.adapter("wasi_snapshot_preview1", &adapter).map_err(|error| unfit(format!("{error:#}")))?;
    encoder.encode().map_err(|error| unfit(format!("{error:#}")))
}

/// Adds the standard metadata: name, version, description, licence, source.
pub(crate) fn sign(manifest: &Manifest, component: &[u8]) -> Result<Vec<u8>, BuildError> {
    let mut metadata = AddMetadata::default();
    metadata.name = AddMetadataField::Set(manifest.name.clone());
    metadata.language = vec![(manifest.language.to_string(), String::new())];
    let mut component = metadata.to_wasm(component).map_err(|error| BuildError::Encode(format!("{error:#}")))?;
    // The standard annotations are plain text in sections of these names.
    let says = [
        ("version", &manifest.version),
        ("description", &manifest.description),
        ("licenses", &manifest.licence),
        ("source", &manifest.source),
    ];
    for (section, text) in says {
        if let Some(text) = text {
            CustomSection { name: section.into(), data: text.as_bytes().into() }.append_to_component(&mut component);
        }
    }
    Ok(component)
}
