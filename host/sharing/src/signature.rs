//! Signatures of [minisign](https://jedisct1.github.io/minisign/): Ed25519 over a component's bytes, in a text file
//! beside it. Its tool can make and check them too.

use std::{fmt, io::Cursor};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use minisign::{KeyPair, PublicKeyBox, SecretKey, SecretKeyBox, SignatureBox};

use crate::{Result, SharingError};

/// What a signature's file is called: the component's with this behind it.
pub const ENDING: &str = ".minisig";

/// Checks signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(minisign::PublicKey);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

impl PublicKey {
    /// Reads a key: the one line of it, or a whole `.pub` file. `what` is for messages.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(what: &str, text: &str) -> Result<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let key = match lines[..] {
            [key] => minisign::PublicKey::from_base64(key),
            _ => PublicKeyBox::from_string(text).and_then(PublicKeyBox::into_public_key),
        };
        key.map(Self).map_err(|error| not_minisign(what, "public key", &error))
    }

    /// The line that stands for it.
    pub fn to_base64(&self) -> String {
        self.0.to_base64()
    }

    /// What tells keys apart: 16 hexadecimal digits, as minisign prints them.
    pub fn id(&self) -> String {
        key_id(self.0.keynum())
    }
}

/// Makes signatures.
pub struct SigningKey(SecretKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", key_id(self.0.keynum()))
    }
}

/// How a secret key is kept.
#[derive(Clone)]
pub enum Protection {
    /// Under a password, from which the key to it is derived with a gigabyte of memory.
    Password(String),
    /// As it is: whoever can read the file can sign.
    Unencrypted,
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(..)",
            Self::Unencrypted => "Unencrypted",
        })
    }
}

/// A new key, as the two files that hold it.
pub struct NewKey {
    /// The file to keep.
    pub secret: String,
    /// The file to give away.
    pub public: String,
    /// Its one line.
    pub key: PublicKey,
}

/// Makes a key.
///
/// # Errors
/// The machine has no randomness, or too little memory for the password.
pub fn generate(protection: &Protection) -> Result<NewKey> {
    let wrong =
        |error: minisign::PError| SharingError::Key { what: "no key was made".into(), problem: error.to_string() };
    let (pair, comment) = match protection {
        Protection::Password(password) => {
            (KeyPair::generate_encrypted_keypair(Some(password.clone())), "minisign encrypted secret key")
        }
        Protection::Unencrypted => (KeyPair::generate_unencrypted_keypair(), "minisign secret key, not encrypted"),
    };
    let pair = pair.map_err(wrong)?;
    Ok(NewKey {
        secret: pair.sk.to_box(Some(comment)).map_err(wrong)?.to_string(),
        public: pair.pk.to_box().map_err(wrong)?.to_string(),
        key: PublicKey(pair.pk),
    })
}

/// The bytes of a secret key: algorithms, how the password works, the key, a checksum.
const SECRET_LENGTH: usize = 158;
const SECRET_CHECKSUM: usize = 32;
/// Bytes 2 and 3 say what the password works by.
const NO_PASSWORD: [u8; 2] = [0, 0];
const SCRYPT: [u8; 2] = *b"Sc";

/// Whether a secret key's file wants a password.
///
/// # Errors
/// It is no secret key.
pub fn is_encrypted(what: &str, text: &str) -> Result<bool> {
    match secret(what, text)?[2..4] {
        ref kind if *kind == NO_PASSWORD => Ok(false),
        ref kind if *kind == SCRYPT => Ok(true),
        _ => Err(no_secret(what, "it is protected in a way that is not known here")),
    }
}

fn secret(what: &str, text: &str) -> Result<Vec<u8>> {
    let line = text.lines().nth(1).unwrap_or_default().trim();
    let bytes = STANDARD.decode(line).map_err(|_| no_secret(what, "its second line is no key"))?;
    if bytes.len() == SECRET_LENGTH { Ok(bytes) } else { Err(no_secret(what, "its second line is no key")) }
}

fn no_secret(what: &str, problem: &str) -> SharingError {
    SharingError::NotMinisign { what: what.to_owned(), kind: "secret key", problem: problem.to_owned() }
}

impl SigningKey {
    /// Reads a secret key's file. `what` is for messages.
    ///
    /// # Errors
    /// It is none, or the password is wrong.
    pub fn parse(what: &str, text: &str, protection: &Protection) -> Result<Self> {
        let bytes = secret(what, text)?;
        let boxed = SecretKeyBox::from_string(text).map_err(|error| not_minisign(what, "secret key", &error))?;
        let key = match protection {
            Protection::Password(password) => boxed.into_secret_key(Some(password.clone())),
            // The tool of minisign leaves the checksum of a key without a password empty.
            Protection::Unencrypted if bytes.iter().rev().take(SECRET_CHECKSUM).all(|byte| *byte == 0) => {
                SecretKey::from_bytes(&bytes)
            }
            Protection::Unencrypted => boxed.into_unencrypted_secret_key(),
        };
        key.map(Self).map_err(|error| SharingError::Key { what: what.to_owned(), problem: error.to_string() })
    }

