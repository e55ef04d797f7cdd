//! Every test: those of the crates, and the stories that drive the built command line and the built plugins.

use anyhow::Result;

use crate::{
    command::{cargo, run},
    plugins,
    toolchain::Choice,
    workspace::Workspace,
};

/// Builds what the stories drive, then runs all tests. `arguments` go to `cargo test`.
pub(crate) fn run_all(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    plugins::build_all(workspace, Choice::Any)?;
    build_host(workspace)?;
    run(cargo().current_dir(&workspace.root).args(["test", "--release", "--workspace", "--locked"]).args(arguments))
}

/// Builds the command line.
pub(crate) fn build_host(workspace: &Workspace) -> Result<()> {
    let mut build = cargo();
    build.current_dir(&workspace.root).args(["build", "--release", "--locked", "--package", "stagewright-daemon"]);
    run(&mut build)
}
