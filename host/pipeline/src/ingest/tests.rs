use std::{collections::BTreeMap, io::Write as _};

use proptest::prelude::*;
use stagewright_core::{
    ColumnType::{self, *},
    Field,
};

use super::{export::Cell, export::cell, *};

fn read_as(name: &str, bytes: &[u8], options: &Options) -> Result<(Schema, Batch), IngestError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    whole(open_file(name, file, options)?)
}

fn read(bytes: impl AsRef<[u8]>) -> Result<(Schema, Batch), IngestError> {
    read_as("data.csv", bytes.as_ref(), &Options::default())
}

fn whole(stream: TableStream) -> Result<(Schema, Batch), IngestError> {
    let schema = stream.schema().clone();
    let batches = stream.collect::<Result<Vec<_>, _>>()?;
    let batch = Batch::concat(&schema, &batches);
    Ok((schema, batch))
}

fn error(bytes: impl AsRef<[u8]>) -> String {
    read(bytes).unwrap_err().to_string()
}

fn types(bytes: &str) -> Vec<ColumnType> {
    read(bytes).unwrap().0.fields().iter().map(|field| field.column_type).collect()
}

fn rows((schema, batch): &(Schema, Batch)) -> Vec<Vec<Option<String>>> {
    let columns = || schema.fields().iter().zip(&batch.columns);
    let shown = |value: Cell<'_>| match value {
        Cell::Missing => None,
        Cell::Boolean(value) => Some(value.to_string()),
        Cell::Integer(value) => Some(value.to_string()),
        Cell::Float(value) => Some(value.to_string()),
        Cell::Time(value) => Some(export::time(value)),
        Cell::Text(value) => Some(value.to_owned()),
    };
    (0..batch.rows as usize).map(|row| columns().map(|(f, column)| shown(cell(f, column, row))).collect()).collect()
}

fn first_row(bytes: &str) -> Vec<String> {
    rows(&read(bytes).unwrap())[0].iter().map(|value| value.clone().unwrap_or_else(|| "-".to_owned())).collect()
}

fn names(schema: &Schema) -> Vec<&str> {
    schema.fields().iter().map(|field| field.name.as_str()).collect()
}

#[test]
fn types_are_what_the_values_look_like() {
    assert_eq!(
        types("a,b,c,d\n1,1.5,true,2024-02-29\n-2,1e5,FALSE,2024-01-01T00:00:00+01:00\n"),
        [Int64, Float64, Boolean, Timestamp]
    );
    assert_eq!(types("code,phone,big,mixed\n007,+49123,99999999999999999999,1\n8,1,1,x\n"), [Text; 4]);
    assert_eq!(types("a,b,c\n1,,x\n2.5,,x\n"), [Float64, Text, Category]);
    assert_eq!(first_row("a,b\n2024-01-01T00:00:00+01:00,1\n"), ["2023-12-31T23:00:00Z", "1"]);
}

#[test]
fn blanks_around_values_are_dropped_but_not_within_quotes() {
    assert_eq!(first_row("a, b ,c\n 1 , x ,\" y \"\n"), ["1", "x", " y "]);
}

#[test]
fn a_quoted_word_is_text_where_a_bare_one_is_missing() {
    let table = read("name,age\nNA,\"NA\"\n\"NA\",3\n\"\",4\n").unwrap();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(rows(&table), [vec![None, None], vec![some("NA"), some("3")], vec![some(""), some("4")]]);
}

#[test]
fn every_line_end_and_blank_lines_are_understood() {
    for text in ["a,b\n1,2\n\n3,4", "a,b\r\n1,2\r\n\r\n3,4\r\n", "a,b\r1,2\r\r3,4\r"] {
        assert_eq!(read(text).unwrap().1.rows, 2, "{text:?}");
    }
}

#[test]
fn delimiters_are_found() {
    assert_eq!(first_row("a;b\n1,5;x\n2,5;y\n"), ["1,5", "x"]);
    assert_eq!(first_row("a\tb\n1, 2\tx\n"), ["1, 2", "x"]);
    assert_eq!(first_row("a|b\n1|x\n"), ["1", "x"]);
    assert_eq!(first_row("note\na few words\n"), ["a few words"]);
}

