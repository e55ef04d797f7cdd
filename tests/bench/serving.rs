//! What answering over HTTP costs: a logistic regression and 300 boosted trees on 30 features, one row a request, 64
//! connections, beside what nginx makes of a constant answer and FastAPI of scikit-learn, where this machine has them.
//!
//! The load comes from `wrk` on the same cores, so that the rates are those of half a machine.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use stagewright_tests::{Lab, Serving, component};

use crate::{median, sandbox};

/// Rows to train on; what is measured does not depend on them.
const ROWS: usize = 5000;
const CONNECTIONS: &str = "64";
const SECONDS: u64 = 5;
/// Aims: answers a second, the slowest of a hundred in milliseconds, MiB, milliseconds.
const LINEAR: f64 = 25_000.0;
const TREES: f64 = 10_000.0;
const SLOWEST: f64 = 5.0;
const MEMORY: f64 = 60.0;
const START: f64 = 150.0;
/// The aim: the part of the rate that keeping every prediction costs.
const LOG: f64 = 0.1;
const PAIRS: usize = 11;
const ROUND_SECONDS: u64 = 2;

pub(crate) fn run() {
    let lab = scene();
    if Command::new("wrk").arg("--version").output().is_err() {
        println!("there is no wrk on this machine: nothing is measured");
        return;
    }
    let question = question();
    lab.write("predict.lua", lua("application/json", &question));
    start(&lab, &question);
    for (model, aim) in [("logistic-regression", LINEAR), ("gradient-boosting", TREES)] {
        let serving = Serving::start(&lab, &[model]);
        let path = format!("/predict/{model}");
        assert_eq!(serving.post(&path, &question).status, 200);
        wrk(&lab, serving.address, &path, 1);
        let before = processor(serving.id());
        let (rate, slowest) = wrk(&lab, serving.address, &path, SECONDS);
        let each = (processor(serving.id()) - before) / (rate * SECONDS as f64) * 1e6;
        let memory = memory(serving.id());
        println!(
            "{model:<20} {rate:9.0}/s: {:.2} of the aim; 99 % within {slowest:.2} ms: {:.2} of the aim; {memory:.1} MiB: \
             {:.2} of the aim; {each:.0} µs of a processor for each",
            rate / aim,
            slowest / SLOWEST,
            memory / MEMORY
        );
    }
    logged(&lab, &question);
    nginx(&lab);
    fastapi(&lab);
}

/// What keeping every prediction costs: the same model where none is logged and where all are.
/// Both are up, and short rounds alternate: what else the machine does changes more slowly, so that it meets both of a
/// pair. The cost is the median of the pairs'.
fn logged(lab: &Lab, question: &str) {
    let path = "/predict/logistic-regression";
    // A project has one daemon, so each has its own.
    let both = ["off", "full"].map(|log| {
        let project = scene();
        let settings = fs::read_to_string(project.file("stagewright.toml")).expect("there are settings");
        project.write("stagewright.toml", format!("{settings}\n[environment.measured]\nlog = \"{log}\"\n"));
        project.ok(&["deploy", "logistic-regression", "--to", "measured"]);
        let serving = Serving::start(&project, &["--environment", "measured"]);
        assert_eq!(serving.post(path, question).status, 200);
        wrk(lab, serving.address, path, 1);
        (serving, project)
    });
    let mut pairs: Vec<[f64; 2]> = (0..PAIRS)
        .map(|_| both.each_ref().map(|(serving, _)| wrk(lab, serving.address, path, ROUND_SECONDS).0))
        .collect();
    let metrics = both[1].0.get("/metrics").text();
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("stagewright_predictions_dropped_total "));
    assert_eq!(dropped, Some("0"), "every prediction is kept");
    pairs.sort_by(|[off, full], [other_off, other_full]| (full / off).total_cmp(&(other_full / other_off)));
    let [off, full] = pairs[PAIRS / 2];
    let cost = 1.0 - full / off;
    println!(
        "prediction log       off {off:.0}/s, full {full:.0}/s: costs {:.0} %: {:.2} of the aim; {:.1} MiB",
        cost * 100.0,
        cost / LOG,
        memory(both[1].0.id())
    );
}

/// Both models, trained and registered.
fn scene() -> Lab {
    let lab = Lab::empty();
    lab.ok(&["init"]);
    let (columns, label) = sandbox::rows(ROWS);
    lab.write("rows.csv", sandbox::csv(&columns, &label));
    lab.ok(&["data", "add", "rows", "rows.csv", "--type", "label=text"]);
    for (plugin, with) in [("logistic-regression", ""), ("gradient-boosting", ", rounds = 300")] {
        lab.ok(&["plugin", "add", component(plugin).to_str().expect("a path of text")]);
        let pipeline = format!(
            "[pipeline]\nname = \"{plugin}\"\n\n[data]\nrows = \"rows\"\n\n[stage.train]\ntrainer = \"{plugin}\"\n\
             input = \"data.rows\"\nwith = {{ label = \"label\"{with} }}\n\n[model]\nname = \"{plugin}\"\n"
        );
        lab.write("bench.toml", pipeline);
        lab.ok(&["run", "bench.toml"]);
    }
    lab
}

