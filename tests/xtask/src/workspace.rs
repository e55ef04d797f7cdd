//! What cargo knows about a workspace: where it lies, where it builds to, and its packages.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::command::{cargo, output, variable};

/// A cargo workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of its `Cargo.toml`.
    pub root: PathBuf,
    /// Where cargo builds to.
    pub target: PathBuf,
    /// Its packages.
    pub packages: Vec<Package>,
}

/// A package of a workspace.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// Its name, for cargo.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its sentence.
    pub description: Option<String>,
    /// Its licence, as an SPDX expression.
    pub license: Option<String>,
    /// Where its source is published.
    pub repository: Option<String>,
    /// Its folder.
    pub folder: PathBuf,
    /// The name of its dynamic library, which is what becomes a plugin.
    pub library: Option<String>,
}

impl Workspace {
    /// The workspace of this program.
    pub(crate) fn here() -> Result<Self> {
        let package = variable("CARGO_MANIFEST_DIR").context("run this through cargo: cargo xtask")?;
        Self::of(Path::new(&package))
    }

    /// The workspace that the package in this folder belongs to.
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        let manifest = folder.join("Cargo.toml");
        let mut ask = cargo();
        ask.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(&manifest);
        let answer: Value = serde_json::from_str(&output(&mut ask)?).context("cargo metadata printed no JSON")?;
        let path = |name: &str| {
            answer[name].as_str().map(PathBuf::from).with_context(|| format!("cargo metadata does not say {name}"))
        };
        let packages = answer["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Self {
            root: path("workspace_root")?,
            target: path("target_directory")?,
            packages: packages.iter().filter_map(Package::read).collect(),
        })
    }

    /// The package in this folder.
    pub(crate) fn package(&self, folder: &Path) -> Option<&Package> {
        self.packages.iter().find(|package| package.folder == folder)
    }
}

impl Package {
    fn read(package: &Value) -> Option<Self> {
        let text = |name: &str| package[name].as_str().map(str::to_owned);
        let is_dynamic = |target: &&Value| {
            target["crate_types"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
        };
        let library = package["targets"].as_array()?.iter().find(is_dynamic).and_then(|target| target["name"].as_str());
        Some(Self {
            name: text("name")?,
            version: text("version")?,
            description: text("description"),
            license: text("license"),
            repository: text("repository"),
            folder: Path::new(package["manifest_path"].as_str()?).parent()?.to_owned(),
            library: library.map(|name| name.replace('-', "_")),
        })
    }
}
