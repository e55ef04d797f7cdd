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

/// A bounded queue of questions, and the instances of the model that nobody uses. Whoever answers holds an instance,
/// and looks here again before letting go of it, so that no question is forgotten.
pub(super) struct Queue<Instance> {
    state: Mutex<State<Instance>>,
    ready: Condvar,
    most: usize,
}

struct State<Instance> {
    waiting: VecDeque<Question>,
    free: Vec<Instance>,
    idle: usize,
    closed: bool,
}

impl<Instance> Queue<Instance> {
    pub(super) fn new(most: usize) -> Self {
        let state = State { waiting: VecDeque::new(), free: Vec::new(), idle: 0, closed: false };
        Self { state: Mutex::new(state), ready: Condvar::new(), most }
    }

    fn state(&self) -> MutexGuard<'_, State<Instance>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a question behind all others, or gives it back with the reason why not. Where a thread is to answer it, one
    /// is woken; otherwise the caller sees to it by [`take_now`](Self::take_now) or [`wake`](Self::wake).
    pub(super) fn push(&self, question: Question, wake: bool) -> Result<(), (Question, Unanswered)> {
        let mut state = self.state();
        if state.closed {
            return Err((question, Unanswered::Stopping));
        }
        let waiting = state.waiting.len();
        if waiting >= self.most {
            return Err((question, Unanswered::Busy { waiting }));
        }
        state.waiting.push_back(question);
        let wake = wake && state.idle > 0;
        drop(state);
        if wake {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Puts questions back before all others, for a thread of the model. Gives them back where there may be none left.
    pub(super) fn put_back(&self, questions: Vec<Question>) -> Result<(), Vec<Question>> {
        let mut state = self.state();
        if state.closed {
            return Err(questions);
        }
        questions.into_iter().rev().for_each(|question| state.waiting.push_front(question));
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Wakes a thread of the model, where questions wait that were pushed without that.
    pub(super) fn wake(&self) {
        if self.len() > 0 {
            self.ready.notify_one();
        }
    }

    /// Waits for questions and for an instance, where the caller holds none, and takes the questions that are next: one,
    /// and as many behind it as have no more than `rows` rows together. None, and no instance, once the queue is closed
    /// and empty.
    pub(super) fn take(&self, rows: usize, held: &mut Option<Instance>) -> Option<Vec<Question>> {
        let mut state = self.state();
        loop {
            if state.waiting.is_empty() {
                state.free.extend(held.take());
                if state.closed {
                    return None;
                }
            } else if state.hand_out(held) {
                // Threads that are idle, with an instance for each, take a share.
                let share = state.waiting.len().div_ceil(1 + state.idle.min(state.free.len()));
                let taken = state.next(rows, share);
                self.tell_the_last(&state);
                return Some(taken);
            }
            state.idle += 1;
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// The same without waiting: none where no question waits or no instance is free, and then none is held.
    pub(super) fn take_now(&self, rows: usize, held: &mut Option<Instance>) -> Option<Vec<Question>> {
        let mut state = self.state();
        if state.waiting.is_empty() {
            state.free.extend(held.take());
            return None;
        }
        let taken = state.hand_out(held).then(|| state.next(rows, usize::MAX));
        self.tell_the_last(&state);
        taken
    }

    /// Nobody may wait any longer once the queue is closed and empty.
    fn tell_the_last(&self, state: &State<Instance>) {
        if state.closed && state.waiting.is_empty() {
            self.ready.notify_all();
        }
    }

    /// Adds an instance that nobody uses.
    pub(super) fn add(&self, instance: Instance) {
        let mut state = self.state();
        state.free.push(instance);
        let wake = !state.waiting.is_empty();
        drop(state);
        if wake {
            self.ready.notify_one();
        }
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

impl<Instance> State<Instance> {
    /// Sees to it that the caller holds an instance, if there is one.
    fn hand_out(&mut self, held: &mut Option<Instance>) -> bool {
        if held.is_none() {
            *held = self.free.pop();
        }
        held.is_some()
    }

    fn next(&mut self, rows: usize, share: usize) -> Vec<Question> {
        let (mut taken, mut sum) = (Vec::with_capacity(share.min(self.waiting.len())), 0);
        while let Some(next) = self.waiting.front() {
            sum += next.rows.rows as usize;
            if !taken.is_empty() && (sum > rows || taken.len() >= share) {
                break;
            }
            taken.extend(self.waiting.pop_front());
        }
        taken
    }
}
