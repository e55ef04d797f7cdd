//! From columns to rows that can be judged: which class is positive, what was decided, who belongs where.

use stagewright_stage::{Failure, Finding, Metric, Report, Severity};

use crate::categories::{Categories, Classes, Kind, class_name};
use crate::judge::Scored;
use crate::parameters::{Intersections, Parameters};
use crate::partition::Partition;
use crate::tally::Outcome;

/// A column of numbers with more distinct values than this needs bins.
const MOST_NUMBERS: usize = 20;

/// A column, or an intersection, with more groups than this would bury the report.
const MOST_GROUPS: usize = 200;

/// A label with more classes than this is not one.
const MOST_CLASSES: usize = 100;

/// What is read of the scored rows.
pub struct Columns {
    /// What the rows really are.
    pub labels: Categories,
    /// The decisions, if there is such a column.
    pub predictions: Option<Categories>,
    /// The probabilities that the model gave, NaN where it gave none; none if there is no such column.
    pub scores: Option<Vec<f64>>,
    /// The groups, by protected column.
    pub protected: Vec<Partition>,
}

/// The groups of a protected column without bins.
pub fn partition(column: &str, values: &Categories) -> Result<Partition, Failure> {
    let count = values.names().len();
    if values.kind() == Kind::Number && count > MOST_NUMBERS {
        return Err(Failure::invalid_parameter(format!(
            "the protected column `{column}` has {count} different numbers: say in `bins` where its groups end, such as \
             {column} = [25, 45, 65]"
        )));
    }
    few_enough(Partition::by_values(column, values))
}

/// The groups of a protected column with bins.
pub fn binned(column: &str, values: &[f64], edges: &[f64]) -> Result<Partition, Failure> {
    let ordered = edges.windows(2).all(|pair| pair[0] < pair[1]);
    if edges.is_empty() || !ordered || edges.iter().any(|edge| !edge.is_finite()) {
        return Err(Failure::invalid_parameter(format!(
            "`bins` of `{column}` must be at least one number, and each larger than the one before"
        )));
    }
    few_enough(Partition::by_bins(column, values, edges))
}

fn few_enough(partition: Partition) -> Result<Partition, Failure> {
    let Partition { column, names, .. } = &partition;
    if names.len() > MOST_GROUPS {
        return Err(Failure::invalid_parameter(format!(
            "`{column}` makes {} groups, more than {MOST_GROUPS}; merge some of its values first",
            names.len()
        )));
    }
    Ok(partition)
}

/// Brings the columns together. Rows that lack a label or a decision are left out; the report says how many.
pub fn assemble(parameters: &Parameters, columns: Columns, report: &mut Report) -> Result<Scored, Failure> {
    for (name, classes) in [("label", Some(&columns.labels)), ("prediction", columns.predictions.as_ref())] {
        let count = classes.map_or(0, |classes| classes.names().len());
        if count > MOST_CLASSES {
            return Err(Failure::invalid_data(format!(
                "the {name} column has {count} distinct values; fairness is judged of a decision between two"
            )));
        }
    }
    if let Some(predictions) = columns.predictions.as_ref().filter(|values| values.is_alien_to(&columns.labels)) {
        return Err(Failure::invalid_data(format!(
            "no prediction is a value of the label `{}`: it has {}, the predictions are {}",
            parameters.label,
            list(columns.labels.names()),
            list(predictions.names())
        )));
    }
    let classes = Classes::new(&columns.labels, columns.predictions.as_ref());
    let positive = positive_class(parameters, &columns.labels, &classes)?;
    let positive = classes.names.iter().position(|name| *name == positive).map(|place| place as u32);
    let threshold = threshold(parameters, &columns, report)?;
    let mut rows = Vec::with_capacity(classes.labels.len());
    let (mut unlabelled, mut undecided) = (0_u64, 0_u64);
    for (place, label) in classes.labels.iter().enumerate() {
        let score = columns.scores.as_ref().map_or(f64::NAN, |scores| scores[place]);
        let selected = match threshold {
            Some(threshold) => (!score.is_nan()).then_some(score >= threshold),
            None => classes.predictions[place].map(|prediction| Some(prediction) == positive),
        };
        match (label, selected) {
            (None, _) => unlabelled += 1,
            (_, None) => undecided += 1,
            (Some(label), Some(selected)) => {
                rows.push((place, Outcome { positive: Some(*label) == positive, selected, score }));
            }
        }
    }
    let mut tell = |message| report.findings.push(Finding { severity: Severity::Warning, message, labels: Vec::new() });
    for (count, lack) in [(unlabelled, "label"), (undecided, "decision")] {
        if count > 0 {
            tell(format!("{count} of {} rows have no {lack} and are left out", classes.labels.len()));
        }
    }
    if rows.is_empty() {
        tell("there is no row to judge: every measure is undefined".to_owned());
    }
    report.metrics.push(Metric {
        name: "rows-left-out".to_owned(),
        labels: Vec::new(),
        value: Some((unlabelled + undecided) as f64),
        low: None,
        high: None,
        support: None,
    });
    Ok(Scored { rows, partitions: intersect(parameters, columns.protected)? })
}

