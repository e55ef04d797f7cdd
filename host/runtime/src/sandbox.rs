//! One instance of one component: the only way to call a guest.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use stagewright_core::grant::Capability;
use wasmtime::{
    Engine, Store, Trap,
    component::{Component, Instance, InstancePre, Linker},
};

use crate::{
    error::StageError,
    grants::Outside,
    limits::STACK_BYTES,
    state::{self, Session, State},
    wasi,
};

/// Host calls may copy this much beside the value that a guest returns: a batch, and what surrounds it.
const CALL_BYTES: u64 = 64 << 20;

/// A component with its imports connected, ready to be instantiated many times.
pub(crate) struct Loaded {
    pub(crate) pre: InstancePre<State>,
    /// What it asks for of the real world.
    pub(crate) asks: BTreeSet<Capability>,
}

impl Loaded {
    /// Connects the imports. The component passed the world check, so that a failure here is a contradiction in it.
    pub(crate) fn new(engine: &Engine, component: &Component) -> Result<Self, StageError> {
        let link = || {
            let mut linker = Linker::new(engine);
            state::add_to_linker(&mut linker)?;
            wasi::add_to_linker(&mut linker, component, engine)?;
            linker.instantiate_pre(component)
        };
        let asks =
            component.component_type().imports(engine).filter_map(|(name, _)| Capability::of_import(name)).collect();
        let refuse = |error: wasmtime::Error| crate::Refused::Invalid(format!("{error:#}"));
        Ok(Self { pre: link().map_err(refuse)?, asks })
    }
}

/// A running instance. It lives as long as one call or one loaded model, and nothing of it outlives it.
pub(crate) struct Sandbox {
    pub(crate) store: Store<State>,
    pub(crate) instance: Instance,
    pub(crate) loaded: Arc<Loaded>,
}

impl Sandbox {
    /// One that is granted nothing.
    pub(crate) fn new(session: &Arc<Session>, loaded: &Arc<Loaded>) -> Result<Self, StageError> {
        Self::with(session, loaded, None)
    }

    /// The one in which the stage itself runs. A component that asks for more than it is granted does not start.
    pub(crate) fn granted(session: &Arc<Session>, loaded: &Arc<Loaded>) -> Result<Self, StageError> {
        let capabilities = session.granted.as_ref().map(|granted| granted.grants.capabilities()).unwrap_or_default();
        if let Some(capability) = loaded.asks.difference(&capabilities).next() {
            return Err(StageError::NotGranted { capability: *capability });
        }
        Self::with(session, loaded, session.granted.as_ref().map(|granted| Arc::clone(&granted.outside)))
    }

    fn with(
        session: &Arc<Session>,
        loaded: &Arc<Loaded>,
        outside: Option<Arc<dyn Outside>>,
    ) -> Result<Self, StageError> {
        let mut store = Store::new(loaded.pre.engine(), State::new(session, outside));
        store.limiter(|state| &mut state.guard);
        let bytes = session.limits.value_bytes.saturating_add(CALL_BYTES);
        store.set_hostcall_fuel(usize::try_from(bytes).unwrap_or(usize::MAX));
        if loaded.pre.engine().get_consume_fuel() {
            store.set_fuel(fuel(session.limits.time)).map_err(|error| explain(&mut store, error))?;
        }
        match loaded.pre.instantiate(&mut store) {
            Ok(instance) => Ok(Self { store, instance, loaded: Arc::clone(loaded) }),
            Err(error) => Err(explain(&mut store, error)),
        }
    }

    /// Gives the sandbox the fuel of so much time, where its engine counts fuel.
    pub(crate) fn refuel(&mut self, time: Duration) -> Result<(), StageError> {
        if !self.loaded.pre.engine().get_consume_fuel() {
            return Ok(());
        }
        self.store.data_mut().time = time;
        self.store.set_fuel(fuel(time)).map_err(|error| explain(&mut self.store, error))
    }

    /// Calls into the guest and says in our own words what went wrong.
    pub(crate) fn call<T>(
        &mut self,
        call: impl FnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<T>,
    ) -> Result<T, StageError> {
        if self.store.data().session.cancel.is_cancelled() {
            return Err(StageError::Cancelled);
        }
        let result = call(&mut self.store, &self.instance).map_err(|error| explain(&mut self.store, error));
        wasi::flush(self.store.data_mut());
        result
    }
}

/// About one unit per instruction, and a billion simple instructions to a second.
fn fuel(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn explain(store: &mut Store<State>, error: wasmtime::Error) -> StageError {
    wasi::flush(store.data_mut());
    let state = store.data_mut();
    if let Some(stopped) = state.stopped.take() {
        return stopped;
    }
    // A guest that is refused memory usually gives up in some way of its own, which says less.
    if state.session.budget.denied() {
        return StageError::MemoryLimit { limit: state.session.limits.memory_bytes };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => StageError::StackOverflow { limit: STACK_BYTES as u64 },
        Some(Trap::OutOfFuel) => StageError::TimedOut { seconds: state.time.as_secs_f64() },
        Some(trap) => StageError::Trapped { reason: trap.to_string().trim_start_matches("wasm trap: ").to_owned() },
        None => {
            let problem = error.root_cause().to_string();
            // The engine has types for neither.
            if problem.contains("fuel allocated for hostcalls") {
                let limit = state.session.limits.value_bytes.saturating_add(CALL_BYTES);
                let what = "what the plugin hands over in one call".to_owned();
                return StageError::OutputLimit { what, limit, name: "limits.value".to_owned() };
            }
            if let Some(limit) = problem.strip_prefix("resource limit exceeded: ") {
                return crate::Refused::Invalid(format!("it asks for more parts than a sandbox has: {limit}")).into();
            }
            StageError::bad_output("value", problem)
        }
    }
}
