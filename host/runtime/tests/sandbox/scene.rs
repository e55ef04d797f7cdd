//! One pool for all stories, and short ways to ask it.

use std::sync::{Arc, Mutex, OnceLock};

use stagewright_core::{Batch, Column, ColumnType, Field, Schema};
use stagewright_runtime::{
    BoxError, CancelToken, Component, DirCache, Input, Job, MemoryTable, Outcome, Output, StageError, TableSink, Work,
    WorkerPool,
};

pub(crate) fn command() -> Vec<std::ffi::OsString> {
    vec![std::env::current_exe().unwrap().into(), "worker".into()]
}

pub(crate) fn pool() -> &'static WorkerPool {
    static POOL: OnceLock<(WorkerPool, tempfile::TempDir)> = OnceLock::new();
    let (pool, _) = POOL.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        (WorkerPool::new(command(), 2, Arc::new(DirCache::new(directory.path()))), directory)
    });
    pool
}

pub(crate) fn run(job: Job) -> Result<Outcome, StageError> {
    pool().run(job, &CancelToken::new(), &())
}

pub(crate) fn component(bytes: Vec<u8>) -> Component {
    Component::new(bytes)
}

/// Runs a job that must fail, and says how.
pub(crate) fn failure(job: Job) -> String {
    run(job).expect_err("this must fail").to_string()
}

pub(crate) fn validate(bytes: Vec<u8>) -> Job {
    Job::new(component(bytes), Work::Validate { table: numbers(&[1.0, 2.0]) })
}

pub(crate) fn prepare(bytes: Vec<u8>, input: Input) -> (Job, Kept) {
    let kept = Kept::default();
    let work =
        Work::Prepare { inputs: vec![("table".to_owned(), input)], outputs: vec![("table".to_owned(), kept.sink())] };
    (Job::new(component(bytes), work), kept)
}

/// A table with one column, `x`.
pub(crate) fn numbers(values: &[f64]) -> Input {
    let schema = Schema::new(vec![Field::new("x", ColumnType::Float64, false)]).unwrap();
    let column = Column { values: values.iter().flat_map(|value| value.to_le_bytes()).collect(), ..Column::default() };
    let batch = Batch { rows: values.len() as u32, columns: vec![column] };
    Arc::new(MemoryTable { schema, batches: vec![batch.clone(), batch] })
}

/// What a stage wrote.
#[derive(Clone, Default)]
pub(crate) struct Kept(pub(crate) Arc<Mutex<MemoryTable>>);

impl Kept {
    pub(crate) fn sink(&self) -> Output {
        Box::new(self.clone())
    }

    pub(crate) fn table(&self) -> MemoryTable {
        self.0.lock().unwrap().clone()
    }
}

impl TableSink for Kept {
    fn start(&mut self, schema: &Schema) -> Result<(), BoxError> {
        self.0.lock().unwrap().schema = schema.clone();
        Ok(())
    }

    fn write(&mut self, batch: Batch) -> Result<(), BoxError> {
        self.0.lock().unwrap().batches.push(batch);
        Ok(())
    }
}
