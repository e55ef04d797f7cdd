//! TOML with places: every key and value knows where it stands, so that every complaint can say so.

use std::{collections::BTreeMap, fmt, ops::Range, str::FromStr};

use serde::Serialize;
use serde_json::Value;
use stagewright_core::name::nearest;
use toml_edit::{Document, Item};

/// A value and where it stands in its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// The bytes of the file that say it.
    pub at: Range<usize>,
}

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file's path, as the user gave it.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

/// Everything that is wrong with a file, in the order of its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// A file's path and text, and what was found wrong with it so far.
#[derive(Clone, Debug)]
pub struct Source {
    path: String,
    text: String,
    problems: Vec<Problem>,
}

impl Source {
    /// A file. `path` is only for messages.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into(), problems: Vec::new() }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether nothing was found wrong so far.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Notes a mistake.
    pub fn problem(&mut self, at: &Range<usize>, message: impl Into<String>, hint: Option<String>) {
        let problem = self.locate(at, message.into(), hint);
        self.problems.push(problem);
    }

    /// A mistake at a place, without noting it.
    pub fn locate(&self, at: &Range<usize>, message: String, hint: Option<String>) -> Problem {
        let before = self.text.get(..at.start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Problem {
            file: self.path.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message,
            hint,
        }
    }

    /// `value` if nothing was wrong, else everything that was.
    ///
    /// # Errors
    /// The noted mistakes.
    pub fn finish<T>(self, value: T) -> Result<T, Problems> {
        let mut problems = self.problems;
        problems.sort_by_key(|problem| (problem.line, problem.column));
        // A plugin that two parts of a stage name is asked twice about the same parameters.
        problems.dedup();
        if problems.is_empty() { Ok(value) } else { Err(Problems(problems)) }
    }

    /// Parses the text. A syntax error is noted, and an empty table returned.
    pub(super) fn parse(&mut self) -> Node {
        match Document::parse(self.text.clone()) {
            Ok(document) => Node::of(document.as_item()),
            Err(error) => {
                let at = error.span().unwrap_or(0..0);
                let message = error.message().trim().replace('\n', ", ");
                self.problem(&at, format!("not valid TOML: {message}"), None);
                Node { at: 0..0, kind: Kind::Table(Vec::new()) }
            }
        }
    }
}

/// A TOML value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Range<usize>,
    pub(super) kind: Kind,
}

/// What a TOML value is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    Array(Vec<Node>),
    Table(Vec<(Located<String>, Node)>),
}

impl Node {
    fn of(item: &Item) -> Self {
        let at = item.span().unwrap_or(0..0);
        if let Some(table) = item.as_table_like() {
            let entries = table.iter().map(|(name, item)| {
                let key_at = table.get_key_value(name).and_then(|(key, _)| key.span());
                let node = Self::of(item);
                (Located { value: name.to_owned(), at: key_at.unwrap_or(node.at.clone()) }, node)
            });
            return Self { kind: Kind::Table(entries.collect()), at };
        }
        if let Some(tables) = item.as_array_of_tables() {
            let nodes = tables.iter().map(|table| Self::of(&Item::Table(table.clone())));
            return Self { kind: Kind::Array(nodes.collect()), at };
        }
        let kind = match item.as_value() {
            Some(toml_edit::Value::String(text)) => Kind::Text(text.value().clone()),
            Some(toml_edit::Value::Integer(number)) => Kind::Integer(*number.value()),
            Some(toml_edit::Value::Float(number)) => Kind::Float(*number.value()),
            Some(toml_edit::Value::Boolean(truth)) => Kind::Boolean(*truth.value()),
            Some(toml_edit::Value::Datetime(time)) => Kind::Datetime(time.value().to_string()),
            Some(toml_edit::Value::Array(array)) => {
                Kind::Array(array.iter().map(|value| Self::of(&Item::Value(value.clone()))).collect())
            }
            // Inline tables were table-like above.
            Some(toml_edit::Value::InlineTable(_)) | None => Kind::Table(Vec::new()),
        };
        Self { at, kind }
    }

