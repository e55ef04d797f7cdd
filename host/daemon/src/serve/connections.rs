//! Connections: how many, how long, and how they end.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use hyper::{Request, body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{Server, answer::Response, patient::Patient};

/// Bytes of a request's header, and of what is read ahead.
const MOST_BUFFERED: usize = 64 << 10;
/// Fields of a request's header.
const MOST_HEADERS: usize = 100;
/// After an error of accepting, such as too many open files, there is no use in trying at once.
const PAUSE: Duration = Duration::from_millis(50);

const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 65\r\n\r\n{\"error\": \"too many connections are open; ask again in a moment\"}";
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\n\
    content-length: 52\r\n\r\n{\"error\": \"the header of the request took too long\"}";

/// A listener that is bound and, with TLS, what encrypts.
pub(crate) struct Listening {
    /// Where clients connect.
    pub(crate) listener: TcpListener,
    /// Encrypts, where a certificate was given.
    pub(crate) tls: Option<TlsAcceptor>,
}

/// Binds an address.
pub(crate) async fn listen(address: SocketAddr, tls: Option<TlsAcceptor>) -> std::io::Result<Listening> {
    Ok(Listening { listener: TcpListener::bind(address).await?, tls })
}

impl Listening {
    /// Answers clients until told to stop; then takes no more of them, lets requests that began end, and returns once
    /// all have, or those that are left took longer than `[serve] drain`.
    pub(crate) async fn serve(self, server: Arc<Server>, mut stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(server.settings.connections));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = self.listener.accept() => accepted,
            };
            // Those that ended are let go.
            while connections.try_join_next().is_some() {}
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                server.metrics.turned_away.fetch_add(1, Relaxed);
                // A fresh connection has room for this; where it has not, closing it says the same.
                let _ = stream.try_write(TOO_MANY);
                continue;
            };
            let (server, tls, stop) = (Arc::clone(&server), self.tls.clone(), stop.clone());
            connections.spawn(async move {
                server.metrics.connections.fetch_add(1, Relaxed);
                accepted_one(stream, tls, &server, stop).await;
                server.metrics.connections.fetch_sub(1, Relaxed);
                drop(place);
            });
        }
        drop(self.listener);
        server.stopping();
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(server.settings.drain, ended).await.is_err() {
            tracing::warn!(left = connections.len(), "requests did not end in time and are cut off");
        }
    }
}

async fn accepted_one(stream: TcpStream, tls: Option<TlsAcceptor>, server: &Arc<Server>, stop: watch::Receiver<bool>) {
    // Answers are written whole; waiting to send more of them at once only delays them.
    let _ = stream.set_nodelay(true);
    match tls {
        None => converse(stream, server, stop).await,
        Some(tls) => match timeout(server.settings.patience, tls.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, server, stop).await,
            Ok(Err(error)) => tracing::debug!(%error, "a client could not agree on encryption"),
            Err(_) => tracing::debug!("a client took too long to agree on encryption"),
        },
    }
}

async fn converse<Io>(io: Io, server: &Arc<Server>, mut stop: watch::Receiver<bool>)
where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let patience = server.settings.patience;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(MOST_BUFFERED).max_headers(MOST_HEADERS);
    // A client may say that it sends nothing more and still wait for its answer. Most answers are so short that copying
    // them behind their header is cheaper than writing two pieces.
    http.half_close(true).writev(false);
    let io = TokioIo::new(Patient::new(io, patience));
    let mut connection = http.serve_connection(io, Answering(Arc::clone(server)));
    let mut stopping = false;
    let result = loop {
        tokio::select! {
            result = poll_fn(|context| connection.poll_without_shutdown(context)) => break result,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let parts = connection.into_parts();
    let mut io = parts.io.into_inner();
    match result {
        // A client that sent a part of a header is told; one that sent nothing at all is just let go.
        Err(error) if error.is_timeout() && !parts.read_buf.is_empty() => {
            let _ = timeout(patience, io.write_all(TOO_SLOW)).await;
        }
        Err(error) => tracing::debug!(%error, "a connection ended early"),
        Ok(()) => {}
    }
    let _ = timeout(patience, io.shutdown()).await;
}

/// The server as hyper asks it.
struct Answering(Arc<Server>);

impl Service<Request<Incoming>> for Answering {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let server = Arc::clone(&self.0);
        Box::pin(async move { Ok(server.answer(request).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_as_it_is_says_how_long_it_is() {
        for whole in [TOO_MANY, TOO_SLOW] {
            let text = std::str::from_utf8(whole).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {}", body.len())), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(body).unwrap()["error"].is_string());
        }
    }
}
