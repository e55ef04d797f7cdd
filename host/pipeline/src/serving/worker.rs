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
/// Whoever answers in between, on a thread that has other things to do, goes back to those after this time.
const IN_BETWEEN: Duration = Duration::from_millis(5);

/// Answers until the queue is closed and empty, on a thread of the model.
pub(super) fn work(shared: &Shared, stack: &LargeStack) {
    let mut held = None;
    while let Some(questions) = shared.queue.take(shared.together.load(Relaxed), &mut held) {
        shared.guarded(&mut held, |instance| Worker { shared, stack }.answer(questions, instance));
    }
}

/// Answers what waits, on a thread that has other things to do. What goes wrong, and what takes too long, is left to
/// the model's own threads.
pub(super) fn work_in_between(shared: &Shared, stack: &LargeStack) {
    let began = Instant::now();
    let mut held = None;
    while shared.pace.is_quick(1)
        && let Some(questions) = shared.queue.take_now(shared.together.load(Relaxed), &mut held)
    {
        let left = shared.guarded(&mut held, |instance| Worker { shared, stack }.answer_quickly(questions, instance));
        if let Some(left) = left.filter(|left| !left.is_empty()) {
            shared.pace.rest();
            if let Err(left) = shared.queue.put_back(left) {
                let worker = Worker { shared, stack };
                left.into_iter().for_each(|question| worker.reply(question, Err(Unanswered::Stopping)));
            }
        }
        if began.elapsed() > IN_BETWEEN {
            break;
        }
    }
    if let Some(instance) = held {
        shared.queue.add(instance);
    }
    shared.queue.wake();
}

struct Worker<'a> {
    shared: &'a Shared,
    stack: &'a LargeStack,
}

impl Worker<'_> {
    fn answer(&self, questions: Vec<Question>, instance: &mut Option<Served>) {
        let mut questions = self.in_time(questions);
        match questions.len() {
            0 => {}
            1 => questions.drain(..).for_each(|question| self.alone(question, instance)),
            _ => self.together(questions, instance),
        }
    }

    /// Answers with one short call. Returns those that have no answer yet.
    fn answer_quickly(&self, questions: Vec<Question>, instance: &mut Option<Served>) -> Vec<Question> {
        let mut questions = self.in_time(questions);
        if questions.is_empty() {
            return questions;
        }
        match self.all(&mut questions, instance, LEAST.min(self.shared.timeout)) {
            Ok(predictions) => self.good_all(questions, predictions),
            // The model gave up in good order: its word to each of them.
            Err(StageError::Failed { .. }) => {
                questions.into_iter().for_each(|question| self.alone(question, instance));
            }
            Err(error) => {
                self.replace(&error, instance);
                return questions;
            }
        }
        Vec::new()
    }

    /// Those that somebody waits for yet.
    fn in_time(&self, questions: Vec<Question>) -> Vec<Question> {
        let now = Instant::now();
        if questions.iter().all(|question| question.deadline > now) {
            return questions;
        }
        let (questions, late): (Vec<_>, Vec<_>) = questions.into_iter().partition(|question| question.deadline > now);
        late.into_iter().for_each(|question| self.reply(question, Err(Unanswered::Late)));
        questions
    }

    /// One call for all; where it fails, each is asked alone, and whoever takes long comes last.
    fn together(&self, mut questions: Vec<Question>, instance: &mut Option<Served>) {
        let short = (self.shared.timeout / SHARE).max(LEAST).min(self.shared.timeout);
        match self.all(&mut questions, instance, short) {
            Ok(predictions) => self.good_all(questions, predictions),
            Err(error) => {
                let looped = matches!(error, StageError::TimedOut { .. });
                self.replace(&error, instance);
                let mut slow = Vec::new();
                for mut question in questions {
                    match self.predict(&mut question.rows, instance, short, Some(question.deadline)) {
                        Ok(predictions) => self.good(question, predictions),
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
                slow.into_iter().for_each(|question| self.alone(question, instance));
            }
        }
    }

    fn alone(&self, mut question: Question, instance: &mut Option<Served>) {
        match self.predict(&mut question.rows, instance, self.shared.timeout, Some(question.deadline)) {
            Ok(predictions) => self.good(question, predictions),
            Err(error) => self.bad(question, error, instance),
        }
    }

    /// Asks for all of them with one call.
    fn all(
        &self,
        questions: &mut [Question],
        instance: &mut Option<Served>,
        time: Duration,
    ) -> Result<Batch, StageError> {
        if let [question] = questions {
            return self.predict(&mut question.rows, instance, time, Some(question.deadline));
        }
        let batches: Vec<&Batch> = questions.iter().map(|question| &question.rows).collect();
        self.predict(&mut Batch::concat(self.shared.input(), &batches), instance, time, None)
    }

    /// Asks the instance, which is made where there is none. The rows stay as they are.
    fn predict(
        &self,
        rows: &mut Batch,
        instance: &mut Option<Served>,
        time: Duration,
        deadline: Option<Instant>,
    ) -> Result<Batch, StageError> {
        let served = match instance {
            Some(served) => served,
            None => instance.insert(self.shared.model.instance(self.stack)?),
        };
        self.shared.counters.calls.fetch_add(1, Relaxed);
        if rows.rows as usize <= PART {
            let began = Instant::now();
            let (same, predictions) = served.predict(std::mem::take(rows), time, self.stack);
            *rows = same;
            self.shared.pace.took(began.elapsed(), rows.rows);
            return predictions;
        }
        let mut parts = Vec::new();
        for start in (0..rows.rows as usize).step_by(PART) {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(StageError::Cancelled);
            }
            let part = rows.slice(self.shared.input(), start..(start + PART).min(rows.rows as usize));
            parts.push(served.predict(part, time, self.stack).1?);
        }
        Ok(Batch::concat(self.shared.output(), &parts))
    }

    fn good_all(&self, questions: Vec<Question>, predictions: Batch) {
        let mut start = 0;
        for question in questions {
            let end = start + question.rows.rows as usize;
            let part = match (start, end) {
                (0, end) if end == predictions.rows as usize => predictions.clone(),
                _ => predictions.slice(self.shared.output(), start..end),
            };
            start = end;
            self.good(question, part);
        }
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
    /// Does work that needs an instance; where it panics, the instance is given up. Whoever waited is told by the end of
    /// their question.
    fn guarded<T>(&self, held: &mut Option<Option<Served>>, work: impl FnOnce(&mut Option<Served>) -> T) -> Option<T> {
        let instance = held.get_or_insert_default();
        match catch_unwind(AssertUnwindSafe(|| work(&mut *instance))) {
            Ok(done) => Some(done),
            Err(_) => {
                *instance = None;
                self.alarm(Trouble::Host, "the host panicked while a model answered");
                None
            }
        }
    }

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
