//! Figures for Prometheus, in its text format 0.0.4. Labels are bounded: endpoints that exist, a few protocols, a few
//! status codes, the models in service.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::StatusCode;
use stagewright::{
    predictions::Kept,
    serving::{Routes, Variant},
};

use super::Asked;

/// The upper ends of the histogram's buckets, in microseconds, and as Prometheus reads them.
const BUCKETS: [(u64, &str); 12] = [
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (1_000_000, "1"),
    (5_000_000, "5"),
];
/// The status codes that this server sends.
const CODES: [u16; 16] = [200, 400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 502, 503, 504, 202, 409];

/// What kind of request it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    /// Anything else.
    #[default]
    Other,
    /// `/predict`.
    Predict,
    /// `/v2`.
    Inference,
}

impl Protocol {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Predict => "predict",
            Self::Inference => "v2",
        }
    }
}

/// The counters of one endpoint and protocol.
#[derive(Default)]
struct Series {
    codes: [AtomicU64; CODES.len()],
    buckets: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

type AllSeries = BTreeMap<(Arc<str>, Protocol), Arc<Series>>;

/// Everything that is counted of requests.
pub(super) struct Metrics {
    started_ms: u64,
    series: RwLock<AllSeries>,
    nowhere: Arc<str>,
    pub(super) connections: AtomicU64,
    pub(super) turned_away: AtomicU64,
}

impl Metrics {
    pub(super) fn new(started_ms: u64) -> Self {
        Self {
            started_ms,
            series: RwLock::default(),
            nowhere: "".into(),
            connections: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        }
    }

    /// Counts a request.
    pub(super) fn observe(&self, asked: &Asked, status: StatusCode, elapsed: Duration) {
        let series = self.series(asked.endpoint.as_ref().unwrap_or(&self.nowhere), asked.protocol);
        let code = CODES.iter().position(|code| *code == status.as_u16());
        // Every code that is sent is listed; another would be counted as what it is most like.
        series.codes[code.unwrap_or(if status.is_server_error() { 10 } else { 1 })].fetch_add(1, Relaxed);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = BUCKETS.iter().position(|(end, _)| micros <= *end) {
            series.buckets[bucket].fetch_add(1, Relaxed);
        }
        series.count.fetch_add(1, Relaxed);
        series.micros.fetch_add(micros, Relaxed);
    }

    fn series(&self, endpoint: &Arc<str>, protocol: Protocol) -> Arc<Series> {
        let key = (Arc::clone(endpoint), protocol);
        if let Some(series) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(series);
        }
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(key).or_default())
    }

    /// Everything, as text.
    pub(super) fn text(&self, routes: &Routes, kept: Kept) -> String {
        let mut text = String::with_capacity(4096);
        self.requests(&mut text);
        models(routes, &mut text);
        predictions(kept, &mut text);
        let gauge = |text: &mut String, name: &str, help: &str, value: &dyn std::fmt::Display| {
            head(text, name, "gauge", help);
            let _ = writeln!(text, "{name} {value}");
        };
        let connections = self.connections.load(Relaxed);
        gauge(&mut text, "stagewright_connections", "Connections that are open.", &connections);
        let name = "stagewright_connections_refused_total";
        head(&mut text, name, "counter", "Connections that were refused because too many were open.");
        let _ = writeln!(text, "{name} {}", self.turned_away.load(Relaxed));
        let name = "stagewright_build_info";
        head(&mut text, name, "gauge", "The program's version.");
        let _ = writeln!(text, "{name}{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        let started = self.started_ms as f64 / 1000.0;
        gauge(&mut text, "process_start_time_seconds", "When the server began, since 1970.", &started);
        if let Some(bytes) = resident_bytes() {
            gauge(&mut text, "process_resident_memory_bytes", "Memory that the process has in use.", &bytes);
        }
        text
    }

    fn requests(&self, text: &mut String) {
        let all = self.series.read().unwrap_or_else(PoisonError::into_inner).clone();
        let labels = |(endpoint, protocol): &(Arc<str>, Protocol)| {
            format!("endpoint=\"{endpoint}\",protocol=\"{}\"", protocol.as_str())
        };
        let name = "stagewright_requests_total";
        head(text, name, "counter", "Requests, by the status they were answered with.");
        for (key, series) in &all {
            for (code, count) in CODES.iter().zip(&series.codes) {
                let count = count.load(Relaxed);
                if count > 0 {
                    let _ = writeln!(text, "{name}{{{},code=\"{code}\"}} {count}", labels(key));
                }
            }
        }
        let name = "stagewright_request_duration_seconds";
        head(text, name, "histogram", "How long requests took, from the end of their header to their answer.");
        for (key, series) in &all {
            let (labels, mut sum) = (labels(key), 0);
            for ((_, end), count) in BUCKETS.iter().zip(&series.buckets) {
                sum += count.load(Relaxed);
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{end}\"}} {sum}");
            }
            // Counted last, so that it is never below the buckets.
            let count = series.count.load(Relaxed).max(sum);
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(text, "{name}_sum{{{labels}}} {}", series.micros.load(Relaxed) as f64 / 1e6);
            let _ = writeln!(text, "{name}_count{{{labels}}} {count}");
        }
    }
}

fn models(routes: &Routes, text: &mut String) {
    type Figure = fn(&Variant) -> u64;
    let figures: [(&str, &str, &str, Figure); 6] = [
        ("stagewright_model_requests_answered_total", "counter", "Requests that the model answered.", |variant| {
            variant.model.counters().answered.load(Relaxed)
        }),
        (
            "stagewright_model_requests_unanswered_total",
            "counter",
            "Requests that the model did not answer.",
            |variant| variant.model.counters().unanswered.load(Relaxed),
        ),
        ("stagewright_model_rows_total", "counter", "Rows that the model answered for.", |variant| {
            variant.model.counters().rows.load(Relaxed)
        }),
        (
            "stagewright_model_calls_total",
            "counter",
            "Calls of the model: fewer than requests where it answered several at once.",
            |variant| variant.model.counters().calls.load(Relaxed),
        ),
        (
            "stagewright_model_instances_replaced_total",
            "counter",
            "Instances that were replaced because they crashed.",
            |variant| variant.model.counters().replaced.load(Relaxed),
        ),
        ("stagewright_model_requests_waiting", "gauge", "Requests that wait for the model.", |variant| {
            variant.model.waiting() as u64
        }),
    ];
    for (name, kind, help, figure) in figures {
        head(text, name, kind, help);
        for route in routes.values() {
            for variant in route.variants.iter().chain(&route.shadows) {
                let (endpoint, model) = (&route.name, variant.model.version());
                let labels = format!("endpoint=\"{endpoint}\",variant=\"{}\",model=\"{model}\"", variant.role.as_str());
                let _ = writeln!(text, "{name}{{{labels}}} {}", figure(variant));
            }
        }
    }
}

fn predictions(kept: Kept, text: &mut String) {
    let figures = [
        (
            "stagewright_predictions_logged_total",
            "counter",
            "Answers that are durable in the prediction log.",
            kept.logged,
        ),
        ("stagewright_predictions_dropped_total", "counter", "Answers that the log could not keep.", kept.dropped),
        ("stagewright_predictions_waiting", "gauge", "Answers that wait to be made durable.", kept.waiting),
    ];
    for (name, kind, help, value) in figures {
        head(text, name, kind, help);
        let _ = writeln!(text, "{name} {value}");
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

/// From /proc, where there is one.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
