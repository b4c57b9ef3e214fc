//! What changed in a table, told to those who registered for it (rules F).
//!
//! Owns [`Registration`], a property of the table for each consumer, and the decisions about the feed: what a consumer
//! does next ([`next`]), when its registration moves ([`may_move`]), and which snapshots may be forgotten
//! ([`raised_floor`], [`may_forget`]).
//! - I1: a consumer is registered before it chooses where to start: whoever forgets snapshots then sees it, or it sees
//!   the floor that they published (F1, F3).
//! - I2: what follows a position is found by parent links from main, never by age; where the position is no ancestor of
//!   main the difference of both is read, and where its snapshot is gone a person is asked (F2).
//! - I3: a registration stands at or behind the consumer's own position: what it may have to read again is kept (F3).
//!   Where main went back, it goes there before the consumer does.
//! - I4: a snapshot is forgotten only below a floor that was published before the registrations were read, and only
//!   where no consumer needs it, or held it longer than it may.

use serde::{Deserialize, Serialize};

use super::rules::{Rule, Rules};
use crate::error::{Error, Result};
use crate::name::JobName;

/// The version of the text form that this program reads and writes.
const VERSION: u32 = 1;

/// The property with the floor: snapshots with this sequence number and those before may be forgotten at any time.
pub const FLOOR_PROPERTY: &str = "tableflow.feed-floor";

const REGISTRATIONS: &str = "tableflow.feed.";

/// A snapshot of main that a consumer stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Nothing before the table's first one.
    pub snapshot: Option<i64>,
    pub sequence: i64,
}

/// A consumer, as the table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// It is about to choose where to start: it needs everything.
    Starting,
    /// It needs this one and all that follow.
    At(Position),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    position: Option<Position>,
}

/// Read first, so that a newer text is told apart from a damaged one.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Registration {
    /// The table property: one for each consumer, so that nobody writes another one's (F1).
    pub fn property(consumer: &JobName) -> String {
        format!("{REGISTRATIONS}{consumer}")
    }

    /// Whether anybody follows a table with these properties.
    pub fn is_any<'p>(mut names: impl Iterator<Item = &'p String>) -> bool {
        names.any(|name| name.starts_with(REGISTRATIONS))
    }

    /// Those among a table's properties.
    pub fn all<'p>(properties: impl IntoIterator<Item = (&'p String, &'p String)>) -> Result<Vec<(JobName, Self)>> {
        let mut all: Vec<(JobName, Self)> = Vec::new();
        for (name, text) in properties {
            if let Some(consumer) = name.strip_prefix(REGISTRATIONS) {
                all.push((consumer.parse()?, Registration::from_text(text)?));
            }
        }
        all.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        Ok(all)
    }

    /// What they hold: one that cannot be read holds everything.
    pub fn held<'p>(properties: impl IntoIterator<Item = (&'p String, &'p String)>) -> Vec<Self> {
        let of = properties.into_iter().filter(|(name, _)| name.starts_with(REGISTRATIONS));
        of.map(|(_, text)| Registration::from_text(text).unwrap_or(Registration::Starting)).collect()
    }

    pub fn to_text(self) -> Result<String> {
        let position = match self {
            Registration::Starting => None,
            Registration::At(position) => Some(position),
        };
        serde_json::to_string(&Text { version: VERSION, position })
            .map_err(|error| Error::internal("a registration could not be written").with_source(error))
    }

    pub fn from_text(text: &str) -> Result<Self> {
        let damaged = |error| {
            Error::data("the registration of a consumer is damaged")
                .with_source(error)
                .with_hint("take its property away from the table: the consumer registers again")
        };
        let found: Versioned = serde_json::from_str(text).map_err(damaged)?;
        if found.version != VERSION {
            let version = found.version;
            return Err(Error::data(format!(
                "a consumer's registration has version {version}, known here is {VERSION}"
            ))
            .with_hint("run the version of tableflow that wrote it, or a later one"));
        }
        let text: Text = serde_json::from_str(text).map_err(damaged)?;
        Ok(text.position.map_or(Registration::Starting, Registration::At))
    }

    fn needs(self, sequence: i64) -> bool {
        match self {
            Registration::Starting => true,
            Registration::At(position) => position.sequence <= sequence,
        }
    }
}

/// A snapshot, as a feed sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub parent: Option<i64>,
    pub sequence: i64,
    /// It has the rows of its parent in other files.
    pub has_same_rows: bool,
    /// It names a change file.
    pub has_changes: bool,
}

/// A table, as one version of its metadata shows it.
#[derive(Clone, Copy)]
pub struct Fed<'t> {
    pub main: Option<i64>,
    /// A snapshot that is retained.
    pub link: &'t dyn Fn(i64) -> Option<Link>,
    /// As it is published; 0 where none is.
    pub floor: i64,
}

impl std::fmt::Debug for Fed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fed").field("main", &self.main).field("floor", &self.floor).finish_non_exhaustive()
    }
}

/// Where a consumer wants to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Main,
    At(i64),
}

/// Why a consumer cannot start where it wants to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// That snapshot is not there.
    NotThere,
    /// It may be forgotten at any time.
    BelowFloor,
}

