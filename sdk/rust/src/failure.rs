//! Saying no: constructors for the contract's failures, and the column that was probably meant.

use crate::{Failure, Field};

impl Failure {
    /// The pipeline's author must mend a parameter.
    pub fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::InvalidParameter(message.into())
    }

    /// Whoever made the data must mend it.
    pub fn invalid_data(message: impl Into<String>) -> Self {
        Self::InvalidData(message.into())
    }

    /// The saved state or weights are not what this plugin wrote.
    pub fn invalid_state(message: impl Into<String>) -> Self {
        Self::InvalidState(message.into())
    }

    /// The plugin's author must mend the plugin.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal(message.into())
    }
}

/// Returns the candidate that `name` most resembles, if one is near.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (edits(&wanted, &candidate.to_lowercase()), candidate))
        .min()
        .filter(|(distance, _)| *distance <= 1 + wanted.chars().count() / 4)
        .map(|(_, candidate)| candidate)
}

/// Says that a column is missing, and which was probably meant.
pub(crate) fn no_such_column(name: &str, fields: &[Field]) -> String {
    match nearest(name, fields.iter().map(|field| field.name.as_str())) {
        Some(near) => format!("the table has no column `{name}`; did you mean `{near}`?"),
        None => {
            let names = fields.iter().take(40).map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ");
            let more = if fields.len() > 40 { format!(" and {} more", fields.len() - 40) } else { String::new() };
            format!("the table has no column `{name}`; its columns are {names}{more}")
        }
    }
}

/// The Levenshtein distance, of the first 64 characters: longer names differ anyway.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, character) in left.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (place, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(character != *other);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(row[place] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_misspelt_name_finds_its_neighbour_and_a_strange_one_finds_none() {
        assert_eq!(nearest("incme", ["age", "income"]), Some("income"));
        assert_eq!(nearest("Größe", ["größe", "age"]), Some("größe"));
        assert_eq!(nearest("temperature", ["age", "income"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
