//! `plugin.toml`: what a plugin's folder says about itself.

use std::{fs, path::Path};

use stagewright_core::grant::Capability;
use toml_edit::Document;

use super::BuildError;
use crate::scaffold::{Language, PluginKind};

/// The file's name.
pub(crate) const FILE: &str = "plugin.toml";

const KEYS: [&str; 9] = ["name", "version", "kind", "language", "entry", "description", "licence", "source", "asks"];

/// What `plugin.toml` says, with the language found from the files where it is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The plugin's name; also the component file's.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Which world it is built for. Rust plugins say so in their code.
    pub kind: Option<PluginKind>,
    /// What it is written in.
    pub language: Language,
    /// The file that the build starts from.
    pub entry: String,
    /// One sentence for people.
    pub description: Option<String>,
    /// An SPDX expression.
    pub licence: Option<String>,
    /// Where its source lies.
    pub source: Option<String>,
    /// What it asks to be granted of the real world. Rust plugins say so by what they call.
    pub asks: Vec<Capability>,
}

impl Manifest {
    /// Reads a folder's `plugin.toml`; a Rust package does without one.
    pub fn read(folder: &Path) -> Result<Self, BuildError> {
        let wrong = |message: String| BuildError::Manifest { file: folder.join(FILE), message };
        let text = match fs::read_to_string(folder.join(FILE)) {
            Ok(text) => text,
            Err(_) if folder.join("Cargo.toml").exists() => String::new(),
            Err(_) => {
                return Err(BuildError::NoPlugin { folder: folder.to_owned() });
            }
        };
        let document = Document::parse(text.as_str()).map_err(|error| wrong(error.to_string()))?;
        let (mut values, mut asks) = (std::collections::BTreeMap::new(), Vec::new());
        for (key, item) in document.iter() {
            if !KEYS.contains(&key) {
                return Err(wrong(format!("unknown key `{key}`; there are {}", KEYS.join(", "))));
            }
            if key == "asks" {
                asks = capabilities(item).map_err(wrong)?;
                continue;
            }
            let value = item.as_str().ok_or_else(|| wrong(format!("`{key}` must be text")))?;
            values.insert(key, value.to_owned());
        }
        let mut take = |key: &str| values.remove(key).filter(|value| !value.is_empty());
        let language = match take("language") {
            Some(language) => language.parse().map_err(wrong)?,
            None => detect(folder).ok_or_else(|| {
                wrong("no `language`, and no plugin.py, plugin.ts, plugin.js, plugin.c, go.mod or Cargo.toml".into())
            })?,
        };
        let kind = take("kind").map(|kind| kind.parse().map_err(wrong)).transpose()?;
        let folder_name = || folder.canonicalize().ok()?.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = take("name").or_else(folder_name).unwrap_or_else(|| "plugin".into());
        if let Err(error) = name.parse::<stagewright_core::name::Name>() {
            return Err(wrong(format!("`name`: {error}")));
        }
        if kind.is_none() && language != Language::Rust {
            return Err(wrong(format!("`kind` is missing; it is one of {}", PluginKind::words())));
        }
        Ok(Self {
            name,
            version: take("version"),
            kind,
            language,
            entry: take("entry").unwrap_or_else(|| language.entry().to_owned()),
            description: take("description"),
            licence: take("licence"),
            source: take("source"),
            asks,
        })
    }
}

fn capabilities(item: &toml_edit::Item) -> Result<Vec<Capability>, String> {
    let known = Capability::ALL.map(Capability::as_str);
    let wrong = || format!("`asks` is a list of what the plugin wants to be granted, of {}", known.join(", "));
    let capability = |value: &toml_edit::Value| {
        let text = value.as_str().ok_or_else(wrong)?;
        Capability::ALL.into_iter().find(|capability| capability.as_str() == text).ok_or_else(wrong)
    };
    item.as_array().ok_or_else(wrong)?.iter().map(capability).collect()
}

/// The language that a folder's files are in.
fn detect(folder: &Path) -> Option<Language> {
    let signs = [
        ("Cargo.toml", Language::Rust),
        ("go.mod", Language::Go),
        ("plugin.py", Language::Python),
        ("plugin.ts", Language::TypeScript),
        ("plugin.js", Language::JavaScript),
        ("plugin.c", Language::C),
    ];
    signs.into_iter().find(|(file, _)| folder.join(file).exists()).map(|(_, language)| language)
}
