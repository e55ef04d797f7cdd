use super::Encoding;
use crate::{Failure, Series, Table, Values};

fn table() -> Table {
    Table::new(vec![
        Series::of_texts("colour", [Some("red"), Some("blue"), None]),
        Series::new("age", Values::Int64(vec![1, 2, 4])),
        Series::new("member", Values::Boolean(vec![true, false, true])),
    ])
    .unwrap()
}

fn encoding() -> Encoding {
    Encoding::learn(&table().columns().iter().collect::<Vec<_>>()).unwrap()
}

#[test]
fn numbers_stand_before_the_constant_and_indicators_behind_it() {
    assert_eq!(encoding().names(), ["age", "", "colour=blue", "colour=red", "member"]);
    let sums = encoding().apply(&table()).unwrap().times(&[100.0, 1000.0, 1.0, 2.0, 4.0]);
    assert_eq!(sums, [1106.0, 1201.0, 1404.0]);
}

#[test]
fn an_unseen_word_adds_nothing() {
    let row = Table::new(vec![
        Series::of_texts("colour", [Some("green")]),
        Series::of_floats("age", vec![0.5]),
        Series::new("member", Values::Boolean(vec![false])),
    ]);
    assert_eq!(encoding().apply(&row.unwrap()).unwrap().times(&[2.0, 10.0, 5.0, 5.0, 5.0]), [11.0]);
}

#[test]
fn products_are_those_of_the_dense_matrix() {
    let dense = [[1.0, 1.0, 0.0, 1.0, 1.0], [2.0, 1.0, 1.0, 0.0, 0.0], [4.0, 1.0, 0.0, 0.0, 1.0]];
    let design = encoding().apply(&table()).unwrap();
    let products = design.products(|row| row as f64 + 1.0);
    for left in 0..5 {
        for right in 0..=left {
            let expected: f64 = (0..3).map(|row| dense[row][left] * dense[row][right] * (row as f64 + 1.0)).sum();
            assert_eq!(products.row(left)[right], expected, "{left} {right}");
        }
    }
    assert_eq!(design.transposed_times(&[1.0, 1.0, 1.0]), [7.0, 3.0, 1.0, 1.0, 2.0]);
}

#[test]
fn missing_numbers_missing_columns_and_changed_types_are_refused() {
    let encoding = encoding();
    let mut columns = table().into_columns();
    columns[1] = Series::of_floats("age", vec![1.0, f64::NAN, 1.0]);
    assert!(matches!(encoding.apply(&Table::new(columns.clone()).unwrap()), Err(Failure::InvalidData(_))));
    columns[1] = Series::of_texts("age", [Some("1"); 3]);
    assert!(matches!(encoding.apply(&Table::new(columns.clone()).unwrap()), Err(Failure::InvalidData(_))));
    columns.remove(1);
    assert!(matches!(encoding.apply(&Table::new(columns).unwrap()), Err(Failure::InvalidData(_))));
}
