//! Parquet and Arrow IPC: the columns have types already, only text is looked at.

use std::{
    io::BufReader,
    panic::{AssertUnwindSafe, catch_unwind},
};

use arrow_array::RecordBatch;
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, Schema as ArrowSchema, SchemaRef};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use stagewright_core::{Batch, Field, Schema};

use super::{
    IngestError, Options, TableStream,
    arrow::{Leaf, convert, leaves},
    source::Source,
};

/// Rows that are decoded at a time.
const ROWS: usize = 8192;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Parquet,
    Ipc,
}

type RecordBatches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

pub(super) fn open(source: &Source, kind: Kind, options: &Options) -> Result<TableStream, IngestError> {
    let (arrow_schema, _) = read(source, kind, None)?;
    let mut leaves = leaves(&source.name, &arrow_schema, options)?;
    let looked_at = roots_to_look_at(&leaves, arrow_schema.fields().len());
    if !looked_at.is_empty() {
        let (projected, reader) = read(source, kind, Some(&looked_at))?;
        for batch in reader {
            look(&mut leaves, &batch?, &projected, &arrow_schema, &source.name)?;
        }
    }
    leaves.iter_mut().for_each(Leaf::settle);
    let fields = leaves.iter().map(|leaf| Field::new(&leaf.name, leaf.column_type, leaf.nullable));
    let table = |error| IngestError::Table { file: source.name.clone(), source: error };
    let schema = Schema::new(fields.collect()).map_err(table)?;
    if let Some(name) = options.types.keys().find(|name| schema.index_of(name).is_none()) {
        return Err(source.problem(format!("a type is given for column `{name}`, which the file does not have")));
    }
    // Only now, as all readers of the file share its position.
    let (_, guarded) = read(source, kind, None)?;
    let batches = Batches { guarded, leaves, schema: schema.clone(), ready: Vec::new() };
    Ok(TableStream::new(&source.name, schema, Vec::new(), batches))
}

/// The top-level columns that hold words or bytes, whose values decide what they become.
fn roots_to_look_at(leaves: &[Leaf], roots: usize) -> Vec<usize> {
    (0..roots).filter(|root| leaves.iter().any(|leaf| leaf.path[0] == *root && leaf.must_be_looked_at())).collect()
}

fn look(
    leaves: &mut [Leaf],
    batch: &RecordBatch,
    projected: &ArrowSchema,
    whole: &ArrowSchema,
    file: &str,
) -> Result<(), IngestError> {
    for (position, field) in projected.fields().iter().enumerate() {
        for leaf in leaves.iter_mut().filter(|leaf| whole.field(leaf.path[0]) == field.as_ref()) {
            if leaf.must_be_looked_at() {
                guard(file, || leaf.look(batch.column(position)))?.map_err(|problem| IngestError::Column {
                    file: file.to_owned(),
                    column: leaf.name.clone(),
                    problem,
                })?;
            }
        }
    }
    Ok(())
}

/// Opens the file at its start, all of it or some top-level columns.
fn read(source: &Source, kind: Kind, roots: Option<&[usize]>) -> Result<(SchemaRef, Guarded), IngestError> {
    let file = source.file()?;
    let length = file.metadata().map_err(|e| source.io(e))?.len();
    if length == 0 {
        return Err(source.problem("the file is empty"));
    }
    let opened = guard(&source.name, || -> Result<(SchemaRef, RecordBatches, Option<u64>), ArrowError> {
        match kind {
            Kind::Parquet => {
                let mut builder = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(ROWS);
                if let Some(roots) = roots {
                    let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
                    builder = builder.with_projection(mask);
                }
                let groups = builder.metadata().row_groups();
                let rows = groups.iter().map(|group| u64::try_from(group.num_rows()).unwrap_or_default()).sum();
                let reader = builder.build()?;
                Ok((arrow_array::RecordBatchReader::schema(&reader), Box::new(reader), Some(rows)))
            }
            Kind::Ipc => {
                let roots = roots.map(<[usize]>::to_vec);
                let mut magic = [0; 6];
                let read = std::io::Read::read(&mut source.file().map_err(other)?, &mut magic)?;
                let file = source.file().map_err(other)?;
                if read == 6 && &magic == b"ARROW1" {
                    let reader = FileReader::try_new(BufReader::new(file), roots)?;
                    Ok((reader.schema(), Box::new(reader), None))
                } else {
                    let reader = StreamReader::try_new(BufReader::new(file), roots)?;
                    Ok((reader.schema(), Box::new(reader), None))
                }
            }
        }
    })?;
    let what = match kind {
        Kind::Parquet => "Parquet",
        Kind::Ipc => "Arrow",
    };
    let (schema, reader, rows) =
        opened.map_err(|error| source.problem(format!("not a readable {what} file, perhaps cut short: {error}")))?;
    Ok((schema, Guarded { file: source.name.clone(), row: 0, rows, reader, failed: false }))
}

fn other(error: IngestError) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

/// Runs a reader of untrusted bytes. The libraries check almost everything; a panic is their last check.
fn guard<T>(file: &str, work: impl FnOnce() -> T) -> Result<T, IngestError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let problem = format!("the file is damaged: {}", said.unwrap_or("the reader gave up"));
        IngestError::File { file: file.to_owned(), problem }
    })
}

/// Record batches, with errors that say how far the file was good.
struct Guarded {
    file: String,
    row: u64,
    /// The number of rows that the file says it has.
    rows: Option<u64>,
    reader: RecordBatches,
    failed: bool,
}

impl Iterator for Guarded {
    type Item = Result<RecordBatch, IngestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = match guard(&self.file, || self.reader.next()) {
            Ok(None) => match self.rows.take() {
                // A reader that loses rows without a word must not shorten a table.
                Some(rows) if rows != self.row => Err(IngestError::File {
                    file: self.file.clone(),
                    problem: format!("the file says it has {rows} rows, but {} could be read", self.row),
                }),
                _ => return None,
            },
            Ok(Some(Ok(batch))) => {
                self.row += batch.num_rows() as u64;
                Ok(batch)
            }
            Ok(Some(Err(error))) => Err(IngestError::File {
                file: self.file.clone(),
                problem: format!("the rows behind row {} cannot be read: {error}", self.row),
            }),
            Err(error) => Err(error),
        };
        self.failed = next.is_err();
        Some(next)
    }
}

struct Batches {
    guarded: Guarded,
    leaves: Vec<Leaf>,
    schema: Schema,
    /// Batches that are converted already, the last first.
    ready: Vec<Batch>,
}

impl Batches {
    fn read(&mut self) -> Result<Option<Batch>, IngestError> {
        loop {
            if let Some(batch) = self.ready.pop() {
                return Ok(Some(batch));
            }
            let start = self.guarded.row;
            let Some(batch) = self.guarded.next().transpose()? else { return Ok(None) };
            let mut converted = Vec::new();
            for offset in (0..batch.num_rows()).step_by(ROWS) {
                let slice = batch.slice(offset, ROWS.min(batch.num_rows() - offset));
                let row = start + offset as u64;
                let file = &self.guarded.file;
                guard(file, || convert(file, row, &slice, &self.leaves, &self.schema, &mut converted))??;
            }
            converted.reverse();
            self.ready = converted;
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, IngestError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
