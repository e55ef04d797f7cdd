//! Threads that may call guests.
//!
//! A guest runs on its caller's stack. Where that is smaller than what the engine lets a guest have, a deep recursion
//! ends the process instead of the guest.

use std::{io, marker::PhantomData, thread::JoinHandle};

use crate::{StageError, limits::THREAD_STACK_BYTES};

/// Shows that the thread at hand has a stack far larger than a guest's. It cannot leave its thread.
#[derive(Debug)]
pub struct LargeStack(PhantomData<*const ()>);

impl LargeStack {
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
