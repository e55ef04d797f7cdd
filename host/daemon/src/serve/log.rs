//! The server's log: one JSON object a line, to standard error, without ever making an answer wait.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use stagewright::Clock;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

/// Lines that wait to be written; further ones are counted and dropped.
const WAITING: usize = 4096;

/// How long the end of the process may wait for the last lines.
const LAST: Duration = Duration::from_secs(1);

/// The log, for the end of the process.
pub(crate) struct Log(Arc<Counts>);

impl Log {
    /// Waits until what was logged is written, but not for ever.
    pub(crate) fn finish(&self) {
        let began = Instant::now();
        while self.0.waiting.load(Relaxed) > 0 && began.elapsed() < LAST {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[derive(Default)]
struct Counts {
    waiting: AtomicU64,
    dropped: AtomicU64,
}

/// Starts to log what is at least informative.
///
/// # Errors
/// There is no further thread, or something logs already.
pub(crate) fn start(clock: Arc<dyn Clock>) -> io::Result<Log> {
    let (sender, receiver) = sync_channel(WAITING);
    let counts = Arc::new(Counts::default());
    let lines = Lines { clock, sender, counts: Arc::clone(&counts) };
    let log = Log(Arc::clone(&counts));
    std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&receiver, &counts))?;
    tracing::subscriber::set_global_default(lines).map_err(io::Error::other)?;
    Ok(log)
}

fn write(lines: &Receiver<Vec<u8>>, counts: &Counts) {
    while let Ok(line) = lines.recv() {
        let mut out = io::stderr().lock();
        // Where this cannot be written, nobody is listening.
        let _ = out.write_all(&line);
        let count = counts.dropped.swap(0, Relaxed);
        if count > 0 {
            let _ = writeln!(out, "{{\"level\":\"WARN\",\"message\":\"log lines were dropped\",\"count\":{count}}}");
        }
    }
}

/// Makes a line of each event. There are no spans here: what an event is about, it says itself.
struct Lines {
    clock: Arc<dyn Clock>,
    sender: SyncSender<Vec<u8>>,
    counts: Arc<Counts>,
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::INFO
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(Map::new());
        fields.0.insert("at_ms".to_owned(), self.clock.now_ms().into());
        fields.0.insert("level".to_owned(), event.metadata().level().as_str().into());
        event.record(&mut fields);
        let mut line = Value::Object(fields.0).to_string().into_bytes();
        line.push(b'\n');
        self.counts.waiting.fetch_add(1, Relaxed);
        if self.sender.try_send(line).is_err() {
            self.counts.waiting.fetch_sub(1, Relaxed);
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        self.0.insert(field.name().to_owned(), text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}
