//! A topic that epochs' dead letters go to: its transaction coordinator, the log that readers of what is committed see,
//! the offset of a group.
//!
//! A transaction that is decided becomes visible in two steps, rows first. Requests that were sent land late, or never.

use std::collections::BTreeMap;

use tableflow_model::protocol::{Epoch, ProduceReply, Recorded, Rule};

use super::process::Process;
use super::world::{Flight, Row, World};

/// Rows, each with the epoch in its header.
pub type Letters = Vec<(Epoch, Row)>;

#[derive(Clone, Debug, Default)]
pub struct Transaction {
    rows: Letters,
    offset: Option<Epoch>,
}

/// What the broker knows of one `transactional.id`.
#[derive(Clone, Debug, Default)]
pub struct Coordinator {
    /// Rises with each producer that is opened.
    producer: u64,
    open: Option<Transaction>,
    /// Decided, not all of it visible yet.
    prepared: Option<Transaction>,
}

#[derive(Clone, Debug, Default)]
pub struct LettersTopic {
    coordinators: BTreeMap<u64, Coordinator>,
    /// All that ever was committed.
    pub log: Letters,
    /// What is before it has been deleted.
    start: usize,
    offset: Option<Epoch>,
}

impl LettersTopic {
    /// Makes the next part of a decided transaction visible.
    fn advance(&mut self, id: u64) {
        let Some(coordinator) = self.coordinators.get_mut(&id) else { return };
        let Some(mut prepared) = coordinator.prepared.take() else { return };
        if prepared.rows.is_empty() {
            self.offset = prepared.offset.or(self.offset);
        } else {
            self.log.append(&mut prepared.rows);
            coordinator.prepared = Some(prepared);
        }
    }

    fn complete(&mut self, id: u64) {
        while self.coordinators.get(&id).is_some_and(|it| it.prepared.is_some()) {
            self.advance(id);
        }
    }

    /// Whatever is decided, visible or not yet.
    pub fn decided(&self) -> Letters {
        let prepared = self.coordinators.values().filter_map(|it| it.prepared.as_ref());
        self.log.iter().chain(prepared.flat_map(|it| &it.rows)).copied().collect()
    }

    pub fn recorded(&self) -> Recorded {
        let left = self.log.get(self.start..).unwrap_or_default();
        let rows = left.iter().map(|(epoch, _)| *epoch).max();
        Recorded { offset: self.offset, rows, forgotten: self.start > 0 && rows.is_none() }
    }

    pub fn advance_some(&mut self) -> bool {
        let waiting = self.coordinators.iter().find(|(_, it)| it.prepared.is_some()).map(|(id, _)| *id);
        waiting.inspect(|id| self.advance(*id)).is_some()
    }

    pub fn forget_offset(&mut self) {
        self.offset = None;
    }

    pub fn delete_before(&mut self, place: usize) {
        self.start = self.start.max(place);
    }

    /// The broker gives up on transactions that take too long.
    pub fn time_out(&mut self) {
        for coordinator in self.coordinators.values_mut().filter(|it| it.open.is_some()) {
            coordinator.producer += 1;
            coordinator.open = None;
        }
    }

    /// A person has asked the readers, and sets the offset.
    pub fn answer(&mut self, tables: Epoch) {
        let newest = self.decided().into_iter().map(|(epoch, _)| epoch).max().unwrap_or_default();
        self.offset = Some(newest.max(tables));
    }

    /// Rows of a request that was long on its way join whatever its producer has open.
    pub fn land_rows(&mut self, id: u64, producer: u64, rows: Letters) -> bool {
        let Some(coordinator) = self.coordinators.get_mut(&id).filter(|it| it.producer == producer) else {
            return false;
        };
        let Some(open) = &mut coordinator.open else { return false };
        open.rows.extend(rows);
        true
    }

    pub fn land_end(&mut self, id: u64, producer: u64) -> bool {
        let Some(coordinator) = self.coordinators.get_mut(&id).filter(|it| it.producer == producer) else {
            return false;
        };
        if coordinator.prepared.is_some() || coordinator.open.is_none() {
            return false;
        }
        coordinator.prepared = coordinator.open.take();
        true
    }

