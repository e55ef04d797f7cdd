//! Single values: how one type is read as another, and how a column is put together from them.

use std::collections::BTreeSet;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use stagewright_stage::{ColumnType, Failure, Series, Values};

use crate::{Constant, Type};

/// A value of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Boolean(bool),
    Int64(i64),
    Float64(f64),
    Timestamp(i64),
    Word(String),
}

impl Value {
    /// The value of a row, if it has one.
    pub(crate) fn of(column: &Series, row: usize) -> Option<Self> {
        if !column.has(row) {
            return None;
        }
        Some(match &column.values {
            Values::Boolean(values) => Self::Boolean(values[row]),
            Values::Int64(values) => Self::Int64(values[row]),
            Values::Float64(values) => Self::Float64(values[row]),
            Values::Timestamp(values) => Self::Timestamp(values[row]),
            Values::Text(_) | Values::Category { .. } => Self::Word(column.word(row)?.to_owned()),
        })
    }

    /// As people write it.
    pub(crate) fn display(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Int64(value) => value.to_string(),
            Self::Float64(value) => value.to_string(),
            Self::Timestamp(value) => match DateTime::from_timestamp_micros(*value) {
                Some(time) => time.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string(),
                None => value.to_string(),
            },
            Self::Word(word) => word.clone(),
        }
    }

    /// The same value in another type; nothing if it means nothing there. No digit of a number is lost.
    pub(crate) fn cast(&self, to: ColumnType, formats: &[String]) -> Option<Self> {
        match to {
            ColumnType::Text | ColumnType::Category => Some(Self::Word(self.display())),
            ColumnType::Boolean => match self {
                Self::Boolean(value) => Some(*value),
                Self::Int64(value) => [false, true].into_iter().find(|one| i64::from(*one) == *value),
                Self::Float64(value) => [false, true].into_iter().find(|one| f64::from(u8::from(*one)) == *value),
                Self::Timestamp(_) => None,
                Self::Word(word) => match word.trim().to_lowercase().as_str() {
                    "true" | "yes" | "t" | "y" | "1" => Some(true),
                    "false" | "no" | "f" | "n" | "0" => Some(false),
                    _ => None,
                },
            }
            .map(Self::Boolean),
            ColumnType::Int64 => match self {
                Self::Boolean(value) => Some(i64::from(*value)),
                Self::Int64(value) | Self::Timestamp(value) => Some(*value),
                Self::Float64(value) => whole(*value),
                Self::Word(word) => word.trim().parse().ok().or_else(|| whole(word.trim().parse().ok()?)),
            }
            .map(Self::Int64),
            ColumnType::Float64 => match self {
                Self::Boolean(value) => Some(f64::from(u8::from(*value))),
                Self::Int64(value) | Self::Timestamp(value) => exact(*value),
                Self::Float64(value) => Some(*value),
                Self::Word(word) => word.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            }
            .map(Self::Float64),
            ColumnType::Timestamp => match self {
                Self::Timestamp(value) | Self::Int64(value) => Some(*value),
                Self::Word(word) => time(word.trim(), formats),
                Self::Boolean(_) | Self::Float64(_) => None,
            }
            .map(Self::Timestamp),
        }
    }
}

impl From<&Constant> for Value {
    fn from(constant: &Constant) -> Self {
        match constant {
            Constant::Boolean(value) => Self::Boolean(*value),
            Constant::Integer(value) => Self::Int64(*value),
            Constant::Number(value) => Self::Float64(*value),
            Constant::Word(word) => Self::Word(word.clone()),
        }
    }
}

impl From<Type> for ColumnType {
    fn from(kind: Type) -> Self {
        match kind {
            Type::Boolean => Self::Boolean,
            Type::Int64 => Self::Int64,
            Type::Float64 => Self::Float64,
            Type::Timestamp => Self::Timestamp,
            Type::Text => Self::Text,
            Type::Category => Self::Category,
        }
    }
}

/// What a type is called, and what it holds.
pub(crate) fn describe(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Boolean => "true or false (boolean)",
        ColumnType::Int64 => "a whole number (int64)",
        ColumnType::Float64 => "a number (float64)",
        ColumnType::Timestamp => "a time (timestamp)",
        ColumnType::Text => "text",
        ColumnType::Category => "a category",
    }
}

