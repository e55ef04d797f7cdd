//! Clients that err, are slow, or mean harm.

use std::{
    io::{Read as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use stagewright_tests::{Serving, receive, send};

use super::{echo, income, person};

#[test]
fn rows_that_do_not_fit_are_refused_with_their_place() {
    let (_lab, serving) = income();
    let with = |name: &str, value: serde_json::Value| {
        let mut row = person();
        row[name] = value;
        serving.post("/predict/income", &row.to_string()).refusal()
    };
    assert_eq!(with("age", json!("39")), "400 column `age`: \"39\" is not a whole number of 64 bits");
    assert_eq!(with("agee", json!(39)), "400 column `agee`: the model knows no such column; did you mean `age`?");
    assert_eq!(
        with("age", json!(null)),
        "400 column `age`: a value is missing, and the model was trained on rows that all have one"
    );
    let mut without = person();
    without.as_object_mut().expect("a row").remove("gender");
    let got = serving.post("/predict/income", &json!([person(), without]).to_string());
    assert_eq!(got.refusal(), "400 row 1, column `gender`: the model needs it, and it is not there");
    let got = serving.post("/predict/income", r#"{"age": NaN}"#);
    assert!(got.refusal().ends_with("JSON has no NaN and no Infinity: write null for a missing value"));
    let csv = [("content-type", "text/csv")];
    let got = serving.ask("POST", "/predict/income", &csv, b"age,gender\n39,Male\n");
    assert!(got.refusal().ends_with("the model needs it, and it is not there"), "{}", got.text());
    // A word that training never saw is no mistake of the caller's.
    let mut row = person();
    row["occupation"] = json!("Astronaut");
    assert_eq!(serving.post("/predict/income", &row.to_string()).status, 200);
}

#[test]
fn tensors_that_do_not_fit_are_refused_with_their_column() {
    let lab = echo("unreachable", "");
    let serving = Serving::start(&lab, &["echo"]);
    let infer = |inputs: serde_json::Value| {
        serving.post("/v2/models/echo/infer", &json!({ "inputs": inputs }).to_string()).refusal()
    };
    let tensor = |name: &str, datatype: &str, shape: serde_json::Value, data: serde_json::Value| json!([{ "name": name, "datatype": datatype, "shape": shape, "data": data }]);
    assert_eq!(infer(tensor("x", "BYTES", json!([1]), json!(["a"]))), "400 column `x`: it takes FP64, not BYTES");
    assert_eq!(
        infer(tensor("x", "FP64", json!([2]), json!([1.0]))),
        "400 column `x`: its shape [2] says 2 values, and it has 1"
    );
    assert_eq!(
        infer(tensor("x", "FP64", json!([1, 2]), json!([1.0, 2.0]))),
        "400 column `x`: its shape is [1, 2]; a column has the shape [rows] or [rows, 1]"
    );
    assert_eq!(infer(tensor("x", "FP64", json!([1]), json!(["1"]))), "400 row 0, column `x`: \"1\" is not a number");
    assert_eq!(
        infer(tensor("y", "FP64", json!([1]), json!([1.0]))),
        "400 column `y`: the model knows no such column; did you mean `x`?"
    );
    assert_eq!(infer(json!([])), "400 column `x`: the model needs it, and it is not there");
    let huge = json!([{ "name": "x", "datatype": "FP64", "shape": [u64::MAX], "data": [] }]);
    assert!(infer(huge).starts_with("400 "), "a shape is not believed");
    let binary = |length: &str, body: &[u8]| {
        serving.ask("POST", "/v2/models/echo/infer", &[("inference-header-content-length", length)], body)
    };
    let head = br#"{"inputs":[{"name":"x","datatype":"FP64","shape":[1],"parameters":{"binary_data_size":8}}]}"#;
    let length = head.len().to_string();
    let whole = [head.as_slice(), &0.5_f64.to_le_bytes()].concat();
    assert_eq!(binary(&length, &whole).status, 200);
    assert_eq!(
        binary(&length, &whole[..whole.len() - 1]).refusal(),
        "400 column `x`: it should have 8 bytes of binary data, and 7 are left"
    );
    assert_eq!(
        binary(&length, &[&whole[..], b"x"].concat()).refusal(),
        "400 1 bytes of binary data belong to no input"
    );
    for nonsense in ["", "-1", "99999999999999999999", "x", "1000"] {
        assert_eq!(binary(nonsense, &whole).status, 400, "{nonsense}");
    }
    let missing = [head.as_slice(), &f64::NAN.to_le_bytes()].concat();
    assert_eq!(
        binary(&length, &missing).refusal(),
        "400 row 0, column `x`: a value is missing, and the model was trained on rows that all have one"
    );
}

#[test]
fn paths_lead_nowhere_but_to_endpoints() {
    let lab = echo("unreachable", "");
    let serving = Serving::start(&lab, &["echo"]);
    for path in [
        "/",
        "//",
        "/predict",
        "/predict/",
        "/predict/nobody",
        "/predict/echo/",
        "/predict/../metrics",
        "/predict/%2e%2e/metrics",
        "/predict/echo%00",
        "/predict/..%2f..%2fetc%2fpasswd",
        "/v2/models/..",
        "/v2/models/echo/versions/2",
        "/v2/models/echo/versions/x/infer",
        "/v2/models/echo/../../..",
        "/v3",
        "/metrics/..",
        "/v2/models//infer",
    ] {
        let got = serving.ask(if path.starts_with("/v2") { "GET" } else { "POST" }, path, &[], b"{}");
        assert!([404, 405].contains(&got.status), "{path}: {}", got.text());
        assert!(got.json()["error"].is_string(), "{path}");
    }
    assert_eq!(serving.post("/predict/ecko", "{}").refusal(), "404 there is no endpoint `ecko`; did you mean `echo`?");
    let got = serving.get("/predict/echo");
    assert_eq!((got.refusal().as_str(), got.header("allow")), ("405 this path takes POST", Some("POST")));
    assert_eq!(serving.ask("TRACE", "/metrics", &[], b"").status, 405);
    let got = serving.ask("POST", "/predict/echo", &[("content-type", "application/x-parquet")], b"PAR1");
    assert_eq!(got.refusal(), "415 rows come as application/json or text/csv, not as `application/x-parquet`");
    let got = serving.ask("POST", "/predict/echo", &[("content-encoding", "gzip")], b"\x1f\x8b");
    assert_eq!(got.refusal(), "415 compressed bodies are not read; send the body as it is");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let lab = echo("unreachable", "body = \"1KiB\"\nrows = 50\n");
    let serving = Serving::start(&lab, &["echo"]);
    let row = r#"{"x":1.5}"#;
    let rows = |count: usize| format!("[{}]", vec![row; count].join(","));
    assert_eq!(serving.post("/predict/echo", &rows(50)).status, 200);
    assert_eq!(
        serving.post("/predict/echo", &rows(51)).refusal(),
        "413 there are more than 50 rows; send fewer at once"
    );
    let too_large = "413 the body is larger than 1024 bytes (`serve.body` in stagewright.toml)";
    assert_eq!(serving.post("/predict/echo", &" ".repeat(1025)).refusal(), too_large);
    // Announced, and never sent.
    let mut stream = serving.connect();
    let head = "POST /predict/echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("it can be written");
    assert_eq!(receive(&mut stream).refusal(), too_large);
    // Not announced.
    let chunk = format!("400\r\n{}\r\n", " ".repeat(1024));
    let chunks =
        format!("POST /predict/echo HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}");
    let mut stream = serving.connect();
    stream.write_all(chunks.as_bytes()).expect("it can be written");
    assert_eq!(receive(&mut stream).refusal(), too_large);
    // A header without end.
    let header = format!("GET /v2 HTTP/1.1\r\nhost: localhost\r\nx-padding: {}\r\n\r\n", "x".repeat(300_000));
    let said = serving.raw(header.as_bytes());
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&said));
    assert_eq!(serving.post("/predict/echo", row).status, 200);
}

#[test]
fn slow_clients_are_told_and_do_not_keep_others_waiting() {
    let lab = echo("unreachable", "patience = \"300ms\"\n");
    let serving = Serving::start(&lab, &["echo"]);
    let began = Instant::now();
    // Half a header, half a body, nothing at all.
    let mut header = serving.connect();
    header.write_all(b"POST /predict/echo HTTP/1.1\r\nhos").expect("it can be written");
    let mut body = serving.connect();
    body.write_all(b"POST /predict/echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{\"x\"")
        .expect("it can be written");
    let mut nothing = serving.connect();
    assert_eq!(serving.post("/predict/echo", r#"{"x":1.5}"#).status, 200);
    assert_eq!(
        receive(&mut body).refusal(),
        "408 the body did not arrive within 0.3 s (`serve.patience` in stagewright.toml)"
    );
    assert_eq!(receive(&mut header).status, 408);
    let mut rest = Vec::new();
    assert_eq!(nothing.read_to_end(&mut rest).expect("it is closed"), 0);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_client_that_sends_no_more_still_gets_its_answer_and_one_that_is_gone_harms_nobody() {
    let lab = echo("unreachable", "");
    let serving = Serving::start(&lab, &["echo"]);
    let request = b"POST /predict/echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{\"x\":1.5}";
    let said = String::from_utf8_lossy(&serving.raw(request)).into_owned();
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("{\"score\":1.5}"), "{said}");
    for cut in [1, 30, request.len() - 1] {
        let said = String::from_utf8_lossy(&serving.raw(&request[..cut])).into_owned();
        assert!(!said.contains(" 200 "), "{said}");
    }
    for _ in 0..50 {
        let mut stream = serving.connect();
        stream.write_all(request).expect("it can be written");
    }
    for nonsense in
        [&b"\0\0\0\0\r\n\r\n"[..], b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"POST / HTTP/9.9\r\n\r\n"]
    {
        let said = serving.raw(nonsense);
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&said));
    }
    assert_eq!(serving.post("/predict/echo", r#"{"x":1.5}"#).status, 200);
}

#[test]
fn more_connections_than_there_is_room_for_are_refused_at_once() {
    let lab = echo("unreachable", "connections = 4\n");
    let serving = Serving::start(&lab, &["echo"]);
    let mut held: Vec<_> = (0..4).map(|_| serving.connect()).collect();
    for stream in &mut held {
        send(stream, "GET", "/v2/health/live", &[], b"");
        assert_eq!(receive(stream).status, 200);
    }
    let mut fifth = serving.connect();
    let refused = receive(&mut fifth);
    assert_eq!(refused.refusal(), "503 too many connections are open; ask again in a moment");
    assert_eq!(refused.header("retry-after"), Some("1"));
    held.pop();
    let again = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(20));
        let mut stream = serving.connect();
        let _ = stream.write_all(b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let mut first = [0; 12];
        stream.read_exact(&mut first).is_ok() && &first == b"HTTP/1.1 200"
    });
    assert!(again, "a place that became free is given to the next");
}

#[test]
fn nobody_listens_beyond_this_machine_by_accident() {
    let lab = echo("unreachable", "");
    let said = lab.run(&["serve", "--listen", "0.0.0.0:0", "echo"]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.err.contains("nothing would be encrypted: give --certificate and --key, or say --plain"),
        "{}",
        said.err
    );
}

#[test]
fn a_page_of_another_site_gets_nothing_from_this_machine() {
    let lab = echo("unreachable", "");
    let serving = Serving::start(&lab, &["echo"]);
    let refused = "403 this server answers only its own machine without a token, and this request names another";
    let got = serving.ask("POST", "/predict/echo", &[("origin", "https://example.org")], br#"{"x":1}"#);
    assert_eq!(got.refusal(), refused);
    let mut stream = serving.connect();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: rebound.example.org\r\n\r\n").expect("it can be written");
    assert_eq!(receive(&mut stream).refusal(), refused);
    let got = serving.ask("POST", "/predict/echo", &[("authorization", "Bearer guessed")], br#"{"x":1}"#);
    assert_eq!(got.refusal(), "401 this needs a token that is good for it");
}

#[test]
fn whoever_asks_needs_a_token_that_is_good_for_it_where_tokens_are_asked_for() {
    let lab = echo("unreachable", "");
    lab.ok(&["user", "add", "ada", "--role", "admin"]);
    let token =
        |scope: &str| lab.json(&["token", "create", "ada", "--scope", scope])["token"].as_str().map(str::to_owned);
    let (predict, read) = (token("predict:models").expect("a token"), token("read").expect("a token"));
    let serving = Serving::start(&lab, &["echo", "--access", "tokens"]);
    let ask = |token: &str| {
        let bearer = format!("Bearer {token}");
        serving.ask("POST", "/predict/echo", &[("authorization", &bearer)], br#"{"x":1.5}"#)
    };
    let none = "401 this needs a token that is good for it";
    let nobody = serving.post("/predict/echo", r#"{"x":1.5}"#);
    assert_eq!((nobody.refusal().as_str(), nobody.header("www-authenticate")), (none, Some("Bearer")));
    for wrong in ["", "guessed", &predict[..predict.len() - 1], &format!("{predict}0"), "sw_0000000000000000_00"] {
        assert_eq!(ask(wrong).refusal(), none, "{wrong}");
    }
    assert_eq!((ask(&predict).status, ask(&predict).status), (200, 200));
    assert_eq!(ask(&read).refusal(), "403 this token is not good for `predict` in the models repository");
    assert_eq!(serving.get("/metrics").refusal(), none);
    let bearer = format!("Bearer {read}");
    assert_eq!(serving.ask("GET", "/metrics", &[("authorization", &bearer)], b"").status, 200);
    assert_eq!(serving.get("/v2/health/live").status, 200);
    // Through the daemon that is serving: good a moment ago is not good enough.
    let id = predict.split('_').nth(1).expect("a token has an id");
    lab.ok(&["token", "revoke", id]);
    assert_eq!(ask(&predict).refusal(), "401 this token was revoked; `stagewright token create` makes another");
    let short = lab.json(&["token", "create", "ada", "--scope", "predict:models", "--expires", "1s"]);
    let short = short["token"].as_str().expect("a token").to_owned();
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(ask(&short).refusal(), "401 this token has expired; `stagewright token create` makes another");
    assert_eq!(ask(&format!("{short}0")).refusal(), none, "who does not know the secret learns nothing");
    let (_, log) = serving.stop();
    assert!(!log.contains(&predict) && !log.contains("guessed"), "a token is not logged: {log}");
}

#[test]
fn where_tokens_are_asked_for_everything_is_refused_until_there_is_one() {
    let lab = echo("unreachable", "");
    lab.ok(&["user", "add", "ada", "--role", "admin"]);
    let serving = Serving::start(&lab, &["echo", "--access", "tokens"]);
    let none = "401 this needs a token that is good for it";
    for path in ["/metrics", "/v2/models/echo", "/v2/models/echo/ready"] {
        assert_eq!(serving.get(path).refusal(), none, "{path}");
    }
    for path in ["/predict/echo", "/predict/other", "/feedback/echo", "/v2/models/echo/infer"] {
        assert_eq!(serving.post(path, r#"{"x":1.5}"#).refusal(), none, "{path}");
    }
    let token = lab.json(&["token", "create", "ada", "--scope", "predict:models"])["token"].clone();
    let bearer = format!("Bearer {}", token.as_str().expect("a token"));
    let got = serving.ask("POST", "/predict/echo", &[("authorization", &bearer)], br#"{"x":1.5}"#);
    assert_eq!(got.text(), r#"{"score":1.5}"#);
    let (_, log) = serving.stop();
    assert!(log.contains("every request is refused until there is a token"), "{log}");
}
