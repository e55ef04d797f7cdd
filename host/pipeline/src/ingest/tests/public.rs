//! Real and wilfully broken files of other projects, against what pandas and pyarrow made of them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::*;

/// The folder of public data beside the repository; none, with a line that says so, where there is no such folder.
fn shared(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(folder);
    if !path.exists() {
        writeln!(std::io::stderr(), "skipped: {} is absent", path.display()).unwrap();
        return None;
    }
    Some(path)
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
    found.sort();
}

fn reference(name: &str) -> Option<Value> {
    Some(serde_json::from_slice(&fs::read(shared("reference")?.join(name)).unwrap()).unwrap())
}

/// Opens every file of the folder and compares rows (and columns, where told) with what pandas or pyarrow found.
fn survey(folder: &str) -> Option<(usize, usize, Vec<String>)> {
    let root = shared(folder)?;
    let reference = reference(&format!("{folder}.json"))?;
    let (mut accepted, mut refused, mut differing) = (0, 0, Vec::new());
    let mut found = Vec::new();
    files(&root, &mut found);
    for path in found {
        let inside = path.strip_prefix(&root).unwrap().display();
        let expected = &reference["files"][format!("{folder}/{inside}")];
        match open(&path, &Options::default()).and_then(whole) {
            Ok((schema, batch)) => {
                accepted += 1;
                let of = |who: &str| (expected[who]["rows"].as_u64(), expected[who]["columns"].as_u64());
                let ours = (Some(u64::from(batch.rows)), Some(schema.len() as u64));
                let same = match folder {
                    "parquet" => expected["rows"].is_null() || expected["rows"].as_u64() == ours.0,
                    _ => expected.is_null() || [of("pandas"), of("pyarrow")].contains(&ours),
                };
                if !same {
                    differing.push(format!("{inside}: {} rows of {} columns", batch.rows, schema.len()));
                }
            }
            Err(error) => {
                refused += 1;
                let text = error.to_string();
                assert!(text.contains(path.to_str().unwrap()), "{text}");
                if expected["pandas"]["rows"].is_u64() || expected["rows"].is_u64() {
                    let said =
                        text.strip_prefix(&path.display().to_string()).unwrap().trim_start_matches([',', ':', ' ']);
                    let said = said.split("; double quotes").next().unwrap();
                    differing.push(format!("{inside}: {said}"));
                }
            }
        }
    }
    Some((accepted, refused, differing))
}

#[test]
fn every_dirty_file_is_a_table_or_a_named_error() {
    let Some((accepted, refused, differing)) = survey("dirty") else { return };
    let reasons = [
        "csvkit/bad.csv: line 2: 4 values where the first line has 3",
        "csvkit/bad_skip_lines.csv: line 5: 4 values where the first line has 3",
        "csvkit/dummy.csv.bz2: this is bzip2 data; unpack it first",
        "csvkit/dummy.tsv: 1 rows of 3 columns",
        "csvkit/join_a_short.csv: line 2: 2 values where the first line has 3; pad with --ragged pad",
        "csvkit/sniff_limit.csv: 1 rows of 3 columns",
        "csvkit/test_empty_columns.csv: line 3: 4 values where the first line has 5; pad with --ragged pad",
        "csvkit/test_empty_columns_long_row.csv: line 2: 4 values where the first line has 3; pad with --ragged pad",
        "csvkit/test_empty_columns_short_row.csv: line 2: 2 values where the first line has 3; pad with --ragged pad",
        "csvkit/test_extra_header.csv: line 2: 3 values where the first line has 4; pad with --ragged pad",
        "csvkit/test_join_short_rows.csv: line 2: 2 values where the first line has 3; pad with --ragged pad",
        "csvlint/invalid_many_rows.csv: line 4: text follows the closing quote of value 3",
        "frictionless/accent.csv: 2 rows of 17 columns",
        "frictionless/dialect.csv: line 3: 3 values where the first line has 2",
        "frictionless/escaping.csv: line 4: text follows the closing quote of value 2",
        "frictionless/matrix-with-comment.csv: line 2: 4 values where the first line has 1",
        "frictionless/skip-blank-at-the-end.csv: line 2: 1 value where the first line has 2; pad with --ragged pad",
        "frictionless/skip-rows.csv: line 2: 2 values where the first line has 1",
        "frictionless/table.tsv: 3 rows of 2 columns",
    ];
    assert_eq!((accepted, refused), (120, 35));
    assert_eq!(differing, reasons);
}

