//! What goes where, for each way of splitting.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its scene has failed")]

use std::collections::BTreeMap;

use stagewright_split::{Parameters, Split, split};
use stagewright_stage::{Failure, Preprocessor, Reader, Series, Table, Values, Writer, parse_parameters, schema_of};

fn people(rows: usize) -> Table {
    Table::new(vec![
        Series::new("id", Values::Int64((0..rows as i64).collect())),
        Series::of_texts("city", (0..rows).map(|row| (row % 7 != 3).then(|| ["Köln", "東京", "Oslo"][row % 3]))),
        Series::new("year", Values::Int64((0..rows as i64).map(|row| 2000 + row % 10).collect())),
    ])
    .unwrap()
}

fn parts_with_seed(table: &Table, count: usize, parameters: &str, seed: u64) -> Result<Vec<Table>, Failure> {
    let parameters: Parameters = parse_parameters(parameters)?;
    let mut outputs: Vec<_> = (0..count).map(|part| (format!("part{part}"), Writer::memory())).collect();
    split(&mut Reader::of(table.clone()), &mut outputs, &parameters, seed)?;
    Ok(outputs.into_iter().map(|(_, writer)| writer.into_table().unwrap()).collect())
}

fn parts(table: &Table, count: usize, parameters: &str) -> Result<Vec<Table>, Failure> {
    parts_with_seed(table, count, parameters, 7)
}

fn integers(table: &Table, name: &str) -> Vec<i64> {
    match &table.column(name).unwrap().values {
        Values::Int64(values) => values.clone(),
        other => panic!("{:?}", other.kind()),
    }
}

fn homes(parts: &[Table]) -> BTreeMap<i64, usize> {
    let of_part = |(part, table): (usize, &Table)| integers(table, "id").into_iter().map(move |id| (id, part));
    parts.iter().enumerate().flat_map(of_part).collect::<Vec<_>>().into_iter().collect()
}

fn refusal(parameters: &str) -> String {
    match parts(&people(10), 2, parameters) {
        Err(Failure::InvalidParameter(message)) => message,
        other => panic!("{other:?}"),
    }
}

const WAYS: [&str; 4] = [
    r#"{"fractions": [0.6, 0.2, 0.2], "by": "hash"}"#,
    r#"{"fractions": [0.6, 0.2, 0.2], "by": "seed"}"#,
    r#"{"fractions": [0.6, 0.2, 0.2], "by": "time", "column": "year"}"#,
    r#"{"fractions": [0.6, 0.2, 0.2], "by": "stratified", "column": "city"}"#,
];

#[test]
fn every_row_lands_in_exactly_one_part_and_keeps_its_place_and_its_values() {
    for way in WAYS {
        for rows in [0, 1, 2, 3, 1000] {
            let table = people(rows);
            let parts = parts(&table, 3, way).unwrap();
            let mut found = 0;
            for part in &parts {
                assert_eq!(part.fields().len(), 3);
                let ids = integers(part, "id");
                assert!(ids.is_sorted(), "{way}");
                let places: Vec<usize> = ids.iter().map(|id| *id as usize).collect();
                let expected = table.take(&places);
                for row in 0..part.rows() {
                    let shown = |table: &Table| table.columns().iter().map(|c| c.display(row)).collect::<Vec<_>>();
                    assert_eq!(shown(part), shown(&expected));
                }
                found += part.rows();
            }
            assert_eq!((found, homes(&parts).len()), (rows, rows), "{way}");
        }
    }
}

#[test]
fn a_hashed_row_stays_in_its_part_when_rows_move_or_leave_and_the_seed_changes() {
    let table = people(3000);
    let before = homes(&parts(&table, 3, WAYS[0]).unwrap());
    let backwards: Vec<usize> = (0..3000).rev().filter(|row| row % 3 != 0).collect();
    let shuffled = Table::new(table.take(&backwards).into_columns().into_iter().rev().collect()).unwrap();
    let after = homes(&parts_with_seed(&shuffled, 3, WAYS[0], 99).unwrap());
    assert!(after.len() == 2000 && after.iter().all(|(id, part)| before[id] == *part));
    let share = |part| before.values().filter(|home| **home == part).count() as f64 / 3000.0;
    assert!((share(0) - 0.6).abs() < 0.03 && (share(1) - 0.2).abs() < 0.03, "{} {}", share(0), share(1));
}

