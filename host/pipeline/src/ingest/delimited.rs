//! CSV and its relatives.

use std::collections::BTreeSet;

use stagewright_core::{Batch, Field, Schema};

use super::{
    Delimiter, Duplicates, Header, IngestError, Options, Ragged, Scan, TableStream,
    build::BatchBuilder,
    guess::{Guess, Kinds, is_text},
    source::Source,
    tokenize::{Dialect, Record, Tokenizer},
};

/// The delimiters that are tried, in order of preference.
const DELIMITERS: [u8; 5] = [b',', b';', b'\t', b'|', b' '];
/// Lines that are looked at to find the delimiter.
const SAMPLE: usize = 100;
/// No table has more columns.
const MAX_COLUMNS: usize = 1 << 16;

pub(super) fn open(source: &Source, options: &Options) -> Result<TableStream, IngestError> {
    let dialect = dialect(source, options)?;
    let start = || Tokenizer::new(source.text(options)?, dialect, options.skip_lines);
    let mut notes = Vec::new();
    if options.delimiter == Delimiter::Auto && dialect.delimiter != b',' {
        notes.push(format!("values are separated by {:?}", char::from(dialect.delimiter)));
    }

    let mut tokenizer = start()?;
    let (mut first, mut record) = (Record::default(), Record::default());
    if !tokenizer.next(&mut first)? {
        return Err(source.problem("the file is empty: there is neither a header nor a row"));
    }
    if first.len() > MAX_COLUMNS {
        return Err(
            source.problem(format!("{} columns are more than the {MAX_COLUMNS} that a table may have", first.len()))
        );
    }
    let mut more = tokenizer.next(&mut record)?;
    let header = match options.header {
        Header::Present => true,
        Header::Absent => false,
        Header::Auto => !more || !numbers_at_the_same_place(&first, &record),
    };
    let names = names(source, options, header.then_some(&first), first.len(), &mut notes)?;
    let rows = Rows { file: source.name.clone(), names, options: options.clone() };

    let mut guesses = vec![Guess::new(options.categories); rows.names.len()];
    let mut seen = 0;
    let mut look = |record: &Record| -> Result<bool, IngestError> {
        rows.check(record)?;
        for (index, guess) in guesses.iter_mut().enumerate() {
            match rows.value(record, index) {
                Value::Missing => guess.see_missing(1),
                Value::QuotedMissing(word) => guess.see_quoted_missing(word),
                Value::Text(text) => guess.see_text(text),
            }
        }
        seen += 1;
        Ok(match options.scan {
            Scan::All => true,
            Scan::First(rows) => seen < rows,
        })
    };
    let mut looking = header || look(&first)?;
    while more && looking {
        looking = look(&record)?;
        more = tokenizer.next(&mut record)?;
    }
    let unseen = more;
    for name in options.types.keys() {
        if !rows.names.contains(name) {
            return Err(source.problem(format!("a type is given for column `{name}`, which the file does not have")));
        }
    }
    let fields = rows.names.iter().zip(&guesses).map(|(name, guess)| {
        let column_type = options.types.get(name).copied().unwrap_or_else(|| guess.column_type());
        Field::new(name, column_type, unseen || guess.has_gaps(column_type))
    });
    let table = |error| IngestError::Table { file: source.name.clone(), source: error };
    let schema = Schema::new(fields.collect()).map_err(table)?;

    let mut tokenizer = start()?;
    if header {
        tokenizer.next(&mut record)?;
    }
    let batches = Batches { builder: BatchBuilder::new(&schema), rows, tokenizer, record, ended: false };
    Ok(TableStream::new(&source.name, schema, notes, batches))
}

/// What the user said, completed by what the first lines look like.
fn dialect(source: &Source, options: &Options) -> Result<Dialect, IngestError> {
    // `Options::check` has seen to it that these are ASCII.
    let byte = |character: char| character as u8;
    let mut dialect = Dialect {
        delimiter: b',',
        quote: options.quote.map(byte),
        comment: options.comment.map(byte),
        trim: options.trim,
    };
    if let Delimiter::Is(delimiter) = options.delimiter {
        dialect.delimiter = byte(delimiter);
        return Ok(dialect);
    }
    let mut best = (0, b',');
    for delimiter in DELIMITERS {
        let tried = Dialect { delimiter, ..dialect };
        let mut tokenizer = Tokenizer::new(source.text(options)?, tried, options.skip_lines)?;
        let score = evenness(&mut tokenizer, delimiter == b' ');
        if score > best.0 {
            best = (score, delimiter);
        }
    }
    dialect.delimiter = best.1;
    Ok(dialect)
}

