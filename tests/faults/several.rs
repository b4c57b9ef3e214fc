//! One topic into several tables: an epoch is in all of them, or in none, whatever dies.
//!
//! The job here sends even ids to one table and odd ids to the other, so that every row has one place.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use async_trait::async_trait;
use iceberg::spec::{FormatVersion, Transform, UnboundPartitionSpec};
use tableflow::definition::Definition;
use tableflow::home::Home;
use tableflow::pipeline::budget::TableMemory;
use tableflow::pipeline::dispatch::{Dispatch, OneTable, Rows};
use tableflow::pipeline::epochs::{Epochs, Sink};
use tableflow::pipeline::job::{Ended, Goal};
use tableflow::pipeline::progress::Progress;
use tableflow::pipeline::target::Holds;
use tableflow_catalog::TableCreation;
use tableflow_catalog::fault::CommitFault::{ApplyThenUnknown, HoldThenUnknown, Pass, UnknownWithoutApplying};
use tableflow_model::protocol::{Epoch, EpochManifest, Intent, Ledger};
use tableflow_model::{Error, Records, Result, TableName};
use tableflow_store::KillPoint;
use tableflow_store::fault::{Effect, Fault, Operation};
use tableflow_store::kill::ENVIRONMENT_VARIABLE;
use tokio_util::sync::CancellationToken;

use super::product::Product;
use super::world::{Running, World, end_of};

const VICTIM: &str = "TABLEFLOW_TEST_VICTIM";
const KILLED: &str = "several::a_job_killed_anywhere_between_its_manifest_and_its_tables_loses_and_doubles_nothing";
const SIGKILL: i32 = 9;

/// Tables are made and definitions and reports written by verbs.
const NOT_PASSED: [KillPoint; 6] = [
    KillPoint::CatalogCreateBefore,
    KillPoint::CatalogCreateAfter,
    KillPoint::DefinitionBefore,
    KillPoint::DefinitionAfter,
    KillPoint::StatusBefore,
    KillPoint::StatusAfter,
];

/// A point is passed so often at most by one run.
const PASSES_MAX: u32 = 30;

/// Enough commits in the last one for its metadata to be trimmed.
const POINTS_OF_A_WORLD: usize = 3;

/// The rows of one table, dealt out to two.
#[derive(Debug)]
struct ByParity(OneTable);

#[async_trait]
impl Dispatch for ByParity {
    async fn rows(&mut self, records: &Records, epoch: Epoch) -> Result<Vec<Rows>> {
        let mut rows = self.0.rows(records, epoch).await?;
        for rows in &mut rows {
            let [(_, batch)] = rows.parts.as_slice() else { return Err(Error::data("there is one table of rows")) };
            rows.parts = vec![(0, of_parity(batch, 0)?), (1, of_parity(batch, 1)?)];
        }
        Ok(rows)
    }

    fn dead_letters(&self) -> usize {
        2
    }
}

fn of_parity(batch: &RecordBatch, rest: i64) -> Result<RecordBatch> {
    let ids = batch.column_by_name("id").and_then(|ids| ids.as_any().downcast_ref::<Int64Array>());
    let ids = ids.ok_or_else(|| Error::data("no ids"))?;
    let mask: BooleanArray = ids.iter().map(|id| id.map(|id| id % 2 == rest)).collect();
    filter_record_batch(batch, &mask).map_err(|error| Error::internal(error.to_string()))
}

fn tables() -> [TableName; 2] {
    ["even", "odd"].map(|name| TableName::new("bronze", name).unwrap())
}

/// Two empty tables with the columns of `bronze.t`, the second one partitioned.
async fn make_tables(home: &Home) {
    let like = home.catalog.load_table(&TableName::new("bronze", "t").unwrap()).await.unwrap();
    let schema = like.metadata.current_schema().as_ref().clone();
    let id = schema.field_id_by_name("id").unwrap();
    let spec = UnboundPartitionSpec::builder().add_partition_field(id, "id_bucket", Transform::Bucket(3)).unwrap();
    for (table, partition_spec) in tables().iter().zip([None, Some(spec.build())]) {
        let creation = TableCreation {
            location: None,
            schema: schema.clone(),
            partition_spec,
            sort_order: None,
            properties: HashMap::new(),
            format_version: FormatVersion::V2,
        };
        home.catalog.create_table(table, creation).await.unwrap();
    }
}

