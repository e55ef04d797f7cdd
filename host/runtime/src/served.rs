//! A model that answers small calls in this process.
//!
//! Its guests carry fuel, so that a call that would not end stops by itself, and come from the pooling allocator, so
//! that a fresh instance costs microseconds. Whoever serves many requests keeps one [`Served`] for each thread.

use std::{collections::BTreeMap, sync::Arc};

use stagewright_core::{Batch, Digest, Schema, stage::Profile};

use crate::{
    CancelToken, Component, Limits, ModelParts, Observer, StageError, WorkerPool, engine::Flavour,
    limits::THREAD_STACK_BYTES, model::Chain, run::Components, sandbox::Loaded, state::Session,
};

/// A loaded model.
pub struct Served {
    chain: Chain,
    session: Arc<Session>,
}

impl Served {
    /// Loads a model; the pool's workers compile what the cache does not hold. `limits.time` bounds each prediction, in
    /// units of fuel: a billion to the second.
    ///
    /// # Errors
    /// A component cannot be compiled, or does not take its state.
    pub fn load(
        pool: &WorkerPool,
        model: &ModelParts,
        profile: Profile,
        limits: &Limits,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StageError> {
        let cancel = CancelToken::new();
        let mut shelf = Shelf(BTreeMap::new());
        for (component, _) in model.featurizers.iter().chain([&model.predictor]) {
            let code = pool.compiled(component, Flavour::Interactive, profile, limits, &cancel, &*observer)?;
            shelf.0.insert(component.digest(), Arc::new(code));
        }
        let session = Arc::new(Session::new(0, limits.clone(), observer, cancel));
        let chain = on_a_large_stack(|| Chain::load_to_serve(&session, &shelf, model))?;
        Ok(Self { chain, session })
    }

    /// The columns that rows must have, by name and type, in this order.
    pub fn input(&self) -> &Schema {
        self.chain.input()
    }

    /// The columns of predictions.
    pub fn output(&self) -> &Schema {
        self.chain.output()
    }

    /// Predictions for rows, one for each, in order. After an error other than [`StageError::Failed`] the model must be
    /// loaded again.
    ///
    /// # Errors
    /// The rows do not fit, or a stage of the model gave up.
    pub fn predict(&mut self, rows: Batch) -> Result<Batch, StageError> {
        rows.check(self.chain.input()).map_err(|error| StageError::Failed {
            kind: crate::FailureKind::InvalidData,
            message: error.to_string(),
        })?;
        self.chain.refuel(&self.session)?;
        let chain = &mut self.chain;
        on_a_large_stack(|| chain.predict(rows)).map(|(_, predictions)| predictions)
    }
}

/// Components that are loaded in this process.
pub(crate) struct Shelf(pub(crate) BTreeMap<Digest, Arc<Loaded>>);

impl Components for Shelf {
    fn get(&self, component: &Component) -> Result<Arc<Loaded>, StageError> {
        let loaded = self.0.get(&component.digest()).cloned();
        loaded.ok_or_else(|| StageError::Compile("a component of the model was not loaded".to_owned()))
    }
}

/// Calls on a thread whose stack is far larger than a guest's: running out of it would end this process.
pub(crate) fn on_a_large_stack<T: Send>(call: impl FnOnce() -> Result<T, StageError> + Send) -> Result<T, StageError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(THREAD_STACK_BYTES).spawn_scoped(scope, call);
        let thread = thread.map_err(|error| StageError::host("no thread could be started", error))?;
        thread.join().unwrap_or_else(|_| Err(StageError::WorkerDied("a thread of the host panicked".to_owned())))
    })
}
