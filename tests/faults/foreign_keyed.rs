//! Somebody else changes a table with one row a key, while its job runs or between its runs (F9 to F12): what a plain map
//! of the changes holds, and what others put, once.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tableflow::pipeline::job::Ended;
use tableflow_catalog::fault::CommitFault::Delay;

use super::foreign::Change;
use super::python::Engines;
use super::upserts::Keyed;
use super::world::{World, end_of, suspended};

/// Long enough for another engine's commit to come first.
const WHILE: Duration = Duration::from_secs(3);

const WAYS: [&[&str]; 3] = [&["--partition-by", "day"], &["--delete-encoding", "dv"], &["--delete-encoding", "cow"]];

/// Those that PyIceberg writes to: it does not write version 3 of the format yet.
const WRITTEN_BY_OTHERS: [&[&str]; 2] = [&["--partition-by", "day"], &["--delete-encoding", "cow"]];

/// A table, its producer, and the job in this process.
struct Both {
    keyed: Keyed,
    world: World,
}

impl Both {
    /// Three epochs, so that there are rows that replaced others, and records that wait.
    async fn with_history(seed: u64, asked: &[&str]) -> Self {
        let keyed = Keyed::whole(seed, asked);
        let world = World::over(keyed.product.share()).await;
        let mut both = Both { keyed, world };
        for _ in 0..3 {
            assert!(matches!(both.world.sync().await, Ok(Ended::CaughtUp)));
            both.keyed.send(15);
        }
        both
    }

    fn engine(&self, what: &str, mut order: Value) {
        order["table"] = json!("bronze.t");
        Engines::on(self.keyed.product.directory()).ask(what, order);
    }

    /// A job that meets a change either between its stage and its commit, or when it starts.
    async fn sync_meeting(&self, change: impl Fn(&Both), between: bool) -> tableflow_model::Result<Ended> {
        if !between {
            tokio::task::block_in_place(|| change(self));
            return self.world.sync().await;
        }
        self.world.commits.script(Delay(WHILE));
        let job = self.world.start_sync().await;
        self.world.wait_for_faults(1).await;
        tokio::task::block_in_place(|| change(self));
        end_of(job).await
    }

