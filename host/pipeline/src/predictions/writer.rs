//! The thread behind a serving process that makes answers durable. Whoever answers only hands over; it never waits.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde::Serialize;
use stagewright_core::{Batch, Digest, Name};

use super::{
    layout::{Answer, ID, Pack, Source},
    storage::{Ids, Log},
};
use crate::{
    error::{Error, Result},
    project::Project,
};

/// Answers wait at most about this long before they are made durable.
const DELAY: Duration = Duration::from_secs(1);
/// So many bytes are made durable at once, without waiting longer.
const FLUSH_BYTES: usize = 8 << 20;
/// So many bytes may wait; what comes beyond is dropped, and counted.
const WAITING_BYTES: usize = 32 << 20;

/// How the log keeps up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Answers that are durable.
    pub logged: u64,
    /// Answers that could not be kept: too many waited, or the disk refused.
    pub dropped: u64,
    /// Answers that wait.
    pub waiting: u64,
}

#[derive(Default)]
struct Queue {
    packs: Vec<Pack>,
    bytes: usize,
    /// Dropped since the last flush, by log.
    dropped: BTreeMap<Name, u64>,
    /// Flushes that were asked for, and that are done.
    asked: u64,
    done: u64,
    stopping: bool,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    flushed: Condvar,
    logged: AtomicU64,
    dropped: AtomicU64,
    /// The hashes of the request ids of open parts, by log.
    open: Mutex<BTreeMap<Name, HashSet<u64>>>,
}

/// Keeps predictions. Dropping it makes everything durable that was handed over.
pub struct Keeper {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    /// Begins to keep a project's predictions.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(project: Arc<Project>) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("predictions".to_owned());
        let thread = thread.spawn(move || of_thread.keep(&project));
        let thread =
            thread.map_err(|source| Error::Io { action: "cannot start", path: "a thread".to_owned(), source })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Hands an answer over. Returns at once.
    pub fn keep(&self, answer: Answer) {
        let bytes = answer.bytes();
        let mut queue = lock(&self.shared.queue);
        if queue.stopping || queue.bytes + bytes > WAITING_BYTES {
            *queue.dropped.entry(answer.source.log.clone()).or_default() += 1;
            drop(queue);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let (first, full) = (queue.bytes == 0, queue.bytes + bytes >= FLUSH_BYTES);
        queue.bytes += bytes;
        queue.push(answer, bytes);
        drop(queue);
        if first || full {
            self.shared.wake.notify_one();
        }
    }

    /// Returns once everything that was handed over before is durable or counted as dropped.
    pub fn flush(&self) {
        let mut queue = lock(&self.shared.queue);
        queue.asked += 1;
        let wanted = queue.asked;
        self.shared.wake.notify_one();
        while queue.done < wanted && !queue.stopped {
            queue = self.shared.flushed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How the log keeps up.
    pub fn kept(&self) -> Kept {
        let waiting = lock(&self.shared.queue).waiting();
        let (logged, dropped) = (&self.shared.logged, &self.shared.dropped);
        Kept { logged: logged.load(Ordering::Relaxed), dropped: dropped.load(Ordering::Relaxed), waiting }
    }

    /// Which of these request ids the log of an endpoint does not hold.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn unknown<'i>(&self, log: &Log<'_>, ids: BTreeSet<&'i str>) -> Result<BTreeSet<&'i str>> {
        self.flush();
        let mut unknown = ids;
        if let Some(open) = lock(&self.shared.open).get(&log.name) {
            unknown.retain(|id| !open.contains(&Ids::hash(id)));
        }
        if !unknown.is_empty() {
            let segments = log.segments()?;
            unknown.retain(|id| {
                let hash = Ids::hash(id);
                !segments.iter().any(|segment| segment.ids.contains(hash))
            });
        }
        Ok(unknown)
    }

    /// Makes everything durable and ends.
    pub fn stop(&self) {
        lock(&self.shared.queue).stopping = true;
        self.shared.wake.notify_one();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps predictions panicked");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Marks the end of the thread, whichever way it ends, so that nobody waits for it.
struct Stopped<'a>(&'a Shared);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        (queue.stopped, queue.stopping) = (true, true);
        self.0.flushed.notify_all();
    }
}

impl Queue {
    fn waiting(&self) -> u64 {
        self.packs.iter().map(|pack| pack.len() as u64).sum()
    }

    fn push(&mut self, answer: Answer, bytes: usize) {
        // Only the last of a layout may grow, so that answers stay in order.
        let last = self.packs.iter_mut().rev().find(|pack| pack.is_of(&answer.source));
        match last.filter(|pack| pack.has_room(bytes)) {
            Some(pack) => pack.push(answer, bytes),
            None => {
                let mut pack = Pack::new(Arc::clone(&answer.source));
                pack.push(answer, bytes);
                self.packs.push(pack);
            }
        }
    }
}

impl Shared {
    fn keep(&self, project: &Project) {
        let _stopped = Stopped(self);
        loop {
            let (packs, dropped, asked, stopping) = self.wait();
            self.write(project, packs, dropped);
            lock(&self.queue).done = asked;
            self.flushed.notify_all();
            if stopping {
                return;
            }
        }
    }

