//! Somebody else changes the table or the topic, while the job runs or between its runs (F9, F12, F22).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use iceberg::spec::{FormatVersion, SnapshotReference, SnapshotRetention};
use iceberg::{TableRequirement, TableUpdate};
use tableflow::pipeline::job::Ended;
use tableflow_catalog::fault::CommitFault::Delay;
use tableflow_catalog::{CommitOutcome, TableCreation};
use tableflow_lake::commit::{RowDelta, prepare_row_delta};
use tableflow_model::TopicName;
use tableflow_model::protocol::Ledger;

use super::product::{Product, wait_until};
use super::world::{World, end_of, suspended};

/// Long enough for somebody else's commit to come first.
const WHILE: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Property,
    RowDelta,
    Rollback,
    LedgerRemoved,
    TableMadeAgain,
    TableDropped,
    TopicMadeAgain,
}

impl World {
    async fn commit_foreign(&self, requirements: Vec<TableRequirement>, updates: Vec<TableUpdate>) {
        let base = self.load().await;
        let outcome = self.catalog.commit(&self.table, &base, requirements, updates).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Applied(_)), "{outcome:?}");
    }

    async fn change(&self, change: Change) {
        let base = self.load().await;
        match change {
            Change::Property => {
                let updates = HashMap::from([("owner".to_owned(), "somebody".to_owned())]);
                self.commit_foreign(vec![], vec![TableUpdate::SetProperties { updates }]).await;
            }
            Change::RowDelta => {
                let delta = RowDelta { properties: BTreeMap::new(), ..RowDelta::default() };
                let prepared = prepare_row_delta(self.home.commit_context(), &base.metadata, &delta).await.unwrap();
                self.commit_foreign(prepared.requirements, prepared.updates).await;
            }
            Change::Rollback => {
                let current = base.metadata.current_snapshot().unwrap();
                let snapshot_id = current.parent_snapshot_id().unwrap();
                let retention = SnapshotRetention::branch(None, None, None);
                let reference = SnapshotReference { snapshot_id, retention };
                let update = TableUpdate::SetSnapshotRef { ref_name: "main".to_owned(), reference };
                self.commit_foreign(vec![], vec![update]).await;
            }
            Change::LedgerRemoved => {
                let removals = vec![Ledger::property(&self.definition().await.job)];
                self.commit_foreign(vec![], vec![TableUpdate::RemoveProperties { removals }]).await;
            }
            Change::TableMadeAgain => {
                self.catalog.drop_table(&self.table).await.unwrap();
                let creation = TableCreation {
                    location: None,
                    schema: base.metadata.current_schema().as_ref().clone(),
                    partition_spec: None,
                    sort_order: None,
                    properties: HashMap::new(),
                    format_version: FormatVersion::V2,
                };
                self.catalog.create_table(&self.table, creation).await.unwrap();
            }
            Change::TableDropped => self.catalog.drop_table(&self.table).await.unwrap(),
            Change::TopicMadeAgain => {
                let topic: TopicName = "t".parse().unwrap();
                self.home.topics.delete(&topic).await.unwrap();
                self.home.topics.create(&topic, 2, &BTreeMap::new()).await.unwrap();
            }
        }
    }

    /// Three epochs, so that there is something to go back to.
    async fn with_history() -> Self {
        let world = World::new().await;
        for _ in 0..3 {
            assert!(matches!(world.sync().await, Ok(Ended::CaughtUp)));
            world.product.produce(4).good("produce");
        }
        world
    }

    /// A job that meets the change either between its stage and its commit, or when it starts.
    pub async fn sync_meeting(&self, change: Change, between: bool) -> tableflow_model::Result<Ended> {
        if !between {
            self.change(change).await;
            return self.sync().await;
        }
        self.commits.script(Delay(WHILE));
        let job = self.start_sync().await;
        self.wait_for_faults(1).await;
        self.change(change).await;
        end_of(job).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f9_a_change_that_leaves_our_rows_alone_is_built_upon() {
    for change in [Change::Property, Change::RowDelta] {
        for between in [true, false] {
            let replay = format!("{change:?}, between stage and commit: {between}");
            let world = World::with_history().await;
            let ended = world.sync_meeting(change, between).await;
            assert!(matches!(ended, Ok(Ended::CaughtUp)), "{replay}: {ended:?}");
            world.check(&replay).await;
            if change == Change::Property {
                assert!(world.load().await.metadata.properties().contains_key("owner"), "{replay}: it stays");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f12_f22_a_change_that_a_person_has_to_decide_about_suspends_the_table() {
    let changes =
        [Change::Rollback, Change::LedgerRemoved, Change::TableMadeAgain, Change::TableDropped, Change::TopicMadeAgain];
    for change in changes {
        for between in [true, false] {
            // A topic made again is seen by the next epoch, not by the commit of rows already read.
            if change == Change::TopicMadeAgain && between {
                continue;
            }
            let replay = format!("{change:?}, between stage and commit: {between}");
            let world = World::with_history().await;
            let before = world.load().await.metadata.snapshots().count();
            let reason = suspended(world.sync_meeting(change, between).await, &replay);
            assert!(reason.contains("hint"), "{replay}: says what to do: {reason}");
            println!("{replay}: {reason}");
            match world.catalog.load_table(&world.table).await {
                Ok(table) if change == Change::TableMadeAgain => {
                    assert_eq!(table.metadata.snapshots().count(), 0, "{replay}: another's table is not written to");
                }
                Ok(table) => assert_eq!(table.metadata.snapshots().count(), before, "{replay}: nothing was committed"),
                Err(_) => assert_eq!(change, Change::TableDropped, "{replay}"),
            }
        }
    }
}

#[test]
fn f22_what_was_read_of_a_topic_that_is_deleted_is_committed() {
    for made_again in [false, true] {
        let replay = format!("topic delete under a running service; made again: {made_again}");
        let product = Product::with_topic();
        product.run(&["enable", "t", "--commit-interval", "30s"]).good("enable");
        let up = product.up();
        wait_until("the rows are read", || up.metric("tableflow_records_buffered") == 5.0);
        product.run(&["topic", "delete", "t"]).good("topic delete");
        if made_again {
            product.run(&["topic", "create", "t", "--partitions", "2"]).good("topic create");
        }
        wait_until("what was read is committed", || product.status()["rows_committed"] == 5);
        wait_until("the table is suspended", || product.status()["status"] == "Suspended");
        let reason = product.status()["reason"].as_str().unwrap().to_owned();
        let word = if made_again { "re-created" } else { "was deleted" };
        assert!(reason.contains(word), "{replay}: {reason}");
        product.check(&replay);
        up.signal("TERM");
        assert!(up.wait().success());
    }
}
