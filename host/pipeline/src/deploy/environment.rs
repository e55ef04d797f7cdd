//! Environments: where models serve, and how each keeps its predictions and watches its trials.

use std::collections::BTreeMap;

use stagewright_core::Name;

use super::{AbortRules, Share};

/// How models serve in an environment: a section `[environment.NAME]` of stagewright.toml.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    /// Which share of answers the prediction log keeps.
    pub log: Share,
    /// When a trial is called off.
    pub abort: AbortRules,
}

impl Default for Environment {
    fn default() -> Self {
        Self { log: Share::ALL, abort: AbortRules::default() }
    }
}

/// The environments of a project by name: `staging` and `production`, and those that its settings add.
#[derive(Clone, Debug, PartialEq)]
pub struct Environments(BTreeMap<Name, Environment>);

impl Default for Environments {
    fn default() -> Self {
        let named = |name: &str| name.parse().ok().map(|name| (name, Environment::default()));
        Self(["staging", "production"].into_iter().filter_map(named).collect())
    }
}

impl Environments {
    /// Sets how models serve in an environment.
    pub fn set(&mut self, name: Name, environment: Environment) {
        self.0.insert(name, environment);
    }

    /// An environment's settings.
    pub fn get(&self, name: &Name) -> Option<&Environment> {
        self.0.get(name)
    }

    /// The environments' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.0.keys()
    }
}
