//! What became of the records that a job has read.
//!
//! Owns [`Account`], pure bookkeeping, and [`Counts`], what it is kept in.
//! - I1: read = committed + skipped + dead-lettered + buffered, whenever somebody asks.
//! - I2: a record counts once, however often its epoch is read again; what was read never becomes less.
//! - I3: all counts begin at zero with the job: what its ledger counts from before is none of them.
//! - I4: an epoch is settled when the ledger stands where it ends, whoever found that out, and once.

use std::collections::BTreeMap;

use tableflow_model::protocol::Positions;

/// Records, by what becomes of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of the job's tables.
    pub rows: u64,
    pub skipped: u64,
    pub dead_lettered: u64,
    /// Of their keys, values and headers.
    pub bytes: u64,
    /// Why records are no rows: how many for each reason.
    pub reasons: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub fn records(&self) -> u64 {
        self.rows + self.skipped + self.dead_lettered
    }

    fn add(&mut self, more: Counts) {
        self.rows += more.rows;
        self.skipped += more.skipped;
        self.dead_lettered += more.dead_lettered;
        self.bytes += more.bytes;
        for (reason, count) in more.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
    }
}

/// The books of one job.
#[derive(Clone, Debug, Default)]
pub struct Account {
    records_read: u64,
    bytes_read: u64,
    settled: Counts,
    /// The epoch that is being read, or was and is not committed.
    hand: Counts,
    /// Where that one ends, once it does.
    ends: Option<Positions>,
}

impl Account {
    /// The epoch holds so much by now (I2).
    pub fn hold(&mut self, hand: Counts) {
        self.records_read = self.records_read.max(self.settled.records() + hand.records());
        self.bytes_read = self.bytes_read.max(self.settled.bytes + hand.bytes);
        self.hand = hand;
    }

    pub fn end_at(&mut self, positions: Positions) {
        self.ends = Some(positions);
    }

    /// The ledger stands there: true where that settles what is in hand (I4).
    pub fn settle(&mut self, positions: &Positions) -> bool {
        let settles = self.ends.as_ref() == Some(positions);
        if settles {
            self.ends = None;
            self.settled.add(std::mem::take(&mut self.hand));
        }
        settles
    }

    /// An epoch begins there: what is in hand was committed, or is read again.
    pub fn begin(&mut self, positions: Option<&Positions>) {
        if let Some(positions) = positions {
            self.settle(positions);
        }
        self.ends = None;
        self.hand = Counts::default();
    }

    pub fn records_read(&self) -> u64 {
        self.records_read
    }

    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// What is committed, and what was put aside with it.
    pub fn settled(&self) -> &Counts {
        &self.settled
    }

    /// Read, and not committed (I1).
    pub fn buffered(&self) -> u64 {
        self.records_read - self.settled.records()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tableflow_model::protocol::TopicPositions;
    use tableflow_model::{Offset, Partition, TopicId};
    use uuid::Uuid;

    fn at(offset: i64) -> Positions {
        let offsets = BTreeMap::from([(Partition(0), Offset(offset))]);
        let topic = TopicPositions::new(TopicId(Uuid::nil()), offsets);
        Positions(BTreeMap::from([("t".parse().unwrap(), topic)]))
    }

    fn counts(rows: u64, skipped: u64, dead_lettered: u64) -> Counts {
        let reasons = BTreeMap::from([("not-json", skipped + dead_lettered)]);
        Counts { rows, skipped, dead_lettered, bytes: 10 * (rows + skipped + dead_lettered), reasons }
    }

    /// Read, committed, put aside, buffered; and I1.
    fn seen(account: &Account) -> (u64, u64, u64, u64) {
        let settled = account.settled();
        let put_aside = settled.skipped + settled.dead_lettered;
        assert_eq!(account.records_read(), settled.rows + put_aside + account.buffered());
        (account.records_read(), settled.rows, put_aside, account.buffered())
    }

    #[test]
    fn i1_i4_an_epoch_is_buffered_until_the_ledger_stands_where_it_ends() {
        let mut account = Account::default();
        account.begin(None);
        account.hold(counts(3, 1, 0));
        account.hold(counts(5, 1, 2));
        assert_eq!(seen(&account), (8, 0, 0, 8));
        account.end_at(at(8));
        assert!(!account.settle(&at(7)), "that is an older one");
        assert!(account.settle(&at(8)));
        assert_eq!(seen(&account), (8, 5, 3, 0));
        assert!(!account.settle(&at(8)), "once");
        account.begin(Some(&at(8)));
        account.hold(counts(1, 0, 1));
        assert_eq!(seen(&account), (10, 5, 3, 2));
        assert_eq!((account.bytes_read(), &account.settled().reasons["not-json"]), (100, &3));
    }

    #[test]
    fn i4_a_commit_whose_answer_got_lost_is_found_where_the_next_epoch_begins() {
        let mut account = Account::default();
        account.hold(counts(4, 0, 0));
        account.end_at(at(4));
        account.begin(Some(&at(4)));
        assert_eq!(seen(&account), (4, 4, 0, 0));
    }

    #[test]
    fn i2_what_is_read_again_counts_once_and_stays_buffered_meanwhile() {
        let mut account = Account::default();
        account.hold(counts(100, 0, 0));
        account.end_at(at(100));
        account.begin(None);
        assert_eq!(seen(&account), (100, 0, 0, 100));
        account.hold(counts(60, 0, 0));
        account.end_at(at(60));
        assert!(account.settle(&at(60)));
        assert_eq!(seen(&account), (100, 60, 0, 40));
        account.begin(Some(&at(60)));
        account.hold(counts(50, 0, 0));
        assert_eq!(seen(&account), (110, 60, 0, 50));
        assert_eq!(account.bytes_read(), 1100);
    }
}
