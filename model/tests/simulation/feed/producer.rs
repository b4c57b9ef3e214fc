//! The job that fills the table: it stages an epoch, with a change file where a consumer is registered on the version
//! of the table that it knows, and commits it on the newest one.

use super::table::{Change, Metadata, NewSnapshot, Versions};
use super::world::{Reply, World};

#[derive(Clone, Debug)]
struct Staged {
    epoch: u64,
    versions: Versions,
    file: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub struct Producer {
    /// The table as it was last seen.
    seen: Option<Metadata>,
    staged: Option<Staged>,
}

impl World {
    pub fn run_producer(&mut self) {
        if self.fault(self.mix.crash / 3) {
            self.say(|| "the job crashes".to_owned());
            self.producer = Producer::default();
            return;
        }
        match (self.producer.seen.clone(), self.producer.staged.clone()) {
            (None, _) => self.producer.seen = Some(self.table.now.clone()),
            (Some(seen), None) => self.stage(&seen),
            (Some(seen), Some(staged)) if seen.epoch + 1 == staged.epoch => self.commit(&seen, &staged),
            (Some(_), Some(_)) => self.producer.staged = None,
        }
    }

    fn stage(&mut self, seen: &Metadata) {
        let mut versions = Versions::new();
        for _ in 0..1 + self.rng.below(3) {
            let value = if self.rng.chance(75) { Some(self.id()) } else { None };
            versions.push((self.key(), value));
        }
        let epoch = seen.epoch + 1;
        let file = (!seen.registered.is_empty()).then(|| self.id());
        if let Some(file) = file {
            self.files.insert(file, (epoch, versions.clone()));
        }
        self.say(|| format!("the job stages epoch {epoch}: {versions:?}, change file {file:?}"));
        self.producer.staged = Some(Staged { epoch, versions, file });
    }

    fn commit(&mut self, seen: &Metadata, staged: &Staged) {
        let mut new = NewSnapshot::of(seen.rows());
        for (key, value) in &staged.versions {
            match value {
                Some(value) => new.rows.insert(*key, *value),
                None => new.rows.remove(key),
            };
        }
        new.changes = staged.file;
        new.epoch = Some(staged.epoch);
        if self.mix.commits_forget {
            new.forget = self.to_forget(seen, 1);
            new.floor = self.floor_to_publish(seen, 2);
        }
        self.say(|| format!("the job commits epoch {}", staged.epoch));
        let reply = self.send(seen, Change::Snapshot(Box::new(new)));
        self.producer.seen = None;
        if reply == Reply::Applied {
            // As a reply brings it.
            self.producer = Producer { seen: Some(self.table.now.clone()), staged: None };
        }
    }
}
