//! From the command line to a server that listens.

use std::{net::SocketAddr, sync::Arc};

use stagewright::{
    Project,
    governance::access,
    serving::{Deployed, LedgerAlarms, PredictionSink, Route, Router, Routes, Servable},
};
use stagewright_core::VersionRef;
use tokio::{sync::watch, task::JoinHandle};

use super::{Access, Server, connections::listen, tls::acceptor};
use crate::{
    args::serve::{AccessRule, ServeOptions},
    failure::{CANNOT, Failure, WRONG_INPUT},
};

/// What differs from process to process.
pub(crate) struct Random {
    /// Where the ids of requests begin.
    pub(crate) ids: u64,
    /// Under which tokens are remembered.
    pub(crate) key: [u8; 32],
}

/// Everything that answers requests.
pub(crate) struct Http {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    /// Whether with TLS.
    pub(crate) encrypted: bool,
    /// Which model answers for which endpoint.
    pub(crate) router: Arc<Router>,
    alarms: Arc<LedgerAlarms>,
    sink: Arc<dyn PredictionSink>,
    serving: JoinHandle<()>,
}

/// Checks what can be checked before anything is loaded: nobody listens beyond this machine by accident.
pub(crate) fn check(options: &ServeOptions) -> Result<(), Failure> {
    let Some(address) = options.address() else { return Ok(()) };
    if !address.ip().is_loopback() && options.certificate.is_none() && !options.plain {
        return Err(Failure::new(
            WRONG_INPUT,
            format!(
                "{address} can be reached from other machines, and nothing would be encrypted: give --certificate and \
                 --key, or say --plain where something in front encrypts"
            ),
        ));
    }
    Ok(())
}

/// Loads the models that are named or deployed, and listens.
pub(crate) async fn start(
    project: &Project,
    options: &ServeOptions,
    address: SocketAddr,
    random: Random,
    stop: watch::Receiver<bool>,
) -> Result<Http, Failure> {
    let cannot = |error: std::io::Error| Failure::new(CANNOT, format!("cannot listen on {address}: {error}"));
    let tls = match (&options.certificate, &options.key) {
        (Some(certificate), Some(key)) => Some(acceptor(certificate, key)?),
        _ => None,
    };
    let encrypted = tls.is_some();
    let listening = listen(address, tls).await.map_err(cannot)?;
    let address = listening.listener.local_addr().map_err(cannot)?;
    let alarms = Arc::new(LedgerAlarms::start(project).map_err(cannot)?);
    let loopback = address.ip().is_loopback();
    let open = is_open(options.access, loopback);
    let router = Arc::new(Router::new(load(project, &options.models, &alarms)?));
    let sink: Arc<dyn PredictionSink> = match &options.environment {
        Some(environment) => Deployed::start(project, environment, Arc::clone(&router), Arc::clone(&alarms) as _)?,
        None => Arc::new(()),
    };
    let access = Access::new(project, open, loopback, random.key);
    if !open && access::list(project)?.is_empty() {
        tracing::warn!("every request is refused until there is a token; `stagewright token create` makes one");
    }
    let settings = project.settings.serve.clone();
    let server = Server::new(Arc::clone(&router), Arc::clone(&sink), access, settings, project.clock(), random.ids);
    let serving = tokio::spawn(listening.serve(Arc::new(server), stop));
    Ok(Http { address, encrypted, router, alarms, sink, serving })
}

/// Whether whoever connects is answered. Where nobody said, only who is on this machine.
fn is_open(said: Option<AccessRule>, loopback: bool) -> bool {
    said.map_or(loopback, |rule| rule == AccessRule::Open)
}

impl Http {
    /// The address as a client writes it.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", if self.encrypted { "https" } else { "http" }, self.address)
    }

    /// Waits until every connection has ended, then lets the models end. Told to stop before.
    pub(crate) async fn ended(self) {
        let _ = self.serving.await;
        let models = self.router.replace(Routes::new());
        let (alarms, sink) = (self.alarms, self.sink);
        let ended = tokio::task::spawn_blocking(move || {
            for route in models.values() {
                route.variants.iter().chain(&route.shadows).for_each(|variant| variant.model.stop());
            }
            sink.stop();
            alarms.stop();
        });
        let _ = ended.await;
    }
}

/// The models that are named, each at an endpoint of its own.
fn load(project: &Project, models: &[String], alarms: &Arc<LedgerAlarms>) -> Result<Routes, Failure> {
    let mut routes = Routes::new();
    for wanted in models {
        let version = project.store.models()?.resolve(&wanted.parse::<VersionRef>()?)?;
        let model = Servable::load(project, &version, Arc::clone(alarms) as _)?;
        let name = version.name.to_string();
        if routes.insert(name.clone(), Arc::new(Route::to(&name, model))).is_some() {
            return Err(Failure::new(WRONG_INPUT, format!("`{name}` is named twice; an endpoint has one model")));
        }
    }
    Ok(routes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_this_machine_nobody_is_answered_without_a_token_unless_it_was_said() {
        assert!(is_open(None, true) && !is_open(None, false));
        assert!(is_open(Some(AccessRule::Open), false) && !is_open(Some(AccessRule::Tokens), true));
    }
}
