//! The world outside as stages may be granted it: the environment, the time, and hosts over HTTPS. Whoever asks was
//! granted what it asks for; the limits are the runtime's.

use std::time::Duration;

use reqwest::{Client, Method, redirect::Policy};
use stagewright::{
    Clock,
    runtime::grants::{CALL_BYTES, HttpRequest, HttpResponse, HttpTarget, RESPONSE_TIME, Refusal, World},
};

/// How long a host may take to answer at all.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How often a waiting request looks whether its stage was stopped.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The machine's world.
pub(crate) struct Outside<C>(pub(crate) C);

impl<C: Clock> World for Outside<C> {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment enters")]
    fn environment(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn now_us(&self) -> i64 {
        i64::try_from(self.0.now_ms().saturating_mul(1000)).unwrap_or(i64::MAX)
    }

    fn http(
        &self,
        target: &HttpTarget,
        request: &HttpRequest,
        body: &[u8],
        stop: &dyn Fn() -> bool,
    ) -> Result<(HttpResponse, Vec<u8>), Refusal> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Refusal::Failed(format!("no request can be sent: {error}")))?;
        // Dropping a request that nobody waits for any more ends its connection.
        runtime.block_on(async {
            let sent = exchange(target, request, body.to_vec());
            tokio::pin!(sent);
            loop {
                tokio::select! {
                    response = &mut sent => return response.map_err(|error| explained(request, error)),
                    () = tokio::time::sleep(LOOK_EVERY) => {
                        if stop() {
                            return Err(Refusal::Failed("the stage was stopped".to_owned()));
                        }
                    }
                }
            }
        })
    }
}

enum Trouble {
    Request(reqwest::Error),
    Other(Refusal),
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        Self::Request(error)
    }
}

async fn exchange(
    target: &HttpTarget,
    request: &HttpRequest,
    body: Vec<u8>,
) -> Result<(HttpResponse, Vec<u8>), Trouble> {
    let other = |message: String| Trouble::Other(Refusal::Failed(message));
    // A second provider in one process is refused, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // No proxy and no redirect: the host that was granted is the host that is asked.
    let mut client = Client::builder()
        .tls_backend_rustls()
        .https_only(target.tls)
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT_TIME)
        .timeout(RESPONSE_TIME);
    if let Some(certificates) = target.certificates.as_deref().filter(|_| target.tls) {
        let certificates = reqwest::Certificate::from_pem_bundle(certificates)
            .map_err(|_| other("`certificates` in stagewright.toml names no file of certificates (PEM)".to_owned()))?;
        client = client.tls_certs_merge(certificates);
    }
    let scheme = if target.tls { "https" } else { "http" };
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| other(format!("`{}` is no method for a request", request.method)))?;
    let url = format!("{scheme}://{}{}", target.authority, request.path);
    let mut sent = client.build()?.request(method, url).body(body);
    for (name, value) in &request.headers {
        sent = sent.header(name, value);
    }
    let mut response = sent.send().await?;
    let header = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let headers = response.headers().iter().map(header).collect();
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if (body.len() + piece.len()) as u64 > CALL_BYTES {
            return Err(Trouble::Other(Refusal::TooLarge(format!("the response has more than {CALL_BYTES} bytes"))));
        }
        body.extend_from_slice(&piece);
    }
    Ok((HttpResponse { status, headers }, body))
}

/// What went wrong, without the path: it may hold what is nobody's business.
fn explained(request: &HttpRequest, trouble: Trouble) -> Refusal {
    let error = match trouble {
        Trouble::Other(refusal) => return refusal,
        Trouble::Request(error) => error.without_url(),
    };
    let host = &request.host;
    if error.is_timeout() {
        return Refusal::Failed(format!("host `{host}` did not answer within {} s", RESPONSE_TIME.as_secs()));
    }
    let mut text = format!("host `{host}`: {error}");
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    Refusal::Failed(text)
}
