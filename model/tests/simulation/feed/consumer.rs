//! A consumer: what `feed::next` says, done on a version of the table that may be old by then; what it commits to its
//! own table, rows and position, is one act.

use tableflow_model::protocol::Rule;
use tableflow_model::protocol::feed::{FeedStep, Position, Registration, Start, may_move, next};

use super::table::{Change, Metadata, Rows};
use super::world::World;

/// Read, and not committed yet.
#[derive(Clone, Debug)]
struct Pending {
    to: Position,
    rows: Rows,
}

#[derive(Clone, Debug)]
pub struct Consumer {
    number: usize,
    wanted: Option<Start>,
    seen: Option<Metadata>,
    pending: Option<Pending>,
    /// Its own table: what no crash takes away.
    pub position: Option<Position>,
    pub rows: Rows,
    pub suspended: bool,
}

impl Consumer {
    pub fn new(number: usize) -> Consumer {
        let (wanted, seen, pending, position) = (None, None, None, None);
        Consumer { number, wanted, seen, pending, position, rows: Rows::new(), suspended: false }
    }
}

impl World {
    pub fn run_consumer(&mut self, place: usize) {
        if self.fault(self.mix.crash) {
            let consumer = &mut self.consumers[place];
            (consumer.seen, consumer.pending, consumer.wanted) = (None, None, None);
            return self.say(|| format!("c{place} crashes"));
        }
        let consumer = self.consumers[place].clone();
        if consumer.suspended {
            return;
        }
        match (consumer.pending, consumer.seen) {
            (Some(pending), Some(seen)) => self.commit_own(place, pending, seen),
            (_, None) => self.consumers[place].seen = Some(self.table.now.clone()),
            (None, Some(seen)) => self.decide(place, seen),
        }
    }

    /// A registration may move before the commit only where the rule is off.
    fn commit_own(&mut self, place: usize, pending: Pending, mut seen: Metadata) {
        let own = self.consumers[place].position;
        let registered = seen.registered.get(&place);
        if registered != Some(&Registration::At(pending.to)) && may_move(own, pending.to, self.rules) {
            self.register(place, &seen, Registration::At(pending.to));
            seen.registered.insert(place, Registration::At(pending.to));
            self.consumers[place].seen = Some(seen);
            return;
        }
        self.say(|| format!("c{place} commits {:?}: {:?}", pending.to, pending.rows));
        let due = match pending.to.snapshot {
            None => Rows::new(),
            Some(id) => self.table.ever[&id].rows.clone(),
        };
        if pending.rows != due {
            let text = format!("consumer {place} has {:?}, snapshot {:?} {due:?}", pending.rows, pending.to.snapshot);
            self.fail("I9", text);
        }
        self.commits += 1;
        let consumer = &mut self.consumers[place];
        consumer.position = Some(pending.to);
        consumer.rows = pending.rows;
        (consumer.pending, consumer.seen) = (None, None);
    }

    fn register(&mut self, place: usize, seen: &Metadata, registration: Registration) {
        let all = (!self.rules.hold(Rule::OwnRegistration)).then(|| seen.registered.clone());
        self.say(|| format!("c{place} registers {registration:?}"));
        self.send(seen, Change::Register { consumer: place, registration, all });
        self.consumers[place].seen = None;
    }

    fn decide(&mut self, place: usize, seen: Metadata) {
        let wanted = self.wish(place, &seen);
        let (own, registered) = (self.consumers[place].position, seen.registered.get(&place).copied());
        let step = seen.with_feed(|fed| next(fed, own, registered, wanted, self.rules));
        self.say(|| format!("c{place} at {own:?}, registered {registered:?}: {step:?}"));
        match step {
            FeedStep::Register => self.register(place, &seen, Registration::Starting),
            FeedStep::Move(to) => self.register(place, &seen, Registration::At(to)),
            FeedStep::Start(position) => {
                let rows = self.read(position);
                self.reads(place, position, rows);
            }
            FeedStep::Refuse(_) => self.consumers[place].wanted = Some(Start::Main),
            FeedStep::Changes { from, to } => {
                let rows = self.read_changes(place, from, to);
                self.reads(place, to, rows);
            }
            FeedStep::Difference { from, to } => {
                let rows = self.read_difference(place, from, to);
                self.reads(place, to, rows);
            }
            FeedStep::Pass(to) => {
                let rows = self.consumers[place].rows.clone();
                self.reads(place, to, Some(rows));
            }
            FeedStep::Wait => self.consumers[place].seen = None,
            FeedStep::Suspend => {
                self.consumers[place].suspended = true;
                if !self.foreign_expired {
                    self.fail("I10", format!("consumer {place} is suspended although only we forgot snapshots"));
                }
            }
        }
    }

    /// Main, or by lot an older one.
    fn wish(&mut self, place: usize, seen: &Metadata) -> Start {
        if let Some(wanted) = self.consumers[place].wanted {
            return wanted;
        }
        let wanted = if self.fault(self.mix.old_start) {
            let ids: Vec<i64> = seen.snapshots.keys().copied().collect();
            ids.get(self.rng.below(ids.len())).map_or(Start::Main, |id| Start::At(*id))
        } else {
            Start::Main
        };
        self.consumers[place].wanted = Some(wanted);
        wanted
    }

    /// Where the table moved on so far that it is gone, the consumer looks again.
    fn reads(&mut self, place: usize, to: Position, rows: Option<Rows>) {
        match rows {
            Some(rows) => self.consumers[place].pending = Some(Pending { to, rows }),
            None => {
                self.say(|| format!("c{place} finds that gone"));
                let consumer = &mut self.consumers[place];
                (consumer.seen, consumer.wanted) = (None, None);
            }
        }
    }

    /// A snapshot's rows, as long as it is retained.
    fn read(&self, at: Position) -> Option<Rows> {
        match at.snapshot {
            None => Some(Rows::new()),
            Some(id) => self.table.now.snapshots.get(&id).map(|snapshot| snapshot.rows.clone()),
        }
    }

    /// Each version in order. What they replaced is read in the snapshot before.
    fn read_changes(&mut self, place: usize, from: Position, to: Position) -> Option<Rows> {
        self.read(from)?;
        let snapshot = self.table.now.snapshots.get(&to.snapshot?)?;
        let (_, versions) = self.files.get(&snapshot.changes?)?.clone();
        let mut rows = self.consumers[place].rows.clone();
        for (key, value) in versions {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        Some(rows)
    }

    /// A row that goes must be there, one that comes must not.
    fn read_difference(&mut self, place: usize, from: Position, to: Position) -> Option<Rows> {
        let (before, after) = (self.read(from)?, self.read(to)?);
        let mut rows = self.consumers[place].rows.clone();
        for (key, value) in before.iter().filter(|(key, value)| after.get(key) != Some(value)) {
            if rows.remove(key) != Some(*value) {
                self.fail("I9", format!("consumer {place} is told that it loses {key}: {value}, which it has not"));
            }
        }
        for (key, value) in after.iter().filter(|(key, value)| before.get(key) != Some(value)) {
            if rows.insert(*key, *value).is_some() {
                self.fail("I9", format!("consumer {place} is told twice of {key}: {value}"));
            }
        }
        Some(rows)
    }

    /// Whether it stands where the table does.
    pub fn is_at_rest(&self, place: usize) -> bool {
        let consumer = &self.consumers[place];
        let registered = self.table.now.registered.get(&consumer.number);
        consumer.position.is_some_and(|position| {
            position.snapshot == self.table.now.main && registered == Some(&Registration::At(position))
        })
    }
}
