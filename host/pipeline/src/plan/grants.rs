//! Grants: what a stage asks for, what the pipeline grants it, and what the operator allows must be the same thing.

use std::collections::BTreeSet;

use stagewright_core::{
    Grants,
    grant::{Capability, Folder},
    name::nearest,
    record::PluginRecord,
};

use super::Planner;
use crate::file::{Located, Stage};

impl Planner<'_> {
    /// What the operator allows of what the pipeline grants a stage; whatever he does not is noted.
    pub(super) fn resolve_grants(&mut self) {
        let pipeline = self.pipeline;
        for stage in &pipeline.stages {
            let grants = self.allowed(stage);
            self.grants.insert(stage.name.value.clone(), grants);
            if stage.cache.is_some() && stage.grants.is_empty() {
                let at = stage.cache.as_ref().map_or(&stage.name.at, |cache| &cache.at);
                let message = format!("[stage.{}] is granted nothing, so its result is kept anyway", stage.name.value);
                self.file.problem(at, message, Some("take `cache` out".to_owned()));
            }
        }
    }

    fn allowed(&mut self, stage: &Stage) -> Grants {
        let allowed = self.catalog.allowed();
        let mut grants =
            Grants { wall_clock: stage.grants.at.contains_key(&Capability::WallClock), ..Grants::default() };
        for (name, access) in &stage.grants.files {
            match allowed.files.get(name) {
                None => {
                    let hint = match nearest(name, allowed.files.keys().map(String::as_str)) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => {
                            operator(&format!("files.{name} = {{ path = \"FOLDER\", access = \"{}\" }}", access.value))
                        }
                    };
                    self.refuse(access, format!("stagewright.toml allows no folder `{name}`"), hint);
                }
                Some(folder) if folder.access < access.value => {
                    let message = format!("stagewright.toml allows folder `{name}` for `{}` only", folder.access);
                    let hint = operator(&format!("files.{name} = {{ .., access = \"{}\" }}", access.value));
                    self.refuse(access, message, hint);
                }
                Some(folder) => {
                    if let Err(problem) = self.catalog.folder(&folder.path) {
                        let hint = format!("stagewright.toml names it: [grants] files.{name}");
                        self.refuse(access, format!("folder `{name}`: {problem}"), hint);
                    }
                    let folder = Folder { path: folder.path.clone(), access: access.value };
                    grants.files.insert(name.clone(), folder);
                }
            }
        }
        for host in &stage.grants.http {
            if !allowed.http.contains(&host.value) {
                let hint = operator(&format!("http = [\"{}\"]", host.value));
                self.refuse(host, format!("stagewright.toml does not allow host `{}`", host.value), hint);
            }
            grants.http.insert(host.value.clone());
        }
        for name in &stage.grants.environment {
            if !allowed.environment.contains(&name.value) {
                let hint = operator(&format!("environment = [\"{}\"]", name.value));
                self.refuse(name, format!("stagewright.toml does not allow environment name `{}`", name.value), hint);
            }
            grants.environment.insert(name.value.clone());
        }
        if let Some(at) = stage.grants.at.get(&Capability::WallClock).filter(|_| !allowed.wall_clock) {
            let hint = operator("wall-clock = true");
            self.file.problem(at, "stagewright.toml does not allow the wall clock", Some(hint));
        }
        grants
    }

    fn refuse<T>(&mut self, at: &Located<T>, message: String, hint: String) {
        self.file.problem(&at.at, message, Some(hint));
    }

    /// What a plugin is granted in a stage: of the stage's grants, those that it asks for. One that asks for more is
    /// refused.
    pub(super) fn granted(&mut self, plugin: &Located<impl ToString>, record: &PluginRecord, stage: &Stage) -> Grants {
        let asked = Capability::asked_by(&record.imports);
        for capability in asked.iter().filter(|capability| !stage.grants.at.contains_key(capability)) {
            let stage = &stage.name.value;
            let message = format!(
                "plugin `{}` asks for `{capability}`, which [stage.{stage}] does not grant",
                plugin.value.to_string()
            );
            let hint = format!(
                "if you trust it with that, add: [stage.{stage}.grants] {}; stagewright.toml must allow it under [grants]",
                example(*capability)
            );
            self.file.problem(&plugin.at, message, Some(hint));
        }
        self.asked.entry(stage.name.value.clone()).or_default().extend(&asked);
        let grants = self.grants.get(&stage.name.value).cloned().unwrap_or_default();
        grants.only(&asked)
    }

    /// A grant that no plugin of its stage asks for is a slip, or was once needed.
    pub(super) fn unused_grants(&mut self) {
        // Where a plugin is missing, nobody can say what it would have asked for.
        if !self.file.is_sound() {
            return;
        }
        let nothing = BTreeSet::new();
        for stage in &self.pipeline.stages {
            let asked = self.asked.get(&stage.name.value).unwrap_or(&nothing);
            for (capability, at) in stage.grants.at.iter().filter(|(capability, _)| !asked.contains(capability)) {
                let message = format!("no plugin of [stage.{}] asks for `{capability}`", stage.name.value);
                self.file.problem(at, message, Some("take the grant out".to_owned()));
            }
        }
    }
}

/// What the operator would write.
fn operator(entry: &str) -> String {
    format!("whoever runs this project can allow it in stagewright.toml: [grants] {entry}")
}

fn example(capability: Capability) -> &'static str {
    match capability {
        Capability::Files => "files = { FOLDER = \"read\" }",
        Capability::Http => "http = [\"HOST\"]",
        Capability::Environment => "environment = [\"NAME\"]",
        Capability::WallClock => "wall-clock = true",
    }
}
