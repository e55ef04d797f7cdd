//! Alarms: a model that crashes or loops while it answers is a fact that somebody must hear of.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::json;
use stagewright_core::canonical;
use stagewright_runtime::StageError;

use super::ModelVersion;
use crate::{error::Result, project::Project};

/// The collection of alarms in the ledger, by time and number.
pub const ALARMS: &str = "alarm";
/// The same trouble with the same model is recorded once in this time, with how often it was.
const EVERY: Duration = Duration::from_secs(60);
/// Alarms that wait to be recorded; further ones are still logged.
const WAITING: usize = 256;

/// What a model did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// It crashed.
    Trapped,
    /// It computed for too long.
    Looped,
    /// It wanted too much memory.
    Memory,
    /// It recursed too deeply.
    Stack,
    /// It returned what breaks the contract.
    BadOutput,
    /// The host itself failed.
    Host,
}

impl Trouble {
    /// What an error says about the model; none where it only gave up.
    pub(super) fn of(error: &StageError) -> Option<Self> {
        Some(match error {
            StageError::Failed { .. } | StageError::Cancelled => return None,
            StageError::Trapped { .. } => Self::Trapped,
            StageError::TimedOut { .. } => Self::Looped,
            StageError::MemoryLimit { .. } => Self::Memory,
            StageError::StackOverflow { .. } => Self::Stack,
            StageError::BadOutput { .. } | StageError::OutputLimit { .. } => Self::BadOutput,
            _ => Self::Host,
        })
    }

    /// The trouble in a word, as in records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trapped => "trapped",
            Self::Looped => "looped",
            Self::Memory => "memory",
            Self::Stack => "stack",
            Self::BadOutput => "bad-output",
            Self::Host => "host",
        }
    }
}

/// A model that misbehaved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Which model.
    pub model: ModelVersion,
    /// What it did.
    pub trouble: Trouble,
    /// The particulars.
    pub message: String,
}

/// Who hears alarms.
pub trait Alarms: Send + Sync {
    /// Raises one. Must not block.
    fn raise(&self, alarm: Alarm);
}

/// Logs alarms and records them in the ledger: the first at once, the same again at most once a minute.
pub struct LedgerAlarms {
    sender: Mutex<Option<SyncSender<Alarm>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LedgerAlarms {
    /// Starts the thread that writes them.
    ///
    /// # Errors
    /// The operating system has no further thread.
    pub fn start(project: &Project) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let project = project.clone();
        let thread = std::thread::Builder::new().name("alarms".to_owned());
        let thread = thread.spawn(move || Recorder { project, pending: HashMap::new(), number: 0 }.run(&receiver))?;
        Ok(Self { sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Records what is pending and ends the thread.
    pub fn stop(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl Alarms for LedgerAlarms {
    fn raise(&self, alarm: Alarm) {
        tracing::error!(
            model = %alarm.model, digest = %alarm.model.digest, trouble = alarm.trouble.as_str(),
            problem = alarm.message, "alarm: a model failed while it answered"
        );
        if let Some(sender) = &*self.sender.lock().unwrap_or_else(PoisonError::into_inner) {
            // Where too many wait, the log has this one.
            let _ = sender.try_send(alarm);
        }
    }
}

struct Recorder {
    project: Project,
    /// When each trouble was last recorded, and what came since.
    pending: HashMap<(String, Trouble), (Instant, u64, Option<Alarm>)>,
    number: u64,
}

impl Recorder {
    fn run(mut self, alarms: &Receiver<Alarm>) {
        loop {
            match alarms.recv_timeout(EVERY) {
                Ok(alarm) => self.hear(alarm),
                Err(RecvTimeoutError::Timeout) => self.flush(|since| since.elapsed() >= EVERY),
                Err(RecvTimeoutError::Disconnected) => return self.flush(|_| true),
            }
        }
    }

    fn hear(&mut self, alarm: Alarm) {
        let key = (alarm.model.to_string(), alarm.trouble);
        match self.pending.get_mut(&key) {
            Some((since, count, last)) if since.elapsed() < EVERY => {
                *count += 1;
                *last = Some(alarm);
            }
            _ => {
                let before = self.pending.insert(key, (Instant::now(), 0, None)).map_or(0, |(_, count, _)| count);
                self.record(&alarm, before + 1);
            }
        }
    }

    fn flush(&mut self, due: impl Fn(&Instant) -> bool) {
        let mut recorded = Vec::new();
        self.pending.retain(|_, (since, count, last)| {
            if !due(since) {
                return true;
            }
            recorded.extend(last.take().map(|alarm| (alarm, *count)));
            false
        });
        recorded.into_iter().for_each(|(alarm, count)| self.record(&alarm, count));
    }

    fn record(&mut self, alarm: &Alarm, count: u64) {
        self.number += 1;
        if let Err(error) = self.write(alarm, count) {
            tracing::error!(%error, model = %alarm.model, "an alarm could not be recorded in the ledger");
        }
    }

    fn write(&self, alarm: &Alarm, count: u64) -> Result<()> {
        let actor = self.project.actor();
        let key = [actor.at_ms.to_be_bytes(), self.number.to_be_bytes()].concat();
        let record = json!({
            "at_ms": actor.at_ms, "model": alarm.model, "trouble": alarm.trouble, "message": alarm.message,
            "count": count,
        });
        let mut transaction = self.project.store.ledger()?.begin(&actor)?;
        transaction.put_record(ALARMS, &key, &canonical::to_vec(&record))?;
        transaction.audit(json!({
            "action": "alarm", "model": alarm.model.name, "number": alarm.model.number, "trouble": alarm.trouble,
            "count": count,
        }));
        transaction.commit()?;
        Ok(())
    }
}
