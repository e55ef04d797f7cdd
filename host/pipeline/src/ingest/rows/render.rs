//! Predictions as text.

use stagewright_core::{Batch, Column, Field, Schema};

use super::Shape;
use crate::ingest::{
    Export,
    export::{Cell, cell, export, time},
};

/// Writes batches of one schema.
#[derive(Clone, Debug)]
pub struct Renderer {
    schema: Schema,
    /// Each column's name as JSON, with its colon.
    keys: Vec<String>,
}

impl Renderer {
    /// Prepares for batches of these columns.
    pub fn new(schema: &Schema) -> Self {
        let key = |field: &Field| format!("{}:", serde_json::Value::from(field.name.as_str()));
        Self { schema: schema.clone(), keys: schema.fields().iter().map(key).collect() }
    }

    /// A checked batch as JSON. What is missing, and what JSON has no number for, is null.
    pub fn json(&self, batch: &Batch, shape: Shape) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + 32 * batch.rows as usize * self.keys.len());
        match shape {
            Shape::Row => self.row(batch, 0, &mut out),
            Shape::Rows => {
                let rows = 0..batch.rows as usize;
                list((b'[', b']'), rows, &mut out, |row, out| self.row(batch, row, out));
            }
            Shape::Columns => {
                list((b'{', b'}'), 0..self.keys.len(), &mut out, |column, out| {
                    out.extend_from_slice(self.keys[column].as_bytes());
                    self.values(&batch.columns[column], column, batch.rows as usize, out);
                });
            }
        }
        out
    }

    /// The values of one column as a JSON array.
    pub fn column(&self, batch: &Batch, column: usize, out: &mut Vec<u8>) {
        self.values(&batch.columns[column], column, batch.rows as usize, out);
    }

    fn values(&self, values: &Column, column: usize, rows: usize, out: &mut Vec<u8>) {
        let field = &self.schema.fields()[column];
        list((b'[', b']'), 0..rows, out, |row, out| write(field, values, row, out));
    }

    fn row(&self, batch: &Batch, row: usize, out: &mut Vec<u8>) {
        let fields = self.schema.fields();
        list((b'{', b'}'), 0..fields.len(), out, |column, out| {
            out.extend_from_slice(self.keys[column].as_bytes());
            write(&fields[column], &batch.columns[column], row, out);
        });
    }

    /// A checked batch as CSV with a header.
    pub fn csv(&self, batch: Batch) -> Vec<u8> {
        let mut out = Vec::new();
        export("the answer", &self.schema, [Ok(batch)], Export::Csv, &mut out).expect("memory takes every byte");
        out
    }
}

fn list(
    (open, close): (u8, u8),
    items: std::ops::Range<usize>,
    out: &mut Vec<u8>,
    mut item: impl FnMut(usize, &mut Vec<u8>),
) {
    out.push(open);
    for index in items.clone() {
        if index > items.start {
            out.push(b',');
        }
        item(index, out);
    }
    out.push(close);
}

fn write(field: &Field, column: &Column, row: usize, out: &mut Vec<u8>) {
    const TAKES: &str = "memory takes every byte";
    match cell(field, column, row) {
        Cell::Missing => out.extend_from_slice(b"null"),
        Cell::Boolean(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Cell::Integer(value) => serde_json::to_writer(out, &value).expect(TAKES),
        // What is not finite becomes null.
        Cell::Float(value) => serde_json::to_writer(out, &value).expect(TAKES),
        Cell::Time(value) => serde_json::to_writer(out, &time(value)).expect(TAKES),
        Cell::Text(value) => serde_json::to_writer(out, value).expect(TAKES),
    }
}
