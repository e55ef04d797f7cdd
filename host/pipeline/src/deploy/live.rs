//! An endpoint in a process that serves it: which model answers a request now, and how a trial goes.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use stagewright_core::{Batch, ColumnType, Schema};

use super::{Answered, Assignment, Counters, Deployment, Figures, Plan, Role, Verdict, judge};

/// A trial's answers are judged after every so many of the new model's.
const JUDGED_EVERY: u64 = 8;

/// A deployment as a process serves it. Whoever switches makes a new one; requests under way keep the one they began
/// with.
#[derive(Debug)]
pub struct Live {
    deployment: Deployment,
    salt: String,
    aborted: AtomicBool,
    champion: Mutex<Counters>,
    challenger: Mutex<Counters>,
}

impl Live {
    /// Begins to serve a deployment.
    pub fn new(deployment: Deployment) -> Self {
        let salt = format!("trial {}", deployment.id);
        Self {
            deployment,
            salt,
            aborted: AtomicBool::new(false),
            champion: Mutex::default(),
            challenger: Mutex::default(),
        }
    }

    /// The deployment.
    pub const fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// What answers.
    pub const fn plan(&self) -> &Plan {
        &self.deployment.plan
    }

    /// Which models a request goes to; see [`Plan::assign`]. Behind a trial that was called off, only to the present
    /// one.
    pub fn assign(&self, key: &str) -> Assignment {
        match self.aborted.load(Ordering::Acquire) {
            true => Assignment { answers: Role::Champion, shadow: false },
            false => self.plan().assign(&self.salt, key),
        }
    }

    /// Counts an answer, none where the model failed. Returns the reasons where this calls the trial off: once, and
    /// from then on the new model gets no more requests.
    pub fn observe(&self, role: Role, latency_us: u64, answer: Option<Answered>) -> Option<Aborted> {
        let trial = self.plan().trial.as_ref()?;
        let failed = answer.is_none();
        let judged = {
            let mut counters = self.counters(role);
            match answer {
                Some(answer) => counters.answered(latency_us, answer),
                None => counters.failed(),
            }
            role != Role::Champion && (failed || counters.requests.is_multiple_of(JUDGED_EVERY))
        };
        if !judged || self.aborted.load(Ordering::Acquire) {
            return None;
        }
        let (champion, challenger) = (self.counters(Role::Champion).clone(), self.counters(Role::Challenger).clone());
        let Verdict::Abort(reasons) = judge(&trial.abort, &champion, &challenger) else { return None };
        let first = !self.aborted.swap(true, Ordering::AcqRel);
        first.then(|| Aborted { reasons, champion: champion.figures(), challenger: challenger.figures() })
    }

    /// What was counted so far, of the present model and of the one on trial.
    pub fn figures(&self) -> (Figures, Figures) {
        (self.counters(Role::Champion).figures(), self.counters(Role::Challenger).figures())
    }

    fn counters(&self, role: Role) -> MutexGuard<'_, Counters> {
        let counters = if role == Role::Champion { &self.champion } else { &self.challenger };
        counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A trial that was called off by its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// The rules that were broken, each with its figures.
    pub reasons: Vec<String>,
    /// What was counted of the present model.
    pub champion: Figures,
    /// What was counted of the model on trial.
    pub challenger: Figures,
}

/// The answer to the first row, coarsely: the score where there is one, else the first column.
pub fn first_answer(schema: &Schema, predictions: &Batch) -> Answered {
    let position = schema.index_of("score").unwrap_or(0);
    let (Some(field), Some(column)) = (schema.fields().get(position), predictions.columns.get(position)) else {
        return Answered::Missing;
    };
    if predictions.rows == 0 || !column.is_valid(0) {
        return Answered::Missing;
    }
    match field.column_type {
        ColumnType::Float64 => column.floats().next().map_or(Answered::Missing, Answered::number),
        ColumnType::Int64 | ColumnType::Timestamp => {
            column.ints().next().map_or(Answered::Missing, |value| Answered::number(value as f64))
        }
        ColumnType::Boolean => Answered::Word((column.values.first().is_some_and(|byte| byte & 1 == 1)).to_string()),
        ColumnType::Text | ColumnType::Category => {
            column.text(0).map_or(Answered::Missing, |word| Answered::Word(word.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use stagewright_core::{Digest, record::Used};

    use super::*;
    use crate::deploy::{AbortRules, Action, Share, Trial, TrialKind};

    fn live() -> Live {
        let model = |number| Used { name: "m".parse().unwrap(), number, digest: Digest::of(&[number as u8]) };
        let first = Plan::first("production".parse().unwrap(), "m".parse().unwrap(), model(1));
        let share = Share::new(0.5).unwrap();
        let trial = Trial { kind: TrialKind::Canary, model: model(2), share, abort: AbortRules::default() };
        Live::new(Deployment {
            id: 2,
            action: Action::Canary,
            plan: first.tried(trial).unwrap(),
            before: Some(1),
            reason: String::new(),
            figures: None,
            author: "ada".into(),
            at_ms: 0,
        })
    }

    #[test]
    fn a_canary_that_fails_gets_no_more_requests_after_the_minimum() {
        let live = live();
        let (mut asked, mut aborted) = (0, Vec::new());
        for key in (0..400).map(|key: u32| key.to_string()) {
            let role = live.assign(&key).answers;
            let answer = (role == Role::Champion).then(|| Answered::number(0.5));
            asked += u32::from(role == Role::Challenger);
            aborted.extend(live.observe(role, 100, answer));
        }
        assert_eq!((asked, aborted.len()), (20, 1), "{aborted:?}");
        assert_eq!((aborted[0].challenger.requests, aborted[0].challenger.errors), (20, 20));
    }

    #[test]
    fn a_canary_that_answers_alike_goes_on() {
        let live = live();
        for key in (0..4000).map(|key: u32| key.to_string()) {
            let role = live.assign(&key).answers;
            let score = f64::from(key.parse::<u32>().unwrap() % 97) / 97.0;
            assert_eq!(live.observe(role, 100, Some(Answered::number(score))), None);
        }
        let (champion, challenger) = live.figures();
        assert_eq!(champion.requests + challenger.requests, 4000);
    }
}
