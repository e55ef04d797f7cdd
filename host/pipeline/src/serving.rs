//! Models that answer requests, in this process and without HTTP.
//!
//! A [`Servable`] is a version of a model with threads that answer for it: each has an instance of its own, and takes
//! waiting requests from one bounded queue. A [`Router`] says which servable answers for an endpoint; its table is
//! replaced as a whole, so that no request sees half a change. What was answered may be handed to a
//! [`PredictionSink`], and a model that misbehaves raises an [`Alarm`].
//!
//! Requests that wait are answered together where there are several: a call into a sandbox costs about as much for a
//! hundred rows as for one, and a plugin promises that a row's prediction does not depend on its company (`plugin test`
//! holds it to that).

mod alarm;
mod deployed;
mod pace;
mod prediction;
mod queue;
mod route;
mod servable;
mod worker;

pub use self::{
    alarm::{ALARMS, Alarm, Alarms, LedgerAlarms, Trouble},
    deployed::Deployed,
    prediction::{Prediction, PredictionSink},
    queue::{Answer, Question, Unanswered},
    route::{Route, Router, Routes, Variant},
    servable::{Counters, ModelVersion, Servable},
};

#[cfg(test)]
mod tests;
