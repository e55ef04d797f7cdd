//! `/feedback/NAME`: late labels by request id, as JSON.

use std::sync::Arc;

use hyper::{Request, StatusCode, body::Incoming};
use serde_json::json;
use stagewright::Error;

use super::{
    Server,
    answer::{Refusal, Response, json_response},
    body,
};

impl Server {
    pub(super) async fn feedback(&self, request: Request<Incoming>, name: &str) -> Result<Response, Refusal> {
        self.access.predictor(request.headers()).await?;
        let whole = body::read(request.into_body(), &self.settings, &self.bodies).await?;
        let (sink, endpoint) = (Arc::clone(&self.sink), name.to_owned());
        // Labels are durable before they are acknowledged, which takes a disk's time.
        let kept = tokio::task::spawn_blocking(move || sink.feedback(&endpoint, &whole.bytes)).await;
        let lost = |_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the feedback was lost in this server");
        match kept.map_err(lost)? {
            Some(Ok(accepted)) => Ok(json_response(&json!(accepted))),
            Some(Err(Error::Invalid(message))) => Err(Refusal::bad(message)),
            Some(Err(error)) => {
                tracing::error!(%error, endpoint = name, "feedback could not be kept");
                Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the feedback cannot be kept now; send it again"))
            }
            None => {
                let shown: String = name.chars().take(100).collect();
                let message =
                    format!("nothing is kept of an endpoint `{shown}`: `serve --environment` keeps predictions");
                Err(Refusal::new(StatusCode::NOT_FOUND, message))
            }
        }
    }
}