#[test]
fn encodings_are_found_by_their_mark_or_named() {
    let text = "größe\n3\n";
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    for bytes in [text.as_bytes(), &[&[0xef, 0xbb, 0xbf], text.as_bytes()].concat(), &utf16] {
        assert_eq!(names(&read(bytes).unwrap().0), ["größe"]);
    }
    let latin = Options { encoding: Encoding::Label("latin1".to_owned()), ..Options::default() };
    assert_eq!(names(&read_as("x", b"gr\xf6\xdfe\n3\n", &latin).unwrap().0), ["größe"]);
    assert_eq!(
        error(b"a\nb\ngr\xf6\xdfe\n"),
        "data.csv, line 3: byte 6 of the text is not UTF-8; name the encoding, as in --encoding latin1"
    );
    assert_eq!(
        error(&utf16[2..]),
        "data.csv: every other byte is zero, as in UTF-16; say so with --encoding utf-16le (or utf-16be)"
    );
}

#[test]
fn mistakes_are_named_with_their_line() {
    assert_eq!(error(""), "data.csv: the file is empty: there is neither a header nor a row");
    assert_eq!(error("a,b\n1,2\n3\n"), "data.csv, line 3: 1 value where the first line has 2; pad with --ragged pad");
    assert_eq!(error("a,b\n1,2\n3,4,5\n"), "data.csv, line 3: 3 values where the first line has 2");
    assert_eq!(
        error("a,b\n1,2\n3,\"x\n5,6\n"),
        "data.csv, line 3: a quote opens here and is never closed; close it, or read quotes as plain text with --quote none"
    );
    assert_eq!(
        error("a,b\n\"x\"y,2\n"),
        "data.csv, line 2: text follows the closing quote of value 1; double quotes inside quoted values, or read quotes \
         as plain text with --quote none"
    );
    let typed = Options { types: BTreeMap::from([("age".to_owned(), Int64)]), ..Options::default() };
    assert_eq!(
        read_as("d.csv", b"age\n3\n\nfour\n", &typed).unwrap_err().to_string(),
        "d.csv, line 4, column `age`: \"four\" is not int64; read the column as text with --type"
    );
    assert_eq!(error(b"PK\x03\x04...."), "data.csv: this is a zip archive or a spreadsheet; unpack it first");
}

#[test]
fn a_header_alone_is_a_table_without_rows() {
    let (schema, batch) = read("a,b\n").unwrap();
    assert_eq!((names(&schema), batch.rows), (vec!["a", "b"], 0));
}

#[test]
fn names_that_occur_twice_are_renamed_with_a_note() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"x,x,x.1,\n1,2,3,4\n").unwrap();
    let stream = open_file("d.csv", file, &Options::default()).unwrap();
    assert_eq!(names(stream.schema()), ["x", "x.2", "x.1", "column_4"]);
    assert_eq!(stream.notes(), ["column 2 is a second `x` and is called `x.2`"]);
}

#[test]
fn short_lines_are_padded_where_that_is_wanted() {
    let pad = Options { ragged: Ragged::Pad, ..Options::default() };
    let table = read_as("d.csv", b"a,b\n1\n2,3,\n", &pad).unwrap();
    assert_eq!(rows(&table), [vec![Some("1".to_owned()), None], vec![Some("2".to_owned()), Some("3".to_owned())]]);
}

#[test]
fn lines_in_front_and_comments_are_skipped() {
    let options = Options { skip_lines: 1, comment: Some('#'), header: Header::Auto, ..Options::default() };
    let (schema, batch) = read_as("d", b"a \"title\n# note\n1,2\n3,4\n", &options).unwrap();
    assert_eq!((names(&schema), batch.rows), (vec!["column_1", "column_2"], 2));
}

