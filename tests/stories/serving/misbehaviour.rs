//! Models that crash, loop, leak and lie while they answer: their request fails, nobody else's does, and an alarm is
//! raised.

use std::{
    thread,
    time::{Duration, Instant},
};

use stagewright_tests::{Got, Serving, receive, send};

use super::echo;

const LOOP: &str = "(loop $again (br $again))";
const GREED: &str = "(if (i32.eq (i32.const -1) (memory.grow (i32.const 2000))) (then unreachable))";

/// One poisoned request among many good ones, all at once; returns what the poisoned one got.
fn one_among_many(serving: &Serving) -> Got {
    thread::scope(|scope| {
        let good: Vec<_> = (0..8)
            .map(|client| {
                scope.spawn(move || {
                    let mut stream = serving.connect();
                    for number in 0..50 {
                        let x = f64::from(client * 1000 + number) + 10_000.25;
                        send(&mut stream, "POST", "/predict/echo", &[], format!("{{\"x\":{x}}}").as_bytes());
                        let got = receive(&mut stream);
                        assert_eq!((got.status, got.text()), (200, format!("{{\"score\":{x}}}")));
                    }
                })
            })
            .collect();
        let bad = serving.post("/predict/echo", r#"{"x":666}"#);
        good.into_iter().for_each(|thread| thread.join().expect("every good request is answered"));
        bad
    })
}

#[test]
fn a_model_that_crashes_fails_one_request_and_raises_an_alarm() {
    let lab = echo("unreachable", "");
    let serving = Serving::start(&lab, &["echo"]);
    assert_eq!(
        one_among_many(&serving).refusal(),
        "500 the model failed while it answered this request: the plugin crashed: wasm `unreachable` instruction executed"
    );
    assert_eq!(serving.post("/predict/echo", r#"{"x":1.5}"#).text(), r#"{"score":1.5}"#);
    let metrics = serving.get("/metrics").text();
    assert!(
        metrics.contains(
            "stagewright_model_requests_unanswered_total{endpoint=\"echo\",variant=\"champion\",model=\"echo@1\"} 1\n"
        ),
        "{metrics}"
    );
    assert!(
        !metrics.contains("instances_replaced_total{endpoint=\"echo\",variant=\"champion\",model=\"echo@1\"} 0\n"),
        "{metrics}"
    );
    let (status, log) = serving.stop();
    assert!(status.success(), "{log}");
    assert!(
        log.contains("alarm: a model failed while it answered") && log.contains("\"trouble\":\"trapped\""),
        "{log}"
    );
    let audit = lab.ok(&["audit", "log", "--repository", "ledger"]).out;
    assert!(audit.contains("alarm"), "{audit}");
}

#[test]
fn a_model_that_loops_is_stopped_and_nobody_else_waits_for_it() {
    let lab = echo(LOOP, "timeout = \"2s\"\n");
    let serving = Serving::start(&lab, &["echo"]);
    let began = Instant::now();
    let bad = one_among_many(&serving);
    assert!([500, 504].contains(&bad.status), "{}", bad.text());
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(serving.post("/predict/echo", r#"{"x":1.5}"#).text(), r#"{"score":1.5}"#);
    let (_, log) = serving.stop();
    assert!(log.contains("\"trouble\":\"looped\""), "{log}");
}

#[test]
fn a_model_that_wants_too_much_memory_is_stopped() {
    let lab = echo(GREED, "memory = \"16MiB\"\n");
    let serving = Serving::start(&lab, &["echo"]);
    assert_eq!(
        one_among_many(&serving).refusal(),
        "500 the model failed while it answered this request: it needs more than 16 MiB (`serve.memory` in \
         stagewright.toml raises this)"
    );
}

#[test]
fn a_model_that_returns_nonsense_fails_its_request() {
    // More rows than were asked for.
    let lab = echo("(local.set $rows (i32.const 7))", "");
    let serving = Serving::start(&lab, &["echo"]);
    assert_eq!(
        one_among_many(&serving).refusal(),
        "500 the model failed while it answered this request: the plugin returned a bad batch of predictions: it has 7 \
         rows for 1 rows"
    );
}

#[test]
fn what_waits_too_long_is_told_so_and_too_many_are_turned_away() {
    let lab = echo(LOOP, "timeout = \"500ms\"\nqueue = 2\ninstances = 1\nbatch = 1\n");
    let serving = Serving::start(&lab, &["echo"]);
    let got: Vec<Got> = thread::scope(|scope| {
        let asked: Vec<_> = (0..12).map(|_| scope.spawn(|| serving.post("/predict/echo", r#"{"x":666}"#))).collect();
        asked.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    let count = |status| got.iter().filter(|got| got.status == status).count();
    assert_eq!(count(500) + count(503) + count(504), 12, "{got:?}");
    assert!(count(503) >= 6 && count(504) >= 1, "{got:?}");
    for refused in got.iter().filter(|got| got.status == 503) {
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert!(refused.refusal().contains("requests wait for this model already"), "{}", refused.text());
    }
}

#[test]
fn requests_that_began_are_answered_when_the_server_is_told_to_stop() {
    let lab = echo("unreachable", "");
    let serving = Serving::start(&lab, &["echo"]);
    let mut stream = serving.connect();
    // The header and half of the body.
    let body = br#"{"x": 2.5}"#;
    let head = format!("POST /predict/echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    std::io::Write::write_all(&mut stream, &[head.as_bytes(), &body[..4]].concat()).expect("it can be written");
    thread::sleep(Duration::from_millis(100));
    serving.signal("-TERM");
    thread::sleep(Duration::from_millis(100));
    assert!(std::net::TcpStream::connect(serving.address).is_err(), "new connections are not taken");
    std::io::Write::write_all(&mut stream, &body[4..]).expect("it can be written");
    assert_eq!(receive(&mut stream).text(), r#"{"score":2.5}"#);
    let (status, log) = serving.ended();
    assert!(status.success(), "{log}");
}
