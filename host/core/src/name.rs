//! Names of versioned things and references to their versions: `adult`, `adult@3`, `adult@latest`, `adult@golden`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of something versioned: 1 to 100 of `a-z A-Z 0-9 - _ .`, beginning with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text cannot be a name or a reference to a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a name.
    #[error("`{0}` is not a name: use 1 to 100 letters, digits, `-`, `_` or `.`, and begin with a letter or digit")]
    Name(String),
    /// Not a selector of a version.
    #[error("`{0}` does not select a version: use a number from 1, `latest`, or a tag")]
    Selector(String),
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = (1..=100).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError::Name(text.to_owned())) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which version of a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// The newest.
    Latest,
    /// This one; the first version is 1.
    Number(u64),
    /// The one that a tag points at. A tag is a [`Name`] that begins with a letter and is not `latest`.
    Tag(Name),
}

impl FromStr for Selector {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Selector(text.to_owned());
        match text {
            "latest" => Ok(Self::Latest),
            _ if text.bytes().all(|byte| byte.is_ascii_digit()) => match text.parse() {
                Ok(number) if number > 0 => Ok(Self::Number(number)),
                _ => Err(wrong()),
            },
            _ if text.starts_with(|first: char| first.is_ascii_alphabetic()) => {
                text.parse().map(Self::Tag).map_err(|_| wrong())
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Tag(tag) => write!(f, "{tag}"),
        }
    }
}

/// A name and which of its versions; without an `@`, the latest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionRef {
    /// What.
    pub name: Name,
    /// Which.
    pub selector: Selector,
}

impl FromStr for VersionRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('@') {
            Some((name, selector)) => Ok(Self { name: name.parse()?, selector: selector.parse()? }),
            None => Ok(Self { name: text.parse()?, selector: Selector::Latest }),
        }
    }
}

impl fmt::Display for VersionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.selector)
    }
}

macro_rules! serde_as_text {
    ($($kind:ty),*) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(Name, Selector, VersionRef);

/// The candidate nearest to `word` by edit distance, where it is near enough to be a likely slip: for "did you mean".
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_back_what_they_printed() {
        for text in ["adult@latest", "adult@3", "a.b-c_d@golden"] {
            assert_eq!(text.parse::<VersionRef>().map(|r| r.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("adult".parse::<VersionRef>().map(|r| r.to_string()).as_deref(), Ok("adult@latest"));
    }

    #[test]
    fn paths_and_other_text_are_no_names() {
        for text in ["", "../x", "a/b", ".hidden", "a b", "ü", &"x".repeat(101)] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
        for text in ["adult@", "adult@0", "adult@-1", "adult@3x", "adult@99999999999999999999999"] {
            assert!(text.parse::<VersionRef>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("fractoins", ["fractions", "by", "column"]), Some("fractions"));
        assert_eq!(nearest("colour", ["fractions", "by"]), None);
    }
}