/// The threshold of the decisions; none where they stand in the prediction column.
fn threshold(parameters: &Parameters, columns: &Columns, report: &mut Report) -> Result<Option<f64>, Failure> {
    match (parameters.threshold, &columns.predictions, &columns.scores) {
        (Some(threshold), _, Some(_)) => Ok(Some(threshold)),
        (Some(_), _, None) => Err(Failure::invalid_data(format!(
            "`threshold` decides by a score, but there is no column `{}`",
            parameters.score
        ))),
        (None, Some(_), _) => Ok(None),
        (None, None, Some(_)) => {
            let message = format!("there is no column `{}`: decisions are score >= 0.5", parameters.prediction);
            report.findings.push(Finding { severity: Severity::Info, message, labels: Vec::new() });
            Ok(Some(0.5))
        }
        (None, None, None) => Err(Failure::invalid_data(format!(
            "there is neither a column `{}` of decisions nor a column `{}` of scores",
            parameters.prediction, parameters.score
        ))),
    }
}

fn positive_class(parameters: &Parameters, labels: &Categories, classes: &Classes) -> Result<String, Failure> {
    let labelled = labels.codes().iter().flatten().next().is_some();
    let names = classes.names.as_slice();
    if let Some(wanted) = parameters.positive.as_ref().map(class_name) {
        // One class alone may well be the negative one of a small table.
        if labelled && names.len() > 1 && !names.contains(&wanted) {
            return Err(Failure::invalid_parameter(format!(
                "`positive` is `{wanted}`, which is no value of the label `{}`; its values are {}",
                parameters.label,
                list(names)
            )));
        }
        return Ok(wanted);
    }
    match (labels.kind(), names) {
        _ if !labelled => Ok(names.last().map_or("1", String::as_str).to_owned()),
        (_, names) if names.len() > 2 => Err(Failure::invalid_parameter(format!(
            "the label `{}` has {} values: say in `positive` which of them counts as selected: {}",
            parameters.label,
            names.len(),
            list(names)
        ))),
        (Kind::Boolean, _) => Ok("true".to_owned()),
        (Kind::Number, names) if names.iter().all(|name| name == "0" || name == "1") => Ok("1".to_owned()),
        (_, [_, last]) => Ok(last.clone()),
        _ => Err(Failure::invalid_data(format!(
            "every row's `{}` is {}, so the other class cannot be told: name the positive one in `positive`",
            parameters.label,
            list(names)
        ))),
    }
}

/// The protected columns, followed by their intersections.
fn intersect(parameters: &Parameters, mut partitions: Vec<Partition>) -> Result<Vec<Partition>, Failure> {
    let columns = partitions.len();
    let wanted: Vec<Vec<usize>> = match &parameters.intersections {
        Intersections::Pairs(false) => Vec::new(),
        Intersections::Pairs(true) => {
            (0..columns).flat_map(|first| (first + 1..columns).map(move |second| vec![first, second])).collect()
        }
        Intersections::Listed(lists) => {
            let place = |column: &String| {
                partitions.iter().position(|partition| partition.column == *column).ok_or_else(|| {
                    Failure::invalid_parameter(format!(
                        "`intersections` names `{column}`, which is not in `protected`: {}",
                        list(&parameters.protected)
                    ))
                })
            };
            lists.iter().map(|list| list.iter().map(place).collect()).collect::<Result<_, _>>()?
        }
    };
    for places in wanted.into_iter().filter(|places| places.len() > 1) {
        let parts: Vec<&Partition> = places.iter().map(|&place| &partitions[place]).collect();
        let both = few_enough(Partition::by_all(&parts))?;
        partitions.push(both);
    }
    Ok(partitions)
}

/// Names for a message, the first few of them.
fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(10).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(shown.len());
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}