    /// What is there now, and after further epochs.
    async fn goes_on(&mut self, replay: &str) {
        tokio::task::block_in_place(|| self.keyed.check(replay));
        for _ in 0..2 {
            self.keyed.send(20);
            let ended = self.world.sync().await;
            assert!(matches!(ended, Ok(Ended::CaughtUp)), "{replay}: {ended:?}");
        }
        tokio::task::block_in_place(|| self.keyed.check(replay));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f9_rows_that_another_engine_appends_to_a_table_with_one_row_a_key_stay() {
    let cases = WRITTEN_BY_OTHERS.into_iter().flat_map(|asked| [(asked, true), (asked, false)]);
    for (seed, (asked, between)) in (1..).zip(cases) {
        let replay = format!("{asked:?}, between stage and commit: {between}");
        let mut both = Both::with_history(seed, asked).await;
        let rows = json!({"rows": [{"id": 1001, "v": 1}, {"id": 1002, "v": 2}]});
        let ended = both.sync_meeting(|both| both.engine("append", rows.clone()), between).await;
        assert!(matches!(ended, Ok(Ended::CaughtUp)), "{replay}: {ended:?}");
        both.keyed.put_by_others(1001, 1);
        both.keyed.put_by_others(1002, 2);
        both.goes_on(&replay).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f9_a_change_that_leaves_rows_alone_is_built_upon_with_one_row_a_key() {
    let cases = [Change::Property, Change::RowDelta].into_iter().flat_map(|change| [(change, true), (change, false)]);
    for (seed, (change, between)) in (1..).zip(cases) {
        let replay = format!("{change:?}, between stage and commit: {between}");
        let mut both = Both::with_history(seed, WAYS[1]).await;
        let ended = both.world.sync_meeting(change, between).await;
        assert!(matches!(ended, Ok(Ended::CaughtUp)), "{replay}: {ended:?}");
        both.goes_on(&replay).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f10_files_that_others_rewrite_and_history_that_they_forget_change_no_row() {
    let verbs: [&[&str]; 3] = [&["compact", "t"], &["expire", "t", "--keep", "1"], &["maintain", "t"]];
    for (seed, (asked, verb)) in (1..).zip(WAYS.into_iter().flat_map(|asked| verbs.map(|verb| (asked, verb)))) {
        let between = seed % 2 == 0;
        let replay = format!("{asked:?}, {verb:?}, between stage and commit: {between}");
        let mut both = Both::with_history(seed, asked).await;
        let run = |both: &Both| drop(both.keyed.product.run(verb).good(&replay));
        let ended = both.sync_meeting(run, between).await;
        assert!(matches!(ended, Ok(Ended::CaughtUp)), "{replay}: {ended:?}");
        both.goes_on(&replay).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f11_columns_and_partitions_that_others_change_take_no_row_away() {
    type Act = fn(&Both);
    let acts: [(&str, Act); 4] = [
        ("a column comes", |both| both.engine("alter", json!({"changes": [["add", "extra", "long"]]}))),
        ("a column has another name", |both| both.engine("alter", json!({"changes": [["rename", "day", "weekday"]]}))),
        ("a column goes", |both| both.engine("alter", json!({"changes": [["drop", "half"]]}))),
        ("other partitions", |both| {
            drop(both.keyed.product.run(&["update", "t", "--partition-by", "bucket(2, id)"]).good("update"));
        }),
    ];
    for (seed, ((what, act), between)) in (1..).zip(acts.into_iter().flat_map(|act| [(act, true), (act, false)])) {
        // What partitions the table is not changed.
        let asked = [&[][..], WRITTEN_BY_OTHERS[1]][usize::from(between)];
        let replay = format!("{asked:?}, {what}, between stage and commit: {between}");
        let mut both = Both::with_history(seed, asked).await;
        let ended = both.sync_meeting(act, between).await;
        assert!(matches!(ended, Ok(Ended::CaughtUp)), "{replay}: {ended:?}");
        both.goes_on(&replay).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f10_f12_what_a_person_has_to_decide_about_suspends_a_table_with_one_row_a_key() {
    let changes = [Change::Rollback, Change::LedgerRemoved, Change::TableMadeAgain, Change::TableDropped];
    for (seed, (change, between)) in (1..).zip(changes.into_iter().flat_map(|it| [(it, true), (it, false)])) {
        let replay = format!("{change:?}, between stage and commit: {between}");
        let both = Both::with_history(seed, WAYS[seed as usize % WAYS.len()]).await;
        let before = both.world.load().await.metadata.snapshots().count();
        let reason = suspended(both.world.sync_meeting(change, between).await, &replay);
        assert!(reason.contains("hint"), "{replay}: says what to do: {reason}");
        match both.world.catalog.load_table(&both.world.table).await {
            Ok(table) if change == Change::TableMadeAgain => {
                assert_eq!(table.metadata.snapshots().count(), 0, "{replay}: another's table is not written to");
            }
            Ok(table) => assert_eq!(table.metadata.snapshots().count(), before, "{replay}: nothing was committed"),
            Err(_) => assert_eq!(change, Change::TableDropped, "{replay}"),
        }
    }
}

/// What identifies rows is what it was when the job committed last, or a person is asked; once that is undone, it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn f11_columns_that_identify_rows_change_behind_no_job() {
    let acts = [
        (
            "nothing identifies them",
            json!([["identify", ""]]),
            json!([["identify", "id"]]),
            "does not say which columns",
        ),
        (
            "another column does",
            json!([["require", "v"], ["identify", "v"]]),
            json!([["identify", "id"]]),
            "by v, and were by id",
        ),
        (
            "one more does",
            json!([["require", "half"], ["identify", "id", "half"]]),
            json!([["identify", "id"]]),
            "and were by id",
        ),
        (
            "it has another name",
            json!([["rename", "id", "ident"]]),
            json!([["rename", "ident", "id"]]),
            "ident is missing",
        ),
    ];
    for (seed, ((what, changes, undone, words), between)) in
        (1..).zip(acts.iter().flat_map(|act| [(act, true), (act, false)]))
    {
        let asked: &[&str] =
            [&[][..], &["--error-handling", "LOG"]][usize::from(*what != "it has another name" && seed % 4 > 1)];
        let replay = format!("{asked:?}, {what}, between stage and commit: {between}");
        let mut both = Both::with_history(seed, asked).await;
        let before = both.world.load().await.metadata.snapshots().count();
        // Of what it committed no snapshot need be left.
        let forgets = !between;
        let alter = |both: &Both| {
            for verb in [&["compact", "t"][..], &["expire", "t", "--keep", "1"]].iter().filter(|_| forgets) {
                both.keyed.product.run(verb).good(&replay);
            }
            both.engine("alter", json!({"changes": changes}));
        };
        let reason = suspended(both.sync_meeting(alter, between).await, &replay);
        assert!(reason.contains(words) && reason.contains("hint"), "{replay}: {reason}");
        // Deletes that come before the first record without its key are rows that went.
        let is_read = *what == "it has another name";
        let snapshots = both.world.load().await.metadata.snapshots().count();
        assert!(snapshots == before || is_read || forgets, "{replay}: nothing was committed");
        tokio::task::block_in_place(|| both.engine("alter", json!({"changes": undone})));
        let ended = both.world.sync().await;
        assert!(matches!(ended, Ok(Ended::CaughtUp)), "{replay}: {ended:?}");
        both.goes_on(&replay).await;
    }
}

/// Its values are gone: the table stays as it is, another one gets all of the topic.
#[tokio::test(flavor = "multi_thread")]
async fn f11_a_table_whose_key_another_engine_drops_stops_and_nothing_is_lost() {
    for (seed, between) in [(1, true), (2, false)] {
        let replay = format!("between stage and commit: {between}");
        let both = Both::with_history(seed, &[]).await;
        let before = both.world.load().await.metadata.snapshots().count();
        let alter = |both: &Both| both.engine("alter", json!({"changes": [["identify", ""], ["drop", "id"]]}));
        let reason = suspended(both.sync_meeting(alter, between).await, &replay);
        assert!(reason.contains("does not say which columns") && reason.contains("--table"), "{replay}: {reason}");
        assert_eq!(both.world.load().await.metadata.snapshots().count(), before, "{replay}: nothing was committed");
        let product = &both.keyed.product;
        product.run(&["enable", "t", "--table", "u", "--mode", "upsert", "--key", "id"]).good(&replay);
        product.run(&["sync", "u"]).good(&replay);
        let rows = product.rows_by("tableflow", "u", &replay);
        let found = rows.iter().map(|row| (row["id"].as_i64().unwrap(), row["v"].as_i64().unwrap()));
        assert_eq!(&found.collect::<BTreeMap<_, _>>(), both.keyed.expected(), "{replay}");
    }
}
