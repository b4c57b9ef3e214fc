//! What a feed tells, held against plain maps: the rows of one snapshot and the changes are those of the other.

use iceberg::spec::{Operation, Snapshot, Summary};
use tableflow_model::protocol::feed::{FLOOR_PROPERTY, Position, Registration};
use tableflow_model::{ChangeBatch, ChangeKind};

use super::deleted::longs_of;
use super::upserted::{Upserts, changes};
use super::*;
use crate::commit::prepare_expiry;
use crate::feed::{Changes, Step, position_of, step_after};
use crate::layout::{DeleteEncoding, identified_by};
use crate::read::schema_at;

/// Key and value of a row, and what became of it.
type Told = (ChangeKind, i64, i64);

/// Rows, each as often as it is there.
type Rows = BTreeMap<(i64, i64), i64>;

impl Upserts {
    /// Rows are identified as the catalog's schema says.
    fn identified(mut self) -> Self {
        let schema = self.table.metadata.current_schema().as_ref().clone();
        let schema = identified_by(schema, &["id".to_owned()]).unwrap().into_builder().with_schema_id(1).build();
        let added = TableUpdate::AddSchema { schema: schema.unwrap() };
        self.table.apply(vec![added, TableUpdate::SetCurrentSchema { schema_id: -1 }]);
        self
    }

    /// A commit of somebody who writes the files of all rows anew, and does not say that the rows are the same.
    async fn overwrite(&mut self) {
        let under_way = self.table.rewrite().await;
        let Some((mut prepared, _)) = self.table.prepare(under_way).await.unwrap() else { return };
        for update in &mut prepared.updates {
            if let TableUpdate::AddSnapshot { snapshot } = update {
                *snapshot = overwriting(snapshot);
            }
        }
        self.table.publish(prepared);
    }

    async fn roll_back(&mut self, to: i64) {
        let metadata = self.table.metadata.clone();
        let back = prepare_rollback(self.table.context(), &metadata, to, BTreeMap::new(), &[]).await.unwrap();
        self.table.publish(back);
    }

    fn main(&self) -> i64 {
        self.table.metadata.current_snapshot_id().unwrap()
    }

    async fn told(&self, step: Step) -> Vec<Told> {
        let table = &self.table.metadata;
        let schema = schema_at(table, table.snapshot_by_id(step.to.unwrap()).unwrap());
        let mut changes = Changes::open(&self.table.store, table, &schema, step).await.unwrap();
        let mut told = Vec::new();
        while let Some(ChangeBatch { kinds, rowtimes, rows }) = changes.next().await.unwrap() {
            assert_eq!((kinds.len(), rowtimes.len()), (rows.num_rows(), rows.num_rows()));
            let kinds = kinds.values().iter().map(|code| ChangeKind::of_code(*code).unwrap());
            let rows = longs_of(&rows, 0).into_iter().zip(longs_of(&rows, 1));
            told.extend(kinds.zip(rows).map(|(kind, (key, value))| (kind, key, value)));
        }
        told
    }

    async fn told_between(&self, from: Option<i64>, to: i64) -> Vec<Told> {
        let mut told = Vec::new();
        for step in steps_between(&self.table.metadata, from, Some(to)).unwrap() {
            told.extend(self.told(step).await);
        }
        told
    }
}

/// What has to be read to get from a snapshot to another, in order.
fn steps_between(table: &TableMetadata, from: Option<i64>, to: Option<i64>) -> tableflow_model::Result<Vec<Step>> {
    let mut own = position_of(from.and_then(|id| table.snapshot_by_id(id)));
    let mut steps = Vec::new();
    while let Some((next, step)) = step_after(table, own, to)? {
        steps.extend(step);
        own = next;
    }
    Ok(steps)
}

fn overwriting(snapshot: &Snapshot) -> Snapshot {
    let additional_properties = snapshot.summary().additional_properties.clone();
    let copy = Snapshot::builder()
        .with_snapshot_id(snapshot.snapshot_id())
        .with_parent_snapshot_id(snapshot.parent_snapshot_id())
        .with_sequence_number(snapshot.sequence_number())
        .with_timestamp_ms(snapshot.timestamp_ms())
        .with_manifest_list(snapshot.manifest_list().to_owned())
        .with_summary(Summary { operation: Operation::Overwrite, additional_properties })
        .with_schema_id(snapshot.schema_id().unwrap());
    match snapshot.row_range() {
        None => copy.build(),
        Some((first, given_out)) => copy.with_row_range(first, given_out).build(),
    }
}

/// Every row that goes is there, and an update is of one key.
fn apply(rows: &mut Rows, told: &[Told], replay: &str) {
    for (place, (kind, key, value)) in told.iter().enumerate() {
        let count = rows.entry((*key, *value)).or_default();
        *count += if kind.adds() { 1 } else { -1 };
        assert!(*count >= 0, "{replay}: {kind} of {key}: {value}, which is not there, in {told:?}");
        if *kind == ChangeKind::UpdateBefore {
            let after = told.get(place + 1).unwrap();
            assert_eq!((after.0, after.1), (ChangeKind::UpdateAfter, *key), "{replay}");
        }
    }
    rows.retain(|_, count| *count > 0);
}

