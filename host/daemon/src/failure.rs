//! What a user is told when something cannot be done: one line, its causes, what to do next, and an exit code.

use serde_json::json;
use stagewright::{Error, file::Problems, store::StoreError};

use crate::text::printable;

/// The command could not be done.
pub(crate) const CANNOT: u8 = 1;
/// The command line or a file is wrong.
pub(crate) const WRONG_INPUT: u8 = 2;
/// A stage failed, a validator found a violation, or a gate holds a model.
pub(crate) const STAGE_FAILED: u8 = 3;
/// A verification found a difference or damage.
pub(crate) const NOT_VERIFIED: u8 = 4;
/// The user interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command ends without having done its work.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    /// None where everything was said already.
    pub(crate) error: Option<anyhow::Error>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, error: Some(anyhow::Error::msg(message.into())) }
    }

    /// Everything was said already.
    pub(crate) const fn silent(code: u8) -> Self {
        Self { code, error: None }
    }

    /// What standard error is told; nothing where everything was said already.
    pub(crate) fn text(&self, json: bool) -> String {
        match &self.error {
            None => String::new(),
            Some(error) if json => self.as_json(error),
            Some(error) => Self::as_text(error),
        }
    }

    /// One line, so that a script finds it among lines of progress.
    fn as_json(&self, error: &anyhow::Error) -> String {
        let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
        let problems = match error.downcast_ref::<Error>() {
            Some(Error::Problems(Problems(problems))) => problems.as_slice(),
            _ => &[],
        };
        let error = json!({
            "message": error.to_string(), "causes": causes, "problems": problems, "exit_code": self.code,
        });
        format!("{}\n", json!({ "error": error }))
    }

    fn as_text(error: &anyhow::Error) -> String {
        let mut text = format!("error: {error}\n");
        for cause in error.chain().skip(1) {
            text.push_str(&format!("caused by: {cause}\n"));
        }
        // An error may quote a stranger's words; only our own ends of lines reach the terminal as they are.
        text.split_inclusive('\n')
            .map(|line| line.strip_suffix('\n').map_or(printable(line), |line| printable(line) + "\n"))
            .collect()
    }
}

/// What clap says is wrong, on one line, without its reminders of usage and help.
pub(crate) fn without_usage(said: &str) -> String {
    let said = said.strip_prefix("error: ").unwrap_or(said);
    let lines = said.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information")).collect();
    lines.join("; ").replace(":; ", ": ")
}

fn of_store(error: &StoreError) -> u8 {
    match error {
        StoreError::NotOpened(why) => of_store(why),
        StoreError::NoVersion { .. } | StoreError::Name(_) => WRONG_INPUT,
        StoreError::Damaged { .. } | StoreError::DamagedArtifact { .. } => NOT_VERIFIED,
        _ => CANNOT,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Problems(_) | Error::Name(_) | Error::Ingest(_) | Error::Stage { .. } => WRONG_INPUT,
            // A file that is not there was named wrongly.
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => WRONG_INPUT,
            Error::Damaged { .. } => NOT_VERIFIED,
            Error::Interrupted => INTERRUPTED,
            Error::Store(error) => of_store(error),
            _ => CANNOT,
        };
        Self { code, error: Some(error.into()) }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Error::from(error).into()
    }
}

impl From<stagewright_core::name::NameError> for Failure {
    fn from(error: stagewright_core::name::NameError) -> Self {
        Error::from(error).into()
    }
}
