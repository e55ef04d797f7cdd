//! The words of governance: users, tokens, gates, approvals.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Who signs.
#[derive(Clone, Debug, Args)]
pub(crate) struct Signer {
    /// The user who signs; by default the author of this command.
    #[arg(long = "as", value_name = "USER")]
    pub user: Option<String>,
    /// The file with the user's private key; by default USER.key in the user's configuration folder.
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user. The first one adds himself, as an administrator; then administrators add others.
    Add {
        /// The name.
        name: String,
        /// What the user may do: `admin`, or a role that gates name; repeat for several.
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// The public key that `user key` printed on the user's own machine; without one, a key is made here.
        #[arg(long, value_name = "KEY")]
        public_key: Option<String>,
        #[command(flatten)]
        signer: Signer,
    },
    /// List users, with their roles and keys.
    List,
    /// Remove a user. What the user signed stays.
    Remove {
        /// The name.
        name: String,
        #[command(flatten)]
        signer: Signer,
    },
    /// Make a private key for yourself, where there is none yet, and print its public half. No project is needed.
    Key {
        /// Your user name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token for programs that act for a user. It is shown once and cannot be shown again.
    Create {
        /// The user.
        user: String,
        /// What it allows: predict, read, write, approve or admin, in one repository where `:data`, `:code`, `:models`
        /// or `:ledger` follows; repeat for several.
        #[arg(long = "scope", required = true, value_name = "SCOPE[:REPOSITORY]")]
        scopes: Vec<String>,
        /// How long it is good: `12h`, `90d`.
        #[arg(long, default_value = "90d", value_name = "TIME")]
        expires: String,
        #[command(flatten)]
        signer: Signer,
    },
    /// List tokens, without their secrets.
    List,
    /// Make a token useless from now on.
    Revoke {
        /// The token's id: what stands between `sw_` and the next `_`.
        id: String,
        #[command(flatten)]
        signer: Signer,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum GateCommand {
    /// Judge a model version by the gate of the run that made it, and keep the verdict with its evidence.
    ///
    /// Exit codes: 0 it passes; 3 it is held.
    Check {
        /// The version: `income@2`.
        model: String,
    },
    /// Show each rule of a version's gate with its figures, and what still stands in the version's way.
    Explain {
        /// The version.
        model: String,
    },
    /// Set a rule aside for a time. The rule names the roles that may.
    Waive {
        /// The version.
        model: String,
        /// The rule, as the gate writes it.
        #[arg(long)]
        rule: String,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
        /// For how long: `30d`.
        #[arg(long, value_name = "TIME")]
        expires: String,
        #[command(flatten)]
        signer: Signer,
    },
    /// Give every verdict again from the evidence that was kept, and check every signature.
    Verify {
        /// One version, or all versions of a model; by default all models.
        model: Option<String>,
    },
}

/// A decision about a model version.
#[derive(Debug, Args)]
pub(crate) struct Decision {
    /// The version: `income@2`.
    pub model: String,
    /// Why, for the record.
    #[arg(long)]
    pub reason: String,
    #[command(flatten)]
    pub signer: Signer,
}
