//! A server under test, and an HTTP client that can misbehave.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    process::{Child, ExitStatus},
    time::Duration,
};

use serde_json::Value;

use crate::Lab;

/// Longer waits are hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `stagewright serve`, killed when the story ends early.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub struct Got {
    /// The status.
    pub status: u16,
    /// The headers, their names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Got {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// The status and the error that the body tells.
    #[track_caller]
    pub fn refusal(&self) -> String {
        format!("{} {}", self.status, self.json()["error"].as_str().unwrap_or_else(|| panic!("{}", self.text())))
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Serving {
    /// Starts a server at a free port, and waits until it says where.
    pub fn start(lab: &Lab, arguments: &[&str]) -> Self {
        let mut child = lab.start(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat());
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            if lines.read_line(&mut line).expect("its output can be read") == 0 {
                let mut why = String::new();
                let _ = child.stderr.take().expect("its errors are piped").read_to_string(&mut why);
                panic!("the server ended: {said}{why}");
            }
            said.push_str(&line);
            let after = line.split_once("http://").or_else(|| line.split_once("https://")).map(|(_, after)| after);
            if let Some(after) = after {
                let end = after.find(|c: char| !c.is_ascii_digit() && !".:".contains(c)).unwrap_or(after.len());
                break after[..end].parse().unwrap_or_else(|error| panic!("{error} in {line}"));
            }
        };
        Self { child, address }
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A new connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out can be set");
        stream
    }

    /// Sends bytes, says that no more will come, and reads what comes back until the server closes.
    pub fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        // A server may have had enough before everything is written.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut back = Vec::new();
        let _ = stream.read_to_end(&mut back);
        back
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Got {
        let mut stream = self.connect();
        send(&mut stream, method, path, headers, body);
        receive(&mut stream)
    }

    /// Reads.
    #[track_caller]
    pub fn get(&self, path: &str) -> Got {
        self.ask("GET", path, &[], b"")
    }

    /// Asks for predictions with JSON.
    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> Got {
        self.ask("POST", path, &[("content-type", "application/json")], body.as_bytes())
    }

    /// Tells it to stop, and returns how it ended and what it logged.
    pub fn stop(self) -> (ExitStatus, String) {
        self.signal("-TERM");
        self.ended()
    }

    /// Waits until it ends, and returns how it did and what it logged.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("the server ends");
        let mut log = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            errors.read_to_string(&mut log).expect("its log is UTF-8");
        }
        (status, log)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        let mut kill = std::process::Command::new("kill");
        let status = kill.args([signal, &self.id().to_string()]).status().expect("there is a `kill`");
        assert!(status.success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // After `stop` it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a request.
#[track_caller]
pub fn send(stream: &mut TcpStream, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(&[request.as_bytes(), body].concat()).expect("the request can be written");
}

/// Reads one response; the connection stays open.
#[track_caller]
pub fn receive(stream: &mut TcpStream) -> Got {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        let read = stream.read(&mut byte).expect("a response arrives");
        assert_eq!(read, 1, "the connection was closed within {:?}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    let (status, headers) = parse(&head);
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse().expect("a length is a number"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("the body arrives");
    Got { status, headers, body }
}

/// The status and the headers of a response's head.
#[track_caller]
fn parse(head: &[u8]) -> (u16, Vec<(String, String)>) {
    let text = std::str::from_utf8(head).expect("a head is text");
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    (status.unwrap_or_else(|| panic!("{first:?} is no status line")), headers)
}
