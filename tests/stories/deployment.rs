//! Models in an environment: deployed, tried, called off, rolled back under load, logged and made again.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stagewright_tests::{Got, Lab, Serving, receive, send};

use crate::guests;

/// Trapping at every call.
const BROKEN: &str = "unreachable";

/// A project with versions of a model `echo`, which returns its only column, `x`: the first version does just that, the
/// others do something else first.
fn echoes(others: &[&str]) -> Lab {
    let lab = Lab::empty();
    lab.ok(&["init"]);
    // What gates hold back is another story.
    lab.write("stagewright.toml", "[gate]\nenvironments = []\n");
    lab.write("rows.csv", "x\n0.5\n1.5\n2.5\n");
    lab.ok(&["data", "add", "rows", "rows.csv"]);
    for (number, first) in [""].iter().chain(others).enumerate() {
        let name = format!("echo{number}");
        lab.write(&format!("{name}.wasm"), guests::model_that(first));
        lab.ok(&["plugin", "add", &format!("{name}.wasm")]);
        let pipeline = format!(
            "[pipeline]\nname = \"echo\"\n\n[data]\nrows = \"rows\"\n\n[stage.train]\ntrainer = \"{name}\"\n\
             input = \"data.rows\"\n\n[model]\nname = \"echo\"\n"
        );
        lab.write("echo.toml", pipeline);
        lab.ok(&["run", "echo.toml"]);
    }
    lab
}

/// A harmless difference, so that there is another model.
const OTHER: &str = "(drop (i32.const 1))";

fn serve(lab: &Lab) -> Serving {
    Serving::start(lab, &["--environment", "production"])
}

fn predict(serving: &Serving, id: &str, x: f64) -> Got {
    let body = format!("{{\"x\":{x}}}");
    serving.ask("POST", "/predict/echo", &[("x-request-id", id)], body.as_bytes())
}

fn model(got: &Got) -> &str {
    got.header("x-model").unwrap_or("none")
}

/// Waits until something is so; what takes longer than this hangs.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what} does not come to hold");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Asks on several connections while `change` runs. Every request must be answered; returns how many were, by each model.
fn under_load(serving: &Serving, change: impl FnOnce()) -> Vec<(String, usize)> {
    let (done, first) = (AtomicBool::new(false), AtomicUsize::new(0));
    let models: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (done, first) = (&done, &first);
                scope.spawn(move || {
                    let mut stream = serving.connect();
                    let mut models = Vec::new();
                    for number in 0.. {
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                        let id = format!("load-{client}-{number}");
                        send(&mut stream, "POST", "/predict/echo", &[("x-request-id", &id)], b"{\"x\":2.5}");
                        let got = receive(&mut stream);
                        assert_eq!((got.status, got.text().as_str()), (200, r#"{"score":2.5}"#));
                        models.push(model(&got).to_owned());
                        first.fetch_add(1, Ordering::Relaxed);
                    }
                    models
                })
            })
            .collect();
        until("the first answers", || first.load(Ordering::Relaxed) > 100);
        change();
        let before = first.load(Ordering::Relaxed);
        until("some answers after the change", || first.load(Ordering::Relaxed) > before + 100);
        done.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().expect("every request is answered")).collect()
    });
    let count = |name: &str| (name.to_owned(), models.iter().filter(|model| *model == name).count());
    let counts = vec![count("echo@1"), count("echo@2")];
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<usize>(), models.len());
    counts
}

#[test]
fn no_request_is_dropped_while_models_are_deployed_and_rolled_back_under_load() {
    let lab = echoes(&[OTHER]);
    lab.ok(&["deploy", "echo@1", "--to", "production"]);
    let serving = serve(&lab);
    let deployed = under_load(&serving, || drop(lab.ok(&["deploy", "echo@2", "--to", "production"])));
    assert!(deployed.iter().all(|(_, count)| *count > 0), "both answered: {deployed:?}");
    assert_eq!(model(&predict(&serving, "after", 1.0)), "echo@2");
    let back = under_load(&serving, || drop(lab.ok(&["rollback", "production", "-m", "just to see"])));
    assert!(back.iter().all(|(_, count)| *count > 0), "both answered: {back:?}");
    assert_eq!(model(&predict(&serving, "back", 1.0)), "echo@1");

    let history = lab.json(&["deployments", "history", "production"]);
    let actions: Vec<_> = history.as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["roll-back", "deploy", "deploy"]);
    let refused = lab.run(&["rollback", "production"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("nothing to roll back to"), "{}", refused.err);
    let (status, log) = serving.stop();
    assert!(status.success(), "{log}");
}

