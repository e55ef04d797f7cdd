//! Where a table is cut into stored batches.
//!
//! The cuts depend on the rows alone, not on how they arrived: a row ends a batch where its hash says so. Equal tables
//! are therefore cut equally whoever wrote them, and a version that adds, drops or inserts rows shares every batch
//! that the change does not touch with the version before it. The idea is that of content-defined chunking, with rows
//! in place of bytes.

use super::{Batch, Column, ColumnType, Schema};

/// A batch is cut behind a row whose hash ends in this many zero bits: on average after 8,192 rows.
const CUT_BITS: u32 = 13;
/// No batch but the last has fewer rows.
const MIN_ROWS: usize = 1 << 11;
/// No batch has more rows.
const MAX_ROWS: usize = 1 << 16;
/// A batch is cut once its rows weigh this much; a row weighs its fixed-width values and its text.
const TARGET_BYTES: usize = 4 << 20;

/// Re-cuts a sequence of batches. Feed it checked batches, store what it returns, and finish.
#[derive(Debug)]
pub struct Cutter {
    schema: Schema,
    pending: Vec<Batch>,
    rows: usize,
    weight: usize,
}

impl Cutter {
    /// A cutter for tables of this schema.
    pub fn new(schema: Schema) -> Self {
        Self { schema, pending: Vec::new(), rows: 0, weight: 0 }
    }

    /// Takes further rows and returns the batches that they complete, canonical.
    pub fn push(&mut self, batch: &Batch) -> Vec<Batch> {
        let rows = RowHashes::of(batch, &self.schema);
        let (mut complete, mut start) = (Vec::new(), 0);
        for row in 0..batch.rows as usize {
            self.rows += 1;
            self.weight += rows.weights[row];
            let hash_says_so = rows.hashes[row].wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - CUT_BITS) == 0;
            if (self.rows >= MIN_ROWS && hash_says_so) || self.rows >= MAX_ROWS || self.weight >= TARGET_BYTES {
                self.pending.push(batch.slice(&self.schema, start..row + 1));
                complete.push(self.take());
                start = row + 1;
            }
        }
        if start < batch.rows as usize {
            self.pending.push(batch.slice(&self.schema, start..batch.rows as usize));
        }
        complete
    }

    /// The last, incomplete batch, if any rows are left.
    pub fn finish(mut self) -> Option<Batch> {
        (!self.pending.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> Batch {
        (self.rows, self.weight) = (0, 0);
        let pending = std::mem::take(&mut self.pending);
        Batch::concat(&self.schema, &pending).canonical(&self.schema)
    }
}

struct RowHashes {
    hashes: Vec<u64>,
    weights: Vec<usize>,
}

impl RowHashes {
    fn of(batch: &Batch, schema: &Schema) -> Self {
        let rows = batch.rows as usize;
        let mut all = Self { hashes: vec![0; rows], weights: vec![0; rows] };
        for (column, field) in batch.columns.iter().zip(schema.fields()) {
            all.add(column, field.column_type);
        }
        all
    }

    fn add(&mut self, column: &Column, column_type: ColumnType) {
        let width = column_type.width().unwrap_or(1);
        self.weights.iter_mut().for_each(|weight| *weight += width);
        let valid = |row: usize| column.is_valid(row);
        match column_type {
            ColumnType::Boolean => self.mix(|row| match valid(row) {
                true => u64::from(column.values[row / 8] >> (row % 8) & 1) + 1,
                false => 0,
            }),
            ColumnType::Int64 | ColumnType::Timestamp | ColumnType::Float64 => {
                let values = column.values.as_chunks().0;
                let value = |row: usize| {
                    let value = u64::from_le_bytes(values[row]);
                    let is_nan = column_type == ColumnType::Float64 && f64::from_bits(value).is_nan();
                    if is_nan { f64::NAN.to_bits() } else { value }
                };
                match column.validity {
                    None => self.mix(value),
                    Some(_) => self.mix(|row| if valid(row) { value(row) } else { 0 }),
                }
            }
            ColumnType::Category => {
                let words: Vec<u64> = column.words.iter().flatten().map(|word| hash_text(word)).collect();
                let codes = column.values.as_chunks().0;
                self.mix(|row| match valid(row) {
                    true => words[u32::from_le_bytes(codes[row]) as usize],
                    false => 0,
                });
            }
            ColumnType::Text => {
                for row in 0..self.hashes.len() {
                    self.weights[row] += column.text(row).map_or(0, str::len);
                }
                self.mix(|row| column.text(row).map_or(0, hash_text));
            }
        }
    }

    fn mix(&mut self, value: impl Fn(usize) -> u64) {
        for (row, hash) in self.hashes.iter_mut().enumerate() {
            *hash = (hash.rotate_left(5) ^ value(row)).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }
}

/// A fixed, unkeyed hash: only cuts depend on it, never trust. A text of no bytes differs from no text.
fn hash_text(text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ text.len() as u64;
    let (words, rest) = text.as_bytes().as_chunks();
    for word in words {
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}
