//! What each type of Arrow becomes: one of the six types of the contract, or text that says the same.
//!
//! Structs become columns named `outer.inner`; lists, maps and unions become JSON text; times of day, durations and
//! intervals the text that Arrow prints; decimals the nearest float; bytes text, or hexadecimal digits where a value of
//! the column is not UTF-8.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, StringArray,
    cast::AsArray,
    types::{Float64Type, Int64Type, TimestampMicrosecondType},
};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_json::writer::{EncoderOptions, make_encoder};
use arrow_schema::{DataType, Field as ArrowField, FieldRef, Fields, Schema as ArrowSchema, TimeUnit};
use arrow_select::nullif::nullif;
use stagewright_core::{Batch, Column, ColumnType, Field, Schema, table::MAX_BATCH_BYTES};

use super::{IngestError, Options, build::BatchBuilder, delimited::unfit, guess::Guess};

/// Where an exported file keeps the type of a column that Arrow has no word for.
pub(super) const TYPE_KEY: &str = "stagewright:type";

/// A column of the table, and where it is in the file.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) name: String,
    /// The positions of the column and of the struct members within it.
    pub(super) path: Vec<usize>,
    pub(super) column_type: ColumnType,
    pub(super) nullable: bool,
    field: FieldRef,
    way: Way,
    guess: Option<Guess>,
    /// The user's type, in place of the file's.
    overridden: bool,
    /// Whether the values themselves are words.
    words: bool,
}

/// How values are converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Cast,
    Bytes,
    Hexadecimal,
    Json,
}

/// The columns of a table in a file of this schema.
pub(super) fn leaves(file: &str, schema: &ArrowSchema, options: &Options) -> Result<Vec<Leaf>, IngestError> {
    let mut leaves = Vec::new();
    collect(schema.fields(), "", &[], false, options, &mut leaves);
    match leaves.is_empty() {
        true => Err(IngestError::File { file: file.to_owned(), problem: "the file has no columns".to_owned() }),
        false => Ok(leaves),
    }
}

fn collect(fields: &Fields, prefix: &str, path: &[usize], nullable: bool, options: &Options, leaves: &mut Vec<Leaf>) {
    for (index, field) in fields.iter().enumerate() {
        let name = format!("{prefix}{}", field.name());
        let path: Vec<usize> = path.iter().copied().chain([index]).collect();
        let nullable = nullable || field.is_nullable();
        match field.data_type() {
            DataType::Struct(members) if !members.is_empty() => {
                collect(members, &format!("{name}."), &path, nullable, options, leaves);
            }
            _ => leaves.push(Leaf::new(name, path, nullable, field, options)),
        }
    }
}

impl Leaf {
    fn new(name: String, path: Vec<usize>, nullable: bool, field: &FieldRef, options: &Options) -> Self {
        use DataType as D;
        let (plain, dictionary) = match field.data_type() {
            D::Dictionary(_, values) => (values.as_ref(), true),
            plain => (plain, false),
        };
        let (way, column_type) = match plain {
            D::Boolean => (Way::Cast, ColumnType::Boolean),
            D::Float16 | D::Float32 | D::Float64 => (Way::Cast, ColumnType::Float64),
            D::Decimal32(..) | D::Decimal64(..) | D::Decimal128(..) | D::Decimal256(..) => {
                (Way::Cast, ColumnType::Float64)
            }
            D::Date32 | D::Date64 | D::Timestamp(..) => (Way::Cast, ColumnType::Timestamp),
            integer if integer.is_integer() => (Way::Cast, ColumnType::Int64),
            D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => (Way::Bytes, ColumnType::Text),
            nested if nested.is_nested() => (Way::Json, ColumnType::Text),
            _ => (Way::Cast, ColumnType::Text),
        };
        let words = matches!(plain, D::Utf8 | D::LargeUtf8 | D::Utf8View) || way == Way::Bytes;
        let marked = field.metadata().get(TYPE_KEY).is_some_and(|name| name == ColumnType::Category.as_str());
        let overridden = options.types.get(&name).copied();
        let category = words && (dictionary || marked);
        let may_be_category = words && !category && overridden.is_none();
        Self {
            column_type: overridden.unwrap_or(if category { ColumnType::Category } else { column_type }),
            guess: may_be_category.then(|| Guess::new(options.categories)),
            overridden: overridden.is_some(),
            field: Arc::new(ArrowField::new(field.name(), plain.clone(), true)),
            name,
            path,
            nullable,
            way,
            words,
        }
    }

