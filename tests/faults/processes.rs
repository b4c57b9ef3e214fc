//! Two writers on one table (F5), signals (F46), a full disk (F27).

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::product::{Product, Up, wait_until};
use crate::alone::alone;

/// What commits of a table wait for, and how often it is looked whether one keeps to it.
const INTERVAL: Duration = Duration::from_millis(50);
const ROUNDS: usize = 11;

/// A lease that is this old is nobody's.
const LEASE: Duration = Duration::from_secs(11);

#[test]
fn f5_a_service_that_stood_still_is_fenced_by_the_one_that_went_on() {
    let product = Product::with_table();
    let up = product.up();
    wait_until("the first rows", || product.status()["rows_committed"] == 5);
    up.signal("STOP");
    product.produce(7).good("produce");
    std::thread::sleep(LEASE);
    product.sync_and_check("sync while the service stands still");
    up.signal("CONT");
    product.produce(9).good("produce");
    wait_until("the service is fenced", || product.status()["status"] == "Paused");
    assert_eq!(product.status()["rows_committed"], 12, "a fenced service commits nothing: {}", product.log());
    assert!(product.status()["reason"].is_string(), "status says why: {}", product.status());
    let sync = product.run(&["sync"]);
    assert!(!sync.status.success(), "a service that does not fill the table is not waited for: {}", sync.stdout);
    up.signal("TERM");
    assert!(up.wait().success(), "{}", product.log());
    product.sync_and_check("sync after the fenced service ended");
}

/// Whatever fails inside of one table's job, the other one goes on, and the process too.
#[test]
fn f38_a_panic_in_one_tables_job_stops_that_table_alone() {
    let product = Product::with_table();
    product.run(&["enable", "t", "--table", "other", "--commit-interval", "50ms"]).good("enable");
    let up = product.up_with(&[("TABLEFLOW_KILL_AT", "data-file-before:1:panic")]);
    let status = || product.run(&["status", "-o", "json"]).json().as_array().unwrap().clone();
    wait_until("one table stops", || status().iter().any(|table| table["status"] == "Suspended"));
    product.produce(20).good("produce");
    wait_until("the other one goes on", || status().iter().any(|table| table["rows_committed"] == 25));
    let stopped = status().into_iter().find(|table| table["status"] == "Suspended").unwrap();
    assert_eq!(stopped["rows_committed"], 0, "{stopped}");
    assert!(stopped["reason"].as_str().unwrap().contains("failed inside"), "{stopped}");
    assert!(stopped["hint"].as_str().unwrap().contains("tableflow resume"), "{stopped}");
    product.run(&["resume", stopped["table"].as_str().unwrap()]).good("resume");
    wait_until("it goes on too", || status().iter().all(|table| table["rows_committed"] == 25));
    up.signal("TERM");
    assert!(up.wait().success(), "{}", product.log());
    for table in ["t", "other"] {
        product.check_in(&[table], &format!("a panic in the job of {}: {table}", stopped["table"]));
    }
}

/// In the middle of a batch, half of whose columns are filled; the table writes by itself, or beside its dead letters.
#[test]
fn f38_a_panic_inside_a_decoder_stops_that_table_alone_and_the_other_keeps_its_pace() {
    for handling in ["SUSPEND", "LOG"] {
        let product = Product::with_topic();
        let other = product.beside("other");
        other.run(&["topic", "create", "other", "--partitions", "2"]).good("topic create");
        other.produce(5).good("produce");
        for topic in ["t", "other"] {
            let interval = format!("{}ms", INTERVAL.as_millis());
            let enable = ["enable", topic, "--commit-interval", &interval, "--error-handling", handling];
            product.run(&enable).good("enable");
        }
        product.run(&["sync"]).good("sync");
        let up = product.up_with(&[("TABLEFLOW_KILL_AT", "decode:8:panic")]);
        product.produce(40).good("produce");
        let status = || product.run(&["status", "t", "-o", "json"]).json();
        wait_until("the table stops", || status()["status"] == "Suspended");
        let mut took = rounds_of(&other, &up);
        took.sort_unstable();
        assert!(took[ROUNDS / 2] < INTERVAL * 20, "{handling}: {took:?}");
        let stopped = status();
        assert_eq!((&stopped["status"], &stopped["rows_committed"]), (&json!("Suspended"), &json!(5)), "{stopped}");
        assert!(stopped["reason"].as_str().unwrap().contains("failed inside"), "{stopped}");
        assert!(stopped["hint"].as_str().unwrap().contains("tableflow resume"), "{stopped}");
        up.signal("TERM");
        assert!(up.wait().success(), "{}", product.log());
        product.run(&["sync"]).good("sync");
        let replay = format!("a panic inside a decoder, {handling}");
        product.check_in(&["t"], &replay);
        other.check_in(&["other"], &replay);
    }
}

