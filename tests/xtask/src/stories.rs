//! Every test: those of the crates, and the stories that drive the built command line and the built plugins.

use anyhow::Result;

use crate::{
    command::{cargo, run},
    languages, plugins, sharing,
    toolchain::Choice,
    workspace::Workspace,
};

/// Builds what the stories drive, then runs all tests. `arguments` go to `cargo test`.
pub(crate) fn run_all(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    plugins::build_all(workspace, Choice::Any)?;
    build_host(workspace)?;
    languages::install(workspace)?;
    sharing::install(workspace)?;
    run(cargo().current_dir(&workspace.root).args(["test", "--release", "--workspace", "--locked"]).args(arguments))
}

/// Builds the command line. The whole workspace's programs rather than this one's: cargo then chooses the same features
/// for what lies beneath as it does for the tests, and the sandbox's compiler is not built twice.
pub(crate) fn build_host(workspace: &Workspace) -> Result<()> {
    run(cargo().current_dir(&workspace.root).args(["build", "--release", "--workspace", "--bins", "--locked"]))
}
