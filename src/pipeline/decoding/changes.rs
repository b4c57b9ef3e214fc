//! Records as changes of a table with one row a key.
//!
//! Owns [`Changing`], which tells puts from deletes and says which keys are deleted, and [`Changes`], its answer.
//! - I1: a record puts a row, deletes a key, or is a bad one: a null value deletes, so does a row that says so, and
//!   without a key nothing is identified.
//! - I2: a key is what the table's columns of it say: of a put those of the row, of a delete those that are in the
//!   record's key, by their names, or the only one as the key itself.
//! - I3: each change knows its place in the topic; which of two is the later one is for others to say.
//! - I4: of a table whose rows are marked as deleted no key is: a row that says so is put, any other delete is a mark.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use iceberg::spec::TableMetadata;
use tableflow_connectors::decode::{
    BadRecords, ColumnRules, MetadataColumns, Origins, Reason, RecordError, Remedy, Taken,
};
use tableflow_connectors::registry::RecordPart;
use tableflow_lake::layout::{VALID_FROM, VALID_TO, VERSION_OP, VersionIds, arrow_schema, conform, key_ids};
use tableflow_lake::upsert::{Emptied, Keeps, Mark, Order};
use tableflow_model::{Error, Records, Result};

use super::deleted::{SaysDeleted, says_deleted_by_header};
use super::keys::rows_of;
use super::latest::Latest;
use super::learning::{KEY_COLUMN, Learning, Reading};
use super::partly::{Kept, Marks, Partly};
use super::subjects::Subjects;
use super::truncated::{Truncation, Truncations};
use super::versions::Versioning;
use super::{Part, Stopped};
use crate::definition::{self, DELETED_COLUMN, Definition, Format};
use crate::home::Home;

/// What the records of a part change, beside the rows that they put.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Of each row that is put.
    pub orders: Vec<Order>,
    /// Likewise.
    pub keeps: Vec<Keeps>,
    /// Rows that are marked as deleted.
    pub marks: Option<Marks>,
    /// The columns of the keys that are deleted.
    pub deleted: RecordBatch,
    pub deleted_orders: Vec<Order>,
    /// Before all of them the source emptied its table.
    pub truncation: Option<Truncation>,
}

impl Changes {
    /// How many there are.
    pub fn records(&self) -> usize {
        let marks = self.marks.as_ref().map_or(0, |marks| marks.orders.len());
        self.orders.len() + self.deleted_orders.len() + marks + usize::from(self.truncation.is_some())
    }
}

/// Tells puts from deletes.
#[derive(Debug)]
pub struct Changing {
    /// The table's columns that rows are identified by.
    columns: SchemaRef,
    /// What reads the keys of deletes; nothing where a row is identified by its record's key as it is.
    keys: Option<Box<Learning>>,
    partly: Partly,
    /// Whether each version of a row is kept.
    keeps_versions: bool,
    /// Where a column tells which row of a key is the latest.
    latest: Option<Latest>,
    truncations: Truncations,
}

/// The keys of deletes.
struct Deletes {
    keys: RecordBatch,
    /// The record of each.
    records: Vec<usize>,
    bad: Vec<RecordError>,
    /// Why the deletes from a record on were not looked at.
    stopped: Option<(usize, Stopped)>,
}