#[test]
fn every_parquet_file_is_a_table_or_a_named_error() {
    let Some((accepted, refused, differing)) = survey("parquet") else { return };
    let reasons = [
        "arrow-testing/parquet/ARROW-17100.parquet: the rows behind row 0 cannot be read: Parquet argument error: EOF: \
         eof decoding byte array",
        // Readers that leave checksums alone return these two.
        "parquet-testing/data/datapage_v1-corrupt-checksum.parquet: the rows behind row 0 cannot be read: Parquet \
         argument error: Parquet error: Page CRC checksum mismatch",
        "parquet-testing/data/dict-page-offset-zero.parquet: not a readable Parquet file, perhaps cut short: Parquet \
         argument error: Parquet error: Expected list element type of I64 but got I16",
        "parquet-testing/data/nation.dict-malformed.parquet: the rows behind row 0 cannot be read: Parquet argument \
         error: EOF: Invalid page header",
        "parquet-testing/data/repeated_no_annotation.parquet: the file says it has 6 rows, but 0 could be read",
        "parquet-testing/data/rle-dict-uncompressed-corrupt-checksum.parquet: the rows behind row 0 cannot be read: \
         Parquet argument error: Parquet error: Page CRC checksum mismatch",
    ];
    assert_eq!((accepted, refused), (69, 11));
    assert_eq!(differing, reasons);
}

#[test]
fn csv_spectrum_is_read_cell_for_cell() {
    let Some(folder) = shared("dirty/csv-spectrum") else { return };
    let mut found = Vec::new();
    files(&folder, &mut found);
    let (csvs, jsons): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|path| path.extension().is_some_and(|e| e == "csv"));
    let mut compared = 0;
    for csv in csvs {
        let Some(json) =
            jsons.iter().find(|json| json.file_stem() == csv.file_stem() && json.extension() != csv.extension())
        else {
            continue;
        };
        let expected: Vec<BTreeMap<String, String>> = match serde_json::from_slice(&fs::read(json).unwrap()).unwrap() {
            Value::Array(rows) => rows.into_iter().map(|row| serde_json::from_value(row).unwrap()).collect(),
            only => vec![serde_json::from_value(only).unwrap()],
        };
        let keep = Options { trim: false, missing: Vec::new(), ..Options::default() };
        let table = open(&csv, &keep).and_then(whole).unwrap();
        let ours = rows(&table).into_iter().map(|row| {
            let cells = names(&table.0).into_iter().zip(row);
            cells.map(|(name, value)| (name.to_owned(), value.unwrap_or_default())).collect()
        });
        let mut ours: Vec<BTreeMap<String, String>> = ours.collect();
        if csv.ends_with("location_coordinates.csv") {
            // The two files of the project differ here.
            assert_eq!(
                ours[0].insert("Contact Phone Number".to_owned(), "1234567890".to_owned()).unwrap(),
                "2095257564"
            );
        }
        assert_eq!(ours, expected, "{}", csv.display());
        compared += 1;
    }
    assert_eq!(compared, 12);
}

#[test]
fn the_adult_census_profiles_as_in_pandas() {
    let (Some(folder), Some(reference)) = (shared("adult"), reference("profile.json")) else { return };
    let fields = reference["sets"]["adult"]["fields"].as_object().unwrap();
    let order = "age workclass fnlwgt education education-num marital-status occupation relationship race sex \
                 capital-gain capital-loss hours-per-week native-country income";
    let named: Vec<String> = order.split_whitespace().map(str::to_owned).collect();
    let mut options = Options { header: Header::Absent, names: Some(named), ..Options::default() };
    let mut profiler = None;
    for (file, comment) in [("adult.data.gz", None), ("adult.test.gz", Some('|'))] {
        options.comment = comment;
        let stream = open(&folder.join(file), &options).unwrap();
        let profiler = profiler.get_or_insert_with(|| Profiler::new(stream.schema().clone()));
        stream.for_each(|batch| profiler.push(&batch.unwrap()));
    }
    let mut compared = 0;
    for column in profiler.unwrap().finish() {
        assert_eq!(column.rows, 48_842);
        let Some(expected) = fields.get(&column.name).filter(|_| column.name != "income") else { continue };
        assert_eq!(column.missing, expected["missing"], "{}", column.name);
        assert_eq!(column.distinct, expected["distinct"].as_u64(), "{}", column.name);
        match column.mean {
            Some(mean) => {
                let of = |key: &str| expected[key].as_f64().unwrap();
                assert!((mean - of("mean")).abs() <= 1e-9 * of("mean"), "{}", column.name);
                assert_eq!(column.min.unwrap().as_f64(), Some(of("min")));
                assert_eq!(column.max.unwrap().as_f64(), Some(of("max")));
            }
            None => assert_eq!(serde_json::to_value(&column.top).unwrap(), expected["top"], "{}", column.name),
        }
        compared += 1;
    }
    assert_eq!(compared, 14);
}

#[test]
fn messages_with_literal_quotes_are_read_whole() {
    let Some(folder) = shared("sms_spam") else { return };
    let names = Some(vec!["label".to_owned(), "message".to_owned()]);
    let options = Options { header: Header::Absent, quote: None, names, ..Options::default() };
    let (schema, batch) = open(&folder.join("SMSSpamCollection"), &options).and_then(whole).unwrap();
    let types: Vec<_> = schema.fields().iter().map(|field| field.column_type).collect();
    assert_eq!((batch.rows, types), (5574, vec![Category, Text]));
}
