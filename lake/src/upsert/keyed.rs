//! A table's rows by their keys, and what a commit of changes deletes.
//!
//! Owns [`KeyedTable`], which stands for one snapshot of one table.
//! - I1: before anything is resolved it stands for the base of the commit: what others did since is taken in first (U1).
//! - I2: it changes only with what is committed: a commit that was refused, or whose outcome is unknown, leaves it as it
//!   was, and the next look at the table takes in what came of it.
//! - I3: a key that two live rows have keeps the younger one; the other one is deleted with the next commit.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use iceberg::spec::{DataFile, Schema, SchemaRef, TableMetadata};
use roaring::RoaringTreemap;
use tableflow_model::{Error, Result};
use tableflow_store::Store;
use uuid::Uuid;

use super::deletes::deletes_of;
use super::files::{KnownFile, NumberedFiles};
use crate::commit::{Deletes, LiveFile, Prepared, manifests_of};
use crate::iceberg_error;
use crate::keys::{Hash, KeyHasher, KeyIndex, Location, ROWS_MAX};
use crate::layout::copies_on_write;
use crate::read::{ColumnReader, DeleteFiles, FileRows, data_files, deleted_rows, side_by_side};
use crate::write::FileNames;

/// Data files whose keys are read at the same time.
const KEYS_AT_ONCE: usize = 16;

/// The keys that staged work changes.
#[derive(Clone, Debug, Default)]
pub struct StagedKeys {
    /// Of each staged file, in its order.
    pub put: Vec<Vec<Hash>>,
    pub deleted: Vec<Hash>,
}

/// What of a table a commit deletes, found on its base.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    pub deletes: Deletes,
    /// By the number of the data file.
    rows: BTreeMap<u32, RoaringTreemap>,
    /// Where the keys were, with where they are put.
    before: Vec<(Hash, Location)>,
}

/// The rows of one table by their keys.
#[derive(Debug)]
pub struct KeyedTable {
    store: Store,
    /// The ids of the key's columns.
    key: Vec<i32>,
    hasher: Arc<KeyHasher>,
    index: KeyIndex,
    files: NumberedFiles,
    /// I3.
    superseded: BTreeMap<u32, RoaringTreemap>,
    /// The table and its snapshot.
    stands_for: Option<(Uuid, Option<i64>)>,
}

impl KeyedTable {
    /// Knows nothing yet.
    pub fn new(store: Store, table: &TableMetadata, key: Vec<i32>, seed: u64) -> Result<Self> {
        let columns = ColumnReader::new(table, &key_schema(table, &key)?)?;
        let fields: Vec<_> = columns.schema().fields().iter().map(AsRef::as_ref).collect();
        let hasher = Arc::new(KeyHasher::new(&fields, seed)?);
        let (index, files) = (KeyIndex::default(), NumberedFiles::default());
        Ok(KeyedTable { store, key, hasher, index, files, superseded: BTreeMap::new(), stands_for: None })
    }

    /// The ids of the key's columns.
    pub fn columns(&self) -> &[i32] {
        &self.key
    }

    pub fn hasher(&self) -> &Arc<KeyHasher> {
        &self.hasher
    }

    /// Bytes that the index takes.
    pub fn memory(&self) -> usize {
        self.index.memory()
    }

    /// Takes in what the table became since (I1).
    pub async fn catch_up(&mut self, table: &TableMetadata) -> Result<()> {
        let base = (table.uuid(), table.current_snapshot_id());
        if self.stands_for.replace(base) == Some(base) {
            return Ok(());
        }
        let taken = self.take_in(table).await;
        if taken.is_err() {
            self.stands_for = None;
        }
        taken
    }

