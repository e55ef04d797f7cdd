//! Tables to read and to write: the host's in the sandbox, in memory natively.

use crate::bindings::stagewright::stage::{datasets, models};
use crate::failure::no_such_column;
use crate::{Failure, Field, Table};

/// How many rows are asked for at a time; the host returns fewer where they are wide.
const ROWS_AT_A_TIME: usize = 65_536;

/// How many bytes one written batch may have, well below the contract's 16 MiB.
const BATCH_BYTES: usize = 8 << 20;

/// A table to read, from its first row to its last.
pub struct Reader {
    fields: Vec<Field>,
    source: Source,
}

enum Source {
    Host(datasets::Reader),
    Memory { table: Table, at: usize },
}

impl Reader {
    /// Reads a table that is in memory.
    pub fn of(table: Table) -> Self {
        Self { fields: table.fields(), source: Source::Memory { table, at: 0 } }
    }

    /// Reads a table of the host.
    pub fn host(reader: datasets::Reader) -> Self {
        Self { fields: reader.schema(), source: Source::Host(reader) }
    }

    /// The columns, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The number of rows of the whole table.
    pub fn rows(&self) -> usize {
        match &self.source {
            Source::Host(reader) => reader.rows() as usize,
            Source::Memory { table, .. } => table.rows(),
        }
    }

    /// Starts again at the first row.
    pub fn rewind(&mut self) {
        match &mut self.source {
            Source::Host(reader) => reader.rewind(),
            Source::Memory { at, .. } => *at = 0,
        }
    }

    /// Some further rows of the named columns (all, if none is named); nothing at the end.
    pub fn next(&mut self, columns: &[&str]) -> Result<Option<Table>, Failure> {
        let chosen = self.choose(columns)?;
        self.next_chosen(&chosen, ROWS_AT_A_TIME)
    }

    /// All rows of the named columns (all, if none is named), whatever was read before.
    pub fn read(&mut self, columns: &[&str]) -> Result<Table, Failure> {
        let chosen = self.choose(columns)?;
        let fields: Vec<Field> = chosen.iter().map(|place| self.fields[*place].clone()).collect();
        self.rewind();
        let mut whole = Table::empty(&fields);
        whole.reserve(self.rows());
        while let Some(part) = self.next_chosen(&chosen, ROWS_AT_A_TIME)? {
            whole.append(&part)?;
        }
        Ok(whole)
    }

    fn choose(&self, columns: &[&str]) -> Result<Vec<usize>, Failure> {
        if columns.is_empty() {
            return Ok((0..self.fields.len()).collect());
        }
        let place = |name: &&str| {
            let found = self.fields.iter().position(|field| field.name == **name);
            found.ok_or_else(|| Failure::invalid_data(no_such_column(name, &self.fields)))
        };
        columns.iter().map(place).collect()
    }

    fn next_chosen(&mut self, chosen: &[usize], rows: usize) -> Result<Option<Table>, Failure> {
        match &mut self.source {
            Source::Host(reader) => {
                let places: Vec<u32> = chosen.iter().map(|place| *place as u32).collect();
                let fields: Vec<Field> = chosen.iter().map(|place| self.fields[*place].clone()).collect();
                reader.next(&places, rows as u32)?.map(|batch| Table::decode(&fields, &batch)).transpose()
            }
            Source::Memory { table, at } => {
                let start = *at;
                *at = (start + rows).min(table.rows());
                if start == *at {
                    return Ok(None);
                }
                let places: Vec<usize> = (start..*at).collect();
                let columns = chosen.iter().map(|column| table.columns()[*column].take(&places)).collect();
                Table::new(columns).map(Some)
            }
        }
    }
}

/// A table to write.
pub struct Writer {
    fields: Vec<Field>,
    sink: Sink,
}

enum Sink {
    Host(datasets::Writer),
    Memory(Option<Table>),
}

impl Writer {
    /// Writes into memory.
    pub fn memory() -> Self {
        Self { fields: Vec::new(), sink: Sink::Memory(None) }
    }

    /// Writes a table of the host.
    pub fn host(writer: datasets::Writer) -> Self {
        Self { fields: Vec::new(), sink: Sink::Host(writer) }
    }

    /// Says which columns follow. Called once, before the first rows.
    pub fn start(&mut self, fields: &[Field]) -> Result<(), Failure> {
        self.fields = fields.to_vec();
        match &mut self.sink {
            Sink::Host(writer) => writer.start(fields),
            Sink::Memory(table) => {
                *table = Some(Table::empty(fields));
                Ok(())
            }
        }
    }

    /// Adds rows, in as many batches as they need.
    pub fn write(&mut self, rows: &Table) -> Result<(), Failure> {
        if rows.rows() == 0 {
            return Ok(());
        }
        let batch = rows.encode()?;
        let bytes: usize = batch.columns.iter().map(weight).sum();
        if bytes > BATCH_BYTES && rows.rows() > 1 {
            let places: Vec<usize> = (0..rows.rows()).collect();
            let (first, second) = places.split_at(rows.rows() / 2);
            self.write(&rows.take(first))?;
            return self.write(&rows.take(second));
        }
        match &mut self.sink {
            Sink::Host(writer) => writer.write(&batch),
            Sink::Memory(Some(table)) => table.append(&Table::decode(&self.fields, &batch)?),
            Sink::Memory(None) => Err(Failure::internal("rows were written before `start`")),
        }
    }

    /// What was written into memory; nothing if writing never started.
    pub fn into_table(self) -> Option<Table> {
        match self.sink {
            Sink::Host(_) => None,
            Sink::Memory(table) => table,
        }
    }
}

fn weight(column: &crate::Column) -> usize {
    let optional = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let words = column.words.iter().flatten().map(|word| word.len() + 8).sum::<usize>();
    column.values.len() + optional(&column.validity) + optional(&column.offsets) + words
}

/// A model to question.
pub struct Model {
    input: Vec<Field>,
    schema: Vec<Field>,
    predict: Box<Predict>,
}

/// How a model answers.
type Predict = dyn Fn(&Table) -> Result<Table, Failure>;

impl Model {
    /// A model that is a function.
    pub fn of(
        input: Vec<Field>,
        schema: Vec<Field>,
        predict: impl Fn(&Table) -> Result<Table, Failure> + 'static,
    ) -> Self {
        Self { input, schema, predict: Box::new(predict) }
    }

    /// A model of the host.
    pub fn host(model: models::Model) -> Self {
        let schema = model.schema();
        let (input, answer) = (model.input(), schema.clone());
        Self::of(input, schema, move |rows| Table::decode(&answer, &model.predict(&rows.encode()?)?))
    }

    /// The columns that `predict` expects, in this order.
    pub fn input(&self) -> &[Field] {
        &self.input
    }

    /// The columns that `predict` returns.
    pub fn schema(&self) -> &[Field] {
        &self.schema
    }

    /// Predictions for these rows, one for each. Finds the columns it expects by name.
    pub fn predict(&self, rows: &Table) -> Result<Table, Failure> {
        let columns = self.input.iter().map(|field| rows.column(&field.name).cloned());
        (self.predict)(&Table::new(columns.collect::<Result<_, _>>()?)?)
    }
}