    /// Signs a component. The comment is signed too: the time in seconds since 1970 and the file's name, as minisign
    /// has them.
    ///
    /// # Errors
    /// The machine has no randomness.
    pub fn sign(&self, component: &[u8], file: &str, seconds: u64) -> Result<Signature> {
        let comment = format!("timestamp:{seconds}\tfile:{}\thashed", file.replace(['\t', '\n', '\r'], " "));
        let wrong = |error: minisign::PError| SharingError::Key { what: file.to_owned(), problem: error.to_string() };
        let public = minisign::PublicKey::from_secret_key(&self.0).map_err(wrong)?;
        let untrusted = format!("signature by stagewright, key {}", key_id(self.0.keynum()));
        let signed = minisign::sign(Some(&public), &self.0, Cursor::new(component), Some(&comment), Some(&untrusted));
        Signature::parse(file, &signed.map_err(wrong)?.into_string())
    }
}

/// A detached signature.
#[derive(Clone)]
pub struct Signature {
    text: String,
    read: SignatureBox,
    comment: String,
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", self.key_id())
    }
}

impl Signature {
    /// Reads a `.minisig` file. `what` is for messages.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(what: &str, text: &str) -> Result<Self> {
        // The four lines and nothing else: what follows would be carried along unseen.
        let lines: Vec<&str> = text.trim_end().lines().collect();
        if lines.len() != 4 {
            return Err(SharingError::NotMinisign {
                what: what.to_owned(),
                kind: "signature",
                problem: "it has four lines".to_owned(),
            });
        }
        // The second signature, over the first and the comment: the library takes 64 bytes for granted.
        let second = STANDARD.decode(lines[3].trim_end());
        if second.is_ok_and(|bytes| bytes.len() != 64) {
            return Err(SharingError::NotMinisign {
                what: what.to_owned(),
                kind: "signature",
                problem: "its last line is cut".to_owned(),
            });
        }
        let text = lines.iter().map(|line| format!("{}\n", line.trim_end())).collect::<String>();
        let wrong = |error| not_minisign(what, "signature", &error);
        let read = SignatureBox::from_string(&text).map_err(wrong)?;
        let comment = read.trusted_comment().map_err(wrong)?;
        Ok(Self { text, read, comment })
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Which key it says that it was made with.
    pub fn key_id(&self) -> String {
        key_id(self.read.keynum())
    }

    /// What the signer says. To be believed only where the signature [holds](Self::holds).
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Whether the key signed exactly these bytes and this comment.
    pub fn holds(&self, key: &PublicKey, component: &[u8]) -> bool {
        minisign::verify(&key.0, &self.read, Cursor::new(component), true, false, true).is_ok()
    }
}

fn key_id(number: &[u8]) -> String {
    number.iter().rev().map(|byte| format!("{byte:02X}")).collect()
}

fn not_minisign(what: &str, kind: &'static str, error: &minisign::PError) -> SharingError {
    SharingError::NotMinisign { what: what.to_owned(), kind, problem: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(protection: &Protection) -> (NewKey, SigningKey) {
        let new = generate(protection).unwrap();
        let signing = SigningKey::parse("key", &new.secret, protection).unwrap();
        (new, signing)
    }

    #[test]
    fn a_signature_holds_for_its_bytes_and_its_key_only() {
        let ((ada, signing), (bob, _)) = (key(&Protection::Unencrypted), key(&Protection::Unencrypted));
        let signature = signing.sign(b"component", "clip.wasm", 1_700_000_000).unwrap();
        assert_eq!(signature.comment(), "timestamp:1700000000\tfile:clip.wasm\thashed");
        assert_eq!(signature.key_id(), ada.key.id());
        assert!(signature.holds(&ada.key, b"component"));
        assert!(!signature.holds(&ada.key, b"componenT") && !signature.holds(&bob.key, b"component"));

        let forged = signature.text().replace("1700000000", "1800000000");
        let forged = Signature::parse("forged", &forged).unwrap();
        assert!(!forged.holds(&ada.key, b"component"), "the comment is signed too");
    }

    #[test]
    fn keys_are_read_as_a_line_and_as_a_file() {
        let new = generate(&Protection::Unencrypted).unwrap();
        for text in [new.public.clone(), new.key.to_base64(), format!("{}\n", new.key.to_base64())] {
            assert_eq!(PublicKey::parse("key", &text).unwrap(), new.key);
        }
        assert!(new.public.contains(&new.key.id()), "{}", new.public);
    }

    #[test]
    fn what_is_neither_key_nor_signature_is_refused() {
        let (new, signing) = key(&Protection::Unencrypted);
        let signature = signing.sign(b"x", "x.wasm", 0).unwrap();
        for cut in 0..signature.text().len() - 1 {
            // Whatever is left, it is refused or does not hold; it never panics.
            let left = Signature::parse("cut", &signature.text()[..cut]);
            assert!(!left.is_ok_and(|left| left.holds(&new.key, b"x")), "{cut}");
        }
        let longer = format!("{}more\n", signature.text());
        for text in ["", "\n\n\n\n", "a\nb\nc\nd\n", "untrusted comment: \nRU\ntrusted comment: \nAA\n", &longer] {
            assert!(Signature::parse("garbage", text).is_err(), "{text:?}");
        }
        for text in ["", "RW", "untrusted comment: x\nRWQ\n", &new.secret] {
            assert!(PublicKey::parse("garbage", text).is_err(), "{text:?}");
            assert!(SigningKey::parse("garbage", &text.replace("RW", "  "), &Protection::Unencrypted).is_err());
        }
        assert!(!is_encrypted("key", &new.secret).unwrap());
    }
}
