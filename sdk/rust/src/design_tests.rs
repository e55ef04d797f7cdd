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

#[test]
fn products_are_summed_four_rows_at_a_time_to_the_last_bit() {
    let part = |row: usize, column: usize| ((row * 7 + column * 13) as f64 * 0.37).sin();
    for (rows, columns) in [(1, 1), (3, 2), (4, 5), (11, 4), (30, 7)] {
        let numbered = (0..columns)
            .map(|column| Series::of_floats(format!("x{column}"), (0..rows).map(|row| part(row, column)).collect()));
        let table = Table::new(numbered.collect()).unwrap();
        let encoding = Encoding::learn(&table.columns().iter().collect::<Vec<_>>()).unwrap();
        let weight = |row: usize| 1.0 / (row as f64 + 3.0);
        let products = encoding.apply(&table).unwrap().products(weight);
        for left in 0..columns {
            for right in 0..=left {
                let product = |row: usize| part(row, left) * weight(row) * part(row, right);
                let fours = (0..rows / 4).map(|four| {
                    ((product(four * 4) + product(four * 4 + 1)) + product(four * 4 + 2)) + product(four * 4 + 3)
                });
                let expected = fours.chain((rows / 4 * 4..rows).map(product)).fold(0.0, |sum, one| sum + one);
                assert_eq!(products.row(left)[right].to_bits(), expected.to_bits(), "{rows} rows: {left} {right}");
            }
        }
    }
}