    async fn take_in(&mut self, table: &TableMetadata) -> Result<()> {
        let (mut live, mut deletes) = (Vec::new(), DeleteFiles::default());
        if let Some(snapshot) = table.current_snapshot() {
            let manifests = manifests_of(&self.store, table, snapshot).await?;
            deletes = DeleteFiles::of_manifests(&self.store, table, &manifests).await?;
            live = data_files(&self.store, &manifests).await?;
        }
        // Which of two rows is the one to go is found anew: the other one may be gone by now.
        for number in std::mem::take(&mut self.superseded).into_keys() {
            self.files.forget(number);
        }
        let paths: HashSet<&str> = live.iter().map(|live| live.file.file_path()).collect();
        for number in self.files.others(&paths) {
            self.files.forget(number);
        }
        let all: Vec<&LiveFile> = live.iter().collect();
        let mut deleted = deleted_rows(&self.store, table, &deletes, &all).await?;
        let mut unknown = Vec::new();
        for live in live {
            let deleted = deleted.remove(live.file.file_path()).unwrap_or_default();
            let own_deletes = deletes.of_one_file(live.file.file_path());
            let file = KnownFile { live, deleted, own_deletes };
            match self.files.number_of(file.live.file.file_path()) {
                Some(number) => unknown.extend(self.update(number, file)),
                None => unknown.push(file),
            }
        }
        // The younger of two rows with one key comes later (I3).
        unknown.sort_by_key(|file| file.live.sequence);
        self.read_in(table, unknown).await
    }

    /// A file that is known already: given back where it has rows again that were deleted, and must be read anew.
    fn update(&mut self, number: u32, file: KnownFile) -> Option<KnownFile> {
        let known = self.files.get_mut(number)?;
        if known.deleted.is_subset(&file.deleted) {
            *known = file;
            return None;
        }
        self.files.forget(number);
        Some(file)
    }

    async fn read_in(&mut self, table: &TableMetadata, files: Vec<KnownFile>) -> Result<()> {
        let columns = ColumnReader::new(table, &key_schema(table, &self.key)?)?;
        let mut files = files.into_iter().peekable();
        while files.peek().is_some() {
            let some: Vec<KnownFile> = files.by_ref().take(KEYS_AT_ONCE).collect();
            let reads = some.iter().map(|file| keys_of(&self.store, &columns, &self.hasher, &file.live.file)).collect();
            let keys: Vec<Vec<Hash>> = side_by_side(reads).await?;
            for (file, keys) in some.into_iter().zip(keys) {
                let deleted = file.deleted.clone();
                let number = self.files.add(file)?;
                for (row, key) in (0_u32..).zip(keys) {
                    if !deleted.contains(row.into()) {
                        self.found(key, Location { file: number, row, partition: None });
                    }
                }
            }
        }
        Ok(())
    }

    /// A row of somebody's commit.
    fn found(&mut self, key: Hash, location: Location) {
        let before: Vec<Location> = self.index.find(key).collect();
        let sequence = |of: Location| self.files.get(of.file).map(|file| file.live.sequence);
        let is_younger = |of: &Location| self.files.is_live(*of) && sequence(*of) > sequence(location);
        if before.iter().any(is_younger) {
            self.superseded.entry(location.file).or_default().insert(location.row.into());
            return;
        }
        for before in before {
            if self.files.is_live(before) {
                self.superseded.entry(before.file).or_default().insert(before.row.into());
            }
            self.index.remove(key, before);
        }
        self.index.insert(key, location);
    }

    /// The keys of work that somebody staged: of the rows of its files, and those that its files of keys have.
    pub async fn staged(&self, table: &TableMetadata, files: &[DataFile], deleted: &[DataFile]) -> Result<StagedKeys> {
        let columns = ColumnReader::new(table, &key_schema(table, &self.key)?)?;
        let reads = files.iter().map(|file| keys_of(&self.store, &columns, &self.hasher, file)).collect();
        let mut keys = StagedKeys { put: side_by_side(reads).await?, deleted: Vec::new() };
        for file in deleted {
            for batch in FileRows::of(self.store.get(file.file_path()).await?)? {
                keys.deleted.extend(self.hasher.hashes(batch?.columns())?);
            }
        }
        Ok(keys)
    }

