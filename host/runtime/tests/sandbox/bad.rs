//! What guests that do not behave get, in the words that people see.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use stagewright_runtime::{CancelToken, Job, Limits, StageError, WorkerPool};

use crate::{
    guests::{self, Bad},
    scene::{failure, numbers, pool, prepare, run, validate},
};

crate::stories![
    a_guest_that_traps_is_named_as_crashed,
    a_guest_that_loops_is_stopped_in_time,
    a_guest_that_allocates_without_end_meets_its_limit,
    several_memories_share_one_limit,
    compiling_is_bounded_in_time_and_memory,
    a_guest_that_recurses_without_end_meets_its_stack,
    a_guest_that_floods_its_log_succeeds_with_lines_counted,
    a_guest_that_floods_a_curve_succeeds_with_points_counted,
    batches_that_break_the_layout_are_refused_by_column,
    an_output_that_was_never_started_is_refused,
    an_output_beyond_its_limit_is_refused,
    weights_that_point_outside_memory_are_refused,
    a_cancelled_job_ends_at_once,
    other_jobs_are_unharmed_by_a_killed_one,
    a_worker_that_cannot_be_started_is_the_operators_problem,
    a_worker_that_talks_nonsense_harms_only_its_job,
];

fn with_limits(job: Job, change: impl FnOnce(&mut Limits)) -> Job {
    let mut job = job;
    change(&mut job.limits);
    job
}

const FOR_EVER: &str = "(loop $again (br $again))";

fn a_guest_that_traps_is_named_as_crashed() {
    assert_eq!(
        failure(validate(guests::validator("unreachable"))),
        "the plugin crashed: wasm `unreachable` instruction executed"
    );
    assert_eq!(
        failure(validate(guests::validator("(drop (i32.load (i32.const -8)))"))),
        "the plugin crashed: out of bounds memory access"
    );
    assert_eq!(
        failure(validate(guests::validator("(drop (i32.div_u (i32.const 1) (i32.const 0)))"))),
        "the plugin crashed: integer divide by zero"
    );
}

fn a_guest_that_loops_is_stopped_in_time() {
    let job = with_limits(validate(guests::validator(FOR_EVER)), |limits| limits.time = Duration::from_millis(300));
    assert_eq!(failure(job), "the stage ran longer than 0.3 s (`limits.time` in stagewright.toml raises this)");
}

fn a_guest_that_allocates_without_end_meets_its_limit() {
    let body = "(loop $again (br_if $again (i32.ne (i32.const -1) (memory.grow (i32.const 16))))) unreachable";
    let job = with_limits(validate(guests::validator(body)), |limits| limits.memory_bytes = 64 << 20);
    assert_eq!(
        failure(job),
        "the stage needs more than 64 MiB of memory (`limits.memory` in stagewright.toml raises this)"
    );
}

fn several_memories_share_one_limit() {
    let memories = "(memory $second 1) (memory $third 1)";
    let grow = |memory: &str| format!("(drop (memory.grow {memory} (i32.const 400)))");
    let limited = |body: &str| {
        with_limits(validate(guests::validator_with(memories, body)), |limits| limits.memory_bytes = 64 << 20)
    };
    let two = grow("$second") + &grow("$third");
    let peak = run(limited(&two)).unwrap().peak_memory;
    assert!((50 << 20..64 << 20).contains(&peak), "{peak}");
    let three = two + "(if (i32.eq (i32.const -1) (memory.grow (i32.const 400))) (then unreachable))";
    assert_eq!(
        failure(limited(&three)),
        "the stage needs more than 64 MiB of memory (`limits.memory` in stagewright.toml raises this)"
    );
}

fn compiling_is_bounded_in_time_and_memory() {
    // Large enough to be still compiling when its memory is looked at.
    let body: String = (0..40_000).map(|n| format!("(drop (i32.load (i32.const {n})))")).collect();
    let job = || validate(guests::validator(&body));
    assert_eq!(
        failure(with_limits(job(), |limits| limits.compile_time = Duration::from_millis(1))),
        "the component could not be compiled: it takes longer than 0.001 s (`limits.compile-time` in stagewright.toml \
         raises this)"
    );
    assert_eq!(
        failure(with_limits(job(), |limits| limits.compile_memory_bytes = 1 << 20)),
        "the component could not be compiled: it needs more than 1 MiB (`limits.compile-memory` in stagewright.toml \
         raises this)"
    );
    run(job()).unwrap();
}

fn a_guest_that_recurses_without_end_meets_its_stack() {
    assert_eq!(
        failure(validate(guests::validator("(drop (call $recurse (i32.const 0)))"))),
        "the plugin used up its stack of 2048 KiB: it recurses too deeply"
    );
}

const A_HUNDRED_THOUSAND_TIMES: &str = "(local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $i) (i32.const 100000)))";

fn a_guest_that_floods_its_log_succeeds_with_lines_counted() {
    let body =
        format!("(loop $again (call $log (i32.const 1) (i32.const 2048) (i32.const 29)) {A_HUNDRED_THOUSAND_TIMES})");
    let log = run(validate(guests::validator(&body))).unwrap().log;
    assert_eq!((log.lines.len(), log.dropped_lines), (10_000, 90_000));
    assert_eq!(log.lines[0].message, "the same line again and again");
}

fn a_guest_that_floods_a_curve_succeeds_with_points_counted() {
    let body = format!(
        "(loop $again (call $metric (i32.const 2048) (i32.const 4) (i64.const 1) (f64.const 0.5))
            {A_HUNDRED_THOUSAND_TIMES})"
    );
    let job = with_limits(validate(guests::validator(&body)), |limits| limits.metric_points = 10);
    let log = run(job).unwrap().log;
    assert_eq!((log.curves.len(), log.dropped_points), (10, 99_990));
}

