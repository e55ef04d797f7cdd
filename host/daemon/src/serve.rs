//! Models over HTTP: the Open Inference Protocol (version 2), `/predict/NAME` and `/metrics`.
//!
//! This translates requests into [questions](stagewright::serving::Question) and answers into text. Which model answers
//! is the [router](stagewright::serving::Router)'s business, and what becomes of answers the sink's.

mod access;
mod answer;
mod body;
mod connections;
mod feedback;
mod ids;
mod infer;
mod log;
mod metrics;
mod patient;
mod predict;
mod start;
mod tensors;
mod tls;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::json;
use stagewright::{
    Clock,
    deploy::Role,
    file::{RequestLog, Serve},
    serving::{PredictionSink, Route, Router, Servable, Variant},
};
use stagewright_core::name::nearest;
use tokio::sync::Semaphore;

use self::{
    access::Access,
    answer::{Refusal, Response, json_response},
    ids::{Ids, Trace},
    metrics::{Metrics, Protocol},
};
pub(crate) use self::{
    log::start as start_log,
    start::{Http, Random, check, start},
};

/// What answers requests.
pub(crate) struct Server {
    /// Which model answers for which endpoint.
    pub(crate) router: Arc<Router>,
    /// What becomes of answers.
    pub(crate) sink: Arc<dyn PredictionSink>,
    /// Who may ask.
    pub(crate) access: Access,
    /// How requests are bounded.
    pub(crate) settings: Serve,
    /// Where time comes from.
    pub(crate) clock: Arc<dyn Clock>,
    metrics: Metrics,
    bodies: Semaphore,
    ids: Ids,
    stopping: AtomicBool,
}

impl Server {
    /// A server that answers once it [listens](listen). `random` makes its ids differ from other servers'.
    pub(crate) fn new(
        router: Arc<Router>,
        sink: Arc<dyn PredictionSink>,
        access: Access,
        settings: Serve,
        clock: Arc<dyn Clock>,
        random: u64,
    ) -> Self {
        let metrics = Metrics::new(clock.now_ms());
        let (bodies, ids, stopping) = (body::room(&settings), Ids::new(random), AtomicBool::new(false));
        Self { router, sink, access, settings, clock, metrics, bodies, ids, stopping }
    }