    /// What the value is, for messages.
    pub(super) fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Text(_) => "text",
            Kind::Integer(_) => "a whole number",
            Kind::Float(_) => "a number",
            Kind::Boolean(_) => "true or false",
            Kind::Datetime(_) => "a date or time",
            Kind::Array(_) => "a list",
            Kind::Table(_) => "a table",
        }
    }

    /// The value as JSON, for parameters. A number that JSON cannot hold becomes null, which no schema accepts.
    pub(super) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Text(text) | Kind::Datetime(text) => Value::from(text.as_str()),
            Kind::Integer(number) => Value::from(*number),
            Kind::Float(number) => Value::from(*number),
            Kind::Boolean(truth) => Value::from(*truth),
            Kind::Array(nodes) => nodes.iter().map(Self::to_json).collect(),
            Kind::Table(entries) => entries.iter().map(|(key, node)| (key.value.clone(), node.to_json())).collect(),
        }
    }

    pub(super) fn text(&self, source: &mut Source, what: &str) -> Option<Located<String>> {
        match &self.kind {
            Kind::Text(text) => Some(Located { value: text.clone(), at: self.at.clone() }),
            _ => {
                source.problem(&self.at, format!("{what} must be text, not {}", self.describe()), None);
                None
            }
        }
    }

    /// Text that reads as a `T`.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(&self, source: &mut Source, what: &str) -> Option<Located<T>> {
        let text = self.text(source, what)?;
        match text.value.parse() {
            Ok(value) => Some(Located { value, at: text.at }),
            Err(error) => {
                source.problem(&text.at, error.to_string(), None);
                None
            }
        }
    }

    /// A list of texts; a single text stands for a list of one.
    pub(super) fn texts(&self, source: &mut Source, what: &str) -> Vec<Located<String>> {
        match &self.kind {
            Kind::Array(nodes) => nodes.iter().filter_map(|node| node.text(source, what)).collect(),
            _ => self.text(source, what).into_iter().collect(),
        }
    }

    pub(super) fn boolean(&self, source: &mut Source, what: &str) -> Option<bool> {
        match self.kind {
            Kind::Boolean(truth) => Some(truth),
            _ => {
                source.problem(&self.at, format!("{what} must be true or false, not {}", self.describe()), None);
                None
            }
        }
    }

    pub(super) fn integer(&self, source: &mut Source, what: &str, range: Range<i64>) -> Option<i64> {
        match self.kind {
            Kind::Integer(number) if range.contains(&number) => Some(number),
            _ => {
                let message = format!("{what} must be a whole number from {} to {}", range.start, range.end - 1);
                source.problem(&self.at, message, None);
                None
            }
        }
    }

    pub(super) fn table(&self, source: &mut Source, what: &str) -> Option<&[(Located<String>, Node)]> {
        match &self.kind {
            Kind::Table(entries) => Some(entries),
            _ => {
                source.problem(&self.at, format!("{what} must be a table, not {}", self.describe()), None);
                None
            }
        }
    }

    /// The entries of a table whose keys are all known; an unknown one is noted.
    pub(super) fn known<'a>(&'a self, source: &mut Source, what: &str, keys: &[&str]) -> BTreeMap<&'a str, &'a Node> {
        let entries = self.table(source, what).unwrap_or_default();
        let mut known = BTreeMap::new();
        for (key, node) in entries {
            if keys.contains(&key.value.as_str()) {
                known.insert(key.value.as_str(), node);
            } else {
                source.problem(&key.at, format!("unknown key `{}` in {what}", key.value), unknown(&key.value, keys));
            }
        }
        known
    }
}

/// The hint for a word that is none of `known`.
pub(crate) fn unknown(word: &str, known: &[&str]) -> Option<String> {
    match nearest(word, known.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if known.is_empty() => None,
        None => Some(format!("known here: {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let source = Source::new("x.toml", "a = 1\nüb = 2\n");
        let problem = source.locate(&(9..10), "here".into(), None);
        assert_eq!(problem.to_string(), "x.toml:2:3: here");
    }

    #[test]
    fn a_syntax_error_names_its_place() {
        let mut source = Source::new("x.toml", "a = 1\nb = \n");
        source.parse();
        let problems = source.finish(()).unwrap_err();
        assert_eq!((problems.0[0].line, problems.0[0].column), (2, 5), "{problems}");
    }
}
