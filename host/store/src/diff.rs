//! How two tables differ: columns, rows, and what the columns hold.
//!
//! Rows are compared as a multiset, by the columns that both tables have with one type; batches that both share are
//! not even read for it. Two rows count as equal where 128 bits of their hash are.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use serde::Serialize;
use stagewright_core::{Batch, Column, ColumnType, Digest, Field};

use crate::{Result, TableReader};

/// Distinct values are counted up to here.
pub const MOST_DISTINCT: usize = 10_000;
/// So many added and removed rows are shown.
const SHOWN_ROWS: usize = 10;

/// How a table differs from one before it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableDiff {
    /// Columns that only the new table has, or has with another type.
    pub columns_added: Vec<Field>,
    /// Columns that only the old table has, or has with another type.
    pub columns_removed: Vec<Field>,
    /// Rows of the old table.
    pub rows_before: u64,
    /// Rows of the new table.
    pub rows_after: u64,
    /// Rows that only the new table has.
    pub rows_added: u64,
    /// Rows that only the old table has.
    pub rows_removed: u64,
    /// The first of the added rows, as text; none for a missing value.
    pub added: Vec<Vec<Option<String>>>,
    /// The first of the removed rows.
    pub removed: Vec<Vec<Option<String>>>,
    /// Batches that both share.
    pub batches_shared: usize,
    /// Statistics of each column of the old table.
    pub before: Vec<ColumnStatistics>,
    /// Statistics of each column of the new table.
    pub after: Vec<ColumnStatistics>,
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnStatistics {
    /// The column.
    pub field: Field,
    /// Rows.
    pub rows: u64,
    /// Rows without a value.
    pub nulls: u64,
    /// The smallest value, as text. NaN is not looked at.
    pub min: Option<String>,
    /// The largest value, as text.
    pub max: Option<String>,
    /// The mean of the numbers (or of true as 1 and false as 0), NaN left out.
    pub mean: Option<f64>,
    /// Different values; none where there are more than [`MOST_DISTINCT`].
    pub distinct: Option<u64>,
}

/// Compares two tables.
///
/// # Errors
/// A batch cannot be read.
pub fn tables(before: &TableReader, after: &TableReader) -> Result<TableDiff> {
    let only = |one: &TableReader, other: &TableReader| -> Vec<Field> {
        let known = |field: &&Field| !other.schema().fields().iter().any(|theirs| same_column(field, theirs));
        one.schema().fields().iter().filter(known).cloned().collect()
    };
    let common = before.schema().fields().iter().enumerate().filter_map(|(at, field)| {
        let there = after.schema().index_of(&field.name)?;
        same_column(field, &after.schema().fields()[there]).then_some((at, there))
    });
    let common: Vec<(usize, usize)> = common.collect();
    let is_same_schema = before.schema() == after.schema();
    let (own_before, own_after, batches_shared) = match is_same_schema {
        true => unshared(before, after),
        false => ((0..before.batches()).collect(), (0..after.batches()).collect(), 0),
    };
    let columns: (Vec<usize>, Vec<usize>) = common.into_iter().unzip();
    let old = row_hashes(before, &own_before, &columns.0)?;
    let new = row_hashes(after, &own_after, &columns.1)?;
    let (removed, added) = differences(&old, &new);
    Ok(TableDiff {
        columns_added: only(after, before),
        columns_removed: only(before, after),
        rows_before: before.rows(),
        rows_after: after.rows(),
        rows_added: added.len() as u64,
        rows_removed: removed.len() as u64,
        added: show(after, &added)?,
        removed: show(before, &removed)?,
        batches_shared,
        before: statistics(before)?,
        after: statistics(after)?,
    })
}

fn same_column(one: &Field, other: &Field) -> bool {
    one.name == other.name && one.column_type == other.column_type
}

