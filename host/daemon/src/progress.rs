//! Progress of a run, in words: a live line for each running step on a terminal, plain lines elsewhere.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use stagewright::run::Watcher;
use stagewright_core::record::{Level, LogLine, StageRun, Status};

use crate::{listener::Listener, text};

/// Tells of a run to whoever listens.
pub(crate) struct Progress(Listener);

impl Progress {
    pub(crate) const fn new(listener: Listener) -> Self {
        Self(listener)
    }

    /// Tells something in a line of its own.
    pub(crate) fn line(&self, text: &str) {
        self.0.line(text);
    }

    fn bar(&self, stage: &str, message: String) {
        self.0.bar(stage, &message);
    }
}

/// Moving lines on a terminal, one for each stage that runs.
#[derive(Default)]
pub(crate) struct Bars {
    all: MultiProgress,
    bars: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Bars {
    /// Prints a line above them.
    pub(crate) fn line(&self, text: &str) {
        // A terminal that cannot be written shows no progress; the run does not depend on it.
        let _ = self.all.println(text);
    }

    /// Shows what a stage is doing.
    pub(crate) fn set(&self, stage: &str, message: &str) {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bars.entry(stage.to_owned()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{spinner} {prefix:16} {wide_msg} {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(stage.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        bar.set_message(message.to_owned());
    }

    /// Removes a stage's line.
    pub(crate) fn end(&self, stage: &str) {
        if let Some(bar) = self.bars.lock().unwrap_or_else(PoisonError::into_inner).remove(stage) {
            bar.finish_and_clear();
        }
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
        self.0.bar_moves(stage, &format!("{}: {how_far}", text::printable(step)));
    }

    fn log(&self, stage: &str, line: &LogLine) {
        if line.level >= Level::Warn {
            self.line(&format!("  {stage}: {}", text::printable(&line.message)));
        }
    }

    fn stage_ended(&self, stage: &StageRun) {
        self.0.bar_ends(&stage.name);
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
