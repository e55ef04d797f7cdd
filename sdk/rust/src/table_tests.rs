use super::{Series, Table, Values};
use crate::Failure;

fn sample() -> Table {
    let mut numbers = Series::of_floats("x", vec![1.5, f64::NAN, -0.0]);
    numbers.valid = Some(vec![true, false, true]);
    Table::new(vec![
        numbers,
        Series::of_texts("name", [Some("Ünsal"), None, Some("")]),
        Series::new("kind", Values::Category { codes: vec![1, 0, 1], words: vec!["a".into(), "β".into()] }),
        Series::new("yes", Values::Boolean(vec![true, false, true])),
        Series::new("n", Values::Int64(vec![i64::MIN, 0, i64::MAX])),
    ])
    .unwrap()
}

#[test]
fn a_table_survives_the_way_through_the_contract() {
    let table = sample();
    let read = Table::decode(&table.fields(), &table.encode().unwrap()).unwrap();
    assert_eq!(read.fields(), table.fields());
    assert_eq!(read.column("kind").unwrap(), table.column("kind").unwrap());
    assert_eq!(read.column("name").unwrap().display(0).as_deref(), Some("Ünsal"));
    assert_eq!(read.column("name").unwrap().display(1), None);
    assert!(read.numeric("x").unwrap()[1].is_nan());
    assert_eq!(read.column("n").unwrap().values, Values::Int64(vec![i64::MIN, 0, i64::MAX]));
}

#[test]
fn an_empty_table_survives_too() {
    let table = Table::empty(&sample().fields());
    let read = Table::decode(&table.fields(), &table.encode().unwrap()).unwrap();
    assert_eq!(read.rows(), 0);
    assert_eq!(read.columns().len(), 5);
}

#[test]
fn words_of_another_batch_are_translated_when_rows_are_added() {
    let words = |words: &[&str], codes: Vec<u32>| {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Table::new(vec![Series::new("kind", Values::Category { codes, words })]).unwrap()
    };
    let mut table = words(&["a", "b"], vec![0, 1]);
    table.append(&words(&["c", "a"], vec![1, 0, 0])).unwrap();
    let kind = table.column("kind").unwrap();
    assert_eq!((0..5).map(|row| kind.word(row).unwrap()).collect::<String>(), "abacc");
}

#[test]
fn malformed_columns_are_refused_and_not_trusted() {
    let table = sample();
    let fields = table.fields();
    let good = table.encode().unwrap();
    for spoil in [
        |batch: &mut crate::Batch| batch.columns[0].values.truncate(23),
        |batch: &mut crate::Batch| batch.columns[1].offsets = None,
        |batch: &mut crate::Batch| batch.columns[1].values[0] = 0xff,
        |batch: &mut crate::Batch| batch.columns[2].values[0] = 9,
        |batch: &mut crate::Batch| batch.columns[3].values.clear(),
        |batch: &mut crate::Batch| batch.rows = 4,
    ] {
        let mut batch = good.clone();
        spoil(&mut batch);
        assert!(matches!(Table::decode(&fields, &batch), Err(Failure::Internal(_))));
    }
}

#[test]
fn a_missing_column_is_named_with_its_neighbour() {
    let failure = sample().column("nane").unwrap_err();
    assert_eq!(failure, Failure::invalid_data("the table has no column `nane`; did you mean `name`?"));
}