#[test]
fn a_canary_that_traps_is_called_off_by_itself_and_nobody_who_asks_notices() {
    let lab = echoes(&[BROKEN]);
    lab.ok(&["deploy", "echo@1", "--to", "production"]);
    let serving = serve(&lab);
    lab.ok(&["deploy", "echo@2", "--to", "production", "--canary", "50%"]);
    for number in 0..400 {
        let got = predict(&serving, &format!("canary-{number}"), 2.0);
        assert_eq!((got.status, got.text().as_str(), model(&got)), (200, r#"{"score":2.0}"#, "echo@1"));
    }
    // As many failures as it takes to be sure, and no more.
    until("the ledger knows", || {
        let history = lab.json(&["deployments", "history"]);
        history[0]["action"] == "abort" && history[0]["figures"][1]["errors"] == 20
    });
    let status = lab.json(&["deployments", "status"]);
    assert_eq!((&status[0]["plan"]["champion"]["number"], &status[0]["plan"]["trial"]), (&json!(1), &Value::Null));
    // The canary's failures are kept beside the answers that were given in its place.
    until("all of it is logged", || lab.json(&["predictions", "list"])[0]["rows"] == 420);
    let (_, log) = serving.stop();
    assert!(log.contains("alarm: a model failed while it answered"), "{log}");
    lab.ok(&["audit", "verify"]);
}

#[test]
fn a_canary_that_loops_leaves_time_for_the_present_model_to_answer() {
    let lab = echoes(&["(loop $again (br $again))"]);
    let settings = std::fs::read_to_string(lab.file("stagewright.toml")).unwrap();
    lab.write("stagewright.toml", settings + "\n[serve]\ntimeout = \"4s\"\n");
    lab.ok(&["deploy", "echo@1", "--to", "production"]);
    let serving = serve(&lab);
    lab.ok(&["deploy", "echo@2", "--to", "production", "--canary", "50%"]);
    // Which requests meet the canary is a matter of their ids; of these four some do.
    for number in 0..4 {
        let got = predict(&serving, &format!("looped-{number}"), 2.0);
        assert_eq!((got.status, model(&got)), (200, "echo@1"), "{}", got.text());
    }
    // Whoever names the version wants its own answer.
    let asked = serving.post(
        "/v2/models/echo/versions/2/infer",
        r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[1.5]}]}"#,
    );
    assert!([500, 504].contains(&asked.status), "{}", asked.text());
}

#[test]
fn an_ab_test_gives_each_key_one_model_and_a_shadow_answers_nobody() {
    let lab = echoes(&[OTHER]);
    lab.ok(&["deploy", "echo@1", "--to", "production"]);
    let serving = serve(&lab);
    lab.ok(&["deploy", "echo@2", "--to", "production", "--split", "0.3"]);
    let key = |key: usize| {
        let key = format!("customer {key}");
        let got = serving.ask("POST", "/predict/echo", &[("x-route-key", &key)], b"{\"x\":1}");
        model(&got).to_owned()
    };
    let first: Vec<String> = (0..300).map(key).collect();
    let second: Vec<String> = (0..300).map(key).collect();
    assert_eq!(first, second, "one key meets one model");
    let challenged = first.iter().filter(|model| *model == "echo@2").count();
    assert!((60..120).contains(&challenged), "{challenged} of 300");
    lab.ok(&["rollback", "production"]);

    lab.ok(&["deploy", "echo@2", "--to", "production", "--shadow"]);
    assert_eq!(model(&predict(&serving, "shadowed", 4.0)), "echo@1");
    until("both answers are logged", || {
        let said = lab.run(&["--json", "predictions", "show", "shadowed"]);
        serde_json::from_str::<Value>(&said.out).is_ok_and(|shown| shown.as_array().map_or(0, Vec::len) == 2)
    });
    let shown = lab.json(&["predictions", "show", "shadowed"]);
    let mut roles: Vec<_> =
        shown.as_array().unwrap().iter().map(|one| one["answer"]["role"].as_str().unwrap()).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["champion", "shadow"]);
    lab.ok(&["deployments", "promote", "production"]);
    assert_eq!(model(&predict(&serving, "promoted", 4.0)), "echo@2");
}

