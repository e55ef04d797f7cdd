//! What runs under way rely on, so that gc beside them leaves it alone.
//!
//! A run finds results of earlier runs and makes artifacts that nothing refers to before its record is kept. It holds
//! what it found by digest; what it makes is recognised by its time. While gc decides and removes, no run finds
//! anything: it waits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use stagewright_core::Digest;

/// The leases of one open project.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
pub(crate) struct Held {
    next: u64,
    runs: BTreeMap<u64, Run>,
}

#[derive(Debug)]
struct Run {
    began_ms: u64,
    digests: BTreeSet<Digest>,
}

/// One run's lease; what it holds is given up when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    leases: Leases,
    number: u64,
}

impl Leases {
    /// Begins a lease for a run that began at a time.
    pub(crate) fn begin(&self, began_ms: u64) -> Lease {
        let mut held = self.held();
        let number = held.next;
        held.next += 1;
        held.runs.insert(number, Run { began_ms, digests: BTreeSet::new() });
        drop(held);
        Lease { leases: self.clone(), number }
    }

    /// Everything that is held. As long as the guard lives, no run finds anything.
    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Every artifact that some run relies on.
    pub(crate) fn digests(&self) -> impl Iterator<Item = Digest> {
        self.runs.values().flat_map(|run| run.digests.iter().copied())
    }

    /// How many runs there are.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// When the oldest run under way began, in milliseconds since 1970; none where none is.
    pub(crate) fn oldest_ms(&self) -> Option<u64> {
        self.runs.values().map(|run| run.began_ms).min()
    }
}

impl Lease {
    /// Looks something up and holds what it names; gc cannot come between.
    pub(crate) fn find<T, E, I: IntoIterator<Item = Digest>>(
        &self,
        find: impl FnOnce() -> Result<T, E>,
        names: impl FnOnce(&T) -> I,
    ) -> Result<T, E> {
        let mut held = self.leases.held();
        let found = find()?;
        if let Some(run) = held.runs.get_mut(&self.number) {
            run.digests.extend(names(&found));
        }
        Ok(found)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.held().runs.remove(&self.number);
    }
}
