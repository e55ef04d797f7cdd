//! What a job is granted reaches the stage itself, and nobody else.

use std::sync::Arc;

use stagewright_core::Grants;
use stagewright_runtime::{
    BoxError, Job, ModelParts, StageError, Value, Work,
    grants::{Answer, Exchange, Granted, Live, Outside, Recorded, Reply, Request, World},
};

use crate::{
    good::parts,
    guests,
    scene::{Kept, component, failure, numbers, run, validate},
};

crate::stories![
    a_component_that_asks_for_more_than_it_is_granted_does_not_start,
    a_component_that_asks_says_what_it_is_without_being_granted_anything,
    a_granted_call_is_answered_by_whoever_was_passed_down,
    a_recorded_answer_stands_in_for_the_world,
    a_parent_that_was_not_asked_by_name_still_checks_the_grant,
    a_models_parts_are_granted_nothing,
];

fn environment() -> Grants {
    Grants { environment: ["REGION".to_owned()].into(), ..Grants::default() }
}

fn granted(grants: Grants, outside: impl Outside + 'static) -> Job {
    let granted = Some(Granted { grants, outside: Arc::new(outside) });
    Job { granted, ..validate(guests::asks_environment("REGION")) }
}

fn live(grants: &Grants, world: Arc<dyn World>) -> Live {
    Live::new(grants.clone(), "/nowhere".into(), world, 1 << 20)
}

fn finding(job: Job) -> String {
    let Value::Report(report) = run(job).unwrap().value else { panic!("a validator reports") };
    report.findings[0].message.clone()
}

fn a_component_that_asks_for_more_than_it_is_granted_does_not_start() {
    let refusal = "the plugin asks for `environment`, which the stage is not granted";
    assert_eq!(failure(validate(guests::asks_environment("REGION"))), refusal);
    let clock = Grants { wall_clock: true, ..Grants::default() };
    let outside = live(&clock, Arc::new(()));
    assert_eq!(failure(granted(clock, outside)), refusal);
}

fn a_component_that_asks_says_what_it_is_without_being_granted_anything() {
    let inspection = crate::scene::pool()
        .inspect(&component(guests::asks_environment("REGION")), &stagewright_runtime::CancelToken::new())
        .unwrap();
    assert!(inspection.imports.contains(&"stagewright:stage/environment@0.1.0".to_owned()));
}

fn a_granted_call_is_answered_by_whoever_was_passed_down() {
    // The world of this story has nothing in it, so that the name has no value.
    assert_eq!(finding(granted(environment(), live(&environment(), Arc::new(())))), "");
}

fn a_recorded_answer_stands_in_for_the_world() {
    let exchange = |name: &str| Exchange {
        request: Request::Environment { name: name.to_owned() },
        body: Vec::new(),
        answer: Reply::Environment(Some("north".to_owned())).into(),
    };
    assert_eq!(finding(granted(environment(), Recorded::new(vec![exchange("REGION")]))), "north");
    assert_eq!(
        failure(granted(environment(), Recorded::new(vec![exchange("HOME")]))),
        "granted call 1 asks for environment name `REGION`, where the recording has environment name `HOME`"
    );
}

fn a_parent_that_was_not_asked_by_name_still_checks_the_grant() {
    let other = Grants { environment: ["HOME".to_owned()].into(), ..Grants::default() };
    let outside = live(&other, Arc::new(()));
    assert_eq!(finding(granted(other, outside)), "environment name `REGION` is not granted");
}

/// Answers everything.
struct Everything;

impl Outside for Everything {
    fn ask(&self, _: &Request, _: &[u8], _: &dyn Fn() -> bool) -> Result<Answer, BoxError> {
        Ok(Reply::Environment(Some("anything".to_owned())).into())
    }
}

fn a_models_parts_are_granted_nothing() {
    let weights: Arc<[u8]> = b"good".as_slice().into();
    let model = ModelParts { predictor: (component(guests::model_that_asks()), weights), ..parts(b"good") };
    let (kept, granted) = (Kept::default(), Some(Granted { grants: environment(), outside: Arc::new(Everything) }));
    let work = Work::Score { model, input: numbers(&[0.5]), output: kept.sink() };
    run(Job { granted, ..Job::new(component(guests::model_that_asks()), work) }).unwrap();
    assert_eq!(kept.table().batches.len(), 2, "it was refused, and went on without an answer");
    // Training is the stage itself.
    let train =
        || Job::new(component(guests::model_that_asks()), Work::Train { training: numbers(&[0.5]), validation: None });
    assert!(matches!(run(train()), Err(StageError::NotGranted { .. })));
    let granted = Some(Granted { grants: environment(), outside: Arc::new(Everything) });
    assert!(run(Job { granted, ..train() }).is_ok());
}