#[test]
fn a_logged_prediction_is_made_again_bit_for_bit_and_joins_what_turned_out_to_be_true() {
    let lab = echoes(&[OTHER]);
    lab.ok(&["deploy", "echo@1", "--to", "production"]);
    let serving = serve(&lab);
    predict(&serving, "one", 0.1);
    let rows = serving.ask("POST", "/predict/echo", &[("x-request-id", "three")], br#"[{"x":1},{"x":2},{"x":3}]"#);
    assert_eq!(rows.status, 200, "{}", rows.text());
    let feedback = serving.post(
        "/feedback/echo",
        r#"[{"request_id":"one","label":0.5},{"request_id":"three","row":2,"label":3.5},{"request_id":"none","label":1}]"#,
    );
    assert_eq!(feedback.json(), json!({ "accepted": 2, "unknown": ["none"] }));
    assert_eq!(serving.post("/feedback/echo", r#"{"label":1}"#).status, 400);
    assert_eq!(serving.post("/feedback/other", r#"{"request_id":"one","label":1}"#).status, 404);
    for id in ["one", "three"] {
        let replayed = lab.json(&["predictions", "replay", id]);
        assert_eq!(replayed[0]["replay"]["verdict"], "same", "{replayed}");
    }
    lab.ok(&["predictions", "export", "production", "joined.csv", "--with-feedback", "truth"]);
    let joined = std::fs::read_to_string(lab.file("joined.csv")).unwrap();
    let ends: Vec<_> = joined.lines().map(|line| line.rsplitn(4, ',').take(3).collect::<Vec<_>>()).collect();
    assert_eq!(ends, [["score", "truth", "x"], ["0.1", "0.5", "0.1"], ["3.0", "3.5", "3.0"]]);
    let unknown = lab.run(&["predictions", "replay", "never"]);
    assert_eq!(unknown.code, Some(1), "{}", unknown.err);
    let (status, log) = serving.stop();
    assert!(status.success(), "{log}");
    lab.ok(&["predictions", "replay", "one"]);
}

#[test]
fn nothing_that_was_said_to_be_logged_is_lost_when_the_server_is_killed_under_load() {
    let lab = echoes(&[]);
    lab.ok(&["deploy", "echo@1", "--to", "production"]);
    let serving = serve(&lab);
    let logged = |serving: &Serving| -> u64 {
        let metrics = serving.get("/metrics").text();
        let line = metrics.lines().find(|line| line.starts_with("stagewright_predictions_logged_total "));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("the figure is there")
    };
    let acknowledged = thread::scope(|scope| {
        let serving = &serving;
        let client = scope.spawn(move || {
            use std::io::{Read as _, Write as _};
            let mut stream = serving.connect();
            let request = b"POST /predict/echo HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 7\r\n\r\n{\"x\":1}";
            let mut back = [0; 4096];
            // Until the server is gone.
            while stream.write_all(request).is_ok() && stream.read(&mut back).is_ok_and(|read| read > 0) {}
        });
        until("enough is logged", || logged(serving) > 500);
        let acknowledged = logged(serving);
        serving.signal("-KILL");
        client.join().expect("the client ends");
        acknowledged
    });
    drop(serving);
    let listed = lab.json(&["predictions", "list"]);
    let rows = listed[0]["rows"].as_u64().unwrap();
    assert!(rows >= acknowledged, "{rows} rows of {acknowledged} that were said to be logged");
    lab.ok(&["fsck"]);
    let again = serve(&lab);
    assert_eq!(predict(&again, "again", 1.0).status, 200);
}

#[test]
fn deployments_that_make_no_sense_are_refused_with_what_to_do() {
    let lab = echoes(&[]);
    for (arguments, says) in [
        (vec!["deploy", "echo", "--to", "productoin"], "did you mean `production`?"),
        (vec!["deploy", "ecko", "--to", "production"], "did you mean `echo`?"),
        (vec!["deploy", "echo", "--to", "production", "--canary", "0.1"], "there is nothing to try echo@1 beside"),
        (vec!["deploy", "echo", "--to", "production", "--canary", "2"], "is no share"),
        (vec!["rollback", "production"], "nothing is deployed in production"),
        (vec!["deployments", "promote", "staging"], "nothing is deployed in staging"),
    ] {
        let said = lab.run(&arguments);
        assert_ne!(said.code, Some(0), "{arguments:?}");
        assert!(said.err.contains(says), "{arguments:?}: {}", said.err);
    }
}
