//! Threads that may call guests.
//!
//! A guest runs on its caller's stack. Where that is smaller than what the engine lets a guest have, a deep recursion
//! ends the process instead of the guest.

use std::{cell::Cell, io, marker::PhantomData, thread::JoinHandle};

use crate::{StageError, limits::THREAD_STACK_BYTES};

/// Shows that the thread at hand has a stack far larger than a guest's. It cannot leave its thread.
#[derive(Debug)]
pub struct LargeStack(PhantomData<*const ()>);

thread_local! {
    static DECLARED: Cell<bool> = const { Cell::new(false) };
}

impl LargeStack {
    /// The stack of a thread that may call guests, in bytes.
    pub const BYTES: usize = THREAD_STACK_BYTES;

    /// Says that the thread at hand was started with a stack of [`BYTES`](Self::BYTES), by somebody who starts threads
    /// in another way than [`spawn`](Self::spawn).
    pub fn declare() {
        DECLARED.set(true);
    }

    /// The thread at hand, where that was [declared](Self::declare).
    pub fn here() -> Option<Self> {
        DECLARED.get().then_some(Self(PhantomData))
    }

    /// Starts a thread that may call guests.
    ///
    /// # Errors
    /// The operating system has no further thread.
    pub fn spawn<T: Send + 'static>(
        name: &str,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(THREAD_STACK_BYTES);
        thread.spawn(|| work(&Self(PhantomData)))
    }

    /// Calls on such a thread and waits for it.
    pub(crate) fn call<T: Send>(call: impl FnOnce(&Self) -> Result<T, StageError> + Send) -> Result<T, StageError> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(THREAD_STACK_BYTES);
            let thread = thread.spawn_scoped(scope, || call(&Self(PhantomData)));
            let thread = thread.map_err(|error| StageError::host("no thread could be started", error))?;
            thread.join().unwrap_or_else(|_| Err(StageError::WorkerDied("a thread of the host panicked".to_owned())))
        })
    }
}
