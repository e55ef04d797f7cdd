//! Tables as files for other programs.
//!
//! What a CSV says is read back the same: missing values are nothing, text that would read as missing or as something
//! else stands in quotes. Arrow and Parquet hold categories as text, with a mark that makes them categories again.

use std::{io::Write, sync::Arc};

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    temporal_conversions::timestamp_us_to_datetime,
};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field as ArrowField, Schema as ArrowSchema, TimeUnit};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use serde_json::Value;
use stagewright_core::{Batch, Column, ColumnType, Field, Schema};

use super::{IngestError, Options, arrow::TYPE_KEY};

/// The formats that tables can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// Comma-separated values in UTF-8, with a header.
    Csv,
    /// Parquet, compressed with Snappy.
    Parquet,
    /// One JSON object a line.
    JsonLines,
    /// The file format of Arrow IPC.
    ArrowIpc,
}

/// Writes checked batches of `schema` as a file and returns the number of rows; `name` is what errors call the file.
///
/// # Errors
/// The batches cannot be read, or the file cannot be written.
pub fn export<W: Write + Send>(
    name: &str,
    schema: &Schema,
    batches: impl IntoIterator<Item = Result<Batch, IngestError>>,
    format: Export,
    out: W,
) -> Result<u64, IngestError> {
    let io = |source| IngestError::Io { file: name.to_owned(), source };
    let arrow = |error: ArrowError| match error {
        ArrowError::IoError(_, source) => IngestError::Io { file: name.to_owned(), source },
        other => IngestError::File { file: name.to_owned(), problem: format!("cannot be written: {other}") },
    };
    let mut rows = 0;
    let batches = batches.into_iter().inspect(|batch| rows += batch.as_ref().map_or(0, |batch| u64::from(batch.rows)));
    match format {
        Export::Csv => {
            let mut out = std::io::BufWriter::new(out);
            write_header(schema, &mut out).map_err(io)?;
            for batch in batches {
                write_csv(schema, &batch?, &mut out).map_err(io)?;
            }
            out.flush().map_err(io)?;
        }
        Export::JsonLines => {
            let mut out = std::io::BufWriter::new(out);
            for batch in batches {
                write_json(schema, &batch?, &mut out).map_err(io)?;
            }
            out.flush().map_err(io)?;
        }
        Export::Parquet => {
            let arrow_schema = Arc::new(arrow_schema(schema));
            let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
            let parquet = |error| arrow(ArrowError::from(error));
            let writer = ArrowWriter::try_new(out, Arc::clone(&arrow_schema), Some(properties));
            let mut writer = writer.map_err(parquet)?;
            for batch in batches {
                writer.write(&record_batch(schema, &arrow_schema, &batch?).map_err(arrow)?).map_err(parquet)?;
            }
            writer.close().map_err(parquet)?;
        }
        Export::ArrowIpc => {
            let arrow_schema = Arc::new(arrow_schema(schema));
            let mut writer = FileWriter::try_new_buffered(out, &arrow_schema).map_err(arrow)?;
            for batch in batches {
                writer.write(&record_batch(schema, &arrow_schema, &batch?).map_err(arrow)?).map_err(arrow)?;
            }
            writer.finish().map_err(arrow)?;
        }
    }
    Ok(rows)
}

/// A value of a row, as the formats of text need it.
pub(crate) enum Cell<'a> {
    Missing,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Time(i64),
    Text(&'a str),
}

pub(crate) fn cell<'a>(field: &Field, column: &'a Column, row: usize) -> Cell<'a> {
    if !column.is_valid(row) {
        return Cell::Missing;
    }
    let eight = || column.values.as_chunks::<8>().0.get(row).copied().unwrap_or_default();
    match field.column_type {
        ColumnType::Boolean => Cell::Boolean(column.values[row / 8] >> (row % 8) & 1 == 1),
        ColumnType::Int64 => Cell::Integer(i64::from_le_bytes(eight())),
        ColumnType::Float64 => Cell::Float(f64::from_le_bytes(eight())),
        ColumnType::Timestamp => Cell::Time(i64::from_le_bytes(eight())),
        ColumnType::Text | ColumnType::Category => Cell::Text(column.text(row).unwrap_or_default()),
    }
}

/// RFC 3339 in UTC; the bare number for times beyond the calendar.
pub(crate) fn time(microseconds: i64) -> String {
    match timestamp_us_to_datetime(microseconds) {
        Some(time) => format!("{}Z", time.format("%Y-%m-%dT%H:%M:%S%.f")),
        None => microseconds.to_string(),
    }
}

fn write_header(schema: &Schema, out: &mut impl Write) -> std::io::Result<()> {
    for (index, field) in schema.fields().iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        write_text(&field.name, &[], out)?;
    }
    out.write_all(b"\n")
}

