//! Which topic is read: told apart from one that took its name, at the cost of one `stat`.
//!
//! Owns [`Watch`]: a topic and its `topic.json`, held open.
//! - I1: as long as that file is held no other gets its inode; so the same device, inode and time of change are the
//!   same topic. Anything else is judged by the id in the file.
//! - I2: a topic that goes never comes back under its id. So what was read between two looks that found the topic
//!   unchanged was all read from that topic; one look afterwards is enough, for the first was the opening.
//!
//! Neighbours: `topic` knows the metadata, `source` and `reader` ask here whether what they read counts.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;

use tableflow_model::Result;

use super::disk::failed;
use super::topic::Topic;

#[derive(Debug)]
pub(super) struct Watch {
    topic: Topic,
    seen: Identity,
    /// Keeps the inode from being given to another file (I1).
    _held: File,
}

/// Device, inode, time of change in seconds and nanoseconds, size.
type Identity = (u64, u64, i64, i64, u64);

fn identity(of: &Metadata) -> Identity {
    (of.dev(), of.ino(), of.mtime(), of.mtime_nsec(), of.size())
}

impl Watch {
    /// A watch on the topic that has the name of `topic` at this moment.
    pub fn start(topic: &Topic) -> Result<Watch> {
        let path = topic.metadata_path();
        // The file before its content: should it be replaced between, the first look sees that.
        let held = File::open(&path).map_err(|error| topic.missing_or(failed("open", &path, error)))?;
        let seen = held.metadata().map_err(|error| failed("read", &path, error))?;
        Ok(Watch { topic: topic.reload()?, seen: identity(&seen), _held: held })
    }

    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// An error if the topic was deleted, or deleted and created again.
    pub fn check(&self) -> Result<()> {
        match fs::metadata(self.topic.metadata_path()) {
            Ok(found) if identity(&found) == self.seen => Ok(()),
            _ => self.topic.check_unchanged(),
        }
    }
}
