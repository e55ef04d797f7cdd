//! Whose plugins a project takes. A decision is a function of the policy, the bytes and the signature, and of nothing
//! else.

use crate::signature::{PublicKey, Signature};

/// A project's `[trust]`.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Whether every plugin must be signed by one of the keys.
    pub require_signature: bool,
    /// Whose signatures count.
    pub keys: Vec<PublicKey>,
}

/// How a plugin stands with a project that takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A trusted key signed it.
    Signed {
        /// Which.
        key: String,
        /// What the signer says, signed too.
        comment: String,
    },
    /// It has a signature by a key that the project does not know, so that it says nothing.
    Unknown {
        /// Which key it names.
        key: String,
    },
    /// It has none.
    Unsigned,
}

/// Why a project does not take a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// The bytes or the comment are not those that were signed.
    #[error("{what}: the signature by the trusted key {key} is wrong; the file or its signature was changed")]
    Wrong {
        /// Which plugin.
        what: String,
        /// Whose signature it claims to have.
        key: String,
    },
    /// Signed, but not by anybody trusted.
    #[error("{what} is signed by the key {key}, which stagewright.toml does not list under [trust] keys")]
    UnknownKey {
        /// Which plugin.
        what: String,
        /// Whose signature it claims to have.
        key: String,
    },
    /// Not signed.
    #[error(
        "{what} is not signed, and stagewright.toml requires signatures; its author makes one with `stagewright plugin sign`"
    )]
    Unsigned {
        /// Which plugin.
        what: String,
    },
}

impl Trust {
    /// Judges a component. `what` is for messages.
    ///
    /// # Errors
    /// A signature by a trusted key does not hold; or signatures are required and this is none by a trusted key.
    pub fn judge(&self, what: &str, component: &[u8], signature: Option<&Signature>) -> Result<Standing, Untrusted> {
        let what = || what.to_owned();
        let Some(signature) = signature else {
            return if self.require_signature {
                Err(Untrusted::Unsigned { what: what() })
            } else {
                Ok(Standing::Unsigned)
            };
        };
        let key = signature.key_id();
        // An id is no secret and no proof: several keys may have the same.
        let mut known = self.keys.iter().filter(|trusted| trusted.id() == key).peekable();
        if known.peek().is_none() {
            return match self.require_signature {
                true => Err(Untrusted::UnknownKey { what: what(), key }),
                false => Ok(Standing::Unknown { key }),
            };
        }
        if !known.any(|trusted| signature.holds(trusted, component)) {
            return Err(Untrusted::Wrong { what: what(), key });
        }
        Ok(Standing::Signed { key, comment: signature.comment().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{Protection, SigningKey, generate};

    #[test]
    fn a_wrong_signature_is_refused_always_and_a_missing_or_unknown_one_where_signatures_are_required() {
        let (ada, eve) = (generate(&Protection::Unencrypted).unwrap(), generate(&Protection::Unencrypted).unwrap());
        let sign = |secret: &str, bytes: &[u8]| {
            SigningKey::parse("key", secret, &Protection::Unencrypted).unwrap().sign(bytes, "clip.wasm", 0).unwrap()
        };
        let (good, foreign) = (sign(&ada.secret, b"clip"), sign(&eve.secret, b"clip"));
        let strict = Trust { require_signature: true, keys: vec![ada.key.clone()] };
        let lenient = Trust { require_signature: false, ..strict.clone() };
        let what = || "clip.wasm".to_owned();
        let (ada, eve) = (ada.key.id(), eve.key.id());

        let signed = Standing::Signed { key: ada.clone(), comment: good.comment().to_owned() };
        for trust in [&strict, &lenient] {
            assert_eq!(trust.judge("clip.wasm", b"clip", Some(&good)), Ok(signed.clone()));
            let wrong = Untrusted::Wrong { what: what(), key: ada.clone() };
            assert_eq!(trust.judge("clip.wasm", b"clop", Some(&good)), Err(wrong));
        }
        assert_eq!(strict.judge("clip.wasm", b"clip", None), Err(Untrusted::Unsigned { what: what() }));
        let unknown = Untrusted::UnknownKey { what: what(), key: eve.clone() };
        assert_eq!(strict.judge("clip.wasm", b"clip", Some(&foreign)), Err(unknown));
        assert_eq!(lenient.judge("clip.wasm", b"clip", None), Ok(Standing::Unsigned));
        assert_eq!(lenient.judge("clip.wasm", b"clip", Some(&foreign)), Ok(Standing::Unknown { key: eve }));
    }
}
