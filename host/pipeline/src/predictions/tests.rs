//! What the log keeps, through flushes, merges, segments, a full queue, erasure and gc.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use stagewright_core::{
    Batch, ColumnType, Digest, Field, Schema, canonical,
    record::{Fitted, Model, Used},
    table::MAX_BATCH_BYTES,
};
use stagewright_store::{Access, ArtifactKind};
use tempfile::TempDir;

use super::{
    feedback,
    layout::{ints, texts},
    storage::SEGMENT_ROWS,
    *,
};
use crate::{
    Clock, GivenPath, Surroundings,
    deploy::{Deployment, Follower, Order, Plan, Role},
    house,
};

/// A clock that a test sets.
struct Set(AtomicU64);

impl Clock for Set {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn steady(&self) -> Duration {
        Duration::ZERO
    }
}

/// Serves nothing, and loads nothing.
struct Nobody;

impl Follower for Nobody {
    fn prepare(&self, _: &Plan) -> Result<()> {
        Ok(())
    }

    fn switch(&self, _: &Deployment) {}

    fn settle(&self) {}
}

struct Scene {
    folder: TempDir,
    clock: Arc<Set>,
    _nobody: Arc<dyn Follower>,
    project: Arc<Project>,
    source: Arc<Source>,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl Scene {
    /// A project with one deployed model, which reads a number and says a word.
    fn new(settings: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(Set(AtomicU64::new(1_000_000)));
        Project::create(folder.path(), "test", &surroundings(&clock)).unwrap();
        // Nobody stands guard: no run made the model.
        let settings = format!("[gate]\nenvironments = []\n{settings}");
        std::fs::write(folder.path().join("stagewright.toml"), settings).unwrap();
        let (project, nobody) = open(&folder, &clock);
        let part = Fitted { component: Digest::of(b"component"), state: Digest::of(b"state") };
        let model = Model { featurizers: Vec::new(), predictor: part, input: Schema::default() };
        let mut transaction = project.store.models().unwrap().begin(&project.actor()).unwrap();
        let digest = transaction.put_bytes(&canonical::to_vec(&model)).unwrap();
        transaction.set_version(&name("m"), digest, ArtifactKind::Model, None, "");
        transaction.commit().unwrap();
        let model = Used { name: name("m"), number: 1, digest };
        let order = Order { endpoint: None, trial: None, reason: String::new() };
        let promoted = crate::governance::promoted(&project, &"m@1".parse().unwrap(), "production").unwrap();
        deploy::deploy(&project, &promoted, &order).unwrap();
        let schema = |name, column_type| Schema::new(vec![Field::new(name, column_type, false)]).unwrap();
        let (inputs, outputs) = (schema("x", ColumnType::Int64), schema("prediction", ColumnType::Text));
        let source = Source::new(name("production"), name("m"), model, inputs, outputs).unwrap();
        Self { folder, clock, _nobody: nobody, project, source: Arc::new(source) }
    }

    /// The same project, as a later process finds it.
    fn reopened(self) -> Self {
        let Self { folder, clock, _nobody, project, source } = self;
        drop((project, _nobody));
        let (project, nobody) = open(&folder, &clock);
        Self { folder, clock, _nobody: nobody, project, source }
    }

    fn answer(&self, id: &str, values: &[i64]) -> Answer {
        let rows = Batch { rows: values.len() as u32, columns: vec![ints(values.iter().copied())] };
        let said: Vec<String> = values.iter().map(|value| format!("says {value}")).collect();
        let said = texts(said.iter().map(|word| Some(word.as_str())));
        Answer {
            source: Arc::clone(&self.source),
            role: Role::Champion,
            request_id: id.to_owned(),
            at_ms: self.clock.now_ms(),
            latency_us: 7,
            outcome: Ok(Batch { rows: rows.rows, columns: vec![said] }),
            rows,
        }
    }

    fn listed(&self) -> Listed {
        list(&self.project).unwrap().remove(0)
    }

    fn gc(&self) {
        self.clock.0.fetch_add(1000, Ordering::Relaxed);
        house::gc(&self.project, house::Gc::Remove).unwrap();
    }
}

fn surroundings(clock: &Arc<Set>) -> Surroundings {
    Surroundings {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        author: "ada".to_owned(),
        worker: Vec::new(),
        cores: 1,
        version: "0".to_owned(),
        world: Arc::new(()),
    }
}

fn open(folder: &TempDir, clock: &Arc<Set>) -> (Arc<Project>, Arc<dyn Follower>) {
    let project = Project::open(folder.path(), Access::Write, &surroundings(clock), &|_| {}).unwrap();
    let nobody: Arc<dyn Follower> = Arc::new(Nobody);
    project.followers.follow(&nobody, || ());
    (Arc::new(project), nobody)
}

#[test]
fn what_was_flushed_is_found_by_a_later_process_by_request_id() {
    let scene = Scene::new("");
    let keeper = Keeper::start(Arc::clone(&scene.project)).unwrap();
    keeper.keep(scene.answer("a", &[1, 2]));
    keeper.keep(scene.answer("b", &[3]));
    keeper.keep(Answer { outcome: Err("it trapped".to_owned()), ..scene.answer("c", &[4]) });
    keeper.flush();
    assert_eq!(keeper.kept(), Kept { logged: 3, dropped: 0, waiting: 0 });
    drop(keeper);

    let scene = scene.reopened();
    let found = find(&scene.project, "a", None).unwrap();
    assert_eq!((found.len(), found[0].model.as_str(), found[0].rows()), (1, "m@1", 2));
    assert_eq!(found[0].inputs()[1]["x"], 2);
    assert_eq!(found[0].outputs()[1]["prediction"], "says 2");
    let failed = find(&scene.project, "c", None).unwrap();
    assert_eq!(failed[0].error.as_deref(), Some("it trapped"));
    assert!(failed[0].outputs()[0]["prediction"].is_null());
    assert!(find(&scene.project, "d", None).is_err());
}

#[test]
fn everything_that_was_handed_over_is_durable_when_the_keeper_has_stopped() {
    let scene = Scene::new("");
    let keeper = Keeper::start(Arc::clone(&scene.project)).unwrap();
    (0..100).for_each(|number| keeper.keep(scene.answer(&number.to_string(), &[number])));
    keeper.stop();
    keeper.keep(scene.answer("late", &[0]));
    assert_eq!(keeper.kept(), Kept { logged: 100, dropped: 1, waiting: 0 }, "what comes later is counted as dropped");
    drop(keeper);
    assert_eq!(scene.reopened().listed().all.rows, 100);
}

#[test]
fn an_answer_too_large_for_a_batch_is_lost_alone() {
    let scene = Scene::new("");
    let keeper = Keeper::start(Arc::clone(&scene.project)).unwrap();
    keeper.keep(scene.answer("before", &[1]));
    keeper.keep(Answer { outcome: Err("x".repeat(MAX_BATCH_BYTES)), ..scene.answer("large", &[2]) });
    keeper.keep(scene.answer("after", &[3]));
    keeper.stop();
    assert_eq!(keeper.kept(), Kept { logged: 2, dropped: 1, waiting: 0 });
    drop(keeper);
    let all = scene.reopened().listed().all;
    assert_eq!((all.rows, all.dropped), (2, 1));
}

#[test]
fn many_small_flushes_make_few_parts_and_no_versions() {
    let scene = Scene::new("");
    let log = Log::open(&scene.project, &log_name(&name("production"), &name("m")).unwrap()).unwrap();
    for number in 0..600 {
        let mut pack = layout::Pack::new(Arc::clone(&scene.source));
        pack.push(scene.answer(&number.to_string(), &[number]), 100);
        log.append(&scene.source.layout, &[pack.finish().unwrap()], (1, 1), 0).unwrap();
    }
    let parts = log.parts().unwrap();
    assert!(parts.len() < 48, "{} parts", parts.len());
    let listed = scene.listed();
    assert_eq!((listed.all.rows, listed.segments.len()), (600, 0));
    let mut values = Vec::new();
    log.each(&|_| true, &mut |_, batch| {
        values.extend(batch.columns[8].ints());
        Ok(())
    })
    .unwrap();
    assert_eq!(values, (0..600).collect::<Vec<i64>>(), "in the order of answers");
}

#[test]
fn enough_rows_become_a_segment_by_themselves() {
    let scene = Scene::new("");
    let keeper = Keeper::start(Arc::clone(&scene.project)).unwrap();
    let values: Vec<i64> = (0..1000).collect();
    for request in 0..=SEGMENT_ROWS / 1000 {
        keeper.keep(scene.answer(&request.to_string(), &values));
        if request % 20 == 0 {
            keeper.flush();
        }
    }
    drop(keeper);
    let listed = scene.listed();
    assert_eq!((listed.all.rows, listed.segments.len()), (SEGMENT_ROWS + 1000, 1));
    assert_eq!(find(&scene.project, "7", None).unwrap()[0].rows(), 1000);
}

#[test]
fn what_finds_no_room_is_dropped_and_the_log_says_how_much() {
    let scene = Scene::new("");
    let keeper = Keeper::start(Arc::clone(&scene.project)).unwrap();
    keeper.keep(scene.answer("large", &vec![0; 5 << 20]));
    keeper.keep(scene.answer("small", &[1]));
    keeper.flush();
    assert_eq!(keeper.kept(), Kept { logged: 1, dropped: 1, waiting: 0 });
    let listed = scene.listed();
    assert_eq!((listed.all.rows, listed.all.dropped), (1, 1));
}

#[test]
fn feedback_joins_the_predictions_of_its_requests_and_unknown_ids_are_named() {
    let scene = Scene::new("");
    let keeper = Keeper::start(Arc::clone(&scene.project)).unwrap();
    keeper.keep(scene.answer("a", &[1, 2]));
    keeper.keep(scene.answer("b", &[3]));
    let body = r#"[{"request_id": "a", "row": 1, "label": "says 2"}, {"request_id": "b", "label": "wrong"},
        {"request_id": "b", "label": "says 3"}, {"request_id": "x", "label": "says 4"}]"#;
    let labels = feedback::parse(body.as_bytes()).unwrap();
    let (environment, endpoint) = (name("production"), name("m"));
    let accepted = feedback::keep(&scene.project, &keeper, &environment, &endpoint, &labels).unwrap();
    assert_eq!((accepted.accepted, accepted.unknown), (3, vec!["x".to_owned()]));

