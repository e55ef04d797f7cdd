//! One worker process, as its parent sees it: two pipes that never block for longer than the job may take, and a kill.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    os::{fd::AsFd, unix::process::CommandExt as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{Pid, WaitOptions},
};
use serde::Serialize;

use super::frame::{FromWorker, receive, send};
use crate::{CancelToken, StageError};

/// How often a waiting parent looks whether it was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A larger pipe means fewer turns between the two processes.
const PIPE_BYTES: usize = 1 << 20;

/// All of a worker's environment. Batches come and go in megabytes, whose pages an allocator would give back each time:
/// the command line's (mimalloc) keeps them; so does glibc's, which the C libraries beneath and other embedders use, in
/// one arena that is not trimmed and in huge pages where the kernel has them.
pub const ENVIRONMENT: [(&str, &str); 2] = [
    ("MIMALLOC_PURGE_DELAY", "-1"),
    (
        "GLIBC_TUNABLES",
        "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1:\
         glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=268435456",
    ),
];

/// A child that is killed when it is dropped.
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

/// What a conversation with a worker is bounded by.
pub(super) struct Watch<'a> {
    pub(super) cancel: &'a CancelToken,
    pub(super) deadline: Option<Instant>,
    /// The most memory that the process may hold; none where its sandboxes are bounded already.
    pub(super) memory: Option<u64>,
    /// What is said once the deadline has passed.
    pub(super) seconds: f64,
}

impl Watch<'_> {
    /// Why the conversation must end, if it must. Whoever is never kept waiting has to ask, too: a process that talks
    /// without pause would not be stopped otherwise.
    pub(super) fn over(&self) -> Option<StageError> {
        if self.cancel.is_cancelled() {
            return Some(StageError::Cancelled);
        }
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        late.then_some(StageError::TimedOut { seconds: self.seconds })
    }
}

impl Process {
    pub(super) fn start(command: &[OsString]) -> Result<Self, StageError> {
        let no_worker = |error: io::Error| StageError::NoWorker(error.to_string());
        let [program, arguments @ ..] = command else {
            return Err(StageError::NoWorker("the command is empty".to_owned()));
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // Its guests see no environment; neither does the process need one.
        command.env_clear();
        command.envs(ENVIRONMENT);
        // A terminal's Ctrl-C goes to the whole group: the parent decides what becomes of its workers.
        command.process_group(0);
        let mut child = command.spawn().map_err(no_worker)?;
        let (input, output) = child
            .stdin
            .take()
            .zip(child.stdout.take())
            .ok_or_else(|| StageError::NoWorker("it has no pipes".to_owned()))?;
        for pipe in [input.as_fd(), output.as_fd()] {
            // A smaller pipe is slower, no more.
            let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
            let flags = fcntl_getfl(pipe).map_err(|error| no_worker(error.into()))?;
            fcntl_setfl(pipe, flags | OFlags::NONBLOCK).map_err(|error| no_worker(error.into()))?;
        }
        Ok(Self { child, input, output })
    }

    pub(super) fn send(&mut self, watch: &Watch<'_>, message: &impl Serialize, body: &[u8]) -> Result<(), StageError> {
        let mut pipe = Watched { process: self, watch, stopped: None };
        let sent = send(&mut pipe, message, body);
        let stopped = pipe.stopped;
        sent.map_err(|error| stopped.unwrap_or_else(|| self.died(&error)))
    }

    pub(super) fn receive(&mut self, watch: &Watch<'_>, most: u64) -> Result<(FromWorker, Vec<u8>), StageError> {
        let mut pipe = Watched { process: self, watch, stopped: None };
        let received = receive(&mut pipe, most);
        let stopped = pipe.stopped;
        received.map_err(|error| stopped.unwrap_or_else(|| self.died(&error)))
    }

    /// Says how the process ended, once it has.
    fn died(&mut self, error: &io::Error) -> StageError {
        if error.kind() == io::ErrorKind::InvalidData || error.to_string().contains("JSON") {
            return StageError::WorkerDied(format!("it broke the protocol: {error}"));
        }
        // Its pipes are closed, so that it has ended or is about to.
        for _ in 0..100 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return StageError::WorkerDied(status.to_string());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        StageError::WorkerDied(error.to_string())
    }

    /// Bytes of memory that the process holds, where the system says so.
    fn resident(&self) -> Option<u64> {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).ok()?;
        let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
        Some(pages * rustix::param::page_size() as u64)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill, and only its remains to collect.
        let _ = self.child.kill();
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // The system takes milliseconds to take a large process apart; nobody has to wait for that.
        let pid = Pid::from_child(&self.child);
        let collect = move || rustix::process::waitpid(Some(pid), WaitOptions::empty());
        if std::thread::Builder::new().spawn(collect).is_err() {
            let _ = self.child.wait();
        }
    }
}

/// The process's pipes, as blocking ones that give up when the watch says so.
struct Watched<'a> {
    process: &'a mut Process,
    watch: &'a Watch<'a>,
    stopped: Option<StageError>,
}

impl Watched<'_> {
    /// Waits until the pipe may be ready.
    fn wait(&mut self, flags: PollFlags) -> io::Result<()> {
        let stopped = self.watch.over().or_else(|| {
            let resident = self.watch.memory.and_then(|limit| Some((limit, self.process.resident()?)));
            resident.filter(|(limit, resident)| resident > limit).map(|(limit, _)| StageError::MemoryLimit { limit })
        });
        if let Some(stopped) = stopped {
            self.stopped = Some(stopped);
            return Err(io::ErrorKind::TimedOut.into());
        }
        let pipe = if flags == PollFlags::IN { self.process.output.as_fd() } else { self.process.input.as_fd() };
        let timeout = Timespec { tv_sec: 0, tv_nsec: LOOK_EVERY.subsec_nanos().into() };
        match poll(&mut [PollFd::from_borrowed_fd(pipe, flags)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.process.output.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(PollFlags::IN)?,
                result => return result,
            }
        }
    }
}

impl Write for Watched<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[io::IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, buffers: &[io::IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match self.process.input.write_vectored(buffers) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(PollFlags::OUT)?,
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
