//! What guests that behave get.

use std::sync::Arc;

use stagewright_core::{ColumnType, Field, Schema, StageKind};
use stagewright_runtime::{CancelToken, DirCache, Input, Job, ModelParts, Value, Work, WorkerPool};

use crate::{
    guests,
    scene::{Kept, command, component, failure, numbers, pool, prepare, run},
};

crate::stories![
    a_copied_table_equals_the_original,
    the_same_job_gives_the_same_bytes_twice,
    training_returns_weights_and_scoring_appends_predictions,
    a_prediction_column_that_the_rows_already_have_is_an_error,
    a_state_that_the_plugin_cannot_read_is_its_makers_problem,
    a_model_says_which_columns_it_reads_and_returns,
    a_plugin_is_inspected_by_its_exports_and_its_own_words,
    compiled_code_that_was_damaged_is_compiled_again,
    compiled_code_of_another_component_is_not_taken_for_this_ones,
];

fn a_copied_table_equals_the_original() {
    let input = numbers(&[1.5, -0.0, f64::INFINITY]);
    let (job, kept) = prepare(guests::copier(), Arc::clone(&input));
    assert_eq!(run(job).unwrap().value, Value::Tables);
    let batches: Vec<_> = (0..input.batches()).map(|index| input.batch(index).unwrap()).collect();
    assert_eq!(kept.table().schema, *input.schema());
    assert_eq!(kept.table().batches, batches);
}

fn the_same_job_gives_the_same_bytes_twice() {
    let once = || {
        let (job, kept) = prepare(guests::copier(), numbers(&[f64::NAN, 2.0]));
        run(job).unwrap();
        kept.table().batches.iter().map(stagewright_core::Batch::encode).collect::<Vec<_>>()
    };
    assert_eq!(once(), once());
}

pub(crate) fn parts(weights: &[u8]) -> ModelParts {
    let input =
        Schema::new(vec![Field::new("x", ColumnType::Float64, false), Field::new("label", ColumnType::Boolean, false)]);
    ModelParts {
        featurizers: Vec::new(),
        predictor: (component(guests::model()), weights.into()),
        input: input.unwrap(),
    }
}

fn score(model: ModelParts, input: Input) -> (Job, Kept) {
    let kept = Kept::default();
    let unused = model.predictor.0.clone();
    (Job::new(unused, Work::Score { model, input, output: kept.sink() }), kept)
}

fn training_returns_weights_and_scoring_appends_predictions() {
    let work = Work::Train { training: numbers(&[0.0]), validation: None };
    let job = Job { parameters: r#"{"l2":1}"#.to_owned(), ..Job::new(component(guests::model()), work) };
    let Value::Bytes(weights) = run(job).unwrap().value else { panic!("training returns bytes") };
    assert_eq!(weights, br#"{"l2":1}"#);
    let (job, kept) = score(parts(&weights), numbers(&[0.25, 0.75]));
    run(job).unwrap();
    let names: Vec<_> = kept.table().schema.fields().iter().map(|field| field.name.clone()).collect();
    assert_eq!(names, ["x", "score"]);
    for batch in kept.table().batches {
        assert_eq!(batch.columns[1].floats().collect::<Vec<_>>(), [0.25, 0.75]);
        assert_eq!(batch.columns[0], batch.columns[1]);
    }
}

fn a_prediction_column_that_the_rows_already_have_is_an_error() {
    let scored = {
        let (job, kept) = score(parts(b"good"), numbers(&[1.0]));
        run(job).unwrap();
        kept.table()
    };
    let (job, _) = score(parts(b"good"), Arc::new(scored));
    assert_eq!(
        failure(job),
        "the plugin returned a bad schema of the predictions: the rows already have a column `score`: rename or drop \
         it before the model is applied"
    );
}

fn a_state_that_the_plugin_cannot_read_is_its_makers_problem() {
    let (job, _) = score(parts(b"bad"), numbers(&[1.0]));
    assert_eq!(failure(job), "invalid state: a weight of these is bad");
}

fn a_model_says_which_columns_it_reads_and_returns() {
    let model = parts(b"good");
    let job = Job::new(model.predictor.0.clone(), Work::DescribeModel { model });
    let Value::Columns(columns) = run(job).unwrap().value else { panic!("a model has columns") };
    let names = |schema: &Schema| schema.fields().iter().map(|field| field.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&columns.input), names(&columns.output)), (vec!["x".to_owned()], vec!["score".to_owned()]));
}

fn a_plugin_is_inspected_by_its_exports_and_its_own_words() {
    let inspection = pool().inspect(&component(guests::model()), &CancelToken::new()).unwrap();
    assert_eq!(inspection.kinds, [StageKind::Trainer, StageKind::Predictor]);
    assert_eq!(inspection.stages.len(), 2);
    assert_eq!(inspection.stages[0].kind, StageKind::Trainer);
}

fn compiled_code_that_was_damaged_is_compiled_again() {
    let directory = tempfile::tempdir().unwrap();
    let copy = || {
        let pool = WorkerPool::new(command(), 1, Arc::new(DirCache::new(directory.path())));
        let (job, kept) = prepare(guests::copier(), numbers(&[7.0]));
        pool.run(job, &CancelToken::new(), &()).unwrap();
        kept.table().batches
    };
    let first = copy();
    let file = std::fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap().path();
    let intact = std::fs::read(&file).unwrap();
    for damage in [0, intact.len() / 2, intact.len() - 1] {
        let mut damaged = intact.clone();
        damaged[damage] ^= 1;
        std::fs::write(&file, damaged).unwrap();
        assert_eq!(copy(), first);
        assert_eq!(std::fs::read(&file).unwrap(), intact, "the damaged code was replaced");
    }
    std::fs::write(&file, b"").unwrap();
    assert_eq!(copy(), first);
}

fn compiled_code_of_another_component_is_not_taken_for_this_ones() {
    let directory = tempfile::tempdir().unwrap();
    let copy = |bytes: Vec<u8>| {
        let pool = WorkerPool::new(command(), 1, Arc::new(DirCache::new(directory.path())));
        let (job, kept) = prepare(bytes, numbers(&[7.0]));
        pool.run(job, &CancelToken::new(), &()).unwrap();
        kept.table().batches.len()
    };
    assert_eq!((copy(guests::copier()), copy(guests::drain())), (2, 0));
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().path()).collect();
    let contents: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    std::fs::write(&files[0], &contents[1]).unwrap();
    std::fs::write(&files[1], &contents[0]).unwrap();
    assert_eq!((copy(guests::copier()), copy(guests::drain())), (2, 0));
}