#[test]
fn rows_that_agree_in_the_hashed_columns_stay_together_and_a_salt_mixes_anew() {
    let table = people(1000);
    let years = |parts: &[Table]| parts.iter().map(|part| integers(part, "year")).collect::<Vec<_>>();
    let by_year = years(&parts(&table, 2, r#"{"columns": ["year"], "fractions": [0.5, 0.5]}"#).unwrap());
    assert!(by_year[0].iter().all(|year| !by_year[1].contains(year)));
    let plain = homes(&parts(&table, 2, "{}").unwrap());
    let salted = homes(&parts(&table, 2, r#"{"salt": "again"}"#).unwrap());
    assert_ne!(plain, salted);
}

#[test]
fn text_and_category_of_the_same_words_hash_alike() {
    let texts = |row: usize| ["a", "b", "c", "d", "e", "f", "g"][row % 7];
    let ids = || Series::new("id", Values::Int64((0..70).collect()));
    let text = Table::new(vec![ids(), Series::of_texts("word", (0..70).map(|row| Some(texts(row))))]).unwrap();
    let words = (0..7).rev().map(|row| texts(row).to_owned()).collect();
    let codes = (0..70).map(|row| 6 - row % 7).collect();
    let category = Table::new(vec![ids(), Series::new("word", Values::Category { codes, words })]).unwrap();
    assert_eq!(homes(&parts(&text, 2, "{}").unwrap()), homes(&parts(&category, 2, "{}").unwrap()));
}

#[test]
fn a_seed_gives_exact_sizes_the_same_every_time_and_another_seed_another_split() {
    let table = people(1001);
    let split = |seed| parts_with_seed(&table, 3, WAYS[1], seed).unwrap();
    assert_eq!(split(1).iter().map(Table::rows).collect::<Vec<_>>(), [601, 200, 200]);
    assert_eq!(homes(&split(1)), homes(&split(1)));
    assert_ne!(homes(&split(1)), homes(&split(2)));
}

#[test]
fn time_gives_the_earliest_rows_to_the_first_part_and_does_not_tear_a_time_apart() {
    let table = people(105);
    let split = parts(&table, 3, WAYS[2]).unwrap();
    let years: Vec<Vec<i64>> = split.iter().map(|part| integers(part, "year")).collect();
    assert!(years[0].iter().max() < years[1].iter().min() && years[1].iter().max() < years[2].iter().min());
    // 63 rows are wanted in the first part; the sixth year ends at 65, the fifth at 55.
    assert_eq!(years.iter().map(Vec::len).collect::<Vec<_>>(), [65, 20, 20]);

    let in_order = parts(&table, 2, r#"{"by": "time", "fractions": [0.25, 0.75]}"#).unwrap();
    assert_eq!(integers(&in_order[0], "id"), (0..26).collect::<Vec<_>>());

    // Two times only, and the cut falls into the later one: both parts still get rows.
    let two = Table::new(vec![Series::new("id", Values::Int64([0; 40].into_iter().chain([1; 60]).collect()))]).unwrap();
    let halves = parts(&two, 2, r#"{"by": "time", "column": "id"}"#).unwrap();
    assert_eq!(halves.iter().map(Table::rows).collect::<Vec<_>>(), [40, 60]);
}

#[test]
fn a_row_without_a_time_is_refused_by_its_number() {
    let table = Table::new(vec![Series::of_floats("when", vec![1.0, f64::NAN, 3.0])]).unwrap();
    let Err(Failure::InvalidData(message)) = parts(&table, 2, r#"{"by": "time", "column": "when"}"#) else { panic!() };
    assert_eq!(message, "column `when` has no time in row 2 (counted from 1); drop or fill such rows first");
}

#[test]
fn every_stratum_is_shared_out_to_within_a_row_and_so_is_the_whole() {
    let table = people(1000);
    let split = parts(&table, 3, WAYS[3]).unwrap();
    let city = |table: &Table, wanted: Option<&str>| {
        let cities = table.column("city").unwrap();
        (0..table.rows()).filter(|row| cities.word(*row) == wanted).count() as f64
    };
    for wanted in [Some("Köln"), Some("東京"), Some("Oslo"), None] {
        for (part, fraction) in split.iter().zip([0.6, 0.2, 0.2]) {
            assert!((city(part, wanted) - fraction * city(&table, wanted)).abs() < 1.0, "{wanted:?}");
        }
    }
    assert_ne!(homes(&split), homes(&parts_with_seed(&table, 3, WAYS[3], 8).unwrap()));
    // Strata of a single row are shared out too, instead of all going one way.
    let single = parts(&table, 3, r#"{"by": "stratified", "column": "id", "fractions": [0.6, 0.2, 0.2]}"#).unwrap();
    assert_eq!(single.iter().map(Table::rows).collect::<Vec<_>>(), [600, 200, 200]);
}

#[test]
fn wrong_parameters_are_refused_with_what_would_be_right() {
    assert_eq!(refusal(r#"{"fractions": [0.8, 0.3]}"#), "`fractions` add up to 1.1; they must add up to 1");
    assert_eq!(refusal(r#"{"fractions": [1.0, 0.0]}"#), "`fractions` holds 0; each must be above 0 and at most 1");
    assert_eq!(
        refusal(r#"{"fractions": [1.0]}"#),
        "`fractions` has 1 numbers, but the stage has 2 outputs (part0, part1); each output needs one"
    );
    assert!(refusal(r#"{"by": "stratified"}"#).contains("name it in `column`"));
    assert!(refusal(r#"{"by": "time", "columns": ["id", "year"]}"#).contains("one column"));
    assert!(refusal(r#"{"by": "seed", "column": "id"}"#).contains("no column"));
    assert!(refusal(r#"{"by": "seed", "salt": "x"}"#).contains("`salt`"));
    assert!(refusal(r#"{"by": "colour"}"#).contains("`hash`, `seed`, `time`, `stratified`"));
    assert!(refusal(r#"{"ratio": 0.5}"#).contains("unknown field `ratio`"));
    for by in ["hash", "time", "stratified"] {
        let parameters = format!(r#"{{"by": "{by}", "column": "yaer"}}"#);
        let Err(Failure::InvalidData(message)) = parts(&people(5), 2, &parameters) else { panic!("{by}") };
        assert_eq!(message, "the table has no column `yaer`; did you mean `year`?");
    }
    let none = Split::prepare(&mut [], &mut [], Parameters::default());
    assert!(matches!(none, Err(Failure::InvalidParameter(_))));
}

#[test]
fn the_schema_knows_the_defaults_and_nothing_else() {
    let schema: serde_json::Value = serde_json::from_str(&schema_of::<Parameters>()).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let properties = schema["properties"].as_object().unwrap();
    let shown: Vec<String> = properties.iter().map(|(name, one)| format!("{name} = {}", one["default"])).collect();
    assert_eq!(shown, [r#"by = "hash""#, r#"column = """#, "columns = []", "fractions = [0.8,0.2]", r#"salt = """#]);
}
