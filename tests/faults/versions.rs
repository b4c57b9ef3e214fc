//! A table that keeps each version of its rows, killed at every point: each row that was put is in it once, those without
//! an end are what a plain map of the changes holds, and of a key each version ends before the next one begins.

use std::collections::BTreeMap;

use serde_json::Value;
use tableflow_store::KillPoint;

use super::product::{Fields, READERS};
use super::upserts::{Keyed, OF_ENABLE, OF_MANIFESTS, kill_at_every_point};

/// A time to the microsecond, however many digits it is written with.
fn time(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let (seconds, rest) = text.split_at(19);
    let fraction: String = rest.chars().skip(1).take_while(char::is_ascii_digit).collect();
    let fraction = if rest.starts_with('.') { fraction } else { String::new() };
    Some(format!("{}.{fraction:0<6}", seconds.replace(' ', "T")))
}

pub fn check(keyed: &Keyed, replay: &str) {
    for reader in READERS {
        let replay = format!("{replay}, read by {reader}");
        let rows = keyed.product.rows_by(reader, "t", &replay);
        let number = |row: &Fields, name: &str| row[name].as_i64().unwrap();
        let mut values: Vec<i64> = rows.iter().map(|row| number(row, "v")).collect();
        values.sort_unstable();
        assert_eq!(values, (1..=keyed.changes.last_value).collect::<Vec<_>>(), "{replay}: each version once");
        let of_rows_before = rows.iter().filter(|row| row["__op"] == "u").count();
        assert!(
            rows.len() < 100 || of_rows_before > 10,
            "{replay}: {of_rows_before} of {} versions are updates",
            rows.len()
        );
        let mut by_key: BTreeMap<i64, BTreeMap<i64, &Fields>> = BTreeMap::new();
        for row in &rows {
            by_key.entry(number(row, "id")).or_default().insert(number(row, "v"), row);
        }
        let mut in_force = BTreeMap::new();
        for (id, versions) in by_key {
            let mut ended = Some(String::new());
            for (v, row) in versions {
                let (from, to) = (time(&row["__valid_from"]).unwrap(), row.get("__valid_to").and_then(time));
                let before =
                    ended.unwrap_or_else(|| panic!("{replay}: key {id} has a version behind one without an end"));
                assert!(before <= from && to.as_ref().is_none_or(|to| from < *to), "{replay}: {id}, {before}, {row:?}");
                assert!(
                    row["__op"] == "c" || (row["__op"] == "u" && before == from),
                    "{replay}: {id}, {before}, {row:?}"
                );
                if to.is_none() {
                    let note = row.get("note").and_then(Value::as_str).map(str::to_owned);
                    in_force.insert(id, (v, note));
                }
                ended = to;
            }
        }
        let note = |id: &i64| keyed.changes.notes.get(id).cloned();
        let expected: BTreeMap<i64, (i64, Option<String>)> =
            keyed.changes.expected.iter().map(|(id, v)| (*id, (*v, note(id)))).collect();
        assert_eq!(in_force, expected, "{replay}");
    }
}

#[test]
fn f6_a_sync_of_versions_killed_at_any_point_keeps_each_of_them_once() {
    kill_at_every_point(5, &["--delete", "history"], &[OF_ENABLE, OF_MANIFESTS].concat());
}

/// Its manifests name the changes: whoever finishes an epoch finds out which versions end.
#[test]
fn f6_a_sync_of_versions_with_dead_letters_killed_at_any_point_keeps_each_of_them_once() {
    let kept = [KillPoint::EpochDeleteBefore, KillPoint::EpochDeleteAfter];
    let asked = ["--delete", "history", "--error-handling", "LOG", "--delete-encoding", "dv"];
    kill_at_every_point(6, &asked, &[&OF_ENABLE[..], &kept].concat());
}
