//! Signatures over an exported model in the way of OpenSSF model signing v1.0
//! (<https://github.com/ossf/model-signing-spec>): a Sigstore bundle v0.3 whose statement names every file by SHA-256.
//!
//! That format takes no ed25519 key, so a project has a second key, ECDSA on P-256, made when it is first needed. It
//! lies beside the repositories: it says who exported a model, not what a repository holds.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::PathBuf,
};

use p256::{
    ecdsa::{DerSignature, SigningKey, signature::Signer},
    elliptic_curve::Generate,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use stagewright_store::envelope::signed_bytes;

use super::{
    Kind,
    facts::{hexadecimal, sha256},
    statement::{PAYLOAD_TYPE, envelope, statement},
};
use crate::{
    error::{Error, Result},
    project::{Project, STORE_DIRECTORY},
};

const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The key's file below the store's directory.
const KEY: &str = "keys/model-signing.pem";
/// What stands in front of the 32 bytes of an ed25519 public key in a SubjectPublicKeyInfo (RFC 8410).
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A file of an exported model: its path, with `/`, and its SHA-256.
pub(super) struct Signed<'a> {
    pub(super) path: &'a str,
    pub(super) sha256: &'a str,
}

/// The bundle over these files, as indented JSON. `ignored` are files that stand beside them unsigned.
pub(super) fn bundle(project: &Project, model: &str, files: &[Signed<'_>], ignored: &[&str]) -> Result<String> {
    let key = key(project)?;
    let statement = statement_of(model, files, ignored);
    // RFC 6979: the same files and key make the same signature.
    let signature: DerSignature = key.sign(&signed_bytes(PAYLOAD_TYPE, &statement));
    let public = public_pem(&key)?;
    let bundle = json!({
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": { "publicKey": { "hint": sha256(public.as_bytes()) }, "tlogEntries": [] },
        "dsseEnvelope": envelope(&statement, "", signature.as_bytes()),
    });
    Ok(serde_json::to_string_pretty(&bundle).unwrap_or_default() + "\n")
}

/// The subject's digest is that of the files' raw digests, one behind the other, in the order of the paths' parts.
fn statement_of(model: &str, files: &[Signed<'_>], ignored: &[&str]) -> Vec<u8> {
    let mut sorted: Vec<&Signed<'_>> = files.iter().collect();
    sorted.sort_by_key(|file| file.path.split('/').collect::<Vec<_>>());
    let mut whole = Sha256::new();
    for file in &sorted {
        let digit = |at: usize| u8::from_str_radix(&file.sha256[at..at + 2], 16).unwrap_or_default();
        whole.update((0..64).step_by(2).map(digit).collect::<Vec<u8>>());
    }
    let resources: Vec<Value> =
        sorted.iter().map(|file| json!({ "name": file.path, "algorithm": "sha256", "digest": file.sha256 })).collect();
    let subject = json!([{ "name": model, "digest": { "sha256": hexadecimal(&whole.finalize()) } }]);
    let predicate = json!({
        "serialization": {
            "method": "files", "hash_type": "sha256", "allow_symlinks": false, "ignore_paths": ignored,
        },
        "resources": resources,
    });
    statement(&subject, PREDICATE_TYPE, &predicate)
}

/// The public key, in PEM, that a kind of signed document is verified with.
///
/// # Errors
/// Documents of this kind are not signed, or the key cannot be read or made.
pub fn public_key(project: &Project, kind: Kind) -> Result<String> {
    match kind {
        Kind::ModelSignature => public_pem(&key(project)?),
        Kind::Provenance => {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            let hex = project.store.ledger()?.public_key();
            let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2).unwrap_or_default(), 16);
            let key: Result<Vec<u8>, _> = (0..hex.len()).step_by(2).map(byte).collect();
            let key = key.map_err(|_| Error::Invalid("the ledger's public key is damaged".to_owned()))?;
            let encoded = STANDARD.encode([ED25519_PREFIX.as_slice(), &key].concat());
            Ok(format!("-----BEGIN PUBLIC KEY-----\n{encoded}\n-----END PUBLIC KEY-----\n"))
        }
        other => Err(Error::Invalid(format!(
            "a {other} is not signed; signed are {} and {}",
            Kind::Provenance,
            Kind::ModelSignature
        ))),
    }
}

