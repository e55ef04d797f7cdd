//! Labels: which of two classes a row belongs to, and which columns may be features.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::no_such_column;
use crate::{ColumnType, Failure, Field, Series, Table, Values};

/// A class, as a label column holds it and as a parameter names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Class {
    /// Yes or no.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A word.
    Word(String),
}

impl std::fmt::Display for Class {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(formatter),
            Self::Integer(value) => value.fmt(formatter),
            Self::Number(value) => value.fmt(formatter),
            Self::Word(value) => value.fmt(formatter),
        }
    }
}

/// The two classes of a binary label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classes {
    /// The class whose probability the score is.
    pub positive: Class,
    /// The other.
    pub negative: Class,
}

/// A binary label, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Which rows are positive.
    pub positive: Vec<bool>,
    /// What positive and negative are called.
    pub classes: Classes,
}

impl Classes {
    /// The type of the column that [`Classes::predictions`] makes.
    pub fn kind(&self) -> ColumnType {
        match &self.positive {
            Class::Boolean(_) => ColumnType::Boolean,
            Class::Integer(_) => ColumnType::Int64,
            Class::Number(_) => ColumnType::Float64,
            Class::Word(_) => ColumnType::Category,
        }
    }

    /// The columns of a binary classifier's predictions.
    pub fn schema(&self) -> Vec<Field> {
        vec![
            Field { name: "score".into(), type_: ColumnType::Float64, nullable: false },
            Field { name: "prediction".into(), type_: self.kind(), nullable: false },
        ]
    }

    /// The predictions of a binary classifier: `score`, and as `prediction` the class that a score of 0.5 or more means.
    pub fn predictions(&self, scores: Vec<f64>) -> Result<Table, Failure> {
        let decisions = scores.iter().map(|score| *score >= 0.5);
        let values = match (&self.positive, &self.negative) {
            (Class::Boolean(yes), Class::Boolean(no)) => {
                Values::Boolean(decisions.map(|d| if d { *yes } else { *no }).collect())
            }
            (Class::Integer(yes), Class::Integer(no)) => {
                Values::Int64(decisions.map(|d| if d { *yes } else { *no }).collect())
            }
            (Class::Number(yes), Class::Number(no)) => {
                Values::Float64(decisions.map(|d| if d { *yes } else { *no }).collect())
            }
            (Class::Word(yes), Class::Word(no)) => {
                let mut words = vec![no.clone(), yes.clone()];
                words.sort();
                let positive = u32::from(words[1] == *yes);
                Values::Category { codes: decisions.map(|d| if d { positive } else { 1 - positive }).collect(), words }
            }
            _ => return Err(Failure::invalid_state("the two classes are of different types")),
        };
        Table::new(vec![Series::new("score", Values::Float64(scores)), Series::new("prediction", values)])
    }
}

/// Whether a label has at most two classes.
pub fn is_binary(column: &Series) -> bool {
    fn two<Value: PartialEq>(values: impl Iterator<Item = Value>) -> bool {
        let mut seen = Vec::new();
        for value in values {
            if !seen.contains(&value) {
                seen.push(value);
            }
            if seen.len() > 2 {
                return false;
            }
        }
        true
    }
    match &column.values {
        Values::Boolean(_) | Values::Timestamp(_) => true,
        Values::Int64(values) => two(values.iter()),
        Values::Float64(values) => two(values.iter()),
        Values::Text(_) | Values::Category { .. } => two((0..column.len()).filter_map(|row| column.word(row))),
    }
}

/// Reads a binary label. The positive class is the named one, else the last in sort order (1, or true).
pub fn binary(column: &Series, positive: Option<&Class>) -> Result<Binary, Failure> {
    let name = &column.name;
    if column.is_empty() {
        return Err(Failure::invalid_data("the table has no rows to learn from"));
    }
    whole(column)?;
    let (classes, codes): (Vec<Class>, Vec<usize>) = match &column.values {
        Values::Boolean(values) => (
            vec![Class::Boolean(false), Class::Boolean(true)],
            values.iter().map(|value| usize::from(*value)).collect(),
        ),
        Values::Int64(values) => {
            let (classes, codes) = few(values.iter().copied(), name)?;
            (classes.into_iter().map(Class::Integer).collect(), codes)
        }
        Values::Float64(values) => {
            let ordered = values.iter().map(|value| (value + 0.0).to_bits() as i64);
            let (mut classes, mut codes) = few(ordered, name)?;
            let number = |bits: i64| f64::from_bits(bits as u64);
            if classes.len() == 2 && number(classes[0]) > number(classes[1]) {
                classes.swap(0, 1);
                codes.iter_mut().for_each(|code| *code = 1 - *code);
            }
            (classes.into_iter().map(|bits| Class::Number(number(bits))).collect(), codes)
        }
        Values::Text(_) | Values::Category { .. } => {
            let (classes, codes) = few((0..column.len()).map(|row| column.word(row).unwrap_or_default()), name)?;
            (classes.into_iter().map(|word| Class::Word(word.to_owned())).collect(), codes)
        }
        Values::Timestamp(_) => {
            return Err(Failure::invalid_data(format!("the label `{name}` is a point in time, not a class")));
        }
    };
    if codes.iter().all(|code| *code == codes[0]) {
        let only = &classes[codes[0]];
        return Err(Failure::invalid_data(format!("every row has the same label: `{name}` is always `{only}`")));
    }
    let place = match positive {
        None => 1,
        Some(wanted) => {
            let same = |class: &&Class| class.to_string() == wanted.to_string();
            let found = classes.iter().position(|class| same(&class));
            found.ok_or_else(|| {
                let (first, second) = (&classes[0], &classes[1]);
                Failure::invalid_parameter(format!(
                    "no row of `{name}` is `{wanted}`; `positive` must be `{first}` or `{second}`"
                ))
            })?
        }
    };
    let positive = codes.iter().map(|code| *code == place).collect();
    Ok(Binary { positive, classes: Classes { positive: classes[place].clone(), negative: classes[1 - place].clone() } })
}