/// How long each of some rounds of records takes from the producer into its table.
fn rounds_of(product: &Product, up: &Up) -> Vec<Duration> {
    let committed = || up.metrics("tableflow_records_committed_total").get("table=\"bronze.other\"").copied();
    let round = |round: usize| {
        product.produce(5).good("produce");
        let sent = Instant::now();
        wait_until("the other table goes on", || committed() == Some(5.0 * (round + 1) as f64));
        sent.elapsed()
    };
    (0..ROUNDS).map(round).collect()
}

#[test]
fn f5_a_service_whose_lease_was_taken_ends_and_leaves_it_alone() {
    let product = Product::with_table();
    let first = product.up();
    wait_until("the first rows", || product.status()["rows_committed"] == 5);
    first.signal("STOP");
    std::thread::sleep(LEASE);
    let second = product.up();
    product.produce(7).good("produce");
    wait_until("the second service goes on", || product.status()["rows_committed"] == 12);
    first.signal("CONT");
    product.produce(4).good("produce");
    assert_eq!(first.wait().code(), Some(1), "{}", product.log());
    assert!(product.log().contains("took over this data directory"), "it says why: {}", product.log());
    product.produce(9).good("produce");
    wait_until("the second service went on", || product.status()["rows_committed"] == 25);
    wait_until("the table is in step", || product.status()["status"] == "Syncing");
    second.signal("TERM");
    assert!(second.wait().success(), "{}", product.log());
    product.check("two services, one of which stood still");
}

#[test]
fn f46_one_sigterm_drains_two_end_at_once() {
    for signals in [1, 2, 2, 2] {
        let replay = format!("{signals} SIGTERM under load");
        let product = Product::with_table();
        product.produce(20_000).good("produce");
        let up = product.up();
        std::thread::sleep(Duration::from_millis(60));
        let started = Instant::now();
        for _ in 0..signals {
            up.signal("TERM");
        }
        let status = up.wait();
        assert!(started.elapsed() < Duration::from_secs(30), "{replay} took {:?}", started.elapsed());
        assert!(status.success() || (signals == 2 && status.code() == Some(130)), "{replay}: {status}");
        product.produce(10).good("produce");
        product.sync_and_check(&replay);
    }
}

/// Somebody who keeps the catalog locked, until dropped.
pub struct CatalogLock(Child);

impl CatalogLock {
    pub fn take(product: &Product) -> Self {
        let python = std::env::var("TABLEFLOW_PYTHON").expect("TABLEFLOW_PYTHON names a Python");
        let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); \
                      c.execute('begin immediate'); print('locked', flush=True); sys.stdin.read()";
        let mut command = alone(python);
        command.args(["-c", script]).arg(product.directory().join("catalog.db"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "locked\n");
        CatalogLock(child)
    }
}

impl Drop for CatalogLock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn f46_a_service_that_drains_is_live_and_not_ready() {
    let product = Product::with_table();
    let up = product.up();
    wait_until("the first rows", || product.status()["rows_committed"] == 5);
    assert_eq!(up.get("/health/ready"), (200, "ready\n".to_owned()));
    let lock = CatalogLock::take(&product);
    // One record: of several partitions' some may come a moment after the epoch has ended.
    product.produce(1).good("produce");
    wait_until("a row is held", || up.metric("tableflow_records_buffered") == 1.0);
    up.signal("TERM");
    wait_until("it says that it drains", || up.get("/health/ready") == (503, "draining\n".to_owned()));
    assert_eq!(up.get("/health/live").0, 200);
    assert_eq!(up.get("/health/startup").0, 200);
    assert_eq!(up.metric("tableflow_records_committed_total"), 5.0);
    let second = product.run(&["up", "--listen", "127.0.0.1:0"]);
    assert!(second.stderr.contains("a service runs on this data directory already"), "{}", second.stderr);
    let _held_open = up.half_a_request();
    drop(lock);
    assert!(up.wait().success(), "{}", product.log());
    product.check("a drain that took a while");
}

