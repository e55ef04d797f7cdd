//! Requests that wait for a model.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use stagewright_core::Batch;

/// Rows that somebody wants predictions for.
pub struct Question {
    /// The rows, checked, with the columns of the servable's form.
    pub rows: Batch,
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
    /// Called once, on a thread of the model; it must not block.
    pub reply: Box<dyn FnOnce(Result<Answer, Unanswered>) + Send>,
}

/// Predictions, and the rows that they are for.
#[derive(Debug)]
pub struct Answer {
    /// The rows of the question.
    pub rows: Batch,
    /// A prediction for each, in order.
    pub predictions: Batch,
}

/// Why a question has no answer. Each variant is another's to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unanswered {
    /// The caller's, by asking later, or the operator's: too many requests wait.
    #[error("{waiting} requests wait for this model already; ask again later (`serve.queue` in stagewright.toml)")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// The caller's, by asking elsewhere: the model is being taken out of service.
    #[error("the model is being stopped")]
    Stopping,
    /// The operator's: there was no answer in time.
    #[error("there was no answer in time (`serve.timeout` in stagewright.toml)")]
    Late,
    /// The caller's: the model says that it cannot answer for these rows.
    #[error("the model refuses these rows: {0}")]
    Refused(String),
    /// The model's author's: it crashed, looped or broke the contract while it answered.
    #[error("the model failed while it answered this request: {0}")]
    Failed(String),
    /// The operator's: no instance of the model can be made.
    #[error("the model cannot be started: {0}")]
    Unavailable(String),
}

/// A bounded queue with one end for callers and one for the threads of a model.
pub(super) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    most: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Question>,
    idle: usize,
    closed: bool,
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self { state: Mutex::default(), ready: Condvar::new(), most }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a question behind all others, or gives it back with the reason why not.
    pub(super) fn push(&self, question: Question) -> Result<(), (Question, Unanswered)> {
        let mut state = self.state();
        if state.closed {
            return Err((question, Unanswered::Stopping));
        }
        let waiting = state.waiting.len();
        if waiting >= self.most {
            return Err((question, Unanswered::Busy { waiting }));
        }
        state.waiting.push_back(question);
        let wake = state.idle > 0;
        drop(state);
        if wake {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Waits for questions and takes those that are next: one, and as many behind it as have no more than `rows` rows
    /// together. None once the queue is closed and empty.
    pub(super) fn take(&self, rows: usize) -> Option<Vec<Question>> {
        let mut state = self.state();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
        // Whoever is idle takes a share.
        let share = state.waiting.len().div_ceil(1 + state.idle);
        let (mut taken, mut sum) = (Vec::with_capacity(share), 0);
        while let Some(next) = state.waiting.front() {
            sum += next.rows.rows as usize;
            if !taken.is_empty() && (sum > rows || taken.len() >= share) {
                break;
            }
            taken.extend(state.waiting.pop_front());
        }
        Some(taken)
    }

    /// Takes no further question. Those that wait are still answered.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.ready.notify_all();
    }

    pub(super) fn len(&self) -> usize {
        self.state().waiting.len()
    }
}
