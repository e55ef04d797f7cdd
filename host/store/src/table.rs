//! Tables: a manifest and batches. Each batch is an artifact; versions share those that are equal.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stagewright_core::{Batch, Digest, Schema, canonical, table::Cutter};

use crate::{Repository, Result, StoreError, transaction::Transaction};

/// A table's manifest. Its canonical JSON is the table's artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableManifest {
    /// The columns.
    pub schema: Schema,
    /// The number of rows.
    pub rows: u64,
    /// The batches, in order.
    pub batches: Vec<StoredBatch>,
}

/// A batch of a stored table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBatch {
    /// The encoded batch.
    pub digest: Digest,
    /// Its rows.
    pub rows: u32,
}

/// Where a table's batches go.
trait Destination {
    fn batch(&mut self, encoded: &[u8]) -> Result<Digest>;
}

/// Cuts rows into batches and keeps the manifest.
#[derive(Debug)]
struct ManifestBuilder {
    schema: Schema,
    cutter: Cutter,
    batches: Vec<StoredBatch>,
}

impl ManifestBuilder {
    fn new(schema: &Schema) -> Self {
        Self { schema: schema.clone(), cutter: Cutter::new(schema.clone()), batches: Vec::new() }
    }

    fn write(&mut self, batch: &Batch, destination: &mut dyn Destination) -> Result<()> {
        batch.check(&self.schema)?;
        for cut in self.cutter.push(batch) {
            self.batches.push(StoredBatch { digest: destination.batch(&cut.encode())?, rows: cut.rows });
        }
        Ok(())
    }

    fn finish(mut self, destination: &mut dyn Destination) -> Result<TableManifest> {
        let cutter = std::mem::replace(&mut self.cutter, Cutter::new(self.schema.clone()));
        if let Some(last) = cutter.finish() {
            self.batches.push(StoredBatch { digest: destination.batch(&last.encode())?, rows: last.rows });
        }
        let rows = self.batches.iter().map(|batch| u64::from(batch.rows)).sum();
        Ok(TableManifest { schema: self.schema, rows, batches: self.batches })
    }
}

impl Destination for Transaction<'_> {
    fn batch(&mut self, encoded: &[u8]) -> Result<Digest> {
        self.put_whole(encoded)
    }
}

/// Stores a table as its rows arrive.
#[derive(Debug)]
pub struct TableWriter<'t, 'a> {
    transaction: &'t mut Transaction<'a>,
    builder: ManifestBuilder,
}

impl<'t, 'a> TableWriter<'t, 'a> {
    pub(crate) fn new(transaction: &'t mut Transaction<'a>, schema: &Schema) -> Self {
        Self { transaction, builder: ManifestBuilder::new(schema) }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// They do not fit the schema, or cannot be written.
    pub fn write(&mut self, batch: &Batch) -> Result<()> {
        self.builder.write(batch, self.transaction)
    }

    /// Ends the table and returns its digest.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> Result<Digest> {
        let manifest = self.builder.finish(self.transaction)?;
        let references: Vec<Digest> = manifest.batches.iter().map(|batch| batch.digest).collect();
        self.transaction.put_referencing(&canonical::to_vec(&manifest), &references)
    }
}

/// Finds a table's digest without storing anything.
#[derive(Debug)]
pub struct TableDigester(ManifestBuilder);

struct Nowhere;

impl Destination for Nowhere {
    fn batch(&mut self, encoded: &[u8]) -> Result<Digest> {
        Ok(Digest::of(encoded))
    }
}

impl TableDigester {
    /// Begins a table.
    pub fn new(schema: &Schema) -> Self {
        Self(ManifestBuilder::new(schema))
    }

    /// Adds rows.
    ///
    /// # Errors
    /// They do not fit the schema.
    pub fn write(&mut self, batch: &Batch) -> Result<()> {
        self.0.write(batch, &mut Nowhere)
    }

    /// The digest that the table has in every repository.
    ///
    /// # Errors
    /// None at present.
    pub fn finish(self) -> Result<Digest> {
        Ok(canonical::digest(&self.0.finish(&mut Nowhere)?))
    }
}

/// Reads a stored table. Cloning it is cheap, and clones may be read from several threads.
#[derive(Clone, Debug)]
pub struct TableReader {
    repository: Repository,
    digest: Digest,
    manifest: Arc<TableManifest>,
}

impl TableReader {
    pub(crate) fn open(repository: &Repository, digest: &Digest) -> Result<Self> {
        // A manifest is small beside its table; a blob of any size is none.
        if repository.len(digest)? > 1 << 30 {
            return Err(StoreError::NotATable(*digest));
        }
        let manifest = repository.bytes(digest)?;
        let manifest = canonical::from_slice(&manifest).map_err(|_| StoreError::NotATable(*digest))?;
        Ok(Self { repository: repository.clone(), digest: *digest, manifest: Arc::new(manifest) })
    }

    /// The table's digest.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The manifest.
    pub fn manifest(&self) -> &TableManifest {
        &self.manifest
    }

    /// The columns.
    pub fn schema(&self) -> &Schema {
        &self.manifest.schema
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.manifest.rows
    }

    /// The number of batches.
    pub fn batches(&self) -> usize {
        self.manifest.batches.len()
    }

    /// A batch, verified and checked.
    ///
    /// # Errors
    /// There are not so many, or it is damaged.
    pub fn batch(&self, position: usize) -> Result<Batch> {
        let (stored, bytes) = self.stored(position)?;
        let batch = Batch::decode(&bytes)?;
        batch.check(&self.manifest.schema)?;
        match batch.rows == stored.rows {
            true => Ok(batch),
            false => Err(self.damaged(stored.digest, "its number of rows is not what its table says".to_owned())),
        }
    }

    /// A batch as it is stored, [encoded](Batch::encode). Its bytes are verified; whether they make a batch of this
    /// table's columns is left to whoever decodes them.
    ///
    /// # Errors
    /// There are not so many, or it is damaged.
    pub fn encoded(&self, position: usize) -> Result<Vec<u8>> {
        self.stored(position).map(|(_, bytes)| bytes)
    }

    fn stored(&self, position: usize) -> Result<(&StoredBatch, Vec<u8>)> {
        let stored = self.manifest.batches.get(position);
        let stored = stored.ok_or_else(|| self.damaged(self.digest, format!("it has no batch {position}")))?;
        Ok((stored, self.repository.bytes(&stored.digest)?))
    }

    fn damaged(&self, digest: Digest, what: String) -> StoreError {
        StoreError::DamagedArtifact { repository: self.repository.name().to_owned(), digest, what }
    }
}
