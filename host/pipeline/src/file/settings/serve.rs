//! `[serve]`: how models answer requests.

use std::time::Duration;

use super::{count, duration, size};
use crate::file::source::{Node, Source};

/// What the operator of a server may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serve {
    /// The longest that a request may take, waiting and computing together.
    pub timeout: Duration,
    /// The most requests that wait for each model.
    pub queue: usize,
    /// The most rows of waiting requests that a model is asked for at once; 1 asks for each request by itself.
    pub batch: usize,
    /// Instances of each model; none for as many as there are cores.
    pub instances: Option<usize>,
    /// The most memory that one instance of a model may use, in bytes.
    pub memory: u64,
    /// The most bytes of a request's body.
    pub body: u64,
    /// The most rows of one request.
    pub rows: usize,
    /// The most connections at once.
    pub connections: usize,
    /// The longest that a client may take to send a request.
    pub patience: Duration,
    /// The longest that requests may go on when the server is told to stop.
    pub drain: Duration,
    /// Which requests are logged.
    pub log: RequestLog,
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestLog {
    /// Each.
    All,
    /// Those that could not be answered.
    Errors,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            queue: 1024,
            batch: 256,
            instances: None,
            memory: 1 << 30,
            body: 8 << 20,
            rows: 100_000,
            connections: 1024,
            patience: Duration::from_secs(10),
            drain: Duration::from_secs(30),
            log: RequestLog::Errors,
        }
    }
}

const KEYS: [&str; 11] =
    ["timeout", "queue", "batch", "instances", "memory", "body", "rows", "connections", "patience", "drain", "log"];

impl Serve {
    /// Reads the section.
    pub(super) fn parse(file: &mut Source, section: &Node) -> Self {
        let keys = section.known(file, "[serve]", &KEYS);
        let mut serve = Self::default();
        for (key, target) in
            [("timeout", &mut serve.timeout), ("patience", &mut serve.patience), ("drain", &mut serve.drain)]
        {
            if let Some(time) = keys.get(key).and_then(|node| duration(file, node, key)) {
                *target = time;
            }
        }
        for (key, most, target) in [
            ("queue", 1_000_000, &mut serve.queue),
            ("batch", 100_000, &mut serve.batch),
            ("rows", 4_000_000, &mut serve.rows),
            ("connections", 1_000_000, &mut serve.connections),
        ] {
            if let Some(number) = keys.get(key).and_then(|node| count(file, node, key, most)) {
                *target = number;
            }
        }
        for (key, target) in [("memory", &mut serve.memory), ("body", &mut serve.body)] {
            if let Some(bytes) = keys.get(key).and_then(|node| size(file, node, key)) {
                *target = bytes;
            }
        }
        serve.instances = keys.get("instances").and_then(|node| count(file, node, "instances", 64));
        if let Some(node) = keys.get("log")
            && let Some(word) = node.text(file, "log")
        {
            match word.value.as_str() {
                "all" => serve.log = RequestLog::All,
                "errors" => serve.log = RequestLog::Errors,
                _ => file.problem(&node.at, "log must be \"all\" or \"errors\"", None),
            }
        }
        serve
    }
}
