//! A packed plugin: what a registry would hold of it, as one file that can be carried by hand.
//!
//! It is an OCI image layout in a tar file, so that other tools can read it and carry it into a registry
//! (`skopeo copy oci-archive:clip.oci.tar docker://…`). Nothing of it is ever unpacked to a disk.

use std::{collections::BTreeMap, io::Read};

use serde_json::{Value, json};
use stagewright_core::canonical;
use tar::{Builder, EntryType, Header};

use crate::{
    Artifact, MOST_BYTES, Result, SharingError,
    artifact::{INDEX, MANIFEST, MANIFEST_BYTES, layer, must_have, sha256},
};

/// What a packed plugin's file is called behind its name.
pub const ENDING: &str = ".oci.tar";

const INDEX_FILE: &str = "index.json";
const LAYOUT_FILE: &str = "oci-layout";
/// A packed plugin has five files and perhaps a few folders.
const ENTRIES: usize = 32;

/// Packs an artifact. Equal artifacts make equal files.
pub fn pack(artifact: &Artifact) -> Vec<u8> {
    let manifest = sha256(&artifact.manifest);
    let index = canonical::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{ "mediaType": MANIFEST, "digest": manifest, "size": artifact.manifest.len() }],
    }));
    let layout = canonical::to_vec(&json!({ "imageLayoutVersion": "1.0.0" }));
    let mut tar = Builder::new(Vec::new());
    let files = [
        (LAYOUT_FILE.to_owned(), layout.as_slice()),
        (INDEX_FILE.to_owned(), &index),
        (blob(&manifest), &artifact.manifest),
        (blob(&sha256(&artifact.config)), &artifact.config),
        (blob(&sha256(&artifact.component)), &artifact.component),
    ];
    for (path, bytes) in files {
        let mut header = Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(EntryType::Regular);
        tar.append_data(&mut header, path, bytes).expect("memory takes every byte, and the paths are short");
    }
    tar.into_inner().expect("memory takes every byte")
}

/// Unpacks a component and its signature. `what` is for messages.
///
/// # Errors
/// It is no packed plugin, or not the one that it says.
pub fn unpack(what: &str, file: impl Read) -> Result<(Vec<u8>, Option<String>)> {
    let wrong = |problem: &str| SharingError::answer(what, format!("it is no packed plugin: {problem}"));
    let files = files(what, file)?;
    let index: Value = files
        .get(INDEX_FILE)
        .and_then(|bytes| serde_json::from_slice(bytes).ok())
        .ok_or_else(|| wrong(&format!("it has no {INDEX_FILE}")))?;
    let manifests = index.get("manifests").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let [one] = manifests else { return Err(wrong("it holds another number of artifacts than one")) };
    let find = |digest: &str| -> Result<&Vec<u8>> {
        let bytes = files.get(&blob(digest)).ok_or_else(|| wrong(&format!("it lacks {digest}")))?;
        must_have(what, bytes, digest)?;
        Ok(bytes)
    };
    let manifest = find(one.get("digest").and_then(Value::as_str).unwrap_or_default())?;
    let layer = layer(what, manifest)?;
    Ok((find(&layer.digest)?.clone(), layer.signature))
}

/// Every file of the archive, by its path.
fn files(what: &str, file: impl Read) -> Result<BTreeMap<String, Vec<u8>>> {
    let broken = |error: std::io::Error| SharingError::answer(what, format!("it is no packed plugin: {error}"));
    let mut left = MOST_BYTES + MANIFEST_BYTES;
    let mut files = BTreeMap::new();
    for (number, entry) in tar::Archive::new(file).entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        let size = entry.size();
        if number >= ENTRIES || size > left {
            return Err(SharingError::TooLarge { what: what.to_owned(), limit: MOST_BYTES });
        }
        if entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        let mut bytes = Vec::new();
        (&mut entry).take(size).read_to_end(&mut bytes).map_err(broken)?;
        left -= size;
        files.insert(path, bytes);
    }
    Ok(files)
}

/// Where a layout keeps what has a digest.
fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use stagewright_core::record::PluginRecord;

    use super::*;

    fn packed() -> Vec<u8> {
        let component = b"these bytes".to_vec();
        let digest = stagewright_core::Digest::of(&component);
        let (stages, imports, metadata) = (Vec::new(), Vec::new(), BTreeMap::new());
        let plugin = PluginRecord { digest, bytes: 11, stages, imports, metadata };
        pack(&Artifact::new("clip", &plugin, component, Some("signed\n")))
    }

    #[test]
    fn a_packed_plugin_unpacks_to_what_it_was() {
        let unpacked = unpack("clip.oci.tar", packed().as_slice()).unwrap();
        assert_eq!(unpacked, (b"these bytes".to_vec(), Some("signed\n".to_owned())));
        assert_eq!(packed(), packed());
    }

    #[test]
    fn a_changed_or_cut_file_is_refused() {
        let whole = packed();
        let at = whole.windows(11).position(|bytes| bytes == b"these bytes").unwrap();
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(matches!(unpack("it", changed.as_slice()), Err(SharingError::Digest { .. })));
        for cut in (0..at).step_by(100) {
            assert!(unpack("it", &whole[..cut]).is_err(), "{cut}");
        }
        assert!(unpack("it", b"no tar at all".as_slice()).is_err());
    }

    #[test]
    fn a_file_that_claims_to_be_enormous_is_not_read() {
        let mut header = Header::new_ustar();
        header.set_path("blobs/sha256/00").unwrap();
        header.set_size(1 << 33);
        header.set_entry_type(EntryType::Regular);
        header.set_cksum();
        let endless = header.as_bytes().chain(std::io::repeat(0));
        assert!(matches!(unpack("it", endless), Err(SharingError::TooLarge { .. })));
    }
}
