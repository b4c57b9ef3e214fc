//! The topics of a data directory.
//!
//! Owns `DIR/topics/`: [`LocalTopics`] creates, lists, describes and deletes; [`Topic`] is one topic's metadata, kept
//! in `topic.json` beside a folder for each partition.
//! - I1: a topic appears and disappears whole: it is prepared under another name and renamed, and renamed away
//!   before it is removed. Names that start with `~` are no topic's.
//! - I2: a re-created topic has another id, and whoever still holds the old one is told at its next step.
//! - I3: metadata is read without looking at any log.
//! - I4: whatever a crash left behind is removed by the next create or delete; those two exclude each other.
//! - I5: nobody takes a topic's name while a partition of the old topic is locked. So whoever holds a partition's lock
//!   and found the topic unchanged under it may use paths until it lets go: they lead to that topic or to nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tableflow_model::{Clock, Error, ErrorKind, Ids, Millis, Partition, Result, TopicId, TopicName};

use super::disk::{Disk, SystemDisk, failed, sync_directory};
use super::log_end::{LOCK_WAIT, LogEnd};
use super::options::TopicOptions;

const METADATA_FILE: &str = "topic.json";
const LOCK_FILE: &str = "~lock";

/// The layout of `topic.json` and of the partitions' files.
const LAYOUT_VERSION: u32 = 1;

/// A topic's offsets are committed as one vector with the table: beyond this it would not fit a property.
pub const PARTITIONS_MAX: i32 = 1_000;

/// One topic: what it is called, which one it is, how it is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: TopicName,
    pub id: TopicId,
    pub partitions: i32,
    pub options: TopicOptions,
    pub created_at: Millis,
    directory: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    version: u32,
    id: TopicId,
    partitions: i32,
    config: TopicOptions,
    created_at_ms: Millis,
}

impl Topic {
    pub fn partition_numbers(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.partitions).map(Partition)
    }

    pub(super) fn partition_directory(&self, partition: Partition) -> PathBuf {
        self.directory.join(partition.to_string())
    }

    pub(super) fn metadata_path(&self) -> PathBuf {
        self.directory.join(METADATA_FILE)
    }

    /// In place of an error about a file that went with the topic.
    pub(super) fn missing_or(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::NotFound { no_such_topic(&self.name) } else { error }
    }

    /// The topic of that name as it is now.
    pub(super) fn reload(&self) -> Result<Topic> {
        load(&self.name, &self.directory)
    }

    /// I2: an error if this topic was deleted, or deleted and created again.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        if self.reload()?.id == self.id {
            return Ok(());
        }
        Err(Error::conflict(format!("topic {} was deleted and created again", self.name))
            .with_context("topic_id", self.id)
            .with_hint("offsets of the old topic mean nothing in the new one: open it again from its start"))
    }
}

fn load(name: &TopicName, directory: &Path) -> Result<Topic> {
    let path = directory.join(METADATA_FILE);
    let text = fs::read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => no_such_topic(name),
        _ => failed("read", &path, error),
    })?;
    let unreadable = |error| {
        Error::internal(format!("{} cannot be read", path.display()))
            .with_source(error)
            .with_hint("restore the file from a backup")
    };
    let metadata: Metadata = serde_json::from_slice(&text).map_err(unreadable)?;
    if metadata.version != LAYOUT_VERSION {
        return Err(Error::usage(format!("topic {name} has layout version {}", metadata.version))
            .with_detail(format!("this program knows version {LAYOUT_VERSION}"))
            .with_hint("use the program that created the topic"));
    }
    Ok(Topic {
        name: name.clone(),
        id: metadata.id,
        partitions: metadata.partitions,
        options: metadata.config,
        created_at: metadata.created_at_ms,
        directory: directory.to_owned(),
    })
}

fn no_such_topic(name: &TopicName) -> Error {
    Error::not_found(format!("topic {name} does not exist"))
        .with_hint(format!("`tableflow topic create {name}` makes it, `tableflow topic list` shows what there is"))
}

/// All topics of one data directory.
#[derive(Clone, Debug)]
pub struct LocalTopics {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    /// How long a writer may hold a partition that is to be deleted.
    lock_wait: Duration,
}

impl LocalTopics {
    /// The topics of `data_directory`; nothing is touched until a topic is created.
    pub fn open(data_directory: &Path) -> LocalTopics {
        LocalTopics::with_disk(data_directory, Arc::new(SystemDisk))
    }

    pub(super) fn with_disk(data_directory: &Path, disk: Arc<dyn Disk>) -> LocalTopics {
        LocalTopics { root: data_directory.join("topics"), disk, lock_wait: LOCK_WAIT }
    }

    #[cfg(test)]
    pub(super) fn waiting_at_most(self, lock_wait: Duration) -> LocalTopics {
        LocalTopics { lock_wait, ..self }
    }

