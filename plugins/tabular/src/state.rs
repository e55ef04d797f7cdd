//! What was learned, as it is saved. It may come back from anywhere, so it is checked before it is used.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stagewright_stage::{ColumnType, Field};

use crate::parameters::Encode;

/// The word that rare and unseen words share.
pub(crate) const OTHER: &str = "other";

/// How every column becomes features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// The column that is passed through.
    pub(crate) label: Option<String>,
    /// What words become.
    pub(crate) encode: Encode,
    /// The word that stands for a missing one.
    pub(crate) missing: String,
    /// The columns, in the order of the training table.
    pub(crate) columns: Vec<Learned>,
}

/// One column of the training table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Learned {
    pub(crate) name: String,
    pub(crate) part: Part,
}

/// How a column becomes features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    Number(Number),
    Words(Words),
}

/// A number becomes `(number - centre) / divisor`, after gaps were filled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Number {
    /// What replaces a missing number; gaps stay, if there is none.
    pub(crate) fill: Option<f64>,
    pub(crate) centre: f64,
    pub(crate) divisor: f64,
    /// Whether a further column says where the number was missing.
    pub(crate) indicator: bool,
}

/// A word becomes its place among these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    /// The words that stand for themselves, sorted; behind them [`OTHER`], where there is that bucket.
    pub(crate) words: Vec<String>,
    pub(crate) other: bool,
    /// Whether the words are numbers that count as such.
    pub(crate) codes: bool,
}

impl Words {
    /// The place of a word: its own, else that of the bucket, if there is one.
    pub(crate) fn place(&self, word: &str) -> Option<u32> {
        let own = &self.words[..self.words.len() - usize::from(self.other)];
        match own.binary_search_by(|candidate| candidate.as_str().cmp(word)) {
            Ok(place) => Some(place as u32),
            Err(_) => self.other.then_some(own.len() as u32),
        }
    }
}

impl State {
    /// The features that columns become, without the label.
    pub(crate) fn features(&self) -> Vec<Field> {
        let mut fields = Vec::new();
        let mut add = |name: String, type_, nullable| fields.push(Field { name, type_, nullable });
        for Learned { name, part } in &self.columns {
            match part {
                Part::Number(number) => {
                    add(name.clone(), ColumnType::Float64, number.fill.is_none());
                    if number.indicator {
                        add(format!("{name}=missing"), ColumnType::Boolean, false);
                    }
                }
                Part::Words(words) => match self.encode {
                    Encode::Category => add(name.clone(), ColumnType::Category, !words.other),
                    Encode::OneHot => {
                        words.words.iter().for_each(|word| add(format!("{name}={word}"), ColumnType::Boolean, false));
                    }
                },
            }
        }
        fields
    }

    /// Two features, or a feature and the label, that would have the same name.
    pub(crate) fn clash(&self) -> Option<String> {
        let mut names: BTreeSet<String> = self.label.iter().cloned().collect();
        self.features().into_iter().map(|field| field.name).find(|name| !names.insert(name.clone()))
    }

    /// Whether `transform` can rely on it.
    pub(crate) fn is_sound(&self) -> bool {
        let names: BTreeSet<&str> =
            self.columns.iter().map(|column| column.name.as_str()).chain(self.label.as_deref()).collect();
        let distinct = names.len() == self.columns.len() + usize::from(self.label.is_some());
        let sound = |column: &Learned| match &column.part {
            Part::Number(number) => {
                number.fill.is_none_or(f64::is_finite)
                    && number.centre.is_finite()
                    && number.divisor.is_finite()
                    && number.divisor > 0.0
            }
            Part::Words(Words { words, other, .. }) => match words.split_last() {
                None => false,
                Some((last, own)) if *other => {
                    last == OTHER && own.is_sorted_by(|left, right| left < right) && !own.contains(last)
                }
                Some(_) => words.is_sorted_by(|left, right| left < right),
            },
        };
        !self.columns.is_empty() && distinct && self.columns.iter().all(sound) && self.clash().is_none()
    }
}
