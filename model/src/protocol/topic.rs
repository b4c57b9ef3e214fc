//! What a topic says of the epochs that are in it (rules T).
//!
//! Owns [`Recorded`], one look at it, and [`ProduceReply`], what came of a transaction.
//! - I1: a look is worth something only behind a producer that was opened before it: until then a transaction of
//!   somebody else may still be committed.
//!
//! A topic has no ledger. Its epoch is recorded as the offset of a consumer group that nobody joins, in the transaction
//! that has the epoch's rows, and is a header of each of those rows. Offsets of groups expire, and rows too.
//!
//! Neighbours: `epochs` decides with it; the product's `pipeline/letters_topic` looks, and sends.

use super::ledger::Epoch;
use super::rules::{Rule, Rules};

/// What a topic records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The group's offset.
    pub offset: Option<Epoch>,
    /// Of the newest rows that are the job's own and still there. It matters where there is no offset.
    pub rows: Option<Epoch>,
    /// Rows of the job may have been there that are there no more: there may be newer ones among them.
    pub forgotten: bool,
}

impl Recorded {
    /// After an own transaction.
    pub(super) fn by(epoch: Epoch) -> Self {
        Recorded { offset: Some(epoch), ..Recorded::default() }
    }

    /// T2: the last epoch that is in the topic. `tables` is the highest epoch of the job's tables, which come after it.
    pub(super) fn epoch(&self, tables: Epoch, rules: Rules) -> Epoch {
        let rows = self.rows.filter(|_| rules.hold(Rule::RowsDecide)).unwrap_or_default();
        self.offset.unwrap_or_else(|| rows.max(tables))
    }

    /// T2: nobody knows whether rows of an epoch behind that one are in the topic.
    pub(super) fn is_doubtful(&self, rules: Rules) -> bool {
        self.offset.is_none() && self.forgotten && rules.hold(Rule::ForgottenSuspends)
    }
}

/// What came of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProduceReply {
    Committed,
    /// Another producer of the same name was opened, or the transaction took too long.
    Fenced,
    /// Anything else: whether it is in, is to be found out.
    Failed,
}
