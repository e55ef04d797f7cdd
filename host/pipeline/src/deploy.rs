//! Deployment: which model answers at which endpoint of which environment, and every change of that.
//!
//! The ledger holds a record of each change, in order, and for each endpoint a pointer to the record that holds. Both
//! are written in one commit, behind the bytes: before it, everything that the model is made of is durable and pinned.
//! A process that serves [follows](Followers): it makes the models ready before the record is written, so that what
//! cannot be loaded is not deployed, and switches behind it.

mod environment;
mod live;
mod plan;
mod rules;
mod share;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::{Deserialize, Serialize};
use serde_json::json;
use stagewright_core::{
    Name, Selector, VersionRef, canonical,
    name::nearest,
    record::{Model, Used},
};

pub use self::{
    environment::{Environment, Environments},
    live::{Aborted, Live, first_answer},
    plan::{Assignment, Plan, Role, Trial, TrialKind},
    rules::{AbortRules, Answered, Counters, Figures, Verdict, judge},
    share::Share,
};
use crate::{
    error::{Error, Result},
    governance::{self, Promoted},
    project::Project,
};

/// The ledger's collection of changes.
const DEPLOYMENTS: &str = "deployment";
/// The ledger's collection of pointers.
const ENDPOINTS: &str = "endpoint";

/// What a deployment changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A model answers all requests.
    Deploy,
    /// A canary began.
    Canary,
    /// A shadow began.
    Shadow,
    /// An A/B test began.
    Split,
    /// The model on trial answers all requests.
    Promote,
    /// A trial was called off by its rules.
    Abort,
    /// A trial was ended, or the model before answers again.
    RollBack,
}

impl Action {
    /// The action in one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Canary => "canary",
            Self::Shadow => "shadow",
            Self::Split => "split",
            Self::Promote => "promote",
            Self::Abort => "abort",
            Self::RollBack => "roll-back",
        }
    }
}

/// A change of what answers at an endpoint. Immutable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Counted from 1 in its project.
    pub id: u64,
    /// What was done.
    pub action: Action,
    /// What answers from now on.
    pub plan: Plan,
    /// The deployment that held before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<u64>,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
    /// What a trial that was called off had counted: of the present model, and of the one on trial.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub figures: Option<(Figures, Figures)>,
    /// Who did it.
    pub author: String,
    /// When.
    pub at_ms: u64,
}

/// How a model is to be deployed.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// At which endpoint; the model's name by default.
    pub endpoint: Option<Name>,
    /// As a trial, with this share of requests; none for all of them.
    pub trial: Option<(TrialKind, Share)>,
    /// Why.
    pub reason: String,
}

/// A process that serves endpoints.
pub trait Follower: Send + Sync {
    /// Makes the models of a plan ready to answer.
    ///
    /// # Errors
    /// One cannot be loaded; then the plan does not come into force.
    fn prepare(&self, plan: &Plan) -> Result<()>;

    /// Serves by a deployment from now on; its models are ready.
    fn switch(&self, deployment: &Deployment);

    /// Makes durable what was answered so far.
    fn settle(&self);
}

/// Whoever serves in this process, and the order in which changes are made.
#[derive(Default)]
pub struct Followers {
    followers: Mutex<Vec<Weak<dyn Follower>>>,
    /// Held while a change is made.
    changing: Mutex<()>,
}

impl Followers {
    /// Tells of every change from now on, as long as the follower lives. `begin` looks at what holds; no change comes
    /// between.
    pub fn follow<T>(&self, follower: &Arc<dyn Follower>, begin: impl FnOnce() -> T) -> T {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.list().push(Arc::downgrade(follower));
        begin()
    }

    /// Has what was answered in this process so far made durable, for whoever reads the logs next.
    pub fn settle(&self) {
        self.living().iter().for_each(|follower| follower.settle());
    }

