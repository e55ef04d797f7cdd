//! Tensors of the Open Inference Protocol and the columns that they stand for: one tensor a column, its first dimension
//! the rows.
//!
//! In a tensor of floats a NaN is a missing value, as in most programs that make such tensors; in JSON it is null.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor},
};
use stagewright::ingest::rows::{Form, RowBuilder, RowsError};
use stagewright_core::{Batch, Column, ColumnType, Field};

/// Nested lists are flattened; no tensor of rows needs more dimensions than these.
const DEEPEST: usize = 8;
/// Values of a tensor in JSON.
const MOST_VALUES: usize = 1 << 20;

/// The types of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Datatype {
    Bool,
    Unsigned(usize),
    Signed(usize),
    Float(usize),
    Bytes,
}

impl Datatype {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "BOOL" => Self::Bool,
            "UINT8" => Self::Unsigned(1),
            "UINT16" => Self::Unsigned(2),
            "UINT32" => Self::Unsigned(4),
            "UINT64" => Self::Unsigned(8),
            "INT8" => Self::Signed(1),
            "INT16" => Self::Signed(2),
            "INT32" => Self::Signed(4),
            "INT64" => Self::Signed(8),
            "FP16" => Self::Float(2),
            "FP32" => Self::Float(4),
            "FP64" => Self::Float(8),
            "BYTES" => Self::Bytes,
            _ => return None,
        })
    }

    /// Whether a column takes values of this type.
    fn fits(self, column: ColumnType) -> bool {
        match column {
            ColumnType::Boolean => self == Self::Bool,
            ColumnType::Int64 => matches!(self, Self::Signed(_) | Self::Unsigned(_)),
            ColumnType::Float64 => matches!(self, Self::Float(_) | Self::Signed(_) | Self::Unsigned(_)),
            ColumnType::Timestamp => matches!(self, Self::Signed(8) | Self::Bytes),
            ColumnType::Text | ColumnType::Category => self == Self::Bytes,
        }
    }
}

/// The protocol's name for a column's type.
pub(super) const fn datatype(column: ColumnType) -> &'static str {
    match column {
        ColumnType::Boolean => "BOOL",
        ColumnType::Int64 | ColumnType::Timestamp => "INT64",
        ColumnType::Float64 => "FP64",
        ColumnType::Text | ColumnType::Category => "BYTES",
    }
}

/// A tensor of a request.
pub(super) struct Tensor<'a> {
    pub(super) name: &'a str,
    pub(super) datatype: &'a str,
    pub(super) shape: &'a [u64],
    pub(super) data: Data<'a>,
}

/// Where a tensor's values are.
pub(super) enum Data<'a> {
    Json(&'a Values<'a>),
    Binary(&'a [u8]),
}

/// A value in JSON.
enum Value<'a> {
    Missing,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(Cow<'a, str>),
}

/// The values of nested lists, in order. A tensor's name may stand behind them, so that they cannot be put in their
/// column at once.
#[derive(Default)]
pub(super) struct Values<'a>(Vec<Value<'a>>);

