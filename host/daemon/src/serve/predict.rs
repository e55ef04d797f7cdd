//! `/predict/NAME`: rows as JSON or CSV, predictions in the same layout.

use std::{sync::Arc, time::Instant};

use hyper::{
    Request, StatusCode,
    body::Incoming,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use stagewright::{
    ingest::rows::{from_csv, from_json},
    serving::{Answer, Prediction, Question, Route, Unanswered, Variant},
};
use stagewright_core::Batch;
use tokio::sync::oneshot;

use super::{
    Asked, MODEL, Server,
    answer::{Refusal, Response, typed},
    body,
    ids::Trace,
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
        let (route, variant) = self.find(name, None, &trace.request)?;
        asked.endpoint = Some(Arc::clone(&route.name));
        let layout = layout(request.headers())?;
        let body = body::read(request.into_body(), &self.settings, &self.bodies).await?;
        let form = variant.model.form();
        let (rows, shape) = match layout {
            Layout::Json => from_json(&body.bytes, form).map(|(rows, shape)| (rows, Some(shape)))?,
            Layout::Csv => (from_csv(&body.bytes, form)?, None),
        };
        drop(body);
        let answer = self.ask(&variant, rows, asked).await?;
        let mut response = match shape {
            Some(shape) => {
                let text = variant.model.renderer().json(&answer.predictions, shape);
                typed(text, HeaderValue::from_static("application/json"))
            }
            None => {
                let text = variant.model.renderer().csv(answer.predictions.clone());
                typed(text, HeaderValue::from_static("text/csv; charset=utf-8"))
            }
        };
        self.answered(&mut response, route, variant, answer, trace);
        Ok(response)
    }

    /// Asks a model and waits for its answer.
    pub(super) async fn ask(&self, variant: &Variant, rows: Batch, asked: &mut Asked) -> Result<Answer, Refusal> {
        let version = variant.model.version();
        asked.model = Some(version.to_string());
        let (sender, receiver) = oneshot::channel();
        let deadline = Instant::now() + self.settings.timeout;
        let reply = Box::new(move |answer| {
            // Whoever waited may have given up.
            let _ = sender.send(answer);
        });
        variant.model.ask(Question { rows, deadline, reply });
        match tokio::time::timeout_at(deadline.into(), receiver).await {
            Ok(Ok(answer)) => Ok(answer?),
            // The thread that should have answered panicked.
            Ok(Err(_)) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the request was lost in this server")),
            Err(_) => Err(Unanswered::Late.into()),
        }
    }

    /// Says which model answered, and hands the answer to whoever keeps it.
    pub(super) fn answered(
        &self,
        response: &mut Response,
        route: Arc<Route>,
        variant: Variant,
        answer: Answer,
        trace: &Trace,
    ) {
        if let Ok(model) = HeaderValue::from_str(&variant.model.version().to_string()) {
            response.headers_mut().insert(MODEL, model);
        }
        self.sink.take(Prediction {
            endpoint: Arc::clone(&route.name),
            variant: variant.name,
            model: variant.model,
            request: trace.request.clone(),
            at_ms: self.clock.now_ms(),
            rows: answer.rows,
            predictions: answer.predictions,
        });
    }
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
