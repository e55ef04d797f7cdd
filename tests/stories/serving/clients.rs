//! What clients get: ours, and those of others.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::json;
use stagewright_tests::{Serving, receive, send, tool};

use super::{echo, income, person};

#[test]
fn answers_come_in_the_layout_of_the_question_and_are_the_same_in_each() {
    let (_lab, serving) = income();
    let mut other = person();
    other["age"] = json!(52);
    other["education"] = json!("Doctorate");
    let one = serving.post("/predict/income", &person().to_string());
    assert_eq!((one.status, one.header("x-model")), (200, Some("income@1")), "{}", one.text());
    let one = one.json();
    assert!(one["score"].as_f64().is_some_and(|score| (0.0..=1.0).contains(&score)), "{one}");
    let both = serving.post("/predict/income", &json!([person(), other]).to_string()).json();
    assert_eq!(both[0], one);
    assert_ne!(both[1], one);
    let names: Vec<String> = person().as_object().expect("a row").keys().cloned().collect();
    let columns: serde_json::Map<_, _> =
        names.iter().map(|name| (name.clone(), json!([person()[name], other[name]]))).collect();
    let columns = serving.post("/predict/income", &json!(columns).to_string()).json();
    for name in ["score", "prediction"] {
        assert_eq!(columns[name], json!([both[0][name], both[1][name]]));
    }
    let cell = |row: &serde_json::Value, name: &String| row[name].to_string().replace('"', "");
    let line = |row: &serde_json::Value| names.iter().map(|name| cell(row, name)).collect::<Vec<_>>().join(",");
    let csv = format!("{}\n{}\n{}\n", names.join(","), line(&person()), line(&other));
    let got = serving.ask("POST", "/predict/income", &[("content-type", "text/csv")], csv.as_bytes());
    assert_eq!(got.header("content-type"), Some("text/csv; charset=utf-8"));
    let mut lines = ["score,prediction".to_owned()].to_vec();
    for row in [&both[0], &both[1]] {
        lines.push(format!("{},{}", row["score"], row["prediction"].as_str().expect("a label")));
    }
    assert_eq!(got.text().lines().collect::<Vec<_>>(), lines);
}

#[test]
fn the_inference_protocol_says_what_a_model_takes_and_gives() {
    let lab = echo("unreachable", "");
    let serving = Serving::start(&lab, &["echo"]);
    assert_eq!(serving.get("/v2/health/live").json(), json!({ "live": true, "ready": true }));
    assert_eq!(serving.get("/v2/health/ready").json(), json!({ "live": true, "ready": true }));
    assert_eq!(serving.get("/v2").json()["extensions"], json!(["binary_tensor_data"]));
    let mut metadata = serving.get("/v2/models/echo").json();
    metadata.as_object_mut().expect("an object").remove("parameters");
    let column = |name: &str| json!({ "name": name, "datatype": "FP64", "shape": [-1], "parameters": { "type": "float64", "nullable": false } });
    assert_eq!(
        metadata,
        json!({
            "name": "echo", "versions": ["1"], "platform": "stagewright",
            "inputs": [column("x")], "outputs": [column("score")],
        })
    );
    assert_eq!(serving.get("/v2/models/echo/versions/1/ready").json(), json!({ "name": "echo", "ready": true }));
    let question = json!({
        "id": "7", "inputs": [{ "name": "x", "datatype": "FP32", "shape": [2, 1], "data": [[0.5], [1.25]] }],
        "outputs": [{ "name": "score" }],
    });
    assert_eq!(
        serving.post("/v2/models/echo/versions/1/infer", &question.to_string()).json(),
        json!({
            "model_name": "echo", "model_version": "1", "id": "7",
            "outputs": [{ "name": "score", "datatype": "FP64", "shape": [2], "data": [0.5, 1.25] }],
        })
    );
}

#[test]
fn requests_and_traces_keep_their_ids() {
    let lab = echo("unreachable", "log = \"all\"\n");
    let serving = Serving::start(&lab, &["echo"]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let headers = [("traceparent", parent.as_str()), ("x-request-id", "order-17")];
    let got = serving.ask("POST", "/predict/echo", &headers, br#"{"x":1.5}"#);
    assert_eq!(got.header("x-request-id"), Some("order-17"));
    let back = got.header("traceparent").expect("the trace comes back");
    assert!(back.starts_with(&format!("00-{trace}-")) && back.ends_with("-01") && back != parent, "{back}");
    let ours = serving.post("/predict/echo", r#"{"x":1.5}"#);
    assert_eq!(ours.header("x-request-id").map(str::len), Some(32));
    let (_, log) = serving.stop();
    let line = log.lines().find(|line| line.contains("order-17")).expect("it is logged");
    let line: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
    assert_eq!((&line["trace_id"], &line["endpoint"], &line["status"]), (&json!(trace), &json!("echo"), &json!(200)));
}

#[test]
fn one_connection_takes_many_requests() {
    let lab = echo("unreachable", "");
    let serving = Serving::start(&lab, &["echo"]);
    let mut stream = serving.connect();
    for number in 0..200 {
        send(&mut stream, "POST", "/predict/echo", &[], format!("{{\"x\":{number}.5}}").as_bytes());
        assert_eq!(receive(&mut stream).text(), format!("{{\"score\":{number}.5}}"));
    }
    // Several at once, answered in order.
    for number in 0..10 {
        send(&mut stream, "POST", "/predict/echo", &[], format!("{{\"x\":{number}.5}}").as_bytes());
    }
    for number in 0..10 {
        assert_eq!(receive(&mut stream).text(), format!("{{\"score\":{number}.5}}"));
    }
}

#[test]
fn clients_of_others_agree() {
    let Some(python) = tool("clients/bin/python") else {
        println!("skipped: tritonclient and kserve: they are not installed");
        return;
    };
    let lab = echo("unreachable", "");
    let serving = Serving::start(&lab, &["echo"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/stories/serving/clients.py");
    let output = Command::new(python).arg(script).arg(format!("http://{}", serving.address)).output();
    let output = output.expect("python starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, "agreed\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn prometheus_reads_the_figures() {
    let lab = echo("unreachable", "");
    let serving = Serving::start(&lab, &["echo"]);
    serving.post("/predict/echo", r#"{"x":1.5}"#);
    serving.post("/predict/echo", "{}");
    serving.get("/nowhere");
    let metrics = serving.get("/metrics");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = metrics.text();
    for line in [
        "stagewright_requests_total{endpoint=\"echo\",protocol=\"predict\",code=\"200\"} 1\n",
        "stagewright_requests_total{endpoint=\"echo\",protocol=\"predict\",code=\"400\"} 1\n",
        "stagewright_requests_total{endpoint=\"\",protocol=\"other\",code=\"404\"} 1\n",
        "stagewright_request_duration_seconds_count{endpoint=\"echo\",protocol=\"predict\"} 2\n",
        "stagewright_model_rows_total{endpoint=\"echo\",variant=\"champion\",model=\"echo@1\"} 1\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = promtool.spawn() else {
        println!("skipped: promtool: it is not installed (Debian's package is `prometheus`)");
        return;
    };
    promtool.stdin.take().expect("its input is piped").write_all(text.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
