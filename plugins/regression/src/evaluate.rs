//! From a table and parameters to a report: which columns are read, and as what.

use stagewright_stage::{Failure, Reader, Report, Table};

use crate::bootstrap::Settings;
use crate::judge::{Rules, judge};
use crate::parameters::Parameters;

impl Parameters {
    /// Reads the columns that are named.
    pub(crate) fn read(&self, rows: &mut Reader) -> Result<Table, Failure> {
        self.check()?;
        rows.read(&[&self.label, &self.prediction])
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
pub(crate) fn evaluate(
    table: &Table,
    parameters: &Parameters,
    random: &mut impl FnMut() -> u64,
    keep_on: impl Fn() -> bool,
) -> Result<Report, Failure> {
    let actual = table.numeric(&parameters.label)?;
    let predicted = table.numeric(&parameters.prediction)?;
    let rules = Rules {
        quantile: parameters.quantile,
        bootstrap: Settings { replicates: parameters.bootstrap, confidence: parameters.confidence },
        figures: parameters.figures,
    };
    Ok(judge(&actual, &predicted, &rules, random, keep_on))
}
