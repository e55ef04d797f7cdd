//! Where each row goes, decided row after row.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use stagewright_stage::rand::Rng;
use stagewright_stage::rand::rngs::Xoshiro256PlusPlus;
use stagewright_stage::{Failure, Reader, Series, Table, Values, context};

use crate::{By, Parameters};

/// What the parts of the rows to come depend on.
pub(crate) enum Plan {
    /// On their content.
    Hash { ends: Vec<f64>, hasher: Box<blake3::Hasher> },
    /// On chance: how many rows of each stratum every part still lacks.
    Draw { lacking: BTreeMap<Vec<u8>, Vec<usize>>, generator: Xoshiro256PlusPlus },
    /// On their places, in the order of the table.
    Places { parts: Vec<u32>, next: usize },
}

impl Plan {
    /// Reads what has to be known before the first row can go anywhere.
    pub(crate) fn make(
        table: &mut Reader,
        parameters: &Parameters,
        keys: &[&str],
        ends: Vec<f64>,
        seed: u64,
    ) -> Result<Self, Failure> {
        Ok(match parameters.by {
            By::Hash => {
                let mut hasher = blake3::Hasher::new();
                hasher.update(&(parameters.salt.len() as u64).to_le_bytes());
                hasher.update(parameters.salt.as_bytes());
                Self::Hash { ends, hasher: Box::new(hasher) }
            }
            By::Seed => {
                let lacking = BTreeMap::from([(Vec::new(), sizes(&ends, table.rows()))]);
                Self::Draw { lacking, generator: context::rng(seed) }
            }
            By::Stratified => {
                Self::Draw { lacking: share_out(&count(table, keys)?, &ends), generator: context::rng(seed) }
            }
            By::Time => Self::Places { parts: by_time(table, keys, &ends)?, next: 0 },
        })
    }

    /// The parts of the next rows.
    pub(crate) fn assign(&mut self, rows: &Table, keys: &[&str]) -> Result<Vec<usize>, Failure> {
        let all = 0..rows.rows();
        let mut bytes = Vec::new();
        match self {
            Self::Hash { ends, hasher } => {
                let columns = key_columns(rows, keys)?;
                let part = |row| {
                    bytes.clear();
                    columns.iter().for_each(|column| write_value(column, row, &mut bytes));
                    let digest = hasher.clone().update(&bytes).finalize();
                    let share =
                        digest.as_bytes()[..7].iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
                    // 53 bits are what a float64 holds exactly.
                    let share = (share >> 3) as f64 / (1_u64 << 53) as f64;
                    ends.partition_point(|end| *end <= share).min(ends.len() - 1)
                };
                Ok(all.map(part).collect())
            }
            Self::Draw { lacking, generator } => {
                let columns = if keys.is_empty() { Vec::new() } else { key_columns(rows, keys)? };
                let part = |row| {
                    bytes.clear();
                    columns.iter().for_each(|column| write_value(column, row, &mut bytes));
                    let lacking = lacking.get_mut(bytes.as_slice()).ok_or_else(changed)?;
                    draw(lacking, generator).ok_or_else(changed)
                };
                all.map(part).collect()
            }
            Self::Places { parts, next } => {
                let start = *next;
                *next += rows.rows();
                let parts = parts.get(start..*next).ok_or_else(changed)?;
                Ok(parts.iter().map(|part| *part as usize).collect())
            }
        }
    }
}

fn changed() -> Failure {
    Failure::internal("the table changed between the first reading and the second")
}

/// Picks a part with a probability in proportion to what it lacks: sizes come out exact, and every way to fill the
/// parts is as likely as any other.
fn draw(lacking: &mut [usize], generator: &mut Xoshiro256PlusPlus) -> Option<usize> {
    let total: usize = lacking.iter().sum();
    let mut pick = ((u128::from(generator.next_u64()) * total as u128) >> 64) as usize;
    for (part, left) in lacking.iter_mut().enumerate() {
        if pick < *left {
            *left -= 1;
            return Some(part);
        }
        pick -= *left;
    }
    None
}

/// The first row of each part but the first, and the number of rows.
fn cuts(ends: &[f64], rows: usize) -> Vec<usize> {
    ends.iter().map(|end| ((end * rows as f64).round() as usize).min(rows)).collect()
}

/// How many rows each part gets.
fn sizes(ends: &[f64], rows: usize) -> Vec<usize> {
    let mut before = 0;
    cuts(ends, rows).into_iter().map(|cut| cut - std::mem::replace(&mut before, cut)).collect()
}

/// The columns that decide: those named, or all, by name, so that their order in the table does not matter.
fn key_columns<'a>(rows: &'a Table, keys: &[&str]) -> Result<Vec<&'a Series>, Failure> {
    let mut columns: Vec<&Series> = if keys.is_empty() {
        rows.columns().iter().collect()
    } else {
        keys.iter().map(|name| rows.column(name)).collect::<Result<_, _>>()?
    };
    columns.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(columns)
}

