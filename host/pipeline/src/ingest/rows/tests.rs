use stagewright_core::{Batch, ColumnType, Field, Schema};

use super::{Form, Renderer, Shape, from_csv, from_json};

fn schema() -> Schema {
    let field = |name: &str, column_type, nullable| Field::new(name, column_type, nullable);
    Schema::new(vec![
        field("age", ColumnType::Int64, false),
        field("hours", ColumnType::Float64, true),
        field("job", ColumnType::Category, true),
        field("note", ColumnType::Text, true),
        field("member", ColumnType::Boolean, true),
        field("since", ColumnType::Timestamp, true),
    ])
    .unwrap()
}

fn form() -> Form {
    let trained_on: Vec<Field> =
        schema().fields().iter().cloned().chain([Field::new("loan", ColumnType::Category, false)]).collect();
    Form::new(&schema(), &Schema::new(trained_on).unwrap(), 1000)
}

fn json(text: &str) -> Result<(Batch, Shape), String> {
    let (batch, shape) = from_json(text.as_bytes(), &form()).map_err(|error| error.to_string())?;
    batch.check(&schema()).expect("what is read fits the form");
    Ok((batch, shape))
}

fn csv(text: &str) -> Result<Batch, String> {
    let batch = from_csv(text.as_bytes(), &form()).map_err(|error| error.to_string())?;
    batch.check(&schema()).expect("what is read fits the form");
    Ok(batch)
}

/// What is read, as the renderer writes it.
fn read(text: &str) -> String {
    let (batch, shape) = json(text).unwrap();
    String::from_utf8(Renderer::new(&schema()).json(&batch, shape)).unwrap()
}

const ROW: &str =
    r#"{"age":39,"hours":40.5,"job":"clerk","note":"a, \"b\"","member":true,"since":"2024-05-01T12:00:00Z"}"#;

#[test]
fn rows_come_back_as_they_went_in_whatever_their_layout() {
    let gaps = r#"{"age":-1,"hours":null,"job":null,"note":null,"member":null,"since":null}"#;
    for text in [ROW.to_owned(), format!("[{ROW},{gaps},{ROW}]"), "[]".to_owned()] {
        assert_eq!(read(&text), text);
    }
    let columns = r#"{"age":[1,2],"hours":[0.5,null],"job":["a","a"],"note":["",null],"member":[null,false],"since":[null,"1970-01-01T00:00:00Z"]}"#;
    assert_eq!(read(columns), columns);
}

