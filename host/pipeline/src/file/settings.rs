//! `stagewright.toml`: the project's settings.

mod serve;

use std::time::Duration;

pub use self::serve::{RequestLog, Serve};
use super::{
    gate::approvals,
    grants::Allowed,
    source::{Kind, Node, Problems, Source},
    trust::Trust,
};
use crate::deploy::Environments;
use crate::governance::gate::Approvals;

/// What the operator of a project may set.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The project's name, for people.
    pub project: Option<String>,
    /// The most memory that one stage may use, in bytes, over all memories and tables of its sandbox.
    pub memory: u64,
    /// The longest that one stage may run.
    pub time: Duration,
    /// The most bytes that one stage may write.
    pub output: u64,
    /// The most bytes of log lines that are kept of one stage.
    pub log: u64,
    /// The most bytes of a state, of weights or of a report.
    pub value: u64,
    /// The longest that one component may be compiled.
    pub compile_time: Duration,
    /// The most memory that compiling one component may take, in bytes.
    pub compile_memory: u64,
    /// How many stages run at once; none for as many as there are cores.
    pub workers: Option<usize>,
    /// What `gc` keeps.
    pub keep: Retention,
    /// What pipelines may grant to stages.
    pub allowed: Allowed,
    /// How models answer requests.
    pub serve: Serve,
    /// What every model needs, whatever its pipeline says.
    pub gate: OperatorGate,
    /// Whose plugins are taken.
    pub trust: Trust,
    /// Where models serve.
    pub environments: Environments,
}

/// What `gc` keeps besides what is tagged, registered or in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The newest versions of each name; none for all.
    pub versions: Option<u64>,
    /// The newest runs, with everything that they made; none for all.
    pub runs: Option<u64>,
}

/// What the operator asks of every model. A pipeline's gate can ask for more, not for less.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorGate {
    /// Who must approve, beside those whom the pipeline names.
    pub approvals: Option<Approvals>,
    /// The environments that gates guard; none for all.
    pub environments: Option<Vec<String>>,
}

impl OperatorGate {
    fn read(file: &mut Source, node: &Node) -> Self {
        let keys = node.known(file, "[gate]", &["approvals", "environments"]);
        let environments = keys.get("environments").map(|node| node.texts(file, "environments"));
        Self {
            approvals: keys.get("approvals").and_then(|node| approvals(file, node)),
            environments: environments.map(|names| names.into_iter().map(|name| name.value).collect()),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            project: None,
            memory: 4 << 30,
            time: Duration::from_secs(3600),
            output: 64 << 30,
            log: 1 << 20,
            value: 512 << 20,
            compile_time: Duration::from_secs(300),
            compile_memory: 4 << 30,
            workers: None,
            keep: Retention { versions: None, runs: None },
            allowed: Allowed::default(),
            serve: Serve::default(),
            gate: OperatorGate::default(),
            trust: Trust::default(),
            environments: Environments::default(),
        }
    }
}

impl Settings {
    /// What `stagewright init` writes.
    pub const TEMPLATE: &'static str = "\
# The settings of this Stagewright project. What is left out keeps its default.
[project]
name = \"PROJECT\"

[limits]                # of each stage
memory = \"4GiB\"
time = \"1h\"
output = \"64GiB\"
log = \"1MiB\"
# value = \"512MiB\"       # a state, weights or a report
# compile-time = \"5m\"    # of each component
# compile-memory = \"4GiB\"

# [run]
# workers = 2           # stages at once; as many as there are cores by default

# [keep]                # what `stagewright gc` keeps besides what is tagged or registered; everything by default
# versions = 10         # of each name
# runs = 100            # with all that they made

# [grants]              # what pipelines may grant to stages of the real world; nothing by default
# files.reference = { path = \"reference\", access = \"read\" }
# http = [\"api.example.org\"]
# environment = [\"REGION\"]
# wall-clock = true

# [serve]               # how `stagewright serve` answers
# timeout = \"1s\"        # of one request, waiting and computing together
# queue = 1024          # requests that may wait for each model
# batch = 256           # rows of waiting requests that are answered together
# instances = 2         # of each model; as many as there are cores by default
# memory = \"1GiB\"       # of each instance
# body = \"8MiB\"         # of each request
# log = \"errors\"        # or all

# [gate]                # what every model needs, beside the gate of its pipeline
# approvals = { count = 1, roles = [\"model-risk\"], within = \"14d\" }
# environments = [\"production\"]     # those that gates guard; all by default

# [trust]               # whose plugins `stagewright plugin add` takes; everybody's by default
# require-signature = true
# keys = [\"RW...\"]      # public keys of minisign; `stagewright plugin keygen` makes one

# [environment.production]     # there are `staging` and `production`; a section sets one, or makes another
# log = \"full\"                # which predictions are kept: \"full\", \"off\" or a share such as 0.1
# abort = { minimum = 20, error-rate = 0.01, latency-ratio = 3.0, difference = 0.25 }     # when a trial ends by itself
";

