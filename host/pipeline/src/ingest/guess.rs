//! What the values of a column look like, found value by value.

use std::collections::HashSet;

use arrow_array::timezone::Tz;
use arrow_cast::parse::string_to_datetime;
use stagewright_core::ColumnType;

use super::Categories;

/// Longer values are prose, not words of a category.
const MAX_WORD_BYTES: usize = 256;

/// The types that a value may have, besides text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) const NONE: Self = Self(0);
    pub(super) const BOOLEAN: Self = Self(1);
    pub(super) const FLOAT: Self = Self(2);
    pub(super) const INTEGER: Self = Self(2 | 4);
    pub(super) const TIMESTAMP: Self = Self(8);
    const ALL: Self = Self(15);

    /// The kinds of a value of text.
    pub(super) fn of(value: &str) -> Self {
        match value.as_bytes().first() {
            Some(b'0'..=b'9' | b'-' | b'+' | b'.') => {
                if integer(value).is_some() {
                    Self::INTEGER
                } else if float(value).is_some() {
                    Self::FLOAT
                } else if timestamp(value).is_some() {
                    Self::TIMESTAMP
                } else {
                    Self::NONE
                }
            }
            Some(b't' | b'T' | b'f' | b'F') if boolean(value).is_some() => Self::BOOLEAN,
            Some(b'i' | b'I') if float(value).is_some() => Self::FLOAT,
            _ => Self::NONE,
        }
    }

    fn has(self, kinds: Self) -> bool {
        self.0 & kinds.0 == kinds.0
    }
}

/// Everything seen of a column.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    possible: Kinds,
    values: u64,
    missing: u64,
    /// Quoted words for a missing value: text in a column of text, missing elsewhere.
    quoted_missing: u64,
    words: Option<HashSet<Box<str>>>,
    most_words: usize,
}

impl Guess {
    pub(super) fn new(categories: Option<Categories>) -> Self {
        Self {
            possible: Kinds::ALL,
            values: 0,
            missing: 0,
            quoted_missing: 0,
            words: categories.map(|_| HashSet::new()),
            most_words: categories.map_or(0, |categories| categories.words),
        }
    }

    pub(super) fn see_missing(&mut self, rows: u64) {
        self.missing += rows;
    }

    pub(super) fn see_quoted_missing(&mut self, word: &str) {
        self.quoted_missing += 1;
        self.count_word(word);
    }

    pub(super) fn see_text(&mut self, value: &str) {
        let kinds = if self.possible == Kinds::NONE { Kinds::NONE } else { Kinds::of(value) };
        self.see(value, kinds);
    }

    pub(super) fn see(&mut self, value: &str, kinds: Kinds) {
        self.values += 1;
        self.possible = Kinds(self.possible.0 & kinds.0);
        self.count_word(value);
    }

    fn count_word(&mut self, word: &str) {
        let Some(words) = &mut self.words else { return };
        if word.len() > MAX_WORD_BYTES {
            self.words = None;
        } else if !words.contains(word) {
            if words.len() == self.most_words {
                self.words = None;
            } else {
                words.insert(word.into());
            }
        }
    }

    /// Whether more values could make it a category or not.
    pub(super) fn may_be_category(&self) -> bool {
        self.words.is_some()
    }

    pub(super) fn column_type(&self) -> ColumnType {
        let possible = |kinds| self.values > 0 && self.possible.has(kinds);
        if possible(Kinds::BOOLEAN) {
            ColumnType::Boolean
        } else if possible(Kinds::INTEGER) {
            ColumnType::Int64
        } else if possible(Kinds::FLOAT) {
            ColumnType::Float64
        } else if possible(Kinds::TIMESTAMP) {
            ColumnType::Timestamp
        } else {
            self.text_type()
        }
    }

    /// Category or text, whatever the values look like.
    pub(super) fn text_type(&self) -> ColumnType {
        let seen = self.values + self.quoted_missing;
        match &self.words {
            Some(words) if !words.is_empty() && words.len() as u64 * 2 <= seen => ColumnType::Category,
            _ => ColumnType::Text,
        }
    }

    /// Whether rows lack a value in a column of this type.
    pub(super) fn has_gaps(&self, column_type: ColumnType) -> bool {
        self.missing > 0 || (self.quoted_missing > 0 && !is_text(column_type))
    }
}

/// Whether values of this type are words, for which a quoted `"NA"` is no missing value.
pub(super) fn is_text(column_type: ColumnType) -> bool {
    matches!(column_type, ColumnType::Text | ColumnType::Category)
}

pub(super) fn boolean(value: &str) -> Option<bool> {
    if value.eq_ignore_ascii_case("true") {
        Some(true)
    } else if value.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// A whole number of 64 bits, unless it is written like a code.
pub(super) fn integer(value: &str) -> Option<i64> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let like_a_code = digits.len() > 1 && digits.starts_with('0') || digits.starts_with('+');
    if like_a_code { None } else { value.parse().ok() }
}

/// A finite or spelled-out infinite number, unless it is written like a code or its digits would be lost.
pub(super) fn float(value: &str) -> Option<f64> {
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    if matches!(digits, "inf" | "Inf" | "Infinity" | "infinity") {
        return value.parse().ok();
    }
    let bytes = digits.as_bytes();
    let numeric = bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'-' | b'+'));
    let like_a_code = bytes.len() > 1 && bytes[0] == b'0' && bytes[1].is_ascii_digit();
    let whole = bytes.iter().all(u8::is_ascii_digit);
    if !numeric || like_a_code || whole && (value.starts_with('+') || integer(value).is_none()) {
        return None;
    }
    value.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// Microseconds since 1970 in UTC.
pub(super) fn timestamp(value: &str) -> Option<i64> {
    let bytes = value.as_bytes();
    let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
    let dated =
        bytes.len() >= 10 && digits(0..4) && bytes[4] == b'-' && digits(5..7) && bytes[7] == b'-' && digits(8..10);
    let timed = dated && (bytes.len() == 10 || bytes.len() >= 16 && matches!(bytes[10], b'T' | b't' | b' '));
    if !timed {
        return None;
    }
    let utc: Tz = "+00:00".parse().ok()?;
    string_to_datetime(&utc, value).ok().map(|time| time.timestamp_micros())
}
