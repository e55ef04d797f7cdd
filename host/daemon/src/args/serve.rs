//! `serve`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};
use stagewright_core::Name;

#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    /// Models to answer for, each at an endpoint of its name: `income`, `income@3`.
    #[arg(value_name = "MODEL")]
    pub models: Vec<String>,
    /// Answer for what is deployed in this environment, follow every deployment, and keep predictions.
    #[arg(long, value_name = "NAME", conflicts_with = "models")]
    pub environment: Option<Name>,
    /// Where to listen for HTTP; with port 0, at a port that is free and is printed. By default 127.0.0.1:8080 where
    /// there are models or an environment to answer for, else nowhere.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Encrypt with this certificate chain, in PEM.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// Who may ask; by default everybody on this machine where nobody else can connect, else whoever has a token.
    #[arg(long, value_enum)]
    pub access: Option<AccessRule>,
    /// Listen beyond this machine without encryption, because something in front encrypts.
    #[arg(long)]
    pub plain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccessRule {
    /// Everybody who can connect gets predictions.
    Open,
    /// Whoever has a token that is good for it.
    Tokens,
}

impl ServeOptions {
    /// Where to listen, if there is a reason to.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let usual = SocketAddr::from(([127, 0, 0, 1], 8080));
        self.listen.or_else(|| (!self.models.is_empty() || self.environment.is_some()).then_some(usual))
    }
}
