//! The data files of a table, by the numbers that the key index gives them.
//!
//! Owns [`NumberedFiles`].
//! - I1: a number is given out once: where its file is gone, what the index says of it counts for nothing.

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

/// Those that are live.
#[derive(Debug, Default)]
pub struct NumberedFiles {
    files: Vec<Option<KnownFile>>,
    numbers: HashMap<String, u32>,
}

impl NumberedFiles {
    pub fn number_of(&self, path: &str) -> Option<u32> {
        self.numbers.get(path).copied()
    }

    pub fn get(&self, number: u32) -> Option<&KnownFile> {
        self.files.get(number as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut KnownFile> {
        self.files.get_mut(number as usize)?.as_mut()
    }

    /// The next number (I1).
    pub fn add(&mut self, file: KnownFile) -> Result<u32> {
        let number = u32::try_from(self.files.len()).ok().filter(|number| *number < FILES_MAX);
        let number = number.ok_or_else(|| Error::unavailable("the key index has numbered too many data files"))?;
        self.numbers.insert(file.live.file.file_path().to_owned(), number);
        self.files.push(Some(file));
        Ok(number)
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
