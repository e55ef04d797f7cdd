//! The command line. It translates: what is typed into calls of the library, what comes back into text or JSON.

mod args;
mod commands;
mod failure;
mod git;
mod out;
mod progress;
mod surroundings;
mod text;
mod world;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::{
    args::{Cli, Command},
    commands::Context,
    failure::Failure,
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    if matches!(cli.command, Command::Worker) {
        return match stagewright::runtime::worker::serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let json = cli.json;
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell(json);
            ExitCode::from(failure.code)
        }
    }
}

/// Tells what clap makes of a command line that it does not understand: help and version, too, come as errors.
fn not_understood(error: &clap::Error) -> ExitCode {
    let code = u8::try_from(error.exit_code()).unwrap_or(failure::WRONG_INPUT);
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        Failure::new(code, failure::without_usage(&error.render().to_string())).tell(true);
    } else {
        // Where even this cannot be written, nobody is listening.
        let _ = error.print();
    }
    ExitCode::from(code)
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let context = Context::new(&cli)?;
    match cli.command {
        Command::Init { directory, name } => commands::project::init(&context, &directory, name),
        Command::Data(command) => commands::data::dispatch(&context, command),
        Command::Plugin(command) => commands::plugin::dispatch(&context, command),
        Command::Model(command) => commands::model::dispatch(&context, command),
        Command::Check { pipeline } => commands::run::check(&context, &pipeline),
        Command::Run { pipeline, seed, fresh, record } => commands::run::run(&context, &pipeline, seed, fresh, record),
        Command::Runs { limit, pipeline } => commands::show::runs(&context, limit, pipeline.as_deref()),
        Command::Show { run, stage, recording: Some(file), step } => {
            commands::recording::export(&context, &run, stage.as_deref(), step.as_deref(), &file)
        }
        Command::Show { run, stage, recording: None, .. } => commands::show::show(&context, &run, stage.as_deref()),
        Command::Compare { before, after } => commands::show::compare(&context, &before, &after),
        Command::Verify { run } => commands::run::verify(&context, &run),
        Command::Lineage { artifact, up, down, format } => {
            commands::show::lineage(&context, &artifact, up, down, format)
        }
        Command::Audit(command) => commands::audit::dispatch(&context, command),
        Command::Repo(command) => commands::repo::dispatch(&context, command),
        Command::Fsck => commands::repo::fsck(&context),
        Command::Gc { dry_run } => commands::repo::gc(&context, dry_run),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "stagewright", &mut std::io::stdout());
            Ok(())
        }
        Command::Worker => Ok(()),
    }
}
