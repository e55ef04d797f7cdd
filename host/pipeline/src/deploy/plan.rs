//! What answers requests at an endpoint, and how that changes. Pure: every change makes a new plan of the present one.

use serde::{Deserialize, Serialize};
use stagewright_core::{Name, record::Used};

use super::{AbortRules, Share};
use crate::error::{Error, Result};

/// So many earlier models can be rolled back to.
const EARLIER: usize = 20;

/// What a trial does with a new model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialKind {
    /// It answers a share of requests, to find out whether it may answer all.
    Canary,
    /// It is asked beside the present model, and its answers are only logged.
    Shadow,
    /// It answers a share of requests (an A/B test), to find out which of the two does better.
    Split,
}

impl TrialKind {
    /// The kind in one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Shadow => "shadow",
            Self::Split => "split",
        }
    }
}

/// A new model beside the present one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What it does.
    pub kind: TrialKind,
    /// The new model.
    pub model: Used,
    /// The share of requests that it gets.
    pub share: Share,
    /// When it is called off.
    pub abort: AbortRules,
}

/// What answers requests at an endpoint of an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The environment.
    pub environment: Name,
    /// The endpoint: the model's name, unless told otherwise.
    pub endpoint: Name,
    /// The model that answers.
    pub champion: Used,
    /// The models that answered before, the latest last: that one is kept warm.
    pub earlier: Vec<Used>,
    /// A new model beside it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trial: Option<Trial>,
}

/// Which of an endpoint's models answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The present model.
    Champion,
    /// The model on trial.
    Challenger,
    /// The model on trial, beside the present one, whose answer was given.
    Shadow,
}

impl Role {
    /// The role in one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Challenger => "challenger",
            Self::Shadow => "shadow",
        }
    }
}

impl Plan {
    /// The first plan of an endpoint.
    pub fn first(environment: Name, endpoint: Name, champion: Used) -> Self {
        Self { environment, endpoint, champion, earlier: Vec::new(), trial: None }
    }

    /// A new model answers all requests.
    pub fn replaced(&self, model: Used) -> Self {
        let mut plan = self.clone();
        plan.trial = None;
        let present = std::mem::replace(&mut plan.champion, model);
        if present != plan.champion {
            plan.earlier.push(present);
            let surplus = plan.earlier.len().saturating_sub(EARLIER);
            plan.earlier.drain(..surplus);
        }
        plan
    }

    /// A new model is tried.
    ///
    /// # Errors
    /// Another is being tried already, or it is the one that answers.
    pub fn tried(&self, trial: Trial) -> Result<Self> {
        if let Some(running) = &self.trial {
            return Err(Error::Invalid(format!(
                "a {} of {}@{} is going on at `{}` in {}; end it first with `stagewright deployments promote` or \
                 `stagewright rollback`",
                running.kind.as_str(),
                running.model.name,
                running.model.number,
                self.endpoint,
                self.environment
            )));
        }
        if trial.model == self.champion {
            let (name, number) = (&trial.model.name, trial.model.number);
            return Err(Error::Invalid(format!(
                "{name}@{number} answers all requests in {} already",
                self.environment
            )));
        }
        Ok(Self { trial: Some(trial), ..self.clone() })
    }

    /// The model on trial answers all requests.
    ///
    /// # Errors
    /// There is none.
    pub fn promoted(&self) -> Result<Self> {
        match &self.trial {
            Some(trial) => Ok(self.replaced(trial.model.clone())),
            None => Err(Error::Invalid(format!("no model is on trial at `{}` in {}", self.endpoint, self.environment))),
        }
    }

    /// A trial ends; without one, the model before the present one answers again.
    ///
    /// # Errors
    /// There is neither.
    pub fn rolled_back(&self) -> Result<Self> {
        let mut plan = self.clone();
        if plan.trial.take().is_some() {
            return Ok(plan);
        }
        match plan.earlier.pop() {
            Some(earlier) => plan.champion = earlier,
            None => {
                return Err(Error::Invalid(format!(
                    "{}@{} is the first model at `{}` in {}: there is nothing to roll back to",
                    plan.champion.name, plan.champion.number, plan.endpoint, plan.environment
                )));
            }
        }
        Ok(plan)
    }

