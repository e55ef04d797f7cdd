//! What a stage asked of the host, call by call: the way to find out what it did, and where another version of it does
//! something else.
//!
//! A recording in a file stands for itself: component, parameters, seed, limits and inputs are in it, and so is whatever
//! the real world answered. Replaying it needs no project and asks the world nothing.
//!
//! The file, all numbers little-endian: `SWR1`; the length of the head (u64) and the head, JSON; then, in the order of the
//! head's `parts`, the length of each part (u64) and its bytes. A part is known by the BLAKE3 digest of its bytes.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stagewright_core::{Batch, Digest, Schema, canonical, stage::StageSpec};

use crate::{
    BoxError, Component, Input, Limits, Table,
    grants::{Exchange, GrantedCall},
    spec::{Incomplete, Shelf},
};

/// The most calls of one stage that are recorded; further ones are not.
pub const CALLS: u64 = 200_000;
/// What a recording's file begins with.
const MARK: &[u8; 4] = b"SWR1";

/// A call of a guest to the host. Tables stand in it by the digests of their batches. Calls of virtual WASI are left
/// out: their answers are the same each time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostCall {
    /// The interface or resource and its function, `reader.next`; `returned` for what the stage itself returns.
    pub function: String,
    /// Its arguments.
    pub asked: Value,
    /// What came of it.
    pub answered: Value,
}

/// A batch as it stands in a call.
pub(crate) fn batch(batch: &Batch) -> Value {
    json!({ "rows": batch.rows, "digest": Digest::of(&batch.encode()) })
}

/// How a recorded stage ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ended")]
pub enum Ended {
    /// It did its work.
    Succeeded,
    /// It could not.
    Failed {
        /// Why.
        message: String,
    },
}

/// A recorded step of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// Everything that decided what it did.
    pub spec: StageSpec,
    /// What it might use.
    pub limits: Limits,
    /// What it asked of the host, in order.
    pub calls: Vec<HostCall>,
    /// What it was answered by the real world, in order.
    pub granted: Vec<GrantedCall>,
    /// How it ended.
    #[serde(flatten)]
    pub ended: Ended,
}

/// A table in a recording's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedTable {
    /// Its columns.
    pub schema: Schema,
    /// Its rows.
    pub rows: u64,
    /// Its batches, each a part.
    pub batches: Vec<Digest>,
}

/// A recording with all that it names.
#[derive(Clone, Debug)]
pub struct RecordingFile {
    /// The recording.
    pub recording: Recording,
    /// Its tables.
    pub tables: BTreeMap<Digest, RecordedTable>,
    /// Components, states, weights, models, batches, and bodies of granted calls.
    pub parts: BTreeMap<Digest, Arc<[u8]>>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(flatten)]
    recording: Recording,
    tables: BTreeMap<Digest, RecordedTable>,
    parts: Vec<Digest>,
}

/// The file is no recording, or not a whole one.
#[derive(Debug, thiserror::Error)]
#[error("this is no recording of a stage: {0}")]
pub struct NotARecording(String);

