//! The index: what the journal's rows say, ready to be asked.
//!
//! Rows of the newest frames are held in memory; older ones were folded into sled once they were durable. Sled thus
//! never knows more than the journal, is opened only when a repository has outgrown memory, and can be thrown away at
//! any time: everything in it is made from the journal again. It holds no chunk and no value above a few kilobytes.
//!
//! Sled's files change only while rows are folded. The file `checkpoint`, written on closing and now and then before,
//! has the position that they are up to and their digests, so that sled is never asked from files that are not as it
//! left them: some damage it would not notice, and answer that there is nothing.
//!
//! Sled can be opened by one process at a time. Whoever only looks at a repository asks the file of sorted rows that the
//! writer leaves beside the checkpoint. So does the writer itself until it has many questions or rows to fold: a short
//! life never opens sled.

mod marks;
mod sled;
mod sorted;

use std::{
    collections::BTreeMap,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use stagewright_core::Digest;

pub(crate) use self::{marks::Marks, sorted::is_leftover};
use self::{sled::SledEngine, sorted::Sorted};
use crate::{
    Result, StoreError,
    files::Files,
    journal::{self, Position},
};

/// Once the rows in memory weigh this much, they are folded into sled.
pub(crate) const FOLD_BYTES: usize = 8 << 20;
/// The same for whoever only looks: folding then means writing all rows anew.
pub(crate) const READER_FOLD_BYTES: usize = 32 << 20;
const CHECKPOINT: &str = "checkpoint";
const SLED: &str = "sled";

/// So often sled is opened and read until its files stay as they are.
const MOST_SETTLING: usize = 5;

/// So many questions are asked of the file of sorted rows before sled is opened, which takes as long as they do: some
/// 20 ms, and 14 µs a question, in a repository with 5 MB of rows.
const FEW_QUESTIONS: u32 = 1500;

/// Rows are copied in pages of this many.
const PAGE: usize = 4096;

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// What is asked of an engine below the index.
trait Engine: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;
    /// Up to `limit` rows of the range in order; from its end where `reverse`.
    fn range(&self, from: &[u8], to: Bound<&[u8]>, limit: usize, reverse: bool) -> Result<Rows>;
    /// Takes over rows; a crash may undo that.
    fn apply(&self, rows: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>) -> Result<()>;
}

/// Rows in memory, where even a file for them cannot be made.
struct MemoryEngine(BTreeMap<Vec<u8>, Vec<u8>>);

impl Engine for MemoryEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.0.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: Bound<&[u8]>, limit: usize, reverse: bool) -> Result<Rows> {
        let rows =
            self.0.range::<[u8], _>((Bound::Included(from), to)).map(|(key, value)| (key.clone(), value.clone()));
        Ok(if reverse { rows.rev().take(limit).collect() } else { rows.take(limit).collect() })
    }

    fn apply(&self, _: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>) -> Result<()> {
        Err(StoreError::Invalid("rows stay in memory".to_owned()))
    }
}

/// Rows by key.
pub(crate) struct Index {
    files: Files,
    directory: PathBuf,
    repository: String,
    recent: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    weight: usize,
    /// At which weight the rows in memory are folded; none where they never are.
    fold_at: Option<usize>,
    /// Up to where sled's rows go.
    folded: Position,
    /// The weight of the rows that were folded since sled's files were last vouched for.
    unvouched: usize,
    /// The length of sled's files when they were.
    vouched: usize,
    engine: Mutex<Option<Arc<dyn Engine>>>,
    /// The same rows as sled's, for a life of few questions.
    rows: Option<Sorted>,
    questions: AtomicU32,
    /// What is below the rows in memory.
    below: Below,
}

/// What is below the rows in memory.
enum Below {
    /// Sled, whose one user is this process.
    Sled,
    /// A file of sorted rows, if there is one yet.
    Sorted(Option<Arc<Sorted>>),
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("recent", &self.recent.len())
            .field("folded", &self.folded)
            .finish_non_exhaustive()
    }
}