fn public_pem(key: &SigningKey) -> Result<String> {
    key.verifying_key()
        .to_public_key_pem(LineEnding::LF)
        .map_err(|error| Error::Invalid(format!("the public key cannot be written: {error}")))
}

/// Whether models can be signed as things stand; otherwise signing makes a key first, which takes a project that may be
/// written.
pub fn has_key(project: &Project) -> bool {
    project.root.join(STORE_DIRECTORY).join(KEY).exists()
}

/// The project's key for models, made where there is none.
fn key(project: &Project) -> Result<SigningKey> {
    let path = project.root.join(STORE_DIRECTORY).join(KEY);
    match read(&path)? {
        Some(key) => Ok(key),
        None => {
            make(&path, |public| {
                let mut transaction = project.store.ledger()?.begin(&project.actor())?;
                transaction.audit(json!({ "action": "make-key", "for": "models", "public_key": public }));
                transaction.commit()?;
                Ok(())
            })?;
            // Whoever was first made it, perhaps another process.
            read(&path)?.ok_or_else(|| Error::Invalid(format!("{} was removed while it was made", path.display())))
        }
    }
}

fn read(path: &PathBuf) -> Result<Option<SigningKey>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("cannot read the key", path, error)),
    };
    let mode = fs::metadata(path).map_err(|error| Error::io("cannot read the key", path, error))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Error::Invalid(format!(
            "{} may be read by others (mode {:o}): whoever has it can sign models in your name; chmod 600 it, or remove \
             it and a new one is made",
            path.display(),
            mode & 0o777
        )));
    }
    SigningKey::from_pkcs8_pem(&text).map(Some).map_err(|error| {
        Error::Invalid(format!("{} holds no P-256 key: {error}; remove it and a new one is made", path.display()))
    })
}

/// Makes a key under a name that nobody else has, announces its public half, and then gives it its own name, unless that
/// is taken already: no key is used that was not announced.
fn make(path: &PathBuf, announce: impl FnOnce(&str) -> Result<()>) -> Result<()> {
    let failed = |error| Error::io("cannot make the key", path, error);
    let key = SigningKey::generate();
    let pem = key
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| Error::Invalid(format!("the new key cannot be written: {error}")))?;
    let directory = path.parent().unwrap_or(path);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let public = public_pem(&key)?;
    let mine = path.with_extension(sha256(public.as_bytes()));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&mine)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()
    };
    let name = || match fs::hard_link(&mine, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => fs::File::open(directory)?.sync_all(),
    };
    let made = write().map_err(failed).and_then(|()| announce(&public)).and_then(|()| name().map_err(failed));
    // Where even this fails, a key that nobody uses is left over.
    let _ = fs::remove_file(&mine);
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_in_the_order_of_their_paths_parts() {
        let one = "aa".repeat(32);
        let files = ["b", "a-b", "a/c"].map(|path| Signed { path, sha256: &one });
        let statement: Value = serde_json::from_slice(&statement_of("m@1", &files, &["model.sig"])).unwrap();
        let names: Vec<_> =
            statement["predicate"]["resources"].as_array().unwrap().iter().map(|r| r["name"].clone()).collect();
        assert_eq!(names, ["a/c", "a-b", "b"]);
        assert_eq!(statement["subject"][0]["digest"]["sha256"], sha256(&[0xaa; 96]));
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/key.pem");
        assert!(read(&path).unwrap().is_none());
        let refused = make(&path, |_| Err(Error::Invalid("the log is full".to_owned())));
        assert!(refused.is_err() && read(&path).unwrap().is_none(), "no key that was not announced");
        make(&path, |_| Ok(())).unwrap();
        let first = read(&path).unwrap().unwrap();
        make(&path, |_| Ok(())).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), first, "a second maker leaves the first one's key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path().join("keys")).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("may be read by others"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "no key").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("holds no P-256 key"));
    }
}