fn write_csv(schema: &Schema, batch: &Batch, out: &mut impl Write) -> std::io::Result<()> {
    let missing_words = Options::default().missing;
    // A line of nothing at all would be skipped.
    let gap: &[u8] = if schema.len() == 1 { b"NA" } else { b"" };
    for row in 0..batch.rows as usize {
        for (index, (field, column)) in schema.fields().iter().zip(&batch.columns).enumerate() {
            if index > 0 {
                out.write_all(b",")?;
            }
            match cell(field, column, row) {
                Cell::Missing => out.write_all(gap)?,
                Cell::Boolean(value) => write!(out, "{value}")?,
                Cell::Integer(value) => write!(out, "{value}")?,
                Cell::Float(value) => write!(out, "{value:?}")?,
                Cell::Time(value) => out.write_all(time(value).as_bytes())?,
                Cell::Text(text) => write_text(text, &missing_words, out)?,
            }
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn write_text(text: &str, missing_words: &[String], out: &mut impl Write) -> std::io::Result<()> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let bytes = text.as_bytes();
    let plain = !bytes.is_empty()
        && !bytes.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r' | b';' | b'|' | b'\t'))
        && !bytes.first().is_some_and(blank)
        && !bytes.last().is_some_and(blank)
        && !text.starts_with(['\u{feff}', '#'])
        && !missing_words.iter().any(|word| word == text);
    if plain {
        return out.write_all(bytes);
    }
    out.write_all(b"\"")?;
    out.write_all(text.replace('"', "\"\"").as_bytes())?;
    out.write_all(b"\"")
}

fn write_json(schema: &Schema, batch: &Batch, out: &mut impl Write) -> std::io::Result<()> {
    for row in 0..batch.rows as usize {
        out.write_all(b"{")?;
        for (index, (field, column)) in schema.fields().iter().zip(&batch.columns).enumerate() {
            if index > 0 {
                out.write_all(b",")?;
            }
            serde_json::to_writer(&mut *out, &field.name)?;
            out.write_all(b":")?;
            let value = match cell(field, column, row) {
                Cell::Missing => Value::Null,
                Cell::Boolean(value) => Value::from(value),
                Cell::Integer(value) => Value::from(value),
                // JSON has no word for infinity or NaN.
                Cell::Float(value) => Value::from(value),
                Cell::Time(value) => Value::from(time(value)),
                Cell::Text(text) => Value::from(text),
            };
            serde_json::to_writer(&mut *out, &value)?;
        }
        out.write_all(b"}\n")?;
    }
    Ok(())
}

fn arrow_schema(schema: &Schema) -> ArrowSchema {
    let field = |field: &Field| {
        let data_type = match field.column_type {
            ColumnType::Boolean => DataType::Boolean,
            ColumnType::Int64 => DataType::Int64,
            ColumnType::Float64 => DataType::Float64,
            ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ColumnType::Text | ColumnType::Category => DataType::Utf8,
        };
        let arrow = ArrowField::new(&field.name, data_type, field.nullable);
        match field.column_type {
            ColumnType::Category => arrow.with_metadata([(TYPE_KEY.to_owned(), field.column_type.as_str().to_owned())]),
            _ => arrow,
        }
    };
    ArrowSchema::new(schema.fields().iter().map(field).collect::<Vec<_>>())
}

fn record_batch(schema: &Schema, arrow: &Arc<ArrowSchema>, batch: &Batch) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().zip(&batch.columns);
    let columns = columns.map(|(field, column)| array(field, column, batch.rows as usize)).collect();
    RecordBatch::try_new(Arc::clone(arrow), columns)
}

fn array(field: &Field, column: &Column, rows: usize) -> ArrayRef {
    let cells = (0..rows).map(|row| cell(field, column, row));
    let integer = |cell| match cell {
        Cell::Integer(value) | Cell::Time(value) => Some(value),
        _ => None,
    };
    match field.column_type {
        ColumnType::Boolean => {
            let values = cells.map(|cell| if let Cell::Boolean(value) = cell { Some(value) } else { None });
            Arc::new(values.collect::<BooleanArray>())
        }
        ColumnType::Int64 => Arc::new(cells.map(integer).collect::<Int64Array>()),
        ColumnType::Timestamp => {
            Arc::new(cells.map(integer).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        ColumnType::Float64 => {
            let values = cells.map(|cell| if let Cell::Float(value) = cell { Some(value) } else { None });
            Arc::new(values.collect::<Float64Array>())
        }
        ColumnType::Text | ColumnType::Category => {
            let values = cells.map(|cell| if let Cell::Text(text) = cell { Some(text) } else { None });
            Arc::new(values.collect::<StringArray>())
        }
    }
}
