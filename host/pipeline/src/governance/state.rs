//! The states of a model version: candidate → approved → deployed → retired.
//!
//! A state is a record in the models repository, written in one commit with its entry in the audit log and with the
//! aliases that follow from it. There is no other way to set one, nor to make a [`Promoted`].

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::json;
use stagewright_core::{Name, VersionRef, canonical, record::Used};
use stagewright_store::{ArtifactKind, Transaction, Version};

use super::{Refusal, approval, turn, verdict, version_key};
use crate::{
    error::{Error, Result},
    project::Project,
};

/// The collection of states in the models repository, by name and number.
const STATES: &str = "model-state";
/// The environment whose versions are a model's `champion` and `challenger`.
pub const PRODUCTION: &str = "production";

/// What a model version is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A run registered it.
    #[default]
    Candidate,
    /// Its gate passed, and whoever had to approve did.
    Approved,
    /// It serves in an environment.
    Deployed,
    /// It serves no more and will not again.
    Retired,
}

impl State {
    /// The state in one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Approved => "approved",
            Self::Deployed => "deployed",
            Self::Retired => "retired",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a version does in an environment. In production it is also the alias that points at the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It answers.
    Champion,
    /// It answers some requests, or only in the champion's shadow.
    Challenger,
}

impl Role {
    /// Both roles.
    pub const ALL: [Self; 2] = [Self::Champion, Self::Challenger];

