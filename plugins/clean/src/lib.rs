//! Cleans a table, in this order: choose and rename columns, trim, replace, declare missing, cast, drop duplicates,
//! fill, drop incomplete rows.
//!
//! The table streams through. Only means, medians and modes need a pass of their own; duplicates are told by 16 bytes
//! of a BLAKE3 hash (blake3), times are read by chrono.

mod plan;
mod value;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_stage::{Failure, Preprocessor, Reader, Writer, context};

use plan::Plan;

/// What the pipeline's author may set. `select`, `drop` and the left side of `rename` take the input's names, all else
/// takes the names after renaming.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Parameters {
    /// The columns to keep, in this order; all, if none is named.
    pub select: Vec<String>,
    /// Columns to leave out.
    pub drop: Vec<String>,
    /// New names for columns: `old = "new"`.
    pub rename: BTreeMap<String, String>,
    /// Whether blanks around words go away.
    pub trim: bool,
    /// What to replace in words, one after the other.
    pub replace: Vec<Replace>,
    /// Words that mean that a value is missing, in all columns of text or category.
    pub missing: Vec<String>,
    /// Further words that mean it in single columns. In a column of numbers, the number that means it: `"-999"`.
    pub missing_in: BTreeMap<String, Vec<String>>,
    /// New types for columns.
    pub cast: BTreeMap<String, Type>,
    /// Patterns of times, such as `%d.%m.%Y %H:%M`, that are tried before ISO 8601.
    pub time_formats: Vec<String>,
    /// What happens to a value that cannot be cast.
    pub on_error: OnError,
    /// Which rows are duplicates, of which the first is kept.
    pub dedupe: Dedupe,
    /// What takes the place of missing values.
    pub fill: BTreeMap<String, Fill>,
    /// Rows that still lack a value in one of these columns are dropped; `*` stands for every column.
    pub require: Vec<String>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            select: Vec::new(),
            drop: Vec::new(),
            rename: BTreeMap::new(),
            trim: true,
            replace: Vec::new(),
            missing: vec![String::new()],
            missing_in: BTreeMap::new(),
            cast: BTreeMap::new(),
            time_formats: Vec::new(),
            on_error: OnError::Fail,
            dedupe: Dedupe::Off,
            fill: BTreeMap::new(),
            require: Vec::new(),
        }
    }
}

/// A replacement in words.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Replace {
    /// The columns to replace in; all of text or category, if none is named.
    pub columns: Vec<String>,
    /// What is replaced.
    pub from: String,
    /// What takes its place.
    pub to: String,
    /// Where it must stand.
    pub at: At,
}

/// Where something stands in a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// It is the whole word.
    #[default]
    Whole,
    /// The word starts with it.
    Start,
    /// The word ends with it.
    End,
    /// Wherever it stands.
    Anywhere,
}

/// A type of column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// Yes or no: true, yes, t, y, 1, and their opposites, in any case.
    Boolean,
    /// Whole numbers.
    Int64,
    /// Numbers.
    Float64,
    /// Points in time; without an offset, they are UTC.
    Timestamp,
    /// Text.
    Text,
    /// Text that repeats.
    Category,
}

/// What happens to a value that cannot be cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// The stage fails and names the row.
    Fail,
    /// The value counts as missing.
    Missing,
}

/// Which rows are duplicates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dedupe {
    /// None.
    Off,
    /// Those that agree in every column.
    Rows,
    /// Those that agree in these columns.
    Columns(Vec<String>),
}

/// What takes the place of missing values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fill {
    /// The mean of the column's values; whole numbers become float64.
    Mean,
    /// Their median, halfway between the two in the middle; whole numbers become float64.
    Median,
    /// The most frequent of them; of several, the one that comes first.
    Mode,
    /// This value.
    Constant(Constant),
}

/// A value in a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Constant {
    /// Yes or no.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A word, or a time.
    Word(String),
}

/// Copies the table, cleaned.
pub fn clean(table: &mut Reader, output: &mut Writer, parameters: &Parameters) -> Result<(), Failure> {
    let mut plan = Plan::make(table.fields(), parameters)?;
    let sources = plan.sources();
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    if plan.must_learn() {
        table.rewind();
        while let Some(rows) = table.next(&sources)? {
            if context::cancelled() {
                return Ok(());
            }
            plan.learn(&rows)?;
        }
    }
    plan.learned()?;
    output.start(&plan.fields())?;
    let (mut done, total) = (0, table.rows() as u64);
    table.rewind();
    while let Some(rows) = table.next(&sources)? {
        if context::cancelled() {
            return Ok(());
        }
        output.write(&plan.apply(&rows)?)?;
        done += rows.rows() as u64;
        context::progress(done, total);
    }
    plan.summary().iter().for_each(|line| context::info(line));
    Ok(())
}

/// The preprocessor.
pub struct Clean;

impl Preprocessor for Clean {
    type Parameters = Parameters;
    const DOC: &'static str = "Cleans a table: missing values, trimmed text, replaced words, casts, duplicates.";

    fn prepare(
        inputs: &mut [(String, Reader)],
        outputs: &mut [(String, Writer)],
        parameters: Parameters,
    ) -> Result<(), Failure> {
        match (inputs, outputs) {
            ([(_, table)], [(_, output)]) => clean(table, output, &parameters),
            _ => Err(Failure::invalid_parameter("`clean` reads one table and writes one; give it one input")),
        }
    }
}

stagewright_stage::export!(preprocessor: Clean);
