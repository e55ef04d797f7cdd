//! Every test: those of the crates, and the stories that drive the built command line and the built plugins.

use std::thread;

use anyhow::{Result, bail};

use crate::{
    command::{cargo, run},
    languages, plugins, sharing,
    toolchain::Choice,
    workspace::Workspace,
};

/// Builds what the stories drive, then runs all tests. `arguments` go to `cargo test`.
pub(crate) fn run_all(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    plugins::build_all(workspace, Choice::Any)?;
    // Package managers wait for the network while cargo computes.
    thread::scope(|scope| {
        let tools = scope.spawn(|| languages::install(workspace).and_then(|()| sharing::install(workspace)));
        build_host(workspace)?;
        tools.join().unwrap_or_else(|_| bail!("installing other people's tools panicked"))
    })?;
    run(cargo().current_dir(&workspace.root).args(["test", "--release", "--workspace", "--locked"]).args(arguments))
}

/// Builds the command line. The whole workspace's programs rather than this one's: cargo then chooses the same features
/// for what lies beneath as it does for the tests, and the sandbox's compiler is not built twice.
pub(crate) fn build_host(workspace: &Workspace) -> Result<()> {
    run(cargo().current_dir(&workspace.root).args(["build", "--release", "--workspace", "--bins", "--locked"]))
}
