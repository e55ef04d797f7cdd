//! What a model that answers in this process does, and what it is held to.

use std::{sync::Arc, time::Duration};

use stagewright_core::{Batch, stage::Profile};
use stagewright_runtime::{FailureKind, LargeStack, Limits, ModelParts, Served, ServedModel, StageError};

use crate::{
    good::parts,
    guests,
    scene::{component, numbers, pool},
};

crate::stories![
    a_served_model_answers_each_call,
    rows_that_a_served_model_does_not_know_are_refused_by_column,
    a_served_model_that_loops_stops_by_itself,
    a_served_model_that_takes_too_much_memory_is_stopped,
    a_recursion_without_end_ends_the_guest_and_not_the_process,
];

/// Makes an instance on a thread that may, and does something with it.
fn serve<T: Send + 'static>(
    model: &ModelParts,
    limits: &Limits,
    act: impl FnOnce(&mut Served, &dyn Fn(&mut Served, Batch) -> Result<Batch, StageError>) -> T + Send + 'static,
) -> T {
    let limits = limits.clone();
    let loaded = ServedModel::load(pool(), model.clone(), Profile::default(), &limits, Arc::new(())).unwrap();
    let thread = LargeStack::spawn("story", move |stack| {
        let mut served = loaded.instance(stack).unwrap();
        let ask = |served: &mut Served, rows| served.predict(rows, limits.time, stack).1;
        act(&mut served, &ask)
    });
    thread.unwrap().join().unwrap()
}

fn rows(values: &[f64]) -> Batch {
    numbers(values).batch(0).unwrap()
}

fn model_that(first: &str) -> ModelParts {
    let weights: Arc<[u8]> = b"good".as_slice().into();
    ModelParts { predictor: (component(guests::model_that(first)), weights), ..parts(b"good") }
}

fn a_served_model_answers_each_call() {
    serve(&parts(b"good"), &Limits::default(), |served, ask| {
        assert!(served.input().index_of("x").is_some() && served.input().len() == 1);
        assert_eq!(served.output().fields()[0].name, "score");
        for values in [[0.25, 0.75], [-1.0, 2.0]] {
            let predictions = ask(served, rows(&values)).unwrap();
            assert_eq!(predictions.columns[0].floats().collect::<Vec<_>>(), values);
        }
    });
}

fn rows_that_a_served_model_does_not_know_are_refused_by_column() {
    serve(&parts(b"good"), &Limits::default(), |served, ask| {
        let mut wrong = rows(&[1.0, 2.0]);
        wrong.columns[0].values.pop();
        let error = ask(served, wrong).expect_err("a value is cut");
        assert!(matches!(error, StageError::Failed { kind: FailureKind::InvalidData, .. }));
        assert_eq!(error.to_string(), "invalid data: column `x` (float64): values holds 15 bytes where 2 rows need 16");
        assert_eq!(ask(served, rows(&[3.0])).unwrap().rows, 1);
    });
}

fn a_served_model_that_loops_stops_by_itself() {
    let limits = Limits { time: Duration::from_millis(10), ..Limits::default() };
    let said = serve(&model_that("(loop $again (br $again))"), &limits, |served, ask| {
        ask(served, rows(&[1.0])).expect_err("it loops").to_string()
    });
    assert_eq!(said, "the stage ran longer than 0.01 s (`limits.time` in stagewright.toml raises this)");
}

fn a_served_model_that_takes_too_much_memory_is_stopped() {
    let limits = Limits { memory_bytes: 8 << 20, ..Limits::default() };
    let greedy = "(if (i32.eq (i32.const -1) (memory.grow (i32.const 200))) (then unreachable))";
    let said = serve(&model_that(greedy), &limits, |served, ask| {
        ask(served, rows(&[1.0])).expect_err("it takes too much").to_string()
    });
    assert_eq!(said, "the stage needs more than 8 MiB of memory (`limits.memory` in stagewright.toml raises this)");
}

fn a_recursion_without_end_ends_the_guest_and_not_the_process() {
    let said = serve(&model_that("(drop (call $recurse (i32.const 0)))"), &Limits::default(), |served, ask| {
        ask(served, rows(&[1.0])).expect_err("it recurses").to_string()
    });
    assert_eq!(said, "the plugin used up its stack of 2048 KiB: it recurses too deeply");
}
