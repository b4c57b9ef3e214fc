//! A table's rows by their keys, and what a commit of changes deletes.
//!
//! Owns [`KeyedTable`], which stands for one snapshot of one table.
//! - I1: before anything is resolved it stands for the base of the commit: what others did since is taken in first (U1).
//! - I2: it changes only with what is committed: a commit that was refused, or whose outcome is unknown, leaves it as it
//!   was, and the next look at the table takes in what came of it.
//! - I3: a key that two live rows have keeps the younger one; the other one is deleted with the next commit.
//! - I4: the index may say rows that are gone; [`NumberedFiles`] know which ones live. Each row that lives, and is not to go
//!   by I3, is in it.
//! - I5: a hash that does not stand for its key alone is compared with the row's own before anything goes by it.
//! - I6: of a table that keeps each version of its rows those in force alone have keys.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use iceberg::spec::{DataFile, SchemaRef, TableMetadata};
use roaring::RoaringTreemap;
use tableflow_model::{Error, Result};
use tableflow_store::Store;
use uuid::Uuid;

use super::deletes::deletes_of;
use super::files::{KnownFile, NumberedFiles};
use super::kept::Kept;
use super::reading::{KeyReader, columns_of};
use crate::commit::{Deletes, LiveFile, Prepared};
use crate::keys::{Hash, KeyHasher, KeyIndex, Location};
use crate::layout::{VersionIds, arrow_schema, copies_on_write};
use crate::read::{ColumnReader, FileRows, side_by_side};
use crate::write::FileNames;

/// The keys that staged work changes.
#[derive(Clone, Debug, Default)]
pub struct StagedKeys {
    /// Of each staged file, in its order.
    pub put: Vec<Vec<Hash>>,
    pub deleted: Vec<Hash>,
    /// All rows that the table has go.
    pub empties: bool,
}

impl StagedKeys {
    /// Those that are put, and those that are deleted.
    pub(super) fn all(&self) -> impl Iterator<Item = &Hash> {
        self.put.iter().flatten().chain(&self.deleted).filter(|key| **key != Hash::NONE)
    }
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
    /// The ids of the key's columns, and of the one that says which row of a key is in force where each version is kept.
    pub(super) key: Vec<i32>,
    pub(super) versions: Option<VersionIds>,
    pub(super) reader: KeyReader,
    pub(super) index: KeyIndex,
    pub(super) files: NumberedFiles,
    /// I3.
    pub(super) superseded: BTreeMap<u32, RoaringTreemap>,
    /// Numbers of files whose rows are not all in the index.
    pub(super) unfinished: Vec<u32>,
    pub(super) kept: Kept,
    /// The table and its snapshot.
    pub(super) stands_for: Option<(Uuid, Option<i64>)>,
}

impl KeyedTable {
    /// Knows nothing yet.
    pub fn new(store: Store, table: &TableMetadata, key: Vec<i32>, seed: u64) -> Result<Self> {
        let (fields, mut key) = (arrow_schema(key_schema(table, &key)?.as_ref())?, key);
        let mut hasher = KeyHasher::new(&fields.fields().iter().map(AsRef::as_ref).collect::<Vec<_>>(), seed)?;
        let versions = VersionIds::of(table.current_schema());
        if let Some(versions) = versions {
            key.push(versions.valid_to);
            hasher = hasher.of_versions();
        }
        let columns = Arc::new(ColumnReader::new(table, &key_schema(table, &key)?)?);
        let hasher = Arc::new(hasher);
        let reader = KeyReader { store, columns, hasher };
        let (index, files, kept) = Default::default();
        let (superseded, unfinished) = Default::default();
        Ok(KeyedTable { key, versions, reader, index, files, superseded, unfinished, kept, stands_for: None })
    }

    /// The live rows of a key: file and row.
    #[cfg(test)]
    pub(crate) async fn rows_of(&self, key: Hash) -> Vec<(String, u32)> {
        let (mut rows, mut read) = (Vec::new(), HashMap::new());
        for (key, location) in self.index.find(&[key]).await.unwrap() {
            if self.files.is_live(location) && self.is_own(key, location, &mut read).await.unwrap() {
                let file = &self.files.get(location.file).unwrap().live.file;
                rows.push((file.file_path().to_owned(), location.row));
            }
        }
        rows
    }

    /// One whose index keeps so few bits of each hash.
    #[cfg(test)]
    pub(crate) fn with_key_bits(self, bits: u32) -> Self {
        KeyedTable { index: KeyIndex::with_bits(bits), ..self }
    }

    /// The ids of the columns that say which key a row has.
    pub fn columns(&self) -> &[i32] {
        &self.key
    }

    pub fn hasher(&self) -> &Arc<KeyHasher> {
        &self.reader.hasher
    }