impl RecordingFile {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let head = Head {
            recording: self.recording.clone(),
            tables: self.tables.clone(),
            parts: self.parts.keys().copied().collect(),
        };
        let mut bytes = MARK.to_vec();
        let head = canonical::to_vec(&head);
        for part in [head.as_slice()].into_iter().chain(self.parts.values().map(AsRef::as_ref)) {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It is none, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotARecording> {
        let wrong = |what: &str| NotARecording(what.to_owned());
        let mut rest = bytes.strip_prefix(MARK).ok_or_else(|| wrong("it does not begin with SWR1"))?;
        let mut next = || -> Option<&[u8]> {
            let (length, behind) = rest.split_at_checked(8)?;
            let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
            let (part, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some(part)
        };
        let head = next().ok_or_else(|| wrong("it is cut short"))?;
        let head: Head = serde_json::from_slice(head).map_err(|error| wrong(&format!("its head: {error}")))?;
        let mut parts = BTreeMap::new();
        for digest in head.parts {
            let part = next().ok_or_else(|| wrong("it is cut short"))?;
            if Digest::of(part) != digest {
                return Err(wrong(&format!("part {} is damaged", digest.short())));
            }
            parts.insert(digest, part.into());
        }
        if !rest.is_empty() {
            return Err(wrong("something follows its end"));
        }
        Ok(Self { recording: head.recording, tables: head.tables, parts })
    }

    /// What the real world answered, to be told again.
    ///
    /// # Errors
    /// A body is missing.
    pub fn exchanges(&self) -> Result<Vec<Exchange>, Incomplete> {
        let calls = self.recording.granted.iter().cloned();
        calls.map(|call| call.exchange(|digest| Ok(self.bytes(digest)?.to_vec()))).collect()
    }
}

impl Shelf for RecordingFile {
    type Error = Incomplete;

    fn component(&self, digest: &Digest) -> Result<Component, Incomplete> {
        Ok(Component::new(self.bytes(digest)?))
    }

    fn table(&self, digest: &Digest) -> Result<Input, Incomplete> {
        let missing = || Incomplete(format!("it holds no table {}", digest.short()));
        let table = self.tables.get(digest).cloned().ok_or_else(missing)?;
        let batches = table.batches.iter().map(|batch| self.bytes(batch)).collect::<Result<_, _>>()?;
        Ok(Arc::new(Shelved { table, batches }))
    }

    fn bytes(&self, digest: &Digest) -> Result<Arc<[u8]>, Incomplete> {
        self.parts.get(digest).cloned().ok_or_else(|| Incomplete(format!("it holds no part {}", digest.short())))
    }
}

/// A table of a recording. Its file may come from anywhere, so that each batch is checked when it is read.
struct Shelved {
    table: RecordedTable,
    batches: Vec<Arc<[u8]>>,
}

impl Table for Shelved {
    fn schema(&self) -> &Schema {
        &self.table.schema
    }

    fn rows(&self) -> u64 {
        self.table.rows
    }

    fn batches(&self) -> usize {
        self.batches.len()
    }

    fn batch(&self, index: usize) -> Result<Batch, BoxError> {
        let bytes = self.batches.get(index).ok_or_else(|| format!("the table has no batch {index}"))?;
        let batch = Batch::decode(bytes)?;
        batch.check(&self.table.schema)?;
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use stagewright_core::{
        Grants,
        stage::{Operation, Profile},
    };

    use super::*;

    fn file() -> RecordingFile {
        let spec = StageSpec {
            contract: stagewright_core::stage::CONTRACT.to_owned(),
            engine: crate::ENGINE.to_owned(),
            profile: Profile::Fast,
            operation: Operation::Validate,
            component: Digest::of(b"component"),
            parameters: BTreeMap::new(),
            inputs: BTreeMap::new(),
            outputs: Vec::new(),
            seed: u64::MAX,
            grants: Grants::default(),
        };
        let call =
            HostCall { function: "context.metric".to_owned(), asked: json!({ "value": 0.1 }), answered: Value::Null };
        let ended = Ended::Failed { message: "no".to_owned() };
        let recording = Recording { spec, limits: Limits::default(), calls: vec![call], granted: Vec::new(), ended };
        let parts = [&b"component"[..], b"", b"state"].map(|bytes| (Digest::of(bytes), bytes.into()));
        RecordingFile { recording, tables: BTreeMap::new(), parts: parts.into() }
    }

    #[test]
    fn a_file_reads_back_as_it_was() {
        let bytes = file().encode();
        let read = RecordingFile::decode(&bytes).unwrap();
        assert_eq!((read.recording, read.parts), (file().recording, file().parts));
    }

    #[test]
    fn a_file_that_was_changed_anywhere_is_refused() {
        let bytes = file().encode();
        for length in 0..bytes.len() {
            assert!(RecordingFile::decode(&bytes[..length]).is_err(), "cut at {length}");
        }
        let behind = [bytes.as_slice(), b"x"].concat();
        assert_eq!(
            RecordingFile::decode(&behind).unwrap_err().to_string(),
            "this is no recording of a stage: something follows its end"
        );
        let mut damaged = bytes.clone();
        let part = bytes.windows(5).rposition(|bytes| bytes == b"state").unwrap();
        damaged[part] ^= 1;
        assert!(RecordingFile::decode(&damaged).unwrap_err().to_string().ends_with("is damaged"));
        assert!(RecordingFile::decode(b"\0asm").is_err());
    }
}
