//! The engine: the command line, all of it. It translates: what is typed into calls of the library, what comes back into text or JSON.

mod args;
mod commands;
mod context;
mod daemon;
mod failure;
mod git;
mod listener;
mod progress;
mod serve;
mod surroundings;
mod text;
mod world;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::{
    args::{Cli, Command},
    context::Context,
    failure::Failure,
    listener::Listener,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before all that a user can type is set up: a stage may be waiting.
    if std::env::args_os().skip(1).eq([surroundings::WORKER]) {
        return match stagewright::runtime::worker::serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    let json = cli.json;
    let code = match daemon::ask(&cli) {
        Ok(Some(code)) => Ok(code),
        Ok(None) => Context::here(&cli).and_then(|context| dispatch(cli, &context)).map(|()| 0),
        Err(failure) => Err(failure),
    };
    ExitCode::from(code.unwrap_or_else(|failure| {
        Listener::here(false).error(&failure.text(json));
        failure.code
    }))
}

/// Tells what clap makes of a command line that it does not understand: help and version, too, come as errors.
fn not_understood(error: &clap::Error) -> ExitCode {
    let code = u8::try_from(error.exit_code()).unwrap_or(failure::WRONG_INPUT);
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let failure = Failure::new(code, failure::without_usage(&error.render().to_string()));
        Listener::here(false).error(&failure.text(true));
    } else {
        // Where even this cannot be written, nobody is listening.
        let _ = error.print();
    }
    ExitCode::from(code)
}

/// Runs a command, here or in the daemon.
fn dispatch(cli: Cli, context: &Context) -> Result<(), Failure> {
    match cli.command {
        Command::Init { directory, name } => commands::project::init(context, &directory, name),
        Command::Data(command) => commands::data::dispatch(context, command),
        Command::Plugin(command) => commands::plugin::dispatch(context, command),
        Command::Model(command) => commands::model::dispatch(context, command),
        Command::Gate(command) => commands::gate::dispatch(context, command),
        Command::Approve(decision) => commands::gate::decide(context, &decision, commands::gate::Decides::Approve),
        Command::Reject(decision) => commands::gate::decide(context, &decision, commands::gate::Decides::Reject),
        Command::User(command) => commands::people::users(context, command),
        Command::Token(command) => commands::people::tokens(context, command),
        Command::Check { pipeline } => commands::run::check(context, &pipeline),
        Command::Run { pipeline, seed, fresh, record } => commands::run::run(context, &pipeline, seed, fresh, record),
        Command::Runs { limit, pipeline } => commands::show::runs(context, limit, pipeline.as_deref()),
        Command::Show { run, stage, recording: Some(file), step } => {
            commands::recording::export(context, &run, stage.as_deref(), step.as_deref(), &file)
        }
        Command::Show { run, stage, recording: None, .. } => commands::show::show(context, &run, stage.as_deref()),
        Command::Compare { before, after } => commands::show::compare(context, &before, &after),
        Command::Verify { run } => commands::run::verify(context, &run),
        Command::Lineage { artifact, up, down, format } => {
            commands::show::lineage(context, &artifact, up, down, format)
        }
        Command::Document(args) => commands::document::document(context, args),
        Command::Deploy(wanted) => commands::deploy::deploy(context, wanted),
        Command::Rollback(wanted) => commands::deploy::rollback(context, wanted),
        Command::Deployments(command) => commands::deploy::deployments(context, command),
        Command::Predictions(command) => commands::predictions::dispatch(context, command),
        Command::Audit(command) => commands::audit::dispatch(context, command),
        Command::Repo(command) => commands::repo::dispatch(context, command),
        Command::Fsck => commands::repo::fsck(context),
        Command::Gc { dry_run } => commands::repo::gc(context, dry_run),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "stagewright", &mut script);
            context.text(&String::from_utf8_lossy(&script))
        }
        Command::Serve(options) => commands::serve::serve(context, &options),
    }
}
