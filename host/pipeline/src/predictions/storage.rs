//! A log in the data repository: open parts, and segments that are versions of a table.
//!
//! Every flush adds a part, batches with a small record. Sixteen neighbouring parts of about a size become one, and what
//! has reached [`SEGMENT_ROWS`] becomes a segment: a version of the log's table, with a record that has the hashes of its
//! request ids. So there are few versions, few parts, and each row is written at most four times. Batches are artifacts,
//! not records, because bytes of records stay in the journal, and what people were asked must be erasable.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use serde::{Deserialize, Serialize};
use serde_json::json;
use stagewright_core::{Batch, Digest, Name, Schema, canonical};
use stagewright_store::{ArtifactKind, Repository, Transaction, Version};

use super::layout::{ID, Layout};
use crate::{
    error::{Error, Result},
    project::Project,
};

/// Open rows of one layout become a segment when there are so many.
pub(crate) const SEGMENT_ROWS: u64 = 100_000;
/// So many neighbours become one part.
const MERGED: usize = 16;
/// Parts from this level on are merged by listing their batches; smaller batches are worth writing once more.
const LISTED: u32 = 2;

/// What is known of a stretch of a log without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Rows.
    pub rows: u64,
    /// When the first was answered.
    pub first_ms: u64,
    /// When the last was answered.
    pub last_ms: u64,
    /// Answers that should have been kept beside these and were not, because the disk could not follow.
    pub dropped: u64,
}

impl Stretch {
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            first_ms: if self.rows == 0 { other.first_ms } else { self.first_ms.min(other.first_ms) },
            last_ms: self.last_ms.max(other.last_ms),
            dropped: self.dropped + other.dropped,
        }
    }
}

/// A part: rows that are durable and not yet in a segment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    batches: Vec<Digest>,
    layout: Digest,
    #[serde(flatten)]
    pub(crate) stretch: Stretch,
}

impl Part {
    /// Parts of one level have about a size.
    fn level(&self) -> u32 {
        self.stretch.rows.max(1).ilog2() / 4
    }
}

/// A segment's record.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SegmentRecord {
    layout: Layout,
    #[serde(flatten)]
    stretch: Stretch,
}

/// A segment: a version of the log's table.
#[derive(Clone, Debug, Serialize)]
pub struct Segment {
    /// The version.
    pub version: Version,
    /// What it holds.
    #[serde(flatten)]
    pub stretch: Stretch,
    #[serde(skip)]
    pub(crate) layout: Layout,
    #[serde(skip)]
    pub(crate) ids: Ids,
}

/// The hashes of a stretch's request ids, sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids(Vec<u64>);

impl Ids {
    pub(crate) fn hash(id: &str) -> u64 {
        Digest::of(id.as_bytes()).as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    pub(crate) fn contains(&self, hash: u64) -> bool {
        self.0.binary_search(&hash).is_ok()
    }
}

/// A log of the data repository, to read or append to.
pub(crate) struct Log<'a> {
    project: &'a Project,
    data: &'a Repository,
    pub(crate) name: Name,
}

impl<'a> Log<'a> {
    pub(crate) fn open(project: &'a Project, name: &Name) -> Result<Self> {
        Ok(Self { project, data: project.store.data()?, name: name.clone() })
    }

    fn collection(&self, what: &str) -> String {
        format!("{what} {}", self.name)
    }

    /// Adds rows of one layout. Durable when this returns. Returns whether that made a segment.
    pub(crate) fn append(
        &self,
        layout: &Layout,
        batches: &[Batch],
        times_ms: (u64, u64),
        dropped: u64,
    ) -> Result<bool> {
        let _appending = self.project.appending();
        let parts = self.parts()?;
        let next = parts.last().map_or(0, |(sequence, _)| sequence + 1);
        let mut transaction = self.data.begin(&self.project.actor())?;
        let layout_digest = transaction.put_bytes(&canonical::to_vec(layout))?;
        let stored: Result<Vec<Digest>> =
            batches.iter().map(|batch| Ok(transaction.put_bytes(&batch.encode())?)).collect();
        let rows = batches.iter().map(|batch| u64::from(batch.rows)).sum();
        let stretch = Stretch { rows, first_ms: times_ms.0, last_ms: times_ms.1, dropped };
        self.put(&mut transaction, next, &Part { batches: stored?, layout: layout_digest, stretch })?;
        transaction.commit()?;
        self.merge()?;
        let open: u64 = self.open_of(&layout_digest)?.iter().map(|(_, part)| part.stretch.rows).sum();
        Ok(open >= SEGMENT_ROWS && self.seal_layout(&layout_digest)?.is_some())
    }

