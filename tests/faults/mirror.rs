//! Tables that mirror the newest schema, in what becomes of processes and of tables: kills around a drop, dead letters,
//! a rollback, other hands. What is read by whom is for `kafka::mirror`; when a version counts as followed for
//! `once_it_fits`.

mod by_lot;
mod once_it_fits;

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use iceberg::spec::FormatVersion;
use serde_json::{Value, json};
use tableflow::pipeline::budget::TableMemory;
use tableflow::pipeline::job::{Ended, Goal};
use tableflow::pipeline::progress::Progress;
use tableflow::pipeline::supervise::run_job;
use tableflow_catalog::fault::CommitFault::{ApplyThenUnknown, Delay, HoldThenUnknown, Pass, UnknownWithoutApplying};
use tableflow_catalog::{CommitOutcome, TableCreation};
use tableflow_connectors::decode::Evolution;
use tableflow_model::ErrorKind;
use tableflow_store::fault::{Effect, Fault, Operation};
use tokio_util::sync::CancellationToken;

use super::product::{Done, Fields, Product, READERS, wait_until};
use super::world::{World, end_of, suspended};
use crate::python::Engines;

const SIGKILL: i32 = 9;
const PASSES_MAX: u32 = 20;

/// Avro's optional whole number, and text.
const B: &str = r#"{"name":"b","type":["null","int"],"default":null}"#;
const TEXT_B: &str = r#"{"name":"b","type":["null","string"],"default":null}"#;
const C: &str = r#"{"name":"c","type":["null","int"],"default":null}"#;
const ID: &str = r#"{"name":"id","type":"int"}"#;

/// A topic of one partition, a table of its records, and the columns that values belong to by now.
struct Table {
    product: Product,
}

/// A whole number below 64.
fn whole(value: u8) -> u8 {
    value * 2
}

fn framed(schema: u8, body: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, schema], body].concat()
}

fn first(schema: u8, id: u8, b: u8) -> Vec<u8> {
    framed(schema, &[whole(id), 2, whole(b)])
}

fn second(schema: u8, id: u8) -> Vec<u8> {
    framed(schema, &[whole(id)])
}

fn third(schema: u8, id: u8) -> Vec<u8> {
    framed(schema, &[&[whole(id), 2, whole(4)][..], b"text"].concat())
}

impl Table {
    /// The first version is there, with one record.
    fn new(words: &[&str]) -> Self {
        let product = Product::without_topic("t");
        product.run(&["topic", "create", "t", "--partitions", "1"]).good("topic create");
        let table = Table { product };
        table.register(&[ID, B]);
        table.produce(&[first(1, 1, 11)]);
        table.enable(words);
        table
    }

    fn enable(&self, words: &[&str]) {
        self.product.run(&[&["enable", "t", "--evolution", "mirror"], words].concat()).good("enable");
    }

