//! Markdown, and how numbers and times read in it.
//!
//! What people or plugins wrote - names, messages, findings - becomes text of the document, never markup.

use std::fmt::{Display, Write};

use stagewright_core::{ColumnType, Field, report::Metric};

use crate::ingest::export;

/// A part of a document that the record cannot fill in and a person has to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Gap {
    /// The gap's name, unique in its document: `intended-purpose`.
    pub name: String,
    /// What has to be written.
    pub ask: String,
}

/// A Markdown document as it grows.
#[derive(Debug, Default)]
pub(crate) struct Markdown {
    pub(crate) text: String,
    pub(crate) gaps: Vec<Gap>,
}

impl Markdown {
    pub(crate) fn heading(&mut self, level: usize, title: impl Display) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
        let _ = writeln!(self.text, "{} {title}\n", "#".repeat(level));
    }

    pub(crate) fn paragraph(&mut self, text: impl Display) {
        let _ = writeln!(self.text, "{text}\n");
    }

    pub(crate) fn list<T: Display>(&mut self, items: impl IntoIterator<Item = T>) {
        let before = self.text.len();
        for item in items {
            let _ = writeln!(self.text, "- {item}");
        }
        if self.text.len() > before {
            self.text.push('\n');
        }
    }

    /// A table; columns whose title ends in `>` stand to the right.
    pub(crate) fn table(&mut self, titles: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return;
        }
        let shown: Vec<&str> = titles.iter().map(|title| title.trim_end_matches('>')).collect();
        let rules: Vec<&str> = titles.iter().map(|title| if title.ends_with('>') { "---:" } else { "---" }).collect();
        let _ = writeln!(self.text, "| {} |\n| {} |", shown.join(" | "), rules.join(" | "));
        for row in rows {
            let _ = writeln!(self.text, "| {} |", row.join(" | "));
        }
        self.text.push('\n');
    }

    /// Names what is missing, where it is missing.
    pub(crate) fn gap(&mut self, name: &str, ask: &str) {
        let _ = writeln!(self.text, "> **Gap `{name}`** (not in the record; a person has to write this): {ask}\n");
        self.gaps.push(Gap { name: name.to_owned(), ask: ask.to_owned() });
    }

    /// The gaps once more, together, as the last section.
    pub(crate) fn list_gaps(&mut self) {
        if self.gaps.is_empty() {
            return;
        }
        let items: Vec<String> = self.gaps.iter().map(|gap| format!("`{}`: {}", gap.name, gap.ask)).collect();
        self.heading(2, "What people have to add");
        self.list(items);
    }
}

/// Text from outside, harmless within a line or a cell.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => out.push(' '),
            '|' | '*' | '_' | '[' | ']' | '\\' | '`' | '#' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
    out
}

/// Text from outside as code.
pub(crate) fn code(text: &str) -> String {
    let inner: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // The fence has to be longer than any run of backquotes inside.
    let longest = inner.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let space = if inner.contains('`') { " " } else { "" };
    format!("{fence}{space}{}{space}{fence}", inner.replace('|', "\\|"))
}

/// A finding: its sentence quotes names with backquotes, which stay code; the rest is plain.
pub(crate) fn sentence(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    // An odd number of backquotes quotes nothing that could be told.
    if parts.len().is_multiple_of(2) {
        return plain(text);
    }
    parts.iter().enumerate().map(|(place, part)| if place % 2 == 1 { code(part) } else { plain(part) }).collect()
}

/// A figure with four decimals, more where it is small.
pub(crate) fn number(value: Option<f64>) -> String {
    match value {
        None => "undefined".to_owned(),
        Some(value) if value == value.trunc() && value.abs() < 1e15 => format!("{value}"),
        Some(value) if value.abs() < 0.001 => format!("{value:.2e}"),
        Some(value) => format!("{value:.4}"),
    }
}

/// A number of things: `32,561`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of rows that may not be known any more.
pub(crate) fn rows(count_of: Option<u64>) -> String {
    count_of.map_or_else(|| "deleted since".to_owned(), count)
}

/// A time in RFC 3339, in seconds, UTC.
pub(crate) fn time(milliseconds: u64) -> String {
    let seconds = i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX);
    export::time(seconds.saturating_mul(1_000_000))
}

/// The day of a time: `2026-11-25`.
pub(crate) fn day(milliseconds: u64) -> String {
    time(milliseconds).chars().take(10).collect()
}

/// `accuracy`, or `recall (column gender, group Female)`.
pub(crate) fn metric_name(metric: &Metric) -> String {
    if metric.labels.is_empty() {
        return metric.name.clone();
    }
    let labels: Vec<String> = metric.labels.iter().map(|(name, value)| format!("{name} {value}")).collect();
    format!("{} ({})", metric.name, labels.join(", "))
}

/// `0.8655 to 0.8824`, or nothing.
pub(crate) fn interval(metric: &Metric) -> String {
    match (metric.low, metric.high) {
        (Some(low), Some(high)) => format!("{} to {}", number(Some(low)), number(Some(high))),
        _ => String::new(),
    }
}

/// A row of a table of metrics: name, value, interval, rows.
pub(crate) fn metric_row(metric: &Metric) -> Vec<String> {
    let support = metric.support.map(count).unwrap_or_default();
    vec![plain(&metric_name(metric)), number(metric.value), interval(metric), support]
}

/// The titles of such a table.
pub(crate) const METRIC_TITLES: [&str; 4] = ["metric", "value>", "interval>", "rows>"];

/// A row of a table of columns: name, type, whether values may be missing.
pub(crate) fn field_row(field: &Field) -> Vec<String> {
    let missing = if field.nullable { "may be missing" } else { "" };
    vec![code(&field.name), type_name(field.column_type).to_owned(), missing.to_owned()]
}

fn type_name(column_type: ColumnType) -> &'static str {
    column_type.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text_and_not_markup() {
        assert_eq!(plain("a|b\n# <b> *c*"), "a\\|b \\# &lt;b> \\*c\\*");
        assert_eq!(code("<=50K"), "`<=50K`");
        assert_eq!(code("a`b"), "`` a`b ``");
        assert_eq!(sentence("`Female` is <selected>"), "`Female` is &lt;selected>");
        assert_eq!(sentence("one ` alone"), "one \\` alone");
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(951_827_696_123), "2000-02-29T12:34:56Z");
        assert_eq!(day(951_827_696_123), "2000-02-29");
    }

    #[test]
    fn a_gap_is_named_where_it_is_and_once_more_at_the_end() {
        let mut markdown = Markdown::default();
        markdown.gap("intended-purpose", "what it is for.");
        markdown.list_gaps();
        assert_eq!(markdown.text.matches("intended-purpose").count(), 2);
    }
}
