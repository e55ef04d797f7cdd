//! Which model answers for an endpoint.
//!
//! The table is immutable. Whoever changes it makes another and puts it in its place at once: requests that began go on
//! with what they found, and no request finds nothing. A model that is no longer named is kept as long as a request, or
//! the one who changed the table, holds it.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::Servable;
use crate::deploy::{Live, Role};

/// A model that answers for an endpoint.
#[derive(Clone)]
pub struct Variant {
    /// As what, and what it is called in metrics.
    pub role: Role,
    /// The model.
    pub model: Arc<Servable>,
}

/// The models of one endpoint.
#[derive(Clone)]
pub struct Route {
    /// The endpoint's name.
    pub name: Arc<str>,
    /// Those that answer: the champion, and one on trial.
    pub variants: Vec<Variant>,
    /// Those that are asked too, and whose answers nobody waits for.
    pub shadows: Vec<Variant>,
    /// The deployment that this serves; none for a model that was named when the server began.
    pub live: Option<Arc<Live>>,
}

impl Route {
    /// An endpoint with one model.
    pub fn to(name: &str, model: Arc<Servable>) -> Self {
        let variant = Variant { role: Role::Champion, model };
        Self { name: name.into(), variants: vec![variant], shadows: Vec::new(), live: None }
    }

    /// The variant that answers for this key, and the one that is asked too: the same key, the same variants, as long
    /// as the deployment stays.
    pub fn choose(&self, key: &str) -> (Option<&Variant>, Option<&Variant>) {
        let Some(live) = self.live.as_ref().filter(|live| live.plan().trial.is_some()) else {
            return (self.variants.first(), None);
        };
        let assigned = live.assign(key);
        let answers = self.variants.iter().find(|variant| variant.role == assigned.answers);
        (answers.or(self.variants.first()), self.shadows.first().filter(|_| assigned.shadow))
    }

    /// The variant of this version's number.
    pub fn version(&self, number: u64) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.model.version().number == number)
    }
}

/// Every endpoint, by name.
pub type Routes = BTreeMap<String, Arc<Route>>;

/// The table in use.
#[derive(Default)]
pub struct Router(RwLock<Arc<Routes>>);

impl Router {
    /// A router with this table.
    pub fn new(routes: Routes) -> Self {
        Self(RwLock::new(Arc::new(routes)))
    }

    /// The table in use.
    pub fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The route of an endpoint.
    pub fn find(&self, name: &str) -> Option<Arc<Route>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Puts another table in place of the one in use, which is returned.
    pub fn replace(&self, routes: Routes) -> Arc<Routes> {
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), Arc::new(routes))
    }

    /// Puts a route in place of the one of its name, if there is one, and leaves the others as they are.
    pub fn set(&self, route: Route) -> Option<Arc<Route>> {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut routes = Routes::clone(&current);
        let before = routes.insert(route.name.to_string(), Arc::new(route));
        *current = Arc::new(routes);
        before
    }
}
