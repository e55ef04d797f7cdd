//! What a stage may use, and the two hands that hold it to that: [`Guard`] for memory, [`Journal`] for what it says.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stagewright_core::record::{LogLine, MetricPoint, StageLog};
use wasmtime::ResourceLimiter;

/// The stack of every guest. An engine has one stack size, so this is no setting; it must stay well below
/// that of the threads that call guests, because a host thread that runs out of stack takes the whole process with it.
pub const STACK_BYTES: usize = 2 << 20;

/// The stack of the threads that call guests.
pub(crate) const THREAD_STACK_BYTES: usize = 16 << 20;

/// The largest component that is looked at.
pub const COMPONENT_BYTES: u64 = 256 << 20;

const INSTANCES: usize = 64;
const MEMORIES: usize = 16;
const TABLES: usize = 64;

/// What one stage may use. Fields are named as `[limits]` in `stagewright.toml` names them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// `limits.memory`: bytes of all memories and tables of all sandboxes of the stage together.
    pub memory_bytes: u64,
    /// `limits.time`: wall-clock time, without compiling.
    pub time: Duration,
    /// `limits.compile-time`: wall-clock time of compiling one component.
    pub compile_time: Duration,
    /// `limits.compile-memory`: memory of the process that compiles one component.
    pub compile_memory_bytes: u64,
    /// `limits.output`: bytes of all output tables together.
    pub output_bytes: u64,
    /// `limits.value`: bytes of a state, of weights or of a report.
    pub value_bytes: u64,
    /// Log lines that are kept; further ones are counted.
    pub log_lines: u64,
    /// Bytes of log that are kept.
    pub log_bytes: u64,
    /// Metric points that are kept; further ones are counted.
    pub metric_points: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 2 << 30,
            time: Duration::from_secs(3600),
            compile_time: Duration::from_secs(300),
            compile_memory_bytes: 4 << 30,
            output_bytes: 16 << 30,
            value_bytes: 512 << 20,
            log_lines: 10_000,
            log_bytes: 1 << 20,
            metric_points: 100_000,
        }
    }
}

/// Whether a table of so many columns can be asked for these. A column that is selected again and again would make a
/// batch of any size from a question of a few bytes.
pub(crate) fn selection(columns: &[usize], of: usize) -> Result<(), String> {
    let mut seen = vec![false; of];
    for column in columns {
        match seen.get_mut(*column) {
            None => return Err(format!("there is no column {column}: the table has {of}")),
            Some(seen) if *seen => return Err(format!("column {column} is selected twice")),
            Some(seen) => *seen = true,
        }
    }
    Ok(())
}

/// The memory of one job: shared by all its sandboxes, so that a stage does not get more by being made of parts.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    used: AtomicU64,
    peak: AtomicU64,
    denied: AtomicBool,
}

impl Budget {
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    pub(crate) fn denied(&self) -> bool {
        self.denied.load(Ordering::Relaxed)
    }

    fn grow(&self, bytes: u64, limit: u64) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > limit {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            self.denied.store(true, Ordering::Relaxed);
            return false;
        }
        self.peak.fetch_max(before + bytes, Ordering::Relaxed);
        true
    }
}

/// Holds one sandbox to its job's budget.
#[derive(Debug)]
pub(crate) struct Guard {
    budget: Arc<Budget>,
    limit: u64,
    used: u64,
}

impl Guard {
    pub(crate) fn new(budget: Arc<Budget>, limit: u64) -> Self {
        Self { budget, limit, used: 0 }
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let granted = self.budget.grow(bytes as u64, self.limit);
        self.used += if granted { bytes as u64 } else { 0 };
        granted
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.used, Ordering::Relaxed);
    }
}

impl ResourceLimiter for Guard {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(size_of::<usize>())))
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }

    fn tables(&self) -> usize {
        TABLES
    }
}

/// What a stage said, within bounds.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) log: StageLog,
    bytes: u64,
    limits: (u64, u64, u64),
}

impl Journal {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { log: StageLog::default(), bytes: 0, limits: (limits.log_lines, limits.log_bytes, limits.metric_points) }
    }

    /// Keeps the line and says whether it did.
    pub(crate) fn line(&mut self, line: &LogLine) -> bool {
        let bytes = self.bytes.saturating_add(line.message.len() as u64);
        let keep = (self.log.lines.len() as u64) < self.limits.0 && bytes <= self.limits.1;
        if keep {
            self.bytes = bytes;
            self.log.lines.push(line.clone());
        } else {
            self.log.dropped_lines += 1;
        }
        keep
    }

    /// Keeps the point and says whether it did.
    pub(crate) fn point(&mut self, point: &MetricPoint) -> bool {
        let keep = (self.log.curves.len() as u64) < self.limits.2 && point.name.len() <= 256;
        if keep {
            self.log.curves.push(point.clone());
        } else {
            self.log.dropped_points += 1;
        }
        keep
    }
}
