//! A table that changes its mode, killed in the conversion: the rows are those of before or of after, and whoever comes
//! next goes on.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use tableflow::pipeline::budget::TableMemory;
use tableflow::pipeline::job::{Ended, Goal};
use tableflow::pipeline::mode::PROPERTY;
use tableflow::pipeline::progress::Progress;
use tableflow::pipeline::supervise::run_job;
use tokio_util::sync::CancellationToken;

use super::product::{Done, Product, READERS, wait_until};
use super::upserts::{OF_COMMITS, SIGKILL};
use super::world::World;

/// A point is passed so often at most by one `sync`.
const PASSES_MAX: u32 = 40;

/// A table, its records, and what they make.
struct Modal {
    product: Product,
    random: fastrand::Rng,
    next: i64,
    upserts: bool,
    /// By its value, which no other row has, the key.
    rows: BTreeMap<i64, i64>,
}

impl Modal {
    fn new(seed: u64, asked: &[&str]) -> Self {
        let product = Product::without_topic("t");
        product.run(&["topic", "create", "t", "--partitions", "2"]).good("topic create");
        let random = fastrand::Rng::with_seed(seed);
        let mut modal = Modal { product, random, next: 0, upserts: false, rows: BTreeMap::new() };
        modal.send(10);
        modal.product.run(&[&["enable", "t"], asked].concat()).good("enable");
        modal.product.run(&["sync"]).good("sync");
        modal
    }