impl Changing {
    /// For a table as it was declared, with the columns that it has.
    pub async fn new(home: &Home, definition: &Definition, table: &TableMetadata) -> Result<Option<Self>> {
        let Some(upsert) = &definition.upsert else { return Ok(None) };
        let ids = key_ids(table.current_schema());
        let name = |id: &i32| table.current_schema().name_by_field_id(*id);
        let all = arrow_schema(table.current_schema())?;
        // A column may become wider under a running job: a key is then the same one in the wider type.
        let find = |name: &str| {
            let field = all.field_with_name(name).ok()?;
            Some(FieldRef::from(Field::new(name, widest_number(field.data_type()), true)))
        };
        let columns: Fields = ids.iter().filter_map(name).filter_map(find).collect();
        if columns.is_empty() || columns.len() != ids.len() {
            return Err(Error::data(format!(
                "table {} does not say which columns identify its rows",
                definition.table
            ))
            .with_detail("they are the identifier fields of its schema")
            .with_hint("undo that where it was done, or enable the topic into another table with --table"));
        }
        let columns = Arc::new(Schema::new(columns));
        let keys = match upsert.keys {
            None => None,
            Some(format) => Some(Box::new(keys_of(home, definition, &columns, format).await?)),
        };
        let partly = Partly::new(definition, upsert, &columns, &all)?;
        let truncations = Truncations::of(home, definition);
        let keeps_versions = upsert.deletes == definition::Deletes::History;
        if keeps_versions && VersionIds::of(table.current_schema()).is_none() {
            return Err(Error::data(format!("table {} does not say of which versions its rows are", definition.table))
                .with_detail(format!("{VERSION_OP}, {VALID_FROM} and {VALID_TO} do, and {VALID_FROM} identifies rows"))
                .with_hint("undo that where it was done, or enable the topic into another table with --table"));
        }
        let latest = Latest::of(table, &all)?;
        Ok(Some(Changing { columns, keys, partly, keeps_versions, latest, truncations }))
    }

    /// A part of a batch, without its deletes and its bad keys, and what it changes. All rows went before it, or not within it.
    pub async fn apart(&mut self, records: &Records, mut part: Part, bad: BadRecords) -> Result<(Part, Changes)> {
        let is_delete = |failure: &mut RecordError| failure.reason == Reason::Tombstone;
        let rows: Vec<usize> = part.passed_over.extract_if(.., is_delete).map(|failure| failure.row).collect();
        let deletes = self.deletes(records, &rows).await?;
        let mut failures = self.without_key(records, &part);
        failures.extend(deletes.bad);
        failures.extend(self.partly.without_value(&part));
        let truncation = match self.truncations.take(&mut part).await? {
            Some(Err(refused)) => {
                failures.push(refused);
                None
            }
            applied => applied.and_then(Result::ok),
        };
        let origins = std::mem::take(&mut part.origins);
        let truncation = truncation.map(|record| self.truncation((records, &origins), record)).transpose()?;
        failures.sort_by_key(|failure| failure.row);
        let until = Until::of(&mut part, deletes.stopped, failures, bad);
        let taken: Vec<(u32, usize)> = (0_u32..).zip(part.taken.rows()).collect();
        let taken: Vec<_> = taken.into_iter().filter(|(_, record)| until.keeps(*record)).collect();
        let says_deleted = SaysDeleted::of(&part.batch);
        let is_gone =
            |(row, record): &(u32, usize)| says_deleted.row(*row as usize) || says_deleted_by_header(records, *record);
        let (keys, by_null): (Vec<u32>, Vec<usize>) =
            (0_u32..).zip(deletes.records).filter(|(_, record)| until.keeps(*record)).unzip();
        let keys = take_record_batch(&deletes.keys, &UInt32Array::from(keys)).map_err(unfit)?;
        if self.partly.marks() {
            let is_deleted: Vec<bool> = taken.iter().map(is_gone).collect();
            let mut changes = Changes { truncation, ..self.marked(records, (&keys, &by_null))? };
            if let Some(marks) = &mut changes.marks {
                let of: Vec<_> = by_null.iter().map(|record| (None, *record)).collect();
                marks.rows = self.said((records, &origins), &part, (marks.rows.clone(), &of))?;
            }
            part.batch = self.saying((records, &origins), &part)?;
            return self.put(records, (part, changes), &taken, &is_deleted);
        }
        let (gone, put): (Vec<_>, Vec<_>) = taken.into_iter().partition(is_gone);
        let gone_keys = self.keys_of_rows(records, &part.batch, &gone)?;
        let deleted = by_null.into_iter().map(|record| (None, record));
        let deleted: Vec<_> = deleted.chain(gone.into_iter().map(|(row, record)| (Some(row), record))).collect();
        let of: Vec<usize> = deleted.iter().map(|(_, record)| *record).collect();
        let keys = concat_batches(&self.columns, [&keys, &gone_keys]).map_err(unfit)?;
        let keys = self.said((records, &origins), &part, (keys, &deleted))?;
        part.batch = self.saying((records, &origins), &part)?;
        let changes = Changes { deleted: keys, deleted_orders: orders(records, &of), truncation, ..self.nothing() };
        self.put(records, (part, changes), &put, &[])
    }