/// The positions of the batches that only one of the tables has, and how many are in both.
fn unshared(before: &TableReader, after: &TableReader) -> (Vec<usize>, Vec<usize>, usize) {
    let mut there: BTreeMap<Digest, usize> = BTreeMap::new();
    before.manifest().batches.iter().for_each(|batch| *there.entry(batch.digest).or_default() += 1);
    let mut shared: BTreeMap<Digest, usize> = BTreeMap::new();
    let mut own_after = Vec::new();
    for (at, batch) in after.manifest().batches.iter().enumerate() {
        match there.get_mut(&batch.digest).filter(|left| **left > 0) {
            Some(left) => {
                *left -= 1;
                *shared.entry(batch.digest).or_default() += 1;
            }
            None => own_after.push(at),
        }
    }
    let count = shared.values().sum();
    let mut own_before = Vec::new();
    for (at, batch) in before.manifest().batches.iter().enumerate() {
        match shared.get_mut(&batch.digest).filter(|left| **left > 0) {
            Some(left) => *left -= 1,
            None => own_before.push(at),
        }
    }
    (own_before, own_after, count)
}

/// A row: its hash, then where it is.
type RowHash = (u128, u32, u32);

fn row_hashes(table: &TableReader, batches: &[usize], columns: &[usize]) -> Result<Vec<RowHash>> {
    let mut hashes = Vec::new();
    for at in batches {
        let batch = table.batch(*at)?;
        for row in 0..batch.rows {
            let mut hasher = blake3::Hasher::new();
            for column in columns {
                hash_value(&mut hasher, &batch.columns[*column], table.schema().fields()[*column].column_type, row);
            }
            let hash: [u8; 16] = hasher.finalize().as_bytes()[..16].try_into().unwrap_or_default();
            hashes.push((u128::from_le_bytes(hash), *at as u32, row));
        }
    }
    hashes.sort_unstable();
    Ok(hashes)
}

