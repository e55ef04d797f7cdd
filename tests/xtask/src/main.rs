//! The project's chores: `cargo xtask plugins`, `cargo demo`, `cargo test-all`.
//!
//! They are a program rather than shell scripts so that they need nothing but cargo, and say what they do.

#![expect(clippy::print_stdout, reason = "a chore speaks to the person who typed it")]

mod command;
mod component;
mod demo;
mod languages;
mod plugins;
mod sharing;
mod stories;
mod toolchain;
mod workspace;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::{toolchain::Choice, workspace::Workspace};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  plugins [--toolchain rustup|distribution] [FOLDER..]
          build every plugin (or those in the folders, which may lie elsewhere) to target/plugins/NAME.wasm
  demo    build everything, then run examples/adult-income in target/demo (also: cargo demo)
  test    build everything, then run all tests (also: cargo test-all; what follows goes to cargo test)";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error}");
            for cause in error.chain().skip(1) {
                println!("caused by: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<()> {
    let mut arguments = arguments.into_iter();
    let Some(chore) = arguments.next() else { bail!("no command\n{USAGE}") };
    let workspace = Workspace::here()?;
    match chore.as_str() {
        "plugins" => {
            let (mut choice, mut folders) = (Choice::Any, Vec::new());
            while let Some(argument) = arguments.next() {
                match argument.as_str() {
                    "--toolchain" => choice = arguments.next().context("--toolchain needs a value")?.parse()?,
                    option if option.starts_with('-') => bail!("unknown option {option}\n{USAGE}"),
                    folder => folders.push(PathBuf::from(folder)),
                }
            }
            if folders.is_empty() {
                plugins::build_all(&workspace, choice)
            } else {
                plugins::build_folders(&workspace, choice, &folders)
            }
        }
        "demo" => demo::run_demo(&workspace),
        "test" => stories::run_all(&workspace, &arguments.collect::<Vec<_>>()),
        other => bail!("unknown command {other}\n{USAGE}"),
    }
}
