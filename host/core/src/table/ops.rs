//! Slicing, selecting, joining and canonicalizing.

use std::{borrow::Borrow, collections::BTreeMap, ops::Range};

use super::{
    Batch, BatchBuilder, Bits, Column, ColumnType, Schema,
    bits::{all_set, clear_tail},
};

/// The one bit pattern of a NaN that leaves the sandbox.
const CANONICAL_NAN: [u8; 8] = 0x7ff8_0000_0000_0000_u64.to_le_bytes();

impl Batch {
    /// Rows `range` of a checked batch.
    ///
    /// # Panics
    /// The range is not within the batch.
    pub fn slice(&self, schema: &Schema, range: Range<usize>) -> Self {
        assert!(range.end <= self.rows as usize, "a slice lies within its batch");
        if range.len() == self.rows as usize {
            return self.clone();
        }
        let columns = self.columns.iter().zip(schema.fields());
        let columns = columns.map(|(column, field)| column.slice(field.column_type, range.clone())).collect();
        Self { rows: range.len() as u32, columns }
    }

    /// The columns at these positions; every column where there are none.
    ///
    /// # Panics
    /// A position lies behind the last column.
    pub fn select(&self, columns: &[usize]) -> Self {
        if columns.is_empty() {
            return self.clone();
        }
        Self { rows: self.rows, columns: columns.iter().map(|column| self.columns[*column].clone()).collect() }
    }

    /// All rows of checked batches with one schema, in order.
    pub fn concat<B: Borrow<Self>>(schema: &Schema, batches: &[B]) -> Self {
        if let [only] = batches {
            return only.borrow().clone();
        }
        let mut whole = BatchBuilder::new(schema);
        batches.iter().for_each(|batch| whole.append(batch.borrow()));
        whole.finish()
    }
}

impl Column {
    fn slice(&self, column_type: ColumnType, range: Range<usize>) -> Self {
        let bits = |bytes: &[u8]| {
            let mut out = Bits::new();
            out.extend(bytes, range.start, range.len());
            out
        };
        let mut column = Self {
            validity: self.validity.as_deref().map(bits).filter(|bits| !bits.all()).map(Bits::into_bytes),
            words: self.words.clone(),
            ..Self::default()
        };
        match column_type {
            ColumnType::Boolean => column.values = bits(&self.values).into_bytes(),
            ColumnType::Text => {
                let offsets: Vec<u32> = self.offsets().skip(range.start).take(range.len() + 1).collect();
                let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
                column.values = self.values[first as usize..last as usize].to_vec();
                column.offsets = Some(offsets.iter().flat_map(|offset| (offset - first).to_le_bytes()).collect());
            }
            _ => {
                let width = column_type.width().expect("the other types have a fixed width");
                column.values = self.values[range.start * width..range.end * width].to_vec();
            }
        }
        column
    }

    pub(super) fn make_canonical(&mut self, column_type: ColumnType, rows: usize) {
        if let Some(validity) = &mut self.validity {
            clear_tail(validity, rows);
            if all_set(validity, rows) {
                self.validity = None;
            }
        }
        match column_type {
            ColumnType::Boolean => {
                clear_tail(&mut self.values, rows);
                if let Some(validity) = &self.validity {
                    self.values.iter_mut().zip(validity).for_each(|(value, valid)| *value &= valid);
                }
            }
            ColumnType::Int64 | ColumnType::Timestamp => self.zero_gaps(8),
            ColumnType::Float64 => {
                self.zero_gaps(8);
                for value in self.values.as_chunks_mut().0 {
                    if f64::from_le_bytes(*value).is_nan() {
                        *value = CANONICAL_NAN;
                    }
                }
            }
            ColumnType::Text => self.empty_text_gaps(rows),
            ColumnType::Category => self.order_words(),
        }
    }

    fn zero_gaps(&mut self, width: usize) {
        if let Some(validity) = &self.validity {
            for (row, value) in self.values.chunks_exact_mut(width).enumerate() {
                if validity[row / 8] >> (row % 8) & 1 == 0 {
                    value.fill(0);
                }
            }
        }
    }

    fn empty_text_gaps(&mut self, rows: usize) {
        let offsets: Vec<u32> = self.offsets().collect();
        if self.validity.is_none() || (0..rows).all(|row| self.is_valid(row) || offsets[row] == offsets[row + 1]) {
            return;
        }
        let mut values = Vec::with_capacity(self.values.len());
        let mut compact = vec![0; 4];
        for row in 0..rows {
            if self.is_valid(row) {
                values.extend_from_slice(&self.values[offsets[row] as usize..offsets[row + 1] as usize]);
            }
            compact.extend_from_slice(&(values.len() as u32).to_le_bytes());
        }
        (self.values, self.offsets) = (values, Some(compact));
    }

    fn order_words(&mut self) {
        self.zero_gaps(4);
        let old = self.words.take().unwrap_or_default();
        let mut numbers = vec![None; old.len()];
        let mut by_word = BTreeMap::new();
        let mut words: Vec<String> = Vec::new();
        let validity = self.validity.take();
        for (row, value) in self.values.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            if validity.as_ref().is_some_and(|bits| bits[row / 8] >> (row % 8) & 1 == 0) {
                continue;
            }
            let code = u32::from_le_bytes(*value) as usize;
            let number = *numbers[code].get_or_insert_with(|| {
                *by_word.entry(old[code].as_str()).or_insert_with(|| {
                    words.push(old[code].clone());
                    words.len() as u32 - 1
                })
            });
            *value = number.to_le_bytes();
        }
        self.validity = validity;
        self.words = Some(words);
    }
}