    pub fn land_offset(&mut self, epoch: Epoch) {
        self.offset = Some(epoch);
    }
}

impl Process {
    fn transactional_id(&self, world: &World) -> u64 {
        if world.rules.hold(Rule::OneTransactionalId) { 0 } else { self.number }
    }

    /// False where the answer is lost, or the request.
    pub(super) fn open_producer(&mut self, world: &mut World) -> bool {
        if world.fault(world.mix.failed) {
            return false;
        }
        let id = self.transactional_id(world);
        world.letters.complete(id);
        let coordinator = world.letters.coordinators.entry(id).or_default();
        coordinator.producer += 1;
        coordinator.open = None;
        self.producer = coordinator.producer;
        world.dirty = true;
        !world.fault(world.mix.lost)
    }

    pub(super) fn produce(&self, world: &mut World, epoch: Epoch, files: &[String]) -> ProduceReply {
        let id = self.transactional_id(world);
        let rows = self.letters_of(world, epoch, files);
        if world.fault(world.mix.failed) {
            return ProduceReply::Failed;
        }
        if world.letters.coordinators.get(&id).is_none_or(|it| it.producer != self.producer) {
            return ProduceReply::Fenced;
        }
        world.letters.complete(id);
        let in_transaction = world.rules.hold(Rule::RecordInTransaction);
        // What the same producer had open it has aborted.
        let mut open = Transaction { rows: Vec::new(), offset: in_transaction.then_some(epoch) };
        let late = world.fault(world.mix.late);
        let sent = late || !world.fault(world.mix.failed);
        if late {
            world.flight.push(Flight::Letters { id, producer: self.producer, rows });
        } else {
            open.rows = rows;
        }
        world.letters.coordinators.entry(id).or_default().open = Some(open);
        if late || !sent {
            return ProduceReply::Failed;
        }
        if world.fault(world.mix.late) {
            world.flight.push(Flight::EndTransaction { id, producer: self.producer });
            return ProduceReply::Failed;
        }
        world.letters.land_end(id, self.producer);
        world.dirty = true;
        match (in_transaction, world.faults) {
            (true, _) => {}
            (false, true) => world.flight.push(Flight::Offset(epoch)),
            (false, false) => world.letters.land_offset(epoch),
        }
        if world.fault(world.mix.lost) { ProduceReply::Failed } else { ProduceReply::Committed }
    }

    fn letters_of(&self, world: &mut World, epoch: Epoch, files: &[String]) -> Letters {
        let folder = world.tables[1].folder;
        let mut letters = Letters::new();
        for text in files {
            let name = text.split('#').next().unwrap().to_owned();
            match world.files.get(&(folder, name.clone())) {
                Some(file) => letters.extend(file.rows.iter().map(|row| (epoch, *row))),
                None => world.fail("I4", format!("file {name}, which the topic needs for epoch {epoch}, is deleted")),
            }
        }
        letters
    }
}

impl World {
    /// Each letter is in the topic once, and there before it is in its table.
    pub fn check_letters(&mut self) {
        if !self.has_topic() {
            return;
        }
        let mut decided: Vec<Row> = self.letters.decided().into_iter().map(|(_, row)| row).collect();
        decided.sort_unstable();
        if let Some(pair) = decided.windows(2).find(|pair| pair[0] == pair[1]) {
            let text = format!("{:?} is twice in the topic", pair[0]);
            return self.fail("I1", text);
        }
        if let Some(row) = self.visible(1).into_iter().find(|row| decided.binary_search(row).is_err()) {
            self.fail("I1", format!("{row:?} is in the table of dead letters, and not in the topic"));
        }
    }

    /// At the end the two have the same.
    pub fn check_letters_complete(&mut self) {
        if !self.has_topic() {
            return;
        }
        let (decided, visible) = (self.letters.decided().len(), self.visible(1).len());
        if decided != visible {
            self.fail("I8", format!("{visible} letters are in the table, {decided} in the topic"));
        }
    }
}