    let choice = Choice { label: Some("truth".to_owned()), model: None };
    let file = GivenPath::from(scene.folder.path().join("out.csv").as_path());
    let exported = to_file(&scene.project, &environment, &endpoint, &choice, &file).unwrap();
    assert_eq!((exported.rows, exported.left_out), (2, 0));
    let text = std::fs::read_to_string(file.at()).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let ends: Vec<_> = rows.iter().map(|row| &row[row.len() - 3..]).collect();
    assert_eq!(ends, [["x", "truth", "prediction"], ["2", "says 2", "says 2"], ["3", "says 3", "says 3"]]);

    let exported = to_table(&scene.project, &environment, &endpoint, &Choice::default(), &name("window")).unwrap();
    assert_eq!((exported.rows, exported.version.unwrap().number), (3, 1));
}

#[test]
fn retention_keeps_every_segment_and_erasing_one_removes_its_bytes() {
    let scene = Scene::new("[keep]\nversions = 1\n");
    let keeper = Keeper::start(Arc::clone(&scene.project)).unwrap();
    let (environment, endpoint) = (name("production"), name("m"));
    for id in ["first", "second", "third"] {
        keeper.keep(scene.answer(id, &[1]));
        keeper.flush();
        seal(&scene.project, &environment, &endpoint).unwrap();
    }
    keeper.keep(scene.answer("open", &[1]));
    keeper.flush();
    scene.gc();
    for id in ["first", "second", "third", "open"] {
        assert_eq!(find(&scene.project, id, None).unwrap().len(), 1, "{id}");
    }
    let data = scene.project.store.data().unwrap();
    let bytes = |number: usize| {
        let digest = scene.listed().segments[number].version.digest;
        data.references(&digest).unwrap().into_iter().chain([digest]).collect::<Vec<Digest>>()
    };
    let (kept, erased) = (bytes(0), bytes(1));
    erase(&scene.project, &environment, &endpoint, 2, "asked to").unwrap();
    scene.gc();
    assert!(find(&scene.project, "second", None).is_err());
    assert!(find(&scene.project, "third", None).is_ok());
    assert!(kept.iter().all(|digest| data.bytes(digest).is_ok()));
    assert!(erased.iter().all(|digest| data.bytes(digest).is_err()), "its bytes are gone");
    drop(keeper);
}

#[test]
fn only_the_logged_share_of_requests_is_in_the_share() {
    let share = crate::deploy::Share::new(0.25).unwrap();
    let kept = |id: &u32| is_logged(share, &id.to_string());
    let first: Vec<u32> = (0..4000).filter(kept).collect();
    assert!((850..1150).contains(&first.len()), "{}", first.len());
    assert_eq!(first, (0..4000).filter(kept).collect::<Vec<u32>>());
}
