//! A table with one row a key in each way that deleted rows are written, and on its way from one to another.

use iceberg::spec::{DataFileFormat, ManifestContentType};

use super::compacted::SORT;
use super::deleted::longs_of;
use super::upserted::{Upserts, changes};
use super::*;
use crate::compact::Strategy;
use crate::layout::DeleteEncoding;
use crate::read::ColumnReader;
use crate::upsert::KeyedTable;

impl Table {
    /// From now on deleted rows are written so.
    pub fn encode(&mut self, encoding: DeleteEncoding) {
        let mut updates = vec![TableUpdate::SetProperties { updates: encoding.properties() }];
        if let Some(format_version) = encoding.format_version() {
            updates.push(TableUpdate::UpgradeFormatVersion { format_version });
        }
        self.apply(updates);
        assert_eq!(DeleteEncoding::of(&self.metadata), encoding);
    }
}

impl Upserts {
    pub fn encode(&mut self, encoding: DeleteEncoding) {
        self.table.encode(encoding);
    }

    /// What an epoch added is of the table's encoding.
    async fn check_added(&self, replay: &str) {
        let deletes = self.table.live_of(ManifestContentType::Deletes).await;
        let sequence = self.table.metadata.last_sequence_number();
        let encoding = DeleteEncoding::of(&self.table.metadata);
        let mut vectors = BTreeMap::new();
        for delete in deletes {
            let is_vector = delete.file.file_format() == DataFileFormat::Puffin;
            if is_vector {
                *vectors.entry(delete.file.referenced_data_file()).or_insert(0) += 1;
            }
            let added = (delete.sequence == sequence).then_some(is_vector);
            match encoding {
                DeleteEncoding::Position => assert_ne!(added, Some(true), "{replay}"),
                DeleteEncoding::Vector => assert_ne!(added, Some(false), "{replay}"),
                DeleteEncoding::Copy => assert_eq!(added, None, "{replay}"),
            }
        }
        assert!(vectors.values().all(|count| *count == 1), "{replay}: {vectors:?}");
    }
}

#[tokio::test]
async fn one_row_a_key_however_deleted_rows_are_written() {
    use DeleteEncoding::{Copy, Position, Vector};
    let layouts = [("", ""), ("day(ts)", ""), ("bucket(3, id)", "value"), ("", "id")];
    let ways =
        [vec![Vector], vec![Copy], vec![Position, Vector], vec![Position, Copy], vec![Copy, Vector, Copy, Vector]];
    let (mut moved, mut given_up, mut tidied) = (0, 0, 0);
    for (seed, way) in (1..).zip(&ways) {
        let (partition_by, sort_by) = layouts[seed as usize % layouts.len()];
        let mut upserts = Upserts::new(partition_by, sort_by, seed);
        let mut under_way = None;
        for step in 0..48 {
            let turn = step * way.len() / 48;
            if step % (48 / way.len()) == 0 {
                upserts.encode(way[turn]);
            }
            let replay = format!("{way:?}, {partition_by}, {sort_by}, seed {seed}, step {step}");
            let lot = upserts.random.usize(..25);
            let lot = upserts.by_lot(lot);
            let refused = upserts.random.u32(..5).saturating_sub(3);
            upserts.epoch(&lot, refused).await;
            upserts.check_added(&replay).await;
            match upserts.random.u8(..8) {
                0 => upserts.foreign_values().await,
                1 => under_way = Some(upserts.table.rewrite().await),
                2 => under_way = Some(upserts.table.rewrite_by(SORT).await),
                3 | 4 => match under_way.take() {
                    Some(one) => match upserts.table.try_publish(one).await.unwrap() {
                        Some((_, deletes)) => moved += deletes,
                        None => given_up += 1,
                    },
                    None => tidied += u32::from(upserts.table.tidy().await.is_some()),
                },
                5 => {
                    let (store, metadata) = (upserts.table.store.clone(), upserts.table.metadata.clone());
                    upserts.keyed = KeyedTable::new(store, &metadata, vec![1], seed).unwrap();
                }
                _ => {}
            }
            upserts.check(&replay).await;
        }
    }
    assert!(moved > 0 && given_up > 0 && tidied > 0, "{moved} deletes moved, {given_up} given up, {tidied} tidied");
}

/// A table that copies on write rids itself of the delete files of before, and has none of its own.
#[tokio::test]
async fn a_table_that_copies_on_write_has_no_delete_files() {
    let mut upserts = Upserts::new("", "", 1);
    upserts.epoch(&[(1, Some(1)), (2, Some(2)), (3, Some(3))], 0).await;
    upserts.epoch(&[(1, None)], 0).await;
    assert_eq!(upserts.table.total("total-delete-files"), 1);
    upserts.encode(DeleteEncoding::Copy);
    upserts.table.compact().await.unwrap();
    assert_eq!(upserts.table.total("total-delete-files"), 0);
    upserts.epoch(&[(2, Some(5)), (3, None)], 0).await;
    let totals = ["total-delete-files", "total-records"].map(|name| upserts.table.total(name));
    assert_eq!(totals, [0, 1], "a file of which nothing is left has no copy");
    upserts.check("copied").await;
}

