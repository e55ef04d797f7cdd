//! Evaluates a regression, with seeded bootstrap intervals and figures.
//!
//! `evaluate` reads columns, [`judge`] says what counts and is told, [`measures`] measures. No crate computes these
//! measures over resamples of rows that stay sorted, which is what makes a thousand of them cheap.

pub mod bootstrap;
mod declared;
mod evaluate;
pub mod figures;
pub mod judge;
pub mod measures;
pub mod parameters;

use stagewright_stage::rand::Rng;
use stagewright_stage::{Evaluator, Failure, Model, Reader, Report, context};

use crate::parameters::Parameters;

/// The evaluator.
pub struct Regression;

impl Evaluator for Regression {
    type Parameters = Parameters;
    const DOC: &'static str =
        "Evaluates a regression: errors, bias and explained variance, with seeded bootstrap intervals.";

    fn evaluate(scored: &mut Reader, _: Option<&Model>, parameters: Parameters) -> Result<Report, Failure> {
        let table = parameters.read(scored)?;
        let mut random = context::rng(context::seed());
        evaluate::evaluate(&table, &parameters, &mut || random.next_u64(), || !context::cancelled())
    }
}

stagewright_stage::export!(evaluator: Regression);
