//! A component in this process, to measure what the sandbox itself costs: no worker, no pipe, no store.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use stagewright_core::stage::Profile;

use crate::{
    CancelToken, Component, Flavour, LargeStack, Limits, StageError, Value, Work, WorkerPool,
    run::{self, Components},
    sandbox::Sandbox,
    served::Shelf,
    state::Session,
};

/// A loaded component. It runs without a watch over its time, so that it is only for components that are known to end.
pub struct Measured {
    component: Component,
    shelf: Shelf,
    limits: Limits,
}

impl Measured {
    /// Loads a component; the pool's workers compile what the cache does not hold.
    ///
    /// # Errors
    /// It cannot be compiled or is no plugin.
    pub fn load(
        pool: &WorkerPool,
        component: &Component,
        flavour: Flavour,
        profile: Profile,
    ) -> Result<Self, StageError> {
        let limits = Limits::default();
        let loaded = pool.compiled(component, flavour, profile, &limits, &CancelToken::new(), &())?;
        let shelf = Shelf(BTreeMap::from([(component.digest(), Arc::new(loaded))]));
        Ok(Self { component: component.clone(), shelf, limits })
    }

    /// Makes an instance as a call would, and says how long that took.
    ///
    /// # Errors
    /// The component traps while it starts.
    pub fn instantiate(&self) -> Result<Duration, StageError> {
        let session = self.session();
        let loaded = self.shelf.get(&self.component)?;
        let began = Instant::now();
        let sandbox = Sandbox::new(&session, &loaded)?;
        let elapsed = began.elapsed();
        drop(sandbox);
        Ok(elapsed)
    }

    /// Does some work, and says how long that took.
    ///
    /// # Errors
    /// The stage failed.
    pub fn run(&self, work: Work, parameters: &str) -> Result<(Value, Duration), StageError> {
        let session = self.session();
        let began = Instant::now();
        let value = LargeStack::call(|_| run::execute(&session, &self.shelf, &self.component, work, parameters))?;
        Ok((value, began.elapsed()))
    }

    fn session(&self) -> Arc<Session> {
        Arc::new(Session::new(0, self.limits.clone(), Arc::new(()), CancelToken::new()))
    }
}
