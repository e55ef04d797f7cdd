//! JSON lines: one object a line. Objects inside objects become columns named `outer.inner`; lists stay JSON text.

use std::{borrow::Cow, collections::HashMap};

use serde_json::Value;
use stagewright_core::{Batch, ColumnType, Field, Schema, table::MAX_BATCH_BYTES};

use super::{
    IngestError, Options, Scan, TableStream,
    build::BatchBuilder,
    delimited::unfit,
    guess::{Guess, Kinds, is_text},
    source::{Source, TextReader},
};

/// No table has more columns.
const MAX_COLUMNS: usize = 1 << 16;

pub(super) fn open(source: &Source, options: &Options) -> Result<TableStream, IngestError> {
    let mut lines = Lines::new(source, options)?;
    let mut columns: HashMap<String, usize> = HashMap::new();
    let (mut names, mut guesses): (Vec<String>, Vec<Guess>) = (Vec::new(), Vec::new());
    let mut seen_in: Vec<u64> = Vec::new();
    let mut rows = 0;
    let mut unseen = false;
    while let Some((line, values)) = lines.next_object()? {
        if matches!(options.scan, Scan::First(most) if rows >= most) {
            unseen = true;
            break;
        }
        rows += 1;
        for (name, value) in values {
            let index = *columns.entry(name).or_insert_with_key(|name| {
                names.push(name.clone());
                let mut guess = Guess::new(options.categories);
                guess.see_missing(rows - 1);
                guesses.push(guess);
                seen_in.push(0);
                names.len() - 1
            });
            if seen_in[index] == rows {
                return Err(lines.cell(line, &names[index], "the name occurs twice".to_owned()));
            }
            // Rows in which the name did not occur at all.
            let gap = if seen_in[index] == 0 { 0 } else { rows - 1 - seen_in[index] };
            guesses[index].see_missing(gap);
            seen_in[index] = rows;
            look(&mut guesses[index], &value, options);
        }
        if names.len() > MAX_COLUMNS {
            return Err(source.problem(format!("there are more than the {MAX_COLUMNS} columns that a table may have")));
        }
    }
    if rows == 0 && names.is_empty() {
        return Err(source.problem("the file holds no JSON object, so there is no table"));
    }
    if let Some(name) = options.types.keys().find(|name| !columns.contains_key(*name)) {
        return Err(source.problem(format!("a type is given for column `{name}`, which the file does not have")));
    }
    let fields = names.iter().zip(&guesses).zip(&seen_in).map(|((name, guess), last)| {
        let column_type = options.types.get(name).copied().unwrap_or_else(|| guess.column_type());
        Field::new(name, column_type, unseen || *last < rows || guess.has_gaps(column_type))
    });
    let schema =
        Schema::new(fields.collect()).map_err(|e| IngestError::Table { file: source.name.clone(), source: e })?;
    let batches = Batches {
        builder: BatchBuilder::new(&schema),
        lines: Lines::new(source, options)?,
        columns,
        names,
        options: options.clone(),
        ended: false,
    };
    Ok(TableStream::new(&source.name, schema, Vec::new(), batches))
}

fn look(guess: &mut Guess, value: &Value, options: &Options) {
    match value {
        Value::Null => guess.see_missing(1),
        Value::String(text) if options.is_missing(text) => guess.see_quoted_missing(text),
        // A number in quotes was meant as text; only times have no other way.
        Value::String(text) => {
            let kinds = Kinds::of(text);
            guess.see(text, if kinds == Kinds::TIMESTAMP { kinds } else { Kinds::NONE });
        }
        Value::Bool(_) => guess.see(&written(value), Kinds::BOOLEAN),
        Value::Number(number) => {
            let text = number.to_string();
            // An integer past 64 bits is text, as in CSV.
            guess.see(&text, Kinds::of(&text));
        }
        Value::Array(_) | Value::Object(_) => guess.see(&written(value), Kinds::NONE),
    }
}

