//! The command line: what can be typed, and what each word means.

pub(crate) mod deploy;
pub(crate) mod document;
mod governance;
pub(crate) mod predictions;
pub(crate) mod serve;
pub(crate) mod share;

pub(crate) use self::governance::{Decision, GateCommand, Signer, TokenCommand, UserCommand};

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Machine learning in sandboxed, reproducible stages.
///
/// Exit codes: 0 done; 1 it could not be done; 2 the command line or a file is wrong; 3 a stage failed or a validator
/// found a violation, or a gate holds a model; 4 a verification found a difference or damage; 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "stagewright", version, arg_required_else_help = true, max_term_width = 110)]
pub(crate) struct Cli {
    /// The project's directory; by default the nearest one upward that holds a stagewright.toml.
    #[arg(long, global = true, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
    /// Print no progress.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Who does this, for the record; by default STAGEWRIGHT_AUTHOR or the user of this machine.
    #[arg(long, global = true, value_name = "NAME")]
    pub author: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a project here: settings, repositories, a folder for pipelines.
    Init {
        /// Where; the current directory by default.
        #[arg(default_value = ".")]
        directory: PathBuf,
        /// The project's name; by default the directory's.
        #[arg(long)]
        name: Option<String>,
    },
    /// Versioned tables.
    #[command(subcommand)]
    Data(DataCommand),
    /// Versioned plugins.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Registered models.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Whether a model may serve, and why or why not.
    #[command(subcommand)]
    Gate(GateCommand),
    /// Approve a model version: a signed statement for the record.
    Approve(Decision),
    /// Reject a model version: a signed statement for the record.
    Reject(Decision),
    /// Who takes part, in which roles.
    #[command(subcommand)]
    User(UserCommand),
    /// What programs may do in a user's name.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Check everything about a pipeline that can be checked without running it.
    Check {
        /// The pipeline file.
        pipeline: PathBuf,
    },
    /// Run a pipeline; stages whose result is known are not run again.
    Run {
        /// The pipeline file.
        pipeline: PathBuf,
        /// Use this seed instead of the file's.
        #[arg(long)]
        seed: Option<u64>,
        /// Run every stage, even those whose result is known.
        #[arg(long)]
        fresh: bool,
        /// Keep every call that the stages which run make to the host; `show --recording` takes them out.
        #[arg(long)]
        record: bool,
    },
    /// List the runs, newest first.
    Runs {
        /// At most this many.
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: usize,
        /// Only those of this pipeline.
        #[arg(long)]
        pipeline: Option<String>,
    },
    /// Show a run: its stages, results, candidates and reports.
    Show {
        /// The run's number, or `latest`.
        #[arg(default_value = "latest")]
        run: String,
        /// One stage in full: parameters, digests, log, curves, the whole report.
        stage: Option<String>,
        /// Write the recording of the stage to this file; `plugin test --replay` runs a plugin against it.
        #[arg(long, value_name = "FILE", requires = "stage")]
        recording: Option<PathBuf>,
        /// Which step of the stage, where several were recorded.
        #[arg(long, requires = "recording")]
        step: Option<String>,
    },
    /// Compare two runs: what went in, and what came out.
    Compare {
        /// A run's number, or `latest`.
        before: String,
        /// Another.
        after: String,
    },
    /// Run every stage of a run again and compare bit for bit.
    Verify {
        /// The run's number, or `latest`.
        #[arg(default_value = "latest")]
        run: String,
    },
    /// Show what something was made from, and what was made from it.
    Lineage {
        /// A version (`adult@1`, `income@latest`) or an artifact's digest (or its beginning).
        artifact: String,
        /// Only what it was made from.
        #[arg(long, conflicts_with = "down")]
        up: bool,
        /// Only what was made from it.
        #[arg(long)]
        down: bool,
        /// How it is drawn.
        #[arg(long, value_enum, default_value_t = Drawing::Tree)]
        format: Drawing,
    },
    /// Make a document about a model from the record.
    Document(document::DocumentArgs),
    /// Let a model answer requests in an environment: all of them, or a share as a trial.
    Deploy(deploy::Deploy),
    /// End a trial; without one, let the model that answered before answer again, at once.
    Rollback(deploy::Rollback),
    /// What answers where, how it came to that, and how trials end.
    #[command(subcommand)]
    Deployments(deploy::DeploymentsCommand),
    /// What was predicted, and what turned out to be true.
    #[command(subcommand)]
    Predictions(predictions::PredictionsCommand),
    /// The record of every change and decision.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Back up, move and lock repositories.
    #[command(subcommand)]
    Repo(RepoCommand),
    /// Check every byte that is stored, and rebuild what can be rebuilt.
    Fsck,
    /// Remove what nothing needs any more, by the rules under `keep` in stagewright.toml.
    Gc {
        /// Say what would be removed, and remove nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Hold the project open, answer for models over HTTP, and serve the commands of other processes, which go on as
    /// without it. Ctrl-C ends it.
    Serve(serve::ServeOptions),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Whether the daemon of a project runs this command for others, because it needs the project.
    pub(crate) const fn is_served(&self) -> bool {
        !matches!(
            self,
            Self::Init { .. }
                | Self::Plugin(
                    PluginCommand::New { .. }
                        | PluginCommand::Build { .. }
                        | PluginCommand::Test { .. }
                        | PluginCommand::Bench { .. }
                        | PluginCommand::Share(_)
                )
                | Self::Audit(AuditCommand::Verify { file: Some(_) })
                | Self::User(UserCommand::Key { .. })
                | Self::Serve(_)
                | Self::Completions { .. }
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawing {
    /// Text.
    Tree,
    /// Graphviz.
    Dot,
    /// A picture.
    Svg,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Read a file (CSV, Parquet, JSON lines, Arrow IPC) into a new version of a table.
    Add {
        /// The table's name.
        name: String,
        /// The file.
        file: PathBuf,
        /// Why, for the record.
        #[arg(long, short, default_value = "")]
        message: String,
        #[command(flatten)]
        options: Box<ReadOptions>,
    },
    /// List tables and how many versions each has.
    List,
    /// Show a version: its columns and first rows.
    Show {
        /// The version: `adult`, `adult@2`, `adult@golden`.
        version: String,
        /// How many rows.
        #[arg(long, short = 'n', default_value_t = 5)]
        rows: usize,
    },
    /// Compare two versions: columns, rows added and removed, statistics.
    Diff {
        /// The older version.
        before: String,
        /// The newer one.
        after: String,
    },
    /// List the versions of a table, newest first.
    Log {
        /// The table's name.
        name: String,
    },
    /// Give a version a further name, or move that name to it.
    Tag {
        /// The version.
        version: String,
        /// The tag.
        tag: String,
    },
    /// Delete a version. The audit log keeps that it was there; `gc` erases the bytes.
    Delete {
        /// The version, with its number.
        version: String,
        /// Why, for the record.
        #[arg(long, short)]
        message: String,
        /// Forget the runs that used it too, so that `gc` also erases what was made from it.
        #[arg(long)]
        derived: bool,
    },
    /// Write a version to a file: .csv, .parquet, .jsonl or .arrow.
    Export {
        /// The version.
        version: String,
        /// The file.
        file: PathBuf,
    },
}

/// How a file is read.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ReadOptions {
    /// csv, parquet, json-lines or arrow-ipc; by default, what the file looks like.
    #[arg(long)]
    pub format: Option<String>,
    /// What separates the fields of a CSV file: one character, or `tab`.
    #[arg(long)]
    pub delimiter: Option<String>,
    /// What quotes the fields of a CSV file: one character, or `none`.
    #[arg(long)]
    pub quote: Option<String>,
    /// The CSV file's first line is a row.
    #[arg(long)]
    pub no_header: bool,
    /// The columns' names, separated by commas; with --no-header for files without a header, else instead of it.
    #[arg(long, value_delimiter = ',')]
    pub names: Vec<String>,
    /// Texts that stand for a missing value; repeat for several. Replaces the default list.
    #[arg(long)]
    pub missing: Vec<String>,
    /// The text's encoding, such as latin1 or utf-16le.
    #[arg(long)]
    pub encoding: Option<String>,
    /// A column's type, as COLUMN=TYPE: boolean, int64, float64, timestamp, text or category; repeat for several.
    #[arg(long = "type", value_name = "COLUMN=TYPE")]
    pub types: Vec<String>,
    /// Skip this many lines at the beginning.
    #[arg(long, default_value_t = 0)]
    pub skip_rows: u64,
    /// Skip lines that begin with this character.
    #[arg(long)]
    pub comment: Option<char>,
    /// What becomes of rows that are too short: error, or pad with missing values.
    #[arg(long, value_enum, default_value_t = Ragged::Error)]
    pub ragged: Ragged,
    /// Keep white space around fields.
    #[arg(long)]
    pub no_trim: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ragged {
    /// Refuse them.
    #[default]
    Error,
    /// Fill them.
    Pad,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Write a new plugin: a folder with a small working example, the SDK and the contract. No project is needed.
    New {
        /// The plugin's name.
        name: String,
        /// python, javascript, typescript, c, go or rust.
        #[arg(long, value_name = "LANGUAGE")]
        lang: String,
        /// preprocessor, featurizer, model (a trainer and its predictor), evaluator, fairness-checker, validator or
        /// monitor.
        #[arg(long)]
        kind: String,
        /// Where; by default a folder of the plugin's name here.
        #[arg(long, value_name = "FOLDER")]
        path: Option<PathBuf>,
    },
    /// Build the plugin in a folder with its language's own tools, which must be installed. No project is needed.
    Build {
        /// The folder.
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// The component file; by default NAME.wasm in the folder.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check components and add each as a new version of a plugin: from files, the web or a registry.
    Add(share::AddArgs),
    #[command(flatten)]
    Share(share::ShareCommand),
    /// List plugins.
    List,
    /// Check that a component keeps every promise of the contract: it describes itself, is deterministic, validates
    /// its parameters, reads its state back, and gets through every kind of table. No project is needed.
    ///
    /// Exit codes: 0 no check failed; 4 a check failed; 2 the command line is wrong; 1 the component could not be
    /// looked at.
    Test {
        /// The `.wasm` file. With --replay it may be left out: the recording holds the component that it was made of.
        #[arg(required_unless_present = "replay")]
        file: Option<PathBuf>,
        /// Run the component against this recording of a stage instead, and say at which call it first does something
        /// else. `stagewright run --record` makes recordings.
        #[arg(long, value_name = "FILE", conflicts_with = "with")]
        replay: Option<PathBuf>,
        /// A parameter for the stages that know it, in place of the kit's guess: KEY=VALUE, the value as JSON; repeat
        /// for several. The kit's tables have the columns number, other, count, flag, word, note, when and label.
        #[arg(long, value_name = "KEY=VALUE")]
        with: Vec<String>,
        /// Leave out the profile `strict`, for which the component is compiled a second time: for a quick look while
        /// the plugin is being written.
        #[arg(long, conflicts_with = "replay")]
        quick: bool,
    },
    /// Measure what a component costs: to compile, load and start, for each batch, and for a million rows.
    Bench {
        /// The `.wasm` file.
        file: PathBuf,
        /// A parameter for the stages that know it, as KEY=VALUE; repeat for several.
        #[arg(long, value_name = "KEY=VALUE")]
        with: Vec<String>,
    },
    /// Show what a plugin is: stages, parameters, imports, metadata.
    Inspect {
        /// A version, or a `.wasm` file.
        plugin: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// List models: the latest version of each, its state and its aliases.
    List {
        /// Every version of this model.
        name: Option<String>,
    },
    /// Show a version: its parts, input and output, training, gate, approvals and state.
    Show {
        /// The version.
        version: String,
    },
    /// Compare two versions: what went in, and every figure with its interval.
    Compare {
        /// The first.
        before: String,
        /// The second.
        after: String,
    },
    /// Give a version a further name. `champion` and `challenger` are given by deployments only.
    Tag {
        /// The version.
        version: String,
        /// The tag.
        tag: String,
    },
    /// Retire a version for good. One that serves has to be taken out of service first.
    Retire {
        /// The version.
        version: String,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
    },
    /// Write a version to a directory for others: parts, manifest, documents, and a signature over all of it.
    Export {
        /// The version.
        version: String,
        /// A directory that is not there yet, or empty.
        directory: PathBuf,
    },
    /// Print the public key that signed documents of this project are verified with.
    Key {
        /// Of which documents.
        #[arg(value_enum, default_value_t = document::SignedKind::ModelSignature)]
        of: document::SignedKind,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List the entries, newest first.
    Log {
        /// At most this many.
        #[arg(long, short = 'n', default_value_t = 30)]
        limit: usize,
        /// Only this repository: data, code, models or ledger.
        #[arg(long)]
        repository: Option<String>,
    },
    /// Check every hash and signature, of this project or of an exported file.
    Verify {
        /// A file that `audit export` wrote.
        file: Option<PathBuf>,
    },
    /// Write the whole log, with its signed heads, to a file that can be checked anywhere.
    Export {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RepoCommand {
    /// Write a repository to one file.
    Backup {
        /// data, code, models or ledger.
        repository: String,
        /// The file.
        file: PathBuf,
    },
    /// Put a repository back from a backup, into its empty or missing place.
    Restore {
        /// data, code, models or ledger.
        repository: String,
        /// The file.
        file: PathBuf,
    },
    /// Write a version, with everything that it needs, to one file for another project.
    Export {
        /// data, code or models.
        repository: String,
        /// The version.
        version: String,
        /// The file.
        file: PathBuf,
    },
    /// Read a file that `repo export` wrote.
    Import {
        /// data, code or models.
        repository: String,
        /// The file.
        file: PathBuf,
    },
    /// Refuse every change of a repository from now on.
    Lock {
        /// data, code, models or ledger.
        repository: String,
    },
    /// Allow changes again.
    Unlock {
        /// data, code, models or ledger.
        repository: String,
    },
}