    /// Waits until there is something to do: for the first answer, then a little for more.
    fn wait(&self) -> (Vec<Pack>, BTreeMap<Name, u64>, u64, bool) {
        let urgent = |queue: &Queue| queue.stopping || queue.asked > queue.done || queue.bytes >= FLUSH_BYTES;
        let queue = lock(&self.queue);
        let idle = |queue: &mut Queue| queue.bytes == 0 && !urgent(queue);
        let queue = self.wake.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(queue, DELAY, |queue| !urgent(queue));
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.bytes = 0;
        (std::mem::take(&mut queue.packs), std::mem::take(&mut queue.dropped), queue.asked, queue.stopping)
    }

    fn write(&self, project: &Project, packs: Vec<Pack>, mut dropped: BTreeMap<Name, u64>) {
        let mut groups: BTreeMap<(Name, Digest), Vec<Pack>> = BTreeMap::new();
        for pack in packs {
            groups.entry((pack.source.log.clone(), pack.source.layout_digest)).or_default().push(pack);
        }
        for ((name, _), group) in groups {
            let lost = dropped.remove(&name).unwrap_or(0);
            let Some(ready) = self.ready(&name, group, lost) else { continue };
            let (count, lost) = (ready.answers, ready.lost);
            match self.append(project, &name, ready) {
                Ok(()) => self.logged.fetch_add(count, Ordering::Relaxed),
                Err(error) => {
                    tracing::error!("{count} predictions of {name} could not be kept: {error}");
                    // Said again beside the next that can be kept.
                    *lock(&self.queue).dropped.entry(name).or_default() += count + lost;
                    self.dropped.fetch_add(count, Ordering::Relaxed)
                }
            };
        }
        let mut queue = lock(&self.queue);
        for (name, lost) in dropped {
            *queue.dropped.entry(name).or_default() += lost;
        }
    }

    /// Makes batches of packs of one layout. An answer that is too large for a batch stands alone, and alone is lost.
    fn ready(&self, name: &Name, packs: Vec<Pack>, lost: u64) -> Option<Ready> {
        let source = Arc::clone(&packs.first()?.source);
        let mut ready = Ready { source, batches: Vec::new(), ids: Vec::new(), times_ms: None, answers: 0, lost };
        for pack in packs {
            let (count, times, hashed) = (pack.len() as u64, pack.times_ms(), ready.ids.len());
            ready.ids.extend(pack.ids().map(Ids::hash));
            match pack.finish() {
                Ok(batch) => {
                    ready.batches.push(batch);
                    ready.answers += count;
                    let all = ready.times_ms.get_or_insert(times);
                    *all = (all.0.min(times.0), all.1.max(times.1));
                }
                Err(error) => {
                    tracing::error!("{count} predictions of {name} could not be kept: {error}");
                    ready.ids.truncate(hashed);
                    ready.lost += count;
                    self.dropped.fetch_add(count, Ordering::Relaxed);
                }
            }
        }
        if ready.batches.is_empty() {
            *lock(&self.queue).dropped.entry(name.clone()).or_default() += ready.lost;
            return None;
        }
        Some(ready)
    }

    fn append(&self, project: &Project, name: &Name, ready: Ready) -> Result<()> {
        let log = Log::open(project, name)?;
        let known = lock(&self.open).contains_key(name);
        if !known {
            let mut open = HashSet::new();
            add_open_ids(&log, &mut open)?;
            lock(&self.open).insert(name.clone(), open);
        }
        let times = ready.times_ms.unwrap_or_default();
        let sealed = log.append(&ready.source.layout, &ready.batches, times, ready.lost)?;
        let mut open = lock(&self.open);
        let open = open.entry(name.clone()).or_default();
        open.extend(ready.ids);
        if sealed {
            open.clear();
            add_open_ids(&log, open)?;
        }
        Ok(())
    }
}

/// Batches of one layout, to append.
struct Ready {
    source: Arc<Source>,
    batches: Vec<Batch>,
    /// The hashes of the request ids.
    ids: Vec<u64>,
    /// When the first and the last were answered.
    times_ms: Option<(u64, u64)>,
    answers: u64,
    /// Answers that should have been kept beside these.
    lost: u64,
}

/// Adds the hashes of the request ids of a log's open parts.
fn add_open_ids(log: &Log<'_>, ids: &mut HashSet<u64>) -> Result<()> {
    log.each(&|_| false, &mut |_, batch| {
        let column = &batch.columns[ID];
        ids.extend((0..batch.rows as usize).filter_map(|row| column.text(row)).map(Ids::hash));
        Ok(())
    })
}
