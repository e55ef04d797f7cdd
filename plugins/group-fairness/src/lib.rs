//! Group fairness of a binary decision: single attributes, intersections, permutation tests.
//!
//! `check` reads columns, [`input`] makes rows and groups of them, [`judge`] says what is compared and told,
//! [`tally`], [`disparity`] and [`permutation`] do the arithmetic.

pub mod categories;
mod check;
mod declared;
pub mod disparity;
pub mod figures;
pub mod input;
pub mod judge;
pub mod parameters;
pub mod partition;
pub mod permutation;
pub mod tally;

use stagewright_stage::rand::Rng;
use stagewright_stage::{Failure, FairnessChecker, Model, Reader, Report, context};

use crate::parameters::Parameters;

/// The fairness checker.
pub struct GroupFairness;

impl FairnessChecker for GroupFairness {
    type Parameters = Parameters;
    const DOC: &'static str = "Checks how a binary decision falls on groups of people: rates per group, disparities per \
                               column and intersection, permutation tests.";

    fn check(scored: &mut Reader, _: Option<&Model>, parameters: Parameters) -> Result<Report, Failure> {
        let table = parameters.read(scored)?;
        let mut random = context::rng(context::seed());
        check::check(&table, &parameters, &mut || random.next_u64(), || !context::cancelled())
    }
}

stagewright_stage::export!(fairness: GroupFairness);
