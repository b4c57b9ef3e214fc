//! A table's rows by their keys become those of another snapshot.
//!
//! - I1: what is known of a file stays as long as the file does, unless rows of it live again: then it is read anew.
//! - I2: of two live rows with one key the younger one stays, in whatever order they are read.
//! - I3: where this is broken off, the files that were not read to their ends are read anew the next time.

use std::collections::{HashMap, HashSet};

use iceberg::spec::TableMetadata;
use tableflow_model::Result;

use super::files::KnownFile;
use super::keyed::KeyedTable;
use super::reading::{KeyReading, KeyRows};
use crate::commit::{LiveFile, manifests_of};
use crate::keys::{Hash, Location};
use crate::read::{DeleteFiles, data_files, deleted_rows};

impl KeyedTable {
    /// Takes in what the table became since.
    pub async fn catch_up(&mut self, table: &TableMetadata) -> Result<()> {
        self.keep_within_memory().await?;
        self.save_if_much_is_new().await;
        let base = (table.uuid(), table.current_snapshot_id());
        if self.stands_for != Some(base) {
            self.stands_for = None;
            self.take_in(table).await?;
            self.stands_for = Some(base);
        }
        Ok(())
    }

    async fn take_in(&mut self, table: &TableMetadata) -> Result<()> {
        self.reader = self.reader_of(table)?;
        let (mut live, mut deletes) = (Vec::new(), DeleteFiles::default());
        if let Some(snapshot) = table.current_snapshot() {
            let manifests = manifests_of(&self.reader.store, table, snapshot).await?;
            deletes = DeleteFiles::of_manifests(&self.reader.store, table, &manifests).await?;
            live = data_files(&self.reader.store, &manifests).await?;
        }
        let all: Vec<&LiveFile> = live.iter().collect();
        let mut deleted = deleted_rows(&self.reader.store, table, &deletes, &all).await?;
        let mut remembered = self.remembered(table.uuid()).await;
        // Which of two rows is the one to go is found anew: the other one may be gone by now.
        let superseded = std::mem::take(&mut self.superseded).into_keys();
        for number in superseded.chain(std::mem::take(&mut self.unfinished)) {
            self.files.forget(number);
        }
        let paths: HashSet<&str> = live.iter().map(|live| live.file.file_path()).collect();
        for number in self.files.others(&paths) {
            self.files.forget(number);
        }
        let mut unknown = Vec::new();
        for live in live {
            let path = live.file.file_path();
            let deleted = deleted.remove(path).unwrap_or_default();
            let own_deletes = deletes.of_one_file(path);
            let (known, remembered) = (self.files.number_of(path), remembered.remove(path));
            let file = KnownFile { live, deleted, own_deletes };
            match (known, remembered) {
                (Some(number), _) => unknown.extend(self.update(number, file)),
                (None, Some(before)) if before.deleted.is_subset(&file.deleted) => {
                    self.files.restore(before.number, file);
                }
                (None, _) => unknown.push(file),
            }
        }
        self.purge_if_much_is_gone().await?;
        self.read_in(unknown).await?;
        self.keep_within_memory().await
    }

    /// A file that is known already: given back where it has rows again that were deleted (I1).
    fn update(&mut self, number: u32, file: KnownFile) -> Option<KnownFile> {
        let known = self.files.get_mut(number)?;
        if known.deleted.is_subset(&file.deleted) {
            *known = file;
            return None;
        }
        self.files.forget(number);
        Some(file)
    }

    async fn read_in(&mut self, files: Vec<KnownFile>) -> Result<()> {
        let (mut numbered, count) = (Vec::new(), files.len());
        self.make_room_for(files.iter().map(KnownFile::rows).sum());
        for file in files {
            let data_file = file.live.file.clone();
            let number = self.files.add(file)?;
            self.unfinished.push(number);
            numbered.push((number, data_file));
        }
        let mut reading = KeyReading::of(&self.reader, numbered);
        let mut rows = 0;
        while let Some(keys) = reading.next().await? {
            rows += keys.keys.len();
            self.found(keys).await?;
            self.keep_within_memory().await?;
        }
        self.unfinished.clear();
        if count > 0 {
            self.kept.grew_by(rows);
            tracing::debug!(files = count, rows, keys = self.index.len(), "keys were read from their columns");
        }
        Ok(())
    }

    /// Rows of somebody's commit.
    async fn found(&mut self, KeyRows { file, first_row, keys, .. }: KeyRows) -> Result<()> {
        let places = (first_row..).map(|row| Location { file, row, partition: None });
        let rows: Vec<(Hash, Location)> =
            keys.into_iter().zip(places).filter(|row| row.0 != Hash::NONE && self.files.is_live(row.1)).collect();
        let hashes: Vec<Hash> = rows.iter().map(|(key, _)| *key).collect();
        let on_disk = self.index.find_on_disk(&hashes).await.map_err(|error| self.without_index(error))?;
        let mut read = HashMap::new();
        for (key, location) in rows {
            let mut before = Vec::new();
            let on_disk = on_disk.get(&key).into_iter().flatten().copied();
            for other in self.index.find_in_memory(key).chain(on_disk) {
                if self.is_own(key, other, &mut read).await? {
                    before.push(other);
                }
            }
            self.put(key, location, &before);
        }
        Ok(())
    }

    /// A row, beside others with its key (I2).
    fn put(&mut self, key: Hash, location: Location, before: &[Location]) {
        let age = |of: Location| self.files.get(of.file).map(|file| (file.live.sequence, of.file, of.row));
        let is_younger = |of: &&Location| self.files.is_live(**of) && age(**of) > age(location);
        if before.iter().any(|of| is_younger(&of)) {
            self.superseded.entry(location.file).or_default().insert(location.row.into());
            return;
        }
        for before in before {
            if self.files.is_live(*before) {
                self.superseded.entry(before.file).or_default().insert(before.row.into());
            }
            self.index.remove(key, *before);
        }
        self.index.insert(key, location);
    }
}
