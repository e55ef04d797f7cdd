//! Rows that come batch by batch and become one batch.

use std::collections::BTreeMap;

use super::{Batch, Bits, Column, ColumnType, Schema};

/// Puts batches of one schema behind each other.
#[derive(Debug)]
pub struct BatchBuilder {
    columns: Vec<ColumnBuilder>,
    rows: u32,
}

impl BatchBuilder {
    /// No rows yet.
    pub fn new(schema: &Schema) -> Self {
        let columns = schema.fields().iter().map(|field| ColumnBuilder::new(field.column_type));
        Self { columns: columns.collect(), rows: 0 }
    }

    /// Adds the rows of a checked batch of this schema.
    pub fn append(&mut self, batch: &Batch) {
        for (column, part) in self.columns.iter_mut().zip(&batch.columns) {
            column.append(part, self.rows as usize, batch.rows as usize);
        }
        self.rows += batch.rows;
    }

    /// All rows, in order. The words of a category stand in the order in which they came.
    pub fn finish(self) -> Batch {
        Batch { rows: self.rows, columns: self.columns.into_iter().map(ColumnBuilder::finish).collect() }
    }
}

#[derive(Debug)]
struct ColumnBuilder {
    column_type: ColumnType,
    values: Vec<u8>,
    /// In place of `values`, for booleans.
    flags: Bits,
    validity: Option<Bits>,
    offsets: Vec<u8>,
    words: Vec<String>,
    by_word: BTreeMap<String, u32>,
}

impl ColumnBuilder {
    fn new(column_type: ColumnType) -> Self {
        Self {
            column_type,
            values: Vec::new(),
            flags: Bits::new(),
            validity: None,
            offsets: if column_type == ColumnType::Text { vec![0; 4] } else { Vec::new() },
            words: Vec::new(),
            by_word: BTreeMap::new(),
        }
    }

    fn append(&mut self, part: &Column, before: usize, rows: usize) {
        if part.validity.is_some() && self.validity.is_none() {
            let mut validity = Bits::new();
            validity.extend_set(before);
            self.validity = Some(validity);
        }
        if let Some(validity) = &mut self.validity {
            match &part.validity {
                Some(bits) => validity.extend(bits, 0, rows),
                None => validity.extend_set(rows),
            }
        }
        match self.column_type {
            ColumnType::Boolean => self.flags.extend(&part.values, 0, rows),
            ColumnType::Text => {
                let base = self.values.len() as u32;
                self.offsets.extend(part.offsets().skip(1).flat_map(|offset| (base + offset).to_le_bytes()));
                self.values.extend_from_slice(&part.values);
            }
            ColumnType::Category => {
                let numbers: Vec<u32> = part.words.iter().flatten().map(|word| self.number(word)).collect();
                // A row without a value may carry any code, so a missing number is no mistake.
                let codes = part.codes().map(|code| numbers.get(code as usize).copied().unwrap_or_default());
                self.values.extend(codes.flat_map(u32::to_le_bytes));
            }
            _ => self.values.extend_from_slice(&part.values),
        }
    }

    fn number(&mut self, word: &str) -> u32 {
        if let Some(number) = self.by_word.get(word) {
            return *number;
        }
        let number = self.words.len() as u32;
        self.words.push(word.to_owned());
        self.by_word.insert(word.to_owned(), number);
        number
    }

    fn finish(self) -> Column {
        Column {
            values: if self.column_type == ColumnType::Boolean { self.flags.into_bytes() } else { self.values },
            validity: self.validity.map(Bits::into_bytes),
            offsets: (self.column_type == ColumnType::Text).then_some(self.offsets),
            words: (self.column_type == ColumnType::Category).then_some(self.words),
        }
    }
}