    fn list(&self) -> MutexGuard<'_, Vec<Weak<dyn Follower>>> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn living(&self) -> Vec<Arc<dyn Follower>> {
        let mut list = self.list();
        list.retain(|follower| follower.strong_count() > 0);
        list.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Deploys a model where it may serve.
///
/// # Errors
/// There is no such environment, another model is on trial there, or the model cannot be loaded.
pub fn deploy(project: &Project, promoted: &Promoted, order: &Order) -> Result<Deployment> {
    let to: Name = promoted.environment().parse()?;
    let settings = environment(project, &to)?;
    let version = promoted.version();
    let model = Used { name: version.name.clone(), number: version.number, digest: version.digest };
    let endpoint = order.endpoint.clone().unwrap_or_else(|| model.name.clone());
    // Its logs must be able to have a name.
    crate::predictions::log_name(&to, &endpoint)?;
    let _changing = changing(project);
    let present = current(project, &to, &endpoint)?;
    let (action, plan) = match (order.trial, &present) {
        (None, None) => (Action::Deploy, Plan::first(to, endpoint, model)),
        (None, Some(present)) => (Action::Deploy, present.plan.replaced(model)),
        (Some((kind, _)), None) => {
            return Err(Error::Invalid(format!(
                "nothing is deployed at `{endpoint}` in {}, so that there is nothing to try {}@{} beside (--{})",
                to,
                model.name,
                model.number,
                kind.as_str()
            )));
        }
        (Some((kind, share)), Some(present)) => {
            let trial = Trial { kind, model, share, abort: settings.abort };
            let action = match kind {
                TrialKind::Canary => Action::Canary,
                TrialKind::Shadow => Action::Shadow,
                TrialKind::Split => Action::Split,
            };
            (action, present.plan.tried(trial)?)
        }
    };
    change(project, action, plan, present.as_ref(), &order.reason, None)
}

/// Gives all requests to the model on trial.
///
/// # Errors
/// No model is on trial, or it may not serve there any more.
pub fn promote(project: &Project, environment: &Name, endpoint: Option<&Name>, reason: &str) -> Result<Deployment> {
    let _changing = changing(project);
    let present = at(project, environment, endpoint)?;
    let plan = present.plan.promoted()?;
    // What was approved for a trial may have been taken back since.
    governance::promoted(project, &reference(&plan.champion), environment.as_str())?;
    change(project, Action::Promote, plan, Some(&present), reason, None)
}

/// Ends a trial; without one, gives all requests to the model that answered before.
///
/// # Errors
/// There is nothing to roll back to.
pub fn roll_back(project: &Project, environment: &Name, endpoint: Option<&Name>, reason: &str) -> Result<Deployment> {
    let _changing = changing(project);
    let present = at(project, environment, endpoint)?;
    change(project, Action::RollBack, present.plan.rolled_back()?, Some(&present), reason, None)
}

/// Records that a trial was called off by its rules. Does nothing where it ended otherwise in the meantime.
///
/// # Errors
/// The ledger cannot be written.
pub fn abort(project: &Project, trial: &Deployment, aborted: &Aborted) -> Result<Option<Deployment>> {
    let _changing = changing(project);
    let present = current(project, &trial.plan.environment, &trial.plan.endpoint)?;
    let Some(present) = present.filter(|present| present.id == trial.id) else { return Ok(None) };
    let figures = Some((aborted.champion, aborted.challenger));
    let reason = aborted.reasons.join("; ");
    change(project, Action::Abort, present.plan.rolled_back()?, Some(&present), &reason, figures).map(Some)
}

/// What holds at each endpoint, of one environment or of all, by environment and endpoint.
///
/// # Errors
/// The ledger cannot be read.
pub fn status(project: &Project, environment: Option<&Name>) -> Result<Vec<Deployment>> {
    let pointers = project.store.ledger()?.records(ENDPOINTS, usize::MAX, false)?;
    let mut deployments = Vec::new();
    for (_, pointer) in pointers {
        let id = canonical::from_slice(&pointer).map_err(|_| damaged("an endpoint's pointer"))?;
        let deployment = read(project, id)?;
        if environment.is_none_or(|environment| *environment == deployment.plan.environment) {
            deployments.push(deployment);
        }
    }
    Ok(deployments)
}

/// The changes, newest first, of one environment or of all.
///
/// # Errors
/// The ledger cannot be read.
pub fn history(project: &Project, environment: Option<&Name>, limit: usize) -> Result<Vec<Deployment>> {
    let records = project.store.ledger()?.records(DEPLOYMENTS, usize::MAX, true)?;
    let all = records.iter().map(|(_, bytes)| parse(bytes));
    let wanted = all.filter(|deployment| match (deployment, environment) {
        (Ok(deployment), Some(environment)) => deployment.plan.environment == *environment,
        _ => true,
    });
    wanted.take(limit).collect()
}

/// What holds at an endpoint.
///
/// # Errors
/// The ledger cannot be read.
pub fn current(project: &Project, environment: &Name, endpoint: &Name) -> Result<Option<Deployment>> {
    let Some(pointer) = project.store.ledger()?.record(ENDPOINTS, &pointer_key(environment, endpoint))? else {
        return Ok(None);
    };
    read(project, canonical::from_slice(&pointer).map_err(|_| damaged("an endpoint's pointer"))?).map(Some)
}

/// What holds at an endpoint that must be there; the environment's only one, where none is named.
///
/// # Errors
/// There is none, or more than one.
pub fn at(project: &Project, environment: &Name, endpoint: Option<&Name>) -> Result<Deployment> {
    self::environment(project, environment)?;
    let mut all = status(project, Some(environment))?;
    let names: Vec<String> = all.iter().map(|deployment| deployment.plan.endpoint.to_string()).collect();
    let position = match endpoint {
        Some(endpoint) => all.iter().position(|deployment| deployment.plan.endpoint == *endpoint),
        None if all.len() == 1 => Some(0),
        None => None,
    };
    match (position, endpoint) {
        (Some(position), _) => Ok(all.swap_remove(position)),
        (None, None) if all.is_empty() => Err(Error::Invalid(format!(
            "nothing is deployed in {environment}; `stagewright deploy MODEL --to {environment}` does that"
        ))),
        (None, None) => Err(Error::Invalid(format!(
            "several endpoints are deployed in {environment}: name one with --endpoint: {}",
            names.join(", ")
        ))),
        (None, Some(endpoint)) => Err(Error::Invalid(format!(
            "nothing is deployed at `{endpoint}` in {environment}; deployed there: {}",
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        ))),
    }
}

/// An environment's settings.
///
/// # Errors
/// There is no such environment; the error names the nearest.
pub fn environment<'a>(project: &'a Project, name: &Name) -> Result<&'a Environment> {
    let environments = &project.settings.environments;
    environments.get(name).ok_or_else(|| {
        let known: Vec<&str> = environments.names().map(Name::as_str).collect();
        let hint = match nearest(name.as_str(), known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}; [environment.{name}] in stagewright.toml makes one", known.join(", ")),
        };
        Error::Invalid(format!("there is no environment `{name}`; {hint}"))
    })
}

