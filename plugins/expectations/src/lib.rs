//! Checks that a table is what it should be: types, ranges, sets, patterns, uniqueness, order, means and quantiles.

pub mod judge;
pub mod parameters;
pub mod rules;

use stagewright_stage::{Failure, Reader, Report, Validator};

use parameters::Parameters;

/// The validator.
#[derive(Debug)]
pub struct Expectations;

impl Validator for Expectations {
    type Parameters = Parameters;
    const DOC: &'static str =
        "Checks a table against what is expected of its columns, and names the rows that break it.";

    fn validate(table: &mut Reader, parameters: Parameters) -> Result<Report, Failure> {
        judge::judge(table, &parameters)
    }
}

stagewright_stage::export!(validator: Expectations);
