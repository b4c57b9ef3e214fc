//! The law, clause by clause.
//!
//! Owns [`Rule`], one word per clause of the protocol, and [`Rules`], the set of clauses in force. Production code
//! knows one value, [`Rules::law`]; the simulation (`model/tests/simulation`) takes one clause away and must then find
//! a lost, doubled or revived row, so that no clause stands here out of habit.
//! - I1: `Rules::law()` holds every rule, and the machines' `new` takes nothing else.
//!
//! Some clauses are decided by the machines of this folder, some can only be kept by whoever does the I/O
//! ([`Rule::keeper`]): a catalog must compare, a store must refuse to overwrite. Both kinds are in one list because
//! a reader of the law should find all of it in one place.

/// Who keeps a rule?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The state machines of this folder decide it.
    Machine,
    /// The code that does the I/O: the driver of a machine, a catalog client, the store, a person's command.
    Driver,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $letter:literal, $keeper:ident;)*) => {
        /// A clause of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule { $($(#[$doc])* $rule,)* }

        impl Rule {
            pub const ALL: &'static [Rule] = &[$(Rule::$rule,)*];

            /// The letter and number under which the protocol's page has it.
            pub fn letter(self) -> &'static str {
                match self { $(Rule::$rule => $letter,)* }
            }

            pub fn keeper(self) -> Keeper {
                match self { $(Rule::$rule => Keeper::$keeper,)* }
            }
        }
    };
}

rules! {
    /// A commit asserts the table's uuid.
    AssertUuid = "C1", Driver;
    /// A commit asserts main's snapshot id.
    AssertSnapshot = "C1", Driver;
    /// The new snapshot's sequence number is the last one plus one, and a stale one is refused.
    AssertSequence = "C1", Driver;
    /// A catalog without assertions compares the metadata location.
    AssertLocation = "C1", Driver;
    /// Comparing and replacing the metadata location is one act.
    ReplaceAtomically = "C1", Driver;
    /// Every change of a ledger is a snapshot.
    LedgerMovesWithSnapshot = "C2", Driver;
    /// The ledger is read from the property, not from what snapshots are still there.
    LedgerIsProperty = "C2", Driver;
    /// Expiry asserts main.
    ExpiryAsserts = "C3", Driver;
    /// A table with another uuid is another table.
    RecreatedTableSuspends = "C3", Machine;
    /// After an unknown outcome the ledger decides, not the writer's memory.
    UnknownReloads = "C4", Machine;
    /// "Nothing moved" is judged by every mark that the catalog compares.
    MovedByEveryMark = "C4", Machine;
    /// An unknown outcome deletes no file, wherever the commit's marker is or is not seen.
    UnknownKeepsFiles = "C4", Driver;
    /// A conflict after an unknown outcome of the same commit is still unknown.
    ConflictAfterUnknown = "C4", Driver;
    /// A rollback by somebody else suspends the table.
    ForeignRollbackSuspends = "C5", Machine;
    /// A rollback of ours writes the old content as a new snapshot.
    RollbackIsSnapshot = "C5", Driver;
    /// A reset takes the epoch number and the generation forward, never back.
    ResetGoesForward = "C5", Machine;
    /// The ledger and the base of a commit are read together.
    OneBase = "S1", Machine;
    /// A conflict reads the ledger again.
    ConflictReloads = "S2", Machine;
    /// A writer stops when it sees a higher generation.
    HigherGenerationStops = "S2", Machine;
    /// Of two processes with one generation the first to commit stays.
    OneWriterPerGeneration = "S2", Machine;
    /// Before its first manifest a job commits its generation to every sink.
    FenceFirst = "S3", Machine;
    /// A topic with another id is another topic.
    RecreatedTopicSuspends = "S1", Machine;
    /// A manifest is won before any sink is committed.
    ManifestFirst = "M1", Machine;
    /// The name of a manifest has no generation in it.
    NameWithoutGeneration = "M1", Driver;
    /// After a lost reply only an identical manifest is won.
    IdenticalWins = "M1", Machine;
    /// Manifests are found by exact name, never by LIST.
    ProbeByName = "M2", Driver;
    /// A starting process claims the first absent name.
    ClaimFirst = "M2", Machine;
    /// A running process that loses a put stops.
    LoserStops = "M2", Machine;
    /// Recovery finishes every manifest above a sink's ledger.
    RecoverEvery = "M3", Machine;
    /// Recovery never decodes an epoch again.
    NeverDecodeAgain = "M3", Machine;
    /// Position and state come from the newest manifest with work.
    ResumeFromNewestWork = "M3", Machine;
    /// A manifest counts only if the next one follows it: a collected name is free to be won again.
    LinkedManifests = "M3", Machine;
    /// A sink at or past an epoch is left alone.
    ApplyOnce = "M4", Machine;
    /// A sink behind an epoch's predecessor is not committed.
    Continuity = "M4", Machine;
    /// A manifest is deleted only when every sink is past it.
    CollectPastEverySink = "M6", Machine;
    /// The newest manifest with work is never deleted.
    KeepNewestWork = "M6", Machine;
    /// State is collected by the newest manifest with work.
    StateByNewestWork = "M6", Machine;
    /// Puts are create-only.
    CreateOnly = "G1", Driver;
    /// A file is garbage only when its epoch is decided.
    DecidedOnly = "G2", Machine;
    /// Listing comes first, reading what is reachable second.
    ListFirst = "G2", Machine;
    /// A file that a retained snapshot names is no garbage.
    AskReachable = "G2", Machine;
}

/// The rules in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    off: u64,
}

impl Rules {
    /// All of them.
    pub const fn law() -> Self {
        Rules { off: 0 }
    }

    /// All but one: for the simulation, which shows what that one is for.
    #[must_use]
    pub const fn except(self, rule: Rule) -> Self {
        Rules { off: self.off | (1 << rule as u64) }
    }

    pub const fn hold(self, rule: Rule) -> bool {
        self.off & (1 << rule as u64) == 0
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

    #[test]
    fn i1_the_law_holds_every_rule_and_an_exception_is_one() {
        assert!(Rule::ALL.len() <= 64, "the set is a word");
        for &rule in Rule::ALL {
            assert!(Rules::law().hold(rule));
            let without = Rules::law().except(rule);
            for &other in Rule::ALL {
                assert_eq!(without.hold(other), other != rule, "{rule:?} {other:?}");
            }
        }
    }
}
