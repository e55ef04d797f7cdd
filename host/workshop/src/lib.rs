//! The plugin author's bench: starts, builds, tests and measures plugins in any language.
//!
//! A plugin is a `.wasm` file; this crate knows how each language comes to one, and whether what came out keeps the
//! promises of the contract. It knows no project and no store.

pub mod bench;
pub mod build;
pub mod conformance;
pub mod replay;
pub mod scaffold;