async fn run(home: Home, definition: Definition, tables: Vec<TableName>, goal: Goal) -> Result<Ended> {
    let sinks = tables.into_iter().map(|table| Sink { table, uuid: None, holds: Holds::Rows, decoded: None }).collect();
    let watched = (Arc::new(Progress::default()), TableMemory::new(1 << 30));
    let like = home.catalog.load_table(&definition.table).await?;
    let dispatch = Box::new(ByParity(OneTable::new(&home, &definition, &like.metadata).await?));
    Epochs::new(home, definition, (sinks, dispatch), watched, goal).await?.run().await
}

/// The definition of `bronze.t`, as a job of its own into the two tables.
async fn definition(home: &Home) -> Definition {
    let table = TableName::new("bronze", "t").unwrap();
    let mut definition = home.definitions().get(&table).await.unwrap();
    definition.job = "split".parse().unwrap();
    definition
}

fn catch_up() -> Goal {
    Goal::CatchUp(CancellationToken::new())
}

impl World {
    async fn with_two_tables() -> Self {
        let world = World::new().await;
        make_tables(&world.home).await;
        world
    }

    async fn start_split(&self, goal: Goal) -> Running {
        tokio::spawn(run(self.home.clone(), definition(&self.home).await, tables().to_vec(), goal))
    }

    async fn split(&self) -> Result<Ended> {
        end_of(self.start_split(catch_up()).await).await
    }

    async fn check_split(&self, replay: &str) {
        check(&self.product, &self.home, replay).await;
    }
}

