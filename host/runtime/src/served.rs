//! A model that answers small calls in this process.
//!
//! Its guests carry fuel, so that a call that would not end stops by itself, and come from the pooling allocator, so
//! that a fresh instance costs microseconds. Whoever serves many requests loads a [`ServedModel`] once and keeps one
//! [`Served`] for each thread.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use stagewright_core::{Batch, Digest, Schema, TableError, stage::Profile};

use crate::{
    CancelToken, Component, LargeStack, Limits, ModelParts, Observer, StageError, WorkerPool, engine::Flavour,
    model::Chain, run::Components, sandbox::Loaded, state::Session,
};

/// A model whose machine code is loaded, ready to be instantiated.
pub struct ServedModel {
    shelf: Shelf,
    parts: ModelParts,
    limits: Limits,
    observer: Arc<dyn Observer>,
}

impl ServedModel {
    /// Loads a model's code; the pool's workers compile what the cache does not hold. `limits.time` bounds loading a
    /// state or weights, in units of fuel: a billion to the second.
    ///
    /// # Errors
    /// A component cannot be compiled.
    pub fn load(
        pool: &WorkerPool,
        parts: ModelParts,
        profile: Profile,
        limits: &Limits,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StageError> {
        let cancel = CancelToken::new();
        let mut shelf = Shelf(BTreeMap::new());
        for (component, _) in parts.featurizers.iter().chain([&parts.predictor]) {
            let code = pool.compiled(component, Flavour::Interactive, profile, limits, &cancel, &*observer)?;
            shelf.0.insert(component.digest(), Arc::new(code));
        }
        // The code is loaded, so that only the digests of the components are of use from here on.
        let known = |(component, state): (Component, Arc<[u8]>)| (Component::known(component.digest()), state);
        let parts = ModelParts {
            featurizers: parts.featurizers.into_iter().map(known).collect(),
            predictor: known(parts.predictor),
            input: parts.input,
        };
        Ok(Self { shelf, parts, limits: limits.clone(), observer })
    }

    /// The columns of the rows that the model was trained on.
    pub fn trained_on(&self) -> &Schema {
        &self.parts.input
    }

    /// Makes an instance: a sandbox for each part, with its state or weights loaded. It shares nothing that changes
    /// with other instances.
    ///
    /// # Errors
    /// A component does not take its state.
    pub fn instance(&self, _: &LargeStack) -> Result<Served, StageError> {
        let session = Session::new(0, self.limits.clone(), Arc::clone(&self.observer), CancelToken::new());
        Ok(Served { chain: Chain::load_to_serve(&Arc::new(session), &self.shelf, &self.parts)? })
    }
}

/// An instance of a model.
pub struct Served {
    chain: Chain,
}

impl Served {
    /// The columns that rows must have, by name and type, in this order.
    pub fn input(&self) -> &Schema {
        self.chain.input()
    }

    /// The columns of predictions.
    pub fn output(&self) -> &Schema {
        self.chain.output()
    }

    /// The rows as they were, and a prediction for each, in order. `time` is each part's fuel, a billion
    /// units to the second. After an error other than [`StageError::Failed`] another instance must be made.
    ///
    /// # Errors
    /// The rows do not fit, or a part of the model gave up or used up its fuel.
    pub fn predict(&mut self, rows: Batch, time: Duration, _: &LargeStack) -> (Batch, Result<Batch, StageError>) {
        let unfit = |error: TableError| StageError::Failed {
            kind: crate::FailureKind::InvalidData,
            message: error.to_string(),
        };
        match rows.check(self.chain.input()).map_err(unfit).and_then(|()| self.chain.refuel(time)) {
            Ok(()) => self.chain.predict(rows),
            Err(error) => (rows, Err(error)),
        }
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