/// A small file system of its own, gone when dropped.
struct SmallDisk {
    _temporary: TempDir,
    directory: PathBuf,
}

impl SmallDisk {
    fn mount(mebibytes: u32) -> Option<Self> {
        let temporary = TempDir::new().unwrap();
        let directory = temporary.path().join("small");
        std::fs::create_dir(&directory).unwrap();
        mount(&directory, &format!("size={mebibytes}m")).then_some(SmallDisk { _temporary: temporary, directory })
    }

    fn fill(&self) {
        let mut filler = File::create(self.directory.join("filler")).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
    }

    fn grow(&self, mebibytes: u32) {
        assert!(mount(&self.directory, &format!("remount,size={mebibytes}m")), "the disk does not grow");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.directory).status();
    }
}

fn mount(directory: &Path, options: &str) -> bool {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(directory);
    command.output().is_ok_and(|output| output.status.success())
}

const FULL_DISK: &str = "processes::f27_a_full_disk_stops_nothing_for_good";

/// Set by people where no small file system can be mounted.
const NO_MOUNT: &str = "TABLEFLOW_NO_MOUNT";

/// Set for the test that runs as root of a namespace of its own.
const OWN_NAMESPACE: &str = "TABLEFLOW_OWN_NAMESPACE";

/// The full disk again, where a user who is not root may mount one.
fn fill_a_disk_in_an_own_namespace() {
    if std::env::var_os(NO_MOUNT).is_some() {
        println!("not run: the full disk, because {NO_MOUNT} is set");
        return;
    }
    assert!(std::env::var_os(OWN_NAMESPACE).is_none(), "a small file system cannot be mounted");
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount"]).arg(std::env::current_exe().unwrap());
    let ran = command.args([FULL_DISK, "--exact", "--nocapture"]).env(OWN_NAMESPACE, "1").status();
    assert!(
        ran.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{ran:?}: with {NO_MOUNT}=1 the test of the full disk is left out"
    );
}

#[test]
fn f27_a_full_disk_stops_nothing_for_good() {
    let Some(disk) = SmallDisk::mount(6) else { return fill_a_disk_in_an_own_namespace() };
    let product = Product::in_directory(disk.directory.join("data"));
    product.enable();
    // The service's log is on the full disk too: what cannot be logged must not matter.

    let up = product.up();
    wait_until("the first rows", || product.status()["rows_committed"] == 5);
    let mut refused = 0;
    for _ in 0..200 {
        let done = product.produce_padded(100, 1000);
        if !done.status.success() {
            assert!(
                done.stderr.to_lowercase().contains("no space"),
                "an error that says what is wrong: {}",
                done.stderr
            );
            refused += 1;
        }
        if refused == 3 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(refused, 3, "the disk was never full");
    // Where so large a batch was refused a small one fits; the service finds no room at all to commit it.
    up.signal("STOP");
    product.produce(10).good("produce");
    disk.fill();
    up.signal("CONT");
    let before = up.metric("tableflow_commit_retries_total");
    wait_until("the service finds no room", || up.metric("tableflow_commit_retries_total") > before);
    disk.grow(64);
    wait_until("the service goes on by itself", || product.status()["rows_committed"] == product.records());
    product.check("disk full, then room");
    product.produce(10).good("produce");
    wait_until("and goes on", || product.status()["rows_committed"] == product.records());
    up.signal("TERM");
    assert!(up.wait().success());
    product.check("disk full, then room, then a stop");
}

#[test]
fn f27_a_log_that_cannot_be_written_stops_nothing() {
    let product = Product::with_table();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let sync = product.command(&["-vvv", "sync"]).stdout(Stdio::null()).stderr(full).status().unwrap();
    assert!(sync.success(), "{sync}");
    product.check("sync, its log on a full disk");
}
