//! Grants as they are written: `[grants]` in stagewright.toml says what may be granted at all, `[stage.NAME.grants]` in a
//! pipeline what a stage is granted of that.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use stagewright_core::{
    Grants,
    grant::{Access, Capability, Folder},
};
use stagewright_runtime::grants::target;

use super::source::{Kind, Located, Node, Source, unknown};

const ACCESSES: [&str; 2] = [Access::Read.as_str(), Access::ReadWrite.as_str()];

/// What the operator of a project allows pipelines to grant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// The widest grants.
    pub grants: Grants,
    /// A file of certificates (PEM) that hosts may show beside those that the system trusts.
    pub certificates: Option<String>,
}

impl Allowed {
    /// Reads `[grants]` of stagewright.toml.
    pub(super) fn read(file: &mut Source, node: &Node) -> Self {
        let mut keys: Vec<&str> = Capability::ALL.iter().map(|capability| capability.as_str()).collect();
        keys.push("certificates");
        let known = node.known(file, "[grants]", &keys);
        let mut grants = Grants::default();
        for (name, node) in known.get("files").and_then(|node| node.table(file, "files")).unwrap_or_default() {
            let keys = node.known(file, &format!("folder `{}`", name.value), &["path", "access"]);
            let path = keys.get("path").and_then(|node| node.text(file, "path"));
            let access = keys.get("access").and_then(|node| access(file, node));
            for key in ["path", "access"].iter().filter(|key| !keys.contains_key(**key)) {
                let hint = format!("write: {} = {{ path = \"FOLDER\", access = \"read\" }}", name.value);
                file.problem(&node.at, format!("folder `{}` has no `{key}`", name.value), Some(hint));
            }
            if let (Some(path), Some(access)) = (path, access) {
                grants.files.insert(name.value.clone(), Folder { path: path.value, access: access.value });
            }
        }
        let texts = |key, file: &mut Source| known.get(key).map(|node| node.texts(file, key)).unwrap_or_default();
        let written = texts("http", file);
        grants.http = values(hosts(file, written));
        let written = texts("environment", file);
        grants.environment = values(names(file, written));
        grants.wall_clock = known.get("wall-clock").is_some_and(|node| truth(file, node, "wall-clock"));
        let certificates = known.get("certificates").and_then(|node| node.text(file, "certificates"));
        Self { grants, certificates: certificates.map(|path| path.value) }
    }
}

/// What a pipeline grants to a stage.
#[derive(Clone, Debug, Default)]
pub struct StageGrants {
    /// Where each capability is written.
    pub at: BTreeMap<Capability, Range<usize>>,
    /// Folders by name.
    pub files: BTreeMap<String, Located<Access>>,
    /// Hosts.
    pub http: Vec<Located<String>>,
    /// Names of the environment.
    pub environment: Vec<Located<String>>,
}

impl StageGrants {
    /// Reads `grants` of a stage.
    pub(super) fn read(file: &mut Source, what: &str, node: &Node) -> Self {
        let keys = Capability::ALL.map(Capability::as_str);
        let known = node.known(file, &format!("the grants of {what}"), &keys);
        let mut grants = Self::default();
        for (name, node) in known.get("files").and_then(|node| node.table(file, "files")).unwrap_or_default() {
            grants.files.extend(access(file, node).map(|access| (name.value.clone(), access)));
        }
        let texts = |key, file: &mut Source| known.get(key).map(|node| node.texts(file, key)).unwrap_or_default();
        let written = texts("http", file);
        grants.http = hosts(file, written);
        let written = texts("environment", file);
        grants.environment = names(file, written);
        let clock = known.get("wall-clock").filter(|node| truth(file, node, "wall-clock"));
        let granted = [
            (Capability::Files, known.get("files").filter(|_| !grants.files.is_empty())),
            (Capability::Http, known.get("http").filter(|_| !grants.http.is_empty())),
            (Capability::Environment, known.get("environment").filter(|_| !grants.environment.is_empty())),
            (Capability::WallClock, clock),
        ];
        grants.at = granted.into_iter().filter_map(|(capability, node)| Some((capability, node?.at.clone()))).collect();
        grants
    }

    /// Whether anything is granted.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }
}

fn values(all: Vec<Located<String>>) -> BTreeSet<String> {
    all.into_iter().map(|one| one.value).collect()
}

fn access(file: &mut Source, node: &Node) -> Option<Located<Access>> {
    let text = node.text(file, "access")?;
    let access = match text.value.as_str() {
        "read" => Access::Read,
        "read-write" => Access::ReadWrite,
        other => {
            file.problem(&text.at, format!("unknown access `{other}`"), unknown(other, &ACCESSES));
            return None;
        }
    };
    Some(Located { value: access, at: text.at })
}

fn hosts(file: &mut Source, written: Vec<Located<String>>) -> Vec<Located<String>> {
    let mut good = |host: &Located<String>| match target(&host.value) {
        Ok(_) => true,
        Err(problem) => {
            file.problem(&host.at, problem, None);
            false
        }
    };
    written.into_iter().filter(|host| good(host)).collect()
}

fn names(file: &mut Source, written: Vec<Located<String>>) -> Vec<Located<String>> {
    let mut good = |name: &Located<String>| {
        let fits = !name.value.is_empty() && !name.value.contains(['=', '\0']);
        if !fits {
            file.problem(&name.at, format!("`{}` cannot name a value", name.value.escape_debug()), None);
        }
        fits
    };
    written.into_iter().filter(|name| good(name)).collect()
}

pub(super) fn truth(file: &mut Source, node: &Node, what: &str) -> bool {
    match node.kind {
        Kind::Boolean(truth) => truth,
        _ => {
            file.problem(&node.at, format!("{what} must be true or false, not {}", node.describe()), None);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::file::Settings;

    #[test]
    fn the_operator_names_folders_hosts_and_names() {
        let text = "[grants]\nhttp = [\"api.example.org\", \"http://127.0.0.1:8080\"]\nenvironment = \"REGION\"\n\
             wall-clock = true\n[grants.files]\nreference = { path = \"data\", access = \"read\" }\n";
        let grants = Settings::parse("s.toml", text).unwrap().allowed.grants;
        assert_eq!(
            grants.to_string(),
            "folder `reference` (read), host `api.example.org`, host `http://127.0.0.1:8080`, environment name \
             `REGION`, the wall clock"
        );
        assert!(Settings::parse("s.toml", "").unwrap().allowed.grants.is_empty());
    }

    #[test]
    fn grants_that_are_none_are_refused_where_they_stand() {
        let text = "[grants]\nhttp = [\"https://a.org/\", \"http://a.org\"]\nenvironment = [\"A=B\"]\nwall-clock = 1\n\
             clock = true\n[grants.files]\na = { path = \"x\", acces = \"read\" }\nb = { path = \"x\", access = \"write\" }\n";
        let problems = Settings::parse("s.toml", text).unwrap_err();
        let said: Vec<String> = problems.0.iter().map(|p| format!("{}:{}: {}", p.line, p.column, p.message)).collect();
        assert_eq!(
            said,
            [
                "2:9: `https://a.org/` is no host: write `api.example.org`, in lower case, with `:PORT` where it is not 443",
                "2:27: `http://a.org`: without TLS only this machine's loopback can be reached, as `http://127.0.0.1:PORT`",
                "3:16: `A=B` cannot name a value",
                "4:14: wall-clock must be true or false, not a whole number",
                "5:1: unknown key `clock` in [grants]",
                "7:5: folder `a` has no `access`",
                "7:19: unknown key `acces` in folder `a`",
                "8:28: unknown access `write`",
            ]
        );
    }
}
