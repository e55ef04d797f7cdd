//! The state of the user's project in git, for the record of a run.

use std::{
    path::Path,
    process::Command,
    thread::{self, JoinHandle},
};

use stagewright_core::record::GitState;

/// Begins to ask git for the commit and whether the work tree differs from it, beside whatever else is done. None
/// outside git, or where git is not installed.
pub(crate) fn ask(directory: &Path) -> Option<JoinHandle<Option<GitState>>> {
    // Starting git takes longer than a stage may; a look for its folder does not.
    directory.ancestors().find(|parent| parent.join(".git").exists())?;
    let directory = directory.to_owned();
    Some(thread::spawn(move || state(&directory)))
}

fn state(directory: &Path) -> Option<GitState> {
    let commit = git(directory, &["rev-parse", "--verify", "HEAD"])?.trim().to_owned();
    let changes = git(directory, &["status", "--porcelain", "--untracked-files=normal", "--", "."])?;
    Some(GitState { commit, dirty: !changes.trim().is_empty() })
}

fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(directory).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
