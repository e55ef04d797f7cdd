//! The audit log: every change of a repository, in the same commit as the change.
//!
//! Each transaction adds one entry, which names the hash of the entry before it. The entries are the leaves of a Merkle
//! tree as in Certificate Transparency (RFC 9162, section 2.1), with BLAKE3 in place of SHA-256: a leaf is
//! H(0x00 ‖ entry), a node H(0x01 ‖ left ‖ right). The tree's head is signed (ed25519) with each commit. An inclusion
//! proof shows that an entry is in a head's tree, a consistency proof that a later head's tree continues an earlier's.

pub mod bundle;
pub mod merkle;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stagewright_core::{Digest, canonical};

/// Who does something, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// A person's or a program's name.
    pub who: String,
    /// Milliseconds since 1970.
    pub at_ms: u64,
}

/// An entry of the log. Its canonical JSON is what is hashed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Counted from 0.
    pub sequence: u64,
    /// The [hash](Entry::hash) of the entry before; all zeros for the first.
    pub previous: Digest,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who.
    pub who: String,
    /// What was changed or decided, in order: objects with an `action`.
    pub changes: Vec<Value>,
}

impl Entry {
    /// The entry's hash in the chain, which is also its leaf in the tree.
    pub fn hash(&self) -> Digest {
        merkle::leaf(&canonical::to_vec(self))
    }
}

/// A signed statement: the log had this many entries, and this is the root of their tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    /// The repository's identity.
    pub repository: String,
    /// The number of entries.
    pub size: u64,
    /// The root of the tree.
    pub root: Digest,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The public key, in hexadecimal digits.
    pub key: String,
    /// The signature, in hexadecimal digits.
    pub signature: String,
}

impl SignedHead {
    pub(crate) fn sign(key: &SigningKey, repository: &str, size: u64, root: Digest, at_ms: u64) -> Self {
        let mut head = Self {
            repository: repository.to_owned(),
            size,
            root,
            at_ms,
            key: to_hex(key.verifying_key().as_bytes()),
            signature: String::new(),
        };
        head.signature = to_hex(&key.sign(&head.signed_bytes()).to_bytes());
        head
    }

    /// What is signed.
    fn signed_bytes(&self) -> Vec<u8> {
        format!("stagewright tree head 1\n{}\n{}\n{}\n{}\n", self.repository, self.size, self.root, self.at_ms)
            .into_bytes()
    }

    /// Whether the head was signed with its key. Whose key that is, the caller has to know.
    pub fn is_genuine(&self) -> bool {
        let key = from_hex(&self.key).and_then(|bytes| VerifyingKey::from_bytes(&bytes.try_into().ok()?).ok());
        let signature = from_hex(&self.signature).and_then(|bytes| Signature::from_slice(&bytes).ok());
        match (key, signature) {
            (Some(key), Some(signature)) => key.verify_strict(&self.signed_bytes(), &signature).is_ok(),
            _ => false,
        }
    }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
