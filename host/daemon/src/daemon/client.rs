//! A client, as a command in the daemon sees it.

use std::{
    collections::BTreeMap,
    io,
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use stagewright::runtime::CancelToken;

use super::frame::{self, Kind, LONGEST_ANSWER};

/// A client that does not read its progress for so long has gone away: a run must not wait for it. Its results it may
/// read as slowly as it likes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a moving line is worth telling.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// The other end of a connection.
pub(crate) struct Client {
    /// None once it has gone away.
    stream: Mutex<Option<UnixStream>>,
    live: bool,
    cancel: CancelToken,
    /// When each stage's moving line was told last.
    told: Mutex<BTreeMap<String, Instant>>,
}

impl Client {
    /// Cancels `cancel` when the client cannot be written to.
    pub(crate) fn new(stream: UnixStream, live: bool, cancel: CancelToken) -> Self {
        Self { stream: Mutex::new(Some(stream)), live, cancel, told: Mutex::default() }
    }

    fn send(&self, kind: Kind, bytes: &[u8], patience: Option<Duration>) -> io::Result<()> {
        let mut slot = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = slot.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let sent = stream.set_write_timeout(patience).and_then(|()| frame::write(stream, kind, bytes));
        if sent.is_err() {
            // Half a frame may have been sent, so that there can be no further one.
            let _ = stream.shutdown(Shutdown::Both);
            *slot = None;
            self.cancel.cancel();
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    fn send_pieces(&self, kind: Kind, bytes: &[u8], patience: Option<Duration>) -> io::Result<()> {
        bytes.chunks(LONGEST_ANSWER).try_for_each(|piece| self.send(kind, piece, patience))
    }

    /// The command begins.
    pub(crate) fn begun(&self) {
        // Whoever has gone away is noticed by `cancel`, here and below.
        let _ = self.send(Kind::Begun, &[], Some(PATIENCE));
    }

    /// For standard output.
    pub(crate) fn out(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_pieces(Kind::Out, bytes, None)
    }

    /// For standard error.
    pub(crate) fn error(&self, text: &str) {
        let _ = self.send_pieces(Kind::Error, text.as_bytes(), Some(PATIENCE));
    }

    /// A line of progress.
    pub(crate) fn line(&self, text: &str) {
        let end = text.floor_char_boundary(LONGEST_ANSWER);
        let _ = self.send(Kind::Line, &text.as_bytes()[..end], Some(PATIENCE));
    }

    /// What a stage is doing.
    pub(crate) fn bar(&self, stage: &str, message: &str) {
        if self.live {
            self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(stage.to_owned(), Instant::now());
            let text = format!("{stage}\0{message}");
            let end = text.floor_char_boundary(LONGEST_ANSWER);
            let _ = self.send(Kind::Bar, &text.as_bytes()[..end], Some(PATIENCE));
        }
    }

    /// The same for what changes all the time: it is told only now and then.
    pub(crate) fn bar_moves(&self, stage: &str, message: &str) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).get(stage).copied();
        if self.live && told.is_none_or(|told| told.elapsed() >= BAR_INTERVAL) {
            self.bar(stage, message);
        }
    }

    /// A stage is doing nothing any more.
    pub(crate) fn bar_ends(&self, stage: &str) {
        if self.live {
            let _ = self.send(Kind::BarEnds, stage.as_bytes(), Some(PATIENCE));
        }
    }

    /// What the client's Ctrl-C, or its going away, cancels.
    pub(crate) fn cancelled_by_user(&self) -> CancelToken {
        let _ = self.send(Kind::Cancellable, &[], Some(PATIENCE));
        self.cancel.clone()
    }

    /// The command has ended.
    pub(crate) fn end(&self, code: u8) {
        let _ = self.send(Kind::End, &[code], Some(PATIENCE));
    }
}
