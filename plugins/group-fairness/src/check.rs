//! From a table and parameters to a report: which columns are read, and as what.

use std::borrow::Cow;

use stagewright_stage::{Failure, Reader, Report, Table};

use crate::categories::{Categories, class_name};
use crate::input::{Columns, assemble, binned, partition};
use crate::judge::{Rules, judge};
use crate::parameters::Parameters;

impl Parameters {
    /// Reads the columns that are named. One that the table lacks is refused before anything is read.
    pub(crate) fn read(&self, rows: &mut Reader) -> Result<Table, Failure> {
        self.check()?;
        let mut names: Vec<&str> = Vec::new();
        let mut name = |name| {
            if !names.contains(&name) {
                names.push(name);
            }
        };
        name(&self.label);
        self.protected.iter().for_each(|column| name(column));
        let given = |name: &&String| rows.fields().iter().any(|field| field.name == **name);
        let optional = [&self.score, &self.prediction];
        match optional.iter().any(given) {
            true => optional.into_iter().filter(given).for_each(|optional| name(optional)),
            false => name(&self.prediction),
        }
        rows.read(&names)
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
pub(crate) fn check(
    table: &Table,
    parameters: &Parameters,
    random: &mut impl FnMut() -> u64,
    keep_on: impl Fn() -> bool,
) -> Result<Report, Failure> {
    let group = |name: &String| match parameters.bins.get(name) {
        Some(edges) => binned(name, &table.numeric(name)?, edges),
        None => partition(name, &Categories::read(table.column(name)?)),
    };
    let columns = Columns {
        labels: Categories::read(table.column(&parameters.label)?),
        predictions: table.find(&parameters.prediction).map(Categories::read),
        scores: table
            .find(&parameters.score)
            .map(|_| table.numeric(&parameters.score))
            .transpose()?
            .map(Cow::into_owned),
        protected: parameters.protected.iter().map(group).collect::<Result<_, _>>()?,
    };
    let mut report = Report { metrics: Vec::new(), findings: Vec::new(), figures: Vec::new() };
    let scored = assemble(parameters, columns, &mut report)?;
    let rules = Rules {
        min_support: parameters.min_support,
        min_positives: parameters.min_positives,
        privileged: parameters.privileged.iter().map(|(column, group)| (column.clone(), class_name(group))).collect(),
        permutations: parameters.permutations,
        alpha: parameters.alpha,
        figures: parameters.figures,
    };
    judge(&scored, &rules, random, keep_on, &mut report)?;
    Ok(report)
}