    fn put(&self, transaction: &mut Transaction<'_>, sequence: u64, part: &Part) -> Result<()> {
        let record = canonical::to_vec(part);
        Ok(transaction.put_record(&self.collection(PARTS), &sequence.to_be_bytes(), &record)?)
    }

    /// The open parts, in order.
    pub(crate) fn parts(&self) -> Result<Vec<(u64, Part)>> {
        let records = self.data.records(&self.collection(PARTS), usize::MAX, false)?;
        let parse = |(key, record): (Vec<u8>, Vec<u8>)| {
            let sequence = key.as_slice().try_into().ok().map(u64::from_be_bytes);
            let part = canonical::from_slice(&record).ok();
            sequence.zip(part).ok_or_else(|| Error::Invalid(format!("a part of log {} cannot be read", self.name)))
        };
        records.into_iter().map(parse).collect()
    }

    /// What the open parts hold.
    pub(crate) fn open_stretch(&self) -> Result<Stretch> {
        Ok(self.parts()?.iter().fold(Stretch::default(), |sum, (_, part)| sum.with(part.stretch)))
    }

    fn open_of(&self, layout: &Digest) -> Result<Vec<(u64, Part)>> {
        Ok(self.parts()?.into_iter().filter(|(_, part)| part.layout == *layout).collect())
    }

    pub(crate) fn layout(&self, part: &Part) -> Result<Layout> {
        canonical::from_slice(&self.data.bytes(&part.layout)?)
            .map_err(|_| Error::Invalid(format!("the columns of log {} cannot be read", self.name)))
    }