fn rows_of(map: &BTreeMap<i64, i64>) -> Rows {
    map.iter().map(|(key, value)| ((*key, *value), 1)).collect()
}

#[tokio::test]
async fn i1_one_snapshots_rows_and_the_changes_are_the_other_ones() {
    let mut steps_told = 0;
    use DeleteEncoding::{Copy, Position, Vector};
    for (partition_by, seed, is_keyed, encoding) in [
        ("", 1, true, Position),
        ("day(ts)", 2, true, Vector),
        ("bucket(3, id)", 3, false, Position),
        ("", 4, true, Copy),
        ("day(ts)", 5, false, Position),
    ] {
        let mut upserts = Upserts::new(partition_by, "", seed);
        upserts.encode(encoding);
        if is_keyed {
            upserts = upserts.identified();
        }
        let mut history: Vec<(i64, BTreeMap<i64, i64>)> = Vec::new();
        for step in 0..30 {
            let lot = upserts.by_lot(20);
            upserts.tells = upserts.random.bool();
            match upserts.random.u8(..8) {
                0 => upserts.foreign().await,
                1 => drop(upserts.table.compact().await),
                2 => upserts.overwrite().await,
                3 if !history.is_empty() => {
                    let (to, expected) = upserts.random.choice(&history).unwrap().clone();
                    upserts.roll_back(to).await;
                    upserts.expected = expected;
                }
                _ => upserts.epoch(&lot, step % 2).await,
            }
            if upserts.table.metadata.current_snapshot().is_some() {
                history.push((upserts.main(), upserts.expected.clone()));
            }
        }
        for round in 0..30 {
            let pick = |upserts: &mut Upserts| upserts.random.choice(&history).unwrap().clone();
            let ((from, before), (to, after)) = (pick(&mut upserts), pick(&mut upserts));
            let replay = format!("{partition_by}, seed {seed}, round {round}, from {from} to {to}");
            let (mut followed, mut compared) = (rows_of(&before), rows_of(&before));
            apply(&mut followed, &upserts.told_between(Some(from), to).await, &replay);
            assert_eq!(followed, rows_of(&after), "step by step: {replay}");
            let difference = upserts.told(Step { from: Some(from), to: Some(to), is_told: false }).await;
            apply(&mut compared, &difference, &replay);
            assert_eq!(compared, rows_of(&after), "at once: {replay}");
            let said: BTreeMap<(i64, i64), usize> = difference.iter().fold(BTreeMap::new(), |mut said, told| {
                *said.entry((told.1, told.2)).or_default() += 1;
                said
            });
            assert!(said.values().all(|count| *count == 1), "a row that stays is told of: {replay} {difference:?}");
        }
        let (last, expected) = history.last().unwrap().clone();
        let mut rows = Rows::new();
        apply(&mut rows, &upserts.told_between(None, last).await, "from the first one");
        assert_eq!(rows, rows_of(&expected), "from before the first snapshot");
        let all = steps_between(&upserts.table.metadata, None, Some(last)).unwrap();
        steps_told += all.iter().filter(|step| step.is_told).count();
    }
    assert!(steps_told > 10, "{steps_told} steps with a change file");
}

#[tokio::test]
async fn every_version_is_told_in_order_with_what_it_replaced() {
    use ChangeKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let mut upserts = Upserts::new("", "", 7).identified();
    upserts.epoch(&[(1, Some(10)), (2, Some(20))], 0).await;
    let before = upserts.main();
    upserts.tells = true;
    let lot = [(1, Some(11)), (3, Some(30)), (1, Some(12)), (2, None), (3, None), (9, None), (4, Some(40))];
    upserts.epoch(&lot, 0).await;
    let after = upserts.main();
    let due = [
        (UpdateBefore, 1, 10),
        (UpdateAfter, 1, 11),
        (Insert, 3, 30),
        (UpdateBefore, 1, 11),
        (UpdateAfter, 1, 12),
        (Delete, 2, 20),
        (Delete, 3, 30),
        (Insert, 4, 40),
    ];
    assert_eq!(upserts.told_between(Some(before), after).await, due);
    // The same without the file: what is left of it.
    let net = upserts.told(Step { from: Some(before), to: Some(after), is_told: false }).await;
    assert_eq!(net, [(UpdateBefore, 1, 10), (UpdateAfter, 1, 12), (Insert, 4, 40), (Delete, 2, 20)]);
}

