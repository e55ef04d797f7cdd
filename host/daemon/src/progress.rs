//! Progress on standard error: a live line for each running step on a terminal, plain lines elsewhere.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use stagewright::run::Watcher;
use stagewright_core::record::{Level, LogLine, StageRun, Status};

use crate::text;

/// How progress is told.
pub(crate) enum Progress {
    /// Not at all.
    Quiet,
    /// A line when something ends.
    Plain,
    /// Moving lines.
    Live { all: MultiProgress, bars: Mutex<BTreeMap<String, ProgressBar>> },
}

impl Progress {
    /// Live on a terminal, plain elsewhere, nothing if quiet.
    pub(crate) fn new(quiet: bool) -> Self {
        match quiet {
            true => Self::Quiet,
            false if std::io::stderr().is_terminal() => {
                Self::Live { all: MultiProgress::new(), bars: Mutex::default() }
            }
            false => Self::Plain,
        }
    }

    /// Tells something in a line of its own.
    pub(crate) fn line(&self, text: &str) {
        match self {
            Self::Quiet => {}
            Self::Plain => {
                let _ = writeln!(std::io::stderr(), "{text}");
            }
            Self::Live { all, .. } => {
                let _ = all.println(text);
            }
        }
    }

    fn bar(&self, stage: &str, message: String) {
        let Self::Live { all, bars } = self else { return };
        let mut bars = bars.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bars.entry(stage.to_owned()).or_insert_with(|| {
            let bar = all.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{spinner} {prefix:16} {wide_msg} {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(stage.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        bar.set_message(message);
    }
}

impl Watcher for Progress {
    fn stage_began(&self, stage: &str) {
        self.bar(stage, String::new());
    }

    fn step_began(&self, stage: &str, step: &str) {
        self.bar(stage, text::printable(step));
    }

    fn compiling(&self, stage: &str, step: &str) {
        self.bar(stage, format!("{}: compiling the plugin (once)", text::printable(step)));
    }

    fn progress(&self, stage: &str, step: &str, done: u64, total: u64) {
        let how_far = match total {
            0 => text::count(done),
            total => format!("{} of {}", text::count(done), text::count(total)),
        };
        self.bar(stage, format!("{}: {how_far}", text::printable(step)));
    }

    fn log(&self, stage: &str, line: &LogLine) {
        if line.level >= Level::Warn {
            self.line(&format!("  {stage}: {}", text::printable(&line.message)));
        }
    }

    fn stage_ended(&self, stage: &StageRun) {
        if let Self::Live { bars, .. } = self
            && let Some(bar) = bars.lock().unwrap_or_else(PoisonError::into_inner).remove(&stage.name)
        {
            bar.finish_and_clear();
        }
        let mark = match &stage.status {
            Status::Succeeded if stage.cached() => "=",
            Status::Succeeded => "+",
            Status::Skipped => "-",
            _ => "x",
        };
        let how = match &stage.status {
            Status::Succeeded if stage.cached() => "known already".to_owned(),
            Status::Succeeded => {
                let ran = stage.steps.iter().filter(|step| !step.cached).count();
                let steps = if stage.steps.len() > 1 {
                    format!(", {ran} of {} steps", stage.steps.len())
                } else {
                    String::new()
                };
                format!("{}{steps}", text::duration(stage.elapsed_ms()))
            }
            Status::Failed { message } | Status::Violated { message } => {
                format!("{}: {}", stage.status.as_str(), text::printable(message))
            }
            Status::Cancelled | Status::Skipped => stage.status.as_str().to_owned(),
        };
        self.line(&format!("{mark} {:16} {how}", stage.name));
    }
}