fn written(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// The objects of a file, flattened.
struct Lines {
    text: TextReader,
    buffer: Vec<u8>,
    at: usize,
    line: u64,
    ended: bool,
}

/// A line's number and its flattened members.
type Object = (u64, Vec<(String, Value)>);

/// An object's members in the order of the file.
struct Members(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

impl Lines {
    fn new(source: &Source, options: &Options) -> Result<Self, IngestError> {
        Ok(Self { text: source.text(options)?, buffer: Vec::new(), at: 0, line: 0, ended: false })
    }

    fn error(&self, line: u64, problem: String) -> IngestError {
        IngestError::Line { file: self.text.name().to_owned(), line, problem }
    }

    fn cell(&self, line: u64, column: &str, problem: String) -> IngestError {
        IngestError::Cell { file: self.text.name().to_owned(), line, column: column.to_owned(), problem }
    }

    fn next_object(&mut self) -> Result<Option<Object>, IngestError> {
        while let Some(range) = self.next_line()? {
            let bytes = self.buffer[range].trim_ascii();
            if bytes.is_empty() {
                continue;
            }
            let members: Members = serde_json::from_slice(bytes).map_err(|error| {
                let list =
                    if bytes[0] == b'[' { "; a JSON list is not JSON lines: write one object a line" } else { "" };
                self.error(
                    self.line,
                    format!("not a JSON object at character {}: {}{list}", error.column(), plain(&error)),
                )
            })?;
            let mut flat = Vec::with_capacity(members.0.len());
            for (name, value) in members.0 {
                flatten(name, value, &mut flat);
            }
            return Ok(Some((self.line, flat)));
        }
        Ok(None)
    }

    fn next_line(&mut self) -> Result<Option<std::ops::Range<usize>>, IngestError> {
        let mut searched = self.at;
        loop {
            if let Some(length) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let range = self.at..searched + length;
                self.at = range.end + 1;
                self.line += 1;
                return Ok(Some(range));
            }
            if self.ended {
                let range = self.at..self.buffer.len();
                self.at = self.buffer.len();
                self.line += 1;
                return Ok((!range.is_empty()).then_some(range));
            }
            self.buffer.drain(..self.at);
            self.at = 0;
            searched = self.buffer.len();
            if searched > MAX_BATCH_BYTES {
                return Err(self.error(self.line + 1, "the line is longer than 16 MiB".to_owned()));
            }
            self.ended = !self.text.read(&mut self.buffer)?;
        }
    }
}

/// The library's message without its own line, which is always the first.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

fn flatten(name: String, value: Value, flat: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.into_iter().for_each(|(inner, value)| flatten(format!("{name}.{inner}"), value, flat));
        }
        value => flat.push((name, value)),
    }
}

struct Batches {
    builder: BatchBuilder,
    lines: Lines,
    columns: HashMap<String, usize>,
    names: Vec<String>,
    options: Options,
    ended: bool,
}

impl Batches {
    fn read(&mut self) -> Result<Option<Batch>, IngestError> {
        let mut row: Vec<Option<Value>> = vec![None; self.names.len()];
        while !self.ended && !self.builder.is_full() {
            let Some((line, values)) = self.lines.next_object()? else {
                self.ended = true;
                break;
            };
            row.fill(None);
            for (name, value) in values {
                match self.columns.get(&name) {
                    Some(index) => row[*index] = Some(value),
                    None => {
                        let problem = "the column does not occur in the rows that were looked at".to_owned();
                        return Err(self.lines.cell(line, &name, problem));
                    }
                }
            }
            for (index, value) in row.iter().enumerate() {
                let column_type = self.builder.column_type(index);
                let text = value.as_ref().filter(|value| self.has_value(value, column_type)).map(written);
                self.builder.push(index, text.as_deref()).map_err(|_| {
                    let problem = unfit(&text.unwrap_or_default(), column_type.as_str());
                    self.lines.cell(line, &self.names[index], problem)
                })?;
            }
            self.builder.end_row();
        }
        Ok(self.builder.take())
    }

    fn has_value(&self, value: &Value, column_type: ColumnType) -> bool {
        match value {
            Value::Null => false,
            Value::String(text) => is_text(column_type) || !self.options.is_missing(text),
            _ => true,
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, IngestError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