    pub(super) fn must_be_looked_at(&self) -> bool {
        self.way == Way::Bytes || self.guess.as_ref().is_some_and(Guess::may_be_category)
    }

    /// Looks at values; `root` is the top-level column that holds them.
    pub(super) fn look(&mut self, root: &ArrayRef) -> Result<(), String> {
        let array = self.unpack(self.find(root)?)?;
        if self.way == Way::Bytes && !is_utf8(&array)? {
            self.way = Way::Hexadecimal;
        }
        let text = self.as_text(&array)?;
        if let Some(guess) = &mut self.guess {
            text.iter().flatten().for_each(|word| guess.see_text(word));
        }
        Ok(())
    }

    /// Decides the type after all values were seen.
    pub(super) fn settle(&mut self) {
        if let Some(guess) = self.guess.take()
            && self.words
        {
            self.column_type = guess.text_type();
        }
    }

    /// The leaf's array within its top-level column, without a value where a struct around it has none.
    fn find(&self, root: &ArrayRef) -> Result<ArrayRef, String> {
        let mut array = Arc::clone(root);
        for index in &self.path[1..] {
            let outer = array.as_struct_opt().ok_or("the column is not a struct as its schema says")?;
            let member = Arc::clone(outer.column(*index));
            array = match outer.nulls() {
                None => member,
                Some(nulls) => {
                    let gaps = BooleanArray::new(!nulls.inner(), None);
                    nullif(&member, &gaps).map_err(|e| e.to_string())?
                }
            };
        }
        Ok(array)
    }

    /// The plain values of a dictionary.
    fn unpack(&self, array: ArrayRef) -> Result<ArrayRef, String> {
        match array.data_type() {
            DataType::Dictionary(_, values) => cast(&array, &values.as_ref().clone()),
            _ => Ok(array),
        }
    }

    fn as_text(&self, array: &ArrayRef) -> Result<StringArray, String> {
        match self.way {
            Way::Cast => Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone()),
            Way::Bytes => {
                let bytes = cast(array, &DataType::Binary)?;
                Ok(cast(&bytes, &DataType::Utf8)?.as_string::<i32>().clone())
            }
            Way::Hexadecimal => {
                let bytes = cast(array, &DataType::Binary)?;
                let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                Ok(bytes.as_binary::<i32>().iter().map(|value| value.map(digits)).collect())
            }
            Way::Json => {
                let options = EncoderOptions::default();
                let field = Arc::new(self.field.as_ref().clone().with_data_type(json_type(self.field.data_type())));
                let array = &cast(array, field.data_type())?;
                let mut encoder = make_encoder(&field, array, &options).map_err(|e| e.to_string())?;
                let mut rows = Vec::with_capacity(array.len());
                for row in 0..array.len() {
                    let mut text = Vec::new();
                    if !array.is_null(row) {
                        encoder.encode(row, &mut text);
                    }
                    let text = String::from_utf8(text).map_err(|e| e.to_string())?;
                    rows.push((!array.is_null(row)).then_some(text));
                }
                Ok(rows.into_iter().collect())
            }
        }
    }

    fn column(&self, root: &ArrayRef) -> Result<Column, (usize, String)> {
        let whole = |problem| (0, problem);
        let array = self.unpack(self.find(root).map_err(whole)?).map_err(whole)?;
        let as_is = match self.column_type {
            _ if self.overridden || self.way != Way::Cast => None,
            ColumnType::Boolean => Some(DataType::Boolean),
            ColumnType::Int64 => Some(DataType::Int64),
            ColumnType::Float64 => Some(DataType::Float64),
            ColumnType::Timestamp => Some(DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))),
            ColumnType::Text | ColumnType::Category => None,
        };
        if let Some(data_type) = as_is {
            let hint = |problem| (0, format!("{problem}; read the column as float64 or text with --type"));
            return Ok(fixed(&cast(&array, &data_type).map_err(hint)?));
        }
        let text = self.as_text(&array).map_err(whole)?;
        if self.column_type == ColumnType::Text {
            return Ok(text_column(&text));
        }
        let schema =
            Schema::new(vec![Field::new(&self.name, self.column_type, true)]).map_err(|e| whole(e.to_string()))?;
        let mut builder = BatchBuilder::new(&schema);
        for (row, value) in text.iter().enumerate() {
            let wrong = |_| (row, unfit(value.unwrap_or_default(), self.column_type.as_str()));
            builder.push(0, value).map_err(wrong)?;
            builder.end_row();
        }
        let batch = builder.take().unwrap_or_default();
        Ok(batch.columns.into_iter().next().unwrap_or_default())
    }
}

