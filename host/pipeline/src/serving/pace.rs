//! How quickly a model answers: whether waking one of its threads costs more than asking it.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// A question that takes longer is left to a thread of the model.
const QUICK_NS: u64 = 500_000;
/// How long a model whose answer was not as quick as it seemed is left to its own threads.
const REST: Duration = Duration::from_secs(10);
/// The part of the newest measurement in the average.
const NEWEST: u64 = 16;

/// What is known of a model's pace.
#[derive(Debug)]
pub(super) struct Pace {
    /// What a row took on average, its part of the call included; the largest number where nothing is known.
    row_ns: AtomicU64,
    resting: AtomicU64,
    until: Mutex<Option<Instant>>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { row_ns: AtomicU64::new(u64::MAX), resting: AtomicU64::new(0), until: Mutex::default() }
    }
}

impl Pace {
    /// Whether so many rows are answered quickly.
    pub(super) fn is_quick(&self, rows: u32) -> bool {
        self.row_ns.load(Relaxed).saturating_mul(u64::from(rows)) <= QUICK_NS && !self.is_resting()
    }

    /// Learns from a call.
    pub(super) fn took(&self, elapsed: Duration, rows: u32) {
        let newest = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX) / u64::from(rows.max(1));
        let average = match self.row_ns.load(Relaxed) {
            u64::MAX => newest,
            average => average / NEWEST * (NEWEST - 1) + newest / NEWEST,
        };
        self.row_ns.store(average, Relaxed);
    }

    /// The model crashed, or took much longer than it should have.
    pub(super) fn rest(&self) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
        self.resting.store(1, Relaxed);
    }

    fn is_resting(&self) -> bool {
        if self.resting.load(Relaxed) == 0 {
            return false;
        }
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let resting = until.is_some_and(|until| Instant::now() < until);
        if !resting {
            *until = None;
            self.resting.store(0, Relaxed);
        }
        resting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_quick_once_it_was_and_for_as_many_rows_as_it_answers_quickly() {
        let pace = Pace::default();
        assert!(!pace.is_quick(1));
        pace.took(Duration::from_micros(100), 10);
        assert!(pace.is_quick(50) && !pace.is_quick(51));
        (0..100).for_each(|_| pace.took(Duration::from_millis(1), 1));
        assert!(!pace.is_quick(1));
    }

    #[test]
    fn a_model_that_went_wrong_rests() {
        let pace = Pace::default();
        pace.took(Duration::from_micros(1), 1);
        pace.rest();
        assert!(!pace.is_quick(1));
    }
}
