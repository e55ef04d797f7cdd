//! Recognising an unchanged pipeline before anything is opened.
//!
//! A memo names the last run of a pipeline file by everything that could make the next one different: the text, the
//! seed, the settings, this program's version, and the heads of the four repositories. It is a shortcut: without it
//! the run is found to be unchanged by its run keys, a few milliseconds later.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};
use stagewright_core::{Digest, canonical};
use stagewright_runtime::ENGINE;
use stagewright_store::Store;

use crate::project::{SETTINGS_FILE, STORE_DIRECTORY};

/// What whoever runs an unchanged pipeline is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// For people.
    pub text: String,
    /// For programs: a [`RunOutcome`](crate::run::RunOutcome) as JSON.
    pub json: String,
}

#[derive(Serialize, Deserialize)]
struct Memo {
    key: Digest,
    /// Against a torn write: the digest of the answer's canonical JSON.
    seal: Digest,
    answer: Answer,
}

fn file(root: &Path, pipeline: &str) -> std::path::PathBuf {
    let name = Digest::of(pipeline.as_bytes()).short();
    root.join(STORE_DIRECTORY).join("cache/unchanged").join(format!("{name}.json"))
}

fn key(root: &Path, text: &str, seed: Option<u64>, version: &str) -> Option<Digest> {
    let heads = Store::fingerprint(&root.join(STORE_DIRECTORY)).ok()?;
    let settings = fs::read(root.join(SETTINGS_FILE)).unwrap_or_default();
    Some(canonical::digest(&(text, seed, version, ENGINE, heads, Digest::of(&settings))))
}

/// What to tell of the run that this pipeline would repeat, if there is one.
pub fn unchanged(root: &Path, pipeline: &str, text: &str, seed: Option<u64>, version: &str) -> Option<Answer> {
    let memo: Memo = canonical::from_slice(&fs::read(file(root, pipeline)).ok()?).ok()?;
    let same = memo.key == key(root, text, seed, version)? && memo.seal == canonical::digest(&memo.answer);
    same.then_some(memo.answer)
}

/// Notes that this pipeline's next run would repeat this one, and what to tell then. Nothing depends on it, so failing
/// to is no error.
pub fn note(root: &Path, pipeline: &str, text: &str, seed: Option<u64>, version: &str, answer: Answer) {
    let Some(key) = key(root, text, seed, version) else { return };
    let path = file(root, pipeline);
    let memo = canonical::to_vec(&Memo { key, seal: canonical::digest(&answer), answer });
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        // Another command of this process may be writing one too.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("{}-{number}.new", std::process::id()));
        fs::write(&temporary, memo)?;
        fs::rename(&temporary, &path)
    };
    if let Err(error) = write() {
        tracing::debug!(%error, "no memo");
    }
}
