//! What a stage may be granted of the real world. A plugin that calls one of these functions asks for the capability: its
//! pipeline must grant it, and whoever runs the project must allow it, or the stage does not start.
//!
//! Every call and its answer is kept with the run, so that it can be verified later. Natively there is no host: nothing is
//! granted.

use crate::Failure;
#[cfg(target_family = "wasm")]
use crate::bindings::stagewright::stage::{
    environment as environment_host, files as files_host, http as http_host, wall_clock,
};
use crate::bindings::stagewright::stage::{files, http};

pub use crate::bindings::stagewright::stage::refusals::Refusal;
pub use files::{Entry, Kind};
pub use http::{Request, Response};

#[cfg(not(target_family = "wasm"))]
fn nowhere<T>() -> Result<T, Refusal> {
    Err(Refusal::NotGranted("nothing is granted outside the sandbox".to_owned()))
}

/// Lists a path of a granted folder, by name; the empty path is the folder itself.
pub fn list(folder: &str, path: &str) -> Result<Vec<Entry>, Refusal> {
    #[cfg(target_family = "wasm")]
    return files_host::list(folder, path);
    #[cfg(not(target_family = "wasm"))]
    {
        let _ = (folder, path);
        nowhere()
    }
}

/// Reads at most `length` bytes of a file in a granted folder, from `offset` on; none behind its end.
pub fn read_part(folder: &str, path: &str, offset: u64, length: u32) -> Result<Vec<u8>, Refusal> {
    #[cfg(target_family = "wasm")]
    return files_host::read(folder, path, offset, length);
    #[cfg(not(target_family = "wasm"))]
    {
        let _ = (folder, path, offset, length);
        nowhere()
    }
}

/// Reads a whole file in a granted folder.
pub fn read(folder: &str, path: &str) -> Result<Vec<u8>, Refusal> {
    const PART: u32 = 16 << 20;
    let mut whole = Vec::new();
    loop {
        let part = read_part(folder, path, whole.len() as u64, PART)?;
        let last = part.len() < PART as usize;
        whole.extend(part);
        if last {
            return Ok(whole);
        }
    }
}

/// Writes a whole file of at most 16 MiB in a granted folder, and the folders on its way.
pub fn write(folder: &str, path: &str, contents: &[u8]) -> Result<(), Refusal> {
    #[cfg(target_family = "wasm")]
    return files_host::write(folder, path, contents);
    #[cfg(not(target_family = "wasm"))]
    {
        let _ = (folder, path, contents);
        nowhere()
    }
}

/// Sends a request to a granted host, over HTTPS, and waits for the whole response.
pub fn send(request: &Request) -> Result<Response, Refusal> {
    #[cfg(target_family = "wasm")]
    return http_host::send(request);
    #[cfg(not(target_family = "wasm"))]
    {
        let _ = request;
        nowhere()
    }
}

/// Gets a path of a granted host.
pub fn get(host: &str, path: &str) -> Result<Response, Refusal> {
    send(&Request {
        host: host.to_owned(),
        method: "GET".to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    })
}

/// Returns the value of a granted name of the environment; none where it is not set.
pub fn environment(name: &str) -> Result<Option<String>, Refusal> {
    #[cfg(target_family = "wasm")]
    return environment_host::get(name);
    #[cfg(not(target_family = "wasm"))]
    {
        let _ = name;
        nowhere()
    }
}

/// Returns the real time in microseconds since 1970-01-01T00:00:00Z.
pub fn now() -> Result<i64, Refusal> {
    #[cfg(target_family = "wasm")]
    return wall_clock::now();
    #[cfg(not(target_family = "wasm"))]
    nowhere()
}

/// A stage that cannot go on without what it was refused.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotGranted(message) | Refusal::TooLarge(message) => Self::InvalidParameter(message),
            Refusal::NotFound(message) | Refusal::Failed(message) => Self::InvalidData(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natively_nothing_is_granted() {
        let refusals = [
            list("data", "").map(drop),
            read("data", "x").map(drop),
            write("data", "x", b"y"),
            get("api.example.org", "/").map(drop),
            environment("REGION").map(drop),
            now().map(drop),
        ];
        let message = "nothing is granted outside the sandbox".to_owned();
        assert!(refusals.iter().all(|refused| *refused == Err(Refusal::NotGranted(message.clone()))));
    }
}