/// The first vector of a file has what files of positions said of it, and those about it alone are gone.
#[tokio::test]
async fn the_first_vector_of_a_file_takes_in_its_older_positions() {
    let mut upserts = Upserts::new("", "", 1);
    upserts.epoch(&(0..10).map(|key| (key, Some(key))).collect::<Vec<_>>(), 0).await;
    upserts.epoch(&[(1, None), (2, None)], 0).await;
    upserts.encode(DeleteEncoding::Vector);
    upserts.check("right after the upgrade").await;
    upserts.epoch(&[(3, None)], 0).await;
    let deletes = upserts.table.live_of(ManifestContentType::Deletes).await;
    assert_eq!(deletes.iter().map(|live| live.file.record_count()).collect::<Vec<_>>(), [3]);
    assert_eq!(upserts.table.total("total-delete-files"), 1);
    assert_eq!(upserts.table.total("total-position-deletes"), 3);
    upserts.check("one vector").await;
}

/// What is left of files of positions becomes vectors when somebody tidies up.
#[tokio::test]
async fn positions_of_before_an_upgrade_become_vectors() {
    let mut upserts = Upserts::new("", "", 1);
    for key in 0..70 {
        upserts.epoch(&[(key, Some(key)), (1000 + key, Some(key))], 0).await;
    }
    upserts.epoch(&(0..70).map(|key| (key, None)).collect::<Vec<_>>(), 0).await;
    upserts.encode(DeleteEncoding::Vector);
    assert_eq!(upserts.table.tidy().await, Some((1, 70)));
    upserts.check("seventy vectors in one file").await;
    let vectors = upserts.table.live_of(ManifestContentType::Deletes).await;
    assert!(vectors.iter().all(|live| live.file.file_path() == vectors[0].file.file_path()));
    assert_eq!(upserts.table.tidy().await, None);
}

impl Table {
    /// Of each row that is left: its id and the sequence number of its last change, as the format has them inherited.
    async fn lineage(&self) -> BTreeMap<i64, (i64, i64)> {
        let lineage = crate::compact::Lineage::of(&self.metadata).unwrap();
        let reader = ColumnReader::new(&self.metadata, &lineage.schema).unwrap();
        let left: Vec<i64> = self.query("select id from t").await.iter().flat_map(|batch| longs_of(batch, 0)).collect();
        let mut found = BTreeMap::new();
        for live in self.live().await {
            let mut batches = reader.open(&self.store, &live.file).await.unwrap();
            let mut place = live.file.first_row_id().unwrap();
            while let Some(batch) = batches.next().await.unwrap() {
                let columns = batch.num_columns();
                let of = |column: usize| batch.column(column).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
                for ((id, own), sequence) in of(0).into_iter().zip(of(columns - 2)).zip(of(columns - 1)) {
                    let id = id.unwrap();
                    if left.contains(&id) {
                        found.insert(id, (own.unwrap_or(place), sequence.unwrap_or(live.sequence)));
                    }
                    place += 1;
                }
            }
        }
        found
    }
}

/// Rows keep their ids, and when they came, whatever is rewritten around them: data files and manifests (R7).
#[tokio::test]
async fn rows_keep_their_ids() {
    for strategy in [Strategy::BinPack, SORT] {
        let mut table = Table::new(changes(&[]).schema().fields(), "", "value desc");
        table.upgrade();
        for key in 0..40 {
            table.append(&changes(&[(2 * key, key % 7), (2 * key + 1, key % 3)])).await;
        }
        let before = table.lineage().await;
        let ids: std::collections::BTreeSet<i64> = before.values().map(|(id, _)| *id).collect();
        assert_eq!(ids.len(), 80, "no two rows have the same id");
        let of = table.live().await.remove(0);
        let gone = table.ids_in(&of).await;
        let vector = table.vector(&of, &[0].into_iter().collect()).await;
        table.delete(0, vec![vector]).await;
        let under_way = table.rewrite_by(strategy).await;
        table.append(&changes(&[(1000, 1)])).await;
        assert!(table.try_publish(under_way).await.unwrap().is_some());
        let after = table.lineage().await;
        let new = after[&1000];
        assert!(!ids.contains(&new.0), "an id is given out once");
        let kept: BTreeMap<i64, (i64, i64)> =
            after.iter().filter(|(id, _)| **id < 1000).map(|(id, at)| (*id, *at)).collect();
        let expected: BTreeMap<_, _> = before.into_iter().filter(|(id, _)| *id != gone[0]).collect();
        assert_eq!(kept, expected, "{strategy:?}");
        // Once more, of files that have the ids in themselves.
        table.append(&changes(&[(1001, 1)])).await;
        table.compact().await;
        let again: BTreeMap<i64, (i64, i64)> = table.lineage().await.into_iter().filter(|(id, _)| *id < 1000).collect();
        assert_eq!(again, expected, "{strategy:?}, again");
    }
}
