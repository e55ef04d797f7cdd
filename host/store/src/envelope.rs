//! Envelopes: statements for others, signed with a repository's key in the way of DSSE 1.0 (Dead Simple Signing
//! Envelope, <https://github.com/secure-systems-lab/dsse>).
//!
//! What is signed begins with `DSSEv1`, so that a signature here can never be taken for that of an audit log's head.

use ed25519_dalek::Signer;

use crate::{Repository, Result, repository::signing_key};

/// The bytes that are signed for a payload of this type: DSSE's "pre-authentication encoding".
pub fn signed_bytes(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl Repository {
    /// Signs a payload of this type with the [repository's key](Self::public_key): ed25519 over [`signed_bytes`]. A
    /// repository that was opened for reading signs too: its key is its owner's, and nothing is written.
    ///
    /// # Errors
    /// The key's file is missing, damaged, or another user's.
    pub fn sign_envelope(&self, payload_type: &str, payload: &[u8]) -> Result<[u8; 64]> {
        let key = signing_key(&self.shared.files, &self.shared.format)?;
        Ok(key.sign(&signed_bytes(payload_type, payload)).to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_bytes_are_those_of_the_specification() {
        // The example of DSSE's protocol.md.
        let bytes = signed_bytes("http://example.com/HelloWorld", b"hello world");
        assert_eq!(bytes, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
