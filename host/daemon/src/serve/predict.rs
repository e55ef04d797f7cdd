//! `/predict/NAME`: rows as JSON or CSV, predictions in the same layout.

use std::{sync::Arc, time::Instant};

use hyper::{
    Request, StatusCode,
    body::Incoming,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use stagewright::{
    ingest::rows::{Form, RowsError, from_csv, from_json},
    serving::{Answer, Prediction, Question, Route, Unanswered, Variant},
};
use stagewright_core::Batch;
use tokio::sync::oneshot;

use super::{
    Asked, Chosen, MODEL, Server,
    answer::{Refusal, Response, typed},
    body,
    ids::Trace,
    route_key,
};

enum Layout {
    Json,
    Csv,
}

impl Server {
    pub(super) async fn predict(
        &self,
        request: Request<Incoming>,
        name: &str,
        trace: &Trace,
        asked: &mut Asked,
    ) -> Result<Response, Refusal> {
        self.access.predictor(request.headers()).await?;
        let Chosen { route, variant, present, shadow } = self.find(name, None, route_key(request.headers(), trace))?;
        asked.endpoint = Some(Arc::clone(&route.name));
        let layout = layout(request.headers())?;
        let body = body::read(request.into_body(), &self.settings, &self.bodies).await?;
        let parse = |form: &Form| match layout {
            Layout::Json => from_json(&body.bytes, form).map(|(rows, shape)| (rows, Some(shape))),
            Layout::Csv => from_csv(&body.bytes, form).map(|rows| (rows, None)),
        };
        let present = present.and_then(|present| Some((parse(present.model.form()).ok()?, present)));
        let parsed = parse(variant.model.form());
        // What only the model on trial does not understand is its own failure.
        let shape = match (&parsed, &present) {
            (Ok((_, shape)), _) | (_, Some(((_, shape), _))) => *shape,
            (Err(error), None) => return Err(error.clone().into()),
        };
        let first = (variant, parsed.map(|(rows, _)| rows));
        let present = present.map(|((rows, _), present)| (present, rows));
        let beside = shadow.map(|shadow| {
            let rows = parse(shadow.model.form()).map(|(rows, _)| rows);
            (shadow, rows.map_err(|error| error.to_string()))
        });
        drop(body);
        let (variant, answer) = self.ask(&route, first, present, trace, asked).await?;
        let mut response = match shape {
            Some(shape) => {
                let text = variant.model.renderer().json(&answer.answer.predictions, shape);
                typed(text, HeaderValue::from_static("application/json"))
            }
            None => {
                let text = variant.model.renderer().csv(answer.answer.predictions.clone());
                typed(text, HeaderValue::from_static("text/csv; charset=utf-8"))
            }
        };
        self.answered(&mut response, &route, variant, answer, trace);
        self.beside(&route, beside, trace);
        Ok(response)
    }

    /// Asks the model that was chosen and waits for its answer. Where that is on trial, it has half of the time, and where
    /// it fails, the present one answers in its place.
    pub(super) async fn ask(
        &self,
        route: &Arc<Route>,
        (variant, rows): (Variant, Result<Batch, RowsError>),
        present: Option<(Variant, Batch)>,
        trace: &Trace,
        asked: &mut Asked,
    ) -> Result<(Variant, Timed), Refusal> {
        let began = Instant::now();
        let deadline = began + self.settings.timeout;
        let Some((present, same_rows)) = present else {
            let answer = self.ask_one(route, &variant, rows?, deadline, trace, asked).await?;
            return Ok((variant, answer));
        };
        match rows {
            Ok(rows) => {
                let soon = began + self.settings.timeout / 2;
                match self.ask_one(route, &variant, rows, soon, trace, asked).await {
                    Ok(answer) => return Ok((variant, answer)),
                    Err(error) if !is_the_models(&error) => return Err(error.into()),
                    Err(_) => {}
                }
            }
            Err(problem) => self.failed(route, &variant, Batch::default(), began, problem.to_string(), trace),
        }
        let answer = self.ask_one(route, &present, same_rows, deadline, trace, asked).await?;
        Ok((present, answer))
    }

    /// Asks a model and waits for its answer. Where the model fails, whoever keeps answers hears of it too.
    async fn ask_one(
        &self,
        route: &Arc<Route>,
        variant: &Variant,
        rows: Batch,
        deadline: Instant,
        trace: &Trace,
        asked: &mut Asked,
    ) -> Result<Timed, Unanswered> {
        asked.model = Some(Arc::clone(&variant.model));
        let (sender, receiver) = oneshot::channel();
        let began = Instant::now();
        // What a model on trial fails at is worth keeping; otherwise the copy is not.
        let copy = route.live.as_ref().filter(|live| live.plan().trial.is_some()).map(|_| rows.clone());
        let reply = Box::new(move |answer| {
            // Whoever waited may have given up.
            let _ = sender.send(answer);
        });
        if variant.model.ask_in_between(Question { rows, deadline, reply }) {
            // Whatever else has arrived is read first, so that it is answered by the same call.
            tokio::task::yield_now().await;
            if receiver.is_empty() {
                variant.model.answer();
            }
        }
        let answer = match tokio::time::timeout_at(deadline.into(), receiver).await {
            Ok(Ok(answer)) => answer,
            // The thread that should have answered panicked.
            Ok(Err(_)) => Err(Unanswered::Failed("the request was lost in this server".to_owned())),
            Err(_) => Err(Unanswered::Late),
        };
        let latency_us = micros(began);
        match (answer, copy) {
            (Ok(answer), _) => Ok(Timed { answer, latency_us }),
            (Err(error), copy) => {
                if let Some(rows) = copy.filter(|_| is_the_models(&error)) {
                    self.failed(route, variant, rows, began, error.to_string(), trace);
                }
                Err(error)
            }
        }
    }

    /// Tells whoever keeps answers that a model failed at rows, which are none where it did not even understand them.
    fn failed(
        &self,
        route: &Arc<Route>,
        variant: &Variant,
        rows: Batch,
        began: Instant,
        problem: String,
        trace: &Trace,
    ) {
        self.sink.take(Prediction {
            route: Arc::clone(route),
            variant: variant.clone(),
            request: trace.request.clone(),
            at_ms: self.clock.now_ms(),
            latency_us: micros(began),
            rows,
            outcome: Err(problem),
        });
    }

    /// Asks the model that is asked beside the one that answered. Nobody waits for it.
    pub(super) fn beside(&self, route: &Arc<Route>, asked: Option<(Variant, Result<Batch, String>)>, trace: &Trace) {
        let Some((variant, rows)) = asked else { return };
        let began = Instant::now();
        let (request, at_ms, sink) = (trace.request.clone(), self.clock.now_ms(), Arc::clone(&self.sink));
        let (route, model) = (Arc::clone(route), Arc::clone(&variant.model));
        let take = move |rows, outcome| {
            let latency_us = micros(began);
            sink.take(Prediction { route, variant, request, at_ms, latency_us, rows, outcome });
        };
        match rows {
            Ok(rows) => {
                let copy = rows.clone();
                let reply = Box::new(move |answer: Result<Answer, Unanswered>| match answer {
                    Ok(answer) => take(answer.rows, Ok(answer.predictions)),
                    Err(error) if is_the_models(&error) => take(copy, Err(error.to_string())),
                    Err(_) => {}
                });
                model.ask(Question { rows, deadline: began + self.settings.timeout, reply });
            }
            // It reads what this request does not bring.
            Err(problem) => take(Batch::default(), Err(problem)),
        }
    }

    /// Says which model answered, and hands the answer to whoever keeps it.
    pub(super) fn answered(
        &self,
        response: &mut Response,
        route: &Arc<Route>,
        variant: Variant,
        answer: Timed,
        trace: &Trace,
    ) {
        if let Ok(model) = HeaderValue::from_str(variant.model.label()) {
            response.headers_mut().insert(MODEL, model);
        }
        self.sink.take(Prediction {
            route: Arc::clone(route),
            variant,
            request: trace.request.clone(),
            at_ms: self.clock.now_ms(),
            latency_us: answer.latency_us,
            rows: answer.answer.rows,
            outcome: Ok(answer.answer.predictions),
        });
    }
}

/// An answer, and how long the model took.
pub(super) struct Timed {
    pub(super) answer: Answer,
    latency_us: u64,
}

/// Whether the model is what failed, and not whoever asked or the load.
fn is_the_models(error: &Unanswered) -> bool {
    matches!(error, Unanswered::Failed(_) | Unanswered::Unavailable(_) | Unanswered::Late)
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// JSON unless the request says CSV.
fn layout(headers: &HeaderMap) -> Result<Layout, Refusal> {
    plain(headers)?;
    let Some(kind) = headers.get(CONTENT_TYPE) else { return Ok(Layout::Json) };
    let kind = kind.to_str().unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        // `curl -d` says the second where nobody says anything.
        "application/json" | "application/x-www-form-urlencoded" | "" => Ok(Layout::Json),
        "text/csv" => Ok(Layout::Csv),
        _ => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("rows come as application/json or text/csv, not as `{essence}`"),
        )),
    }
}

/// Bodies are read as they are.
pub(super) fn plain(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "compressed bodies are not read; send the body as it is",
        )),
        _ => Ok(()),
    }
}