    /// The batches of a part, in order.
    pub(crate) fn batches<'p>(
        &'p self,
        part: &'p Part,
        schema: &'p Schema,
    ) -> impl Iterator<Item = Result<Batch>> + use<'a, 'p> {
        let unreadable =
            |error: stagewright_core::TableError| Error::Invalid(format!("a part of log {}: {error}", self.name));
        part.batches.iter().map(move |digest| {
            let batch = Batch::decode(&self.data.bytes(digest)?).map_err(unreadable)?;
            batch.check(schema).map_err(unreadable)?;
            Ok(batch)
        })
    }

    /// Makes one part of many small ones, as often as that can be done.
    fn merge(&self) -> Result<()> {
        loop {
            let parts = self.parts()?;
            let alike = |a: &Part, b: &Part| a.layout == b.layout && a.level() == b.level();
            let group = parts.chunk_by(|(_, a), (_, b)| alike(a, b)).find(|group| group.len() >= MERGED);
            // What has reached the largest level is near enough to a segment.
            let Some(group) = group.filter(|group| group[0].1.level() < 4).map(|group| &group[..MERGED]) else {
                return Ok(());
            };
            let mut transaction = self.data.begin(&self.project.actor())?;
            let batches = if group[0].1.level() >= LISTED {
                group.iter().flat_map(|(_, part)| part.batches.iter().copied()).collect()
            } else {
                let schema = self.layout(&group[0].1)?.schema;
                let batches = group.iter().flat_map(|(_, part)| self.batches(part, &schema));
                let joined = Batch::concat(&schema, &batches.collect::<Result<Vec<Batch>>>()?);
                if joined.check(&schema).is_err() {
                    // Together they are too large for a batch.
                    return self.seal_layout(&group[0].1.layout).map(drop);
                }
                vec![transaction.put_bytes(&joined.canonical(&schema).encode())?]
            };
            let stretch = group.iter().fold(Stretch::default(), |sum, (_, part)| sum.with(part.stretch));
            for (sequence, _) in &group[1..] {
                transaction.delete_record(&self.collection(PARTS), &sequence.to_be_bytes());
            }
            self.put(&mut transaction, group[0].0, &Part { batches, layout: group[0].1.layout, stretch })?;
            transaction.commit()?;
        }
    }

    /// Makes segments of all open parts. Returns the versions.
    pub(crate) fn seal(&self) -> Result<Vec<Version>> {
        let _appending = self.project.appending();
        let layouts: BTreeSet<Digest> = self.parts()?.iter().map(|(_, part)| part.layout).collect();
        let sealed: Result<Vec<Option<Version>>> = layouts.iter().map(|layout| self.seal_layout(layout)).collect();
        Ok(sealed?.into_iter().flatten().collect())
    }

    fn seal_layout(&self, layout_digest: &Digest) -> Result<Option<Version>> {
        let parts = self.open_of(layout_digest)?;
        let Some((_, first)) = parts.first() else { return Ok(None) };
        let layout = self.layout(first)?;
        let mut transaction = self.data.begin(&self.project.actor())?;
        let mut writer = transaction.put_table(&layout.schema);
        let mut ids = BTreeSet::new();
        for batch in parts.iter().flat_map(|(_, part)| self.batches(part, &layout.schema)) {
            let batch = batch?;
            let column = &batch.columns[ID];
            let mut last = None;
            for id in (0..batch.rows as usize).filter_map(|row| column.text(row)) {
                if last != Some(id) {
                    ids.insert(Ids::hash(id));
                }
                last = Some(id);
            }
            writer.write(&batch)?;
        }
        let digest = writer.finish()?;
        let stretch = parts.iter().fold(Stretch::default(), |sum, (_, part)| sum.with(part.stretch));
        let record = canonical::to_vec(&SegmentRecord { layout, stretch });
        let ids = ids.iter().flat_map(|id| id.to_le_bytes());
        let value: Vec<u8> = (record.len() as u32).to_le_bytes().into_iter().chain(record).chain(ids).collect();
        transaction.put_record(&self.collection(SEGMENTS), digest.as_bytes(), &value)?;
        for (sequence, _) in &parts {
            transaction.delete_record(&self.collection(PARTS), &sequence.to_be_bytes());
        }
        let message = format!("{} rows of the log", stretch.rows);
        transaction.set_version(&self.name, digest, ArtifactKind::Table, None, &message);
        Ok(transaction.commit()?.pop())
    }

    /// The segments, oldest first.
    pub(crate) fn segments(&self) -> Result<Vec<Segment>> {
        let mut segments = Vec::new();
        for version in self.data.log(&self.name)?.into_iter().rev() {
            // A version that somebody else gave this name is no segment.
            let Some(value) = self.data.record(&self.collection(SEGMENTS), version.digest.as_bytes())? else {
                continue;
            };
            let unreadable =
                || Error::Invalid(format!("the record of {}@{} cannot be read", self.name, version.number));
            let (len, rest) = value.split_first_chunk().ok_or_else(unreadable)?;
            let (record, ids) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(unreadable)?;
            let SegmentRecord { layout, stretch } = canonical::from_slice(record).map_err(|_| unreadable())?;
            let ids = Ids(ids.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect());
            segments.push(Segment { version, stretch, layout, ids });
        }
        Ok(segments)
    }

    /// Gives every batch of the log with its layout, oldest first; of segments only those that are wanted.
    pub(crate) fn each(
        &self,
        wanted: &dyn Fn(&Segment) -> bool,
        visit: &mut dyn FnMut(&Layout, Batch) -> Result<()>,
    ) -> Result<()> {
        for segment in self.segments()?.iter().filter(|segment| wanted(segment)) {
            let table = self.data.table(&segment.version.digest)?;
            for position in 0..table.batches() {
                visit(&segment.layout, table.batch(position)?)?;
            }
        }
        let mut layouts: BTreeMap<Digest, Layout> = BTreeMap::new();
        for (_, part) in self.parts()? {
            let layout = match layouts.entry(part.layout) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(self.layout(&part)?),
            };
            for batch in self.batches(&part, &layout.schema) {
                visit(layout, batch?)?;
            }
        }
        Ok(())
    }

    /// Erases a segment: its version goes, with its record; `gc` removes the bytes.
    pub(crate) fn delete(&self, number: u64, reason: &str) -> Result<Version> {
        let _appending = self.project.appending();
        let segments = self.segments()?;
        let segment = segments.into_iter().find(|segment| segment.version.number == number);
        let version =
            segment.ok_or_else(|| Error::Invalid(format!("log {} has no segment {number}", self.name)))?.version;
        let mut transaction = self.data.begin(&self.project.actor())?;
        transaction.delete_version(&version, reason);
        transaction.delete_record(&self.collection(SEGMENTS), version.digest.as_bytes());
        transaction
            .audit(json!({ "action": "erase-predictions", "log": self.name, "number": number, "reason": reason }));
        transaction.commit()?;
        Ok(version)
    }

    /// What gc must keep of this log.
    pub(crate) fn roots(&self) -> Result<BTreeSet<Digest>> {
        let parts = self.parts()?;
        let open = parts.iter().flat_map(|(_, part)| part.batches.iter().copied().chain([part.layout]));
        Ok(open.chain(self.segments()?.iter().map(|segment| segment.version.digest)).collect())
    }
}

const PARTS: &str = "log-part";
const SEGMENTS: &str = "log-segment";