#[test]
fn json_lines_are_flattened_and_widened() {
    let text = r#"{"b":1,"a":{"x":true,"y":[1,2]},"id":"007"}
{"b":2.5,"a":{"x":null},"late":"2024-01-01","id":"8"}
"#;
    let table = read_as("d.jsonl", text.as_bytes(), &Options::default()).unwrap();
    assert_eq!(names(&table.0), ["b", "a.x", "a.y", "id", "late"]);
    let found: Vec<_> = table.0.fields().iter().map(|field| (field.column_type, field.nullable)).collect();
    assert_eq!(found, [(Float64, false), (Boolean, true), (Text, true), (Text, false), (Timestamp, true)]);
    assert_eq!(
        rows(&table)[0],
        [Some("1"), Some("true"), Some("[1,2]"), Some("007"), None].map(|v| v.map(str::to_owned))
    );
    let wrong = read_as("d.jsonl", b"{\"a\":1}\n{\"a\":", &Options::default()).unwrap_err().to_string();
    assert_eq!(wrong, "d.jsonl, line 2: not a JSON object at character 5: EOF while parsing a value");
    let list = read_as("d.json", b"[1]", &Options::default()).unwrap_err().to_string();
    assert!(list.ends_with("a JSON list is not JSON lines: write one object a line"), "{list}");
}

#[test]
fn truncated_gzip_is_named() {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    (0..50_000).for_each(|n| writeln!(packer, "{n},{}", n * 7919 % 10_007).unwrap());
    let packed = packer.finish().unwrap();
    let absent = Options { header: Header::Absent, ..Options::default() };
    assert_eq!(read_as("d.csv.gz", &packed, &absent).unwrap().1.rows, 50_000);
    let cut = read_as("d.csv.gz", &packed[..packed.len() / 2], &absent).unwrap_err().to_string();
    assert!(cut.starts_with("d.csv.gz: the gzip data is cut short or damaged after line "), "{cut}");
}

fn sample() -> (Schema, Batch) {
    read("flag,count,ratio,when,note,group\ntrue,1,0.5,2024-01-01T01:02:03.5Z,\"a,b\",x\n,,,,,\nfalse,-7,1e300,1969-12-31,\"\",x\n").unwrap()
}

fn write(table: &(Schema, Batch), format: Export) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(export("out", &table.0, [Ok(table.1.clone())], format, &mut out).unwrap(), u64::from(table.1.rows));
    out
}

#[test]
fn every_format_reads_back_what_it_wrote() {
    let table = sample();
    for (format, name) in [
        (Export::Csv, "t.csv"),
        (Export::JsonLines, "t.jsonl"),
        (Export::Parquet, "t.parquet"),
        (Export::ArrowIpc, "t.arrow"),
    ] {
        let again = read_as(name, &write(&table, format), &Options::default()).unwrap();
        assert_eq!(again.0, table.0, "{name}");
        assert_eq!(rows(&again), rows(&table), "{name}");
    }
}

#[test]
fn truncated_and_damaged_columnar_files_are_errors_or_tables() {
    for format in [Export::Parquet, Export::ArrowIpc] {
        let bytes = write(&sample(), format);
        for length in 0..bytes.len() {
            let name = if format == Export::Parquet { "t.parquet" } else { "t.arrow" };
            let cut = read_as(name, &bytes[..length], &Options::default());
            assert!(cut.is_err() || format == Export::ArrowIpc, "{format:?} of {length} bytes");
        }
    }
}

proptest! {
    #[test]
    fn a_csv_of_any_text_reads_back_the_same(
        names in prop::collection::btree_set("\\PC{1,6}", 1..4),
        seed in prop::collection::vec(prop::collection::vec(prop::option::of(any::<String>()), 3), 0..8),
    ) {
        let fields = names.iter().map(|name| Field::new(name.as_str(), Text, true)).collect();
        let schema = Schema::new(fields).unwrap();
        let mut builder = build::BatchBuilder::new(&schema);
        for row in &seed {
            (0..names.len()).for_each(|column| builder.push(column, row[column].as_deref()).unwrap());
            builder.end_row();
        }
        let table = (schema, builder.take().unwrap_or_default());
        let types = names.iter().map(|name| (name.clone(), Text)).collect();
        let options = Options { types, delimiter: Delimiter::Is(','), ..Options::default() };
        let again = read_as("t.csv", &write(&table, Export::Csv), &options).unwrap();
        prop_assert_eq!(names.iter().collect::<Vec<_>>(), super::tests::names(&again.0));
        prop_assert_eq!(rows(&again), rows(&table));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), name in "a\\.(csv|jsonl|parquet|arrow)") {
        let _ = read_as(&name, &bytes, &Options::default());
    }
}

mod public;
