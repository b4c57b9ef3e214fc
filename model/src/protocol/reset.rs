//! What becomes of the ledger when we roll a table back (rule C5).
//!
//! Owns the two answers to "and the offsets?": [`replay`] reads the removed rows again, [`keep_offsets`] leaves them
//! out. The driver publishes the old content as a new snapshot with the ledger given here, on the base that `current`
//! was read with, so that every commit in flight finds another base.
//! - I1: the generation goes forward: whoever is running the job meets it and stops.
//! - I2: where commits decide epochs the number goes forward too. A number used twice would let a paused writer find
//!   "its" ledger again, with its files judged garbage in between.
//! - I3: where manifests decide epochs a replay takes the table back to an epoch, and recovery brings it forward again
//!   from the manifests; without every one of them it is refused. A collection beside it keeps them
//!   (`KeepForRollback`).
//! - I4: offsets are kept only where they are at or past those of the target.

use super::ledger::{Cut, Epoch, Ledger, WriterId};
use super::rules::{Rule, Rules};
use crate::error::{Error, Result};

/// `--replay`: the offsets of `target`, the ledger of the snapshot that the table goes back to.
///
/// `kept` are the epochs from the target's on whose staged files and manifest are still there, ascending, as far down
/// as the manifests are [`unbroken`](super::manifest::unbroken); `newest` is the newest manifest of the job. Neither
/// matters where commits decide.
pub fn replay(
    current: &Ledger,
    target: &Ledger,
    kept: &[Epoch],
    newest: Epoch,
    writer: WriterId,
    rules: Rules,
) -> Result<Ledger> {
    let positions = target.positions.clone();
    if !rules.hold(Rule::ResetGoesForward) {
        return Ok(Ledger { writer, ..target.clone() });
    }
    let generation = current.generation.next();
    if current.cut == Cut::Commit {
        return Ok(Ledger { generation, epoch: current.epoch.next(), writer, cut: Cut::Commit, positions });
    }
    let mut needed = if target.cut == Cut::Manifest { target.epoch } else { target.epoch.next() };
    for epoch in kept {
        if *epoch == needed {
            needed = needed.next();
        }
    }
    if target.cut == Cut::Commit || needed <= newest {
        return Err(Error::conflict("the table cannot be replayed from that snapshot")
            .with_detail(format!("the manifest or the staged files of epoch {needed} are gone"))
            .with_hint("choose a later snapshot, or roll back with --keep-offsets"));
    }
    Ok(Ledger { generation, epoch: target.epoch, writer, cut: target.cut, positions })
}

/// `--keep-offsets`: the table differs from its topics from here on, and `status` says so.
///
/// After a replay an older snapshot may hold more than the offsets say; kept offsets would read those rows twice (I4).
pub fn keep_offsets(current: &Ledger, target: &Ledger, writer: WriterId) -> Result<Ledger> {
    if let Err(setback) = current.positions.advances_from(&target.positions) {
        return Err(Error::conflict("the offsets cannot be kept: that snapshot has rows that they have not passed")
            .with_detail(setback.to_string())
            .with_hint("roll back with --replay"));
    }
    let epoch = if current.cut == Cut::Commit { current.epoch.next() } else { current.epoch };
    Ok(Ledger { generation: current.generation.next(), epoch, writer, ..current.clone() })
}

#[cfg(test)]
mod tests;
