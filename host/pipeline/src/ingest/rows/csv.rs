//! Rows as CSV with a header, by the rules of files: nothing, `NA` and the like are missing values.

use stagewright_core::Batch;

use super::{Form, Place, RowBuilder, RowsError};
use crate::ingest::{
    IngestError, Options,
    guess::is_text,
    source::TextReader,
    tokenize::{Dialect, Record, Tokenizer},
};

const DIALECT: Dialect = Dialect { delimiter: b',', quote: Some(b'"'), comment: None, trim: true };

/// Reads rows.
///
/// # Errors
/// The text is not CSV, or not rows that fit the form.
pub fn from_csv(body: &[u8], form: &Form) -> Result<Batch, RowsError> {
    let text = TextReader::of_bytes("the body", body.to_vec());
    let mut lines = Tokenizer::new(text, DIALECT, 0).map_err(cut)?;
    let mut record = Record::default();
    if !lines.next(&mut record).map_err(cut)? {
        return Err(RowsError::whole("the body is empty: CSV begins with a line of column names"));
    }
    let places = header(&record, form)?;
    let missing = Options::default();
    let mut rows = RowBuilder::new(form);
    let mut number = 0;
    while lines.next(&mut record).map_err(cut)? {
        if record.len() != places.len() {
            let problem = format!("it has {} values where the header has {}", record.len(), places.len());
            return Err(RowsError { row: Some(number), ..RowsError::whole(problem) });
        }
        for (place, (value, quoted)) in places.iter().zip(record.iter()) {
            let Place::Column(column) = *place else { continue };
            let is_missing = missing.is_missing(value) && !(quoted && is_text(form.field(column).column_type));
            if is_missing { rows.push_missing(column) } else { rows.push_written(column, value) }?;
        }
        number += 1;
    }
    rows.finish()
}

fn header(record: &Record, form: &Form) -> Result<Vec<Place>, RowsError> {
    let mut places: Vec<Place> = Vec::new();
    for (name, _) in record.iter() {
        let place = form.place(name, places.len()).ok_or_else(|| form.unknown(name))?;
        if place != Place::Unused && places.contains(&place) {
            return Err(RowsError::column(name, None, "it is there twice"));
        }
        places.push(place);
    }
    for (column, field) in form.schema().fields().iter().enumerate() {
        if !field.nullable && !places.contains(&Place::Column(column)) {
            return Err(form.missing(column, None));
        }
    }
    Ok(places)
}

/// The place in the text is a line there.
fn cut(error: IngestError) -> RowsError {
    RowsError::whole(error.to_string())
}