/// The same type with text for the keys of maps, as JSON has them.
fn json_type(data_type: &DataType) -> DataType {
    let inner = |field: &FieldRef| Arc::new(field.as_ref().clone().with_data_type(json_type(field.data_type())));
    match data_type {
        DataType::List(item) => DataType::List(inner(item)),
        DataType::LargeList(item) => DataType::LargeList(inner(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(inner(item), *size),
        DataType::Struct(members) => DataType::Struct(members.iter().map(inner).collect()),
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(members) if members.len() == 2 => {
                let key = Arc::new(members[0].as_ref().clone().with_data_type(DataType::Utf8));
                let pair = DataType::Struct([key, inner(&members[1])].into_iter().collect());
                DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(pair)), *sorted)
            }
            _ => data_type.clone(),
        },
        other => other.clone(),
    }
}

fn is_utf8(array: &ArrayRef) -> Result<bool, String> {
    let bytes = cast(array, &DataType::Binary)?;
    Ok(bytes.as_binary::<i32>().iter().flatten().all(|value| std::str::from_utf8(value).is_ok()))
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &strict).map_err(|error| error.to_string())
}

fn validity(array: &dyn Array) -> Option<Vec<u8>> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0)?;
    Some(nulls.inner().sliced().as_slice()[..array.len().div_ceil(8)].to_vec())
}

/// A column of booleans or of values of eight bytes.
fn fixed(array: &ArrayRef) -> Column {
    let values = match array.data_type() {
        DataType::Boolean => array.as_boolean().values().sliced().as_slice()[..array.len().div_ceil(8)].to_vec(),
        DataType::Int64 => array.as_primitive::<Int64Type>().values().inner().as_slice().to_vec(),
        DataType::Float64 => array.as_primitive::<Float64Type>().values().inner().as_slice().to_vec(),
        _ => array.as_primitive::<TimestampMicrosecondType>().values().inner().as_slice().to_vec(),
    };
    Column { values, validity: validity(array), ..Column::default() }
}

fn text_column(text: &StringArray) -> Column {
    let offsets = text.value_offsets();
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    Column {
        values: text.value_data()[first as usize..last as usize].to_vec(),
        validity: validity(text),
        offsets: Some(offsets.iter().flat_map(|offset| (offset - first).to_le_bytes()).collect()),
        words: None,
    }
}

/// Converts rows, in as many batches as their size needs. `row` is the number of rows before them.
pub(super) fn convert(
    file: &str,
    row: u64,
    batch: &RecordBatch,
    leaves: &[Leaf],
    schema: &Schema,
    out: &mut Vec<Batch>,
) -> Result<(), IngestError> {
    let mut columns = Vec::with_capacity(leaves.len());
    for leaf in leaves {
        columns.push(leaf.column(batch.column(leaf.path[0])).map_err(|(within, problem)| IngestError::Column {
            file: file.to_owned(),
            column: leaf.name.clone(),
            problem: match within {
                0 => format!("in the rows from {} on: {problem}", row + 1),
                within => format!("row {}: {problem}", row + within as u64 + 1),
            },
        })?);
    }
    let converted = Batch { rows: batch.num_rows() as u32, columns };
    if converted.bytes() <= MAX_BATCH_BYTES || batch.num_rows() == 1 {
        converted.check(schema).map_err(|source| IngestError::Table { file: file.to_owned(), source })?;
        out.push(converted);
        return Ok(());
    }
    let half = batch.num_rows() / 2;
    convert(file, row, &batch.slice(0, half), leaves, schema, out)?;
    convert(file, row + half as u64, &batch.slice(half, batch.num_rows() - half), leaves, schema, out)
}
