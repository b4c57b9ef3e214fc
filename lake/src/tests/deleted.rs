//! Rows that other engines deleted, in each way that the format has, beside a plain list of what is left.

use arrow::array::{Array, Int32Array};
use iceberg::puffin::{Blob, CompressionCodec, DELETION_VECTOR_V1, PuffinReader, PuffinWriter};
use iceberg::spec::{
    DataContentType, DataFileBuilder, DataFileFormat, ManifestContentType, ManifestListWriter, ManifestWriterBuilder,
    NestedField, Operation, PartitionSpec, PrimitiveType, Schema, Snapshot, Struct, Summary, Type,
};
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use roaring::RoaringTreemap;
use tableflow_store::bridge::file_io;

use super::*;
use crate::commit::{LiveFile, live_files_of};
use crate::read::FileRows;

const PATH_ID: i32 = i32::MAX - 101;
const POSITION_ID: i32 = i32::MAX - 102;

fn with_id(name: &str, data_type: DataType, id: i32) -> Field {
    let metadata = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]);
    Field::new(name, data_type, true).with_metadata(metadata)
}

fn parquet(fields: Vec<Field>, columns: Vec<ArrayRef>) -> Vec<u8> {
    let batch = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

impl Table {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> String {
        let uri = format!("{}/data/{name}-{}", self.metadata.location(), self.ids.uuid());
        self.store.put_new(&uri, bytes.into()).await.unwrap();
        uri
    }

    /// A file of positions, which may name the one data file that it is about.
    pub async fn positions(&self, of: &LiveFile, rows: &[(&str, u64)], names_it: bool) -> DataFile {
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        let paths = StringArray::from_iter_values(rows.iter().map(|(path, _)| *path));
        let positions = Int64Array::from_iter_values(rows.iter().map(|(_, position)| *position as i64));
        let fields = vec![with_id("file_path", DataType::Utf8, PATH_ID), with_id("pos", DataType::Int64, POSITION_ID)];
        let bytes = parquet(fields, vec![Arc::new(paths), Arc::new(positions)]);
        let mut delete = deleting(DataContentType::PositionDeletes, of, (rows.len(), bytes.len()));
        delete.file_path(self.put("positions.parquet", bytes).await);
        delete.referenced_data_file(names_it.then(|| of.file.file_path().to_owned()));
        delete.build().unwrap()
    }

    pub async fn vector(&self, of: &LiveFile, rows: &RoaringTreemap) -> DataFile {
        let mut marked = vec![0xD1, 0xD3, 0x39, 0x64];
        rows.serialize_into(&mut marked).unwrap();
        let mut data = (marked.len() as u32).to_be_bytes().to_vec();
        data.extend(&marked);
        data.extend(crc32fast::hash(&marked).to_be_bytes());
        let properties =
            [("referenced-data-file", of.file.file_path().to_owned()), ("cardinality", rows.len().to_string())];
        let blob = Blob::builder()
            .r#type(DELETION_VECTOR_V1.to_owned())
            .fields(vec![POSITION_ID])
            .snapshot_id(-1)
            .sequence_number(-1)
            .data(data)
            .properties(properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            .build();
        let uri = format!("{}/data/vector-{}.puffin", self.metadata.location(), self.ids.uuid());
        let output = file_io(&self.store).new_output(&uri).unwrap();
        let mut writer = PuffinWriter::new(&output, HashMap::new(), false).await.unwrap();
        writer.add(blob, CompressionCodec::None).await.unwrap();
        writer.close().await.unwrap();
        let reader = PuffinReader::new(file_io(&self.store).new_input(&uri).unwrap());
        let blob = &reader.file_metadata().await.unwrap().blobs()[0];
        let size = self.store.head(&uri).await.unwrap().size;
        let mut delete = deleting(DataContentType::PositionDeletes, of, (rows.len() as usize, size as usize));
        delete.file_path(uri).file_format(DataFileFormat::Puffin);
        delete.referenced_data_file(Some(of.file.file_path().to_owned()));
        delete.content_offset(Some(blob.offset() as i64)).content_size_in_bytes(Some(blob.length() as i64));
        delete.build().unwrap()
    }

    /// Of the partition of some file, or of no partition.
    pub async fn equality(&self, of: Option<&LiveFile>, ids: &[i32], columns: Vec<ArrayRef>) -> DataFile {
        let fields =
            ids.iter().zip(&columns).map(|(id, column)| with_id(&format!("c{id}"), column.data_type().clone(), *id));
        let rows = columns[0].len();
        let bytes = parquet(fields.collect(), columns.clone());
        let mut delete = DataFileBuilder::default();
        delete.content(DataContentType::EqualityDeletes).file_format(DataFileFormat::Parquet);
        delete.record_count(rows as u64).file_size_in_bytes(bytes.len() as u64);
        let everywhere = self.metadata.partition_specs_iter().find(|spec| spec.fields().is_empty());
        match of {
            Some(live) => delete.partition(live.file.partition().clone()).partition_spec_id(live.spec_id),
            None => delete.partition(Struct::empty()).partition_spec_id(everywhere.unwrap().spec_id()),
        };
        delete.equality_ids(Some(ids.to_vec()));
        delete.file_path(self.put("equality.parquet", bytes).await);
        delete.build().unwrap()
    }

    /// Deletes the rows whose first column, of whole numbers, is this.
    pub async fn delete_key(&mut self, key: i64) {
        for live in self.live().await {
            let bytes = self.store.get(live.file.file_path()).await.unwrap();
            let keys: Vec<i64> =
                crate::read::FileRows::of(bytes).unwrap().flat_map(|it| longs_of(&it.unwrap(), 0)).collect();
            let of = (0_u64..).zip(keys).filter(|(_, of)| *of == key);
            let places: Vec<(&str, u64)> = of.map(|(row, _)| (live.file.file_path(), row)).collect();
            let delete = self.positions(&live, &places, false).await;
            if !places.is_empty() {
                self.delete(live.spec_id, vec![delete]).await;
            }
        }
    }

    /// A snapshot that adds these delete files, written with one spec.
    pub async fn delete(&mut self, spec_id: i32, deletes: Vec<DataFile>) {
        let metadata = self.metadata.clone();
        let (snapshot_id, sequence) = (self.ids.snapshot_id(), metadata.next_sequence_number());
        let uri = |name: &str| format!("{}/metadata/{name}-{snapshot_id}-{spec_id}.avro", metadata.location());
        let output = file_io(&self.store).new_output(uri("deletes")).unwrap();
        let spec = metadata.partition_spec_by_id(spec_id).unwrap().as_ref().clone();
        let schema = metadata.current_schema().clone();
        let writer = ManifestWriterBuilder::new(output, Some(snapshot_id), schema, spec);
        let v3 = metadata.format_version() == FormatVersion::V3;
        let mut writer = if v3 { writer.build_v3_deletes() } else { writer.build_v2_deletes() };
        for delete in deletes {
            writer.add_file(delete, -1).unwrap();
        }
        let added = writer.write_manifest_file().await.unwrap();
        let parent = metadata.current_snapshot().unwrap();
        let mut manifests = manifests_of(&self.store, &metadata, parent).await.unwrap();
        manifests.push(added);
        let list = uri("list");
        let output = file_io(&self.store).new_output(&list).unwrap().writer().await.unwrap();
        let id = Some(parent.snapshot_id());
        let mut writer = match v3 {
            true => ManifestListWriter::v3(output, snapshot_id, id, sequence, Some(metadata.next_row_id())),
            false => ManifestListWriter::v2(output, snapshot_id, id, sequence),
        };
        writer.add_manifests(manifests.into_iter()).unwrap();
        let next_row_id = writer.next_row_id();
        writer.close().await.unwrap();
        let snapshot = Snapshot::builder()
            .with_snapshot_id(snapshot_id)
            .with_parent_snapshot_id(id)
            .with_sequence_number(sequence)
            .with_timestamp_ms(self.clock.now().0.max(metadata.last_updated_ms()))
            .with_manifest_list(list)
            .with_summary(Summary { operation: Operation::Delete, additional_properties: HashMap::new() })
            .with_schema_id(metadata.current_schema_id());
        let snapshot = match next_row_id {
            Some(next) => snapshot.with_row_range(metadata.next_row_id(), next - metadata.next_row_id()).build(),
            None => snapshot.build(),
        };
        let reference = SnapshotReference::new(snapshot_id, SnapshotRetention::branch(None, None, None));
        self.apply(vec![
            TableUpdate::AddSnapshot { snapshot },
            TableUpdate::SetSnapshotRef { ref_name: "main".to_owned(), reference },
        ]);
    }

    pub fn upgrade(&mut self) {
        self.apply(vec![TableUpdate::UpgradeFormatVersion { format_version: FormatVersion::V3 }]);
    }

    /// Data files.
    pub async fn live(&self) -> Vec<LiveFile> {
        self.live_of(ManifestContentType::Data).await
    }

    pub async fn live_of(&self, content: ManifestContentType) -> Vec<LiveFile> {
        let Some(snapshot) = self.metadata.current_snapshot() else { return Vec::new() };
        let mut live = Vec::new();
        for manifest in manifests_of(&self.store, &self.metadata, snapshot).await.unwrap() {
            if manifest.content == content {
                live.extend(live_files_of(&self.store, &manifest).await.unwrap());
            }
        }
        live
    }

    /// The values of the first column, in the file's order.
    pub async fn ids_in(&self, live: &LiveFile) -> Vec<i64> {
        let bytes = self.store.get(live.file.file_path()).await.unwrap();
        let batches = FileRows::of(bytes).unwrap().map(|batch| batch.unwrap().column(0).clone());
        batches.flat_map(|column| column.as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    async fn ids_left(&self) -> Vec<i64> {
        let batches = self.query("select id from t order by id").await;
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }
}

fn deleting(content: DataContentType, of: &LiveFile, (rows, bytes): (usize, usize)) -> DataFileBuilder {
    let mut delete = DataFileBuilder::default();
    delete.content(content).file_format(DataFileFormat::Parquet);
    delete.partition(of.file.partition().clone()).partition_spec_id(of.spec_id);
    delete.record_count(rows as u64).file_size_in_bytes(bytes as u64);
    delete
}

fn city(id: i64) -> Option<String> {
    (id % 11 != 0).then(|| format!("city {}", id % 7))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    PositionsOfOneFile,
    PositionsOfPartition,
    Vector,
    EqualIds,
    EqualCities,
}

/// A table and what must be left of it: ids, and when each came.
struct World {
    table: Table,
    left: BTreeMap<i64, i64>,
    random: fastrand::Rng,
}

impl World {
    async fn append(&mut self, from: i64, to: i64) {
        self.table.append(&rows(from, to)).await;
        let sequence = self.table.metadata.last_sequence_number();
        self.left.extend((from..to).map(|id| (id, sequence)));
    }

    /// Deletes some rows of some files, or of one partition, in this way.
    async fn delete(&mut self, way: Way) {
        let live = self.table.live().await;
        let of = self.random.choice(&live).unwrap().clone();
        let ids = self.table.ids_in(&of).await;
        let chosen: Vec<u64> = (0..ids.len() as u64).filter(|_| self.random.u8(..) < 60).collect();
        let rows: Vec<(&str, u64)> = chosen.iter().map(|row| (of.file.file_path(), *row)).collect();
        let gone: Vec<i64> = chosen.iter().map(|row| ids[*row as usize]).collect();
        let deletes = match way {
            _ if chosen.is_empty() => return,
            Way::PositionsOfOneFile => self.table.positions(&of, &rows, true).await,
            Way::PositionsOfPartition => self.table.positions(&of, &rows, false).await,
            Way::Vector => return self.merge_vector(&of, &ids, chosen).await,
            Way::EqualIds => self.table.equality(Some(&of), &[1], vec![Arc::new(Int64Array::from(gone.clone()))]).await,
            Way::EqualCities => {
                // Two cities of the rows; where none is known, the null.
                let mut cities: Vec<_> = gone.iter().map(|id| city(*id)).collect();
                cities.dedup();
                cities.truncate(2);
                let column: ArrayRef = Arc::new(StringArray::from(cities.clone()));
                let delete = self.table.equality(Some(&of), &[2], vec![column]).await;
                let partition = of.file.partition();
                let mut gone = Vec::new();
                for other in live.iter().filter(|other| other.file.partition() == partition) {
                    gone.extend(self.table.ids_in(other).await.into_iter().filter(|id| cities.contains(&city(*id))));
                }
                self.table.delete(of.spec_id, vec![delete]).await;
                return self.left.retain(|id, _| !gone.contains(id));
            }
        };
        self.table.delete(of.spec_id, vec![deletes]).await;
        self.left.retain(|id, _| !gone.contains(id));
    }

    /// The newest vector of a file has all its deleted rows, however they were deleted.
    async fn merge_vector(&mut self, of: &LiveFile, ids: &[i64], chosen: Vec<u64>) {
        self.left.retain(|id, _| !chosen.iter().any(|row| ids[*row as usize] == *id));
        let rows = (0..ids.len() as u64).filter(|row| !self.left.contains_key(&ids[*row as usize])).collect();
        let vector = self.table.vector(of, &rows).await;
        self.table.delete(of.spec_id, vec![vector]).await;
    }

    async fn check(&self, replay: &str) {
        let left: Vec<i64> = self.left.keys().copied().collect();
        assert_eq!(self.table.ids_left().await, left, "{replay}");
        assert_eq!(self.table.number("select count(*) from t").await, left.len() as i64, "{replay}");
        for filter in ["id % 5 = 0", "id > 150", "id >= 0", "city is null", "city is not null", "ts is null"] {
            let keeps = |id: &&i64| match filter {
                "id % 5 = 0" => **id % 5 == 0,
                "id > 150" => **id > 150,
                "city is null" => **id % 11 == 0,
                "city is not null" => **id % 11 != 0,
                "ts is null" => **id % 13 == 0,
                _ => true,
            };
            let expected = left.iter().filter(keeps).count() as i64;
            let replay = format!("{replay}, {filter}");
            assert_eq!(
                self.table.number(&format!("select count(*) from t where {filter}")).await,
                expected,
                "{replay}"
            );
            for limit in [1, 40, 100_000] {
                let sql = format!("select id from t where {filter} limit {limit}");
                let found: Vec<i64> =
                    self.table.query(&sql).await.iter().flat_map(|batch| longs_of(batch, 0)).collect();
                assert_eq!(found.len() as i64, expected.min(limit), "{replay} limit {limit}");
                assert!(found.iter().all(|id| self.left.contains_key(id)), "{replay} limit {limit}: {found:?}");
            }
        }
        if let (Some(first), Some(last)) = (left.first(), left.last()) {
            assert_eq!(self.table.number("select min(id) from t").await, *first, "{replay}");
            assert_eq!(self.table.number("select max(id) from t").await, *last, "{replay}");
        }
    }
}

pub fn longs_of(batch: &RecordBatch, column: usize) -> Vec<i64> {
    batch.column(column).as_primitive::<Int64Type>().values().to_vec()
}

#[tokio::test]
async fn what_others_deleted_is_gone_and_nothing_else() {
    let ways = [Way::PositionsOfOneFile, Way::PositionsOfPartition, Way::EqualIds, Way::EqualCities, Way::Vector];
    for (partition_by, seed) in [("", 1), ("", 2), ("day(ts)", 3), ("bucket(2, id)", 4), ("city", 5)] {
        let table = Table::new(&columns(), partition_by, "");
        let mut world = World { table, left: BTreeMap::new(), random: fastrand::Rng::with_seed(seed) };
        world.append(0, 200).await;
        for step in 0..14 {
            let next = world.left.last_key_value().map_or(0, |(id, _)| id + 1);
            // Vectors are of version 3, which adds no more files of positions.
            if step == 8 {
                world.table.upgrade();
            }
            let way = ways[if step < 8 { world.random.usize(..4) } else { world.random.usize(2..5) }];
            world.delete(way).await;
            world.check(&format!("{partition_by}, seed {seed}, step {step}, {way:?}")).await;
            if step < 8 && step % 2 == 0 {
                world.append(next, next + 60).await;
            }
        }
    }
}

/// Equality deletes are of what is older; positions are of what is there.
#[tokio::test]
async fn a_row_that_comes_with_or_after_its_delete_stays() {
    let mut table = Table::new(&columns(), "", "");
    table.append(&rows(0, 10)).await;
    let column: ArrayRef = Arc::new(Int64Array::from(vec![3, 4]));
    let delete = table.equality(None, &[1], vec![column]).await;
    table.delete(0, vec![delete]).await;
    assert_eq!(table.number("select count(*) from t").await, 8);
    table.append(&rows(3, 5)).await;
    assert_eq!(table.number("select count(*) from t").await, 10);
    let newest = table.live().await.into_iter().max_by_key(|live| live.sequence).unwrap();
    let delete = table.positions(&newest, &[(newest.file.file_path(), 0), (newest.file.file_path(), 99)], true).await;
    table.delete(0, vec![delete]).await;
    assert_eq!(table.ids_left().await, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
}

/// By columns of another type than now, by several, and by one that the table has no more.
#[tokio::test]
async fn equality_is_of_the_values_as_the_table_has_them() {
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(2), None]));
    let narrow = RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from(vec![10, 20, 30])) as ArrayRef, true),
        ("n", numbers, true),
    ])
    .unwrap();
    let mut table = Table::new(narrow.schema().fields(), "", "");
    table.append(&narrow).await;
    let alter = |table: &mut Table, fields: Vec<(i32, &str, PrimitiveType)>| {
        let field = |(id, name, of)| NestedField::optional(id, name, Type::Primitive(of)).into();
        let schema = Schema::builder().with_fields(fields.into_iter().map(field)).build().unwrap();
        table.apply(vec![TableUpdate::AddSchema { schema }, TableUpdate::SetCurrentSchema { schema_id: -1 }]);
    };
    alter(&mut table, vec![(1, "id", PrimitiveType::Long), (2, "m", PrimitiveType::Long)]);
    let both: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![Some(2), None])), Arc::new(Int64Array::from(vec![20, 10]))];
    let delete = table.equality(None, &[2, 1], both).await;
    table.delete(0, vec![delete]).await;
    assert_eq!(table.ids_left().await, [10, 30]);
    alter(&mut table, vec![(1, "id", PrimitiveType::Long)]);
    let null: ArrayRef = Arc::new(Int64Array::from(vec![None::<i64>]));
    let delete = table.equality(None, &[2], vec![null]).await;
    table.delete(0, vec![delete]).await;
    assert_eq!(table.ids_left().await, [10]);
}

