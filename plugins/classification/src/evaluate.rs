//! From a table and parameters to a report: which columns are read, and as what.

use crate::bootstrap::Settings;
use crate::judge::{Rules, Scored, judge};
use crate::parameters::{ClassName, Parameters};
use crate::report::{Failure, Report};
use crate::table::Table;

impl Parameters {
    /// The columns that are read where the table has them.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let named = [&self.label, &self.score, &self.prediction];
        named.into_iter().chain(&self.weights).chain(&self.slices).map(String::as_str)
    }

    /// Refuses what the schema lets through when nobody asks it.
    fn check(&self) -> Result<(), Failure> {
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            let message = format!("`confidence` is {}; it must be between 0 and 1", self.confidence);
            return Err(Failure::invalid_parameter(message));
        }
        if !self.threshold.is_finite() {
            return Err(Failure::invalid_parameter("`threshold` must be a finite number"));
        }
        for (parameter, column) in [("score", &self.score), ("prediction", &self.prediction)] {
            if *column == self.label {
                return Err(Failure::invalid_parameter(format!(
                    "`label` and `{parameter}` are both `{column}`: a label cannot be compared with itself"
                )));
            }
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
    let labels = table.column("label", &parameters.label)?.categories();
    let scores = table.find(&parameters.score).map(|column| column.numbers()).transpose()?;
    let predictions = table.find(&parameters.prediction).map(|column| column.categories());
    if scores.is_none() && predictions.is_none() {
        table.column("score", &parameters.score)?;
    }
    let weights = match &parameters.weights {
        Some(column) => Some(table.column("weights", column)?.numbers()?),
        None => None,
    };
    let slice = |column: &String| Ok((column.clone(), table.column("slices", column)?.categories()));
    let scored = Scored {
        label: parameters.label.clone(),
        labels,
        scores,
        predictions,
        weights,
        slices: parameters.slices.iter().map(slice).collect::<Result<_, _>>()?,
    };
    let rules = Rules {
        positive: parameters.positive.as_ref().map(ClassName::name),
        threshold: parameters.threshold,
        bootstrap: Settings { replicates: parameters.bootstrap, confidence: parameters.confidence },
        figures: parameters.figures,
    };
    judge(&scored, &rules, random, keep_on)
}
