//! From a table and parameters to a report: which columns are read, and as what.

use crate::bootstrap::Settings;
use crate::judge::{Rules, judge};
use crate::parameters::Parameters;
use crate::report::{Failure, Report};
use crate::table::Table;

impl Parameters {
    /// The columns that are read.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        [&self.label, &self.prediction].into_iter().map(String::as_str)
    }

    /// Refuses what the schema lets through when nobody asks it.
    fn check(&self) -> Result<(), Failure> {
        for (parameter, value) in [("confidence", self.confidence), ("quantile", self.quantile)] {
            if !(value > 0.0 && value < 1.0) {
                let message = format!("`{parameter}` is {value}; it must be between 0 and 1");
                return Err(Failure::invalid_parameter(message));
            }
        }
        if self.label == self.prediction {
            return Err(Failure::invalid_parameter(format!(
                "`label` and `prediction` are both `{}`: a label cannot be compared with itself",
                self.label
            )));
        }
        Ok(())
    }
}

/// Evaluates the predictions in `table`.
pub fn evaluate(
    table: &Table,
    parameters: &Parameters,
    random: &mut impl FnMut() -> u64,
    keep_on: impl Fn() -> bool,
) -> Result<Report, Failure> {
    parameters.check()?;
    let actual = table.column("label", &parameters.label)?.numbers()?;
    let predicted = table.column("prediction", &parameters.prediction)?.numbers()?;
    let rules = Rules {
        quantile: parameters.quantile,
        bootstrap: Settings { replicates: parameters.bootstrap, confidence: parameters.confidence },
        figures: parameters.figures,
    };
    Ok(judge(&actual, &predicted, &rules, random, keep_on))
}
