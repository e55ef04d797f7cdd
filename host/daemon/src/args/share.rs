//! What can be typed to share plugins.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Signing, packing and moving plugins between machines. None of it needs a project.
#[derive(Debug, Subcommand)]
pub(crate) enum ShareCommand {
    /// Make a key that signs plugins, as minisign has them: FILE to keep, FILE.pub to give away.
    Keygen {
        /// The secret key's file.
        file: PathBuf,
        #[command(flatten)]
        password: Password,
        /// Keep the key without a password: whoever can read the file can sign.
        #[arg(long, conflicts_with = "password_file")]
        unencrypted: bool,
    },
    /// Sign components: each gets a signature beside it, FILE.minisig.
    Sign {
        /// The `.wasm` files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The secret key's file.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        #[command(flatten)]
        password: Password,
    },
    /// Pack a plugin, its signature and what describes it into one file, an OCI layout.
    Pack {
        /// A `.wasm` file, or a version of the project.
        plugin: String,
        /// The packed file; by default NAME.oci.tar.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Put a plugin, with its signature, into an OCI registry.
    Push {
        /// HOST/NAME:TAG.
        reference: String,
        /// A `.wasm` or packed file, or a version of the project.
        plugin: String,
    },
    /// Fetch a plugin from an OCI registry into a file, with its signature beside it.
    Pull {
        /// HOST/NAME:TAG, HOST/NAME@sha256:…, or both.
        reference: String,
        /// The component file; by default NAME.wasm.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        demands: Demands,
    },
}

/// Where a key's password comes from.
#[derive(Debug, Args)]
pub(crate) struct Password {
    /// A file whose first line is the key's password; by default the terminal is asked.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// What is demanded of a plugin that comes from elsewhere, besides what stagewright.toml demands.
#[derive(Debug, Default, Args)]
pub(crate) struct Demands {
    /// Take it only if this key signed it: a public key of minisign, or its file; repeat for several.
    #[arg(long = "signed-by", value_name = "KEY")]
    pub signed_by: Vec<String>,
    /// Take it even if stagewright.lock has other bytes under its name; `plugin add` then locks these.
    #[arg(long)]
    pub update: bool,
}

/// What `plugin add` takes.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// `.wasm` or packed files, folders of `.wasm` files, https://… or oci://HOST/NAME:TAG.
    #[arg(required_unless_present = "locked")]
    pub plugins: Vec<String>,
    /// The plugin's name, for a single one; by default that of its file or artifact.
    #[arg(long)]
    pub name: Option<String>,
    /// Why, for the record.
    #[arg(long, short, default_value = "")]
    pub message: String,
    /// Add everything that stagewright.lock names, exactly as it was.
    #[arg(long, conflicts_with_all = ["plugins", "name", "update"])]
    pub locked: bool,
    #[command(flatten)]
    pub demands: Demands,
}
