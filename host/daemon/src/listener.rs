//! Who hears what a command says: the terminal of this process, or a client of the daemon.

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
};

use stagewright::runtime::CancelToken;

use crate::{daemon::Client, progress::Bars};

/// Who hears what a command says.
#[derive(Clone)]
pub(crate) enum Listener {
    /// Standard output and standard error of this process.
    Here(Arc<Terminal>),
    /// Another process.
    Client(Arc<Client>),
}

/// Standard error as it is here.
pub(crate) enum Terminal {
    /// Progress is not told at all.
    Quiet,
    /// A line when something ends.
    Plain,
    /// Moving lines.
    Live(Bars),
}

impl Listener {
    /// This process: live on a terminal, plain elsewhere, no progress if quiet.
    pub(crate) fn here(quiet: bool) -> Self {
        Self::Here(Arc::new(match quiet {
            true => Terminal::Quiet,
            false if io::stderr().is_terminal() => Terminal::Live(Bars::default()),
            false => Terminal::Plain,
        }))
    }

    /// To standard output.
    pub(crate) fn out(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Here(_) => {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            }
            Self::Client(client) => client.out(bytes),
        }
    }

    /// Why the command failed, to standard error.
    pub(crate) fn error(&self, text: &str) {
        match self {
            // Where even this cannot be written, nobody is listening.
            Self::Here(_) => drop(io::stderr().write_all(text.as_bytes())),
            Self::Client(client) => client.error(text),
        }
    }

    /// A line of progress.
    pub(crate) fn line(&self, text: &str) {
        match self {
            Self::Here(terminal) => match &**terminal {
                Terminal::Quiet => {}
                Terminal::Plain => drop(writeln!(io::stderr(), "{text}")),
                Terminal::Live(bars) => bars.line(text),
            },
            Self::Client(client) => client.line(text),
        }
    }

    /// What a stage is doing.
    pub(crate) fn bar(&self, stage: &str, message: &str) {
        match self {
            Self::Here(terminal) => {
                if let Terminal::Live(bars) = &**terminal {
                    bars.set(stage, message);
                }
            }
            Self::Client(client) => client.bar(stage, message),
        }
    }

    /// The same for what changes all the time.
    pub(crate) fn bar_moves(&self, stage: &str, message: &str) {
        match self {
            Self::Here(_) => self.bar(stage, message),
            Self::Client(client) => client.bar_moves(stage, message),
        }
    }

    /// A stage is doing nothing any more.
    pub(crate) fn bar_ends(&self, stage: &str) {
        match self {
            Self::Here(terminal) => {
                if let Terminal::Live(bars) = &**terminal {
                    bars.end(stage);
                }
            }
            Self::Client(client) => client.bar_ends(stage),
        }
    }

    /// A token that the user's Ctrl-C cancels. A second Ctrl-C ends the user's process at once.
    pub(crate) fn cancelled_by_user(&self) -> CancelToken {
        match self {
            Self::Client(client) => client.cancelled_by_user(),
            Self::Here(_) => {
                let token = CancelToken::new();
                let cancel = token.clone();
                on_interrupt(move || {
                    let again = cancel.is_cancelled();
                    cancel.cancel();
                    again
                });
                token
            }
        }
    }
}

/// Calls `interrupted` when the user presses Ctrl-C; where it says so, the process ends at once.
pub(crate) fn on_interrupt(interrupted: impl Fn() -> bool + Send + 'static) {
    // Where no handler can be set, Ctrl-C just ends the process, which loses nothing either.
    let _ = ctrlc::set_handler(move || {
        if interrupted() {
            #[expect(clippy::disallowed_methods, reason = "the user insists; nothing acknowledged is lost")]
            std::process::exit(i32::from(crate::failure::INTERRUPTED));
        }
    });
}
