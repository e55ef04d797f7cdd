//! A plugin as registries keep it: the layout that the WebAssembly community agreed on for OCI registries.
//!
//! A manifest names a config (`application/vnd.wasm.config.v0+json`) and one layer (`application/wasm`), the component.
//! The signature is an annotation of the manifest, so that it comes and goes with the component in one document, in
//! every registry; other tools ignore it. Equal plugins have equal documents: they hold no time.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use stagewright_core::{canonical, record::PluginRecord, stage::CONTRACT};

use crate::{MOST_BYTES, Result, SharingError, reference::is_sha256};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";
/// The annotation that holds the signature: the text of its file.
const SIGNATURE: &str = "stagewright.minisig";
/// The time that stands for none.
const NO_TIME: &str = "1970-01-01T00:00:00Z";
/// No manifest is larger, says the OCI's specification.
pub(crate) const MANIFEST_BYTES: u64 = 4 << 20;
/// Of a description, so much becomes an annotation.
const ANNOTATION_CHARACTERS: usize = 1000;

/// A component with what describes it, ready for a registry.
#[derive(Clone, Debug)]
pub struct Artifact {
    pub(crate) component: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

impl Artifact {
    /// Describes a component that is known to be a plugin.
    pub fn new(name: &str, plugin: &PluginRecord, component: Vec<u8>, signature: Option<&str>) -> Self {
        let (package, version) = CONTRACT.split_once('@').unwrap_or((CONTRACT, ""));
        let export = |kind: &str| format!("{package}/{kind}@{version}");
        let exports: Vec<String> = plugin.stages.iter().map(|stage| export(stage.kind.as_str())).collect();
        let layer = sha256(&component);
        let config = canonical::to_vec(&json!({
            "created": NO_TIME,
            "author": plugin.metadata.get("authors"),
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [layer],
            "component": { "exports": exports, "imports": plugin.imports },
        }));
        let mut annotations = BTreeMap::from([("org.opencontainers.image.title".to_owned(), name.to_owned())]);
        for (ours, theirs) in [
            ("version", "version"),
            ("description", "description"),
            ("licence", "licenses"),
            ("source", "source"),
            ("authors", "authors"),
        ] {
            if let Some(value) = plugin.metadata.get(ours) {
                let value = value.chars().take(ANNOTATION_CHARACTERS).collect();
                annotations.insert(format!("org.opencontainers.image.{theirs}"), value);
            }
        }
        if let Some(signature) = signature {
            annotations.insert(SIGNATURE.to_owned(), signature.to_owned());
        }
        let manifest = canonical::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": sha256(&config), "size": config.len() },
            "layers": [{
                "mediaType": LAYER, "digest": layer, "size": component.len(),
                // What tools that write files call it.
                "annotations": { "org.opencontainers.image.title": format!("{name}.wasm") },
            }],
            "annotations": annotations,
        }));
        Self { component, config, manifest }
    }

    /// `sha256:` and the digest of the manifest: what others may pin.
    pub fn digest(&self) -> String {
        sha256(&self.manifest)
    }
}

/// What a manifest says of the component that it names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) digest: String,
    pub(crate) size: u64,
    pub(crate) signature: Option<String>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    annotations: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// Reads a manifest. `what` is for messages.
pub(crate) fn layer(what: &str, manifest: &[u8]) -> Result<Layer> {
    let wrong = |problem: String| SharingError::answer(what, problem);
    let value: Value = serde_json::from_slice(manifest).map_err(|_| wrong("the answer is no manifest".to_owned()))?;
    if value.get("manifests").is_some() {
        return Err(wrong("it is an index of several artifacts, not a plugin".to_owned()));
    }
    let Manifest { mut layers, annotations } =
        serde_json::from_value(value).map_err(|error| wrong(format!("the answer is no manifest: {error}")))?;
    let (Some(Descriptor { media_type, digest, size }), true) = (layers.pop(), layers.is_empty()) else {
        return Err(wrong("a plugin has one layer, and this artifact has another number".to_owned()));
    };
    if media_type != LAYER {
        return Err(wrong(format!("its layer is `{media_type}`, not `{LAYER}`; it is no WebAssembly")));
    }
    if !is_sha256(&digest) {
        return Err(wrong(format!("`{digest}` is no sha256 digest")));
    }
    if size > MOST_BYTES {
        return Err(SharingError::TooLarge { what: what.to_owned(), limit: MOST_BYTES });
    }
    let signature = match annotations.get(SIGNATURE) {
        None => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => return Err(wrong(format!("the annotation `{SIGNATURE}` is no text"))),
    };
    Ok(Layer { digest, size, signature })
}

/// `sha256:` and the digest of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    format!("sha256:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Refuses bytes that have another digest.
pub(crate) fn must_have(what: &str, bytes: &[u8], wanted: &str) -> Result<()> {
    let found = sha256(bytes);
    match found == wanted {
        true => Ok(()),
        false => Err(SharingError::Digest { what: what.to_owned(), wanted: wanted.to_owned(), found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn plugin() -> PluginRecord {
        PluginRecord {
            digest: stagewright_core::Digest::of(b"component"),
            bytes: 9,
            stages: Vec::new(),
            imports: vec!["stagewright:stage/tables@0.1.0".into()],
            metadata: BTreeMap::from([("licence".into(), "MIT".into())]),
        }
    }

    #[test]
    fn a_manifest_reads_back_what_it_was_made_of_and_has_the_same_bytes_every_time() {
        let artifact = Artifact::new("clip", &plugin(), b"component".to_vec(), Some("signed\n"));
        let again = Artifact::new("clip", &plugin(), b"component".to_vec(), Some("signed\n"));
        assert_eq!(artifact.manifest, again.manifest);
        let expected = Layer { digest: sha256(b"component"), size: 9, signature: Some("signed\n".into()) };
        assert_eq!(layer("it", &artifact.manifest).unwrap(), expected);
        let text = String::from_utf8(artifact.manifest).unwrap();
        assert!(text.contains("\"org.opencontainers.image.licenses\":\"MIT\"") && text.contains("clip.wasm"), "{text}");
    }

    #[test]
    fn what_is_no_manifest_of_a_plugin_is_refused() {
        let digest = sha256(b"x");
        let one = |kind: &str, digest: &str, size: &str| {
            format!("{{\"layers\":[{{\"mediaType\":\"{kind}\",\"digest\":\"{digest}\",\"size\":{size}}}]}}")
        };
        for text in [
            String::new(),
            "<html>".into(),
            "[]".into(),
            "{}".into(),
            "{\"layers\":{}}".into(),
            "{\"manifests\":[]}".into(),
            one("application/octet-stream", &digest, "1"),
            one(LAYER, "sha256:../../x", "1"),
            one(LAYER, &digest, "-1"),
            one(LAYER, &digest, "999999999999"),
            format!("{{\"annotations\":{{\"{SIGNATURE}\":7}},{}", &one(LAYER, &digest, "1")[1..]),
        ] {
            assert!(layer("it", text.as_bytes()).is_err(), "{text}");
        }
        assert!(layer("it", one(LAYER, &digest, "1").as_bytes()).is_ok());
    }
}
