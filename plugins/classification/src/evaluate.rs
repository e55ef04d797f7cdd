//! From a table and parameters to a report: which columns are read, and as what.

use std::borrow::Cow;

use stagewright_stage::{ColumnType, Failure, Field, Reader, Report, Table};

use crate::bootstrap::Settings;
use crate::categories::{Categories, class_name};
use crate::judge::{Rules, Scored, judge};
use crate::parameters::Parameters;

impl Parameters {
    /// Reads the columns that are named. One that the table lacks is refused before anything is read.
    pub(crate) fn read(&self, rows: &mut Reader) -> Result<Table, Failure> {
        self.check()?;
        let fields = rows.fields().to_vec();
        let mut names: Vec<&str> = Vec::new();
        let mut name = |name| {
            if !names.contains(&name) {
                names.push(name);
            }
        };
        name(&self.label);
        self.weights.iter().chain(&self.slices).for_each(|column| name(column));
        let given = |name: &&String| fields.iter().any(|field| field.name == **name);
        let optional = [&self.score, &self.prediction];
        match optional.iter().any(given) {
            true => optional.into_iter().filter(given).for_each(|optional| name(optional)),
            false => name(&self.score),
        }
        // A column of scores for each class takes the place of one column.
        if !given(&&self.score) {
            fields.iter().filter(|field| self.class_of(field).is_some()).for_each(|field| name(&field.name));
        }
        rows.read(&names)
    }

    /// The class whose probability a column holds, as predictors of more than two classes name it.
    fn class_of<'field>(&self, field: &'field Field) -> Option<&'field str> {
        let class = field.name.strip_prefix(&self.score)?.strip_prefix('-')?;
        (field.type_ == ColumnType::Float64 && field.name != self.label).then_some(class)
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
pub(crate) fn evaluate(
    table: &Table,
    parameters: &Parameters,
    random: &mut impl FnMut() -> u64,
    keep_on: impl Fn() -> bool,
) -> Result<Report, Failure> {
    let label = table.column(&parameters.label)?;
    let scored =
        table.find(&parameters.score).map(|_| table.numeric(&parameters.score)).transpose()?.map(Cow::into_owned);
    let predictions = table.find(&parameters.prediction).map(Categories::read);
    if scored.is_none() && predictions.is_none() {
        table.column(&parameters.score)?;
    }
    let slice = |column: &String| Ok((column.clone(), Categories::read(table.column(column)?)));
    let scored = Scored {
        label: parameters.label.clone(),
        labels: Categories::read(label),
        scores: scored,
        class_scores: class_scores(table, parameters)?,
        predictions,
        weights: parameters.weights.as_ref().map(|column| table.numeric(column)).transpose()?.map(Cow::into_owned),
        slices: parameters.slices.iter().map(slice).collect::<Result<_, Failure>>()?,
    };
    let rules = Rules {
        positive: parameters.positive.as_ref().map(class_name),
        threshold: parameters.threshold,
        bootstrap: Settings { replicates: parameters.bootstrap, confidence: parameters.confidence },
        figures: parameters.figures,
    };
    judge(&scored, &rules, random, keep_on)
}

fn class_scores(table: &Table, parameters: &Parameters) -> Result<Vec<(String, Vec<f64>)>, Failure> {
    if table.find(&parameters.score).is_some() {
        return Ok(Vec::new());
    }
    let scores = table.fields().into_iter().filter_map(|field| {
        let class = parameters.class_of(&field)?.to_owned();
        Some(table.numeric(&field.name).map(|scores| (class, scores.into_owned())))
    });
    scores.collect()
}
