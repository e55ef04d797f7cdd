//! Columns read for what their values are called, whatever type they have: labels, predictions and groups.
//!
//! A prediction may be text where the label is a number; a class is therefore known by how its value is written: `1`,
//! `true`, `>50K`.

use std::collections::BTreeSet;

use stagewright_stage::label::Class;
use stagewright_stage::{Series, Values};

/// The values of a column as indices into their sorted names.
#[derive(Clone, Debug, PartialEq)]
pub struct Categories {
    names: Vec<String>,
    codes: Vec<Option<u32>>,
    kind: Kind,
}

/// What the names were made of, which decides their order and which class is positive by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, in the order of its bytes.
    Text,
    /// Numbers, in the order of their values.
    Number,
    /// False, then true.
    Boolean,
}

impl Categories {
    /// Reads a column. Text is read without copying it for each row.
    pub fn read(column: &Series) -> Self {
        match &column.values {
            Values::Boolean(values) => {
                let codes = values.iter().enumerate().map(|(row, value)| column.has(row).then_some(u32::from(*value)));
                Self { codes: codes.collect(), names: vec!["false".to_owned(), "true".to_owned()], kind: Kind::Boolean }
            }
            Values::Text(_) | Values::Category { .. } => Self::of_words(column),
            Values::Int64(_) | Values::Float64(_) | Values::Timestamp(_) => {
                Self::of_numbers(&column.numeric().unwrap_or_default())
            }
        }
    }

    fn of_words(column: &Series) -> Self {
        let names: BTreeSet<&str> = (0..column.len()).filter_map(|row| column.word(row)).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let code = |word: &str| names.binary_search(&word).ok().map(|place| place as u32);
        let codes = (0..column.len()).map(|row| column.word(row).and_then(code)).collect();
        Self { codes, names: names.into_iter().map(str::to_owned).collect(), kind: Kind::Text }
    }

    fn of_numbers(values: &[f64]) -> Self {
        // Adding 0 takes the sign off a negative zero: one class, not two.
        let values: Vec<f64> = values.iter().map(|value| value + 0.0).collect();
        let mut distinct: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        let code =
            |value: &f64| distinct.binary_search_by(|other| other.total_cmp(value)).ok().map(|place| place as u32);
        let codes = values.iter().map(code).collect();
        Self { codes, names: distinct.iter().map(f64::to_string).collect(), kind: Kind::Number }
    }

    /// The sorted names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Each row's index into the names; none where the value is missing.
    pub fn codes(&self) -> &[Option<u32>] {
        &self.codes
    }

    /// What the names were made of.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether another column's values have nothing to do with these: not one name in common, and several to choose from.
    pub fn is_alien_to(&self, other: &Self) -> bool {
        let several = self.names.len() > 1 || other.names.len() > 1;
        let empty = self.names.is_empty() || other.names.is_empty();
        several && !empty && !self.names.iter().any(|name| other.names.contains(name))
    }

    /// The same values as indices into other names, which must contain them.
    fn renamed(&self, names: &[String]) -> Vec<Option<u32>> {
        let places: Vec<Option<u32>> = self
            .names
            .iter()
            .map(|name| names.iter().position(|other| other == name).map(|place| place as u32))
            .collect();
        self.codes.iter().map(|code| code.and_then(|code| places[code as usize])).collect()
    }
}

/// How a class that a parameter names is written in a column.
pub fn class_name(class: &Class) -> String {
    match class {
        // As a column of numbers writes it, where there is no negative zero.
        Class::Number(value) => (value + 0.0).to_string(),
        other => other.to_string(),
    }
}

/// Labels and predictions as indices into the names of the classes that either of them has.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    /// The classes, those of the labels first where the two columns do not agree.
    pub names: Vec<String>,
    /// Each row's label.
    pub labels: Vec<Option<u32>>,
    /// Each row's prediction; empty where there is no such column.
    pub predictions: Vec<Option<u32>>,
}

impl Classes {
    /// Brings the two columns together.
    pub fn new(labels: &Categories, predictions: Option<&Categories>) -> Self {
        let same_order = predictions.is_none_or(|predictions| predictions.kind == labels.kind);
        let mut names = labels.names.clone();
        for name in predictions.iter().flat_map(|predictions| &predictions.names) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        match labels.kind {
            Kind::Text if same_order => names.sort_unstable(),
            Kind::Number if same_order => {
                let value = |name: &String| name.parse::<f64>().unwrap_or(f64::INFINITY);
                names.sort_by(|a, b| value(a).total_cmp(&value(b)));
            }
            _ => {}
        }
        let predictions = predictions.map_or_else(Vec::new, |predictions| predictions.renamed(&names));
        Self { labels: labels.renamed(&names), predictions, names }
    }
}
