//! What people say, signed with their own keys (ed25519).
//!
//! A statement names the project, the person and the time beside what is said, so that it cannot be used again
//! elsewhere or later. It is kept whole in the audit log.

use std::{fmt, str::FromStr};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stagewright_core::{Digest, Name, canonical, record::Used};

use super::access::Grant;

/// What is signed begins with this, so that a signature means nothing anywhere else.
const DOMAIN: &[u8] = b"stagewright statement 1\n";
/// What a file with a private key begins with.
const KEY_FILE: &str = "stagewright private key 1";

/// A person's public key; 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A text that is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no public key: expected 64 hexadecimal digits that name a point of the curve")]
pub struct NotAKey(String);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Digest::from_bytes(*self.0.as_bytes()).fmt(f)
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let wrong = || NotAKey(text.to_owned());
        let bytes: Digest = text.parse().map_err(|_| wrong())?;
        let key = VerifyingKey::from_bytes(bytes.as_bytes()).map_err(|_| wrong())?;
        // A weak key accepts signatures of anybody.
        if key.is_weak() { Err(wrong()) } else { Ok(Self(key)) }
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A person's private key. It is never stored here; its owner keeps it in a file that nobody else can read.
pub struct PrivateKey(SigningKey);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey of {}", self.public())
    }
}

impl PrivateKey {
    /// A key from 32 random bytes.
    pub fn new(random: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&random))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The text of the file that the key is kept in.
    pub fn to_file(&self) -> String {
        format!("{KEY_FILE}\n{}\n", Digest::from_bytes(self.0.to_bytes()))
    }

    /// Reads the text of such a file. None where it is no key.
    pub fn from_file(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(KEY_FILE)?.trim();
        let bytes: Digest = digits.parse().ok()?;
        Some(Self::new(*bytes.as_bytes()))
    }
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "act")]
pub enum Act {
    /// A person may take part.
    AddUser {
        /// Who.
        name: Name,
        /// In which roles.
        roles: Vec<Name>,
        /// With which key.
        key: PublicKey,
    },
    /// A person takes part no more.
    RemoveUser {
        /// Who.
        name: Name,
    },
    /// A token lets its bearer act for a user.
    CreateToken {
        /// The token's public part.
        id: String,
        /// For whom.
        user: Name,
        /// What it allows.
        grants: Vec<Grant>,
        /// Until when, in milliseconds since 1970.
        expires_ms: u64,
    },
    /// A token is good no more.
    RevokeToken {
        /// The token's public part.
        id: String,
    },
    /// A model version may serve.
    Approve {
        /// Which.
        model: Used,
        /// The verdict of its gate that was looked at.
        verdict: Digest,
        /// Why.
        reason: String,
    },
    /// A model version may not serve.
    Reject {
        /// Which.
        model: Used,
        /// The verdict of its gate that was looked at.
        verdict: Digest,
        /// Why not.
        reason: String,
    },
    /// A rule of a model version's gate is set aside for a time.
    Waive {
        /// Which version.
        model: Used,
        /// Which rule.
        rule: String,
        /// Why.
        reason: String,
        /// Until when, in milliseconds since 1970.
        expires_ms: u64,
    },
}

/// What is said, by whom, where and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The project: the public key of its ledger.
    pub project: String,
    /// Who says it.
    pub by: Name,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub act: Act,
}

/// A statement and its author's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// What is said.
    pub statement: Statement,
    /// The key it was signed with.
    pub key: PublicKey,
    /// The signature over the statement's canonical JSON; 128 hexadecimal digits.
    pub signature: String,
}

/// A statement as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// What was said.
    pub signed: Signed,
    /// The roles that its author had then.
    pub roles: Vec<Name>,
}

impl Statement {
    fn signed_bytes(&self) -> Vec<u8> {
        [DOMAIN, &canonical::to_vec(self)].concat()
    }

    /// Signs.
    pub fn sign(self, key: &PrivateKey) -> Signed {
        let signature = key.0.sign(&self.signed_bytes()).to_bytes();
        let (left, right) = signature.split_at(32);
        let text = |half: &[u8]| half.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Signed { statement: self, key: key.public(), signature: text(left) + &text(right) }
    }
}

impl Signed {
    /// Whether the statement was signed with its key. Whose key that is, the caller has to know.
    pub fn is_genuine(&self) -> bool {
        let half = |range: std::ops::Range<usize>| self.signature.get(range)?.parse::<Digest>().ok();
        let (Some(left), Some(right)) = (half(0..64), half(64..self.signature.len().max(64))) else { return false };
        let Ok(signature) = Signature::from_slice(&[*left.as_bytes(), *right.as_bytes()].concat()) else {
            return false;
        };
        self.key.0.verify_strict(&self.statement.signed_bytes(), &signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(reason: &str) -> Statement {
        let model = Used { name: "income".parse().unwrap(), number: 1, digest: Digest::of(b"model") };
        let act = Act::Approve { model, verdict: Digest::of(b"verdict"), reason: reason.into() };
        Statement { project: "p".into(), by: "ada".parse().unwrap(), at_ms: 7, act }
    }

    #[test]
    fn a_changed_word_or_another_key_breaks_the_signature() {
        let key = PrivateKey::new([7; 32]);
        let signed = statement("sound").sign(&key);
        assert!(signed.is_genuine());
        assert!(!Signed { statement: statement("unsound"), ..signed.clone() }.is_genuine());
        assert!(!Signed { key: PrivateKey::new([8; 32]).public(), ..signed.clone() }.is_genuine());
        for signature in
            [String::new(), "é".repeat(64), signed.signature[1..].to_owned(), signed.signature.clone() + "00"]
        {
            assert!(!Signed { signature, ..signed.clone() }.is_genuine());
        }
    }

    #[test]
    fn a_statement_reads_back_what_it_printed_and_is_still_genuine() {
        let signed = statement("sound").sign(&PrivateKey::new([7; 32]));
        let read: Signed = canonical::from_slice(&canonical::to_vec(&signed)).unwrap();
        assert_eq!(read, signed);
        assert!(read.is_genuine());
    }

    #[test]
    fn a_key_file_reads_back() {
        let key = PrivateKey::new([7; 32]);
        assert_eq!(PrivateKey::from_file(&key.to_file()).unwrap().public(), key.public());
        assert!(PrivateKey::from_file("stagewright private key 1\nxyz\n").is_none());
    }
}
