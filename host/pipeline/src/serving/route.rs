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

/// A model that answers for an endpoint, and for how much of it.
#[derive(Clone)]
pub struct Variant {
    /// What it is called in metrics and logs, such as `champion`.
    pub name: Arc<str>,
    /// The model.
    pub model: Arc<Servable>,
    /// Its share of the requests, in proportion to the other variants'.
    pub weight: u32,
}

/// The models of one endpoint.
#[derive(Clone)]
pub struct Route {
    /// The endpoint's name.
    pub name: Arc<str>,
    /// Those that answer. The first answers where all weights are zero.
    pub variants: Vec<Variant>,
    /// Those that are asked too, and whose answers nobody waits for.
    pub shadows: Vec<Variant>,
}

impl Route {
    /// An endpoint with one model.
    pub fn to(name: &str, model: Arc<Servable>) -> Self {
        let variant = Variant { name: "champion".into(), model, weight: 1 };
        Self { name: name.into(), variants: vec![variant], shadows: Vec::new() }
    }

    /// The variant that answers for this key: the same key, the same variant, as long as the weights stay.
    pub fn choose(&self, key: &str) -> Option<&Variant> {
        let sum: u64 = self.variants.iter().map(|variant| u64::from(variant.weight)).sum();
        if self.variants.len() < 2 || sum == 0 {
            return self.variants.first();
        }
        let digest = stagewright_core::Digest::of(format!("{}\0{key}", self.name).as_bytes());
        let point = digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)) % sum;
        let mut end = 0;
        self.variants.iter().find(|variant| {
            end += u64::from(variant.weight);
            point < end
        })
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
