//! A table that goes by a column, killed at every point: what came late changes nothing, and is counted once.

use tableflow_store::KillPoint;

use super::upserts::{Keyed, OF_ENABLE, OF_MANIFESTS, kill_keyed_at_every_point};
use crate::changes::Changes;

fn keyed(seed: u64, asked: &[&str]) -> Keyed {
    Keyed::of(Changes::by_lot(seed).leaving_out().with_late_ones(), &[&["--latest-by", "v"], asked].concat())
}

#[test]
fn f6_a_sync_by_a_column_killed_at_any_point_leaves_out_what_is_late_once() {
    kill_keyed_at_every_point(keyed(7, &["--partition-by", "day"]), &[OF_ENABLE, OF_MANIFESTS].concat());
}

/// Its manifests name the changes: whoever finishes an epoch finds out which of them are late.
#[test]
fn f6_a_sync_by_a_column_with_dead_letters_killed_at_any_point_leaves_out_what_is_late_once() {
    let kept = [KillPoint::EpochDeleteBefore, KillPoint::EpochDeleteAfter];
    let asked = ["--error-handling", "LOG", "--delete-encoding", "dv"];
    kill_keyed_at_every_point(keyed(8, &asked), &[&OF_ENABLE[..], &kept].concat());
}