    fn register(&self, fields: &[&str]) {
        let file = self.product.directory().with_extension("avsc");
        let schema = format!(r#"{{"type":"record","name":"Order","fields":[{}]}}"#, fields.join(","));
        std::fs::write(&file, schema).unwrap();
        self.product.run(&["schema", "register", "t-value", file.to_str().unwrap()]).good("schema register");
    }

    fn produce(&self, records: &[Vec<u8>]) {
        let lines = records.join(&b'\n');
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count() + 1, records.len(), "a record is a line");
        let mut command = self.product.command(&["produce", "t", "--format", "raw"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&lines).unwrap();
        Done::from(child.wait_with_output().unwrap()).good("produce");
    }

    fn sync(&self, what: &str) {
        self.product.run(&["sync"]).good(what);
    }

    fn ask(&self, verb: &str, mut order: Value) -> Value {
        order["table"] = json!("bronze.t");
        Engines::on(self.product.directory()).ask(verb, order)
    }

    fn columns(&self) -> BTreeMap<String, u64> {
        let columns: BTreeMap<String, u64> = serde_json::from_value(self.ask("columns", json!({}))).unwrap();
        columns.into_iter().filter(|(name, _)| !name.starts_with("_tableflow_")).collect()
    }

    fn names(&self) -> Vec<String> {
        self.columns().into_keys().collect()
    }

    /// In the order of the records, the values of these field ids that the files have.
    fn by_ids(&self, ids: &[u64]) -> Vec<Value> {
        let every: BTreeMap<String, u64> = serde_json::from_value(self.ask("columns", json!({}))).unwrap();
        let offset = every["_tableflow_offset"].to_string();
        let rows: Vec<Fields> = serde_json::from_value(self.ask("by_ids", json!({}))).unwrap();
        let values =
            |row: &Fields| ids.iter().map(|id| row.get(&id.to_string()).cloned().unwrap_or_default()).collect();
        let found: BTreeMap<_, _> = rows.iter().map(|row| (row[&offset].as_u64().unwrap(), values(row))).collect();
        assert_eq!(found.len(), rows.len(), "a record is there twice: {rows:?}");
        found.into_values().collect()
    }

    /// Every row's `id` and `b`, as each reader sees them.
    fn check(&self, expected: &[(u64, Value)], what: &str) {
        for reader in READERS {
            let rows = self.product.rows_by(reader, "t", what);
            let value = |row: &Fields| (row["id"].as_u64().unwrap(), row.get("b").cloned().unwrap_or_default());
            let mut seen: Vec<_> = rows.iter().map(value).collect();
            seen.sort_by_key(|(id, _)| *id);
            assert_eq!(seen, expected, "{what}, read by {reader}");
        }
    }
}

/// Two versions more, and their records among those of the first one. Answers the field id of the first `b`.
fn two_drops(words: &[&str]) -> (Table, u64) {
    let table = Table::new(words);
    let old_b = table.columns()["b"];
    table.register(&[ID]);
    table.register(&[ID, TEXT_B]);
    table.produce(&[first(1, 2, 12), second(2, 3), first(1, 4, 14), third(3, 6), second(2, 7), first(1, 8, 18)]);
    (table, old_b)
}

/// What is left of each where all is done.
fn are_done(table: &Table, old_b: u64, what: &str) {
    let new_b = table.columns()["b"];
    assert_ne!(old_b, new_b, "{what}");
    let expected = [[11, 0], [12, 0], [0, 0], [0, 0], [0, 1], [0, 0], [0, 0]];
    let value = |[old, new]: [u64; 2]| {
        json!([if old > 0 { json!(old) } else { Value::Null }, if new > 0 { json!("text") } else { Value::Null }])
    };
    assert_eq!(table.by_ids(&[old_b, new_b]), expected.map(value), "{what}");
    let shown = [1, 2, 3, 4, 6, 7, 8].map(|id| (id, if id == 6 { json!("text") } else { Value::Null }));
    table.check(&shown, what);
}

fn two_drops_killed(words: &[&str], point: &str, nth: u32) -> bool {
    let (table, old_b) = two_drops(words);
    let what = format!("TABLEFLOW_KILL_AT={point}:{nth} tableflow sync");
    let killed = table.product.run_until(&["sync"], point, nth).status.signal() == Some(SIGKILL);
    table.sync(&what);
    are_done(&table, old_b, &what);
    killed
}

fn kills(words: &[&str], points: &[&str]) {
    for point in points {
        let hits = (1..=PASSES_MAX).take_while(|nth| two_drops_killed(words, point, *nth)).count();
        // Of three epochs and two drops each swaps the catalog's row; none is hit where the points are not built in.
        assert!(hits >= 3, "{point} was hit {hits} times");
        assert!(hits < PASSES_MAX as usize, "{point}");
        println!("{point}: {hits} kills");
    }
}

#[test]
fn a_drop_that_is_killed_at_any_point_is_done_once() {
    kills(&[], &["metadata-before", "metadata-after", "catalog-swap-before", "catalog-swap-after"]);
}

#[test]
fn a_drop_of_a_table_with_dead_letters_that_is_killed_at_any_point_is_done_once() {
    kills(&["--error-handling", "LOG"], &["catalog-swap-before", "catalog-swap-after", "epoch-before", "epoch-after"]);
}

/// Of three epochs with a step between each two, a commit whose reply is lost, that is lost itself, or that lands late.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_a_drops_reply_it_is_done_once() {
    for fault in [ApplyThenUnknown, UnknownWithoutApplying, HoldThenUnknown] {
        for before in 0..5 {
            let what = format!("{fault:?} of commit {before}");
            let (table, old_b) = two_drops(&[]);
            let world = World::over(table.product.share()).await;
            (0..before).for_each(|_| world.commits.script(Pass));
            world.commits.script(fault);
            assert!(matches!(world.sync().await, Ok(Ended::CaughtUp)), "{what}");
            assert_eq!(world.commits.fired().len(), 1, "{what}");
            for late in world.commits.land_held().await {
                assert!(matches!(late, Ok(CommitOutcome::Conflict { .. })), "{what}: a late commit landed: {late:?}");
            }
            are_done(&table, old_b, &what);
        }
    }
}

