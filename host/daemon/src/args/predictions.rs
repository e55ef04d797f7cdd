//! `predictions`.

use std::path::PathBuf;

use clap::Subcommand;
use stagewright_core::Name;

use super::deploy::Place;

#[derive(Debug, Subcommand)]
pub(crate) enum PredictionsCommand {
    /// List the logs: how much each endpoint answered, and its segments.
    List,
    /// Show what was asked and answered by a request's id, and what feedback said.
    Show {
        /// The request's id.
        request: String,
        /// Only at this endpoint.
        #[arg(long, value_name = "NAME")]
        endpoint: Option<Name>,
    },
    /// Make a logged answer again, by the logged model from the logged rows, and compare bit for bit.
    Replay {
        /// The request's id.
        request: String,
        /// Only at this endpoint.
        #[arg(long, value_name = "NAME")]
        endpoint: Option<Name>,
    },
    /// Write logged rows to a file (.csv, .parquet, .jsonl, .arrow), or to a version of a table.
    Export {
        #[command(flatten)]
        place: Place,
        /// The file.
        #[arg(required_unless_present = "table")]
        file: Option<PathBuf>,
        /// A table of the data repository, instead of a file.
        #[arg(long, value_name = "NAME", conflicts_with = "file")]
        table: Option<Name>,
        /// Only rows with feedback, and the feedback as a column of this name: what an evaluator reads.
        #[arg(long, value_name = "COLUMN", num_args = 0..=1, default_missing_value = "label")]
        with_feedback: Option<String>,
        /// Only what this model answered, such as `income@2`.
        #[arg(long, value_name = "MODEL")]
        model: Option<String>,
    },
    /// Make versions of tables of what an endpoint's logs hold; they become so by themselves when there is enough.
    Seal {
        #[command(flatten)]
        place: Place,
    },
    /// Erase a segment. The audit log keeps that it was there; `gc` erases the bytes.
    Erase {
        #[command(flatten)]
        place: Place,
        /// The segment's number.
        #[arg(long)]
        segment: u64,
        /// Why, for the record.
        #[arg(long, short)]
        message: String,
    },
}
