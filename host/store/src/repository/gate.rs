//! Lets transactions and gc take turns: a transaction may rely on a chunk that it found in the index.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// How long gc waits for open transactions.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    closed: bool,
}

/// A transaction is open.
#[derive(Debug)]
pub(crate) struct Entered<'a>(&'a Gate);

/// No transaction is open, and none can begin.
#[derive(Debug)]
pub(crate) struct Closed<'a>(&'a Gate);

impl Gate {
    /// Waits only for a gc that is under way, never for one that is waiting.
    pub(crate) fn enter(&self) -> Entered<'_> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.changed.wait_while(state, |state| state.closed).unwrap_or_else(PoisonError::into_inner);
        state.open += 1;
        Entered(self)
    }

    /// Waits until no transaction is open; none if that takes too long.
    pub(crate) fn close(&self) -> Option<Closed<'_>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = |state: &mut State| state.open > 0 || state.closed;
        let waited = self.changed.wait_timeout_while(state, PATIENCE, busy);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if busy(&mut state) {
            return None;
        }
        state.closed = true;
        Some(Closed(self))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.open -= 1);
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.closed = false);
    }
}