/// What was read before a drop is read again before it: its values are not late ones.
#[tokio::test(flavor = "multi_thread")]
async fn what_lies_before_a_drop_keeps_its_values_though_the_first_try_failed() {
    for words in [&[][..], &["--error-handling", "LOG"]] {
        for skip in 0..3 {
            let what = format!("{words:?}, put {skip}");
            let (table, old_b) = two_drops(words);
            let world = World::over(table.product.share()).await;
            world
                .requests
                .script(Fault::new(Operation::Put, Effect::DiskFull).on_path(".parquet").after(skip).times(1));
            assert!(matches!(world.sync().await, Ok(Ended::CaughtUp)), "{what}");
            assert!(!world.requests.fired().is_empty(), "{what}: the fault was not met");
            are_done(&table, old_b, &what);
        }
    }
}

/// Files that do not fit any more are written anew; a drop looks at the table again, and is done on it as it is then.
#[tokio::test(flavor = "multi_thread")]
async fn another_engines_change_at_an_epochs_commit_or_at_a_drops_harms_neither() {
    for commits_before in 0..2 {
        let what = format!("another engine's column after {commits_before} commits");
        let (table, old_b) = two_drops(&[]);
        let world = World::over(table.product.share()).await;
        (0..commits_before).for_each(|_| world.commits.script(Pass));
        world.commits.script(Delay(Duration::from_secs(3)));
        let job = world.start_sync().await;
        world.wait_for_faults(1).await;
        table.ask("alter", json!({"changes": [["add", "theirs", "long"]]}));
        assert!(matches!(end_of(job).await, Ok(Ended::CaughtUp)), "{what}");
        assert_eq!(table.names(), ["b", "id", "theirs"], "{what}");
        are_done(&table, old_b, &what);
    }
}

/// It gives up as it does with rows, and the next one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_whose_drop_is_never_taken_ends_with_the_reason() {
    let (table, old_b) = two_drops(&[]);
    let world = World::over(table.product.share()).await;
    world.commits.script(Pass);
    (0..50).for_each(|_| world.commits.script(UnknownWithoutApplying));
    let ended = world.sync().await;
    assert!(matches!(&ended, Err(error) if error.kind() == ErrorKind::Unavailable), "{ended:?}");
    assert!(world.commits.fired().len() < 20, "{} tries", world.commits.fired().len());
    table.sync("the next one");
    are_done(&table, old_b, "a drop that was not taken");
}

/// Who rolls a table back looks at it before anybody fills it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_would_begin_again_leaves_a_table_that_was_rolled_back_meanwhile() {
    let table = Table::new(&[]);
    table.sync("the first version");
    let history = || table.product.run(&["history", "t", "-o", "json"]).good("history").json();
    let before = history()[0]["snapshot_id"].to_string();
    table.register(&[ID]);
    table.produce(&[first(1, 2, 12), second(2, 3)]);
    let world = World::over(table.product.share()).await;
    [Pass, Delay(Duration::from_secs(3))].into_iter().for_each(|fault| world.commits.script(fault));
    let job = world.start_sync().await;
    world.wait_for_faults(1).await;
    table.product.run(&["rollback", "t", "--to", &before, "--replay"]).good("rollback");
    let newest = history()[0]["snapshot_id"].clone();
    let ended = end_of(job).await;
    assert!(matches!(&ended, Ok(Ended::Fenced(error)) if error.message().contains("rolled back")), "{ended:?}");
    assert_eq!(history()[0]["snapshot_id"], newest, "nothing was committed behind the rollback");
    table.product.run(&["resume", "t"]).good("resume");
    table.sync("what was rolled back");
    table.check(&[1, 2, 3].map(|id| (id, Value::Null)), "what was rolled back");
}

