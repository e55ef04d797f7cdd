//! A table as the judge wants it: whole columns, found by name.

use crate::categories::Categories;
use crate::report::Failure;

/// The values of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Booleans, some of them missing.
    Booleans(Vec<Option<bool>>),
    /// Integers, some of them missing.
    Integers(Vec<Option<i64>>),
    /// Numbers; NaN is missing.
    Numbers(Vec<f64>),
    /// Texts, some of them missing.
    Texts(Vec<Option<String>>),
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its values.
    pub values: Values,
}

/// Columns of the same length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
}

impl Table {
    /// The column of this name, if there is one.
    pub fn find(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column of this name, which the parameter `parameter` asks for.
    pub fn column(&self, parameter: &str, name: &str) -> Result<&Column, Failure> {
        self.find(name).ok_or_else(|| {
            let names = || self.columns.iter().map(|column| column.name.as_str());
            let nearest = names()
                .map(|other| (distance(name, other), other))
                .filter(|(distance, _)| *distance <= 2.max(name.chars().count() / 3))
                .min()
                .map_or_else(String::new, |(_, other)| format!("; did you mean `{other}`?"));
            let known: Vec<String> = names().map(|other| format!("`{other}`")).collect();
            Failure::invalid_data(format!(
                "`{parameter}` asks for the column `{name}`, which the table does not have; its columns are {}{nearest}",
                known.join(", ")
            ))
        })
    }
}

impl Column {
    /// The values by how they are written.
    pub fn categories(&self) -> Categories {
        match &self.values {
            Values::Booleans(values) => Categories::of_booleans(values.iter().copied()),
            Values::Integers(values) => {
                Categories::of_numbers(values.iter().map(|value| value.map_or(f64::NAN, |value| value as f64)))
            }
            Values::Numbers(values) => Categories::of_numbers(values.iter().copied()),
            Values::Texts(values) => Categories::of_texts(values.iter().map(Option::as_deref)),
        }
    }

    /// The values as numbers, NaN where one is missing. Text is none.
    pub fn numbers(&self) -> Result<Vec<f64>, Failure> {
        match &self.values {
            Values::Booleans(values) => {
                Ok(values.iter().map(|value| value.map_or(f64::NAN, |value| f64::from(u8::from(value)))).collect())
            }
            Values::Integers(values) => {
                Ok(values.iter().map(|value| value.map_or(f64::NAN, |value| value as f64)).collect())
            }
            Values::Numbers(values) => Ok(values.clone()),
            Values::Texts(_) => {
                Err(Failure::invalid_data(format!("the column `{}` is text, but numbers are needed", self.name)))
            }
        }
    }
}

/// How many characters must be changed to turn one text into the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, left) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (place, right) in other.iter().enumerate() {
            let changed = diagonal + usize::from(left != *right);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(row[place] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let column = |name: &str, values| Column { name: name.to_owned(), values };
        Table {
            columns: vec![
                column("income", Values::Texts(vec![Some(">50K".to_owned()), None])),
                column("age", Values::Integers(vec![Some(39), None])),
            ],
        }
    }

    #[test]
    fn a_column_that_is_not_there_is_named_with_the_nearest() {
        assert_eq!(
            table().column("label", "incme").unwrap_err(),
            Failure::invalid_data(
                "`label` asks for the column `incme`, which the table does not have; its columns are `income`, `age`; \
                 did you mean `income`?"
            )
        );
        assert_eq!(
            table().column("label", "target").unwrap_err(),
            Failure::invalid_data(
                "`label` asks for the column `target`, which the table does not have; its columns are `income`, `age`"
            )
        );
    }

    #[test]
    fn text_is_no_number() {
        assert_eq!(
            table().columns[0].numbers().unwrap_err(),
            Failure::invalid_data("the column `income` is text, but numbers are needed")
        );
        let ages = table().columns[1].numbers().unwrap();
        assert!(ages[0] == 39.0 && ages[1].is_nan());
    }

    #[test]
    fn a_distance_counts_what_must_change() {
        assert_eq!([distance("", "abc"), distance("sex", "sex"), distance("race", "rice")], [3, 0, 1]);
    }
}