    /// Says at `/v2/health/ready` from now on that it is not.
    pub(crate) fn stopping(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// Answers one request, whatever it is.
    async fn answer(&self, request: Request<Incoming>) -> Response {
        let began = self.clock.steady();
        let trace = Trace::of(request.headers(), &self.ids);
        let method = request.method().clone();
        let mut asked = Asked::default();
        let result = self.dispatch(request, &trace, &mut asked).await;
        let mut response = result.unwrap_or_else(|refusal| {
            asked.problem = Some(refusal.message.clone());
            refusal.response()
        });
        trace.write(response.headers_mut());
        let elapsed = self.clock.steady().saturating_sub(began);
        self.metrics.observe(&asked, response.status(), elapsed);
        self.log(&method, &asked, response.status(), elapsed, &trace);
        response
    }

    async fn dispatch(
        &self,
        request: Request<Incoming>,
        trace: &Trace,
        asked: &mut Asked,
    ) -> Result<Response, Refusal> {
        let uri = request.uri().clone();
        let path = uri.path().strip_prefix('/').unwrap_or_default();
        match path.split_once('/') {
            Some(("predict", name)) if !name.contains('/') => {
                asked.protocol = Protocol::Predict;
                allow(&request, &[Method::POST])?;
                self.predict(request, name, trace, asked).await
            }
            Some(("feedback", name)) if !name.contains('/') => {
                allow(&request, &[Method::POST])?;
                self.feedback(request, name).await
            }
            Some(("v2", rest)) => {
                asked.protocol = Protocol::Inference;
                let parts: Vec<&str> = rest.split('/').collect();
                self.inference(request, &parts, trace, asked).await
            }
            None if path == "v2" => {
                asked.protocol = Protocol::Inference;
                self.inference(request, &[], trace, asked).await
            }
            None if path == "metrics" => {
                allow(&request, &[Method::GET, Method::HEAD])?;
                self.access.reader(request.headers()).await?;
                let mut response = Response::new(self.metrics.text(&self.router.routes(), self.sink.kept()).into());
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                Ok(response)
            }
            _ => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "there is nothing at this path; there are /predict/NAME, /feedback/NAME, /v2 (Open Inference Protocol) and /metrics",
            )),
        }
    }

    /// The Open Inference Protocol.
    async fn inference(
        &self,
        request: Request<Incoming>,
        path: &[&str],
        trace: &Trace,
        asked: &mut Asked,
    ) -> Result<Response, Refusal> {
        let get = [Method::GET, Method::HEAD];
        match path {
            [] | [""] => {
                allow(&request, &get)?;
                Ok(json_response(&json!({
                    "name": "stagewright", "version": env!("CARGO_PKG_VERSION"), "extensions": ["binary_tensor_data"],
                })))
            }
            // Some clients read one of these words, some the other.
            ["health", "live"] => {
                allow(&request, &get)?;
                Ok(json_response(&json!({ "live": true, "ready": self.ready() })))
            }
            ["health", "ready"] => {
                allow(&request, &get)?;
                let mut response = json_response(&json!({ "live": true, "ready": self.ready() }));
                if !self.ready() {
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
                Ok(response)
            }
            ["models", name, rest @ ..] => {
                let (version, rest) = match rest {
                    ["versions", version, rest @ ..] => (Some(*version), rest),
                    rest => (None, rest),
                };
                match rest {
                    [] => {
                        allow(&request, &get)?;
                        self.access.predictor(request.headers()).await?;
                        let Chosen { route, variant, .. } = self.find(name, version, &trace.request)?;
                        Ok(json_response(&infer::metadata(&route, &variant)))
                    }
                    ["ready"] => {
                        allow(&request, &get)?;
                        self.access.predictor(request.headers()).await?;
                        let Chosen { route, .. } = self.find(name, version, &trace.request)?;
                        Ok(json_response(&json!({ "name": &*route.name, "ready": true })))
                    }
                    ["infer"] => {
                        allow(&request, &[Method::POST])?;
                        self.infer(request, name, version, trace, asked).await
                    }
                    _ => Err(Refusal::new(StatusCode::NOT_FOUND, "a model has /ready and /infer, and nothing else")),
                }
            }
            _ => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "there is nothing at this path; the protocol has /v2, /v2/health/live, /v2/health/ready and /v2/models/NAME",
            )),
        }
    }

    fn ready(&self) -> bool {
        !self.stopping.load(Relaxed)
    }

    /// Who answers: the endpoint's model for this key, or the one of a version.
    fn find(&self, name: &str, version: Option<&str>, key: &str) -> Result<Chosen, Refusal> {
        let missing = || {
            let routes = self.router.routes();
            let shown: String = name.chars().take(100).collect();
            let hint = match nearest(name, routes.keys().map(String::as_str)) {
                Some(near) => format!("; did you mean `{near}`?"),
                None if routes.is_empty() => "; no model is served".to_owned(),
                None => String::new(),
            };
            Refusal::new(StatusCode::NOT_FOUND, format!("there is no endpoint `{shown}`{hint}"))
        };
        let route = self.router.find(name).ok_or_else(missing)?;
        let (variant, shadow) = match version {
            None => route.choose(key),
            Some(version) => (version.parse().ok().and_then(|number| route.version(number)), None),
        };
        // Whoever names a version wants to know what that one answers.
        let on_trial = version.is_none() && variant.is_some_and(|variant| variant.role == Role::Challenger);
        let present = route.variants.iter().find(|variant| on_trial && variant.role == Role::Champion).cloned();
        let (variant, shadow) = (variant.cloned(), shadow.cloned());
        let Some(variant) = variant else {
            let served: Vec<_> =
                route.variants.iter().map(|variant| variant.model.version().number.to_string()).collect();
            let message = format!("`{name}` has no such version in service; there is {}", served.join(", "));
            return Err(Refusal::new(StatusCode::NOT_FOUND, message));
        };
        Ok(Chosen { route, variant, present, shadow })
    }

    fn log(&self, method: &Method, asked: &Asked, status: StatusCode, elapsed: Duration, trace: &Trace) {
        let (method, status, micros) = (method.as_str(), status.as_u16(), elapsed.as_micros() as u64);
        let (endpoint, protocol) = (asked.endpoint.as_deref().unwrap_or_default(), asked.protocol.as_str());
        let (request, trace_id) = (trace.request.as_str(), trace.trace_id());
        let model = asked.model.as_ref().map_or("", |model| model.label());
        match (&asked.problem, self.settings.log) {
            (Some(problem), _) if status >= 500 => tracing::error!(
                method,
                protocol,
                endpoint,
                model,
                status,
                micros,
                request,
                trace_id,
                problem,
                "not answered"
            ),
            (Some(problem), _) => {
                tracing::warn!(method, protocol, endpoint, model, status, micros, request, trace_id, problem, "refused")
            }
            (None, RequestLog::All) => {
                tracing::info!(method, protocol, endpoint, model, status, micros, request, trace_id, "answered")
            }
            (None, RequestLog::Errors) => {}
        }
    }
}

/// What is known of a request by the time it is answered, for metrics and the log.
#[derive(Default)]
struct Asked {
    protocol: Protocol,
    /// An endpoint that exists.
    endpoint: Option<Arc<str>>,
    model: Option<Arc<Servable>>,
    problem: Option<String>,
}

/// Who answers a request.
struct Chosen {
    /// The endpoint, as it was when the request came.
    route: Arc<Route>,
    /// The one whose answer is given.
    variant: Variant,
    /// The one that answers where the first is on trial and fails.
    present: Option<Variant>,
    /// The one that is asked too.
    shadow: Option<Variant>,
}

/// Whoever sends the same key meets the same model as long as a trial lasts; without one, the request's id decides.
const ROUTE_KEY: HeaderName = HeaderName::from_static("x-route-key");

fn route_key<'a>(headers: &'a hyper::HeaderMap, trace: &'a Trace) -> &'a str {
    headers.get(ROUTE_KEY).and_then(|key| key.to_str().ok()).unwrap_or(&trace.request)
}

/// The header that says which model answered.
const MODEL: HeaderName = HeaderName::from_static("x-model");

fn allow(request: &Request<Incoming>, methods: &[Method]) -> Result<(), Refusal> {
    if methods.contains(request.method()) {
        return Ok(());
    }
    Err(Refusal::method(methods))
}