/// What nobody wants dropped any more stays, though the job was begun with an older definition.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_begins_again_has_the_newest_definition() {
    let table = Table::new(&[]);
    table.register(&[ID, C]);
    table.register(&[ID]);
    table.produce(&[framed(2, &[whole(2), 2, whole(12)]), second(3, 3)]);
    let world = World::over(table.product.share()).await;
    let old = world.definition().await;
    world.home.definitions().change(&world.table, |it| it.evolution = Evolution::Additive).await.unwrap();
    let goal = Goal::CatchUp(CancellationToken::new());
    let job = run_job(world.home.clone(), old, Arc::new(Progress::default()), TableMemory::new(1 << 30), goal);
    assert!(matches!(job.await, Ok(Ended::CaughtUp)));
    assert_eq!(table.names(), ["c", "id"], "of two drops the second one is not taken");
}

/// Another table by that name is not ours to change.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_somebody_made_again_is_left_alone() {
    let (table, _) = two_drops(&[]);
    let world = World::over(table.product.share()).await;
    let made = world.load().await;
    world.catalog.drop_table(&world.table).await.unwrap();
    let creation = TableCreation {
        location: None,
        schema: made.metadata.current_schema().as_ref().clone(),
        partition_spec: None,
        sort_order: None,
        properties: HashMap::new(),
        format_version: FormatVersion::V2,
    };
    let again = world.catalog.create_table(&world.table, creation).await.unwrap();
    suspended(world.sync().await, "made again");
    assert_eq!(world.load().await.metadata_location, again.metadata_location);
}

/// A version that was deleted does not count, unless a record names it; one that is registered again is the newest.
#[test]
fn deleted_versions_count_where_a_record_names_them_and_come_back_as_the_newest() {
    let table = Table::new(&[]);
    table.sync("the first version");
    let b = table.columns()["b"];
    let delete = |version: u32| {
        let registry = table.product.up();
        let (code, answer) = registry.ask("DELETE", &format!("/registry/subjects/t-value/versions/{version}"));
        assert_eq!(code, 200, "{answer}");
        registry.signal("TERM");
        registry.wait();
    };
    table.register(&[ID]);
    table.register(&[ID, B, C]);
    delete(2);
    table.produce(&[framed(3, &[whole(2), 2, whole(12), 2, whole(13)])]);
    table.sync("the third version");
    assert_eq!(table.columns()["b"], b, "the one that has no b is deleted");
    table.produce(&[second(2, 3)]);
    table.sync("a late record of the deleted one");
    assert_eq!(table.names(), ["b", "c", "id"]);
    table.register(&[ID]);
    table.produce(&[second(2, 4)]);
    table.sync("it is registered again");
    assert_eq!(table.names(), ["id"]);
    table.register(&[ID, TEXT_B]);
    delete(5);
    table.produce(&[third(4, 6)]);
    table.sync("one that is deleted, and newer than what is followed");
    assert_eq!(table.names(), ["b", "id"]);
    let shown = [1, 2, 3, 4, 6].map(|id| (id, if id == 6 { json!("text") } else { Value::Null }));
    table.check(&shown, "deleted versions");
}

/// Schemas have no say in them.
#[test]
fn declared_columns_stay() {
    let table = Table::new(&["--columns", "c INT"]);
    table.sync("the first version");
    assert_eq!(table.names(), ["b", "c", "id"]);
    table.register(&[ID, C]);
    table.register(&[ID]);
    table.produce(&[framed(2, &[whole(2), 2, whole(13)]), second(3, 3)]);
    table.sync("neither b nor c is in the third version");
    assert_eq!(table.names(), ["c", "id"]);
    let rows = table.product.rows_by("pyiceberg", "t", "declared");
    let seen: Vec<_> = rows.iter().map(|row| row["c"].clone()).filter(|value| !value.is_null()).collect();
    assert_eq!(seen, [json!(13)]);
}

