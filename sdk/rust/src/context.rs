//! What a stage sees of the world. Natively there is no host: lines go nowhere, the seed is 0, nothing is cancelled.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

#[cfg(target_family = "wasm")]
use crate::bindings::stagewright::stage::context;

pub use crate::bindings::stagewright::stage::context::Level;

/// Writes a line into the run's log.
pub fn log(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    context::log(level, message);
    #[cfg(not(target_family = "wasm"))]
    let _ = (level, message);
}

/// Writes a line for whoever reads the run.
pub fn info(message: &str) {
    log(Level::Info, message);
}

/// Writes a line about something to look at.
pub fn warn(message: &str) {
    log(Level::Warn, message);
}

/// Moves the progress bar; `total` is 0 where it is not known.
pub fn progress(done: u64, total: u64) {
    #[cfg(target_family = "wasm")]
    context::progress(done, total);
    #[cfg(not(target_family = "wasm"))]
    let _ = (done, total);
}

/// Adds a point to a curve that is kept with the run.
pub fn metric(name: &str, step: u64, value: f64) {
    #[cfg(target_family = "wasm")]
    context::metric(name, step, value);
    #[cfg(not(target_family = "wasm"))]
    let _ = (name, step, value);
}

/// Returns the seed of this stage.
pub fn seed() -> u64 {
    #[cfg(target_family = "wasm")]
    return context::seed();
    #[cfg(not(target_family = "wasm"))]
    0
}

/// Whether the run was cancelled: return early, with any result.
pub fn cancelled() -> bool {
    #[cfg(target_family = "wasm")]
    return context::cancelled();
    #[cfg(not(target_family = "wasm"))]
    false
}

/// Returns the generator for a seed: the same numbers on every machine.
pub fn rng(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

/// Makes a panic leave its message in the log before the sandbox traps.
pub fn log_panics() {
    #[cfg(target_family = "wasm")]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string()))));
    }
}
