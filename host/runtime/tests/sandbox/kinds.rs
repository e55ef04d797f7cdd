//! Every kind of stage at work, with and without the model that it may question.

use std::sync::Arc;

use stagewright_core::{Report, stage::Profile};
use stagewright_runtime::{Component, Job, ModelParts, Value, Work};

use crate::{
    good::parts,
    guests,
    scene::{Kept, component, numbers, prepare, run, validate},
};

crate::stories![
    a_featurizer_learns_a_state_and_applies_it,
    a_model_with_a_featurizer_is_one_chain,
    an_evaluator_may_question_the_model,
    a_fairness_checker_may_question_the_model,
    a_monitor_may_question_the_model,
    the_strict_profile_gives_a_nan_the_same_bits_inside_the_guest,
    the_strict_profile_gives_the_same_table,
];

fn a_featurizer_learns_a_state_and_applies_it() {
    let job = Job {
        parameters: r#"{"width":3}"#.to_owned(),
        ..Job::new(component(guests::featurizer()), Work::Fit { training: numbers(&[1.0]) })
    };
    let Value::Bytes(state) = run(job).unwrap().value else { panic!("fitting returns bytes") };
    assert_eq!(state, br#"{"width":3}"#);
    let kept = Kept::default();
    let work = Work::Transform { state: state.into(), input: numbers(&[4.0, 5.0]), output: kept.sink() };
    let Value::Columns(columns) = run(Job::new(component(guests::featurizer()), work)).unwrap().value else {
        panic!("transforming returns columns")
    };
    assert_eq!(columns.output, kept.table().schema);
    assert_eq!(kept.table().batches[1].columns[0].floats().collect::<Vec<_>>(), [4.0, 5.0]);
}

fn chain() -> ModelParts {
    let state: Arc<[u8]> = b"{}".as_slice().into();
    ModelParts { featurizers: vec![(component(guests::featurizer()), state)], ..parts(b"good") }
}

fn a_model_with_a_featurizer_is_one_chain() {
    let kept = Kept::default();
    let work = Work::Score { model: chain(), input: numbers(&[0.5]), output: kept.sink() };
    run(Job::new(component(guests::model()), work)).unwrap();
    assert_eq!(kept.table().batches[0].columns[1].floats().collect::<Vec<_>>(), [0.5]);
}

/// A report's one metric: the rows that were read, and the first prediction.
fn metric(component: Component, work: Work) -> (Option<u64>, Option<f64>) {
    let Value::Report(Report { metrics, .. }) = run(Job::new(component, work)).unwrap().value else {
        panic!("a report is returned")
    };
    assert_eq!((metrics.len(), metrics[0].name.as_str()), (1, "m"));
    (metrics[0].support, metrics[0].value)
}

fn an_evaluator_may_question_the_model() {
    let ask =
        |model| metric(component(guests::evaluator()), Work::Evaluate { scored: numbers(&[0.5, 1.0, 2.0]), model });
    assert_eq!(ask(None), (Some(3), None));
    assert_eq!(ask(Some(parts(b"good"))), (Some(3), Some(0.5)));
    assert_eq!(ask(Some(chain())), (Some(3), Some(0.5)));
}

fn a_fairness_checker_may_question_the_model() {
    let ask =
        |model| metric(component(guests::fairness_checker()), Work::Check { scored: numbers(&[0.25, 1.0]), model });
    assert_eq!(ask(None), (Some(2), None));
    assert_eq!(ask(Some(chain())), (Some(2), Some(0.25)));
}

fn a_monitor_may_question_the_model() {
    let ask = |model| {
        let work = Work::Observe { reference: numbers(&[9.0]), current: numbers(&[0.75, 1.0]), model };
        metric(component(guests::monitor()), work)
    };
    assert_eq!(ask(None), (Some(2), None));
    assert_eq!(ask(Some(parts(b"good"))), (Some(2), Some(0.75)));
}

fn the_strict_profile_gives_a_nan_the_same_bits_inside_the_guest() {
    // It logs four letters if the sign of zero by zero is positive, as it is in the canonical NaN, else eight.
    let body = "(call $log (i32.const 1) (i32.const 2048) (select (i32.const 8) (i32.const 4) (i64.lt_s
        (i64.reinterpret_f64 (f64.div (f64.convert_i32_u (local.get $i)) (f64.convert_i32_u (local.get $i))))
        (i64.const 0))))";
    let job = Job { profile: Profile::Strict, ..validate(guests::validator(body)) };
    assert_eq!(run(job).unwrap().log.lines[0].message, "the ");
}

fn the_strict_profile_gives_the_same_table() {
    let copy = |profile| {
        let (job, kept) = prepare(guests::copier(), numbers(&[f64::NAN, -0.0, 1.5]));
        run(Job { profile, ..job }).unwrap();
        kept.table().batches.iter().map(stagewright_core::Batch::encode).collect::<Vec<_>>()
    };
    assert_eq!(copy(Profile::Fast), copy(Profile::Strict));
}
