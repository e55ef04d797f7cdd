//! What the store promises, proven: under kills, power cuts, damage and full disks, and against a simple model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod basics;
mod lab;
mod power_cut;
