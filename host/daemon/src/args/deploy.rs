//! `deploy`, `rollback`, `deployments`.

use clap::{Args, Subcommand};
use stagewright::deploy::Share;
use stagewright_core::{Name, VersionRef};

/// Which endpoint of which environment.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The environment: `staging`, `production`, or another of stagewright.toml.
    pub environment: Name,
    /// The endpoint; the environment's only one by default.
    #[arg(long, value_name = "NAME")]
    pub endpoint: Option<Name>,
}

/// Which model, where, and with which share of requests.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// The model's version, such as `income@2`.
    pub model: VersionRef,
    /// The environment.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub to: Name,
    /// The endpoint; the model's name by default.
    #[arg(long, value_name = "NAME")]
    pub endpoint: Option<Name>,
    /// Give it only this share of requests (`0.1`, `10%`), and call it off by the environment's rules.
    #[arg(long, value_name = "SHARE", group = "trial")]
    pub canary: Option<Share>,
    /// Ask it beside the present model for this share of requests, and only log what it answers.
    #[arg(long, value_name = "SHARE", group = "trial", num_args = 0..=1, default_missing_value = "1")]
    pub shadow: Option<Share>,
    /// Compare it with the present model: give it this share of requests until one is promoted or rolled back.
    #[arg(long, value_name = "SHARE", group = "trial", num_args = 0..=1, default_missing_value = "0.5")]
    pub split: Option<Share>,
    /// Why, for the record.
    #[arg(long, short, default_value = "")]
    pub message: String,
}

/// What is to be rolled back.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    pub place: Place,
    /// Why, for the record.
    #[arg(long, short, default_value = "")]
    pub message: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentsCommand {
    /// Show what answers where, and which trials go on.
    Status {
        /// Only this environment.
        environment: Option<Name>,
    },
    /// List every change of what answers, newest first.
    History {
        /// Only this environment.
        environment: Option<Name>,
        /// At most this many.
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: usize,
    },
    /// End a trial with the new model: it answers all requests.
    Promote {
        #[command(flatten)]
        place: Place,
        /// Why, for the record.
        #[arg(long, short, default_value = "")]
        message: String,
    },
}
