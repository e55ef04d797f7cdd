//! Who we are to a registry: what `docker login`, `oras login` and their like wrote into their file.
//!
//! A password belongs to one registry and is sent to no other. Programs that keep passwords elsewhere (`credsStore`,
//! `credHelpers`) are not run.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::{Result, SharingError};

/// A user's name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential {{ user: {:?}, password: .. }}", self.user)
    }
}

/// Passwords by registry.
#[derive(Clone, Debug, Default)]
pub struct Credentials(BTreeMap<String, Credential>);

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

impl Credentials {
    /// Reads a file of docker's format (`auths` by registry). A file that is not there holds none.
    ///
    /// # Errors
    /// It cannot be read, or is no such file.
    pub fn read(path: &Path) -> Result<Self> {
        match fs::read(path) {
            Ok(bytes) => Self::parse(&path.display().to_string(), &bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(SharingError::io("cannot read", path, error)),
        }
    }

    fn parse(path: &str, bytes: &[u8]) -> Result<Self> {
        // The parser's message would quote what it read.
        let file: File = serde_json::from_slice(bytes).map_err(|error| {
            SharingError::answer(path, format!("not a file of registry logins (line {})", error.line()))
        })?;
        let mut known = BTreeMap::new();
        for (registry, entry) in file.auths {
            let plain = STANDARD.decode(entry.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = plain.as_deref().and_then(|text| text.split_once(':'));
            let (user, password) = pair.unwrap_or((&entry.username, &entry.password));
            if !user.is_empty() {
                let credential = Credential { user: user.to_owned(), password: password.to_owned() };
                known.insert(host(&registry).to_owned(), credential);
            }
        }
        Ok(Self(known))
    }

    /// What a registry knows us by.
    pub(crate) fn of(&self, registry: &str) -> Option<&Credential> {
        self.0.get(registry)
    }
}

/// The registry of an entry: some write the whole address.
fn host(entry: &str) -> &str {
    let plain = entry.strip_prefix("https://").or_else(|| entry.strip_prefix("http://")).unwrap_or(entry);
    plain.split('/').next().unwrap_or(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_registry_has_its_own_and_none_is_shown() {
        let text = br#"{"auths": {
            "localhost:5000": {"auth": "YWRhOnNlY3JldDp3b3Jk"},
            "https://hub.example.org/v1/": {"username": "bob", "password": "p"},
            "registry.example.org": {}
        }, "credsStore": "desktop"}"#;
        let known = Credentials::parse("config.json", text).unwrap();
        let ada = known.of("localhost:5000").unwrap();
        assert_eq!((ada.user.as_str(), ada.password.as_str()), ("ada", "secret:word"));
        assert_eq!(known.of("hub.example.org").unwrap().user, "bob");
        assert!(known.of("registry.example.org").is_none() && known.of("localhost:5001").is_none());
        assert!(!format!("{known:?}").contains("secret"), "{known:?}");
    }

    #[test]
    fn a_file_that_is_none_is_not_quoted() {
        let said =
            Credentials::parse("config.json", b"{\"auths\": {\"x\": {\"auth\": secret}}}").unwrap_err().to_string();
        assert!(said.contains("config.json") && !said.contains("secret"), "{said}");
    }
}
