//! A model at work: its featurizers and its predictor, each in a sandbox of its own.

use std::{sync::Arc, time::Duration};

use stagewright_core::{Batch, Schema};
use wasmtime::component::ResourceAny;

use crate::{
    bindings::{self, exported, tables},
    error::StageError,
    job::ModelParts,
    run::Components,
    sandbox::{Loaded, Sandbox},
    state::Session,
};

/// A loaded state or loaded weights.
pub(crate) struct Applied {
    sandbox: Sandbox,
    guest: Guest,
    resource: ResourceAny,
    input: Schema,
    output: Schema,
}

enum Guest {
    Features(exported::featurizer::Guest),
    Model(exported::predictor::Guest),
}

impl Guest {
    const fn what(&self) -> &'static str {
        match self {
            Self::Features(_) => "batch of features",
            Self::Model(_) => "batch of predictions",
        }
    }
}

impl Applied {
    /// Loads a featurizer's state for rows of these columns.
    pub(crate) fn features(
        session: &Arc<Session>,
        loaded: &Arc<Loaded>,
        state: &[u8],
        rows: &Schema,
    ) -> Result<Self, StageError> {
        let mut sandbox = Sandbox::new(session, loaded)?;
        let guest = sandbox
            .call(|store, instance| exported::featurizer::GuestIndices::new(&loaded.pre)?.load(store, instance))?;
        let rows = bindings::fields(rows);
        let resource = sandbox.call(|store, _| guest.features().call_load(store, state, &rows))??;
        let input = sandbox.call(|store, _| guest.features().call_input(store, resource))?;
        let output = sandbox.call(|store, _| guest.features().call_schema(store, resource))?;
        let input = bindings::schema(input, "list of columns that the features read")?;
        let output = bindings::schema(output, "schema of the features")?;
        Ok(Self { sandbox, guest: Guest::Features(guest), resource, input, output })
    }

    /// Loads a model's weights for rows of these columns.
    pub(crate) fn predictor(
        session: &Arc<Session>,
        loaded: &Arc<Loaded>,
        weights: &[u8],
        rows: &Schema,
    ) -> Result<Self, StageError> {
        let mut sandbox = Sandbox::new(session, loaded)?;
        let guest = sandbox
            .call(|store, instance| exported::predictor::GuestIndices::new(&loaded.pre)?.load(store, instance))?;
        let rows = bindings::fields(rows);
        let resource = sandbox.call(|store, _| guest.model().call_load(store, weights, &rows))??;
        let input = sandbox.call(|store, _| guest.model().call_input(store, resource))?;
        let output = sandbox.call(|store, _| guest.model().call_schema(store, resource))?;
        let input = bindings::schema(input, "list of columns that the model reads")?;
        let output = bindings::schema(output, "schema of the predictions")?;
        Ok(Self { sandbox, guest: Guest::Model(guest), resource, input, output })
    }

    /// The columns that it reads.
    pub(crate) fn input(&self) -> &Schema {
        &self.input
    }

    /// The columns that it returns.
    pub(crate) fn output(&self) -> &Schema {
        &self.output
    }

    /// Applies it, and returns the rows as they were beside the result.
    pub(crate) fn apply(&mut self, rows: Batch) -> (Batch, Result<Batch, StageError>) {
        let rows = tables::Batch::from(rows);
        let result = self.applied(&rows);
        (rows.into(), result)
    }

    fn applied(&mut self, rows: &tables::Batch) -> Result<Batch, StageError> {
        let (guest, resource, count) = (&self.guest, self.resource, rows.rows);
        let result = self.sandbox.call(|store, _| match guest {
            Guest::Features(guest) => guest.features().call_transform(store, resource, rows),
            Guest::Model(guest) => guest.model().call_predict(store, resource, rows),
        })??;
        let result = Batch::from(result);
        if result.rows != count {
            let problem = format!("it has {} rows for {count} rows", result.rows);
            return Err(StageError::bad_output(self.guest.what(), problem));
        }
        result.check(&self.output).map_err(|error| StageError::batch(self.guest.what(), &error))?;
        Ok(result.canonical(&self.output))
    }
}

/// A whole model.
pub(crate) struct Chain {
    featurizers: Vec<Applied>,
    predictor: Applied,
    input: Schema,
    needed: Schema,
}

impl Chain {
    /// Loads a model for rows of these columns.
    pub(crate) fn load(
        session: &Arc<Session>,
        components: &dyn Components,
        parts: &ModelParts,
        rows: &Schema,
    ) -> Result<Self, StageError> {
        let mut featurizers: Vec<Applied> = Vec::new();
        for (component, state) in &parts.featurizers {
            let columns = featurizers.last().map_or(rows, Applied::output);
            featurizers.push(Applied::features(session, &components.get(component)?, state, columns)?);
        }
        let (component, weights) = &parts.predictor;
        let columns = featurizers.last().map_or(rows, Applied::output);
        let predictor = Applied::predictor(session, &components.get(component)?, weights, columns)?;
        let reads = |name: &str| {
            let mut stages = featurizers.iter().chain([&predictor]);
            stages.any(|stage| stage.input().index_of(name).is_some())
        };
        let needed = rows.fields().iter().filter(|field| reads(&field.name)).cloned().collect();
        let needed = Schema::new(needed).expect("a part of a schema is one");
        Ok(Self { featurizers, predictor, input: rows.clone(), needed })
    }

    /// Loads a model for rows of exactly the columns that it reads.
    pub(crate) fn load_to_serve(
        session: &Arc<Session>,
        components: &dyn Components,
        parts: &ModelParts,
    ) -> Result<Self, StageError> {
        let chain = Self::load(session, components, parts, &parts.input)?;
        if chain.needed == chain.input {
            return Ok(chain);
        }
        let needed = chain.needed.clone();
        drop(chain);
        Self::load(session, components, parts, &needed)
    }

    /// Gives each sandbox this much fuel.
    pub(crate) fn refuel(&mut self, time: Duration) -> Result<(), StageError> {
        self.featurizers.iter_mut().chain([&mut self.predictor]).try_for_each(|part| part.sandbox.refuel(time))
    }

    /// The columns that `predict` expects.
    pub(crate) fn input(&self) -> &Schema {
        &self.input
    }

    /// The columns that it returns.
    pub(crate) fn output(&self) -> &Schema {
        self.predictor.output()
    }

    /// Predictions for checked rows, and the rows as they were.
    pub(crate) fn predict(&mut self, rows: Batch) -> (Batch, Result<Batch, StageError>) {
        let Some((first, others)) = self.featurizers.split_first_mut() else { return self.predictor.apply(rows) };
        let (rows, mut result) = first.apply(rows);
        for next in others.iter_mut().chain([&mut self.predictor]) {
            result = result.and_then(|features| next.apply(features).1);
        }
        (rows, result)
    }
}
