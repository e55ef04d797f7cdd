//! Splits a table into parts: by the content of its rows, by chance, by time, or evenly over the values of a column.
//!
//! No way of splitting holds the table in memory: a first pass reads the columns that decide (if any), a second one
//! copies rows. Each part keeps the order of the rows. Rows are hashed with BLAKE3 (blake3), as everything here is.

mod plan;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_stage::{Failure, Port, Preprocessor, Reader, Writer, context};

use plan::Plan;

/// What the pipeline's author may set.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Parameters {
    /// The share of the rows that each output gets, in the order of the stage's `outputs`. They add up to 1.
    pub fractions: Vec<f64>,
    /// What decides where a row goes.
    pub by: By,
    /// `hash`: the columns that are hashed, so that rows that agree in them stay together; all, if none is named.
    /// `stratified`: the columns whose combinations are shared out.
    pub columns: Vec<String>,
    /// One more column. `time`: the column to sort by; the order of the rows, if it is empty.
    pub column: String,
    /// `hash`: text to hash along. Splitting a part once more needs another salt than the first time.
    pub salt: String,
}

/// What decides where a row goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The row's content. A row stays in its part whatever the seed, the order and the other rows; equal rows stay
    /// together. The parts' sizes are near the fractions.
    Hash,
    /// Chance, from the stage's seed. The sizes are exact.
    Seed,
    /// Time: the first output gets the earliest rows. Rows of the same time stay together.
    Time,
    /// Chance, from the stage's seed, so that every value of the columns is shared out by the fractions.
    Stratified,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            fractions: vec![0.8, 0.2],
            by: By::Hash,
            columns: Vec::new(),
            column: String::new(),
            salt: String::new(),
        }
    }
}

impl Parameters {
    /// The columns that decide, under whichever parameter they stand.
    fn names(&self) -> Result<Vec<&str>, Failure> {
        let single = Some(self.column.as_str()).filter(|name| !name.is_empty());
        let mut names: Vec<&str> = self.columns.iter().map(String::as_str).chain(single).collect();
        names.sort_unstable();
        names.dedup();
        let refuse = |message: &str| Err(Failure::invalid_parameter(message));
        match self.by {
            By::Seed if !names.is_empty() => {
                refuse("`by = \"seed\"` looks at no column; take `columns` away, or use `hash` or `stratified`")
            }
            By::Time if names.len() > 1 => refuse("`by = \"time\"` sorts by one column; name it in `column`"),
            By::Stratified if names.is_empty() => {
                refuse("`by = \"stratified\"` needs the column to share out; name it in `column`")
            }
            By::Seed | By::Time | By::Stratified if !self.salt.is_empty() => {
                refuse("`salt` only matters to `by = \"hash\"`; take it away")
            }
            _ => Ok(names),
        }
    }

    /// Where each part ends, as a share of all rows.
    fn ends(&self, outputs: &[String]) -> Result<Vec<f64>, Failure> {
        let fractions = &self.fractions;
        if fractions.len() != outputs.len() {
            return Err(Failure::invalid_parameter(format!(
                "`fractions` has {} numbers, but the stage has {} outputs ({}); each output needs one",
                fractions.len(),
                outputs.len(),
                outputs.join(", ")
            )));
        }
        if let Some(wrong) = fractions.iter().find(|fraction| !(**fraction > 0.0 && **fraction <= 1.0)) {
            return Err(Failure::invalid_parameter(format!(
                "`fractions` holds {wrong}; each must be above 0 and at most 1"
            )));
        }
        let sum: f64 = fractions.iter().sum();
        if (sum - 1.0).abs() > 1e-9 {
            return Err(Failure::invalid_parameter(format!("`fractions` add up to {sum}; they must add up to 1")));
        }
        let mut ends: Vec<f64> = fractions
            .iter()
            .scan(0.0, |end, fraction| {
                *end += fraction;
                Some(*end)
            })
            .collect();
        // Whatever was lost to rounding belongs to the last part.
        if let Some(last) = ends.last_mut() {
            *last = 1.0;
        }
        Ok(ends)
    }
}

/// Copies each row of the table to one of the outputs.
pub fn split(
    table: &mut Reader,
    outputs: &mut [(String, Writer)],
    parameters: &Parameters,
    seed: u64,
) -> Result<(), Failure> {
    let names: Vec<String> = outputs.iter().map(|(name, _)| name.clone()).collect();
    let ends = parameters.ends(&names)?;
    let keys = parameters.names()?;
    let mut plan = Plan::make(table, parameters, &keys, ends, seed)?;
    for (_, writer) in outputs.iter_mut() {
        writer.start(table.fields())?;
    }
    let (mut done, total) = (0, table.rows() as u64);
    let mut sizes = vec![0_usize; outputs.len()];
    table.rewind();
    while let Some(rows) = table.next(&[])? {
        if context::cancelled() {
            return Ok(());
        }
        let mut places = vec![Vec::new(); outputs.len()];
        for (row, part) in plan.assign(&rows, &keys)?.into_iter().enumerate() {
            places[part].push(row);
        }
        for (part, places) in places.iter().enumerate() {
            outputs[part].1.write(&rows.take(places))?;
            sizes[part] += places.len();
        }
        done += rows.rows() as u64;
        context::progress(done, total);
    }
    for (name, size) in names.iter().zip(sizes) {
        if size == 0 {
            context::warn(&format!("output `{name}` has no rows"));
        } else {
            context::info(&format!("{name}: {size} rows"));
        }
    }
    Ok(())
}

/// The preprocessor.
pub struct Split;

impl Preprocessor for Split {
    type Parameters = Parameters;
    const DOC: &'static str = "Splits a table into parts: by hash, by seed, by time, or stratified by a column.";
    const OUTPUTS: &'static [Port] = &[Port::required("*", "A part of the rows, for each name in `outputs`.")];

    fn prepare(
        inputs: &mut [(String, Reader)],
        outputs: &mut [(String, Writer)],
        parameters: Parameters,
    ) -> Result<(), Failure> {
        let [(_, table)] = inputs else {
            return Err(Failure::invalid_parameter("`split` reads one table; give it one input"));
        };
        split(table, outputs, &parameters, context::seed())
    }
}

stagewright_stage::export!(preprocessor: Split);
