//! Where a plugin comes from, as it is typed: a file, a web address, or a name in a registry.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use reqwest::Url;

use crate::{Result, SharingError};

/// Where a plugin comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, or a folder of them.
    File(PathBuf),
    /// A component on a web server. Its signature has the same address with `.minisig` behind it.
    Web(Url),
    /// An artifact in a registry.
    Registry(Reference),
}

impl FromStr for Source {
    type Err = SharingError;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |problem: &str| SharingError::Address { text: text.to_owned(), problem: problem.to_owned() };
        match text.split_once("://") {
            None => Ok(Self::File(text.into())),
            Some(("oci", _)) => Ok(Self::Registry(text.parse()?)),
            Some(("https" | "http", _)) => {
                let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
                if !url.username().is_empty() || url.password().is_some() {
                    // Addresses are recorded.
                    return Err(wrong("write no password into an address"));
                }
                secure(&url)?;
                Ok(Self::Web(url))
            }
            Some(_) => Err(wrong("use a file, https://…, or oci://HOST/NAME:TAG")),
        }
    }
}

impl fmt::Display for Source {
    /// As it is recorded: without the query of a web address, which may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Web(url) => f.write_str(&shown(url)),
            Self::Registry(reference) => reference.fmt(f),
        }
    }
}

impl Source {
    /// What a plugin from here is called where nobody says otherwise.
    pub fn stem(&self) -> String {
        let last = |path: &str| path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default().to_owned();
        let file = match self {
            Self::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            Self::Web(url) => last(url.path()),
            Self::Registry(reference) => return last(&reference.repository),
        };
        let endings = [crate::archive::ENDING, ".wasm"];
        endings.iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(&file).to_owned()
    }
}

/// A name in a registry: `HOST[:PORT]/NAME[:TAG][@sha256:DIGEST]`, with or without `oci://` before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The registry, with its port where it has one.
    pub host: String,
    /// The artifact's name there.
    pub repository: String,
    /// A name of one version, which may move.
    pub tag: Option<String>,
    /// `sha256:` and the digest of the manifest, which cannot move.
    pub digest: Option<String>,
}

impl FromStr for Reference {
    type Err = SharingError;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |problem: &str| SharingError::Address { text: text.to_owned(), problem: problem.to_owned() };
        let plain = text.strip_prefix("oci://").unwrap_or(text);
        let (plain, digest) = match plain.split_once('@') {
            None => (plain, None),
            Some((plain, digest)) if is_sha256(digest) => (plain, Some(digest.to_owned())),
            Some(_) => return Err(wrong("behind `@` stands sha256: and 64 digits")),
        };
        let (host, path) = plain.split_once('/').ok_or_else(|| wrong("write HOST/NAME:TAG"))?;
        // Without this, `team/clip` would be looked for at a host called `team`.
        if !(host.contains(['.', ':']) || host == "localhost") {
            return Err(wrong("begin with the registry's host, such as registry.example.org or localhost:5000"));
        }
        let (repository, tag) = match path.rsplit_once(':') {
            None => (path, None),
            Some((repository, tag)) => (repository, Some(tag.to_owned())),
        };
        if repository.len() > 255 || !repository.split('/').all(is_component) {
            return Err(wrong("a name has lower-case letters, digits, and single `.`, `_` or `-` between them"));
        }
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("a tag has up to 128 letters, digits, `_`, `.` and `-`"));
        }
        let reference = Self { host: host.to_owned(), repository: repository.to_owned(), tag, digest };
        let base = reference.base()?;
        if base.path() != "/" || !base.username().is_empty() || base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("what stands before the first `/` is no host"));
        }
        Ok(reference)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}/{}", self.host, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl Reference {
    /// What selects a manifest: the digest, else the tag, else `latest`.
    pub fn selector(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// The registry's address. A registry on this machine is spoken to without encryption, any other never.
    pub(crate) fn base(&self) -> Result<Url> {
        let host = &self.host;
        let wrong = |problem: String| SharingError::Address { text: self.to_string(), problem };
        let parse = |scheme| Url::parse(&format!("{scheme}://{host}/")).map_err(|error| wrong(error.to_string()));
        let plain = parse("http")?;
        if is_this_machine(&plain) { Ok(plain) } else { parse("https") }
    }
}

