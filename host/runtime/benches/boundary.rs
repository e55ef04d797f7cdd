//! What crossing into the sandbox costs: `cargo bench --package stagewright-runtime`.
//!
//! Absolute figures depend on the machine; each stands beside a copy in memory that was measured in the same minute.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its figures and has no one to tell")]

#[path = "../../../tests/src/guests.rs"]
#[expect(dead_code, unreachable_pub, reason = "the tests use all of them")]
mod guests;

use std::{
    hint::black_box,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Instant,
};

use stagewright_core::{Batch, Column, ColumnType, Field, Schema, stage::Profile};
use stagewright_runtime::{
    BoxError, CancelToken, Component, DirCache, Flavour, Input, Job, Measured, MemoryTable, Table, TableSink, Work,
    WorkerPool, worker,
};

const COLUMNS: usize = 8;
const ROWS: usize = 128 << 10;
const BATCHES: usize = 64;
const BYTES: usize = COLUMNS * ROWS * 8 * BATCHES;
/// The aims.
const BOUNDARY: f64 = 5.0;
const INSTANTIATE: f64 = 20.0;
const LOAD: f64 = 10.0;

/// Asks this program to measure.
const MEASURE: &str = "measure";

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("worker") => worker::serve().unwrap(),
        Some(MEASURE) => measure(),
        _ => {
            // As a worker has its memory, for that is where tables cross.
            let mut again = std::process::Command::new(std::env::current_exe().unwrap());
            assert!(again.arg(MEASURE).envs(worker::ENVIRONMENT).status().unwrap().success());
        }
    }
}

fn measure() {
    let directory = tempfile::tempdir().unwrap();
    let command = vec![std::env::current_exe().unwrap().into(), "worker".into()];
    let pool = WorkerPool::new(command, 2, Arc::new(DirCache::new(directory.path())));
    boundary(&pool);
    life(&pool);
    training(&pool);
    kernel();
}

/// Numbers in and out.
fn boundary(pool: &WorkerPool) {
    let copy = gigabytes(median(5, || {
        let batch = batch();
        let start = Instant::now();
        (0..BATCHES).for_each(|_| drop(black_box(batch.clone())));
        start.elapsed().as_secs_f64() * 1000.0
    }));
    println!("a copy in memory                    {copy:6.1} GB/s");
    let [drain, copier] = [guests::drain(), guests::copier()].map(Component::new);
    let load = |component| Measured::load(pool, component, Flavour::Batch, Profile::Fast).unwrap();
    let (drain_here, copier_here) = (load(&drain), load(&copier));
    let here = |plugin: &Measured| median(5, || plugin.run(work(), "{}").unwrap().1.as_secs_f64() * 1000.0);
    let (read, both) = (here(&drain_here), here(&copier_here));
    for (what, time) in [("into the sandbox", read), ("out of it", both - read)] {
        let speed = gigabytes(time);
        println!(
            "{what:<35} {speed:6.1} GB/s: {:.2} of the aim {BOUNDARY}; {:.2} of a copy",
            speed / BOUNDARY,
            speed / copy
        );
    }
    let there = |component: &Component| {
        median(5, || {
            let job = Job::new(component.clone(), work());
            pool.run(job, &CancelToken::new(), &()).unwrap().elapsed.as_secs_f64() * 1000.0
        })
    };
    let (read, both) = (there(&drain), there(&copier));
    for (what, time) in [("into a worker process's sandbox", read), ("out of it, checked and canonical", both - read)] {
        println!("{what:<35} {:6.1} GB/s", gigabytes(time));
    }
}

/// How long components take to come to life.
fn life(pool: &WorkerPool) {
    let plugins = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/plugins"));
    let mut found: Vec<PathBuf> = std::fs::read_dir(&plugins)
        .map(|files| files.filter_map(|file| Some(file.ok()?.path())).collect())
        .unwrap_or_default();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    found.sort();
    println!("\n{:<22} {:>12} {:>12} {:>14}", "", "first load", "second load", "instantiate");
    for path in found {
        let component = Component::new(std::fs::read(&path).unwrap());
        let load = || {
            let start = Instant::now();
            let loaded = Measured::load(pool, &component, Flavour::Interactive, Profile::Fast).unwrap();
            (loaded, start.elapsed().as_secs_f64() * 1000.0)
        };
        let (loaded, first) = load();
        let second = median(9, || load().1);
        let instantiate = median(1001, || loaded.instantiate().unwrap().as_secs_f64() * 1e6);
        println!(
            "{:<22} {first:>9.0} ms {second:>9.2} ms {instantiate:>11.1} µs: {:.2} and {:.2} of the aims",
            path.file_stem().unwrap_or_default().display().to_string(),
            second / LOAD,
            instantiate / INSTANTIATE,
        );
    }
}