    /// Reads `stagewright.toml`. `path` is only for messages.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn parse(path: &str, text: &str) -> Result<Self, Problems> {
        let mut source = Source::new(path, text);
        let file = &mut source;
        let root = file.parse();
        let known = ["project", "limits", "run", "keep", "grants", "serve", "gate", "trust", "environment"];
        let sections = root.known(file, "stagewright.toml", &known);
        let mut settings = Self::default();
        if let Some(section) = sections.get("project") {
            let keys = section.known(file, "[project]", &["name"]);
            settings.project = keys.get("name").and_then(|node| node.text(file, "name")).map(|name| name.value);
        }
        if let Some(section) = sections.get("limits") {
            let keys = section.known(
                file,
                "[limits]",
                &["memory", "time", "output", "log", "value", "compile-time", "compile-memory"],
            );
            for (key, target) in [
                ("memory", &mut settings.memory),
                ("output", &mut settings.output),
                ("log", &mut settings.log),
                ("value", &mut settings.value),
                ("compile-memory", &mut settings.compile_memory),
            ] {
                if let Some(bytes) = keys.get(key).and_then(|node| size(file, node, key)) {
                    *target = bytes;
                }
            }
            for (key, target) in [("time", &mut settings.time), ("compile-time", &mut settings.compile_time)] {
                if let Some(time) = keys.get(key).and_then(|node| duration(file, node, key)) {
                    *target = time;
                }
            }
        }
        if let Some(section) = sections.get("run") {
            let keys = section.known(file, "[run]", &["workers"]);
            settings.workers = keys.get("workers").and_then(|node| count(file, node, "workers", 1024));
        }
        if let Some(section) = sections.get("keep") {
            let keys = section.known(file, "[keep]", &["versions", "runs"]);
            let mut keep = |key| keys.get(key).and_then(|node| count(file, node, key, 1_000_000)).map(|n| n as u64);
            settings.keep = Retention { versions: keep("versions"), runs: keep("runs") };
        }
        if let Some(section) = sections.get("grants") {
            settings.allowed = Allowed::read(file, section);
        }
        if let Some(section) = sections.get("serve") {
            settings.serve = Serve::parse(file, section);
        }
        if let Some(section) = sections.get("gate") {
            settings.gate = OperatorGate::read(file, section);
        }
        if let Some(section) = sections.get("trust") {
            settings.trust = Trust::parse(file, section);
        }
        if let Some(section) = sections.get("environment") {
            settings.environments = super::environment::environments(file, section);
        }
        source.finish(settings)
    }
}

fn count(file: &mut Source, node: &Node, what: &str, most: i64) -> Option<usize> {
    node.integer(file, what, 1..most + 1).and_then(|number| usize::try_from(number).ok())
}

fn size(file: &mut Source, node: &Node, what: &str) -> Option<u64> {
    let units =
        [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("kB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    let bytes = match &node.kind {
        Kind::Integer(bytes) => u64::try_from(*bytes).ok(),
        Kind::Text(text) => number_with_unit(text, &units),
        _ => None,
    };
    if bytes.is_none_or(|bytes| bytes == 0) {
        file.problem(&node.at, format!("{what} must be a size"), Some("for example \"512MiB\" or \"4GiB\"".into()));
    }
    bytes
}

pub(super) fn duration(file: &mut Source, node: &Node, what: &str) -> Option<Duration> {
    let time = match &node.kind {
        Kind::Text(text) => time(text),
        _ => None,
    };
    if time.is_none() {
        file.problem(
            &node.at,
            format!("{what} must be a duration"),
            Some("for example \"90s\", \"10m\" or \"1h\"".into()),
        );
    }
    time
}

/// A time as the files write it: `90s`, `12h`, `30d`. None where it is none, or nothing.
pub fn time(text: &str) -> Option<Duration> {
    number_with_unit(text, &TIMES).filter(|milliseconds| *milliseconds > 0).map(Duration::from_millis)
}

const TIMES: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

fn number_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let factor = units.iter().find(|(name, _)| *name == unit.trim())?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_says_the_defaults() {
        let settings = Settings::parse("stagewright.toml", Settings::TEMPLATE).unwrap();
        assert_eq!(settings, Settings { project: Some("PROJECT".into()), ..Settings::default() });
    }

    #[test]
    fn sizes_and_durations_that_are_none_are_refused() {
        let text = "[limits]\nmemory = \"4 parsecs\"\ntime = 3\nlog = \"0MiB\"\n";
        let problems = Settings::parse("s.toml", text).unwrap_err();
        let said: Vec<_> = problems.0.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(said, ["memory must be a size", "time must be a duration", "log must be a size"]);
    }
}