    fn send(&mut self, count: usize) {
        let mut lines = Vec::new();
        for _ in 0..count {
            self.next += 1;
            let id = self.random.i64(0..12);
            let deletes = self.upserts && self.random.u8(..4) == 0;
            if self.upserts {
                self.rows.retain(|_, key| *key != id);
            }
            if !deletes {
                self.rows.insert(self.next, id);
            }
            let value = if deletes { Value::Null } else { json!({"id": id, "v": self.next}) };
            writeln!(lines, "{}", json!({"key": id, "value": value})).unwrap();
        }
        let mut command = self.product.command(&["produce", "t", "--envelope"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&lines).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Declares the other mode. What was read before stays or becomes one a key; nothing waits in the topic.
    fn change(&mut self) {
        self.upserts = !self.upserts;
        let asked: &[&str] = if self.upserts { &["--mode", "upsert", "--key", "id"] } else { &["--mode", "append"] };
        self.product.run(&[&["update", "t"], asked].concat()).good("update");
        if self.upserts {
            let last: BTreeMap<i64, i64> = self.rows.iter().map(|(value, id)| (*id, *value)).collect();
            self.rows = last.into_iter().map(|(id, value)| (value, id)).collect();
        }
    }

    fn found(&self, reader: &str, replay: &str) -> BTreeMap<i64, i64> {
        let number = |value: &Value| value.as_i64().unwrap();
        let rows = self.product.rows_by(reader, "t", replay);
        let found: BTreeMap<i64, i64> = rows.iter().map(|row| (number(&row["v"]), number(&row["id"]))).collect();
        assert_eq!(found.len(), rows.len(), "{replay}: a record is two rows, read by {reader}");
        found
    }

    fn check(&self, replay: &str) {
        for reader in READERS {
            assert_eq!(self.found(reader, replay), self.rows, "{replay}, read by {reader}");
        }
    }

    fn mode(&self) -> Value {
        self.product.status()["mode"].clone()
    }
}

fn killed_everywhere(seed: u64, asked: &[&str], directions: &[bool]) {
    let mut modal = Modal::new(seed, asked);
    let mut in_conversion = 0;
    for (point, to_upsert) in OF_COMMITS.iter().flat_map(|point| directions.iter().map(move |to| (point, *to))) {
        let mut hits = [0, 0];
        for nth in 1..=PASSES_MAX {
            if modal.upserts == to_upsert {
                modal.change();
                modal.product.run(&["sync"]).good("the way back");
                // Keys come again, so that some rows go.
                modal.send(20);
            }
            let to = if to_upsert { "upsert" } else { "append" };
            let replay = format!("{asked:?}, to {to}: TABLEFLOW_KILL_AT={point}:{nth} tableflow sync");
            modal.product.run(&["sync"]).good(&replay);
            let (before, mode) = (modal.rows.clone(), modal.mode());
            modal.change();
            // The first commit is the conversion; the records that came meanwhile are the second.
            let made = modal.rows.clone();
            modal.send(1 + nth as usize % 5);
            let killed = modal.product.run_until(&["sync"], point.name(), nth);
            // Nothing between: the rows of before, those of the new mode, or those with the records since.
            let is_made = modal.mode() != mode;
            let found = modal.found(READERS[0], &replay);
            let of_before = !is_made && found == before;
            let of_after = is_made && (found == made || found == modal.rows);
            assert!(of_before || of_after, "{replay}: {found:?}, of {before:?} and {:?}", modal.rows);
            if killed.status.signal() != Some(SIGKILL) {
                killed.good(&replay);
                modal.check(&replay);
                break;
            }
            hits[usize::from(is_made)] += 1;
            if nth % 2 == 0 {
                modal.send(2);
            }
            modal.product.run(&["sync"]).good(&replay);
            assert_ne!(modal.mode(), mode, "{replay}");
            modal.check(&replay);
        }
        println!("{asked:?}, {point}, to upsert: {to_upsert}: {} kills before it was made, {} after", hits[0], hits[1]);
        assert!(hits != [0, 0], "{point} was not hit");
        in_conversion += hits[0];
    }
    // Each point but the last, one way; the way back has no files of rows that go.
    let wanted = directions.iter().map(|to_upsert| if *to_upsert { OF_COMMITS.len() - 1 } else { 3 }).sum::<usize>();
    assert!(in_conversion >= wanted, "{in_conversion} kills in the conversion");
}

#[test]
fn f6_a_change_of_mode_killed_at_any_point_is_made_once() {
    killed_everywhere(1, &[], &[true, false]);
}

#[test]
fn f6_a_change_of_mode_by_vectors_killed_at_any_point_is_made_once() {
    killed_everywhere(2, &["--delete-encoding", "dv"], &[true]);
}

#[test]
fn f6_a_change_of_mode_by_copies_killed_at_any_point_is_made_once() {
    killed_everywhere(3, &["--delete-encoding", "cow", "--partition-by", "bucket(2, id)"], &[true]);
}

/// A service that knows the former mode, a process that makes the new one, and records all the while: each is one row or one
/// of its key, by what the table was when it was committed.
#[test]
fn a_service_and_a_sync_that_change_modes_beside_each_other_mix_nothing() {
    let mut modal = Modal::new(4, &["--commit-interval", "20ms"]);
    let up = modal.product.up();
    for round in 0..6 {
        wait_until("all is read", || modal.product.status()["lag"] == 0);
        modal.change();
        let product = modal.product.share();
        let sync = std::thread::spawn(move || product.run(&["sync"]));
        let mode = if modal.upserts { "upsert" } else { "append" };
        wait_until("it is made", || modal.mode() == mode);
        sync.join().unwrap();
        modal.send(12);
        // Whoever lost the table to the other one is resumed.
        modal.product.run(&["resume", "t"]).good("resume");
        wait_until("all is read", || modal.product.status()["lag"] == 0);
        modal.check(&format!("round {round}, {mode}"));
    }
    up.signal("TERM");
    up.wait();
}

/// A job that was told of one change, and begins once it was taken back: no row goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_taken_back_meanwhile_is_not_made() {
    let mut modal = tokio::task::block_in_place(|| Modal::new(5, &[]));
    let every_row = modal.rows.clone();
    modal.change();
    let world = World::over(modal.product.share()).await;
    let told = world.definition().await;
    modal.product.run(&["update", "t", "--mode", "append"]).good("update");
    let (progress, memory) = (Arc::new(Progress::default()), TableMemory::new(1 << 30));
    let goal = Goal::CatchUp(CancellationToken::new());
    let ended = run_job(world.home.clone(), told, progress, memory, goal).await;
    assert!(matches!(ended, Ok(Ended::CaughtUp)), "{ended:?}");
    (modal.rows, modal.upserts) = (every_row, false);
    assert_eq!(world.load().await.metadata.properties().get(PROPERTY).map(String::as_str), Some("2"));
    tokio::task::block_in_place(|| modal.check("a change that was taken back"));
}

/// And one that others made meanwhile is not made again: the job goes on in the mode of then.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_told_of_the_former_mode_goes_on_in_the_one_of_now() {
    let mut modal = tokio::task::block_in_place(|| Modal::new(6, &[]));
    let world = World::over(modal.product.share()).await;
    let told = world.definition().await;
    modal.change();
    modal.product.run(&["sync"]).good("sync");
    modal.send(20);
    let (progress, memory) = (Arc::new(Progress::default()), TableMemory::new(1 << 30));
    let goal = Goal::CatchUp(CancellationToken::new());
    let ended = run_job(world.home.clone(), told, progress, memory, goal).await;
    assert!(matches!(ended, Ok(Ended::CaughtUp)), "{ended:?}");
    tokio::task::block_in_place(|| modal.check("told of the former mode"));
}