    /// What deletes keys, with what their records say of themselves, where that counts.
    fn said(
        &self,
        (records, origins): (&Records, &Origins),
        part: &Part,
        (keys, of): (RecordBatch, &[(Option<u32>, usize)]),
    ) -> Result<RecordBatch> {
        let says = || Versioning::of(records, origins, &part.batch);
        match &self.latest {
            None if !self.keeps_versions => Ok(keys),
            None => says().times(keys, of),
            Some(latest) => latest.deletes(keys, &says(), (part, of)),
        }
    }

    /// The same of the rows of a part.
    fn saying(&self, (records, origins): (&Records, &Origins), part: &Part) -> Result<RecordBatch> {
        let says = || Versioning::of(records, origins, &part.batch);
        match &self.latest {
            None if !self.keeps_versions => Ok(part.batch.clone()),
            None => says().rows(part),
            Some(latest) => latest.rows(&says(), part),
        }
    }

    fn nothing(&self) -> Changes {
        let (orders, keeps, marks, deleted_orders) = Default::default();
        let deleted = RecordBatch::new_empty(self.columns.clone());
        Changes { orders, keeps, marks, deleted, deleted_orders, truncation: None }
    }

    /// What a record does that says that all rows went: they go, or are marked (I4).
    fn truncation(&self, (records, origins): (&Records, &Origins), record: usize) -> Result<Truncation> {
        let order = orders(records, &[record]).first().copied();
        let order = order.ok_or_else(|| Error::internal("a truncation is no record of its batch"))?;
        let emptied = match self.partly.mark_of_all()? {
            Some(row) => Emptied::Marked(Mark { row, by: DELETED_COLUMN.to_owned() }),
            None if self.keeps_versions => {
                let at = origins.of(record).at.unwrap_or_else(|| order.timestamp.saturating_mul(1000));
                Emptied::Marked(Mark::until(at)?)
            }
            None => Emptied::Deleted,
        };
        Ok(Truncation { record, order, emptied })
    }

    /// Whether rows are marked, and stay.
    pub fn marks(&self) -> bool {
        self.partly.marks()
    }

    /// Columns without those of keys: what all rows may have in common.
    pub fn without_keys(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let is_a_keys = |name: &str| self.columns.fields().iter().any(|field| field.name() == name);
        let fields = rows.schema_ref().fields().iter().enumerate();
        let others: Vec<usize> = fields.filter(|(_, field)| !is_a_keys(field.name())).map(|(place, _)| place).collect();
        rows.project(&others).map_err(unfit)
    }

    /// The marks of these keys, still without where their records came from (I4).
    fn marked(&self, records: &Records, (keys, of): (&RecordBatch, &[usize])) -> Result<Changes> {
        let rows = self.partly.mark(keys, self.keys.is_none())?;
        let marks = Marks { rows, records: of.to_vec(), orders: orders(records, of) };
        Ok(Changes { marks: Some(marks).filter(|marks| !marks.orders.is_empty()), ..self.nothing() })
    }

