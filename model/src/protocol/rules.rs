//! The law, clause by clause.
//!
//! Owns [`Rule`], one word per clause of the protocol, and [`Rules`], the set of clauses in force. Production code
//! knows one value, [`Rules::law`]; the simulation (`model/tests/simulation`) takes one clause away and must then find
//! a lost, doubled or revived row, so that no clause stands here out of habit.
//! - I1: `Rules::law()` holds every rule. The machines take whatever set they are given; who drives them over real
//!   tables gives them this one.
//! - I2: the table in `docs/exactly-once.md` is this list, word for word.
//!
//! Some clauses are decided by the machines of this folder, some can only be kept by whoever does the I/O: a catalog
//! must compare, a store must refuse to overwrite. Both kinds are in one list because a reader of the law should find
//! all of it in one place.

macro_rules! rules {
    ($(#[doc = $clause:literal] $rule:ident = $letter:literal;)*) => {
        /// A clause of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule { $(#[doc = $clause] $rule,)* }

        impl Rule {
            pub const ALL: &'static [Rule] = &[$(Rule::$rule,)*];

            /// The letter and number under which the protocol's page has it.
            pub fn letter(self) -> &'static str {
                match self { $(Rule::$rule => $letter,)* }
            }

            #[cfg(test)]
            fn clause(self) -> &'static str {
                match self { $(Rule::$rule => $clause,)* }
            }
        }
    };
}

rules! {
    /// A commit asserts the table's uuid.
    AssertUuid = "C1";
    /// A commit asserts main's snapshot id.
    AssertSnapshot = "C1";
    /// The new snapshot's sequence number is the last one plus one, and a stale one is refused.
    AssertSequence = "C1";
    /// A catalog without assertions compares the metadata location.
    AssertLocation = "C1";
    /// Comparing and replacing the metadata location is one act.
    ReplaceAtomically = "C1";
    /// Every change of a ledger is a snapshot.
    LedgerMovesWithSnapshot = "C2";
    /// The ledger is read from the property, not from what snapshots are still there.
    LedgerIsProperty = "C2";
    /// Expiry asserts main.
    ExpiryAsserts = "C3";
    /// A table with another uuid is another table.
    RecreatedTableSuspends = "C3";
    /// After an unknown outcome the ledger decides, not the writer's memory.
    UnknownReloads = "C4";
    /// "Nothing moved" is judged by every mark that the catalog compares.
    MovedByEveryMark = "C4";
    /// An unknown outcome deletes no file, wherever the commit's marker is or is not seen.
    UnknownKeepsFiles = "C4";
    /// A conflict after an unknown outcome of the same commit is still unknown.
    ConflictAfterUnknown = "C4";
    /// A rollback by somebody else suspends the table.
    ForeignRollbackSuspends = "C5";
    /// A rollback of ours writes the old content as a new snapshot.
    RollbackIsSnapshot = "C5";
    /// A reset takes the epoch number and the generation forward, never back.
    ResetGoesForward = "C5";
    /// The ledger and the base of a commit are read together.
    OneBase = "S1";
    /// A topic with another id is another topic.
    RecreatedTopicSuspends = "S1";
    /// A conflict reads the ledger again.
    ConflictReloads = "S2";
    /// A writer stops when it sees a higher generation.
    HigherGenerationStops = "S2";
    /// Of two processes with one generation the first to commit stays.
    OneWriterPerGeneration = "S2";
    /// Before its first manifest a job commits its generation to every sink.
    FenceFirst = "S3";
    /// A manifest is won before any sink is committed.
    ManifestFirst = "M1";
    /// The name of a manifest has no generation in it.
    NameWithoutGeneration = "M1";
    /// After a lost reply only an identical manifest is won.
    IdenticalWins = "M1";
    /// Manifests are found by exact name, never by LIST.
    ProbeByName = "M2";
    /// A starting process claims the first absent name.
    ClaimFirst = "M2";
    /// A running process that loses a put stops.
    LoserStops = "M2";
    /// Recovery finishes every manifest above a sink's ledger.
    RecoverEvery = "M3";
    /// Recovery never decodes an epoch again.
    NeverDecodeAgain = "M3";
    /// Position and state come from the newest manifest with work.
    ResumeFromNewestWork = "M3";
    /// A manifest counts only if the next one follows it: a collected name is free to be won again.
    LinkedManifests = "M3";
    /// A sink at or past an epoch is left alone.
    ApplyOnce = "M4";
    /// A sink behind an epoch's predecessor is not committed.
    Continuity = "M4";
    /// A manifest is deleted only when every sink is past it.
    CollectPastEverySink = "M6";
    /// The newest manifest with work is never deleted.
    KeepNewestWork = "M6";
    /// A manifest that a rollback to a retained snapshot would need is never deleted.
    KeepForRollback = "M6";
    /// State is collected by the newest manifest with work.
    StateByNewestWork = "M6";
    /// Staged work is files, rows that lack values and keys to delete; rows are found in an index that stands for the base.
    RowsByBase = "U1";
    /// Of a key's changes in a commit the last stays: in a partition by offset, else by time, partition and offset.
    LastChangeStays = "U2";
    /// A file in which a row lives again that was left out is not replaced.
    NoneRevived = "U3";
    /// A topic's `transactional.id` is one for each job and sink, without a generation.
    OneTransactionalId = "T1";
    /// A producer is opened, which fences the one before, and then the recorded epoch is read.
    FenceThenRead = "T1";
    /// The epoch is recorded in the transaction that has its rows.
    RecordInTransaction = "T1";
    /// Where the recorded epoch has expired, that of the topic's newest rows counts.
    RowsDecide = "T2";
    /// Topics are committed before tables: one that records nothing is where the tables are, or further.
    TopicsFirst = "T2";
    /// A topic that may have forgotten rows that are due suspends the job.
    ForgottenSuspends = "T2";
    /// After any error the producer is closed, and another one starts over.
    StartOver = "T3";
    /// A consumer registers before it starts from a snapshot.
    RegisterFirst = "F1";
    /// Each consumer registers in a property of its own.
    OwnRegistration = "F1";
    /// A snapshot without a change file is read as its difference to the one before it.
    DifferenceWithoutFile = "F1";
    /// A consumer follows parent links from main back to its own snapshot.
    FollowParents = "F2";
    /// Where its own snapshot is no ancestor of main, a consumer reads the difference of both.
    DifferenceOffBranch = "F2";
    /// Who forgets snapshots publishes a floor of the feed first, then reads the registrations.
    FloorFirst = "F3";
    /// A start below the floor is refused.
    RefuseBelowFloor = "F3";
    /// A registration moves only after the consumer's own commit.
    MoveAfterCommit = "F3";
    /// The files of a compaction are as old as the snapshot that it read.
    AsOldAsRead = "R1";
    /// Every file that a compaction replaces is live on the base.
    ReplaceTheLive = "R2";
    /// Rows that were deleted since the compaction read them are deleted in its files.
    MoveDeletes = "R3";
    /// A delete file goes with the last file that it is about.
    DropDeletes = "R4";
    /// An upsert commit on a moved base finds its rows anew.
    FindAnew = "R6";
    /// A compaction that finds gone what it reads gives up its plan.
    GiveUpGone = "R12";
    /// Puts are create-only.
    CreateOnly = "G1";
    /// A file is garbage only when its epoch is decided.
    DecidedOnly = "G2";
    /// Listing comes first, reading what is reachable second.
    ListFirst = "G2";
    /// A file that a retained snapshot names is no garbage.
    AskReachable = "G2";
    /// The change file of a retained snapshot is no garbage.
    ChangesAreNamed = "G2";
    /// A snapshot that a registered consumer has not passed is kept, within bounds.
    KeepForConsumers = "G2";
    /// A compaction's files are decided by a ledger entry of its own.
    CompactionHasLedger = "G2";
    /// An object of the metadata is garbage only once main has moved since it was listed.
    MetadataWaits = "G2";
}

