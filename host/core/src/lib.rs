//! The words of Stagewright: what each thing is called, how it is written down, and how it is hashed.
//!
//! Everything here is a value. The crate reads no file, no clock and no environment, and knows neither the sandbox nor
//! the store, so that tools, tests and other front ends can share the exact meaning of a digest, a table or a run.

pub mod canonical;
pub mod digest;
pub mod grant;
pub mod name;
pub mod record;
pub mod report;
pub mod stage;
pub mod table;

pub use digest::Digest;
pub use grant::Grants;
pub use name::{Name, Selector, VersionRef};
pub use report::Report;
pub use stage::StageKind;
pub use table::{Batch, Column, ColumnType, Field, Schema, TableError};
