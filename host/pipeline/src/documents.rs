//! Documents about a model, made from the record: for people, for regulators, for other people's tools.
//!
//! Each is a pure function of [`Facts`]: the same record makes the same bytes. What the record cannot know is a named
//! [`Gap`], never a sentence that was made up.

mod annex;
mod bias;
mod bom;
mod card;
mod decisions;
mod exported;
mod facts;
mod provenance;
mod signature;
mod statement;
mod text;

use std::{fmt, str::FromStr};

use serde::Serialize;
use stagewright_core::{VersionRef, name::nearest};

pub use self::{
    bias::{Audit, Category, Question, Table},
    decisions::Decisions,
    exported::{Exported, export},
    facts::{Facts, gather},
    signature::{has_key, public_key},
    text::Gap,
};
use crate::{
    error::{Error, Result},
    project::Project,
};

/// A kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A model card: Hugging Face's front matter with a `model-index`, and Markdown.
    ModelCard,
    /// The technical documentation of Annex IV of the EU AI Act (Regulation (EU) 2024/1689): its nine points.
    AnnexIv,
    /// The figures of a bias audit by New York City's Local Law 144 (6 RCNY § 5-301 to 5-303).
    BiasAudit,
    /// A bill of materials: CycloneDX 1.6.
    MlBom,
    /// How the model was made: in-toto statement, SLSA provenance v1, in a signed DSSE envelope.
    Provenance,
    /// What its gate said, rule by rule: in-toto test result v0.1, in a signed DSSE envelope.
    TestResult,
    /// A signature over the exported model: OpenSSF model signing v1.0 in a Sigstore bundle.
    ModelSignature,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::ModelCard,
        Self::AnnexIv,
        Self::BiasAudit,
        Self::MlBom,
        Self::Provenance,
        Self::TestResult,
        Self::ModelSignature,
    ];

    /// The kind's name, on the command line too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ModelCard => "model-card",
            Self::AnnexIv => "annex-iv",
            Self::BiasAudit => "bias-audit",
            Self::MlBom => "ml-bom",
            Self::Provenance => "provenance",
            Self::TestResult => "test-result",
            Self::ModelSignature => "model-signature",
        }
    }

    /// The IANA media type of its bytes.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::ModelCard | Self::AnnexIv | Self::BiasAudit => "text/markdown",
            Self::MlBom => "application/vnd.cyclonedx+json",
            Self::Provenance | Self::TestResult => "application/vnd.in-toto+json",
            Self::ModelSignature => "application/vnd.dev.sigstore.bundle.v0.3+json",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str);
            let hint = match nearest(text, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", names.join(", ")),
            };
            Error::Invalid(format!("`{text}` is no kind of document; {hint}"))
        })
    }
}

/// A document.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it is.
    pub kind: Kind,
    /// Its bytes: UTF-8 with a newline at the end.
    pub bytes: Vec<u8>,
    /// What people have to add.
    pub gaps: Vec<Gap>,
}

/// Makes a document about a version of a model. `question` is read by a bias audit only.
///
/// # Errors
/// There is no such model, its run was forgotten, or the document needs what the record does not have.
pub fn make(project: &Project, kind: Kind, wanted: &VersionRef, question: &Question) -> Result<Document> {
    let facts = gather(project, wanted)?;
    of_facts(project, kind, &facts, question)
}

fn of_facts(project: &Project, kind: Kind, facts: &Facts, question: &Question) -> Result<Document> {
    let document = |(bytes, gaps): (String, Vec<Gap>)| Document { kind, bytes: bytes.into_bytes(), gaps };
    let without_gaps = |text: String| document((text, Vec::new()));
    Ok(match kind {
        Kind::ModelCard => document(card::card(facts)),
        Kind::AnnexIv => document(annex::annex(facts)),
        Kind::BiasAudit => document(bias::document(facts, &bias::audit(project, facts, question)?)),
        Kind::MlBom => document(bom::bom(facts)),
        Kind::Provenance => without_gaps(provenance::envelope(project, facts)?),
        Kind::TestResult => without_gaps(decisions::envelope(project, facts)?),
        Kind::ModelSignature => without_gaps(exported::signature(project, facts)?),
    })
}
