//! A host on this machine that gives the same answer to every request, and remembers what it was asked.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A running host; it is gone when this is dropped.
pub(crate) struct Host {
    /// What a pipeline calls it.
    pub(crate) authority: String,
    /// What vouches for it, as PEM.
    pub(crate) certificate: String,
    asked: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// A host that answers over TLS with this text.
    pub(crate) fn over_tls(text: &str) -> Self {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .expect("the key fits the certificate");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}", text.len());
        let mut host = Self::start(answer, Some(Arc::new(config)));
        host.certificate = cert.pem();
        host.authority = format!("localhost:{}", host.port);
        host
    }

    /// A host that gives this answer without TLS.
    pub(crate) fn plain(answer: &str) -> Self {
        Self::start(answer.to_owned(), None)
    }

    fn start(answer: String, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be listened on");
        let port = listener.local_addr().expect("a listener has an address").port();
        let (asked, stopped) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (heard, stop) = (Arc::clone(&asked), Arc::clone(&stopped));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                // A client that breaks off is a client that did not ask.
                let request = match &tls {
                    Some(config) => match ServerConnection::new(Arc::clone(config)) {
                        Ok(connection) => serve(StreamOwned::new(connection, stream), &answer),
                        Err(_) => None,
                    },
                    None => serve(stream, &answer),
                };
                heard.lock().expect("nobody panicked").extend(request);
            }
        });
        let authority = format!("http://127.0.0.1:{port}");
        Self { authority, certificate: String::new(), asked, stopped, port, thread: Some(thread) }
    }

    /// The first line of each request.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panicked").clone()
    }
}

/// Reads a request without a body, answers it, and returns its first line.
fn serve(mut stream: impl Read + Write, answer: &str) -> Option<String> {
    let mut lines = Vec::new();
    let mut reader = BufReader::new(&mut stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).ok()?;
    lines.into_iter().next()
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
