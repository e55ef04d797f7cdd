//! What the store promises, proven: under kills, power cuts, damage and full disks, and against a simple model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![expect(clippy::print_stdout, reason = "a test says how much it looked at; a child says what was acknowledged")]

mod basics;
mod damage;
mod full_disk;
mod golden;
mod housekeeping;
mod kill;
mod lab;
mod model;
mod power_cut;