/// A delete without a partition is of all partitions; one with a partition of that one alone.
#[tokio::test]
async fn equality_without_a_partition_is_of_every_partition() {
    let mut table = Table::new(&columns(), "bucket(4, id)", "");
    table.append(&rows(0, 100)).await;
    let spec_id = table.metadata.default_partition_spec_id();
    let of = table.live().await.remove(0);
    let its = table.ids_in(&of).await;
    let all: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
    let delete = table.equality(Some(&of), &[1], vec![all]).await;
    table.delete(spec_id, vec![delete]).await;
    let left = table.ids_left().await;
    assert_eq!(left.len(), 100 - its.len());
    table.apply(vec![TableUpdate::AddSpec { spec: PartitionSpec::unpartition_spec().into_unbound() }]);
    let gone: ArrayRef = Arc::new(Int64Array::from_iter_values(left.iter().copied().skip(3)));
    let delete = table.equality(None, &[1], vec![gone]).await;
    let unpartitioned = table.metadata.partition_specs_iter().find(|spec| spec.fields().is_empty()).unwrap().spec_id();
    table.delete(unpartitioned, vec![delete]).await;
    assert_eq!(table.ids_left().await, left[..3]);
}

/// Beside a vector, files of positions of the same data file do not count: it has them.
#[tokio::test]
async fn a_vector_stands_in_for_the_positions_before_it() {
    let mut table = Table::new(&columns(), "", "");
    table.append(&rows(0, 10)).await;
    let of = table.live().await.remove(0);
    let delete = table.positions(&of, &[(of.file.file_path(), 1), (of.file.file_path(), 2)], true).await;
    table.delete(0, vec![delete]).await;
    table.upgrade();
    let vector = table.vector(&of, &[2, 7].into_iter().collect()).await;
    table.delete(0, vec![vector]).await;
    assert_eq!(table.ids_left().await, [0, 1, 3, 4, 5, 6, 8, 9]);
}

#[tokio::test]
async fn deletes_in_a_form_that_is_not_read_are_refused() {
    let mut table = Table::new(&columns(), "", "");
    table.append(&rows(0, 10)).await;
    let of = table.live().await.remove(0);
    let mut delete = deleting(DataContentType::PositionDeletes, &of, (1, 100));
    delete.file_format(DataFileFormat::Avro).file_path(format!("{}/data/d.avro", table.metadata.location()));
    table.delete(0, vec![delete.build().unwrap()]).await;
    let error = table.try_query("select count(*) from t").await.unwrap_err();
    assert!(error.contains("delete files of format avro, which are not read here"), "{error}");
}