fn batches_that_break_the_layout_are_refused_by_column() {
    const INT64: u8 = 1;
    const TEXT: u8 = 4;
    const CATEGORY: u8 = 5;
    let good = Bad { column_type: INT64, rows: 2, values: &[0; 16], validity: None, offsets: None, word: None };
    let (job, kept) = prepare(guests::writer_of(&good), numbers(&[]));
    run(job).unwrap();
    assert_eq!(kept.table().batches[0].rows, 2);

    let offsets =
        |last: u8| -> &'static [u8] { Box::leak(vec![0, 0, 0, 0, 1, 0, 0, 0, last, 0, 0, 0].into_boxed_slice()) };
    let cases = [
        (Bad { values: &[0; 15], ..good }, "column `x` (int64): values holds 15 bytes where 2 rows need 16"),
        (Bad { rows: 3, ..good }, "column `x` (int64): values holds 16 bytes where 3 rows need 24"),
        (
            Bad { validity: Some(&[0b01]), ..good },
            "column `x` (int64): row 1 has no value, and the column is not nullable",
        ),
        (
            Bad { column_type: TEXT, values: b"ab", offsets: Some(offsets(9)), ..good },
            "column `x` (text): offset 2 is 9, which is no character boundary of 2 bytes",
        ),
        (
            Bad { column_type: TEXT, values: b"a\xff", offsets: Some(offsets(2)), ..good },
            "column `x` (text): not UTF-8 at byte 1",
        ),
        (
            Bad { column_type: CATEGORY, values: &[0, 0, 0, 0, 7, 0, 0, 0], word: Some(b"one"), ..good },
            "column `x` (category): row 1 has code 7, but there are 1 words",
        ),
    ];
    for (bad, problem) in cases {
        let (job, _) = prepare(guests::writer_of(&bad), numbers(&[]));
        assert_eq!(failure(job), format!("the plugin returned a bad output `table`: {problem}"));
    }
    let not_utf8 = Bad { column_type: CATEGORY, values: &[0; 8], word: Some(b"\xff"), ..good };
    let (job, _) = prepare(guests::writer_of(&not_utf8), numbers(&[]));
    assert_eq!(failure(job), "the plugin returned a bad value: invalid utf-8 sequence of 1 bytes from index 0");
}

fn an_output_that_was_never_started_is_refused() {
    let (job, _) = prepare(guests::preprocessor("", ""), numbers(&[]));
    assert_eq!(failure(job), "the plugin returned a bad output `table`: the stage ended without calling `start` on it");
}

fn an_output_beyond_its_limit_is_refused() {
    let (job, _) = prepare(guests::copier(), numbers(&[1.0; 1000]));
    let job = with_limits(job, |limits| limits.output_bytes = 10_000);
    assert_eq!(
        failure(job),
        "the output tables together exceeds 10000 bytes (`limits.output` in stagewright.toml raises this)"
    );
}

fn weights_that_point_outside_memory_are_refused() {
    let body = "(i32.store (i32.const 3076) (i32.const -16)) (i32.store (i32.const 3080) (i32.const 100))";
    assert_eq!(
        failure(validate(guests::validator(body))),
        "the plugin returned a bad value: list pointer/length out of bounds of memory"
    );
}

fn a_cancelled_job_ends_at_once() {
    let cancel = CancelToken::new();
    let job = validate(guests::validator(FOR_EVER));
    thread::scope(|scope| {
        let canceller = cancel.clone();
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(100));
            canceller.cancel();
        });
        let began = Instant::now();
        let error = pool().run(job, &cancel, &()).expect_err("this was cancelled");
        assert!(matches!(error, StageError::Cancelled), "{error}");
        assert!(began.elapsed() < Duration::from_secs(60));
    });
}

fn other_jobs_are_unharmed_by_a_killed_one() {
    thread::scope(|scope| {
        let runaway = scope.spawn(|| {
            let job = validate(guests::validator(FOR_EVER));
            failure(with_limits(job, |limits| limits.time = Duration::from_millis(200)))
        });
        for _ in 0..5 {
            let (job, kept) = prepare(guests::copier(), numbers(&[1.0]));
            run(job).unwrap();
            assert_eq!(kept.table().batches.len(), 2);
        }
        assert!(runaway.join().unwrap().starts_with("the stage ran longer than"));
    });
}

fn a_worker_that_cannot_be_started_is_the_operators_problem() {
    let pool = WorkerPool::new(vec!["/no/such/program".into()], 1, Arc::new(()));
    let error = pool.run(validate(guests::validator("")), &CancelToken::new(), &()).expect_err("there is no program");
    assert_eq!(error.to_string(), "no worker process could be started: No such file or directory (os error 2)");
}

fn a_worker_that_talks_nonsense_harms_only_its_job() {
    let error = |script: &str| {
        let pool = WorkerPool::new(vec!["/bin/sh".into(), "-c".into(), script.into()], 1, Arc::new(()));
        pool.run(validate(guests::validator("")), &CancelToken::new(), &()).expect_err("it is no worker").to_string()
    };
    assert_eq!(
        error("echo 'this is no frame, but long enough to be read as one'; exec sleep 9"),
        "the component could not be compiled: the compiler ended early: it broke the protocol: a frame from the other \
         process is too long"
    );
    assert!(error("kill -9 $$").contains("signal: 9"), "{}", error("kill -9 $$"));
}
