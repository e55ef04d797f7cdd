//! Every switch that decides how guests are compiled and run, each with its reason.
//!
//! What is not here does not vary: the same component, arguments and seed give the same bytes on every machine.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use stagewright_core::stage::Profile;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::limits::STACK_BYTES;

/// The engine and its major version: part of every run key, because another major version may compile floating point
/// differently.
pub const ENGINE: &str = "wasmtime-48";

/// The patch level, for the cache: it may change machine code without changing results.
const ENGINE_BUILD: &str = "48.0";

/// Where a guest runs, which decides how it can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Flavour {
    /// In a worker process, at full speed: whoever wants it stopped kills the process.
    Batch,
    /// In this process, for small calls: it carries fuel and stops by itself.
    Interactive,
}

/// The engine of this flavour and profile. Engines are made once per process and shared.
///
/// # Errors
/// The engine does not support this machine.
pub fn engine(flavour: Flavour, profile: Profile) -> wasmtime::Result<Engine> {
    static ENGINES: Mutex<BTreeMap<(Flavour, Profile), Engine>> = Mutex::new(BTreeMap::new());
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(engine) = engines.get(&(flavour, profile)) {
        return Ok(engine.clone());
    }
    let engine = Engine::new(&config(flavour, profile))?;
    engines.insert((flavour, profile), engine.clone());
    Ok(engine)
}

/// What compiled code depends on beside the component, as text that may stand in a file's name.
pub fn fingerprint(engine: &Engine) -> String {
    let mut hasher = Fingerprint(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{ENGINE_BUILD}-{}", &hasher.0.finalize().to_hex()[..16])
}

fn config(flavour: Flavour, profile: Profile) -> Config {
    let mut config = Config::new();
    // The contract is synchronous. Without concurrency a call costs a third, and a component that uses streams or
    // futures, whose order of events nothing pins down, is refused when it is loaded.
    config.concurrency_support(false);
    // NaNs get their bits from the processor. `Fast` makes them canonical where values leave the sandbox; only inside
    // may they differ, which costs nothing. `Strict` pins them down everywhere, at about twice the time.
    config.cranelift_nan_canonicalization(profile == Profile::Strict);
    // Relaxed SIMD means "whatever this processor does". This makes it the same everywhere and measured as free.
    config.relaxed_simd_deterministic(true);
    // Threads would make results depend on scheduling. The proposal itself stays on, because real C++ components
    // contain atomic instructions; without a shared memory, which this refuses, they are plain instructions.
    config.shared_memory(false);
    // A stack of our choosing, so that a deep recursion ends in the same place everywhere; the threads that run guests
    // have far more, because the host's own overflow would abort the process.
    config.max_wasm_stack(STACK_BYTES);
    // Back traces hold addresses. They are for a developer's eyes; errors that are kept never contain them.
    config.wasm_backtrace_max_frames(NonZeroUsize::new(16));
    match flavour {
        // Fuel and epochs each cost half as much again in real training code. A worker process is killed instead.
        Flavour::Batch => {
            config.consume_fuel(false).epoch_interruption(false);
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        }
        // Fuel is exact: the same call stops at the same instruction. Epochs were no cheaper.
        Flavour::Interactive => {
            config.consume_fuel(true).epoch_interruption(false);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
        }
    }
    config
}

/// Room for a few hundred small guests at once. Memory is reserved, not used.
fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(256)
        .total_core_instances(1024)
        .total_memories(512)
        .total_tables(1024)
        .max_core_instances_per_component(64)
        .max_memories_per_component(16)
        .max_tables_per_component(64)
        .table_elements(200_000)
        .max_memory_size(4 << 30)
        // The first pages of a slot are zeroed instead of being given back: cheaper than faulting them in again.
        .linear_memory_keep_resident(64 << 10)
        .table_keep_resident(16 << 10);
    pool
}

/// BLAKE3 in place of the standard hasher, whose results may change with Rust's version.
struct Fingerprint(blake3::Hasher);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.finalize().as_bytes().as_chunks().0.first().map_or(0, |first| u64::from_le_bytes(*first))
    }
}