/// Those that are registered after the names of their types have no order among them. `doctor` misses no subject of theirs.
#[test]
fn a_topic_whose_schemas_are_registered_elsewhere_is_not_mirrored() {
    let product = Product::without_topic("t");
    product.run(&["topic", "create", "t"]).good("topic create");
    let table = Table { product };
    let file = table.product.directory().with_extension("avsc");
    std::fs::write(&file, format!(r#"{{"type":"record","name":"Order","fields":[{ID},{B}]}}"#)).unwrap();
    table.product.run(&["schema", "register", "Order", file.to_str().unwrap()]).good("schema register");
    table.produce(&[first(1, 1, 11)]);
    let told = "follows the versions of subject t-value, which does not exist";
    let refused = table.product.run(&["enable", "t", "--evolution", "mirror"]);
    assert!(refused.stderr.contains(told), "{}", refused.stderr);
    table.product.run(&["enable", "t"]).good("enable");
    let refused = table.product.run(&["update", "t", "--evolution", "mirror"]);
    assert!(refused.stderr.contains(told), "{}", refused.stderr);
    table.sync("without a subject of the topic's");
    table.check(&[(1, json!(11))], "without a subject of the topic's");
    let examined = table.product.run(&["doctor"]);
    assert!(!examined.stdout.contains("has no subject"), "{}", examined.stdout);
}

/// A letter is a record of its schema's version, whenever it is decoded.
#[test]
fn dead_letters_of_old_schemas_are_late_and_those_of_new_ones_drop() {
    let table = Table::new(&["--error-handling", "LOG"]);
    // Nobody has registered the second and the fourth schema yet.
    table.produce(&[framed(2, &[whole(2), 2, whole(12), 2, whole(13)]), framed(4, &[2, whole(33)])]);
    table.sync("two letters");
    assert_eq!(table.product.status()["rows_dead_lettered"], 2);
    table.register(&[ID, B, C]);
    table.register(&[ID]);
    table.produce(&[second(3, 3)]);
    table.sync("the third version");
    assert_eq!(table.names(), ["id"]);
    let replayed = table.product.run(&["dlq", "replay", "t", "-o", "json"]).good("replay").json();
    assert_eq!(replayed["rows_replayed"], 1, "{replayed}");
    assert_eq!(table.names(), ["id"], "the letter is a late record");
    table.check(&[(1, Value::Null), (2, Value::Null), (3, Value::Null)], "a letter of the second version");
    table.register(&[C]);
    // A service whose decoder knows the table as it was.
    let service = table.product.up();
    wait_until("the service has looked at the table", || table.product.status()["status"] == "Syncing");
    let replayed = table.product.run(&["dlq", "replay", "t", "-o", "json"]).good("replay").json();
    assert_eq!(replayed["rows_replayed"], 1, "{replayed}");
    assert_eq!(table.names(), ["c"], "a letter of the fourth version");
    for (id, rows) in [(6, 5), (7, 6)] {
        table.produce(&[second(3, id)]);
        wait_until("a late record is in", || table.product.status()["rows_committed"] == rows);
        assert_eq!(table.names(), ["c"], "a late record, by a job that did not see the replay");
    }
    drop(service);
    let rows = table.product.rows_by("pyiceberg", "t", "both");
    let seen: Vec<_> = rows.iter().map(|row| row["c"].clone()).filter(|value| !value.is_null()).collect();
    assert_eq!((rows.len(), seen), (6, vec![json!(33)]));
}

/// A column that parts the table cannot go: it stops, and says what to do.
#[test]
fn what_a_table_is_made_by_is_not_dropped_and_there_is_a_way_on() {
    let table = Table::new(&["--partition-by", "b"]);
    table.register(&[ID]);
    table.produce(&[first(1, 2, 12), second(2, 3)]);
    let stopped = table.product.run(&["sync"]);
    for words in ["column b cannot be dropped: it parts the table", "tableflow update bronze.t --evolution additive"] {
        assert!(stopped.stderr.contains(words), "{}", stopped.stderr);
    }
    assert_eq!(table.product.status()["status"], "Suspended");
    table.check(&[(1, json!(11)), (2, json!(12))], "what was before the record is in");
    table.product.run(&["update", "t", "--evolution", "additive"]).good("update");
    table.sync("the way on");
    table.check(&[(1, json!(11)), (2, json!(12)), (3, Value::Null)], "the way on");
}

/// The way on of a table that cannot follow leads to no wrong column.
#[test]
fn what_was_dropped_is_read_past_though_no_more_columns_go() {
    let table = Table::new(&["--partition-by", "id"]);
    let old_b = table.columns()["b"];
    table.register(&[ID]);
    table.register(&[ID, B, C]);
    table.register(&[B, C]);
    let (b, c) = ([2, whole(13)], [2, whole(23)]);
    table.produce(&[second(2, 2), framed(3, &[&[whole(3)][..], &b, &c].concat()), framed(4, &[b, c].concat())]);
    let stopped = table.product.run(&["sync"]);
    assert!(stopped.stderr.contains("column id cannot be dropped: it parts the table"), "{}", stopped.stderr);
    table.product.run(&["update", "t", "--evolution", "additive"]).good("update");
    table.produce(&[first(1, 6, 16)]);
    table.sync("the way on");
    table.register(&[B]);
    table.produce(&[framed(5, &b), first(1, 7, 17)]);
    table.sync("a version that has less");
    let columns = table.columns();
    assert_eq!(columns.keys().collect::<Vec<_>>(), ["b", "c", "id"]);
    let expected = json!([[11, null], [null, null], [null, 13], [null, 13], [null, null], [null, 13], [null, null]]);
    assert_eq!(json!(table.by_ids(&[old_b, columns["b"]])), expected);
    table.product.run(&["update", "t", "--evolution", "mirror"]).good("update");
    table.register(&[B, r#"{"name":"id","type":"int","default":0}"#]);
    table.produce(&[framed(6, &[&b[..], &[whole(9)]].concat()), first(1, 8, 18)]);
    table.sync("it mirrors again");
    assert_eq!(table.by_ids(&[old_b, columns["b"]])[7..], [json!([null, 13]), json!([null, null])]);
}

/// A version that no record has stops nothing.
#[test]
fn a_version_between_that_the_table_cannot_take_drops_nothing() {
    let table = Table::new(&["--partition-by", "b"]);
    table.register(&[ID]);
    table.register(&[ID, B, C]);
    table.produce(&[framed(3, &[whole(2), 2, whole(12), 0])]);
    table.sync("the third version has it again");
    table.check(&[(1, json!(11)), (2, json!(12))], "a version between");
}

/// From the next newer schema on; what another engine adds under the name of a dropped column is that engine's.
#[test]
fn a_table_that_begins_to_mirror_follows_the_next_schema() {
    let table = Table::new(&[]);
    table.product.run(&["update", "t", "--evolution", "additive"]).good("update");
    table.register(&[ID]);
    table.produce(&[second(2, 2)]);
    table.sync("additive");
    assert_eq!(table.names(), ["b", "id"]);
    table.product.run(&["update", "t", "--evolution", "mirror"]).good("update");
    table.produce(&[second(2, 3), first(1, 4, 14)]);
    table.sync("the second version is followed already");
    table.check(&[(1, json!(11)), (2, Value::Null), (3, Value::Null), (4, json!(14))], "mirrors");
    table.register(&[ID, C]);
    table.produce(&[framed(3, &[whole(6), 2, whole(16)]), first(1, 7, 17)]);
    table.sync("the third version");
    assert_eq!(table.names(), ["c", "id"]);
    table.ask("alter", json!({"changes": [["add", "b", "long"]]}));
    table.produce(&[first(1, 8, 18)]);
    table.sync("another engine has added the name");
    assert_eq!(table.names(), ["b", "c", "id"]);
    let shown = [1, 2, 3, 4, 6, 7, 8].map(|id| (id, Value::Null));
    table.check(&shown, "a column of another engine");
}

/// The versions that come after the word, though no job has begun since.
#[test]
fn a_table_mirrors_from_the_moment_that_somebody_says_so() {
    let table = Table::new(&[]);
    table.product.run(&["update", "t", "--evolution", "additive"]).good("update");
    table.sync("additive");
    table.product.run(&["update", "t", "--evolution", "mirror"]).good("update");
    table.register(&[ID]);
    table.produce(&[second(2, 2)]);
    table.sync("the second version");
    assert_eq!(table.names(), ["id"]);
}

/// What was dropped stays so, and records that are read again are late.
#[test]
fn a_rollback_to_a_snapshot_with_the_column_brings_it_not_back() {
    // One takes the rows from the topic again, the other one from what its epochs decided.
    for words in [&[][..], &["--error-handling", "LOG"]] {
        rolls_back(words);
    }
}

fn rolls_back(words: &[&str]) {
    let table = Table::new(words);
    table.sync("the first version");
    let history = table.product.run(&["history", "t", "-o", "json"]).good("history").json();
    let before = history[0]["snapshot_id"].to_string().replace('"', "");
    table.register(&[ID]);
    table.produce(&[first(1, 2, 12), second(2, 3)]);
    table.sync("the second version");
    assert_eq!(table.names(), ["id"]);
    table.product.run(&["rollback", "t", "--to", &before, "--replay"]).good("rollback");
    table.product.run(&["resume", "t"]).good("resume");
    table.sync("the replay");
    assert_eq!(table.names(), ["id"]);
    table.check(&[(1, Value::Null), (2, Value::Null), (3, Value::Null)], "rolled back");
}
