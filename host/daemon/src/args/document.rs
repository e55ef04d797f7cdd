//! `document`: which, about what, and where to.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use stagewright::documents::Kind;

/// What `document` takes.
#[derive(Debug, Args)]
pub(crate) struct DocumentArgs {
    /// Which document.
    #[arg(value_enum)]
    pub kind: DocumentKind,
    /// A model's version: `income`, `income@2`, `income@champion`.
    pub model: String,
    /// Write it to this file instead of the terminal.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub question: QuestionArgs,
}

/// What a bias audit has to know where names do not say it.
#[derive(Debug, Default, Args)]
pub(crate) struct QuestionArgs {
    /// bias-audit: the column of sexes; by default the protected column called sex or gender.
    #[arg(long, value_name = "COLUMN")]
    pub sex: Option<String>,
    /// bias-audit: the column of races or ethnicities; by default the protected column called so.
    #[arg(long, value_name = "COLUMN")]
    pub race: Option<String>,
    /// bias-audit: the prediction that counts as selected; by default the fairness checker's positive class.
    #[arg(long, value_name = "CLASS")]
    pub selected: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DocumentKind {
    /// Hugging Face's model card: YAML with a model-index, and Markdown.
    ModelCard,
    /// The technical documentation of Annex IV of the EU AI Act.
    AnnexIv,
    /// The figures of a bias audit by New York City's Local Law 144.
    BiasAudit,
    /// A bill of materials: CycloneDX 1.6.
    MlBom,
    /// How it was made: SLSA provenance v1 in a signed envelope.
    Provenance,
    /// What its gate said, rule by rule: an in-toto test result in a signed envelope.
    TestResult,
    /// OpenSSF's signature over the directory that `model export` writes.
    ModelSignature,
}

impl From<DocumentKind> for Kind {
    fn from(kind: DocumentKind) -> Self {
        match kind {
            DocumentKind::ModelCard => Self::ModelCard,
            DocumentKind::AnnexIv => Self::AnnexIv,
            DocumentKind::BiasAudit => Self::BiasAudit,
            DocumentKind::MlBom => Self::MlBom,
            DocumentKind::Provenance => Self::Provenance,
            DocumentKind::TestResult => Self::TestResult,
            DocumentKind::ModelSignature => Self::ModelSignature,
        }
    }
}

/// Documents that are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SignedKind {
    /// The key of exported models: ECDSA, P-256.
    ModelSignature,
    /// The key of provenance, which is the ledger's: ed25519.
    Provenance,
}

impl From<SignedKind> for Kind {
    fn from(kind: SignedKind) -> Self {
        match kind {
            SignedKind::ModelSignature => Self::ModelSignature,
            SignedKind::Provenance => Self::Provenance,
        }
    }
}