impl Index {
    /// The index as the last fold left it; its owner replays the journal from [`folded`](Self::folded).
    ///
    /// Where sled's files are not what the checkpoint says, they are set aside and the index begins empty.
    pub(crate) fn open(
        files: &Files,
        directory: &Path,
        repository: &str,
        fold_at: usize,
        progress: &dyn Fn(&str),
    ) -> Result<Self> {
        let mut index = Self::new(files, directory, repository, fold_at, Below::Sled);
        let Some(checkpoint) = files.read_if_there(CHECKPOINT)? else { return Ok(index) };
        let line = checkpoint.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        match Position::from_text(&checkpoint[..line]) {
            Some(position) if sled_files(files).is_ok_and(|found| found.as_bytes() == &checkpoint[line..]) => {
                index.folded = position;
                index.vouched = index.sled_len()?;
                index.rows = Sorted::open(files, repository).filter(|rows| rows.position() == position);
            }
            _ => {
                progress(&format!(
                    "the index of repository `{repository}` is damaged: making it again from the journal"
                ));
                index.discard()?;
            }
        }
        Ok(index)
    }

    /// The index for whoever only looks, as the writer left it; its owner replays the journal from
    /// [`folded`](Self::folded).
    pub(crate) fn open_to_read(files: &Files, directory: &Path, repository: &str, fold_at: usize) -> Self {
        let mut index = Self::empty_to_read(files, directory, repository, fold_at);
        if let Some(sorted) = Sorted::open(files, repository) {
            index.folded = sorted.position();
            index.use_sorted(sorted);
        }
        index
    }

    /// The same without anything in it.
    pub(crate) fn empty_to_read(files: &Files, directory: &Path, repository: &str, fold_at: usize) -> Self {
        Self::new(files, directory, repository, fold_at, Below::Sorted(None))
    }

    fn new(files: &Files, directory: &Path, repository: &str, fold_at: usize, below: Below) -> Self {
        Self {
            files: files.clone(),
            directory: directory.to_owned(),
            repository: repository.to_owned(),
            recent: BTreeMap::new(),
            weight: 0,
            fold_at: Some(fold_at),
            folded: Position::START,
            unvouched: 0,
            vouched: 0,
            engine: Mutex::new(None),
            rows: None,
            questions: AtomicU32::new(0),
            below,
        }
    }

    fn use_sorted(&mut self, sorted: Sorted) {
        let sorted = Arc::new(sorted);
        self.engine = Mutex::new(Some(sorted.clone()));
        self.below = Below::Sorted(Some(sorted));
    }

    pub(crate) const fn folded(&self) -> Position {
        self.folded
    }

    /// Sets sled aside; everything is to be replayed.
    pub(crate) fn discard(&mut self) -> Result<()> {
        self.engine = Mutex::new(None);
        self.rows = None;
        self.recent.clear();
        (self.weight, self.folded, self.unvouched, self.vouched) = (0, Position::START, 0, 0);
        if self.files.exists(CHECKPOINT) {
            self.files.remove(CHECKPOINT)?;
        }
        if self.files.exists(SLED) {
            let free = (1..1000).map(|number| format!("sled.bad-{number}")).find(|name| !self.files.exists(name));
            self.files.rename(SLED, &free.unwrap_or_else(|| "sled.bad".to_owned()))?;
        }
        Ok(())
    }

    /// Asks what is below, or the journal where that fails.
    fn ask<T>(&self, question: impl Fn(&dyn Engine) -> Result<T>) -> Result<T> {
        if let Some(rows) = &self.rows
            && self.questions.fetch_add(1, Ordering::Relaxed) < FEW_QUESTIONS
            && let Ok(answer) = question(rows)
        {
            return Ok(answer);
        }
        self.engine().and_then(|engine| question(&*engine)).or_else(|error| {
            tracing::warn!(repository = self.repository, %error, "the index failed: asking the journal in its place");
            let stand_in = self.stand_in()?;
            *self.engine.lock().unwrap_or_else(PoisonError::into_inner) = Some(stand_in.clone());
            question(&*stand_in)
        })
    }