    /// The rows of these records, and what they keep of those before them.
    fn put(
        &self,
        records: &Records,
        (part, changes): (Part, Changes),
        rows: &[(u32, usize)],
        is_deleted: &[bool],
    ) -> Result<(Part, Changes)> {
        let (rows, put): (Vec<u32>, Vec<usize>) = rows.iter().copied().unzip();
        let batch = self.partly.told(rows_of(&part.batch, &rows).map_err(unfit)?, is_deleted)?;
        let Kept { batch, mut keeps } = self.partly.keeps(batch)?;
        if let Some(latest) = &self.latest {
            keeps = latest.kept(&batch, is_deleted, keeps);
        }
        let changes = Changes { orders: orders(records, &put), keeps, ..changes };
        Ok((Part { batch, taken: Taken::these(&put), ..part }, changes))
    }

    /// The keys of rows that say that they are deleted.
    fn keys_of_rows(&self, records: &Records, batch: &RecordBatch, rows: &[(u32, usize)]) -> Result<RecordBatch> {
        if self.keys.is_none() {
            let keys: BinaryArray = rows.iter().map(|(_, record)| records.key(*record)).collect();
            return key_batch(&self.columns, vec![Arc::new(keys)]);
        }
        let rows = UInt32Array::from_iter_values(rows.iter().map(|(row, _)| *row));
        let keys = conform(&take_record_batch(batch, &rows).map_err(unfit)?, &self.columns)?;
        // Rows without a key are bad ones, and a wider type takes every other value.
        match keys.columns().iter().all(|column| column.null_count() == 0) {
            true => Ok(keys),
            false => Err(Error::internal("a key became null where rows say that they are deleted")),
        }
    }

    /// The keys of records with null values.
    async fn deletes(&mut self, records: &Records, rows: &[usize]) -> Result<Deletes> {
        let (keyed, keyless): (Vec<usize>, Vec<usize>) = rows.iter().partition(|row| records.key(**row).is_some());
        let mut deletes = Deletes {
            keys: RecordBatch::new_empty(self.columns.clone()),
            records: Vec::new(),
            bad: keyless.into_iter().map(|row| without_key(row, KEY_COLUMN)).collect(),
            stopped: None,
        };
        let Some(learning) = &mut self.keys else {
            let keys: BinaryArray = keyed.iter().map(|row| records.key(*row)).collect();
            deletes.keys = key_batch(&self.columns, vec![Arc::new(keys)])?;
            deletes.records = keyed;
            return Ok(deletes);
        };
        let mut batches = Vec::new();
        for part in learning.decode(&records.of_keys(&keyed), BadRecords::PassOver).await? {
            let record = |row: usize| keyed.get(row).copied().unwrap_or_default();
            let keys = conform(&part.batch, &self.columns)?;
            for (row, of) in part.taken.rows().enumerate() {
                match null_column(&keys, row) {
                    None => deletes.records.push(record(of)),
                    Some(column) => deletes.bad.push(without_key(record(of), column)),
                }
            }
            let whole: UInt32Array =
                (0_u32..).take(keys.num_rows()).filter(|row| null_column(&keys, *row as usize).is_none()).collect();
            batches.push(take_record_batch(&keys, &whole).map_err(unfit)?);
            deletes.bad.extend(part.passed_over.into_iter().map(|failure| {
                let row = record(failure.row);
                failure.of_key(row)
            }));
            if let Some(stopped) = part.stopped {
                deletes.stopped = Some((record(part.next), stopped));
            }
        }
        deletes.keys = concat_batches(&self.columns, &batches).map_err(unfit)?;
        Ok(deletes)
    }

    /// The rows of a part that nothing identifies.
    fn without_key(&self, records: &Records, part: &Part) -> Vec<RecordError> {
        let taken = part.taken.rows().enumerate();
        if self.keys.is_none() {
            return taken
                .filter(|(_, record)| records.key(*record).is_none())
                .map(|(_, it)| without_key(it, KEY_COLUMN))
                .collect();
        }
        let columns = self.columns.fields().iter();
        let columns: Vec<(&str, Option<&ArrayRef>)> =
            columns.map(|field| (field.name().as_str(), part.batch.column_by_name(field.name()))).collect();
        if columns.iter().all(|(_, column)| column.is_some_and(|column| column.null_count() == 0)) {
            return Vec::new();
        }
        let missing = |(row, record): (usize, usize)| {
            let null = columns.iter().find(|(_, column)| column.is_none_or(|column| column.is_null(row)));
            null.map(|(name, _)| without_key(record, name))
        };
        taken.filter_map(missing).collect()
    }
}