/// How many of a thousand lines have as many values as the first; 0 where that has just one.
fn evenness(tokenizer: &mut Tokenizer, strict: bool) -> usize {
    let mut record = Record::default();
    let (mut width, mut even, mut lines) = (0, 0, 0);
    // A mistake ends the sample; reading in earnest will report it.
    while lines < SAMPLE && matches!(tokenizer.next(&mut record), Ok(true)) {
        if lines == 0 {
            width = record.len();
        }
        lines += 1;
        even += usize::from(record.len() == width);
    }
    // Sentences hold blanks, too: only perfectly even lines of many values are separated by them.
    let unlikely = strict && (even < lines || width < 3);
    if width < 2 || unlikely { 0 } else { even * 1000 / lines }
}

fn numbers_at_the_same_place(first: &Record, second: &Record) -> bool {
    let number = |(text, _): (&str, bool)| Kinds::of(text) == Kinds::INTEGER || Kinds::of(text) == Kinds::FLOAT;
    first.iter().zip(second.iter()).any(|(above, below)| number(above) && number(below))
}

fn names(
    source: &Source,
    options: &Options,
    header: Option<&Record>,
    width: usize,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, IngestError> {
    let mut names: Vec<String> = match (&options.names, header) {
        (Some(names), _) if names.len() != width => {
            return Err(IngestError::Options(format!(
                "{} names are given, but the first line has {width} values",
                names.len()
            )));
        }
        (Some(names), _) => names.clone(),
        (None, Some(header)) => header.iter().map(|(name, _)| name.to_owned()).collect(),
        (None, None) => vec![String::new(); width],
    };
    let given: BTreeSet<String> = names.iter().cloned().collect();
    let mut taken = BTreeSet::new();
    for (index, name) in names.iter_mut().enumerate() {
        if name.is_empty() {
            *name = format!("column_{}", index + 1);
        }
        if taken.contains(name.as_str()) {
            if options.duplicates == Duplicates::Error {
                return Err(source.problem(format!("two columns are named `{name}`; rename one, or give all names")));
            }
            let free = (1..).map(|n| format!("{name}.{n}")).find(|free| !taken.contains(free) && !given.contains(free));
            let free = free.expect("there are more numbers than columns");
            notes.push(format!("column {} is a second `{name}` and is called `{free}`", index + 1));
            *name = free;
        }
        taken.insert(name.clone());
    }
    Ok(names)
}

/// What every row is measured against.
struct Rows {
    file: String,
    names: Vec<String>,
    options: Options,
}

enum Value<'a> {
    Missing,
    QuotedMissing(&'a str),
    Text(&'a str),
}

impl Rows {
    fn check(&self, record: &Record) -> Result<(), IngestError> {
        let (width, expected) = (record.len(), self.names.len());
        let surplus_is_empty = || (expected..width).all(|index| record.get(index).0.is_empty());
        if width == expected || self.options.ragged == Ragged::Pad && (width < expected || surplus_is_empty()) {
            return Ok(());
        }
        let counted = if width == 1 { "1 value".to_owned() } else { format!("{width} values") };
        let hint = if width < expected || surplus_is_empty() { "; pad with --ragged pad" } else { "" };
        let problem = format!("{counted} where the first line has {expected}{hint}");
        Err(IngestError::Line { file: self.file.clone(), line: record.line, problem })
    }

    fn value<'a>(&self, record: &'a Record, index: usize) -> Value<'a> {
        if index >= record.len() {
            return Value::Missing;
        }
        match record.get(index) {
            (text, _) if !self.options.is_missing(text) => Value::Text(text),
            (text, true) => Value::QuotedMissing(text),
            (_, false) => Value::Missing,
        }
    }
}

struct Batches {
    builder: BatchBuilder,
    rows: Rows,
    tokenizer: Tokenizer,
    record: Record,
    ended: bool,
}

impl Batches {
    fn read(&mut self) -> Result<Option<Batch>, IngestError> {
        while !self.ended && !self.builder.is_full() {
            if !self.tokenizer.next(&mut self.record)? {
                self.ended = true;
                break;
            }
            self.rows.check(&self.record)?;
            for index in 0..self.rows.names.len() {
                let column_type = self.builder.column_type(index);
                let value = match self.rows.value(&self.record, index) {
                    Value::Text(text) => Some(text),
                    Value::QuotedMissing(text) if is_text(column_type) => Some(text),
                    Value::QuotedMissing(_) | Value::Missing => None,
                };
                self.builder.push(index, value).map_err(|_| IngestError::Cell {
                    file: self.rows.file.clone(),
                    line: self.record.line,
                    column: self.rows.names[index].clone(),
                    problem: unfit(value.unwrap_or_default(), column_type.as_str()),
                })?;
            }
            self.builder.end_row();
        }
        Ok(self.builder.take())
    }
}

/// Says that a value is not of its column's type, without flooding the terminal.
pub(super) fn unfit(value: &str, column_type: &str) -> String {
    let shown: String = value.chars().take(80).collect();
    let cut = if shown.len() < value.len() { "…" } else { "" };
    format!("{shown:?}{cut} is not {column_type}; read the column as text with --type")
}

impl Iterator for Batches {
    type Item = Result<Batch, IngestError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