/// Refuses patterns of times that are none.
pub(crate) fn check_formats(formats: &[String]) -> Result<(), Failure> {
    match formats.iter().find(|format| StrftimeItems::new(format).any(|item| item == Item::Error)) {
        Some(format) => Err(Failure::invalid_parameter(format!(
            "`time-formats` holds `{format}`, which is no pattern; one is `%d.%m.%Y %H:%M`"
        ))),
        None => Ok(()),
    }
}

/// The whole number that a float is; beyond 2^53 it may be the neighbour of what was meant.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= (1_u64 << 53) as f64).then_some(number as i64)
}

/// The float that a whole number is, if there is one.
fn exact(number: i64) -> Option<f64> {
    (number.unsigned_abs() <= 1 << 53).then_some(number as f64)
}

/// Microseconds since 1970.
fn time(word: &str, formats: &[String]) -> Option<i64> {
    let own = formats.iter().map(String::as_str);
    let iso = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"];
    own.chain(iso)
        .find_map(|format| {
            let with_offset = DateTime::parse_from_str(word, format).map(|time| time.naive_utc());
            let without = || NaiveDateTime::parse_from_str(word, format);
            let date = || NaiveDate::parse_from_str(word, format).map(NaiveDateTime::from);
            with_offset.or_else(|_| without()).or_else(|_| date()).ok()
        })
        .or_else(|| DateTime::parse_from_rfc3339(word).ok().map(|time| time.naive_utc()))
        .map(|time| time.and_utc().timestamp_micros())
}

/// A column of values that are all of one type.
pub(crate) fn gather(name: &str, kind: ColumnType, values: Vec<Option<Value>>) -> Result<Series, Failure> {
    let valid: Vec<bool> = values.iter().map(Option::is_some).collect();
    let wrong = || Failure::internal(format!("column `{name}` mixes types"));
    macro_rules! plain {
        ($variant:ident) => {
            Values::$variant(
                values
                    .into_iter()
                    .map(|value| match value {
                        Some(Value::$variant(value)) => Ok(value),
                        None => Ok(Default::default()),
                        Some(_) => Err(wrong()),
                    })
                    .collect::<Result<_, _>>()?,
            )
        };
    }
    let values = match kind {
        ColumnType::Boolean => plain!(Boolean),
        ColumnType::Int64 => plain!(Int64),
        ColumnType::Float64 => plain!(Float64),
        ColumnType::Timestamp => plain!(Timestamp),
        ColumnType::Text | ColumnType::Category => {
            let word = |value: &Option<Value>| match value {
                Some(Value::Word(word)) => Ok(Some(word.clone())),
                None => Ok(None),
                Some(_) => Err(wrong()),
            };
            return Ok(of_words(name, kind, values.iter().map(word).collect::<Result<_, _>>()?));
        }
    };
    Ok(Series { name: name.to_owned(), values, valid: valid.contains(&false).then_some(valid) })
}

/// A column of words, as text or as category.
fn of_words(name: &str, kind: ColumnType, rows: Vec<Option<String>>) -> Series {
    if kind == ColumnType::Text {
        return Series::of_texts(name, rows);
    }
    let words: Vec<String> = rows.iter().flatten().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let code = |row: &Option<String>| row.as_ref().and_then(|word| words.binary_search(word).ok()).unwrap_or(0) as u32;
    let codes = rows.iter().map(code).collect();
    let valid: Vec<bool> = rows.iter().map(Option::is_some).collect();
    Series {
        name: name.to_owned(),
        values: Values::Category { codes, words },
        valid: valid.contains(&false).then_some(valid),
    }
}

/// The column with each word changed, or missing where nothing is left of it. Categories are changed once per word.
pub(crate) fn change_words(column: &Series, change: impl Fn(&str) -> Option<String>) -> Series {
    match &column.values {
        Values::Category { codes, words } => {
            let changed: Vec<Option<String>> = words.iter().map(|word| change(word)).collect();
            let of_row = |row: usize| column.has(row).then(|| changed[codes[row] as usize].clone()).flatten();
            of_words(&column.name, ColumnType::Category, (0..codes.len()).map(of_row).collect())
        }
        _ => Series::of_texts(&column.name, (0..column.len()).map(|row| change(column.word(row)?))),
    }
}
