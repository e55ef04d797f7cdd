//! A thread of a model: it takes questions, answers them together where it can, and replaces its instance where that
//! crashed.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use stagewright_core::Batch;
use stagewright_runtime::{FailureKind, LargeStack, Served, StageError};

use super::{
    alarm::{Alarm, Trouble},
    queue::{Answer, Question, Unanswered},
    servable::Shared,
};

/// Rows are handed to a model in parts of this many, so that what featurizers make of them stays within a batch.
const PART: usize = 8192;
/// Requests that are answered together may take this part of the time that one alone may take, so that one that loops
/// leaves time for the others.
const SHARE: u32 = 20;
/// A shorter time would find slow machines guilty.
const LEAST: Duration = Duration::from_millis(20);

/// Answers until the queue is closed and empty.
pub(super) fn work(shared: &Shared, mut instance: Option<Served>, stack: &LargeStack) {
    while let Some(questions) = shared.queue.take(shared.together.load(Relaxed)) {
        let worker = Worker { shared, stack };
        let answered = catch_unwind(AssertUnwindSafe(|| worker.answer(questions, &mut instance)));
        if answered.is_err() {
            // Whoever waited is told by the end of their question. The instance may be in any state.
            instance = None;
            shared.alarm(Trouble::Host, "the host panicked while a model answered");
        }
    }
}

struct Worker<'a> {
    shared: &'a Shared,
    stack: &'a LargeStack,
}

impl Worker<'_> {
    fn answer(&self, questions: Vec<Question>, instance: &mut Option<Served>) {
        let now = Instant::now();
        let (mut questions, late): (Vec<_>, Vec<_>) =
            questions.into_iter().partition(|question| question.deadline > now);
        late.into_iter().for_each(|question| self.reply(question, Err(Unanswered::Late)));
        match questions.len() {
            0 => {}
            1 => questions.drain(..).for_each(|question| self.alone(question, instance, self.shared.timeout)),
            _ => self.together(questions, instance),
        }
    }

    /// One call for all; where it fails, each is asked alone, and whoever takes long comes last.
    fn together(&self, questions: Vec<Question>, instance: &mut Option<Served>) {
        let short = (self.shared.timeout / SHARE).max(LEAST).min(self.shared.timeout);
        let batches: Vec<&Batch> = questions.iter().map(|question| &question.rows).collect();
        let all = Batch::concat(self.shared.input(), &batches);
        match self.predict(all, instance, short, None) {
            Ok((_, predictions)) => {
                let mut start = 0;
                for question in questions {
                    let end = start + question.rows.rows as usize;
                    let part = predictions.slice(self.shared.output(), start..end);
                    start = end;
                    self.good(question, part);
                }
            }
            Err(error) => {
                let looped = matches!(error, StageError::TimedOut { .. });
                self.replace(&error, instance);
                let mut slow = Vec::new();
                for question in questions {
                    match self.predict(question.rows.clone(), instance, short, Some(question.deadline)) {
                        Ok((_, predictions)) => self.good(question, predictions),
                        Err(error @ StageError::TimedOut { .. }) if short < self.shared.timeout => {
                            self.replace(&error, instance);
                            slow.push(question);
                        }
                        Err(error) => self.bad(question, error, instance),
                    }
                }
                if looped && slow.is_empty() {
                    // Nobody was to blame: together they were just too many.
                    let _ = self.shared.together.fetch_update(Relaxed, Relaxed, |rows| Some((rows / 2).max(1)));
                }
                slow.into_iter().for_each(|question| self.alone(question, instance, self.shared.timeout));
            }
        }
    }

    fn alone(&self, mut question: Question, instance: &mut Option<Served>, time: Duration) {
        let rows = std::mem::take(&mut question.rows);
        match self.predict(rows, instance, time, Some(question.deadline)) {
            Ok((rows, predictions)) => {
                question.rows = rows;
                self.good(question, predictions);
            }
            Err(error) => self.bad(question, error, instance),
        }
    }

    /// Asks the instance, which is made where there is none.
    fn predict(
        &self,
        rows: Batch,
        instance: &mut Option<Served>,
        time: Duration,
        deadline: Option<Instant>,
    ) -> Result<(Batch, Batch), StageError> {
        let served = match instance {
            Some(served) => served,
            None => instance.insert(self.shared.model.instance(self.stack)?),
        };
        self.shared.counters.calls.fetch_add(1, Relaxed);
        if rows.rows as usize <= PART {
            return served.predict(rows, time, self.stack);
        }
        let mut parts = Vec::new();
        for start in (0..rows.rows as usize).step_by(PART) {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(StageError::Cancelled);
            }
            let part = rows.slice(self.shared.input(), start..(start + PART).min(rows.rows as usize));
            parts.push(served.predict(part, time, self.stack)?.1);
        }
        Ok((rows, Batch::concat(self.shared.output(), &parts)))
    }

    fn good(&self, question: Question, predictions: Batch) {
        let counters = &self.shared.counters;
        counters.answered.fetch_add(1, Relaxed);
        counters.rows.fetch_add(u64::from(predictions.rows), Relaxed);
        let Question { rows, reply, .. } = question;
        reply(Ok(Answer { rows, predictions }));
    }

    fn bad(&self, question: Question, error: StageError, instance: &mut Option<Served>) {
        let crashed = self.replace(&error, instance);
        let unanswered = match (error, crashed) {
            (StageError::Failed { kind: FailureKind::InvalidData, message }, _) => Unanswered::Refused(message),
            (error, Some(trouble)) => {
                let message = self.shared.explain(&error);
                self.shared.alarm(trouble, &message);
                Unanswered::Failed(message)
            }
            (StageError::Cancelled, None) => Unanswered::Late,
            (error, None) => Unanswered::Failed(error.to_string()),
        };
        self.reply(question, Err(unanswered));
    }

    /// Replaces an instance that crashed, and says how it did.
    fn replace(&self, error: &StageError, instance: &mut Option<Served>) -> Option<Trouble> {
        let trouble = Trouble::of(error)?;
        *instance = None;
        self.shared.counters.replaced.fetch_add(1, Relaxed);
        // At once, so that the next request does not wait for it. Where it fails, the next request says why.
        *instance = self.shared.model.instance(self.stack).ok();
        Some(trouble)
    }

    fn reply(&self, question: Question, answer: Result<Answer, Unanswered>) {
        self.shared.counters.unanswered.fetch_add(1, Relaxed);
        (question.reply)(answer);
    }
}

impl Shared {
    /// Raises an alarm about this model.
    pub(super) fn alarm(&self, trouble: Trouble, message: &str) {
        self.alarms.raise(Alarm { model: self.version.clone(), trouble, message: message.to_owned() });
    }

    /// An error in the words of the settings that hold here.
    fn explain(&self, error: &StageError) -> String {
        match error {
            StageError::TimedOut { .. } => {
                let seconds = self.timeout.as_secs_f64();
                format!("it computed for longer than {seconds} s (`serve.timeout` in stagewright.toml raises this)")
            }
            StageError::MemoryLimit { limit } => {
                format!("it needs more than {} MiB (`serve.memory` in stagewright.toml raises this)", limit >> 20)
            }
            error => error.to_string(),
        }
    }
}
