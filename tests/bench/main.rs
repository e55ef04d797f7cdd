//! Measurements of the whole program, as ratios: `cargo bench --package stagewright-tests [lifecycle|sandbox|languages|demo|serving]`.
//!
//! Build first (`cargo xtask plugins`, `cargo build --release --package stagewright-daemon`). Absolute figures depend
//! on the machine; what is compared is measured in the same minute on the same one.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod demo;
mod languages;
mod lifecycle;
mod sandbox;
mod serving;

use std::time::Instant;

/// Asks this program to train natively and no more.
const NATIVE: &str = "train-natively";

fn main() {
    if let [_, first, plugin] = &std::env::args().collect::<Vec<_>>()[..]
        && first == NATIVE
    {
        return sandbox::train_natively(plugin);
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let benches: [(&str, fn()); 5] = [
        ("lifecycle", lifecycle::run),
        ("sandbox", sandbox::run),
        ("languages", languages::run),
        ("demo", demo::run),
        ("serving", serving::run),
    ];
    for (name, bench) in benches {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!("== {name}");
            bench();
        }
    }
}

/// The median of so many measurements, in milliseconds.
fn median(times: usize, mut measured: impl FnMut()) -> f64 {
    let mut all: Vec<f64> = (0..times)
        .map(|_| {
            let start = Instant::now();
            measured();
            start.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
