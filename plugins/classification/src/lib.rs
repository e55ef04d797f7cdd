//! Evaluates a classifier, with seeded bootstrap intervals and figures.
//!
//! `evaluate` reads columns, [`judge`] says what counts and is told, [`measures`], [`classes`] and
//! [`probabilities`] measure. No crate
//! computes these measures over resamples of rows that stay sorted, which is what makes a thousand of them cheap.

pub mod bootstrap;
pub mod categories;
pub mod classes;
pub mod confusion;
mod declared;
mod evaluate;
pub mod figures;
pub mod judge;
pub mod measures;
pub mod parameters;
pub mod probabilities;

use stagewright_stage::rand::Rng;
use stagewright_stage::{Evaluator, Failure, Model, Reader, Report, context};

use crate::parameters::Parameters;

/// The evaluator.
pub struct Classification;

impl Evaluator for Classification {
    type Parameters = Parameters;
    const DOC: &'static str = "Evaluates a classifier: decisions, ranking and probabilities, with seeded bootstrap \
                               intervals, overall and per group.";

    fn evaluate(scored: &mut Reader, _: Option<&Model>, parameters: Parameters) -> Result<Report, Failure> {
        let table = parameters.read(scored)?;
        let mut random = context::rng(context::seed());
        evaluate::evaluate(&table, &parameters, &mut || random.next_u64(), || !context::cancelled())
    }
}

stagewright_stage::export!(evaluator: Classification);
