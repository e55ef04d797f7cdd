//! Rows as JSON: one object, an array of objects, or an object of columns.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use stagewright_core::Batch;

use super::{Form, Place, RowBuilder, RowsError};

/// How rows are laid out in JSON; answers come in the layout of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{"age": 39}`.
    Row,
    /// `[{"age": 39}, {"age": 50}]`.
    Rows,
    /// `{"age": [39, 50]}`.
    Columns,
}

/// Reads rows.
///
/// # Errors
/// The text is not JSON, or not rows that fit the form.
pub fn from_json(body: &[u8], form: &Form) -> Result<(Batch, Shape), RowsError> {
    let mut rows = RowBuilder::new(form);
    let mut wrong = None;
    let mut text = serde_json::Deserializer::from_slice(body);
    let read = Top { rows: &mut rows, wrong: &mut wrong }.deserialize(&mut text).and_then(|shape| {
        text.end()?;
        Ok(shape)
    });
    match read {
        Ok(shape) => {
            let mut batch = rows.finish()?;
            // Without columns, nothing else says how many rows there are.
            if form.schema().is_empty() {
                batch.rows = u32::from(shape == Shape::Row);
            }
            Ok((batch, shape))
        }
        Err(error) => Err(wrong.unwrap_or_else(|| {
            RowsError::whole(format!("the body is not JSON as it should be: {error}{}", hint(body, &error)))
        })),
    }
}

/// What Python writes, and JSON does not know.
fn hint(body: &[u8], error: &serde_json::Error) -> &'static str {
    let line = body.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let around = &line[error.column().saturating_sub(4).min(line.len())..(error.column() + 8).min(line.len())];
    let has = |word: &[u8]| around.windows(word.len()).any(|found| found == word);
    if has(b"NaN") || has(b"Infinity") {
        "; JSON has no NaN and no Infinity: write null for a missing value"
    } else {
        ""
    }
}

/// The errors of serde are text; ours say where. They are put aside before serde is told.
fn refuse<E: Error>(aside: &mut Option<RowsError>, error: RowsError) -> E {
    *aside = Some(error);
    E::custom("")
}

struct Top<'b, 'f> {
    rows: &'b mut RowBuilder<'f>,
    wrong: &'b mut Option<RowsError>,
}

impl<'de> DeserializeSeed<'de> for Top<'_, '_> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, an array of objects, or an object of arrays")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Shape, A::Error> {
        let mut number = 0;
        while all.next_element_seed(Row { rows: self.rows, wrong: self.wrong, number })?.is_some() {
            number += 1;
        }
        Ok(Shape::Rows)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Shape, A::Error> {
        let mut row = Row { rows: self.rows, wrong: self.wrong, number: 0 };
        let columns = row.read(map, true)?;
        Ok(if columns { Shape::Columns } else { Shape::Row })
    }
}

/// One row, or all columns.
struct Row<'b, 'f> {
    rows: &'b mut RowBuilder<'f>,
    wrong: &'b mut Option<RowsError>,
    number: usize,
}

impl Row<'_, '_> {
    /// Reads an object, and says whether its values are whole columns.
    fn read<'de, A: MapAccess<'de>>(&mut self, mut map: A, may_be_columns: bool) -> Result<bool, A::Error> {
        let form = self.rows.form;
        let (mut due, mut found, mut columns) = (0, 0, None);
        while let Some(place) = map.next_key_seed(Key { form, due, wrong: self.wrong })? {
            let Place::Column(column) = place else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            due = column + 1;
            let before = self.rows.len(column);
            if before > self.number || columns == Some(true) && before > 0 {
                let error = RowsError::column(&form.field(column).name, None, "it is there twice");
                return Err(refuse(self.wrong, error));
            }
            let cell = Cell { rows: self.rows, wrong: self.wrong, column, may_be_column: may_be_columns };
            let is_column = map.next_value_seed(cell)?;
            if *columns.get_or_insert(is_column) != is_column {
                let problem = "some values are arrays and some are not; write either one row or whole columns";
                return Err(refuse(self.wrong, RowsError::column(&form.field(column).name, None, problem)));
            }
            found += 1;
        }
        let columns = columns.unwrap_or_default();
        if !columns && found < self.rows.width() {
            self.fill_gaps(may_be_columns).map_err(|error| refuse(self.wrong, error))?;
        }
        Ok(columns)
    }

    fn fill_gaps(&mut self, only_row: bool) -> Result<(), RowsError> {
        for column in (0..self.rows.width()).filter(|column| self.rows.len(*column) <= self.number).collect::<Vec<_>>()
        {
            if !self.rows.form.field(column).nullable {
                let row = (!only_row).then_some(self.number as u64);
                return Err(self.rows.form.missing(column, row));
            }
            self.rows.push_missing(column)?;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Row<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object for row {}", self.number)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        self.read(map, false).map(|_| ())
    }
}

/// A column's name.
struct Key<'b> {
    form: &'b Form,
    due: usize,
    wrong: &'b mut Option<RowsError>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Place;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Place, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Place;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a column")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Place, E> {
        match self.form.place(name, self.due) {
            Some(place) => Ok(place),
            None => Err(refuse(self.wrong, self.form.unknown(name))),
        }
    }
}

/// A value, or a whole column of them; says which.
struct Cell<'b, 'f> {
    rows: &'b mut RowBuilder<'f>,
    wrong: &'b mut Option<RowsError>,
    column: usize,
    may_be_column: bool,
}

impl Cell<'_, '_> {
    fn pushed<E: Error>(self, result: Result<(), RowsError>) -> Result<bool, E> {
        match result {
            Ok(()) => Ok(false),
            Err(mut error) => {
                // Of a single row nobody asks which.
                if self.may_be_column && error.row == Some(0) {
                    error.row = None;
                }
                Err(refuse(self.wrong, error))
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Cell<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Cell<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        let pushed = self.rows.push_boolean(self.column, value);
        self.pushed(pushed)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        let pushed = self.rows.push_integer(self.column, value);
        self.pushed(pushed)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        let pushed = match i64::try_from(value) {
            Ok(value) => self.rows.push_integer(self.column, value),
            Err(_) => self.rows.push_large(self.column, value),
        };
        self.pushed(pushed)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        let pushed = self.rows.push_float(self.column, value);
        self.pushed(pushed)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<bool, E> {
        let pushed = self.rows.push_text(self.column, value);
        self.pushed(pushed)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        let pushed = self.rows.push_missing(self.column);
        self.pushed(pushed)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<bool, A::Error> {
        let Self { rows, wrong, column, may_be_column } = self;
        if !may_be_column {
            let error = rows.wrong(column, "an array is not a value");
            return Err(refuse(wrong, error));
        }
        loop {
            let cell = Cell { rows: &mut *rows, wrong: &mut *wrong, column, may_be_column: false };
            match values.next_element_seed(cell)? {
                Some(_) => {}
                None => return Ok(true),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<bool, A::Error> {
        let error = self.rows.wrong(self.column, "an object is not a value");
        self.pushed(Err(error))
    }
}