    /// Whether a row has that key, of which the index says so (I5). Files that were read for it are kept in `read`.
    pub(super) async fn is_own(
        &self,
        key: Hash,
        location: Location,
        read: &mut HashMap<u32, Vec<Hash>>,
    ) -> Result<bool> {
        if self.index.is_exact() {
            return Ok(true);
        }
        let Some(known) = self.files.get(location.file) else { return Ok(false) };
        if let std::collections::hash_map::Entry::Vacant(unread) = read.entry(location.file) {
            unread.insert(self.reader.keys_of(&known.live.file).await?);
        }
        Ok(read.get(&location.file).and_then(|keys| keys.get(location.row as usize)) == Some(&key))
    }

    /// The keys of work that somebody staged: of the rows of its files, and those that its files of keys have.
    pub async fn staged(&self, table: &TableMetadata, files: &[DataFile], deleted: &[DataFile]) -> Result<StagedKeys> {
        let reader = self.reader_of(table)?;
        let reads = files.iter().map(|file| reader.keys_of(file)).collect();
        let mut keys = StagedKeys { put: side_by_side(reads).await?, deleted: Vec::new(), empties: false };
        for file in deleted {
            for batch in FileRows::of(reader.store.get(file.file_path()).await?)? {
                keys.deleted.extend(reader.hasher.hashes(batch?.columns())?);
            }
        }
        Ok(keys)
    }

    /// The rows of these keys, those that live; of two with one key the younger one.
    pub(super) async fn live_rows(&mut self, keys: &[Hash]) -> Result<HashMap<Hash, Location>> {
        let found = self.index.find(keys).await;
        let (mut read, mut rows) = (HashMap::new(), HashMap::new());
        for (key, location) in found.map_err(|error| self.without_index(error))? {
            if !self.files.is_live(location) || !self.is_own(key, location, &mut read).await? {
                continue;
            }
            let sequence = |of: Location| self.files.get(of.file).map(|file| file.live.sequence);
            let youngest = rows.entry(key).or_insert(location);
            if sequence(*youngest) < sequence(location) {
                *youngest = location;
            }
        }
        Ok(rows)
    }

    /// The data file of this number.
    pub(super) fn file(&self, number: u32) -> Option<&DataFile> {
        self.files.get(number).map(|known| &known.live.file)
    }

    /// For the table's columns as they are in its files by now.
    pub(super) fn reader_of(&self, table: &TableMetadata) -> Result<KeyReader> {
        let columns = ColumnReader::new(table, &key_schema(table, &self.key)?)?;
        Ok(KeyReader { columns: Arc::new(columns), ..self.reader.clone() })
    }

    /// What the staged work deletes of the table (I1), as delete files that are put under the epoch's names.
    pub async fn resolve(
        &mut self,
        table: &Arc<TableMetadata>,
        keys: &StagedKeys,
        names: &mut FileNames,
    ) -> Result<Resolved> {
        if self.stands_for.is_none() {
            return Err(Error::unavailable("the key index stands for no snapshot of the table"));
        }
        if keys.empties {
            return Ok(Resolved { deletes: self.without_rows(table).await?, ..Resolved::default() });
        }
        let mut resolved = Resolved { rows: self.superseded.clone(), ..Resolved::default() };
        let wanted: Vec<Hash> = keys.all().copied().collect();
        let found = self.index.find(&wanted).await;
        let mut read = HashMap::new();
        for (key, location) in found.map_err(|error| self.without_index(error))? {
            if !self.is_own(key, location, &mut read).await? {
                continue;
            }
            if self.files.is_live(location) {
                resolved.rows.entry(location.file).or_default().insert(location.row.into());
            }
            resolved.before.push((key, location));
        }
        resolved.rows.retain(|number, _| self.files.get(*number).is_some());
        let touched = resolved.rows.iter().filter_map(|(number, rows)| Some((self.files.get(*number)?, rows)));
        resolved.deletes = deletes_of(&self.reader.store, table, touched.collect(), names).await?;
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
            for (row, key) in (0_u32..).zip(keys).filter(|(_, key)| **key != Hash::NONE) {
                self.index.insert(*key, Location { file: number, row, partition: None });
            }
            self.kept.grew_by(keys.len());
        }
        self.stands_for = Some((table.uuid(), table.current_snapshot_id()));
        Ok(())
    }
}

/// The key's columns as the table has them.
fn key_schema(table: &TableMetadata, key: &[i32]) -> Result<SchemaRef> {
    let names = key.iter().map(|id| {
        let name = table.current_schema().name_by_field_id(*id).map(str::to_owned);
        name.ok_or_else(|| {
            Error::data("a column that rows are identified by is gone")
                .with_hint("undo that where it was done, or enable the topic into another table with --table")
        })
    });
    columns_of(table, &names.collect::<Result<Vec<_>>>()?)
}