#[tokio::test]
async fn compactions_tell_nothing_and_an_expired_feed_says_so() {
    let mut upserts = Upserts::new("", "", 8).identified();
    for lot in 0..4 {
        upserts.epoch(&[(lot, Some(lot)), (100, Some(lot))], 0).await;
    }
    let before = upserts.main();
    upserts.overwrite().await;
    let overwritten = upserts.main();
    assert_ne!(before, overwritten);
    assert_eq!(upserts.told_between(Some(before), overwritten).await, [], "the same rows in other files");
    for lot in 4..8 {
        upserts.epoch(&[(lot, Some(lot)), (100, Some(lot))], 0).await;
    }
    let written = upserts.main();
    upserts.table.compact().await.unwrap();
    let compacted = upserts.main();
    assert!(steps_between(&upserts.table.metadata, Some(written), Some(compacted)).unwrap().is_empty());
    upserts.epoch(&[(1, Some(7))], 0).await;
    upserts.table.apply(vec![TableUpdate::RemoveSnapshots { snapshot_ids: vec![before, overwritten] }]);
    let position = Position { snapshot: Some(before), sequence: 4 };
    let error = step_after(&upserts.table.metadata, position, Some(upserts.main())).unwrap_err();
    assert!(error.to_string().starts_with("the feed has expired"), "{error}");
}

impl Table {
    fn register(&mut self, registration: Registration) {
        let property = Registration::property(&"gold.audit".parse().unwrap());
        let updates = HashMap::from([(property, registration.to_text().unwrap())]);
        self.apply(vec![TableUpdate::SetProperties { updates }]);
    }

    fn floor(&self) -> Option<&String> {
        self.metadata.properties().get(FLOOR_PROPERTY)
    }

    fn snapshots(&self) -> usize {
        self.metadata.snapshots().len()
    }

    /// As `expire` does: what is announced, then what is forgotten.
    fn expire(&mut self, retention: Retention) -> Vec<(bool, u64)> {
        let mut done = Vec::new();
        while let Some(expiry) = prepare_expiry(&self.metadata, retention, self.clock.now()).unwrap() {
            done.push((expiry.is_announced, expiry.forgotten));
            self.apply(expiry.updates);
        }
        done
    }
}

#[tokio::test]
async fn snapshots_are_held_for_those_who_registered_and_not_for_ever() {
    let mut table = Table::new(&columns(), "", "");
    for row in 0..6 {
        table.append(&rows(row, row + 1)).await;
    }
    let keep_two = Retention { snapshots_max: 2, ..Retention::default() };
    let at = |table: &Table, sequence: i64| {
        let found = table.metadata.snapshots().find(|snapshot| snapshot.sequence_number() == sequence);
        Registration::At(position_of(found))
    };
    table.register(at(&table, 3));
    assert_eq!(table.expire(keep_two), [(true, 2), (false, 2)], "the floor first, then what nobody needs");
    assert_eq!((table.floor().unwrap().as_str(), table.snapshots()), ("4", 4));
    table.register(at(&table, 5));
    assert_eq!(table.expire(keep_two), [(false, 2)], "the floor is there");
    table.register(Registration::Starting);
    table.append(&rows(6, 7)).await;
    assert_eq!(table.expire(keep_two), [], "it may start anywhere");
    assert_eq!(table.snapshots(), 3);

    // Four times a week later: who has not come is told so.
    let month = table.metadata.last_updated_ms() - table.clock.now().0 + 29 * 24 * 3600 * 1000;
    table.clock.0.fetch_add(u64::try_from(month).unwrap(), Ordering::Relaxed);
    table.append(&rows(7, 8)).await;
    table.append(&rows(8, 9)).await;
    assert_eq!(table.snapshots(), 2, "commits of the job forget as well, a commit after they said so");
    assert_eq!(table.floor().unwrap().as_str(), "7");
}

#[tokio::test]
async fn new_columns_are_null_in_the_rows_of_before() {
    let mut upserts = Upserts::new("", "", 9);
    upserts.epoch(&[(1, Some(10))], 0).await;
    let before = upserts.main();
    let more = changes(&[(2, 20)]);
    let note: ArrayRef = Arc::new(StringArray::from(vec!["new"]));
    let columns = more.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let named = columns.into_iter().zip(more.columns().to_vec()).chain([("note".to_owned(), note)]);
    let more = RecordBatch::try_from_iter_with_nullable(named.map(|(name, column)| (name, column, true))).unwrap();
    upserts.table.append(&more).await;
    let table = upserts.table.metadata.clone();
    let schema = schema_at(&table, table.current_snapshot().unwrap());
    for (from, due) in [(None, 2), (Some(before), 1)] {
        let step = Step { from, to: Some(upserts.main()), is_told: false };
        let mut changes = Changes::open(&upserts.table.store, &table, &schema, step).await.unwrap();
        let (mut rows, mut notes) = (0, 0);
        while let Some(batch) = changes.next().await.unwrap() {
            let note = batch.rows.column_by_name("note").unwrap();
            rows += batch.rows.num_rows();
            notes += note.len() - note.null_count();
        }
        assert_eq!((rows, notes), (due, 1));
    }
}