/// What ways to stop a guest, and to pin its NaNs down, cost two trainers.
fn training(pool: &WorkerPool) {
    println!("\n{:<22} {:>10} {:>10} {:>10} {:>10}", "training, × plain", "plain", "fuel", "strict", "both");
    for plugin in ["logistic-regression", "gradient-boosting"] {
        let path = format!("{}/../../target/plugins/{plugin}.wasm", env!("CARGO_MANIFEST_DIR"));
        let Ok(bytes) = std::fs::read(path) else { continue };
        let (component, table) = (Component::new(bytes), classes());
        let time = |flavour, profile| {
            let loaded = Measured::load(pool, &component, flavour, profile).unwrap();
            median(3, || {
                let work = Work::Train { training: Arc::clone(&table), validation: None };
                loaded.run(work, r#"{"label":"label"}"#).unwrap().1.as_secs_f64() * 1000.0
            })
        };
        let plain = time(Flavour::Batch, Profile::Fast);
        let [fuel, strict, both] = [
            (Flavour::Interactive, Profile::Fast),
            (Flavour::Batch, Profile::Strict),
            (Flavour::Interactive, Profile::Strict),
        ]
        .map(|(flavour, profile)| time(flavour, profile) / plain);
        println!("{plugin:<22} {plain:>7.0} ms {fuel:>10.2} {strict:>10.2} {both:>10.2}");
    }
}

/// 100,000 rows of 30 numbers, and a label that some of them decide.
fn classes() -> Input {
    const WIDTH: usize = 30;
    let mut state = 1_u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    let mut fields: Vec<Field> =
        (0..WIDTH).map(|place| Field::new(format!("x{place}"), ColumnType::Float64, false)).collect();
    fields.push(Field::new("label", ColumnType::Int64, false));
    let batches = (0..10).map(|_| {
        let (mut columns, mut label) = (vec![Column::default(); WIDTH], Column::default());
        for _ in 0..10_000 {
            let row: Vec<f64> = (0..WIDTH).map(|_| draw()).collect();
            columns.iter_mut().zip(&row).for_each(|(column, value)| column.values.extend(value.to_le_bytes()));
            let yes = row[0] - 0.5 * row[1] + row[2] * row[3] + draw() > 0.0;
            label.values.extend(i64::from(yes).to_le_bytes());
        }
        columns.push(label);
        Batch { rows: 10_000, columns }
    });
    let batches = batches.collect();
    Arc::new(MemoryTable { schema: Schema::new(fields).unwrap(), batches })
}

/// Epochs are no flavour of ours; this is why.
fn kernel() {
    const SUM: &str = r#"(module (memory (export "memory") 16)
        (func (export "dot") (param $times i32) (result f64) (local $at i32) (local $sum f64)
            (loop $again
                (local.set $at (i32.const 0))
                (loop $next
                    (local.set $sum (f64.add (local.get $sum)
                        (f64.mul (f64.load (local.get $at)) (f64.load offset=524288 (local.get $at)))))
                    (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 524288))))
                (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
            (local.get $sum)))"#;
    let module = wat::parse_str(SUM).unwrap();
    let time = |fuel: bool, epochs: bool, canonical: bool| {
        let mut config = wasmtime::Config::new();
        config.consume_fuel(fuel).epoch_interruption(epochs).cranelift_nan_canonicalization(canonical);
        let engine = wasmtime::Engine::new(&config).unwrap();
        let mut store = wasmtime::Store::new(&engine, ());
        store.set_epoch_deadline(1);
        if fuel {
            store.set_fuel(u64::MAX).unwrap();
        }
        let module = wasmtime::Module::new(&engine, &module).unwrap();
        let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
        let dot = instance.get_typed_func::<i32, f64>(&mut store, "dot").unwrap();
        median(5, || {
            let start = Instant::now();
            black_box(dot.call(&mut store, 1000).unwrap());
            start.elapsed().as_secs_f64()
        })
    };
    let plain = time(false, false, false);
    let [fuel, epochs, canonical] =
        [(true, false, false), (false, true, false), (false, false, true)].map(|(f, e, c)| time(f, e, c) / plain);
    println!("inner product, × plain: fuel {fuel:.2}, epochs {epochs:.2}, canonical NaNs {canonical:.2}");
}

fn median(times: usize, mut measured: impl FnMut() -> f64) -> f64 {
    let mut all: Vec<f64> = (0..times).map(|_| measured()).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn gigabytes(milliseconds: f64) -> f64 {
    BYTES as f64 / milliseconds / 1e6
}

fn work() -> Work {
    let ready = Ready { schema: schema(), batches: Mutex::new(vec![batch(); BATCHES]) };
    let inputs = vec![("table".to_owned(), Arc::new(ready) as Input)];
    Work::Prepare { inputs, outputs: vec![("table".to_owned(), Box::new(Nowhere))] }
}

fn schema() -> Schema {
    let field = |place| Field::new(format!("x{place}"), ColumnType::Float64, false);
    Schema::new((0..COLUMNS).map(field).collect()).unwrap()
}

fn batch() -> Batch {
    let values: Vec<u8> = (0..ROWS).flat_map(|row| (row as f64).to_le_bytes()).collect();
    Batch { rows: ROWS as u32, columns: vec![Column { values, ..Column::default() }; COLUMNS] }
}

/// A table whose batches are there already, so that only their way into the sandbox is measured.
struct Ready {
    schema: Schema,
    batches: Mutex<Vec<Batch>>,
}

impl Table for Ready {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn rows(&self) -> u64 {
        (ROWS * BATCHES) as u64
    }

    fn batches(&self) -> usize {
        BATCHES
    }

    fn batch(&self, _: usize) -> Result<Batch, BoxError> {
        self.batches.lock().unwrap().pop().ok_or_else(|| "each batch is read once".into())
    }
}

/// Takes a table and forgets it.
struct Nowhere;

impl TableSink for Nowhere {
    fn start(&mut self, _: &Schema) -> Result<(), BoxError> {
        Ok(())
    }

    fn write(&mut self, batch: Batch) -> Result<(), BoxError> {
        drop(black_box(batch));
        Ok(())
    }
}
