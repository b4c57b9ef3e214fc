//! The settings of a cluster's clients, as they are now.
//!
//! Owns [`Settings`]: where they are read from, and those in force.
//! - I1: what is in force is whole: settings that cannot be read, or that make no client, change nothing.
//! - I2: files with keys, certificates and secrets are read again while the process runs; a change is noticed within
//!   [`LOOK_EVERY`].

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tableflow_model::Result;

use super::properties::Properties;

pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Reads the settings, from wherever a person wrote them.
pub type ReadSettings = dyn Fn() -> Result<Properties> + Send + Sync;

pub(super) struct Settings {
    read: Box<ReadSettings>,
    in_force: Mutex<InForce>,
    number: AtomicU64,
    /// Of settings that were looked at and make no client: said once.
    refused: AtomicU64,
}

#[derive(Clone)]
struct InForce {
    properties: Arc<Properties>,
    fingerprint: u64,
}

/// Settings that are not those in force.
pub(super) struct Changed {
    pub properties: Properties,
    fingerprint: u64,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("in_force", &self.in_force().properties).finish_non_exhaustive()
    }
}

impl Settings {
    pub fn new(read: Box<ReadSettings>) -> Result<Self> {
        let properties = read()?;
        let fingerprint = fingerprint(&properties);
        let in_force = Mutex::new(InForce { properties: Arc::new(properties), fingerprint });
        Ok(Settings { read, in_force, number: AtomicU64::new(0), refused: AtomicU64::new(fingerprint) })
    }

    fn in_force(&self) -> InForce {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn properties(&self) -> Arc<Properties> {
        self.in_force().properties
    }

    /// Rises with each change.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// What is written by now, where it is something else; each such thing once (I2).
    pub fn changed(&self) -> Result<Option<Changed>> {
        let properties = (self.read)()?;
        let fingerprint = fingerprint(&properties);
        if fingerprint == self.in_force().fingerprint {
            // What was refused may come back, and is refused again.
            self.refused.store(fingerprint, Ordering::Relaxed);
            return Ok(None);
        }
        let is_new = self.refused.swap(fingerprint, Ordering::Relaxed) != fingerprint;
        Ok(is_new.then_some(Changed { properties, fingerprint }))
    }

    /// They made a client (I1).
    pub fn enforce(&self, changed: Changed) {
        let Changed { properties, fingerprint } = changed;
        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) =
            InForce { properties: Arc::new(properties), fingerprint };
        self.number.fetch_add(1, Ordering::Release);
    }
}

/// Of the settings and of what is in their files.
fn fingerprint(properties: &Properties) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (name, value) in properties.iter() {
        (name, value).hash(&mut hasher);
    }
    for path in properties.files() {
        std::fs::read(path).ok().hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn i1_i2_a_file_that_changes_is_noticed_once_and_counts_when_it_made_a_client() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, "one").unwrap();
        let written = BTreeMap::from(
            [("bootstrap.servers", "127.0.0.1:1"), ("ssl.ca.location", file.to_str().unwrap())]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let settings = Settings::new(Box::new(move || Properties::new(&written))).unwrap();
        assert!(settings.changed().unwrap().is_none());
        std::fs::write(&file, "half of two").unwrap();
        assert!(settings.changed().unwrap().is_some());
        assert!(settings.changed().unwrap().is_none(), "it is the same still, and made no client");
        std::fs::write(&file, "two").unwrap();
        let changed = settings.changed().unwrap().unwrap();
        assert_eq!(settings.number(), 0);
        settings.enforce(changed);
        assert_eq!(settings.number(), 1);
        assert!(settings.changed().unwrap().is_none());
        std::fs::write(&file, "half of two").unwrap();
        assert!(settings.changed().unwrap().is_some(), "what was refused once may come again");
    }
}
