//! Compares a current table with a reference, column by column.

pub mod compare;
pub mod distance;
pub mod judge;
pub mod parameters;
pub mod significance;

use stagewright_stage::{Failure, Model, Monitor, Reader, Report};

use parameters::Parameters;

/// The monitor.
#[derive(Debug)]
pub struct Drift;

impl Monitor for Drift {
    type Parameters = Parameters;
    const DOC: &'static str = "Tells where a current table no longer looks like a reference.";

    fn observe(
        reference: &mut Reader,
        current: &mut Reader,
        _: Option<&Model>,
        parameters: Parameters,
    ) -> Result<Report, Failure> {
        judge::judge(reference, current, &parameters)
    }
}

stagewright_stage::export!(monitor: Drift);