/// Reads the label of a regression.
pub fn regression(column: &Series) -> Result<Vec<f64>, Failure> {
    let name = &column.name;
    if column.is_empty() {
        return Err(Failure::invalid_data("the table has no rows to learn from"));
    }
    whole(column)?;
    let values = match column.values {
        Values::Int64(_) | Values::Float64(_) => column.numeric().unwrap_or_default(),
        _ => {
            return Err(Failure::invalid_data(format!(
                "the label `{name}` does not hold numbers; a regression needs them"
            )));
        }
    };
    if let Some(row) = values.iter().position(|value| !value.is_finite()) {
        return Err(Failure::invalid_data(format!("the label `{name}` is {} in row {}", values[row], row + 1)));
    }
    if values.iter().all(|value| *value == values[0]) {
        return Err(Failure::invalid_data(format!("every row has the same label: `{name}` is always {}", values[0])));
    }
    Ok(values.into_owned())
}

/// The columns to learn from: those that are named, or all but the label and the excluded ones.
pub fn features<'a>(
    fields: &'a [Field],
    label: &str,
    named: &[String],
    exclude: &[String],
) -> Result<Vec<&'a Field>, Failure> {
    if label.is_empty() {
        return Err(Failure::invalid_parameter("`label` is missing: name the column to predict"));
    }
    let find = |name: &str| fields.iter().find(|field| field.name == name);
    if find(label).is_none() {
        return Err(Failure::invalid_data(no_such_column(label, fields)));
    }
    if let Some(twice) = named.iter().enumerate().find(|(place, name)| named[..*place].contains(name)) {
        return Err(Failure::invalid_parameter(format!("`{}` is named twice among the features", twice.1)));
    }
    if named.iter().any(|name| name == label) {
        return Err(Failure::invalid_parameter(format!("`{label}` is the label, so it cannot be among the features")));
    }
    if let Some(unknown) = named.iter().chain(exclude).find(|name| find(name).is_none()) {
        return Err(Failure::invalid_parameter(no_such_column(unknown, fields)));
    }
    let wanted = |field: &&Field| {
        field.name != label && !exclude.contains(&field.name) && (named.is_empty() || named.contains(&field.name))
    };
    let features: Vec<&Field> = fields.iter().filter(wanted).collect();
    if features.is_empty() {
        return Err(Failure::invalid_data(format!("there is no column to learn from besides the label `{label}`")));
    }
    Ok(features)
}

/// Refuses a feature that equals the label in every row: it will not be known when the model serves.
pub fn refuse_leaks(features: &[&Series], label: &Series, positive: Option<&[bool]>) -> Result<(), Failure> {
    if label.len() < 2 {
        return Ok(());
    }
    let numbers = label.numeric();
    for feature in features {
        let equal = match feature.numeric() {
            Some(values) => {
                let one = |row: usize| positive.map(|positive| f64::from(u8::from(positive[row])));
                let encoded = (0..label.len()).all(|row| one(row) == Some(values[row]));
                encoded
                    || numbers.as_ref().is_some_and(|numbers| numbers.iter().zip(values.iter()).all(|(l, f)| l == f))
            }
            None => (0..label.len()).all(|row| label.word(row).is_some() && label.word(row) == feature.word(row)),
        };
        if equal {
            let (feature, label) = (&feature.name, &label.name);
            return Err(Failure::invalid_data(format!(
                "column `{feature}` equals the label `{label}` in every row: exclude it"
            )));
        }
    }
    Ok(())
}

/// Refuses a label that some rows lack.
pub(crate) fn whole(column: &Series) -> Result<(), Failure> {
    let missing = match &column.values {
        Values::Float64(values) => (0..column.len()).filter(|row| !column.has(*row) || values[*row].is_nan()).count(),
        _ => column.missing(),
    };
    if missing > 0 {
        let name = &column.name;
        return Err(Failure::invalid_data(format!(
            "{missing} rows have no label in `{name}`; drop them before training"
        )));
    }
    Ok(())
}

/// The classes in order, and for each row which; refuses more than two.
fn few<Value: Ord + Copy>(
    values: impl Iterator<Item = Value> + Clone,
    name: &str,
) -> Result<(Vec<Value>, Vec<usize>), Failure> {
    let mut classes = BTreeSet::new();
    for value in values.clone() {
        classes.insert(value);
        if classes.len() > 2 {
            return Err(Failure::invalid_data(format!(
                "the label `{name}` has more than two classes; this trainer takes two"
            )));
        }
    }
    let classes: Vec<Value> = classes.into_iter().collect();
    let codes = values.map(|value| usize::from(classes[0] != value)).collect();
    Ok((classes, codes))
}

#[cfg(test)]
#[path = "label_tests.rs"]
mod tests;
