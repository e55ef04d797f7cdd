//! `[environment.NAME]` in stagewright.toml.

use stagewright_core::Name;

use super::source::{Kind, Node, Source};
use crate::deploy::{AbortRules, Environment, Environments, Share};

const KEYS: [&str; 2] = ["log", "abort"];
const RULES: [&str; 4] = ["minimum", "error-rate", "latency-ratio", "difference"];

/// Reads the section `environment`: a table for each environment.
pub(super) fn environments(file: &mut Source, section: &Node) -> Environments {
    let mut environments = Environments::default();
    for (name, node) in section.table(file, "[environment]").unwrap_or_default() {
        match name.value.parse::<Name>() {
            Ok(parsed) => environments.set(parsed, environment(file, &name.value, node)),
            Err(error) => file.problem(&name.at, error.to_string(), None),
        }
    }
    environments
}

fn environment(file: &mut Source, name: &str, node: &Node) -> Environment {
    let keys = node.known(file, &format!("[environment.{name}]"), &KEYS);
    let mut environment = Environment::default();
    if let Some(log) = keys.get("log").and_then(|node| log(file, node)) {
        environment.log = log;
    }
    if let Some(node) = keys.get("abort") {
        environment.abort = rules(file, &format!("[environment.{name}.abort]"), node);
    }
    environment
}

fn log(file: &mut Source, node: &Node) -> Option<Share> {
    let share = match &node.kind {
        Kind::Text(text) if text == "full" => Some(Share::ALL),
        Kind::Text(text) if text == "off" => Some(Share::NONE),
        _ => number(node).and_then(Share::new),
    };
    if share.is_none() {
        let hint = "for example 0.1 for a tenth of all requests".to_owned();
        file.problem(&node.at, "log must be \"full\", \"off\" or a share from 0 to 1", Some(hint));
    }
    share
}

fn rules(file: &mut Source, what: &str, node: &Node) -> AbortRules {
    let keys = node.known(file, what, &RULES);
    let mut rules = AbortRules::default();
    if let Some(minimum) = keys.get("minimum").and_then(|node| node.integer(file, "minimum", 1..1_000_001)) {
        rules.minimum = minimum.unsigned_abs();
    }
    for (key, target, most, says) in [
        ("error-rate", &mut rules.max_error_rate, 1.0, "error-rate must be a number from 0 to 1"),
        ("latency-ratio", &mut rules.max_latency_ratio, 1e6, "latency-ratio must be a number from 1 to a million"),
        ("difference", &mut rules.max_difference, 1.0, "difference must be a number from 0 to 1"),
    ] {
        let Some(node) = keys.get(key) else { continue };
        let least = if key == "latency-ratio" { 1.0 } else { 0.0 };
        match number(node).filter(|number| (least..=most).contains(number)) {
            Some(number) => *target = number,
            None => file.problem(&node.at, says, None),
        }
    }
    rules
}

fn number(node: &Node) -> Option<f64> {
    match node.kind {
        Kind::Float(number) => Some(number),
        Kind::Integer(number) => Some(number as f64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use crate::deploy::Share;

    #[test]
    fn environments_say_what_they_log_and_when_a_trial_ends() {
        let text =
            "[environment.production]\nlog = 0.25\nabort = { minimum = 5, error-rate = 0 }\n\n[environment.edge]\n";
        let settings = Settings::parse("s.toml", text).unwrap();
        let names: Vec<_> = settings.environments.names().map(ToString::to_string).collect();
        assert_eq!(names, ["edge", "production", "staging"]);
        let production = settings.environments.get(&"production".parse().unwrap()).unwrap();
        assert_eq!(production.log, Share::new(0.25).unwrap());
        assert_eq!((production.abort.minimum, production.abort.max_error_rate), (5, 0.0));
        assert_eq!(production.abort.max_difference, 0.25, "what is left out keeps its default");
    }

    #[test]
    fn environments_that_make_no_sense_are_refused_with_their_place() {
        let text = "[environment.\"a b\"]\n[environment.x]\nlog = \"most\"\nabort = { errors = 1, difference = 2 }\n";
        let problems = Settings::parse("s.toml", text).unwrap_err();
        assert_eq!(
            problems.to_string(),
            "s.toml:1:14: `a b` is not a name: use 1 to 100 letters, digits, `-`, `_` or `.`, and begin with a letter or digit\n\
             s.toml:3:7: log must be \"full\", \"off\" or a share from 0 to 1\n  \
             hint: for example 0.1 for a tenth of all requests\n\
             s.toml:4:11: unknown key `errors` in [environment.x.abort]\n  \
             hint: known here: minimum, error-rate, latency-ratio, difference\n\
             s.toml:4:36: difference must be a number from 0 to 1"
        );
    }
}