fn changing(project: &Project) -> MutexGuard<'_, ()> {
    project.followers.changing.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes, then the record, then the pointer.
fn change(
    project: &Project,
    action: Action,
    plan: Plan,
    before: Option<&Deployment>,
    reason: &str,
    figures: Option<(Figures, Figures)>,
) -> Result<Deployment> {
    let followers = project.followers.living();
    // What held before was loaded before.
    if matches!(action, Action::Deploy | Action::Canary | Action::Shadow | Action::Split) {
        keep(project, &plan)?;
        match followers.is_empty() {
            true => crate::predictions::try_load(project, plan.model(Role::Challenger))?,
            false => followers.iter().try_for_each(|follower| follower.prepare(&plan))?,
        }
    }
    let ledger = project.store.ledger()?;
    let last = ledger.records(DEPLOYMENTS, 1, true)?.pop();
    let id = last.map(|(_, bytes)| parse(&bytes)).transpose()?.map_or(1, |last| last.id + 1);
    let actor = project.actor();
    let deployment = Deployment {
        id,
        action,
        plan,
        before: before.map(|before| before.id),
        reason: reason.to_owned(),
        figures,
        author: actor.who.clone(),
        at_ms: actor.at_ms,
    };
    let plan = &deployment.plan;
    let mut transaction = ledger.begin(&actor)?;
    transaction.put_record(DEPLOYMENTS, &id.to_be_bytes(), &canonical::to_vec(&deployment))?;
    transaction.put_record(ENDPOINTS, &pointer_key(&plan.environment, &plan.endpoint), &canonical::to_vec(&id))?;
    transaction.audit(json!({
        "action": action, "deployment": id, "environment": plan.environment, "endpoint": plan.endpoint,
        "model": format!("{}@{}", plan.model(Role::Challenger).name, plan.model(Role::Challenger).number),
        "digest": plan.model(Role::Challenger).digest, "reason": reason,
    }));
    transaction.commit()?;
    followers.iter().for_each(|follower| follower.switch(&deployment));
    note_states(project, before.map(|before| &before.plan), &deployment)?;
    Ok(deployment)
}

