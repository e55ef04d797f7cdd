use super::{Class, binary, features, refuse_leaks, regression};
use crate::{ColumnType, Failure, Field, Series, Values};

fn words(words: &[&str]) -> Series {
    Series::of_texts("income", words.iter().map(|word| Some(*word)))
}

#[test]
fn the_last_class_in_order_is_positive_unless_another_is_named() {
    let label = words(&["no", "yes", "no"]);
    assert_eq!(binary(&label, None).unwrap().positive, [false, true, false]);
    let named = binary(&label, Some(&Class::Word("no".into()))).unwrap();
    assert_eq!(named.positive, [true, false, true]);
    let floats = Series::of_floats("y", vec![1.0, -1.0]);
    assert_eq!(binary(&floats, None).unwrap().positive, [true, false]);
    assert_eq!(binary(&floats, Some(&Class::Integer(-1))).unwrap().positive, [false, true]);
}

#[test]
fn predictions_speak_in_the_labels_own_values() {
    let classes = binary(&words(&["no", "yes"]), Some(&Class::Word("no".into()))).unwrap().classes;
    let table = classes.predictions(vec![0.5, 0.4]).unwrap();
    let prediction = table.column("prediction").unwrap();
    assert_eq!((prediction.word(0), prediction.word(1)), (Some("no"), Some("yes")));
    let classes = binary(&Series::new("y", Values::Int64(vec![7, 9])), None).unwrap().classes;
    assert_eq!(classes.predictions(vec![0.9]).unwrap().column("prediction").unwrap().values, Values::Int64(vec![9]));
}

#[test]
fn labels_that_cannot_be_learnt_are_refused_in_words() {
    let refusal = |label: &Series, positive: Option<&Class>| match binary(label, positive).unwrap_err() {
        Failure::InvalidData(message) | Failure::InvalidParameter(message) => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(&words(&["a", "a"]), None), "every row has the same label: `income` is always `a`");
    assert_eq!(
        refusal(&words(&["a", "b", "c"]), None),
        "the label `income` has more than two classes; this trainer takes two"
    );
    let word = Class::Word("d".into());
    assert_eq!(refusal(&words(&["a", "b"]), Some(&word)), "no row of `income` is `d`; `positive` must be `a` or `b`");
    let missing = Series::of_floats("y", vec![1.0, f64::NAN]);
    assert_eq!(refusal(&missing, None), "1 rows have no label in `y`; drop them before training");
    assert_eq!(refusal(&words(&[]), None), "the table has no rows to learn from");
    assert!(regression(&words(&["a", "b"])).is_err());
    assert!(regression(&Series::of_floats("y", vec![1.0, f64::INFINITY])).is_err());
}

#[test]
fn the_label_is_never_a_feature() {
    let field = |name: &str| Field { name: name.into(), type_: ColumnType::Float64, nullable: false };
    let fields = [field("a"), field("b"), field("y")];
    let names = |found: Vec<&Field>| found.iter().map(|field| field.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(features(&fields, "y", &[], &["a".into()]).unwrap()), ["b"]);
    let failure = features(&fields, "y", &["y".into()], &[]).unwrap_err();
    assert_eq!(failure, Failure::invalid_parameter("`y` is the label, so it cannot be among the features"));
    assert!(matches!(features(&fields, "z", &[], &[]), Err(Failure::InvalidData(_))));
    assert!(matches!(features(&fields, "y", &[], &["q".into()]), Err(Failure::InvalidParameter(_))));
    assert!(features(&fields[2..], "y", &[], &[]).is_err());
}

#[test]
fn a_feature_that_is_the_label_in_disguise_is_a_leak() {
    let label = words(&["no", "yes"]);
    let code = Series::new("code", Values::Int64(vec![0, 1]));
    let copy = Series::new("copy", Values::Category { codes: vec![1, 0], words: vec!["yes".into(), "no".into()] });
    for leak in [&code, &copy] {
        assert!(matches!(refuse_leaks(&[leak], &label, Some(&[false, true])), Err(Failure::InvalidData(_))));
    }
    let other = Series::new("other", Values::Int64(vec![1, 0]));
    assert_eq!(refuse_leaks(&[&other], &label, Some(&[false, true])), Ok(()));
}