    /// The row of a key: its data file, and its place there.
    pub(super) fn row_of(&self, key: Hash) -> Option<(&DataFile, u32)> {
        let live = self.index.find(key).filter(|location| self.files.is_live(*location));
        let found = live.filter_map(|location| Some((&self.files.get(location.file)?.live, location.row)));
        found.max_by_key(|(live, _)| live.sequence).map(|(live, row)| (&live.file, row))
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// What the staged work deletes of the table (I1), as delete files that are put under the epoch's names.
    pub async fn resolve(
        &self,
        table: &Arc<TableMetadata>,
        keys: &StagedKeys,
        names: &mut FileNames,
    ) -> Result<Resolved> {
        let mut resolved = Resolved { rows: self.superseded.clone(), ..Resolved::default() };
        for key in keys.put.iter().flatten().chain(&keys.deleted) {
            for location in self.index.find(*key) {
                if self.files.is_live(location) {
                    resolved.rows.entry(location.file).or_default().insert(location.row.into());
                }
                resolved.before.push((*key, location));
            }
        }
        resolved.rows.retain(|number, _| self.files.get(*number).is_some());
        let touched = resolved.rows.iter().filter_map(|(number, rows)| Some((self.files.get(*number)?, rows)));
        resolved.deletes = deletes_of(&self.store, table, touched.collect(), names).await?;
        Ok(resolved)
    }

    /// The commit is in (I2): the table as it left it stands in for the one before.
    pub fn committed(
        &mut self,
        table: &TableMetadata,
        prepared: &Prepared,
        (files, spec_id): (&[DataFile], i32),
        keys: &StagedKeys,
        resolved: Resolved,
    ) -> Result<()> {
        let is_moved = resolved.deletes.moves_rows() || copies_on_write(table);
        if table.current_snapshot_id() != Some(prepared.snapshot_id) || is_moved {
            // Somebody committed behind it, or rows have other places: the next look takes it in. What is to be copied
            // is known with the ids of its rows, which the table alone says.
            return Ok(());
        }
        self.stands_for = None;
        self.superseded.clear();
        for (key, location) in &resolved.before {
            self.index.remove(*key, *location);
        }
        let sequence = prepared.sequence_number;
        let replaced: HashSet<&str> = resolved.deletes.replaced.iter().map(|live| live.file.file_path()).collect();
        for (number, rows) in resolved.rows {
            let Some(known) = self.files.get_mut(number) else { continue };
            known.deleted |= rows;
            known.own_deletes.retain(|live| !replaced.contains(live.file.file_path()));
        }
        for (spec_id, added) in &resolved.deletes.added {
            for file in added {
                let number = file.referenced_data_file().and_then(|path| self.files.number_of(&path));
                if let Some(known) = number.and_then(|number| self.files.get_mut(number)) {
                    known.own_deletes.push(LiveFile { file: file.clone(), spec_id: *spec_id, sequence });
                }
            }
        }
        for (file, keys) in files.iter().zip(&keys.put) {
            let live = LiveFile { file: file.clone(), spec_id, sequence };
            let known = KnownFile { live, deleted: RoaringTreemap::new(), own_deletes: Vec::new() };
            let number = self.files.add(known)?;
            for (row, key) in (0_u32..).zip(keys) {
                self.index.insert(*key, Location { file: number, row, partition: None });
            }
        }
        self.stands_for = Some((table.uuid(), table.current_snapshot_id()));
        Ok(())
    }
}

/// The keys of a data file's rows, deleted ones too.
async fn keys_of(store: &Store, columns: &ColumnReader, hasher: &KeyHasher, file: &DataFile) -> Result<Vec<Hash>> {
    if file.record_count() > u64::from(ROWS_MAX) {
        return Err(Error::usage("a data file has more rows than the key index can tell apart")
            .with_detail(file.file_path())
            .with_hint("compact the table into smaller files"));
    }
    let mut keys = Vec::with_capacity(usize::try_from(file.record_count()).unwrap_or(0));
    let mut batches = columns.open(store, file).await?;
    while let Some(batch) = batches.next().await? {
        keys.extend(hasher.hashes(batch.columns())?);
    }
    Ok(keys)
}

/// The key's columns as the table has them.
fn key_schema(table: &TableMetadata, key: &[i32]) -> Result<SchemaRef> {
    let fields = key.iter().map(|id| {
        let field = table.current_schema().as_struct().field_by_id(*id);
        field.cloned().ok_or_else(|| {
            Error::data("a column that rows are identified by is gone")
                .with_hint("undo that where it was done, or enable the topic into another table with --table")
        })
    });
    let fields = fields.collect::<Result<Vec<_>>>()?;
    let schema = Schema::builder().with_fields(fields).build();
    schema.map(SchemaRef::new).map_err(iceberg_error("the columns of the key make no schema"))
}
