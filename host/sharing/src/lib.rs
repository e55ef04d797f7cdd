//! Plugins between people: who signed a component, whether that counts, and how it gets from one machine to another.
//!
//! A component travels as a plain file with a detached [signature], as a [packed](archive) file, or through a
//! [registry]; the last two hold the same [documents](artifact). Whatever arrives is measured against the address that
//! asked for it, against the project's [trust] and against its [lock] before anything else looks at it.
//!
//! Nothing here knows a project's store or runs anything. Calls block.

pub mod agent;
pub mod archive;
pub mod artifact;
pub mod credentials;
mod error;
pub mod lock;
pub mod obtain;
pub mod reference;
pub mod registry;
pub mod signature;
pub mod trust;

pub use self::{
    agent::Agent,
    artifact::Artifact,
    credentials::Credentials,
    error::{Result, SharingError},
    lock::Lock,
    obtain::{Obtained, obtain},
    reference::{Reference, Source},
    registry::Registry,
    signature::{PublicKey, Signature},
    trust::{Standing, Trust},
};

/// No component is larger, wherever it comes from.
pub const MOST_BYTES: u64 = 256 << 20;
