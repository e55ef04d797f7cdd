//! Governance: which model versions may serve, who says so, and on what evidence.
//!
//! A version begins as a [`State::Candidate`]. Its gate and the people that the gate asks for make it
//! [`State::Approved`]; only then is there a [`Promoted`], the one thing that a deployment accepts. Every change of state
//! stands in the models repository in one commit with its entry in the audit log, and every decision of a person is a
//! [`Signed`] statement, so that both can be checked later by anybody.
//!
//! Whoever calls this - the command line, a server - decides nothing: what is refused here cannot be had otherwise.

pub mod access;
pub mod approval;
pub mod audit;
pub mod bundle;
pub mod evidence;
pub mod gate;
pub mod judge;
pub mod paired;
pub mod people;
pub mod state;
pub mod statement;
pub mod verdict;

pub use self::{
    access::{Grant, NewToken, Principal, Scope, Token, authenticate},
    approval::{Standing, standing},
    people::User,
    state::{ModelState, Promoted, Role, State, mark_deployed, mark_retired, mark_withdrawn, promoted},
    statement::{Act, Given, PrivateKey, PublicKey, Signed, Statement},
    verdict::{Checked, Judged, VerdictRecord, check},
};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Why governance refuses something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Something stands between the version and what was asked for.
    #[error("{model} is held from {environment}: {}", .why.join("; "))]
    Held {
        /// The version.
        model: String,
        /// Where it should go, or `approval`.
        environment: String,
        /// What stands in the way.
        why: Vec<String>,
    },
    /// The state machine has no such step.
    #[error("{model} is {state}, so it cannot be {wanted}")]
    NoSuchStep {
        /// The version.
        model: String,
        /// Its state.
        state: State,
        /// What was asked for.
        wanted: &'static str,
    },
    /// There is no such user.
    #[error("there is no user `{0}`; `stagewright user list` lists them")]
    NoUser(String),
    /// The user may not do this.
    #[error("`{user}` may not {what}: {why}")]
    NotAllowed {
        /// Who.
        user: String,
        /// What.
        what: String,
        /// Why not.
        why: String,
    },
    /// A statement that does not hold.
    #[error("the statement is not accepted: {0}")]
    Statement(String),
}

/// Steps of the state machine are taken one at a time: each reads what the one before it wrote.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The key of a record about a version.
fn version_key(name: &stagewright_core::Name, number: u64) -> Vec<u8> {
    [name.as_str().as_bytes(), &[0], &number.to_be_bytes()].concat()
}
