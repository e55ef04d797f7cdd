//! Where other languages' tools are, and how they are run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::BuildError;

/// The part of a tool's words that is shown when it fails.
const SHOWN: usize = 4000;

/// Folders in which tools are looked for. The environment is the caller's to read.
#[derive(Clone, Debug, Default)]
pub struct Toolbox {
    /// The folders of `PATH`.
    pub path: Vec<PathBuf>,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// Where cargo builds; by default in the plugin's folder.
    pub cargo_target: Option<PathBuf>,
}

impl Toolbox {
    /// A tool: in the plugin's own environment, then in `PATH`, then in the user's folders.
    pub(crate) fn find(&self, folder: &Path, names: &[&str]) -> Option<PathBuf> {
        let own = [".venv/bin", "venv/bin", "node_modules/.bin"].map(|place| folder.join(place));
        let users = self.home.iter().flat_map(|home| {
            let ours = home.join(".local/share/stagewright/toolchains");
            [ours.join("python/bin"), ours.join("node/node_modules/.bin"), home.join(".local/bin"), home.join("go/bin")]
        });
        let mut folders = own.into_iter().chain(self.path.iter().cloned()).chain(users);
        folders.find_map(|place| names.iter().map(|name| place.join(name)).find(|tool| tool.is_file()))
    }

    /// A tool that must be there.
    pub(crate) fn need(&self, folder: &Path, names: &[&str], install: &'static str) -> Result<PathBuf, BuildError> {
        let missing = || BuildError::MissingTool { tool: names[0].to_owned(), install };
        self.find(folder, names).ok_or_else(missing)
    }
}

/// Runs a tool to its end; what it said is part of the error if it fails.
pub(crate) fn run(command: &mut Command) -> Result<String, BuildError> {
    let tool = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|source| BuildError::ToolStart { tool: tool.clone(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said);
    let start = said.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
    Err(BuildError::ToolFailed { tool, status: output.status.to_string(), said: said[start..].trim().to_owned() })
}

/// Writes a file and the folders above it.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), BuildError> {
    let io = |source| BuildError::File { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    // Unchanged files keep their time, so that tools with a cache have nothing to do.
    if fs::read(path).is_ok_and(|known| known == content.as_ref()) {
        return Ok(());
    }
    fs::write(path, content).map_err(io)
}

/// Reads a file that a tool wrote.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(|source| BuildError::File { path: path.to_owned(), source })
}

/// Makes a folder anew.
pub(crate) fn fresh(path: &Path) -> Result<(), BuildError> {
    let io = |source| BuildError::File { path: path.to_owned(), source };
    if path.exists() {
        fs::remove_dir_all(path).map_err(io)?;
    }
    fs::create_dir_all(path).map_err(io)
}
