//! Which group each row belongs to: by one column, or by several at once.

use std::collections::BTreeMap;

use crate::categories::Categories;
use crate::tally::{Outcome, Tally};

/// The group of the rows that lack the column's value. It is counted as any other.
pub const UNKNOWN: &str = "unknown";

/// What stands between the parts of an intersection's name: `sex*race`, `Female*White`.
const AND: &str = "*";

/// The rows of a table, each in one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    /// The column, or the columns joined by `*`.
    pub column: String,
    /// The groups' names, in order.
    pub names: Vec<String>,
    /// Each row's group.
    pub codes: Vec<u32>,
}

impl Partition {
    /// By the values of a column.
    pub fn by_values(column: &str, values: &Categories) -> Self {
        Self::new(column, values.names().to_vec(), values.codes().iter().copied())
    }

    /// By numbers between edges, which must be in order: `<25`, `25..45`, `>=45`. NaN is missing.
    pub fn by_bins(column: &str, values: &[f64], edges: &[f64]) -> Self {
        let mut names = Vec::with_capacity(edges.len() + 1);
        names.extend(edges.first().map(|first| format!("<{first}")));
        names.extend(edges.windows(2).map(|pair| format!("{}..{}", pair[0], pair[1])));
        names.extend(edges.last().map(|last| format!(">={last}")));
        let bin = |value: &f64| (!value.is_nan()).then(|| edges.iter().filter(|edge| **edge <= *value).count() as u32);
        Self::new(column, names, values.iter().map(bin))
    }

    /// By several partitions of the same rows at once; combinations that no row has are no groups.
    pub fn by_all(parts: &[&Self]) -> Self {
        let joined = |texts: Vec<&str>| texts.join(AND);
        let rows = parts.first().map_or(0, |part| part.codes.len());
        let key = |row: usize| parts.iter().map(|part| part.codes[row]).collect::<Vec<u32>>();
        let mut groups = BTreeMap::<Vec<u32>, u32>::new();
        for row in 0..rows {
            groups.entry(key(row)).or_default();
        }
        for (place, code) in groups.values_mut().enumerate() {
            *code = place as u32;
        }
        let name = |codes: &Vec<u32>| {
            joined(codes.iter().zip(parts).map(|(&code, part)| part.names[code as usize].as_str()).collect())
        };
        Self {
            column: joined(parts.iter().map(|part| part.column.as_str()).collect()),
            names: groups.keys().map(name).collect(),
            codes: (0..rows).map(|row| groups[&key(row)]).collect(),
        }
    }

    fn new(column: &str, mut names: Vec<String>, codes: impl Iterator<Item = Option<u32>>) -> Self {
        // A value that is called `unknown` and a missing one are the same group.
        let known = names.iter().position(|name| name == UNKNOWN);
        let unknown = known.unwrap_or(names.len()) as u32;
        let mut missing = false;
        let codes = codes
            .map(|code| {
                missing |= code.is_none();
                code.unwrap_or(unknown)
            })
            .collect();
        if missing && known.is_none() {
            names.push(UNKNOWN.to_owned());
        }
        Self { column: column.to_owned(), names, codes }
    }

    /// Counts the rows of each group. `rows` says where each outcome stands in the table.
    pub fn tally(&self, rows: &[(usize, Outcome)]) -> Vec<Tally> {
        let mut tallies = vec![Tally::default(); self.names.len()];
        for (place, outcome) in rows {
            tallies[self.codes[*place] as usize].add(outcome);
        }
        tallies
    }
}

#[cfg(test)]
mod tests {
    use stagewright_stage::Series;

    use super::*;

    fn texts<'values>(values: impl IntoIterator<Item = Option<&'values str>>) -> Categories {
        Categories::read(&Series::of_texts("column", values))
    }

    #[test]
    fn a_missing_value_is_a_group_of_its_own() {
        let values = texts([Some("b"), None, Some("a"), None]);
        let partition = Partition::by_values("sex", &values);
        assert_eq!(partition.names, ["a", "b", "unknown"]);
        assert_eq!(partition.codes, [1, 2, 0, 2]);
    }

    #[test]
    fn a_value_called_unknown_is_as_good_as_missing() {
        let values = texts([Some("unknown"), None]);
        let partition = Partition::by_values("sex", &values);
        assert_eq!((partition.names, partition.codes), (vec!["unknown".to_owned()], vec![0, 0]));
    }

    #[test]
    fn numbers_fall_between_edges_that_belong_to_the_group_above() {
        let partition = Partition::by_bins("age", &[24.9, 25.0, 44.0, 45.0, f64::NAN], &[25.0, 45.0]);
        assert_eq!(partition.names, ["<25", "25..45", ">=45", "unknown"]);
        assert_eq!(partition.codes, [0, 1, 1, 2, 3]);
    }

    #[test]
    fn an_intersection_has_the_groups_that_occur() {
        let sex = Partition::by_values("sex", &texts([Some("f"), Some("m"), Some("f")]));
        let race = Partition::by_values("race", &texts([Some("x"), Some("y"), Some("y")]));
        let both = Partition::by_all(&[&sex, &race]);
        assert_eq!(both.column, "sex*race");
        assert_eq!(both.names, ["f*x", "f*y", "m*y"]);
        assert_eq!(both.codes, [0, 2, 1]);
    }
}
