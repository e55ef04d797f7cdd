//! in-toto statements (<https://in-toto.io/Statement/v1>) and the envelope that they travel in.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use stagewright_core::canonical;

use super::facts::Artifact;
use crate::{error::Result, project::Project};

/// What a statement is to whoever opens an envelope.
pub(super) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A statement that a predicate of this type is true of these subjects.
pub(super) fn statement(subject: &Value, predicate_type: &str, predicate: &Value) -> Vec<u8> {
    canonical::to_vec(&json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": predicate_type,
        "predicate": predicate,
    }))
}

/// A resource by name and digests.
pub(super) fn resource(name: &str, artifact: &Artifact) -> Value {
    json!({ "name": name, "digest": digests(artifact) })
}

/// Both names of an artifact's bytes.
pub(super) fn digests(artifact: &Artifact) -> Value {
    json!({ "sha256": artifact.sha256, "blake3": artifact.digest.to_string() })
}

/// A DSSE envelope around a statement, signed with the ledger's key; the key's identifier is the public key itself, as
/// the audit log has it.
pub(super) fn sign(project: &Project, statement: &[u8]) -> Result<String> {
    let ledger = project.store.ledger()?;
    let signature = ledger.sign_envelope(PAYLOAD_TYPE, statement)?;
    let envelope = envelope(statement, ledger.public_key(), &signature);
    Ok(serde_json::to_string_pretty(&envelope).unwrap_or_default() + "\n")
}

/// The envelope's JSON.
pub(super) fn envelope(statement: &[u8], key: &str, signature: &[u8]) -> Value {
    json!({
        "payloadType": PAYLOAD_TYPE,
        "payload": STANDARD.encode(statement),
        "signatures": [{ "keyid": key, "sig": STANDARD.encode(signature) }],
    })
}