#[test]
fn the_order_of_names_does_not_matter_and_what_may_be_missing_may_be_left_out() {
    let row = r#"{"age":39,"hours":null,"job":"clerk","note":null,"member":null,"since":null}"#;
    assert_eq!(read(r#" { "job" : "clerk" , "age" : 39 } "#), row);
    assert_eq!(read(r#"[{"job":"clerk","age":39}]"#), format!("[{row}]"));
    assert_eq!(
        read(r#"{"job":["clerk"],"age":[39]}"#),
        r#"{"age":[39],"hours":[null],"job":["clerk"],"note":[null],"member":[null],"since":[null]}"#
    );
}

#[test]
fn columns_of_the_training_rows_that_the_model_does_without_are_not_looked_at() {
    assert_eq!(read(r#"{"loan":{"deep":[1,2]},"age":39}"#), read(r#"{"age":39}"#));
    assert_eq!(csv("loan,age\n>50K,39\n").unwrap(), csv("age\n39\n").unwrap());
}

#[test]
fn numbers_are_taken_as_other_programs_write_them() {
    assert_eq!(read(r#"{"age":39.0,"hours":40}"#), read(r#"{"age":39,"hours":40.0}"#));
    assert_eq!(read(r#"{"age":39,"since":1000000}"#), read(r#"{"age":39,"since":"1970-01-01T00:00:01Z"}"#));
}

#[test]
fn what_does_not_fit_is_refused_with_its_row_and_column() {
    for (text, said) in [
        (r#"{"age":"39"}"#, "column `age`: \"39\" is not a whole number of 64 bits"),
        (r#"{"age":39.5}"#, "column `age`: 39.5 is not a whole number of 64 bits"),
        (r#"{"age":9223372036854775808}"#, "column `age`: 9223372036854775808 is not a whole number of 64 bits"),
        (r#"{"age":null}"#, "column `age`: a value is missing, and the model was trained on rows that all have one"),
        (r#"{}"#, "column `age`: the model needs it, and it is not there"),
        (r#"{"age":1,"age":2}"#, "column `age`: it is there twice"),
        (r#"{"age":[1],"age":[2]}"#, "column `age`: it is there twice"),
        (r#"{"age":{}}"#, "column `age`: an object is not a value"),
        (
            r#"{"age":39,"hours":[1]}"#,
            "column `hours`: some values are arrays and some are not; write either one row or whole columns",
        ),
        (r#"{"age":[[1]]}"#, "row 0, column `age`: an array is not a value"),
        (r#"[{"age":1},{"age":[1]}]"#, "row 1, column `age`: an array is not a value"),
        (r#"[{"age":1},{"age":true}]"#, "row 1, column `age`: true is not a whole number of 64 bits"),
        (r#"[{"age":1},{}]"#, "row 1, column `age`: the model needs it, and it is not there"),
        (r#"{"age":[1,2],"hours":[1]}"#, "column `hours`: it has 1 values where another column has 2"),
        (r#"{"hours":[1]}"#, "column `age`: the model needs it, and it is not there"),
        (r#"{"age":1,"job":7}"#, "column `job`: 7 is not text"),
        (r#"{"age":1,"member":"yes"}"#, "column `member`: \"yes\" is not true or false"),
        (
            r#"{"age":1,"since":"yesterday"}"#,
            "column `since`: \"yesterday\" is not a time such as \"2024-05-01T12:00:00Z\", or microseconds since 1970",
        ),
        (r#"{"agee":1}"#, "column `agee`: the model knows no such column; did you mean `age`?"),
        (
            r#"{"weight":1}"#,
            "column `weight`: the model knows no such column; it reads `age`, `hours`, `job`, `note`, `member`, `since`",
        ),
    ] {
        assert_eq!(json(text).expect_err(text), said, "{text}");
    }
}

#[test]
fn what_is_not_json_is_refused_and_what_python_writes_is_explained() {
    for text in ["", "39", "\"age\"", "null", "{", "[1]", "{\"age\":1} x", "\u{0}", "[[]]"] {
        let said = json(text).expect_err(text);
        assert!(said.starts_with("the body is not JSON as it should be: "), "{said}");
    }
    assert_eq!(from_json(b"{\"age\":1,\"note\":\"\xff\"}", &form()).map(|_| ()).map_err(|e| e.row), Err(None));
    let said = json(r#"{"age":1,"hours":NaN}"#).expect_err("NaN");
    assert!(said.ends_with("; JSON has no NaN and no Infinity: write null for a missing value"), "{said}");
}

#[test]
fn more_rows_than_are_taken_at_once_are_too_large() {
    let rows = |count: usize| format!("[{}]", vec![r#"{"age":1}"#; count].join(","));
    assert_eq!(json(&rows(1000)).unwrap().0.rows, 1000);
    let error = from_json(rows(1001).as_bytes(), &form()).unwrap_err();
    assert_eq!(
        (error.too_large, error.to_string().as_str()),
        (true, "there are more than 1000 rows; send fewer at once")
    );
}

#[test]
fn many_words_keep_their_codes() {
    let words: Vec<String> = (0..500).map(|row| format!("w{}", row % 37)).collect();
    let rows: Vec<String> = words.iter().map(|word| format!("{{\"age\":1,\"job\":\"{word}\"}}")).collect();
    let (batch, _) = json(&format!("[{}]", rows.join(","))).unwrap();
    assert_eq!(batch.columns[2].words.as_ref().unwrap().len(), 37);
    let found: Vec<_> = (0..500).map(|row| batch.columns[2].text(row).unwrap()).collect();
    assert_eq!(found, words);
}

#[test]
fn csv_gives_the_same_rows_as_json() {
    let text = "note,age,hours,job,member,since\n\"a, \"\"b\"\"\",39,40.5,clerk,true,2024-05-01 12:00:00\n,-1,NA,,,\n";
    let gaps = r#"{"age":-1,"hours":null,"job":null,"note":null,"member":null,"since":null}"#;
    assert_eq!(csv(text).unwrap(), json(&format!("[{ROW},{gaps}]")).unwrap().0);
    assert_eq!(csv("\u{feff}age\r\n1\r\n").unwrap().rows, 1);
}

#[test]
fn csv_that_does_not_fit_is_refused_with_its_row_and_column() {
    for (text, said) in [
        ("", "the body is empty: CSV begins with a line of column names"),
        ("hours\n1\n", "column `age`: the model needs it, and it is not there"),
        ("age,age\n1,2\n", "column `age`: it is there twice"),
        ("age,hours\n1,2\n3\n", "row 1: it has 1 values where the header has 2"),
        ("age\n1\nx\n", "row 1, column `age`: \"x\" is not a whole number of 64 bits"),
        (
            "age,hours\nNA,1\n",
            "row 0, column `age`: a value is missing, and the model was trained on rows that all have one",
        ),
    ] {
        assert_eq!(csv(text).expect_err(text), said, "{text}");
    }
    assert!(csv("age\n\"1\n").expect_err("an open quote").contains("a quote opens here"));
}

#[test]
fn what_json_has_no_number_for_is_null() {
    let schema = Schema::new(vec![Field::new("x", ColumnType::Float64, true)]).unwrap();
    let values = [f64::NAN, f64::INFINITY, 0.1, -0.0];
    let mut batch = Batch { rows: 4, columns: vec![Default::default()] };
    batch.columns[0].values = values.iter().flat_map(|value: &f64| value.to_le_bytes()).collect();
    let text = Renderer::new(&schema).json(&batch, Shape::Columns);
    assert_eq!(String::from_utf8(text).unwrap(), r#"{"x":[null,null,0.1,-0.0]}"#);
}