fn hash_value(hasher: &mut blake3::Hasher, column: &Column, column_type: ColumnType, row: u32) {
    let row = row as usize;
    if !column.is_valid(row) {
        hasher.update(&[0]);
        return;
    }
    hasher.update(&[1]);
    match column_type {
        ColumnType::Boolean => drop(hasher.update(&[column.values[row / 8] >> (row % 8) & 1])),
        ColumnType::Int64 | ColumnType::Float64 | ColumnType::Timestamp => {
            hasher.update(&column.values[row * 8..row * 8 + 8]);
        }
        ColumnType::Text | ColumnType::Category => {
            let text = column.text(row).unwrap_or_default();
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
    }
}

/// What only the first and what only the second of two sorted multisets has, in the order of the tables.
fn differences(first: &[RowHash], second: &[RowHash]) -> (Vec<RowHash>, Vec<RowHash>) {
    let (mut i, mut j) = (0, 0);
    let (mut only_first, mut only_second) = (Vec::new(), Vec::new());
    while i < first.len() && j < second.len() {
        match first[i].0.cmp(&second[j].0) {
            Ordering::Less => {
                only_first.push(first[i]);
                i += 1;
            }
            Ordering::Greater => {
                only_second.push(second[j]);
                j += 1;
            }
            Ordering::Equal => (i, j) = (i + 1, j + 1),
        }
    }
    only_first.extend_from_slice(&first[i..]);
    only_second.extend_from_slice(&second[j..]);
    for rows in [&mut only_first, &mut only_second] {
        rows.sort_unstable_by_key(|(_, batch, row)| (*batch, *row));
    }
    (only_first, only_second)
}

fn show(table: &TableReader, rows: &[RowHash]) -> Result<Vec<Vec<Option<String>>>> {
    let mut shown = Vec::new();
    let mut read: Option<(u32, Batch)> = None;
    for (_, at, row) in rows.iter().take(SHOWN_ROWS) {
        let batch = match read.take().filter(|(number, _)| number == at) {
            Some((_, batch)) => batch,
            None => table.batch(*at as usize)?,
        };
        let columns = batch.columns.iter().zip(table.schema().fields());
        shown.push(columns.map(|(column, field)| text(column, field.column_type, *row as usize)).collect());
        read = Some((*at, batch));
    }
    Ok(shown)
}

fn eight(column: &Column, row: usize) -> [u8; 8] {
    column.values[row * 8..row * 8 + 8].try_into().unwrap_or_default()
}

fn text(column: &Column, column_type: ColumnType, row: usize) -> Option<String> {
    if !column.is_valid(row) {
        return None;
    }
    Some(match column_type {
        ColumnType::Boolean => (column.values[row / 8] >> (row % 8) & 1 == 1).to_string(),
        ColumnType::Int64 | ColumnType::Timestamp => i64::from_le_bytes(eight(column, row)).to_string(),
        ColumnType::Float64 => f64::from_le_bytes(eight(column, row)).to_string(),
        ColumnType::Text | ColumnType::Category => column.text(row).unwrap_or_default().to_owned(),
    })
}

/// The statistics of every column of a table.
///
/// # Errors
/// A batch cannot be read.
pub fn statistics(table: &TableReader) -> Result<Vec<ColumnStatistics>> {
    let mut columns: Vec<Gathered> = table.schema().fields().iter().map(|_| Gathered::default()).collect();
    for at in 0..table.batches() {
        let batch = table.batch(at)?;
        for ((gathered, column), field) in columns.iter_mut().zip(&batch.columns).zip(table.schema().fields()) {
            gathered.add(column, field.column_type, batch.rows as usize);
        }
    }
    let fields = table.schema().fields().iter().cloned();
    Ok(fields.zip(columns).map(|(field, gathered)| gathered.finish(field, table.rows())).collect())
}

#[derive(Default)]
struct Gathered {
    nulls: u64,
    ints: Option<(i64, i64)>,
    floats: Option<(f64, f64)>,
    texts: Option<(String, String)>,
    sum: f64,
    counted: u64,
    /// Hashes of the values; none once there are too many.
    distinct: BTreeSet<u64>,
    too_many: bool,
}

impl Gathered {
    fn add(&mut self, column: &Column, column_type: ColumnType, rows: usize) {
        for row in 0..rows {
            if !column.is_valid(row) {
                self.nulls += 1;
                continue;
            }
            let hash = match column_type {
                ColumnType::Boolean => {
                    let value = i64::from(column.values[row / 8] >> (row % 8) & 1);
                    self.add_int(value);
                    value as u64
                }
                ColumnType::Int64 | ColumnType::Timestamp => {
                    let value = i64::from_le_bytes(eight(column, row));
                    self.add_int(value);
                    value as u64
                }
                ColumnType::Float64 => {
                    let value = f64::from_le_bytes(eight(column, row));
                    if !value.is_nan() {
                        let (min, max) = self.floats.unwrap_or((value, value));
                        self.floats = Some((min.min(value), max.max(value)));
                        self.add_number(value);
                    }
                    value.to_bits()
                }
                ColumnType::Text | ColumnType::Category => {
                    let value = column.text(row).unwrap_or_default();
                    match &mut self.texts {
                        None => self.texts = Some((value.to_owned(), value.to_owned())),
                        Some((min, _)) if value < min.as_str() => value.clone_into(min),
                        Some((_, max)) if value > max.as_str() => value.clone_into(max),
                        Some(_) => (),
                    }
                    let digest = Digest::of(value.as_bytes());
                    u64::from_le_bytes(digest.as_bytes()[..8].try_into().unwrap_or_default())
                }
            };
            if !self.too_many {
                self.distinct.insert(hash);
                if self.distinct.len() > MOST_DISTINCT {
                    self.too_many = true;
                    self.distinct.clear();
                }
            }
        }
    }

    fn add_int(&mut self, value: i64) {
        let (min, max) = self.ints.unwrap_or((value, value));
        self.ints = Some((min.min(value), max.max(value)));
        self.add_number(value as f64);
    }

    fn add_number(&mut self, value: f64) {
        self.sum += value;
        self.counted += 1;
    }

    fn finish(self, field: Field, rows: u64) -> ColumnStatistics {
        let is_boolean = field.column_type == ColumnType::Boolean;
        let int = |value: i64| if is_boolean { (value == 1).to_string() } else { value.to_string() };
        let range = match (self.ints, self.floats, self.texts) {
            (Some((min, max)), ..) => Some((int(min), int(max))),
            (_, Some((min, max)), _) => Some((min.to_string(), max.to_string())),
            (.., Some(range)) => Some(range),
            _ => None,
        };
        let (min, max) = range.unzip();
        ColumnStatistics {
            field,
            rows,
            nulls: self.nulls,
            min,
            max,
            mean: (self.counted > 0).then(|| self.sum / self.counted as f64),
            distinct: (!self.too_many).then_some(self.distinct.len() as u64),
        }
    }
}
