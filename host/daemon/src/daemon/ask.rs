//! The client's end: sends what was typed, prints what comes back.

use std::{
    io,
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    frame::{self, Kind, LONGEST_ANSWER, Request},
    socket,
};
use crate::{
    args::Cli,
    failure::{CANNOT, Failure},
    listener::{Listener, Terminal, on_interrupt},
    surroundings,
};

/// Has the project's daemon run the command. The exit code; none where there is no daemon, or the command does not need
/// one, and nothing was done.
pub(crate) fn ask(cli: &Cli) -> Result<Option<u8>, Failure> {
    if !cli.command.is_served() {
        return Ok(None);
    }
    let cannot = |error: io::Error| Failure::new(CANNOT, format!("this machine cannot be looked at: {error}"));
    let root = surroundings::project(cli.project.as_deref()).map_err(cannot)?;
    let Some(mut stream) = socket::connect(&root) else { return Ok(None) };
    let listener = Listener::here(cli.quiet);
    let live = matches!(&listener, Listener::Here(terminal) if matches!(&**terminal, Terminal::Live(_)));
    let request = Request {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        author: surroundings::user(),
        directory: std::env::current_dir().map_err(cannot)?,
        live,
        arguments: std::env::args_os().collect(),
    };
    // A daemon that is about to end takes no further command; whoever holds the project then, opening it will tell.
    let begun = frame::write(&mut stream, Kind::Request, &request.to_bytes())
        .and_then(|()| frame::read(&mut stream, LONGEST_ANSWER));
    let mut next = match begun {
        Ok(Some(frame)) => frame,
        Ok(None) | Err(_) => return Ok(None),
    };
    loop {
        if let Some(code) = hear(next, &listener, &stream)? {
            return Ok(Some(code));
        }
        next = match frame::read(&mut stream, LONGEST_ANSWER) {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(_) => {
                return Err(Failure::new(
                    CANNOT,
                    "the daemon of this project ended before the command did; what is finished is kept, and the \
                     command can be given again",
                ));
            }
        };
    }
}

/// Tells the user what the daemon says. The exit code, if that was all.
fn hear((kind, bytes): (Kind, Vec<u8>), listener: &Listener, stream: &UnixStream) -> Result<Option<u8>, Failure> {
    let text = || String::from_utf8_lossy(&bytes);
    match kind {
        Kind::Out => match listener.out(&bytes) {
            // The command goes on, as it would here.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(Failure::new(CANNOT, format!("cannot write to standard output: {error}")));
            }
            _ => {}
        },
        Kind::Error => listener.error(&text()),
        Kind::Line => listener.line(&text()),
        Kind::Bar => {
            if let Some((stage, message)) = text().split_once('\0') {
                listener.bar(stage, message);
            }
        }
        Kind::BarEnds => listener.bar_ends(&text()),
        Kind::Cancellable => {
            let (stream, pressed) = (stream.try_clone(), AtomicBool::new(false));
            on_interrupt(move || {
                if let Ok(mut stream) = stream.as_ref() {
                    // A daemon that cannot be told is gone, which the command notices by itself.
                    let _ = frame::write(&mut stream, Kind::Cancel, &[]);
                }
                pressed.swap(true, Ordering::Relaxed)
            });
        }
        Kind::End => return Ok(Some(bytes.first().copied().unwrap_or(CANNOT))),
        Kind::Begun | Kind::Request | Kind::Cancel => {}
    }
    Ok(None)
}
