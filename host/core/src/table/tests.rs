use proptest::prelude::*;

use super::*;

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("flag", ColumnType::Boolean, true),
        Field::new("count", ColumnType::Int64, true),
        Field::new("ratio", ColumnType::Float64, true),
        Field::new("when", ColumnType::Timestamp, true),
        Field::new("note", ColumnType::Text, true),
        Field::new("group", ColumnType::Category, true),
    ])
    .unwrap()
}

type Row = (Option<bool>, Option<i64>, Option<f64>, Option<i64>, Option<String>, Option<u32>);

const WORDS: [&str; 3] = ["north", "", "süd"];

fn batch(rows: &[Row]) -> Batch {
    fn fixed<T, const N: usize>(values: impl Iterator<Item = Option<T>>, bytes: impl Fn(T) -> [u8; N]) -> Column {
        let (mut validity, mut out) = (Bits::new(), Vec::new());
        for value in values {
            validity.push(value.is_some());
            out.extend(value.map_or([0xaa; N], &bytes));
        }
        Column { values: out, validity: Some(validity.into_bytes()), ..Column::default() }
    }
    let mut text = Column { offsets: Some(vec![0; 4]), ..Column::default() };
    for row in rows {
        text.values.extend_from_slice(row.4.as_deref().unwrap_or("gap").as_bytes());
        text.offsets.as_mut().unwrap().extend((text.values.len() as u32).to_le_bytes());
    }
    text.validity = Some(rows.iter().map(|row| row.4.is_some()).collect::<Bits>().into_bytes());
    let mut group = fixed(rows.iter().map(|row| row.5), u32::to_le_bytes);
    group.words = Some(WORDS.map(str::to_owned).to_vec());
    Batch {
        rows: rows.len() as u32,
        columns: vec![
            Column {
                values: rows.iter().map(|row| row.0.unwrap_or(true)).collect::<Bits>().into_bytes(),
                validity: Some(rows.iter().map(|row| row.0.is_some()).collect::<Bits>().into_bytes()),
                ..Column::default()
            },
            fixed(rows.iter().map(|row| row.1), i64::to_le_bytes),
            fixed(rows.iter().map(|row| row.2), f64::to_le_bytes),
            fixed(rows.iter().map(|row| row.3), i64::to_le_bytes),
            text,
            group,
        ],
    }
}

fn rows(max: usize) -> impl Strategy<Value = Vec<Row>> {
    let row = (
        any::<Option<bool>>(),
        any::<Option<i64>>(),
        prop_oneof![Just(None), Just(Some(f64::NAN)), any::<f64>().prop_map(Some)],
        any::<Option<i64>>(),
        prop::option::of("[a-zü]{0,4}"),
        prop::option::of(0..WORDS.len() as u32),
    );
    prop::collection::vec(row, 0..max)
}

proptest! {
    #[test]
    fn encoding_reads_back_what_it_wrote(rows in rows(40)) {
        let batch = batch(&rows);
        batch.check(&schema()).unwrap();
        prop_assert_eq!(Batch::decode(&batch.encode()).unwrap(), batch);
    }

    #[test]
    fn slices_put_together_again_are_the_whole(rows in rows(40), at in 0..40usize) {
        let (schema, batch) = (schema(), batch(&rows));
        let at = at.min(rows.len());
        let parts = [batch.slice(&schema, 0..at), batch.slice(&schema, at..rows.len())];
        parts.iter().for_each(|part| part.check(&schema).unwrap());
        let whole = Batch::concat(&schema, &parts);
        whole.check(&schema).unwrap();
        prop_assert_eq!(whole.canonical(&schema).encode(), batch.canonical(&schema).encode());
    }

    #[test]
    fn canonical_form_is_stable_and_still_fits(rows in rows(40)) {
        let once = batch(&rows).canonical(&schema());
        once.check(&schema()).unwrap();
        prop_assert_eq!(once.clone().canonical(&schema()), once);
    }

    #[test]
    fn damaged_bytes_never_panic(rows in rows(8), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = batch(&rows).encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(batch) = Batch::decode(&bytes) && batch.check(&schema()).is_ok() {
            batch.canonical(&schema());
        }
        let _ = Batch::decode(&bytes[..at]);
    }
}

fn numbers(range: std::ops::Range<i64>) -> Batch {
    let values = range.clone().flat_map(i64::to_le_bytes).collect();
    Batch { rows: range.count() as u32, columns: vec![Column { values, ..Column::default() }] }
}

fn cut(parts: &[Batch]) -> Vec<Vec<u8>> {
    let schema = Schema::new(vec![Field::new("n", ColumnType::Int64, false)]).unwrap();
    let mut cutter = Cutter::new(schema);
    let mut cut: Vec<Batch> = parts.iter().flat_map(|part| cutter.push(part)).collect();
    cut.extend(cutter.finish());
    cut.iter().map(Batch::encode).collect()
}

#[test]
fn the_cuts_do_not_depend_on_how_rows_arrive() {
    let whole = cut(&[numbers(0..100_000)]);
    assert!(whole.len() > 5, "{} batches", whole.len());
    assert_eq!(whole, cut(&[numbers(0..17), numbers(17..60_000), numbers(60_000..100_000)]));
}

#[test]
fn appended_and_inserted_rows_leave_the_other_batches_alone() {
    let before = cut(&[numbers(0..100_000)]);
    let appended = cut(&[numbers(0..100_010)]);
    assert_eq!(before[..before.len() - 1], appended[..before.len() - 1]);
    let inserted = cut(&[numbers(0..50_000), numbers(-1..0), numbers(50_000..100_000)]);
    let shared = inserted.iter().filter(|batch| before.contains(batch)).count();
    assert!(shared + 2 >= before.len(), "{shared} of {} shared", before.len());
}

#[test]
fn a_batch_that_lies_is_named() {
    let schema = Schema::new(vec![Field::new("age", ColumnType::Int64, false)]).unwrap();
    let short = Batch { rows: 2, columns: vec![Column { values: vec![0; 8], ..Column::default() }] };
    assert_eq!(
        short.check(&schema).unwrap_err().to_string(),
        "column `age` (int64): values holds 8 bytes where 2 rows need 16"
    );
    let text = Schema::new(vec![Field::new("name", ColumnType::Text, false)]).unwrap();
    let column = |values: &[u8], offsets: [u32; 2]| Batch {
        rows: 1,
        columns: vec![Column {
            values: values.to_vec(),
            offsets: Some(offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect()),
            ..Column::default()
        }],
    };
    for (batch, problem) in [
        (column(b"ab", [0, 9]), "offset 1 is 9, which is no character boundary of 2 bytes"),
        (column(b"ab", [1, 2]), "the first offset is 1, not 0"),
        (column(b"ab", [0, 1]), "the last offset is 1, but the values hold 2 bytes"),
        (column(b"\xff", [0, 1]), "not UTF-8 at byte 0"),
    ] {
        assert_eq!(batch.check(&text).unwrap_err().to_string(), format!("column `name` (text): {problem}"));
    }
}