/// Every record is in its table, once; in each table the ledgers of the snapshots rise; and no table is past a
/// manifest, or behind one that has files for it.
async fn check(product: &Product, home: &Home, replay: &str) {
    product.check_in(&["even", "odd"], replay);
    let job = "split".parse().unwrap();
    let mut manifests = Vec::new();
    for object in home.store.list_all(&home.state.epochs(&job)).await.unwrap() {
        let bytes = home.store.get(&object.uri).await.unwrap();
        manifests.push(EpochManifest::from_text(std::str::from_utf8(&bytes).unwrap()).unwrap());
    }
    for (rest, table) in tables().iter().enumerate() {
        let wrong = format!("SELECT count(*) AS n FROM {table} WHERE id % 2 <> {rest}");
        let wrong = product.run(&["query", &wrong, "-o", "json"]).good(replay).json();
        assert_eq!(wrong[0]["n"], 0, "{replay}: rows of the other table in {table}");
        let metadata = home.catalog.load_table(table).await.unwrap().metadata;
        let property = Ledger::property(&job);
        let ledger = |text: &String| Ledger::from_text(text).unwrap();
        let at = ledger(metadata.properties().get(&property).unwrap()).epoch;
        let mut snapshots: Vec<_> = metadata.snapshots().collect();
        snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
        let epochs = snapshots.iter().filter_map(|snapshot| snapshot.summary().additional_properties.get(&property));
        let epochs: Vec<u64> = epochs.map(|text| ledger(text).epoch.0).collect();
        // A fence repeats the epoch that it found; nothing goes back.
        assert!(epochs.is_sorted(), "{replay}: {table} went through epochs {epochs:?}");
        let name = tableflow_model::protocol::SinkName(table.to_string());
        let has_files = |manifest: &&EpochManifest| match &manifest.intent {
            Intent::Work { sinks, .. } => sinks.get(&name).is_some_and(|work| !work.files.is_empty()),
            Intent::Claim => false,
        };
        let newest = manifests.iter().filter(has_files).map(|manifest| manifest.epoch).max().unwrap_or_default();
        assert!(at >= newest, "{replay}: {table} is at epoch {at}, its manifests at {newest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_reply_is_lost_is_in_every_table_once() {
    let scripts = [
        vec![ApplyThenUnknown],
        vec![Pass, Pass, ApplyThenUnknown],
        vec![Pass, Pass, Pass, ApplyThenUnknown],
        vec![Pass, Pass, UnknownWithoutApplying, Pass, UnknownWithoutApplying],
        vec![Pass, Pass, HoldThenUnknown],
        vec![Pass, Pass, Pass, HoldThenUnknown, ApplyThenUnknown],
    ];
    for script in scripts {
        let replay = format!("{script:?}");
        let world = World::with_two_tables().await;
        script.iter().for_each(|fault| world.commits.script(*fault));
        for round in 0..3 {
            let ended = world.split().await;
            assert!(matches!(ended, Ok(Ended::CaughtUp)), "{replay}: {ended:?}");
            world.check_split(&replay).await;
            world.product.produce_with(4, &format!(r#""column_{round}":{round}"#)).good("produce");
        }
        let faults = script.iter().filter(|fault| **fault != Pass).count();
        assert_eq!(world.commits.fired().len(), faults, "{replay}: every fault was met");
        world.commits.land_held().await;
        assert!(matches!(world.split().await, Ok(Ended::CaughtUp)), "{replay}");
        world.check_split(&replay).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_whose_put_fails_or_whose_reply_is_lost_decides_its_epoch_once() {
    for (effect, skip) in [Effect::FailBefore, Effect::FailAfter, Effect::DiskFull].iter().flat_map(|effect| {
        // The claim, and the first epoch's manifest.
        [(*effect, 0), (*effect, 1)]
    }) {
        let replay = format!("{effect:?} at put {skip} of a manifest");
        let world = World::with_two_tables().await;
        world.requests.script(Fault::new(Operation::Put, effect).on_path("jobs/split/epochs/").after(skip));
        for _ in 0..2 {
            let ended = world.split().await;
            assert!(matches!(ended, Ok(Ended::CaughtUp)), "{replay}: {ended:?}");
            world.check_split(&replay).await;
            world.product.produce(4).good("produce");
        }
        assert!(!world.requests.fired().is_empty(), "{replay}: the fault was not met");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_on_the_same_tables_one_goes_on() {
    let world = World::with_two_tables().await;
    let stop = CancellationToken::new();
    let first = world.start_split(Goal::Follow(stop.clone())).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let second = world.start_split(Goal::Follow(stop.clone())).await;
    for _ in 0..20 {
        world.product.produce(6).good("produce");
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    stop.cancel();
    let ended = [end_of(first).await.unwrap(), end_of(second).await.unwrap()];
    let fenced = ended.iter().filter(|ended| matches!(ended, Ended::Fenced(_))).count();
    assert_eq!(fenced, 1, "{ended:?}");
    assert!(matches!(world.split().await, Ok(Ended::CaughtUp)));
    world.check_split("two processes on the same tables").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_filled_alone_goes_on_beside_another() {
    let world = World::with_two_tables().await;
    assert!(matches!(world.sync().await, Ok(Ended::CaughtUp)));
    world.check("alone").await;
    world.product.produce(6).good("produce");
    let [_, odd] = tables();
    let both = || async {
        let definition = world.definition().await;
        run(world.home.clone(), definition, vec![world.table.clone(), odd.clone()], catch_up()).await
    };
    for round in 0..3 {
        assert!(matches!(both().await, Ok(Ended::CaughtUp)));
        world.product.check_in(&["t", "odd"], &format!("with another, round {round}"));
        world.product.produce(5).good("produce");
    }
    let alone = super::world::suspended(world.sync().await, "alone again");
    assert!(alone.contains("was decided by a manifest, and this job writes none"), "{alone}");
}

/// What the killed process does: the job, up to the topic's end.
async fn victim(directory: &Path) {
    let home = Home::open(directory).await.unwrap();
    let definition = definition(&home).await;
    let ended = run(home, definition, tables().to_vec(), catch_up()).await;
    assert!(matches!(ended, Ok(Ended::CaughtUp)), "{ended:?}");
}

fn run_victim(directory: &Path, kill_at: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([KILLED, "--exact", "--nocapture"]).env(VICTIM, directory).env(ENVIRONMENT_VARIABLE, kill_at);
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_killed_anywhere_between_its_manifest_and_its_tables_loses_and_doubles_nothing() {
    if let Some(directory) = std::env::var_os(VICTIM) {
        return victim(Path::new(&directory)).await;
    }
    let points: Vec<_> = KillPoint::of_jobs().filter(|point| !NOT_PASSED.contains(point)).collect();
    // Tables of hundreds of files and columns take readers long.
    for points in points.chunks(POINTS_OF_A_WORLD) {
        let world = World::with_two_tables().await;
        for point in points {
            kill_at_every_pass(&world, point.name()).await;
        }
    }
}

async fn kill_at_every_pass(world: &World, point: &str) {
    for nth in 1..=PASSES_MAX {
        let replay = format!("killed at {point}:{nth}");
        // A column of its own each time, so that the tables' columns grow ahead of the files.
        world.product.produce_with(5, &format!(r#""{point}:{nth}":0"#)).good("produce");
        let killed = run_victim(world.product.directory(), &format!("{point}:{nth}"));
        if killed.status.signal() != Some(SIGKILL) {
            assert!(killed.status.success(), "{replay}: {}", String::from_utf8_lossy(&killed.stderr));
            world.check_split(&replay).await;
            println!("{point}: {} kills", nth - 1);
            assert!(nth > 1, "{point} was not hit");
            return;
        }
        assert!(matches!(world.split().await, Ok(Ended::CaughtUp)), "{replay}");
        world.check_split(&replay).await;
    }
    panic!("{point} is passed without end");
}
