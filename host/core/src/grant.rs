//! Grants: what a stage may see and do of the real world.
//!
//! A stage without grants is a pure function of its specification. One with grants is *impure*: its outputs also depend
//! on what the world answered, which is kept with the run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

/// The kinds of grant: one for each interface of `wit/grants.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Folders.
    Files,
    /// HTTPS hosts.
    Http,
    /// Names of the environment.
    Environment,
    /// The real time.
    WallClock,
}

impl Capability {
    /// Every capability, in the order of the contract.
    pub const ALL: [Self; 4] = [Self::Files, Self::Http, Self::Environment, Self::WallClock];

    /// The capability's name: its interface in the contract, and its key in pipelines and settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Http => "http",
            Self::Environment => "environment",
            Self::WallClock => "wall-clock",
        }
    }

    /// The capability that a component asks for by importing this interface; none for an interface that asks for
    /// nothing.
    pub fn of_import(import: &str) -> Option<Self> {
        let (name, _) = import.strip_prefix("stagewright:stage/")?.split_once('@')?;
        Self::ALL.into_iter().find(|capability| capability.as_str() == name)
    }

    /// The capabilities that a component with these imports asks for.
    pub fn asked_by<'a>(imports: impl IntoIterator<Item = &'a String>) -> BTreeSet<Self> {
        imports.into_iter().filter_map(|import| Self::of_import(import)).collect()
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What may be done in a granted folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Its files are listed and read.
    Read,
    /// They are written, too.
    ReadWrite,
}

impl Access {
    /// The access's name, in pipelines and settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadWrite => "read-write",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A granted folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Where it is: relative to the project's directory, or absolute.
    pub path: String,
    /// What may be done there.
    pub access: Access,
}

/// What a stage is granted, or what an operator allows stages to be granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// Folders, by the name that the stage knows them by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Folder>,
    /// Hosts: `api.example.org`, `api.example.org:8443`, or `http://127.0.0.1:8080` on this machine's loopback alone.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub http: BTreeSet<String>,
    /// Names of the environment.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub environment: BTreeSet<String>,
    /// Whether the real time is granted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wall_clock: bool,
}

impl Grants {
    /// Whether nothing is granted: the stage is pure.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The capabilities of which something is granted.
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        let granted = |capability: &Capability| match capability {
            Capability::Files => !self.files.is_empty(),
            Capability::Http => !self.http.is_empty(),
            Capability::Environment => !self.environment.is_empty(),
            Capability::WallClock => self.wall_clock,
        };
        Capability::ALL.into_iter().filter(granted).collect()
    }

    /// Only what belongs to these capabilities.
    pub fn only(mut self, capabilities: &BTreeSet<Capability>) -> Self {
        let without = |capability| !capabilities.contains(&capability);
        if without(Capability::Files) {
            self.files.clear();
        }
        if without(Capability::Http) {
            self.http.clear();
        }
        if without(Capability::Environment) {
            self.environment.clear();
        }
        self.wall_clock &= capabilities.contains(&Capability::WallClock);
        self
    }

    /// The first grant of `self` that `allowed` does not cover, in words; none where `self` is within it.
    pub fn beyond(&self, allowed: &Self) -> Option<String> {
        let folder = |(name, folder): (&String, &Folder)| match allowed.files.get(name) {
            Some(other) if other.path == folder.path && other.access >= folder.access => None,
            Some(other) if other.path == folder.path => {
                Some(format!("folder `{name}` for more than `{}`", other.access))
            }
            Some(_) => Some(format!("folder `{name}` at `{}`", folder.path)),
            None => Some(format!("folder `{name}`")),
        };
        let host = || self.http.difference(&allowed.http).next().map(|host| format!("host `{host}`"));
        let name = || {
            let mut beyond = self.environment.difference(&allowed.environment);
            beyond.next().map(|name| format!("environment name `{name}`"))
        };
        let clock = || (self.wall_clock && !allowed.wall_clock).then(|| "the wall clock".to_owned());
        self.files.iter().find_map(folder).or_else(host).or_else(name).or_else(clock)
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.files.iter().map(|(name, folder)| format!("folder `{name}` ({})", folder.access));
        let hosts = self.http.iter().map(|host| format!("host `{host}`"));
        let names = self.environment.iter().map(|name| format!("environment name `{name}`"));
        let clock = self.wall_clock.then(|| "the wall clock".to_owned());
        let all: Vec<String> = files.chain(hosts).chain(names).chain(clock).collect();
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(access: Access) -> Grants {
        let folder = Folder { path: "data".into(), access };
        Grants {
            files: BTreeMap::from([("reference".into(), folder)]),
            http: BTreeSet::from(["api.example.org".into()]),
            environment: BTreeSet::from(["REGION".into()]),
            wall_clock: true,
        }
    }

    #[test]
    fn each_grant_must_be_allowed_by_name() {
        let all = grants(Access::ReadWrite);
        assert_eq!(all.beyond(&all), None);
        assert_eq!(grants(Access::Read).beyond(&all), None);
        assert_eq!(all.beyond(&grants(Access::Read)).unwrap(), "folder `reference` for more than `read`");
        let missing = |allowed: Grants| all.beyond(&allowed).unwrap();
        assert_eq!(missing(Grants { files: BTreeMap::new(), ..all.clone() }), "folder `reference`");
        assert_eq!(missing(Grants { http: BTreeSet::new(), ..all.clone() }), "host `api.example.org`");
        assert_eq!(missing(Grants { environment: BTreeSet::new(), ..all.clone() }), "environment name `REGION`");
        assert_eq!(missing(Grants { wall_clock: false, ..all.clone() }), "the wall clock");
    }

    #[test]
    fn no_grants_take_no_room_in_a_record() {
        assert_eq!(serde_json::to_string(&Grants::default()).unwrap(), "{}");
        assert_eq!(grants(Access::Read).only(&BTreeSet::new()), Grants::default());
    }

    #[test]
    fn an_import_names_its_capability() {
        assert_eq!(Capability::of_import("stagewright:stage/wall-clock@0.1.7"), Some(Capability::WallClock));
        assert_eq!(Capability::of_import("stagewright:stage/context@0.1.0"), None);
        assert_eq!(Capability::of_import("wasi:clocks/wall-clock@0.2.0"), None);
    }
}
