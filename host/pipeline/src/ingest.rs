//! Data in and out: files of other programs become tables, and tables become files.
//!
//! Every format goes the same way. A first pass over the file finds each column's type, a second one yields checked
//! batches, so that memory stays bounded and a late value cannot break a load. Nothing here knows the store; a caller
//! that reads from a pipe spools it into a file first.
//!
//! The rules of typing, for text (CSV and the strings of JSON):
//! - `true`/`false` in any case are booleans; whole numbers are integers; numbers with a point or an exponent, and
//!   integers mixed with them, are floats; RFC 3339 times, `YYYY-MM-DD` and `YYYY-MM-DD HH:MM:SS` are timestamps (UTC
//!   where no zone is given).
//! - Codes stay text: leading zeros (`007`), a leading `+` on a whole number, integers that do not fit 64 bits.
//! - Text of few distinct words is a category, see [`Categories`].
//! - A column without any value is text.

mod arrow;
mod build;
mod columnar;
mod delimited;
pub(crate) mod export;
mod guess;
mod json;
mod options;
mod profile;
pub mod rows;
mod source;
mod tokenize;

use std::{fs::File, path::Path};

use stagewright_core::{Batch, Schema, TableError};

pub(crate) use self::build::column;
use self::source::Source;
pub use self::{
    export::{Export, export},
    options::{Categories, Delimiter, Duplicates, Encoding, Format, Header, Options, Ragged, Scan},
    profile::{ColumnProfile, Profiler},
};

/// Why data could not be read or written. Each variant says where to look.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The file system's.
    #[error("cannot read or write {file}")]
    Io {
        /// The file's name.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file as a whole is not what it should be.
    #[error("{file}: {problem}")]
    File {
        /// The file's name.
        file: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A line is not what it should be.
    #[error("{file}, line {line}: {problem}")]
    Line {
        /// The file's name.
        file: String,
        /// The line in the file, from 1.
        line: u64,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A value does not fit its column.
    #[error("{file}, line {line}, column `{column}`: {problem}")]
    Cell {
        /// The file's name.
        file: String,
        /// The line in the file, or the row where the format has no lines; from 1.
        line: u64,
        /// The column's name.
        column: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A column cannot be represented.
    #[error("{file}, column `{column}`: {problem}")]
    Column {
        /// The file's name.
        file: String,
        /// The column's name.
        column: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The options contradict each other or the file.
    #[error("{0}")]
    Options(String),
    /// A table breaks a rule of the contract.
    #[error("{file}: the table cannot be represented")]
    Table {
        /// The file's name.
        file: String,
        /// The rule.
        source: TableError,
    },
}

/// A table that is being read: its schema and its batches, each checked and within the contract's bounds.
pub struct TableStream {
    schema: Schema,
    notes: Vec<String>,
    batches: Box<dyn Iterator<Item = Result<Batch, IngestError>> + Send>,
    file: String,
    failed: bool,
}

impl std::fmt::Debug for TableStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TableStream").field("file", &self.file).field("schema", &self.schema).finish()
    }
}

impl TableStream {
    fn new(
        file: &str,
        schema: Schema,
        notes: Vec<String>,
        batches: impl Iterator<Item = Result<Batch, IngestError>> + Send + 'static,
    ) -> Self {
        Self { schema, notes, batches: Box::new(batches), file: file.to_owned(), failed: false }
    }

    /// The columns.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What the reader decided by itself and the user may want to know, such as renamed columns.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Iterator for TableStream {
    type Item = Result<Batch, IngestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.batches.next()?.and_then(|batch| match batch.check(&self.schema) {
            Ok(()) => Ok(batch),
            Err(source) => Err(IngestError::Table { file: self.file.clone(), source }),
        });
        self.failed = next.is_err();
        Some(next)
    }
}

/// Opens the table in the file at `path`.
///
/// # Errors
/// The file cannot be read, is not of its format, or does not fit the options; errors name the line where there is one.
pub fn open(path: &Path, options: &Options) -> Result<TableStream, IngestError> {
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => open_file(&name, file, options),
        Err(source) => Err(IngestError::Io { file: name, source }),
    }
}

/// Opens the table in an open file; `name` is what errors call it, and its ending helps to find the format.
///
/// # Errors
/// As [`open`].
pub fn open_file(name: &str, file: File, options: &Options) -> Result<TableStream, IngestError> {
    options.check()?;
    let source = Source::new(name, file);
    match source.format(options)? {
        Format::Auto | Format::Csv => delimited::open(&source, options),
        Format::JsonLines => json::open(&source, options),
        Format::Parquet => columnar::open(&source, columnar::Kind::Parquet, options),
        Format::ArrowIpc => columnar::open(&source, columnar::Kind::Ipc, options),
    }
}

#[cfg(test)]
mod tests;