/// Up to where a part goes, and without which of its records.
struct Until {
    end: usize,
    without: BTreeSet<usize>,
}

impl Until {
    /// Bad keys end the part, or are passed over with its other bad records, as the table's definition says.
    fn of(part: &mut Part, stopped: Option<(usize, Stopped)>, failures: Vec<RecordError>, bad: BadRecords) -> Self {
        let mut stops: Vec<(usize, Stopped)> = stopped.into_iter().collect();
        let mut without = BTreeSet::new();
        for failure in failures {
            if bad.passes_over(&failure) {
                without.insert(failure.row);
                part.passed_over.push(failure);
            } else {
                stops.push((failure.row, Stopped::Record(failure)));
            }
        }
        if let Some((end, why)) = stops.into_iter().min_by_key(|(row, _)| *row).filter(|(row, _)| *row < part.next) {
            (part.next, part.stopped) = (end, Some(why));
        }
        part.passed_over.retain(|failure| failure.row < part.next);
        part.passed_over.sort_by_key(|failure| failure.row);
        Until { end: part.next, without }
    }

    fn keeps(&self, record: usize) -> bool {
        record < self.end && !self.without.contains(&record)
    }
}

/// What reads the keys of deletes.
async fn keys_of(home: &Home, definition: &Definition, columns: &SchemaRef, format: Format) -> Result<Learning> {
    let bare = match columns.fields().as_ref() {
        [only] => only.name(),
        _ => KEY_COLUMN,
    };
    let subjects = Subjects::of_keys(&definition.topic);
    let reading = Reading {
        part: RecordPart::Key,
        subjects,
        format,
        envelope: definition.envelope,
        declared: &[],
        left_out: &[],
        bare,
        mirror: None,
        tells_origins: false,
    };
    // Whatever else a key has identifies nothing.
    let rules = ColumnRules { metadata: MetadataColumns::None, ..ColumnRules::default() };
    Learning::new(home, reading, columns, &rules).await
}

fn widest_number(of: &DataType) -> DataType {
    match of {
        DataType::Int32 => DataType::Int64,
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
        same => same.clone(),
    }
}

fn orders(records: &Records, rows: &[usize]) -> Vec<Order> {
    let order = |row: &usize| {
        let (timestamp, offset) = (records.timestamps.get(*row), records.offsets.get(*row));
        Some(Order { timestamp: *timestamp?, partition: records.partition.0, offset: *offset? })
    };
    rows.iter().filter_map(order).collect()
}

fn key_batch(columns: &SchemaRef, keys: Vec<ArrayRef>) -> Result<RecordBatch> {
    let have = Schema::new(
        columns
            .fields()
            .iter()
            .zip(&keys)
            .map(|(field, keys)| field.as_ref().clone().with_data_type(keys.data_type().clone()))
            .collect::<Vec<_>>(),
    );
    let batch = RecordBatch::try_new(Arc::new(have), keys).map_err(unfit)?;
    conform(&batch, columns)
}

fn null_column(keys: &RecordBatch, row: usize) -> Option<&str> {
    let nulls = keys.columns().iter().zip(keys.schema_ref().fields());
    nulls.filter(|(column, _)| column.is_null(row)).map(|(_, field)| field.name().as_str()).next()
}

fn without_key(row: usize, column: &str) -> RecordError {
    RecordError {
        row,
        reason: Reason::MissingValue,
        path: column.to_owned(),
        message: format!("{column} is null or not there, and rows of the table are identified by it"),
        remedy: Remedy::Produce("give each record its key".to_owned()),
    }
}

pub(super) fn unfit(error: arrow::error::ArrowError) -> Error {
    Error::internal("the columns of keys do not fit together").with_source(error)
}