/// Has the model repository say which versions serve, and as what: the aliases follow from it.
fn note_states(project: &Project, before: Option<&Plan>, deployment: &Deployment) -> Result<()> {
    let (plan, reason) = (&deployment.plan, format!("deployment {}", deployment.id));
    let serving = |plan: &Plan| [Some(plan.champion.clone()), plan.trial.as_ref().map(|trial| trial.model.clone())];
    let now: Vec<Used> = serving(plan).into_iter().flatten().collect();
    let environment = plan.environment.as_str();
    for model in before.map(serving).into_iter().flatten().flatten().filter(|model| !now.contains(model)) {
        // A version that was deleted since has no state.
        if let Ok(version) = governance::state::resolve(project, &reference(&model))
            && governance::state::state(project, &version)?.serves.contains_key(environment)
        {
            governance::mark_withdrawn(project, &version, environment, &reason)?;
        }
    }
    for (model, role) in now.iter().zip([governance::Role::Champion, governance::Role::Challenger]) {
        if let Ok(version) = governance::state::resolve(project, &reference(model))
            && governance::state::state(project, &version)?.serves.get(environment) != Some(&role)
        {
            let promoted = governance::state::promoted_before(version, environment);
            governance::mark_deployed(project, &promoted, role, &reason)?;
        }
    }
    Ok(())
}

fn reference(model: &Used) -> VersionRef {
    VersionRef { name: model.name.clone(), selector: Selector::Number(model.number) }
}

/// Keeps everything that a plan's models are made of, as long as the endpoint's predictions may have to be made again.
fn keep(project: &Project, plan: &Plan) -> Result<()> {
    let owner = format!("deployment {}/{}", plan.environment, plan.endpoint);
    let (models, code) = (project.store.models()?, project.store.code()?);
    let used = plan.model(Role::Challenger);
    let bytes = models.bytes(&used.digest)?;
    let model: Model = canonical::from_slice(&bytes)
        .map_err(|error| Error::Invalid(format!("artifact {} is no model: {error}", used.digest)))?;
    let parts = || model.featurizers.iter().chain([&model.predictor]);
    let mut transaction = models.begin(&project.actor())?;
    transaction.pin(&owner, parts().map(|part| part.state).chain([used.digest]));
    transaction.commit()?;
    let mut transaction = code.begin(&project.actor())?;
    transaction.pin(&owner, parts().map(|part| part.component));
    transaction.commit()?;
    Ok(())
}

fn pointer_key(environment: &Name, endpoint: &Name) -> Vec<u8> {
    [environment.as_str().as_bytes(), &[0], endpoint.as_str().as_bytes()].concat()
}

/// A deployment by its number.
///
/// # Errors
/// There is none.
pub fn read(project: &Project, id: u64) -> Result<Deployment> {
    let record = project.store.ledger()?.record(DEPLOYMENTS, &id.to_be_bytes())?;
    parse(&record.ok_or_else(|| Error::Invalid(format!("there is no deployment {id}")))?)
}

fn parse(bytes: &[u8]) -> Result<Deployment> {
    canonical::from_slice(bytes).map_err(|_| damaged("a deployment's record"))
}

fn damaged(what: &str) -> Error {
    Error::Invalid(format!("{what} in the ledger cannot be read"))
}
