//! What a user may say about a file.

use std::collections::BTreeMap;

use stagewright_core::ColumnType;

use super::IngestError;

/// How a file is read. The default finds out as much as possible by itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// The format.
    pub format: Format,
    /// What separates the values of a line in CSV.
    pub delimiter: Delimiter,
    /// The character around values that hold delimiters or line ends; none where quotes are plain text.
    pub quote: Option<char>,
    /// Whether the first line names the columns.
    pub header: Header,
    /// The names of the columns, in place of the header's.
    pub names: Option<Vec<String>>,
    /// The words that stand for a missing value, apart from nothing at all. `?` is none of them by default: in many
    /// tables it is a category of its own.
    pub missing: Vec<String>,
    /// The encoding of text.
    pub encoding: Encoding,
    /// The types of columns, in place of what their values look like.
    pub types: BTreeMap<String, ColumnType>,
    /// How many rows are looked at to find the types.
    pub scan: Scan,
    /// Whether blanks around unquoted values are dropped.
    pub trim: bool,
    /// The number of lines in front of the header (or of the first row).
    pub skip_lines: u64,
    /// Lines that begin with this character are skipped.
    pub comment: Option<char>,
    /// What happens to lines with too few or too many values.
    pub ragged: Ragged,
    /// What happens to names that occur twice in the header.
    pub duplicates: Duplicates,
    /// When text becomes a category; none to keep text.
    pub categories: Option<Categories>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: Format::Auto,
            delimiter: Delimiter::Auto,
            quote: Some('"'),
            header: Header::Present,
            names: None,
            missing: ["NA", "N/A", "NaN", "nan", "null", "NULL"].map(str::to_owned).to_vec(),
            encoding: Encoding::Auto,
            types: BTreeMap::new(),
            scan: Scan::All,
            trim: true,
            skip_lines: 0,
            comment: None,
            ragged: Ragged::Error,
            duplicates: Duplicates::Rename,
            categories: Some(Categories::default()),
        }
    }
}

impl Options {
    pub(super) fn check(&self) -> Result<(), IngestError> {
        let ascii = |what: &str, character: Option<char>| match character {
            Some(c) if !c.is_ascii() || c == '\n' || c == '\r' => Err(IngestError::Options(format!(
                "the {what} must be one ASCII character other than a line end, not {c:?}"
            ))),
            _ => Ok(()),
        };
        let delimiter = match self.delimiter {
            Delimiter::Auto => None,
            Delimiter::Is(delimiter) => Some(delimiter),
        };
        ascii("delimiter", delimiter)?;
        ascii("quote", self.quote)?;
        ascii("comment", self.comment)?;
        if delimiter.is_some() && delimiter == self.quote {
            return Err(IngestError::Options("the delimiter and the quote are the same character".to_owned()));
        }
        Ok(())
    }

    pub(super) fn is_missing(&self, value: &str) -> bool {
        value.is_empty() || self.missing.iter().any(|word| word == value)
    }
}

/// A file format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// By the file's first bytes, then by its name; CSV where neither says anything.
    #[default]
    Auto,
    /// Lines of values between delimiters.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// One JSON object a line.
    JsonLines,
    /// Arrow IPC, file (Feather version 2) or stream.
    ArrowIpc,
}

/// What separates the values of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delimiter {
    /// The one of `,`, `;`, tab, `|` and blank that cuts the first lines most evenly.
    #[default]
    Auto,
    /// This character.
    Is(char),
}

/// Whether the first line names the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Header {
    /// It does.
    #[default]
    Present,
    /// It does not; columns are called `column_1`, `column_2` and so on unless named.
    Absent,
    /// It does, unless some value of the first line and the one below it are both numbers.
    Auto,
}

/// The encoding of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// By the byte order mark, else UTF-8. Anything else is an error that names the byte.
    #[default]
    Auto,
    /// The encoding with this label of the WHATWG standard, such as `latin1` or `utf-16le`.
    Label(String),
}

/// How many rows are looked at to find the types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scan {
    /// Every row, so that no later value can fail to fit.
    #[default]
    All,
    /// The first rows; a later value that does not fit is an error.
    First(u64),
}

/// What happens to lines with too few or too many values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ragged {
    /// An error that names the line and both counts.
    #[default]
    Error,
    /// Short lines lack their last values. Long lines remain errors, unless what is too much is empty.
    Pad,
}

/// What happens to names that occur twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// The second `x` becomes `x.1`, with a note.
    #[default]
    Rename,
    /// An error.
    Error,
}

/// When text is a category: at most this many distinct words, on average at least twice each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Categories {
    /// The most distinct words.
    pub words: usize,
}

impl Default for Categories {
    fn default() -> Self {
        Self { words: 1000 }
    }
}