/// What a consumer does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedStep {
    /// Registers as [`Registration::Starting`].
    Register,
    /// Reads the snapshot whole and commits that with its position.
    Start(Position),
    Refuse(Refused),
    /// Moves its registration there.
    Move(Position),
    /// Reads the change file of `to` and commits what it says with the position.
    Changes {
        from: Position,
        to: Position,
    },
    /// The same with the difference of both snapshots.
    Difference {
        from: Position,
        to: Position,
    },
    /// No row came or went: the position moves.
    Pass(Position),
    Wait,
    /// The snapshot of its position is gone, and with it what changed since.
    Suspend,
}

/// The next step of a consumer that committed `own` last and that the table knows as `registered`.
pub fn next(
    table: Fed<'_>,
    own: Option<Position>,
    registered: Option<Registration>,
    wanted: Start,
    rules: Rules,
) -> FeedStep {
    match (own, registered) {
        (None, None) if rules.hold(Rule::RegisterFirst) => FeedStep::Register,
        (None, _) => start(table, wanted, rules),
        (Some(own), registered) => {
            let step = follow(table, own, rules);
            let needed = step.to().filter(|to| to.sequence < own.sequence).unwrap_or(own);
            if registered == Some(Registration::At(needed)) { step } else { FeedStep::Move(needed) }
        }
    }
}

impl FeedStep {
    /// Where the consumer is after it.
    fn to(self) -> Option<Position> {
        match self {
            FeedStep::Changes { to, .. } | FeedStep::Difference { to, .. } | FeedStep::Pass(to) => Some(to),
            _ => None,
        }
    }
}

/// I1.
fn start(table: Fed<'_>, wanted: Start, rules: Rules) -> FeedStep {
    let snapshot = match wanted {
        Start::Main => table.main,
        Start::At(id) => Some(id),
    };
    let Some(id) = snapshot else { return FeedStep::Start(Position { snapshot: None, sequence: 0 }) };
    let Some(link) = (table.link)(id) else { return FeedStep::Refuse(Refused::NotThere) };
    // Main is never forgotten, and whoever read the registrations before it moves on forgets nothing (C3).
    if snapshot != table.main && link.sequence <= table.floor && rules.hold(Rule::RefuseBelowFloor) {
        return FeedStep::Refuse(Refused::BelowFloor);
    }
    FeedStep::Start(Position { snapshot, sequence: link.sequence })
}

/// The step from a position towards main, registrations aside (I2).
pub fn follow(table: Fed<'_>, own: Position, rules: Rules) -> FeedStep {
    let is_there = own.snapshot.is_none_or(|id| (table.link)(id).is_some());
    let mut next: Option<(i64, Link)> = None;
    let mut at = table.main;
    while at != own.snapshot {
        let Some((id, link)) = at.and_then(|id| Some((id, (table.link)(id)?))) else {
            return off_branch(table, own, is_there, rules);
        };
        if !rules.hold(Rule::FollowParents) && link.sequence <= own.sequence {
            break;
        }
        next = Some((id, link));
        at = link.parent;
    }
    let Some((id, link)) = next else { return FeedStep::Wait };
    let to = Position { snapshot: Some(id), sequence: link.sequence };
    match link {
        Link { has_same_rows: true, .. } => FeedStep::Pass(to),
        _ if !is_there => FeedStep::Suspend,
        Link { has_changes: true, .. } => FeedStep::Changes { from: own, to },
        _ if rules.hold(Rule::DifferenceWithoutFile) => FeedStep::Difference { from: own, to },
        _ => FeedStep::Pass(to),
    }
}

/// Main went back behind the position, or what is between the two is gone.
fn off_branch(table: Fed<'_>, own: Position, is_there: bool, rules: Rules) -> FeedStep {
    let main = table.main.and_then(|id| Some((id, (table.link)(id)?.sequence)));
    let to = main
        .map_or(Position { snapshot: None, sequence: 0 }, |(id, sequence)| Position { snapshot: Some(id), sequence });
    match (is_there, rules.hold(Rule::DifferenceOffBranch)) {
        (_, false) => FeedStep::Pass(to),
        (true, true) => FeedStep::Difference { from: own, to },
        (false, true) => FeedStep::Suspend,
    }
}

/// Whether a registration may move to a position that was read, where `own` is what the consumer committed (I3).
pub fn may_move(own: Option<Position>, to: Position, rules: Rules) -> bool {
    own.is_some_and(|own| own == to || to.sequence < own.sequence) || !rules.hold(Rule::MoveAfterCommit)
}

/// The floor to publish before snapshots up to the sequence number `wanted` are forgotten; nothing where they may be
/// already.
pub fn raised_floor(wanted: i64, published: i64, rules: Rules) -> Option<i64> {
    (wanted > published && rules.hold(Rule::FloorFirst)).then_some(wanted)
}

/// Whether a snapshot may be forgotten, as floor and registrations stand in one version of the metadata (I4). Who holds
/// it longer than it may is not among these.
pub fn may_forget(sequence: i64, floor: i64, registered: &[Registration], rules: Rules) -> bool {
    let is_below = sequence <= floor || !rules.hold(Rule::FloorFirst);
    let is_needed = registered.iter().any(|consumer| consumer.needs(sequence));
    is_below && !(is_needed && rules.hold(Rule::KeepForConsumers))
}

#[cfg(test)]
mod tests;