/// The rules in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    off: u128,
}

impl Rules {
    /// All of them.
    pub const fn law() -> Self {
        Rules { off: 0 }
    }

    /// All but one: for the simulation, which shows what that one is for.
    #[must_use]
    pub const fn except(self, rule: Rule) -> Self {
        Rules { off: self.off | (1 << rule as u128) }
    }

    pub const fn hold(self, rule: Rule) -> bool {
        self.off & (1 << rule as u128) == 0
    }
}

impl Default for Rules {
    fn default() -> Self {
        Rules::law()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows below "The law", without the table's head.
    #[test]
    fn i2_the_page_has_the_law_word_for_word() {
        let page = include_str!("../../../docs/exactly-once.md");
        let section = page.lines().skip_while(|line| *line != "## The law").skip(1);
        let section = section.take_while(|line| !line.starts_with("## "));
        let rows: Vec<&str> = section.filter(|line| line.starts_with('|')).skip(2).collect();
        let row = |rule: &Rule| format!("| {} | `{rule:?}` | {} |", rule.letter(), rule.clause().trim());
        let law: Vec<String> = Rule::ALL.iter().map(row).collect();
        for (place, (said, held)) in rows.iter().zip(&law).enumerate() {
            assert_eq!(said, held, "row {place}");
        }
        assert_eq!(rows.len(), law.len(), "the table should be\n{}", law.join("\n"));
    }

    #[test]
    fn i1_the_law_holds_every_rule_and_an_exception_is_one() {
        assert!(Rule::ALL.len() <= 128, "the set is a word");
        for &rule in Rule::ALL {
            assert!(Rules::law().hold(rule));
            let without = Rules::law().except(rule);
            for &other in Rule::ALL {
                assert_eq!(without.hold(other), other != rule, "{rule:?} {other:?}");
            }
        }
    }
}