/// The versions of the table's definition, and what is in them.
fn definitions(modal: &Modal) -> Vec<(PathBuf, Vec<u8>)> {
    let mut folders = vec![modal.product.directory().join("state/tables")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push((path.clone(), fs::read(path).unwrap())) }
        }
    }
    found
}

/// A data directory whose state is an older copy: the table knows a change that no definition does.
#[test]
fn a_table_that_is_ahead_of_all_definitions_stops_and_the_hint_leads_on() {
    let mut modal = Modal::new(7, &[]);
    let before = definitions(&modal);
    modal.change();
    modal.product.run(&["sync"]).good("sync");
    for (path, _) in definitions(&modal) {
        fs::remove_file(path).unwrap();
    }
    for (path, bytes) in before {
        fs::write(path, bytes).unwrap();
    }
    let made = modal.rows.clone();
    modal.send(9);
    let refused = modal.product.run(&["sync"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    for words in ["the mode of table bronze.t was changed", "tableflow disable bronze.t"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert_eq!(modal.found(READERS[0], "nothing was committed"), made);
    modal.product.run(&["disable", "bronze.t"]).good("disable");
    modal.product.run(&["enable", "t"]).good("enable");
    assert_eq!(modal.mode(), "upsert");
    modal.product.run(&["sync"]).good("sync");
    modal.check("enabled again");
}

/// An `update` that has looked at the table, and has declared nothing yet.
struct Standing(Child);

impl Standing {
    fn begin(product: &Product, asked: &[&str]) -> Self {
        let mut command = product.command(&[&["update", "t"], asked].concat());
        command.env("TABLEFLOW_KILL_AT", "definition-before:1:stop").stdout(Stdio::piped()).stderr(Stdio::piped());
        let standing = Standing(command.spawn().unwrap());
        let stat = format!("/proc/{}/stat", standing.0.id());
        wait_until("it stands still", || fs::read_to_string(&stat).unwrap().contains(") T "));
        standing
    }

    fn go_on(self) -> Done {
        assert!(Command::new("kill").args(["-s", "CONT", &self.0.id().to_string()]).status().unwrap().success());
        self.0.wait_with_output().unwrap().into()
    }
}

/// What was counted and checked is of the settings of then.
#[test]
fn of_two_changes_at_once_the_second_is_refused() {
    let mut modal = Modal::new(8, &[]);
    let every_row = modal.rows.clone();
    let second = Standing::begin(&modal.product, &["--mode", "upsert", "--key", "id"]);
    modal.product.run(&["update", "t", "--mode", "upsert", "--key", "v"]).good("the first");
    let refused = second.go_on();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("changed by somebody else meanwhile"), "{}", refused.stderr);
    // By the first one's key each record has its row.
    modal.product.run(&["sync"]).good("sync");
    (modal.rows, modal.upserts) = (every_row, true);
    modal.check("the first one's");
    let described = modal.product.run(&["describe", "t", "-o", "json"]).good("describe").json();
    assert_eq!(described["key"], json!(["v"]));
}