    /// The role, and its alias in production.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Challenger => "challenger",
        }
    }

    fn alias(self) -> Name {
        self.as_str().parse().expect("a role's name is a name")
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The state of a model version, and how it came about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelState {
    /// The state.
    pub state: State,
    /// Where it serves, and as what.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub serves: BTreeMap<String, Role>,
    /// Since when, in milliseconds since 1970; 0 for a version that nothing happened to since it was registered.
    pub since_ms: u64,
    /// Who changed it last.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A model version that may serve in an environment: its gate passed, and whoever had to approve did. Only
/// [`promoted`] makes one, and a deployment goes back to those that it had.
#[derive(Clone, Debug)]
pub struct Promoted {
    version: Version,
    environment: String,
}

impl Promoted {
    /// The version.
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// Where it may serve.
    pub fn environment(&self) -> &str {
        &self.environment
    }
}

/// A registered version of a model.
///
/// # Errors
/// There is none, or what there is is no model.
pub fn resolve(project: &Project, wanted: &VersionRef) -> Result<Version> {
    let version = project.store.models()?.resolve(wanted)?;
    match version.kind {
        ArtifactKind::Model => Ok(version),
        kind => Err(Error::Invalid(format!("{}@{} is no model but a {}", version.name, version.number, kind.as_str()))),
    }
}

/// The state of a version.
///
/// # Errors
/// The models repository cannot be read.
pub fn state(project: &Project, version: &Version) -> Result<ModelState> {
    let record = project.store.models()?.record(STATES, &version_key(&version.name, version.number))?;
    let Some(bytes) = record else { return Ok(ModelState::default()) };
    canonical::from_slice(&bytes)
        .map_err(|error| Error::Invalid(format!("the state of {} is damaged: {error}", shown(version))))
}

/// The right to deploy a version in an environment.
///
/// # Errors
/// The version is retired, or something that it needs for this environment is missing: the error says what.
pub fn promoted(project: &Project, wanted: &VersionRef, environment: &str) -> Result<Promoted> {
    let version = resolve(project, wanted)?;
    let model = shown(&version);
    if state(project, &version)?.state == State::Retired {
        return Err(Refusal::NoSuchStep { model, state: State::Retired, wanted: "deployed" }.into());
    }
    let guarded = project.settings.gate.environments.as_ref();
    if guarded.is_none_or(|guarded| guarded.iter().any(|name| name == environment)) {
        let why = approval::standing_now(project, &version)?;
        if !why.is_empty() {
            return Err(Refusal::Held { model, environment: environment.to_owned(), why }.into());
        }
    }
    Ok(Promoted { version, environment: environment.to_owned() })
}

/// The right that a recorded deployment had: rolling back must be possible at once, whatever a gate says meanwhile. Only
/// deployments call this, for models of their own record.
pub(crate) fn promoted_before(version: Version, environment: &str) -> Promoted {
    Promoted { version, environment: environment.to_owned() }
}

/// Notes that a version serves in its environment, in this role. Whatever had the role there before goes back to
/// approved, unless it serves elsewhere: it may be deployed again.
///
/// # Errors
/// The models repository cannot be written.
pub fn mark_deployed(project: &Project, promoted: &Promoted, role: Role, reason: &str) -> Result<ModelState> {
    let _turn = turn();
    let Promoted { version, environment } = promoted;
    let models = project.store.models()?;
    let mut transaction = models.begin(&project.actor())?;
    for other in models.log(&version.name)?.into_iter().filter(|other| other.number != version.number) {
        let mut state = state(project, &other)?;
        if state.serves.get(environment) == Some(&role) {
            leave(project, &other, &mut state, environment, &format!("{} took its place", shown(version)))?;
            put(&mut transaction, &other, &state, "replaced", environment)?;
        }
    }
    let mut state = state(project, version)?;
    if state.state == State::Retired {
        return Err(Refusal::NoSuchStep { model: shown(version), state: state.state, wanted: "deployed" }.into());
    }
    let before = state.serves.insert(environment.clone(), role);
    changed(project, &mut state, State::Deployed, reason);
    put(&mut transaction, version, &state, "deploy", environment)?;
    if environment == PRODUCTION {
        transaction.tag(version, &role.alias());
        if let Some(before) = before.filter(|before| *before != role) {
            transaction.untag(&version.name, &before.alias());
        }
    }
    transaction.commit()?;
    Ok(state)
}

/// Notes that a version serves no more in an environment. It may be deployed again.
///
/// # Errors
/// It did not serve there, or the models repository cannot be written.
pub fn mark_withdrawn(project: &Project, version: &Version, environment: &str, reason: &str) -> Result<ModelState> {
    let _turn = turn();
    let mut state = state(project, version)?;
    let Some(role) = state.serves.get(environment).copied() else {
        return Err(Error::Invalid(format!("{} does not serve in `{environment}`", shown(version))));
    };
    leave(project, version, &mut state, environment, reason)?;
    let mut transaction = project.store.models()?.begin(&project.actor())?;
    put(&mut transaction, version, &state, "withdraw", environment)?;
    if environment == PRODUCTION {
        transaction.untag(&version.name, &role.alias());
    }
    transaction.commit()?;
    Ok(state)
}

/// Retires a version for good.
///
/// # Errors
/// It is retired already or still serves, or the models repository cannot be written.
pub fn mark_retired(project: &Project, version: &Version, reason: &str) -> Result<ModelState> {
    let _turn = turn();
    let mut state = state(project, version)?;
    if matches!(state.state, State::Deployed | State::Retired) {
        return Err(Refusal::NoSuchStep { model: shown(version), state: state.state, wanted: "retired" }.into());
    }
    changed(project, &mut state, State::Retired, reason);
    let mut transaction = project.store.models()?.begin(&project.actor())?;
    put(&mut transaction, version, &state, "retire", "")?;
    transaction.commit()?;
    Ok(state)
}

/// Gives a version a further name. The aliases of production are not given away: they say what serves there.
///
/// # Errors
/// There is no such version, or the tag is no tag or is kept for production.
pub fn tag(project: &Project, wanted: &VersionRef, tag: &str) -> Result<Version> {
    if let Some(role) = Role::ALL.into_iter().find(|role| role.as_str() == tag) {
        let message = format!("`{role}` says what serves in {PRODUCTION}; only a deployment moves it");
        return Err(Error::Invalid(message));
    }
    resolve(project, wanted)?;
    crate::data::tag(project.store.models()?, project, wanted, tag)
}

/// `NAME@NUMBER`.
pub(super) fn shown(version: &Version) -> String {
    format!("{}@{}", version.name, version.number)
}

fn leave(project: &Project, version: &Version, state: &mut ModelState, environment: &str, reason: &str) -> Result<()> {
    state.serves.remove(environment);
    let next = if !state.serves.is_empty() {
        State::Deployed
    } else {
        let judged = verdict::latest(project, version)?;
        match approval::missing(project, version, judged.as_ref(), &approval::said(project, version)?)?.is_empty() {
            true => State::Approved,
            // It served where no gate stands guard.
            false => State::Candidate,
        }
    };
    changed(project, state, next, reason);
    Ok(())
}

/// Moves a version between candidate and approved, as what is missing says. Other states stay.
pub(super) fn settle(
    project: &Project,
    transaction: &mut Transaction<'_>,
    version: &Version,
    missing: &[String],
) -> Result<ModelState> {
    let mut state = state(project, version)?;
    match (state.state, missing.first()) {
        (State::Candidate, None) => {
            changed(project, &mut state, State::Approved, "its gate passed and every approval is there");
            put(transaction, version, &state, "approve", "")?;
        }
        (State::Approved, Some(first)) => {
            changed(project, &mut state, State::Candidate, first);
            put(transaction, version, &state, "hold", "")?;
        }
        _ => {}
    }
    Ok(state)
}

fn changed(project: &Project, state: &mut ModelState, next: State, reason: &str) {
    let actor = project.actor();
    (state.state, state.since_ms, state.by) = (next, actor.at_ms, actor.who);
    reason.clone_into(&mut state.reason);
}

fn put(
    transaction: &mut Transaction<'_>,
    version: &Version,
    state: &ModelState,
    action: &str,
    environment: &str,
) -> Result<()> {
    transaction.put_record(STATES, &version_key(&version.name, version.number), &canonical::to_vec(state))?;
    let model = Used { name: version.name.clone(), number: version.number, digest: version.digest };
    let environment = (!environment.is_empty()).then_some(environment);
    transaction.audit(json!({
        "action": action, "model": model, "state": state.state, "environment": environment,
        "role": environment.and_then(|environment| state.serves.get(environment)), "reason": state.reason,
    }));
    Ok(())
}
