//! The data files of a table, by the numbers that the key index gives them.
//!
//! Owns [`NumberedFiles`].
//! - I1: where a number's file is gone, what the index says of it counts for nothing; it is given out again only
//!   once the index says nothing of it.

use std::collections::{HashMap, HashSet};

use roaring::RoaringTreemap;
use tableflow_model::{Error, Result};

use crate::commit::LiveFile;
use crate::keys::{FILES_MAX, Location};

/// A data file, and what is deleted of it.
#[derive(Clone, Debug)]
pub struct KnownFile {
    pub live: LiveFile,
    pub deleted: RoaringTreemap,
    /// The delete files that are about this file alone.
    pub own_deletes: Vec<LiveFile>,
}

impl KnownFile {
    /// Those that live.
    pub fn rows(&self) -> u64 {
        self.live.file.record_count().saturating_sub(self.deleted.len())
    }
}

/// Those that are live.
#[derive(Debug, Default)]
pub struct NumberedFiles {
    files: Vec<Option<Box<KnownFile>>>,
    numbers: HashMap<String, u32>,
    /// I1.
    free: Vec<u32>,
}

impl NumberedFiles {
    pub fn number_of(&self, path: &str) -> Option<u32> {
        self.numbers.get(path).copied()
    }

    pub fn get(&self, number: u32) -> Option<&KnownFile> {
        self.files.get(number as usize)?.as_deref()
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut KnownFile> {
        self.files.get_mut(number as usize)?.as_deref_mut()
    }

    /// By a number that is free (I1).
    pub fn add(&mut self, file: KnownFile) -> Result<u32> {
        let next = || u32::try_from(self.files.len()).ok().filter(|number| *number < FILES_MAX);
        let number = self.free.last().copied().or_else(next);
        let number = number.ok_or_else(|| Error::unavailable("the key index has numbered too many data files"))?;
        if self.free.pop().is_none() {
            self.files.push(None);
        }
        self.put(number, file);
        Ok(number)
    }

    fn put(&mut self, number: u32, file: KnownFile) {
        if let Some(place) = self.files.get_mut(number as usize) {
            self.numbers.insert(file.live.file.file_path().to_owned(), number);
            *place = Some(Box::new(file));
        }
    }

    /// So many numbers were given out, by whom an index is taken over from.
    pub fn given_out(numbers: u32) -> Self {
        NumberedFiles { files: (0..numbers).map(|_| None).collect(), ..Self::default() }
    }

    /// Those that were given out.
    pub fn numbers(&self) -> u32 {
        u32::try_from(self.files.len()).unwrap_or(u32::MAX)
    }

    /// One that was given out stands for this file as before.
    pub fn restore(&mut self, number: u32, file: KnownFile) {
        if self.get(number).is_none() {
            self.put(number, file);
        }
    }

    /// The index says nothing any more of files that are gone.
    pub fn free_the_gone(&mut self) {
        let gone = self.files.iter().enumerate().filter(|(_, file)| file.is_none());
        self.free = gone.filter_map(|(number, _)| u32::try_from(number).ok()).collect();
    }

    /// How many are neither a file's nor free.
    pub fn gone(&self) -> usize {
        self.files.len() - self.numbers.len() - self.free.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &KnownFile)> {
        (0..).zip(&self.files).filter_map(|(number, file)| Some((number, file.as_deref()?)))
    }

    /// Rows that live.
    pub fn rows(&self) -> u64 {
        self.iter().map(|(_, file)| file.rows()).sum()
    }

    pub fn forget(&mut self, number: u32) {
        if let Some(file) = self.files.get_mut(number as usize).and_then(Option::take) {
            self.numbers.remove(file.live.file.file_path());
        }
    }

    /// Those that are none of these.
    pub fn others(&self, paths: &HashSet<&str>) -> Vec<u32> {
        let others = self.numbers.iter().filter(|(path, _)| !paths.contains(path.as_str()));
        others.map(|(_, number)| *number).collect()
    }

    /// Whether there is a row, and it is not deleted.
    pub fn is_live(&self, location: Location) -> bool {
        self.get(location.file).is_some_and(|file| !file.deleted.contains(location.row.into()))
    }
}