    /// What those who append to these topics, and those who read them, write through.
    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub fn create(
        &self,
        name: &TopicName,
        partitions: i32,
        config: &BTreeMap<String, String>,
        clock: &dyn Clock,
        ids: &dyn Ids,
    ) -> Result<Topic> {
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(Error::usage(format!("a topic cannot have {partitions} partitions"))
                .with_hint(format!("use 1 to {PARTITIONS_MAX}")));
        }
        let config = TopicOptions::parse(config)?;
        fs::create_dir_all(&self.root).map_err(|error| failed("create", &self.root, error))?;
        let _lock = self.lock()?;
        self.sweep()?;
        if self.directory(name).exists() {
            return Err(Error::already_exists(format!("topic {name} exists already"))
                .with_hint(format!("`tableflow topic describe {name}` shows it")));
        }
        let id = TopicId(ids.uuid());
        let metadata = Metadata { version: LAYOUT_VERSION, id, partitions, config, created_at_ms: clock.now() };
        let prepared = self.root.join(format!("~creating-{id}"));
        prepare(&prepared, &metadata)?;
        let directory = self.directory(name);
        fs::rename(&prepared, &directory).map_err(|error| failed("create", &directory, error))?;
        sync_directory(&self.root)?;
        load(name, &directory)
    }

    /// Every topic, by name.
    /// By name. One that is being made or deleted may be among them.
    pub fn names(&self) -> Result<Vec<TopicName>> {
        let reading = |error| failed("list", &self.root, error);
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(reading(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry.map_err(reading)?.file_name().to_str().and_then(|name| name.parse().ok()));
        }
        names.sort();
        Ok(names)
    }

    pub fn list(&self) -> Result<Vec<Topic>> {
        let mut topics = Vec::new();
        for name in self.names()? {
            match self.describe(&name) {
                Ok(topic) => topics.push(topic),
                // Deleted since the folder was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(topics)
    }

    pub fn describe(&self, name: &TopicName) -> Result<Topic> {
        load(name, &self.directory(name))
    }

    pub fn delete(&self, name: &TopicName) -> Result<()> {
        self.describe(name)?;
        let _lock = self.lock()?;
        let topic = self.describe(name)?;
        // Here a writer that does not move is told of while nothing is done; the sweep waits for those that come
        // between.
        self.wait_for_writers(&topic.directory)?;
        let aside = self.root.join(format!("~deleted-{}", topic.id));
        fs::rename(&topic.directory, &aside).map_err(|error| failed("delete", &topic.directory, error))?;
        sync_directory(&self.root)?;
        self.sweep()
            .map_err(|error| error.with_detail(format!("topic {name} is deleted, its files are not yet removed")))
    }

    fn directory(&self, name: &TopicName) -> PathBuf {
        self.root.join(name.as_str())
    }

    /// Held while the set of topics changes; closing the file releases it.
    fn lock(&self) -> Result<File> {
        let path = self.root.join(LOCK_FILE);
        let open = File::options().write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(|error| failed("open", &path, error))?;
        file.lock().map_err(|error| failed("lock", &path, error))?;
        Ok(file)
    }

    /// Removes what a crash, or a delete, left under a name that is no topic's (I4).
    fn sweep(&self) -> Result<()> {
        let removing = |error| failed("clean up", &self.root, error);
        for entry in fs::read_dir(&self.root).map_err(removing)? {
            let entry = entry.map_err(removing)?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with("~creating-") || name.starts_with("~deleted-")) {
                self.wait_for_writers(&entry.path())?;
                fs::remove_dir_all(entry.path()).map_err(removing)?;
            }
        }
        Ok(())
    }

    /// I5: answers once each partition was free. Those who lock one after that find the topic changed.
    fn wait_for_writers(&self, topic: &Path) -> Result<()> {
        let reading = |error| failed("list", topic, error);
        for entry in fs::read_dir(topic).map_err(reading)? {
            let entry = entry.map_err(reading)?;
            if entry.file_type().map_err(reading)?.is_dir() {
                LogEnd::open(&entry.path())?.lock_within(self.lock_wait)?;
            }
        }
        Ok(())
    }
}

/// Makes the whole topic, durably, under a name that nobody reads.
fn prepare(directory: &Path, metadata: &Metadata) -> Result<()> {
    let creating = |error| failed("create", directory, error);
    fs::create_dir(directory).map_err(creating)?;
    for partition in 0..metadata.partitions {
        fs::create_dir(directory.join(partition.to_string())).map_err(creating)?;
    }
    let text = serde_json::to_vec_pretty(metadata)
        .map_err(|error| Error::internal("topic metadata is not JSON").with_source(error))?;
    let mut file = File::create_new(directory.join(METADATA_FILE)).map_err(creating)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(creating)?;
    sync_directory(directory)
}
