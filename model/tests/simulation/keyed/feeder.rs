//! What a feeder does: it stages files and the keys that they delete, and finds those keys' rows when it commits.
//!
//! The index of a real one is kept between commits and takes in what others did; here it is the live rows of the
//! snapshot that it stands for, which is what such an index has to be equal to.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringTreemap;
use tableflow_model::protocol::{Order, Positions, Rule};

use super::process::{EpochName, Prepared, Staging};
use super::table::{Content, Files, Key, Origin, Row, deleted_rows, live_rows, own_deletes};
use super::world::{What, World};

#[derive(Clone, Debug, Default)]
pub struct Feeder {
    staged: Option<Staged>,
    /// The snapshot that its index stood for at its first commit, or left by its last one.
    index: Option<Option<i64>>,
    pub idle: u64,
    /// An epoch without rows is staged where there is nothing to read.
    pub stages_nothing: bool,
}

#[derive(Clone, Debug)]
struct Staged {
    name: EpochName,
    files: Vec<String>,
    keys: BTreeSet<Key>,
    /// What the last try deleted.
    resolved: Option<Resolved>,
}

/// Delete files.
#[derive(Clone, Debug, Default)]
struct Resolved {
    added: Vec<String>,
    replaced: Vec<String>,
}

impl Feeder {
    /// Reads some changes and writes the rows of those keys that are put.
    pub fn stage(&mut self, world: &mut World, name: EpochName, from: Option<&Positions>) -> Staging {
        let (mut queues, mut ends) = (Vec::new(), Vec::new());
        for partition in 0..world.log.len() {
            let start = world.offset(from, partition as i32);
            let most = if world.faults { world.rng.below(4) as i64 } else { 5 };
            let end = (start + most).min(world.log[partition].len() as i64);
            queues.push(start..end);
            ends.push(end);
        }
        let moved = queues.iter().any(|queue| !queue.is_empty());
        if !moved && !self.stages_nothing && !world.fault(10) {
            self.idle += 1;
            return Staging::Goes;
        }
        self.stages_nothing &= moved;
        let last = collapse(world, queues);
        let mut files: [Vec<Row>; 2] = Default::default();
        for (key, (_, origin)) in &last {
            let file = usize::from(world.rng.chance(20));
            files[file].extend(origin.map(|origin| Row { key: *key, origin }));
        }
        let written = files.into_iter().filter(|rows| !rows.is_empty());
        let files = written.map(|rows| world.write(&name, Content::Rows(rows))).collect();
        self.staged = Some(Staged { name, files, keys: last.into_keys().collect(), resolved: None });
        Staging::Staged(world.positions(&ends))
    }

    pub fn prepare(&mut self, world: &mut World, base: Option<i64>) -> Option<Prepared> {
        let staged = self.staged.as_mut()?;
        let index = if world.rules.hold(Rule::RowsByBase) { base } else { *self.index.get_or_insert(base) };
        let files = world.table.files(base);
        let kept = staged.resolved.take().filter(|_| !world.rules.hold(Rule::FindAnew));
        let resolved = kept.unwrap_or_else(|| resolve(world, staged, index, &files));
        let added: Vec<String> = staged.files.iter().chain(&resolved.added).cloned().collect();
        let prepared = Prepared::on(&files, &resolved.replaced, &added, What::Changes);
        staged.resolved = Some(resolved);
        Some(prepared)
    }

    pub fn committed(&mut self, snapshot: Option<i64>) {
        self.staged = None;
        self.index = snapshot.map(Some);
    }
}

/// One change a key, however the partitions are read in between each other.
fn collapse(world: &mut World, mut queues: Vec<std::ops::Range<i64>>) -> BTreeMap<Key, (Order, Option<Origin>)> {
    let mut last: BTreeMap<Key, (Order, Option<Origin>)> = BTreeMap::new();
    while queues.iter().any(|queue| !queue.is_empty()) {
        let place = world.rng.below(queues.len());
        let Some(offset) = queues[place].next() else { continue };
        let (partition, change) = (place as i32, world.log[place][offset as usize]);
        let order = Order { timestamp: change.timestamp, partition, offset };
        let stays = last.get(&change.key).is_none_or(|(before, _)| order.is_after(*before, world.rules));
        if stays {
            last.insert(change.key, (order, change.put.then_some(Origin::Log { partition, offset })));
        }
    }
    last
}

/// The rows that go: those of the staged keys, and of other keys all but the youngest.
fn resolve(world: &mut World, staged: &Staged, index: Option<i64>, base: &Files) -> Resolved {
    let mut keys: BTreeMap<Key, Vec<(String, u64)>> = BTreeMap::new();
    for live in live_rows(&world.objects, &world.table.files(index)) {
        keys.entry(live.row.key).or_default().push((live.file, live.place));
    }
    let mut rows: BTreeMap<String, RoaringTreemap> = BTreeMap::new();
    for (key, mut places) in keys {
        if !staged.keys.contains(&key) {
            places.pop();
        }
        for (file, place) in places {
            rows.entry(file).or_default().insert(place);
        }
    }
    let mut resolved = Resolved::default();
    if world.rng.chance(30) && !rows.is_empty() {
        resolved.added.push(world.write(&staged.name, Content::Positions(rows)));
        return resolved;
    }
    for (file, rows) in rows {
        let merged = deleted_rows(&world.objects, base, &file) | rows;
        resolved.replaced.extend(own_deletes(&world.objects, base, &file));
        resolved.added.push(world.write(&staged.name, Content::Positions([(file, merged)].into())));
    }
    resolved
}