fn is_component(part: &str) -> bool {
    let separator = |c: char| matches!(c, '.' | '_' | '-');
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || separator(c);
    let doubled = part.contains("..") || part.contains("._") || part.contains("_.") || part.contains("___");
    !part.is_empty()
        && part.chars().all(plain)
        && !part.starts_with(separator)
        && !part.ends_with(separator)
        && !doubled
}

fn is_tag(tag: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    (1..=128).contains(&tag.len()) && tag.chars().all(plain) && !tag.starts_with(['.', '-'])
}

/// Whether a text is `sha256:` and 64 lower-case hexadecimal digits.
pub(crate) fn is_sha256(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
}

/// A web address without its query, which may hold a secret.
pub(crate) fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    shown.to_string()
}

/// Whether an address names the machine that it is used on.
pub(crate) fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Refuses what is neither encrypted nor stays on this machine.
pub(crate) fn secure(url: &Url) -> Result<()> {
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_this_machine(url) => Ok(()),
        _ => Err(SharingError::Insecure(shown(url))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_back_what_they_printed() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for text in [
            "oci://registry.example.org/team/clip:1.0",
            "oci://localhost:5000/clip",
            &format!("oci://[::1]:5000/a/b-c:v1@{digest}"),
            &format!("oci://127.0.0.1:5000/clip@{digest}"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            assert_eq!(text["oci://".len()..].parse::<Reference>().unwrap(), reference);
        }
        assert_eq!("localhost:5000/clip".parse::<Reference>().unwrap().selector(), "latest");
    }

    #[test]
    fn only_registries_on_this_machine_are_spoken_to_in_the_clear() {
        let scheme = |text: &str| text.parse::<Reference>().unwrap().base().unwrap().scheme().to_owned();
        for host in ["localhost:5000", "127.0.0.1:5000", "127.8.9.1", "[::1]:5000", "localhost"] {
            assert_eq!(scheme(&format!("{host}/clip:1")), "http", "{host}");
        }
        for host in ["registry.example.org", "10.0.0.1:5000", "localhost.example.org", "127.0.0.1.example.org"] {
            assert_eq!(scheme(&format!("{host}/clip:1")), "https", "{host}");
        }
        assert!(matches!("http://example.org/a.wasm".parse::<Source>(), Err(SharingError::Insecure(_))));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "clip",
            "team/clip:1",
            "registry.example.org/Clip:1",
            "registry.example.org/a//b",
            "registry.example.org/../b:1",
            "registry.example.org/a:",
            "registry.example.org/a:-x",
            "registry.example.org/a@sha256:12",
            "registry.example.org/a@md5:00",
            "user:word@registry.example.org/a:1",
            "registry.example.org?x=/a:1",
            "registry.example.org:99999999/a",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        for text in ["ftp://x/y.wasm", "https://ada:secret@example.org/a.wasm", "https://"] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_source_names_its_plugin_and_keeps_a_query_to_itself() {
        let source: Source = "https://example.org/x/clip.wasm?token=secret#part".parse().unwrap();
        assert_eq!((source.stem().as_str(), source.to_string().as_str()), ("clip", "https://example.org/x/clip.wasm"));
        assert_eq!("oci://registry.example.org/team/clip:1".parse::<Source>().unwrap().stem(), "clip");
        assert_eq!("some/clip.oci.tar".parse::<Source>().unwrap().stem(), "clip");
        assert_eq!("some/clip.v2.wasm".parse::<Source>().unwrap().stem(), "clip.v2");
    }
}