/// Reads tensors as the rows of a form.
pub(super) fn rows(tensors: &[Tensor<'_>], form: &Form) -> Result<Batch, RowsError> {
    let mut rows = RowBuilder::new(form);
    let mut named = vec![false; form.schema().len()];
    for tensor in tensors {
        let Some(column) = form.position(tensor.name) else {
            if form.is_unused(tensor.name) {
                continue;
            }
            return Err(form.unknown(tensor.name));
        };
        let field = &form.schema().fields()[column];
        let wrong = |problem: String| RowsError::column(&field.name, None, problem);
        if std::mem::replace(&mut named[column], true) {
            return Err(wrong("it is there twice".to_owned()));
        }
        let wanted = datatype(field.column_type);
        let kind = match Datatype::parse(tensor.datatype) {
            Some(kind) if kind.fits(field.column_type) => kind,
            Some(_) => return Err(wrong(format!("it takes {wanted}, not {}", tensor.datatype))),
            None => {
                let shown: String = tensor.datatype.chars().take(20).collect();
                return Err(wrong(format!("`{shown}` is no datatype of the protocol; the column takes {wanted}")));
            }
        };
        let count = count(tensor.shape).ok_or_else(|| {
            wrong(format!("its shape is {:?}; a column has the shape [rows] or [rows, 1]", tensor.shape))
        })?;
        match tensor.data {
            Data::Json(values) => {
                for value in &values.0 {
                    match value {
                        Value::Missing => rows.push_missing(column),
                        Value::Boolean(value) => rows.push_boolean(column, *value),
                        Value::Integer(value) => rows.push_integer(column, *value),
                        Value::Float(value) => rows.push_float(column, *value),
                        Value::Text(value) => rows.push_text(column, value),
                    }?;
                }
            }
            Data::Binary(bytes) => binary(bytes, kind, column, &mut rows, &wrong)?,
        }
        let found = rows.len(column) as u64;
        if found != count {
            return Err(wrong(format!("its shape {:?} says {count} values, and it has {found}", tensor.shape)));
        }
    }
    let mut fields = form.schema().fields().iter().enumerate();
    match fields.find(|(column, field)| !named[*column] && !field.nullable) {
        Some((column, _)) => Err(form.missing(column, None)),
        None => rows.finish(),
    }
}

/// The rows of a shape, where every dimension behind the first is 1.
fn count(shape: &[u64]) -> Option<u64> {
    let (rows, others) = shape.split_first()?;
    others.iter().all(|size| *size == 1).then_some(*rows)
}

fn binary(
    bytes: &[u8],
    kind: Datatype,
    column: usize,
    rows: &mut RowBuilder<'_>,
    wrong: &dyn Fn(String) -> RowsError,
) -> Result<(), RowsError> {
    let width = match kind {
        Datatype::Bool => 1,
        Datatype::Unsigned(width) | Datatype::Signed(width) | Datatype::Float(width) => width,
        Datatype::Bytes => return texts(bytes, column, rows, wrong),
    };
    if !bytes.len().is_multiple_of(width) {
        return Err(wrong(format!("its {} bytes of data are no whole number of values", bytes.len())));
    }
    for value in bytes.chunks_exact(width) {
        let mut eight = [0; 8];
        eight[..width].copy_from_slice(value);
        let number = u64::from_le_bytes(eight);
        let unused = 64 - 8 * width as u32;
        match kind {
            Datatype::Bool => rows.push_boolean(column, number != 0)?,
            Datatype::Signed(_) => rows.push_integer(column, (number << unused) as i64 >> unused)?,
            Datatype::Unsigned(_) => match i64::try_from(number) {
                Ok(number) => rows.push_integer(column, number)?,
                Err(_) => rows.push_float(column, number as f64)?,
            },
            Datatype::Float(2) => rows.push_float(column, half(number as u16))?,
            Datatype::Float(4) => rows.push_float(column, f64::from(f32::from_bits(number as u32)))?,
            Datatype::Float(_) => rows.push_float(column, f64::from_bits(number))?,
            Datatype::Bytes => {}
        }
    }
    Ok(())
}

/// Each text behind its length of four bytes.
fn texts(
    mut bytes: &[u8],
    column: usize,
    rows: &mut RowBuilder<'_>,
    wrong: &dyn Fn(String) -> RowsError,
) -> Result<(), RowsError> {
    while !bytes.is_empty() {
        let cut = || wrong("its data ends within a text: each begins with its length in four bytes".to_owned());
        let (length, rest) = bytes.split_first_chunk().ok_or_else(cut)?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(cut)?;
        let text = std::str::from_utf8(text).map_err(|_| RowsError {
            row: Some(rows.len(column) as u64),
            ..wrong("the text is not UTF-8".to_owned())
        })?;
        rows.push_text(column, text)?;
        bytes = rest;
    }
    Ok(())
}

/// A float of 16 bits: 1 bit sign, 5 bits exponent, 10 bits fraction (IEEE 754 binary16).
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    match exponent {
        0 => sign * fraction * f64::powi(2.0, -24),
        31 if fraction == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        _ => sign * (1.0 + fraction / 1024.0) * f64::powi(2.0, exponent - 15),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Values<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut values = Self::default();
        // A value by itself is no tensor.
        deserializer.deserialize_seq(List { values: &mut values, depth: 0 })?;
        Ok(values)
    }
}

/// A value, or a list of them.
struct List<'v, 'a> {
    values: &'v mut Values<'a>,
    depth: usize,
}

impl<'a> List<'_, 'a> {
    fn push<E: Error>(self, value: Value<'a>) -> Result<(), E> {
        if self.values.0.len() >= MOST_VALUES {
            return Err(E::custom(format_args!("a tensor has more than {MOST_VALUES} values")));
        }
        self.values.0.push(value);
        Ok(())
    }
}

impl<'de: 'a, 'a> DeserializeSeed<'de> for List<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de: 'a, 'a> Visitor<'de> for List<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.depth == 0 { "a list of values" } else { "a value" })
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.push(Value::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.push(Value::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.push(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.push(Value::Float(value))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<(), E> {
        self.push(Value::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.push(Value::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.push(Value::Missing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { values, depth } = self;
        if depth == DEEPEST {
            return Err(A::Error::custom("lists are nested too deeply"));
        }
        loop {
            if list.next_element_seed(List { values: &mut *values, depth: depth + 1 })?.is_none() {
                return Ok(());
            }
        }
    }
}

/// A column's values in the binary layout; none where it has gaps that the layout cannot express.
pub(super) fn to_binary(field: &Field, column: &Column, rows: usize) -> Option<Vec<u8>> {
    let gaps = column.validity.is_some();
    match field.column_type {
        ColumnType::Float64 if gaps => {
            let values = column.floats().enumerate();
            let values = values.map(|(row, value)| if column.is_valid(row) { value } else { f64::NAN });
            Some(values.flat_map(f64::to_le_bytes).collect())
        }
        _ if gaps => None,
        ColumnType::Float64 | ColumnType::Int64 | ColumnType::Timestamp => Some(column.values.clone()),
        ColumnType::Boolean => Some((0..rows).map(|row| column.values[row / 8] >> (row % 8) & 1).collect()),
        ColumnType::Text | ColumnType::Category => {
            let mut bytes = Vec::new();
            for row in 0..rows {
                let text = column.text(row).unwrap_or_default();
                bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
            Some(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_read_as_ieee_754_says() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 5.960_464_477_539_063e-8)] {
            assert_eq!(half(bits), value);
        }
        assert!(half(0x7e00).is_nan() && half(0xfc00) == f64::NEG_INFINITY);
    }

    #[test]
    fn only_columns_are_shapes() {
        assert_eq!((count(&[3]), count(&[3, 1]), count(&[0])), (Some(3), Some(3), Some(0)));
        assert_eq!((count(&[]), count(&[3, 2]), count(&[1, 3])), (None, None, None));
    }
}
