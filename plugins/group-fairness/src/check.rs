//! From a table and parameters to a report: which columns are read, and as what.

use crate::input::{Columns, assemble, binned, partition};
use crate::judge::{Rules, judge};
use crate::parameters::Parameters;
use crate::report::{Failure, Report};
use crate::table::Table;

impl Parameters {
    /// The columns that are read where the table has them.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let named = [&self.label, &self.score, &self.prediction];
        named.into_iter().chain(&self.protected).map(String::as_str)
    }

    /// Refuses what the schema lets through when nobody asks it, and columns that nobody protects.
    fn check(&self) -> Result<(), Failure> {
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            return Err(Failure::invalid_parameter(format!("`alpha` is {}; it must be between 0 and 1", self.alpha)));
        }
        if self.protected.is_empty() {
            return Err(Failure::invalid_parameter("`protected` must name at least one column"));
        }
        for (place, column) in self.protected.iter().enumerate() {
            if self.protected[..place].contains(column) {
                return Err(Failure::invalid_parameter(format!("`protected` names `{column}` twice")));
            }
        }
        let known = |column: &str| self.protected.iter().any(|protected| protected == column);
        let unknown = |parameter: &str, column: &str| {
            Failure::invalid_parameter(format!("`{parameter}` names `{column}`, which is not in `protected`"))
        };
        if let Some(column) = self.bins.keys().find(|column| !known(column)) {
            return Err(unknown("bins", column));
        }
        // A privileged group may be one of an intersection: `sex*race`.
        if let Some(column) = self.privileged.keys().find(|column| !column.split('*').all(known)) {
            return Err(unknown("privileged", column));
        }
        Ok(())
    }
}

/// Checks the decisions in `table`.
pub fn check(
    table: &Table,
    parameters: &Parameters,
    random: &mut impl FnMut() -> u64,
    keep_on: impl Fn() -> bool,
) -> Result<Report, Failure> {
    parameters.check()?;
    let group = |name: &String| {
        let column = table.column("protected", name)?;
        match parameters.bins.get(name) {
            Some(edges) => binned(name, &column.numbers()?, edges),
            None => partition(name, &column.categories()),
        }
    };
    let columns = Columns {
        labels: table.column("label", &parameters.label)?.categories(),
        predictions: table.find(&parameters.prediction).map(|column| column.categories()),
        scores: table.find(&parameters.score).map(|column| column.numbers()).transpose()?,
        protected: parameters.protected.iter().map(group).collect::<Result<_, _>>()?,
    };
    let mut report = Report::default();
    let scored = assemble(parameters, columns, &mut report)?;
    let rules = Rules {
        min_support: parameters.min_support,
        min_positives: parameters.min_positives,
        privileged: parameters.privileged.iter().map(|(column, group)| (column.clone(), group.name())).collect(),
        permutations: parameters.permutations,
        alpha: parameters.alpha,
        figures: parameters.figures,
    };
    judge(&scored, &rules, random, keep_on, &mut report)?;
    Ok(report)
}