    fn engine(&self) -> Result<Arc<dyn Engine>> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        match &*engine {
            Some(opened) => Ok(opened.clone()),
            None => {
                let sled = SledEngine::open(&self.directory.join(SLED), &self.repository)?;
                Ok(engine.insert(Arc::new(sled)).clone())
            }
        }
    }

    /// What stands in for an engine that fails in the middle of its work: the same rows from the journal.
    fn stand_in(&self) -> Result<Arc<dyn Engine>> {
        // Without its checkpoint, the next life makes the index again.
        if matches!(self.below, Below::Sled) && self.files.exists(CHECKPOINT) {
            self.files.remove(CHECKPOINT)?;
        }
        let mut rows = Self::empty_to_read(&self.files, &self.directory, &self.repository, READER_FOLD_BYTES);
        journal::replay(&self.files, &self.repository, Position::START, |position, frame| {
            if position.frames <= self.folded.frames {
                frame.into_iter().for_each(|(key, value)| rows.put(key, value));
                if rows.is_heavy() {
                    rows.fold(position);
                }
            }
            Ok(())
        })?;
        if rows.has_folded() {
            rows.fold(self.folded);
        }
        // Where no file could be made, everything is in memory.
        match rows.below {
            Below::Sorted(Some(sorted)) if rows.recent.is_empty() => Ok(sorted),
            Below::Sorted(Some(_)) => Err(StoreError::Invalid("a file of sorted rows could not be made".to_owned())),
            _ => Ok(Arc::new(MemoryEngine(
                rows.recent.into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
            ))),
        }
    }

    fn has_folded(&self) -> bool {
        self.folded != Position::START
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.recent.get(key) {
            Some(value) => Ok(value.clone()),
            None if self.has_folded() => self.ask(|engine| engine.get(key)),
            None => Ok(None),
        }
    }

    /// Up to `limit` rows whose keys begin with `prefix`, behind (or, in reverse, before) the key `after` if there is
    /// one.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let end = prefix_end(prefix);
        let below_end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let (from, to) = match (after, reverse) {
            (Some(after), false) => ([after, &[0]].concat(), below_end),
            (Some(after), true) => (prefix.to_vec(), Bound::Excluded(after)),
            (None, _) => (prefix.to_vec(), below_end),
        };
        let recent = self.recent.range::<[u8], _>((Bound::Included(from.as_slice()), to));
        let recent: Box<dyn Iterator<Item = _>> = if reverse { Box::new(recent.rev()) } else { Box::new(recent) };
        let mut recent = recent.peekable();
        let (mut rows, mut last) = (Rows::new(), None::<Vec<u8>>);
        loop {
            let page = match &last {
                _ if !self.has_folded() => Rows::new(),
                None => self.ask(|engine| engine.range(&from, to, limit, reverse))?,
                Some(last) if reverse => self.ask(|engine| engine.range(&from, Bound::Excluded(last), limit, true))?,
                Some(last) => self.ask(|engine| engine.range(&[last, [0].as_slice()].concat(), to, limit, false))?,
            };
            let is_last = page.len() < limit.max(1);
            last = page.last().map(|(key, _)| key.clone());
            for (key, value) in page {
                let before = |newer: &Vec<u8>| if reverse { *newer > key } else { *newer < key };
                while let Some((newer, value)) = recent.next_if(|(newer, _)| rows.len() < limit && before(newer)) {
                    rows.extend(value.clone().map(|value| (newer.clone(), value)));
                }
                if rows.len() >= limit {
                    return Ok(rows);
                }
                let value = match recent.next_if(|(newer, _)| **newer == key) {
                    Some((_, newer)) => newer.clone(),
                    None => Some(value),
                };
                rows.extend(value.map(|value| (key, value)));
            }
            if is_last {
                let missing = limit.saturating_sub(rows.len());
                let live = recent.filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
                rows.extend(live.take(missing));
                return Ok(rows);
            }
        }
    }

    /// Takes over a row; it is in memory until the next fold.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.weight += key.len() + value.as_ref().map_or(0, Vec::len) + 64;
        self.recent.insert(key, value);
    }

    /// Whether the rows in memory weigh enough to be folded.
    pub(crate) fn is_heavy(&self) -> bool {
        self.fold_at.is_some_and(|limit| self.weight >= limit)
    }

    /// Whether they weigh so much more that folding them must not wait.
    pub(crate) fn is_too_heavy(&self) -> bool {
        self.fold_at.is_some_and(|limit| self.weight >= limit.saturating_mul(4))
    }

    /// Folds every row in memory into what is below. All of them must be durable in the journal up to `position`.
    ///
    /// Where that fails, nothing is lost: the rows stay in memory, and are no more folded in this life.
    pub(crate) fn fold(&mut self, position: Position) {
        if let Err(error) = self.try_fold(position) {
            tracing::warn!(repository = self.repository, %error, "the index could not be folded");
            self.fold_at = None;
        }
    }

    fn try_fold(&mut self, position: Position) -> Result<()> {
        if let Below::Sorted(older) = &self.below {
            let changes = self.recent.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
            let sorted = Sorted::merged(&self.files, &self.repository, older.as_deref(), changes, position)?;
            self.use_sorted(sorted);
            self.folded = position;
            self.recent.clear();
            self.weight = 0;
            return Ok(());
        }
        if !self.has_folded() && self.files.exists(SLED) {
            // Left behind by a life that did not come to vouch for it.
            self.engine = Mutex::new(None);
            self.files.remove_dir_all(SLED)?;
        }
        self.rows = None;
        let mut rows = self.recent.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
        self.engine()?.apply(&mut rows)?;
        self.folded = position;
        self.unvouched += self.weight;
        self.recent.clear();
        self.weight = 0;
        Ok(())
    }

    /// Vouches for sled's files where much was folded since. That costs a look at every row: done whenever there are
    /// half as many more, it costs little for each.
    pub(crate) fn vouch_now_and_then(&mut self) {
        if self.unvouched >= self.vouched / 2 {
            self.vouch();
        }
    }

    /// Vouches for sled's files, so that the next life need not make them again. On closing.
    pub(crate) fn vouch(&mut self) {
        if self.unvouched > 0
            && self.fold_at.is_some()
            && let Err(error) = self.try_vouch()
        {
            tracing::warn!(repository = self.repository, %error, "the next life has to make the index again");
        }
    }

    fn try_vouch(&mut self) -> Result<()> {
        self.engine = Mutex::new(None);
        if let Err(error) = self.leave_rows() {
            tracing::warn!(repository = self.repository, %error, "who only looks has to read the journal");
        }
        // Sled goes on rearranging its files when they are opened and read after a change, until all is as it likes it.
        let mut settled = String::new();
        for _ in 0..MOST_SETTLING {
            let before = settled;
            SledEngine::open(&self.directory.join(SLED), &self.repository)?.touch_all()?;
            settled = sled_files(&self.files)?;
            if settled == before {
                break;
            }
        }
        // Its own flush only starts writing: files and directory are synced here.
        for (name, _) in self.files.list(SLED)? {
            self.files.open_file(&format!("{SLED}/{name}"))?.sync()?;
        }
        self.files.sync_dir(SLED)?;
        let checkpoint = format!("{}{settled}", self.folded.to_text());
        self.files.replace(CHECKPOINT, checkpoint.as_bytes())?;
        self.unvouched = 0;
        self.vouched = self.sled_len()?;
        Ok(())
    }

    /// Leaves a file of sorted rows for whoever only looks.
    fn leave_rows(&self) -> Result<()> {
        let name = format!("{}.new", sorted::ROWS);
        if self.files.exists(&name) {
            self.files.remove(&name)?;
        }
        let mut writer = sorted::Writer::create(&self.files, &name)?;
        let write = |writer: &mut sorted::Writer| -> Result<()> {
            let sled = SledEngine::open(&self.directory.join(SLED), &self.repository)?;
            let mut from = Vec::new();
            loop {
                let page = sled.range(&from, Bound::Unbounded, PAGE, false)?;
                page.iter().try_for_each(|(key, value)| writer.add(key, value))?;
                match page.into_iter().next_back() {
                    // The next key there can be.
                    Some((key, _)) => from = [key.as_slice(), &[0]].concat(),
                    None => return Ok(()),
                }
            }
        };
        let written = write(&mut writer).and_then(|()| writer.publish(&self.files, &name, self.folded));
        if written.is_err() && self.files.exists(&name) {
            self.files.remove(&name)?;
        }
        written
    }

    fn sled_len(&self) -> Result<usize> {
        Ok(self.files.list(SLED)?.iter().map(|(_, len)| usize::try_from(*len).unwrap_or(usize::MAX)).sum())
    }
}

/// Name, length and digest of each of sled's files, a line each.
fn sled_files(files: &Files) -> Result<String> {
    let mut lines = String::new();
    for (name, len) in files.list(SLED)? {
        let digest = files.open_file(&format!("{SLED}/{name}"))?.digest()?;
        lines.push_str(&format!("{name} {len} {digest}\n"));
    }
    Ok(lines)
}

/// The first key behind all that begin with `prefix`; none where there is no such key.
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// A digest at a place of a key.
pub(crate) fn digest_at(key: &[u8], at: usize) -> Option<Digest> {
    Some(Digest::from_bytes(key.get(at..at + Digest::LEN)?.try_into().ok()?))
}
