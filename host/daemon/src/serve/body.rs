//! Bodies, within bounds of size and time.

use http_body_util::BodyExt;
use hyper::{
    StatusCode,
    body::{Body, Bytes, Incoming},
};
use stagewright::file::Serve;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::answer::Refusal;

/// Smaller bodies are not counted: there are never more of them than connections.
const SMALL: u64 = 64 << 10;
/// Room for so many bodies of the largest size at once.
const LARGE_BODIES: u64 = 32;

/// Room for large bodies, in KiB.
pub(super) fn room(settings: &Serve) -> Semaphore {
    let kib = (settings.body / 1024 + 1).saturating_mul(LARGE_BODIES);
    Semaphore::new(usize::try_from(kib).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS))
}

/// A body that was read, and the room that it takes.
pub(super) struct Whole<'a> {
    pub(super) bytes: Bytes,
    _room: Option<SemaphorePermit<'a>>,
}

/// Reads a whole body.
pub(super) async fn read<'a>(body: Incoming, settings: &Serve, room: &'a Semaphore) -> Result<Whole<'a>, Refusal> {
    let most = settings.body;
    let too_large = || {
        let message = format!("the body is larger than {most} bytes (`serve.body` in stagewright.toml)");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message).unread()
    };
    // What is announced too large is not waited for.
    if body.size_hint().lower() > most {
        return Err(too_large());
    }
    let announced = body.size_hint().upper().unwrap_or(most).min(most);
    let room = match announced {
        ..=SMALL => None,
        _ => Some(room.try_acquire_many(u32::try_from(announced / 1024 + 1).unwrap_or(u32::MAX)).map_err(|_| {
            let message = "too many large bodies are being read; ask again in a moment";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message).unread()
        })?),
    };
    let late = |_| {
        let seconds = settings.patience.as_secs_f64();
        let message = format!("the body did not arrive within {seconds} s (`serve.patience` in stagewright.toml)");
        Refusal::new(StatusCode::REQUEST_TIMEOUT, message).unread()
    };
    let read = tokio::time::timeout(settings.patience, collect(body, most)).await.map_err(late)?;
    let bytes = read.map_err(|error| match error {
        Some(error) => Refusal::bad(format!("the body did not arrive whole: {error}")).unread(),
        None => too_large(),
    })?;
    Ok(Whole { bytes, _room: room })
}

/// The whole body; an error without a cause where it is too large.
async fn collect(mut body: Incoming, most: u64) -> Result<Bytes, Option<hyper::Error>> {
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Some)?.into_data() else { continue };
        if (first.len() + all.len() + data.len()) as u64 > most {
            return Err(None);
        }
        // Most bodies arrive in one piece, which is not copied.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}