/// A row as JSON.
fn question() -> String {
    let (columns, _) = sandbox::rows(1);
    let row: Map<String, Value> =
        columns.iter().enumerate().map(|(index, column)| (format!("x{index}"), column[0].into())).collect();
    Value::from(row).to_string()
}

fn lua(kind: &str, body: &str) -> String {
    format!("wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"{kind}\"\nwrk.body = [[{body}]]\n")
}

/// From the start of the process to the first answer, with everything compiled.
fn start(lab: &Lab, question: &str) {
    let time = median(5, || {
        let serving = Serving::start(lab, &["logistic-regression"]);
        assert_eq!(serving.post("/predict/logistic-regression", question).status, 200);
    });
    println!("process start to first answer {time:.0} ms: {:.2} of the aim {START} ms", time / START);
}

/// Answers a second, and how long the slowest of a hundred took, in milliseconds.
fn wrk(lab: &Lab, address: SocketAddr, path: &str, seconds: u64) -> (f64, f64) {
    let mut wrk = Command::new("wrk");
    wrk.args(["--threads", "1", "--connections", CONNECTIONS, "--latency", "--script"]).arg(lab.file("predict.lua"));
    let output = wrk.arg(format!("--duration={seconds}s")).arg(format!("http://{address}{path}")).output();
    let text = String::from_utf8(output.expect("wrk runs").stdout).expect("wrk prints text");
    let after = |word: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(word));
        line.unwrap_or_else(|| panic!("{word} in {text}")).trim().to_owned()
    };
    assert!(!text.contains("Non-2xx"), "{text}");
    let slowest = after("99%");
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0)];
    let unit = units.iter().find(|(unit, _)| slowest.ends_with(unit)).expect("a time has a unit");
    let slowest: f64 = slowest.trim_end_matches(unit.0).parse().expect("a time is a number");
    (after("Requests/sec:").parse().expect("a rate is a number"), slowest * unit.1)
}

/// The proportional set size of a process, in MiB.
fn memory(process: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib / 1024.0)
}

/// The seconds of a processor that a process has taken, in and outside the kernel, in hundredths.
fn processor(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<f64> = stat.rsplit(')').next().unwrap_or_default().split(' ').flat_map(str::parse).collect();
    // Behind the name and the state, which is no number, these are the 11th and 12th.
    fields.get(10..12).map_or(f64::NAN, |ticks| ticks.iter().sum::<f64>() / 100.0)
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port is free")
}

/// A process that is ended with the bench.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let mut kill = Command::new("kill");
        let _ = kill.arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// Starts something that listens at an address; none where it does not.
fn listens(command: &mut Command, address: SocketAddr) -> Option<Running> {
    let running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?);
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        if began.elapsed() > Duration::from_secs(30) {
            return None;
        }
        thread::sleep(Duration::from_millis(50));
    }
    Some(running)
}

/// What the best server for the purpose makes of a constant answer: more is not to be had here.
fn nginx(lab: &Lab) {
    let address = free();
    let folder = lab.path().display();
    lab.write(
        "nginx.conf",
        format!(
            "daemon off;\nworker_processes 2;\npid {folder}/nginx.pid;\nerror_log /dev/null;\nevents {{}}\n\
             http {{\naccess_log off;\nkeepalive_requests 1000000000;\nclient_body_temp_path {folder};\n\
             proxy_temp_path {folder};\nfastcgi_temp_path {folder};\nuwsgi_temp_path {folder};\nscgi_temp_path {folder};\n\
             server {{\nlisten {address};\nlocation / {{ default_type application/json; \
             return 200 '{{\"score\":0.9324,\"prediction\":\"yes\"}}'; }}\n}}\n}}\n"
        ),
    );
    let mut nginx = Command::new("nginx");
    match listens(nginx.arg("-c").arg(lab.file("nginx.conf")), address) {
        None => println!("nginx                not on this machine: not compared"),
        Some(_running) => {
            let (rate, slowest) = wrk(lab, address, "/", SECONDS);
            println!("{:<20} {rate:9.0}/s; 99 % within {slowest:.2} ms", "nginx, constant");
        }
    }
}

/// The usual way: FastAPI and scikit-learn, two workers.
fn fastapi(lab: &Lab) {
    let address = free();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/bench");
    let mut python = Command::new("python3");
    python.args(["-m", "uvicorn", "fastapi_model:app", "--workers", "2", "--log-level", "error", "--app-dir", folder]);
    python.args(["--port", &address.port().to_string()]).env("ROWS", lab.file("rows.csv")).env("OMP_NUM_THREADS", "1");
    match listens(&mut python, address) {
        None => println!(
            "FastAPI              python3 lacks what it takes (fastapi, uvicorn, pandas, scikit-learn): not compared"
        ),
        Some(_running) => {
            thread::sleep(Duration::from_secs(5));
            let (rate, slowest) = wrk(lab, address, "/predict", SECONDS);
            println!("{:<20} {rate:9.0}/s; 99 % within {slowest:.2} ms", "FastAPI, sklearn");
        }
    }
}