/// Writes a value so that different values are different bytes, and text and category of the same word the same.
fn write_value(column: &Series, row: usize, bytes: &mut Vec<u8>) {
    if !column.has(row) {
        return bytes.push(0);
    }
    match &column.values {
        Values::Boolean(values) => bytes.extend([1, u8::from(values[row])]),
        Values::Int64(values) => {
            bytes.push(2);
            bytes.extend(values[row].to_le_bytes());
        }
        Values::Float64(values) => {
            let value = if values[row].is_nan() { f64::NAN } else { values[row] + 0.0 };
            bytes.push(3);
            bytes.extend(value.to_bits().to_le_bytes());
        }
        Values::Timestamp(values) => {
            bytes.push(4);
            bytes.extend(values[row].to_le_bytes());
        }
        Values::Text(_) | Values::Category { .. } => {
            let word = column.word(row).unwrap_or_default();
            bytes.push(5);
            bytes.extend((word.len() as u64).to_le_bytes());
            bytes.extend(word.as_bytes());
        }
    }
}

/// How many rows each combination of values has.
fn count(table: &mut Reader, keys: &[&str]) -> Result<BTreeMap<Vec<u8>, usize>, Failure> {
    let mut counts = BTreeMap::new();
    let mut bytes = Vec::new();
    table.rewind();
    while let Some(rows) = table.next(keys)? {
        let columns = key_columns(&rows, keys)?;
        for row in 0..rows.rows() {
            bytes.clear();
            columns.iter().for_each(|column| write_value(column, row, &mut bytes));
            match counts.get_mut(bytes.as_slice()) {
                Some(count) => *count += 1,
                None => drop(counts.insert(bytes.clone(), 1)),
            }
        }
    }
    Ok(counts)
}

/// Shares each stratum out to within one row of the fractions; the odd rows go where most are lacking over all strata,
/// so that many small strata do not all end up in one part.
fn share_out(strata: &BTreeMap<Vec<u8>, usize>, ends: &[f64]) -> BTreeMap<Vec<u8>, Vec<usize>> {
    let fractions: Vec<f64> =
        ends.iter().enumerate().map(|(part, end)| end - if part == 0 { 0.0 } else { ends[part - 1] }).collect();
    let small = strata.values().filter(|count| **count < ends.len()).count();
    if small > 0 {
        context::warn(&format!("{small} of {} strata have fewer rows than there are parts", strata.len()));
    }
    let (mut so_far, mut given) = (0, vec![0_usize; ends.len()]);
    let mut share = |count: usize| {
        so_far += count;
        // What floats lose must not cost a row: 0.2 · 10 may be just below 2.
        let mut shares: Vec<usize> =
            fractions.iter().map(|fraction| (fraction * count as f64 + 1e-9).floor() as usize).collect();
        let odd = count.saturating_sub(shares.iter().sum());
        let lack = |part: usize| fractions[part] * so_far as f64 - (given[part] + shares[part]) as f64;
        let mut parts: Vec<usize> = (0..shares.len()).collect();
        parts.sort_by(|one, other| lack(*other).total_cmp(&lack(*one)));
        parts.into_iter().take(odd).for_each(|part| shares[part] += 1);
        given.iter_mut().zip(&shares).for_each(|(given, share)| *given += share);
        shares
    };
    strata.iter().map(|(stratum, count)| (stratum.clone(), share(*count))).collect()
}

/// The part of each row: the earliest rows go to the first. Rows of the same time are not torn apart.
fn by_time(table: &mut Reader, keys: &[&str], ends: &[f64]) -> Result<Vec<u32>, Failure> {
    let rows = table.rows();
    let [name] = keys else {
        let cuts = cuts(ends, rows);
        return Ok((0..rows).map(|row| cuts.partition_point(|cut| *cut <= row) as u32).collect());
    };
    let read = table.read(&[name])?;
    let times = read.column(name)?;
    let absent =
        |row: &usize| !times.has(*row) || matches!(&times.values, Values::Float64(values) if values[*row].is_nan());
    if let Some(row) = (0..times.len()).find(absent) {
        return Err(Failure::invalid_data(format!(
            "column `{name}` has no time in row {} (counted from 1); drop or fill such rows first",
            row + 1
        )));
    }
    let compare = |one: usize, other: usize| match &times.values {
        Values::Boolean(values) => values[one].cmp(&values[other]),
        Values::Int64(values) | Values::Timestamp(values) => values[one].cmp(&values[other]),
        Values::Float64(values) => (values[one] + 0.0).total_cmp(&(values[other] + 0.0)),
        Values::Text(_) | Values::Category { .. } => times.word(one).cmp(&times.word(other)),
    };
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by(|one, other| compare(*one, *other));
    let same = |one: usize, other: usize| compare(order[one], order[other]) == Ordering::Equal;
    let mut parts = vec![0_u32; order.len()];
    let mut previous = 0;
    for (part, cut) in cuts(ends, order.len()).into_iter().enumerate() {
        let cut = untorn(cut, previous, order.len(), part + 1 == ends.len(), same);
        order[previous..cut].iter().for_each(|row| parts[*row] = part as u32);
        previous = cut;
    }
    Ok(parts)
}

/// The border between two times that is nearest to `cut`, and, where that can be, leaves rows on both of its sides.
fn untorn(cut: usize, previous: usize, rows: usize, last: bool, same: impl Fn(usize, usize) -> bool) -> usize {
    if last {
        return rows;
    }
    if cut <= previous || cut >= rows || !same(cut - 1, cut) {
        return cut.max(previous);
    }
    let start = (previous..cut).rev().find(|row| *row == previous || !same(row - 1, cut)).unwrap_or(previous);
    let end = (cut..rows).find(|row| !same(*row, cut)).unwrap_or(rows);
    match (start == previous, end == rows) {
        (true, false) => end,
        (false, true) => start,
        (false, false) if cut - start <= end - cut => start,
        _ => end,
    }
}
