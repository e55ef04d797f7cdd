//! From a plugin's folder to a component, whatever it is written in.
//!
//! Each language's own tools run as child processes; what they make is encoded here, against the contract that is in
//! this program, and told who it is. Nothing is ever downloaded: a tool that is missing is named, with the command
//! that installs it.

mod c;
mod component;
pub(crate) mod contract;
mod go;
mod javascript;
mod manifest;
mod python;
mod rust;
pub(crate) mod toolbox;

use std::path::{Path, PathBuf};

use stagewright_core::Digest;

pub use self::{manifest::Manifest, toolbox::Toolbox};
use crate::scaffold::{Language, PluginKind};

/// The folder, inside the plugin's, for everything that can be made again.
pub(crate) const WORK: &str = "build";

/// Why a plugin could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The author's: this is no plugin's folder.
    #[error("{} holds no plugin.toml; `stagewright plugin new NAME --lang LANGUAGE --kind KIND` writes one", folder.display())]
    NoPlugin {
        /// Which folder.
        folder: PathBuf,
    },
    /// The author's: plugin.toml says something that cannot be.
    #[error("{}: {message}", file.display())]
    Manifest {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The author's: a toolchain is not installed.
    #[error("`{tool}` is not installed; {install}")]
    MissingTool {
        /// Which tool.
        tool: String,
        /// What to type.
        install: &'static str,
    },
    /// The author's: a tool refused the source.
    #[error("`{tool}` failed ({status}):\n{said}")]
    ToolFailed {
        /// Which tool.
        tool: String,
        /// How it ended.
        status: String,
        /// What it said.
        said: String,
    },
    /// The machine's: a tool did not start.
    #[error("`{tool}` does not start")]
    ToolStart {
        /// Which tool.
        tool: String,
        /// Why.
        source: std::io::Error,
    },
    /// The author's: what was compiled does not fit the contract.
    #[error("what was compiled makes no component of this kind: {0}")]
    Encode(String),
    /// Ours: the contract in this program is not what its tools expect.
    #[error("{0}; please report this")]
    Contract(String),
    /// The machine's: a file cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A built plugin.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Built {
    /// Where the component lies.
    pub file: PathBuf,
    /// Its name.
    pub name: String,
    /// What it is written in.
    pub language: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest.
    pub digest: Digest,
}

/// What a language's build works with.
pub(crate) struct Work<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) manifest: &'a mut Manifest,
    pub(crate) toolbox: &'a Toolbox,
}

impl Work<'_> {
    /// A place for something that can be made again.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.join(WORK).join(name)
    }

    fn kind(&self) -> Result<PluginKind, BuildError> {
        let file = self.folder.join(manifest::FILE);
        self.manifest.kind.ok_or_else(|| BuildError::Manifest { file, message: "`kind` is missing".into() })
    }
}

/// Builds the plugin in a folder into `output`, by default `NAME.wasm` beside its source.
pub fn build(folder: &Path, output: Option<&Path>, toolbox: &Toolbox) -> Result<Built, BuildError> {
    let folder = folder.canonicalize().map_err(|source| BuildError::File { path: folder.to_owned(), source })?;
    let mut manifest = Manifest::read(&folder)?;
    let language = manifest.language;
    let work = Work { folder: &folder, manifest: &mut manifest, toolbox };
    let component = match language {
        Language::Python => python::build(&work)?,
        Language::JavaScript | Language::TypeScript => javascript::build(&work)?,
        Language::C => c::build(&work)?,
        Language::Go => go::build(&work)?,
        Language::Rust => rust::build(work)?,
    };
    let component = component::sign(&manifest, &component)?;
    let file = output.map_or_else(|| folder.join(format!("{}.wasm", manifest.name)), Path::to_owned);
    toolbox::write(&file, &component)?;
    Ok(Built {
        file,
        name: manifest.name,
        language: language.to_string(),
        bytes: component.len() as u64,
        digest: Digest::of(&component),
    })
}
