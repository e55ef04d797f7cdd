//! What is sent back, and why something is not.

use http_body_util::Full;
use hyper::{
    Method, StatusCode,
    body::Bytes,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};
use stagewright::{ingest::rows::RowsError, serving::Unanswered};

/// A whole response.
pub(super) type Response = hyper::Response<Full<Bytes>>;

/// Why a request is not answered: `{"error": ..}` and a status.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
    allowed: Option<String>,
    /// Whether the rest of the request was not read, so that the connection is of no further use.
    unread: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), allowed: None, unread: false }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn method(allowed: &[Method]) -> Self {
        let allowed = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let message = format!("this path takes {allowed}");
        Self { allowed: Some(allowed), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, message) }
    }

    /// The rest of the request was not read.
    pub(super) fn unread(self) -> Self {
        Self { unread: true, ..self }
    }

    pub(super) fn response(&self) -> Response {
        let mut response = json_response(&json!({ "error": self.message }));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allowed) = self.allowed.as_ref().and_then(|allowed| HeaderValue::from_str(allowed).ok()) {
            headers.insert(ALLOW, allowed);
        }
        if self.unread {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<RowsError> for Refusal {
    fn from(error: RowsError) -> Self {
        let status = if error.too_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        Self::new(status, error.to_string())
    }
}

impl From<Unanswered> for Refusal {
    fn from(unanswered: Unanswered) -> Self {
        let status = match unanswered {
            Unanswered::Busy { .. } | Unanswered::Stopping | Unanswered::Unavailable(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Unanswered::Late => StatusCode::GATEWAY_TIMEOUT,
            Unanswered::Refused(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, unanswered.to_string())
    }
}

/// A value as a response.
pub(super) fn json_response(value: &Value) -> Response {
    typed(value.to_string().into_bytes(), HeaderValue::from_static("application/json"))
}

/// Bytes of a type as a response.
pub(super) fn typed(bytes: Vec<u8>, kind: HeaderValue) -> Response {
    let mut response = Response::new(Full::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