    /// The models that must be ready to answer: the present one, the one on trial, and the one before.
    pub fn warm(&self) -> impl Iterator<Item = &Used> {
        [&self.champion].into_iter().chain(self.trial.as_ref().map(|trial| &trial.model)).chain(self.earlier.last())
    }

    /// Which model answers a request. `salt` names the trial, so that each draws anew; `key` is the request's id or
    /// whatever else should always meet the same model.
    pub fn assign(&self, salt: &str, key: &str) -> Assignment {
        match &self.trial {
            Some(trial) if trial.share.includes(salt, key) => match trial.kind {
                TrialKind::Shadow => Assignment { answers: Role::Champion, shadow: true },
                TrialKind::Canary | TrialKind::Split => Assignment { answers: Role::Challenger, shadow: false },
            },
            _ => Assignment { answers: Role::Champion, shadow: false },
        }
    }

    /// The model that has a role.
    pub fn model(&self, role: Role) -> &Used {
        match (role, &self.trial) {
            (Role::Challenger | Role::Shadow, Some(trial)) => &trial.model,
            _ => &self.champion,
        }
    }
}

/// Which models a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The one whose answer is given.
    pub answers: Role,
    /// Whether the model on trial is asked too, behind the answer.
    pub shadow: bool,
}

#[cfg(test)]
mod tests {
    use stagewright_core::Digest;

    use super::*;

    fn model(number: u64) -> Used {
        Used { name: "income".parse().unwrap(), number, digest: Digest::of(&number.to_le_bytes()) }
    }

    fn plan() -> Plan {
        Plan::first("production".parse().unwrap(), "income".parse().unwrap(), model(1))
    }

    fn canary(number: u64, kind: TrialKind, share: f64) -> Trial {
        Trial { kind, model: model(number), share: Share::new(share).unwrap(), abort: AbortRules::default() }
    }

    #[test]
    fn rolling_back_goes_through_what_answered_before_and_stops_at_the_first() {
        let third = plan().replaced(model(2)).replaced(model(3));
        let second = third.rolled_back().unwrap();
        assert_eq!(second, plan().replaced(model(2)));
        let first = second.rolled_back().unwrap();
        assert_eq!(first, plan());
        let error = first.rolled_back().unwrap_err().to_string();
        assert_eq!(error, "income@1 is the first model at `income` in production: there is nothing to roll back to");
    }

    #[test]
    fn deploying_the_present_model_again_changes_nothing() {
        assert_eq!(plan().replaced(model(1)), plan());
    }

    #[test]
    fn a_trial_ends_with_the_new_model_or_the_old_one_and_only_one_goes_on_at_a_time() {
        let tried = plan().tried(canary(2, TrialKind::Canary, 0.1)).unwrap();
        assert_eq!(tried.rolled_back().unwrap(), plan());
        assert_eq!(tried.promoted().unwrap(), plan().replaced(model(2)));
        assert!(tried.tried(canary(3, TrialKind::Split, 0.5)).is_err());
        assert!(plan().tried(canary(1, TrialKind::Shadow, 1.0)).is_err(), "the present model needs no trial");
        assert!(plan().promoted().is_err());
    }

    #[test]
    fn a_key_always_meets_the_same_model_and_a_shadow_never_answers() {
        let split = plan().tried(canary(2, TrialKind::Split, 0.5)).unwrap();
        let shadow = plan().tried(canary(2, TrialKind::Shadow, 0.5)).unwrap();
        let mut challengers = 0;
        for key in (0..1000).map(|key: u32| key.to_string()) {
            let assigned = split.assign("7", &key);
            assert_eq!(assigned, split.assign("7", &key));
            challengers += u32::from(assigned.answers == Role::Challenger);
            let beside = shadow.assign("7", &key);
            assert_eq!((beside.answers, beside.shadow), (Role::Champion, assigned.answers == Role::Challenger));
        }
        assert!((430..570).contains(&challengers), "{challengers} of 1000");
    }

    #[test]
    fn the_model_before_is_kept_warm() {
        let plan = plan().replaced(model(2)).replaced(model(3)).tried(canary(4, TrialKind::Canary, 0.1)).unwrap();
        assert_eq!(plan.warm().map(|model| model.number).collect::<Vec<_>>(), [3, 4, 2]);
    }
}
