//! A topic of many types of records: a table for each.
//!
//! Owns [`FanOut`], the way from such a topic's records to rows.
//!
//! ```text
//!  value   what a record says about which table it belongs to
//!  tables  the tables there are, and how a new one is made
//! ```
//!
//! - I1: all tables of a topic are of one job, and move together at each epoch: a manifest decides it.
//! - I2: at the first record of a type that has no table yet, its table is made, what was read before that record is
//!   committed, and the job begins again with the new table.
//! - I3: records of different types touch each other nowhere: each type has its decoder, its columns, its schemas.

mod tables;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use tableflow_connectors::decode::dead_letters::Framings;
use tableflow_connectors::decode::{BadRecords, Reason, RecordError, RegistryFraming, Remedy, Taken};
use tableflow_connectors::registry::{self, RecordPart};
use tableflow_model::protocol::{Epoch, Tally};
use tableflow_model::{Error, ErrorKind, Offset, Records, Result};

pub use self::tables::{FanOutTable, FanOutTables, GROUP_PROPERTY, VALUE_PROPERTY};
use self::value::{Found, Values};
use super::decoding::{Decoding, Part, Stopped, Subjects, Terms};
use super::dispatch::{Dispatch, Halt, LeaderEpoch, Manner, PassedOver, Rows, Volume, check_registry, decoding_for};
use super::target;
use super::way_on::WayOn;
use crate::definition::{Definition, FanOutBy};
use crate::home::Home;

/// So many records show the columns of a new table.
const SAMPLE_RECORDS: usize = 1000;

/// The records of a topic, dealt out to the tables of their types. The job's tables are those of the values in their
/// order, then that of the dead letters.
#[derive(Debug)]
pub struct FanOut {
    home: Home,
    definition: Definition,
    manner: Manner,
    values: Values,
    tables: FanOutTables,
    children: Vec<Child>,
    /// Of each value's number, the place of its table.
    places: Vec<Option<usize>>,
}

/// One of the tables.
#[derive(Debug)]
struct Child {
    decoding: Decoding,
    way_on: WayOn,
}

/// The records of a batch, by the table that they belong to.
#[derive(Debug)]
struct Dealt {
    /// The rows of the batch, by the place of the table.
    rows: Vec<Vec<usize>>,
    /// Those that belong to no table.
    bad: Vec<RecordError>,
    /// The first row that is not dealt out.
    end: usize,
    halt: Option<Halt>,
}

/// Where a record belongs.
enum Place {
    /// By the table's place among the job's.
    Table(usize),
    /// To a table that is not there yet.
    New,
    Nowhere(RecordError),
    /// Its schema says nothing that a table could be called after.
    Unfit(Error),
}

/// Why a batch ends early at one of a table's records.
struct Stop {
    row: usize,
    error: Error,
}

impl FanOut {
    /// For the tables that there are.
    pub async fn new(home: &Home, definition: &Definition, tables: FanOutTables) -> Result<Self> {
        let Some(fan_out) = &definition.fan_out else {
            return Err(Error::internal(format!("{} is one table", definition.table)));
        };
        check_registry(home, definition)?;
        let mut values = Values::new(fan_out.by.clone(), framing_of(home, definition));
        let (mut children, mut places) = (Vec::new(), Vec::new());
        for FanOutTable { value, table, .. } in tables.iter() {
            let loaded = target::load(home, table).await?;
            let terms = Terms { subjects: subjects_of(definition, value), ..Terms::of(definition) };
            let decoding = decoding_for(home, terms, &loaded.metadata).await?;
            places.push(Some(children.len()));
            values.number(value);
            children.push(Child { decoding, way_on: WayOn::of(definition, &loaded.metadata)? });
        }
        let manner = Manner::of(definition);
        Ok(FanOut { home: home.clone(), definition: definition.clone(), manner, values, tables, children, places })
    }

    /// Finds out which table each record belongs to, up to the first one of a table that is not there yet (I2).
    async fn deal(&mut self, records: &Records) -> Result<Dealt> {
        let rows = vec![Vec::new(); self.children.len()];
        let mut dealt = Dealt { rows, bad: Vec::new(), end: records.len(), halt: None };
        for row in 0..records.len() {
            let halt = match self.place_of(records, row).await? {
                Place::Table(place) => {
                    if let Some(rows) = dealt.rows.get_mut(place) {
                        rows.push(row);
                    }
                    continue;
                }
                Place::Nowhere(error) if self.manner.bad_records() == BadRecords::PassOver => {
                    dealt.bad.push(error);
                    continue;
                }
                Place::Nowhere(error) => Halt::Failed(self.belongs_nowhere(error, records, row)),
                Place::Unfit(error) => Halt::Failed(self.manner.at(error, records.partition, offset(records, row))),
                Place::New => self.grow(records, row).await?,
            };
            (dealt.end, dealt.halt) = (row, Some(halt));
            break;
        }
        Ok(dealt)
    }

    /// An error is an outage.
    async fn place_of(&mut self, records: &Records, row: usize) -> Result<Place> {
        loop {
            match self.values.of(records, row) {
                Found::Value(number) => return Ok(self.place_of_value(number, row)),
                Found::Bad(error) => return Ok(Place::Nowhere(error)),
                Found::Needs(key) => match self.learn(key, row).await? {
                    Ok(()) => {}
                    Err(Stopped::Record(error)) => return Ok(Place::Nowhere(error)),
                    Err(Stopped::Schema(error)) => return Ok(Place::Unfit(error)),
                    Err(Stopped::Follows(_)) => return Err(Error::internal("one of several tables follows a schema")),
                },
            }
        }
    }

    fn place_of_value(&self, number: usize, row: usize) -> Place {
        if let Some(place) = self.places.get(number).copied().flatten() {
            return Place::Table(place);
        }
        let value = self.values.text(number);
        // Made for a record of another partition just now.
        if self.tables.has(value) {
            return Place::New;
        }
        match self.tables.names_for(&self.definition, value) {
            Ok(_) => Place::New,
            Err(error) => Place::Nowhere(RecordError {
                row,
                reason: Reason::NoTable,
                path: "$".to_owned(),
                message: error.to_string(),
                remedy: Remedy::Produce(error.hint().unwrap_or_default().to_owned()),
            }),
        }
    }

    fn belongs_nowhere(&self, error: RecordError, records: &Records, row: usize) -> Error {
        let what = format!(
            "record {} of partition {} of topic {} belongs to no table",
            offset(records, row),
            records.partition,
            self.manner.topic
        );
        let failed = Error::data(what).with_detail(error.message).with_context("reason", error.reason);
        self.manner.at(failed, records.partition, offset(records, row)).with_hint(format!(
            "such records can be put aside: tableflow update {} --error-handling LOG",
            self.definition.table
        ))
    }

    /// Learns the schema that a record of this row names. The outer error is an outage.
    async fn learn(&mut self, key: registry::SchemaKey, row: usize) -> Result<Result<(), Stopped>> {
        let schema = match self.home.schema_cache.get(key, None).await {
            Ok(schema) => schema,
            Err(error) if error.reason() == Some(registry::Reason::SchemaNotFound) => {
                return Ok(Err(Stopped::Record(RecordError::unknown_schema(row, key))));
            }
            Err(error) => return outage_or(error.into()),
        };
        match self.values.types.add_schema(key, &schema) {
            Ok(()) => Ok(Ok(())),
            Err(error) => outage_or(error.with_context("schema", key)),
        }
    }

    /// Makes the tables of the values from this row on that have none.
    async fn grow(&mut self, records: &Records, first: usize) -> Result<Halt> {
        let mut samples: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for row in first..records.len() {
            if let Found::Value(number) = self.values.of(records, row)
                && self.places.get(number).copied().flatten().is_none()
            {
                let sample = samples.entry(number).or_default();
                if sample.len() < SAMPLE_RECORDS {
                    sample.push(row);
                }
            }
        }
        for (number, rows) in samples {
            let value = self.values.text(number).to_owned();
            let made = self.tables.add(&self.home, &self.definition, &value, &records.only(&rows)).await;
            match made {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                Err(error) => {
                    let row = rows.first().copied().unwrap_or(first);
                    // The table of a later record is that record's matter.
                    if row > first {
                        break;
                    }
                    return Ok(Halt::Failed(self.manner.at(error, records.partition, offset(records, row))));
                }
            }
        }
        Ok(Halt::NewTable)
    }

    /// Decodes what each table got. Answers the parts, by place, and where the first one stopped.
    async fn decode(&mut self, records: &Records, dealt: &Dealt) -> Result<(Vec<Decoded>, Option<Stop>)> {
        let (bad, mut decoded, mut stop) = (self.manner.bad_records(), Vec::new(), None::<Stop>);
        for (place, (child, rows)) in self.children.iter_mut().zip(&dealt.rows).enumerate() {
            if rows.is_empty() {
                continue;
            }
            let own = Arc::new(if rows.len() == records.len() { records.clone() } else { records.only(rows) });
            for mut part in child.decoding.decode(&own, bad).await? {
                if let Some(stopped) = part.stopped.take() {
                    let row = rows.get(part.next).copied().unwrap_or(dealt.end);
                    if stop.as_ref().is_none_or(|before| row < before.row) {
                        let at = offset(records, row);
                        let error = self.manner.stopped(stopped, &child.way_on, records.partition, at);
                        stop = Some(Stop { row, error });
                    }
                }
                decoded.push(Decoded { place, records: own.clone(), part });
            }
        }
        Ok((decoded, stop))
    }
}

/// A part of one table's records.
#[derive(Debug)]
struct Decoded {
    place: usize,
    /// The table's own, shared by all of its parts.
    records: Arc<Records>,
    part: Part,
}

impl Decoded {
    /// Without what stands at an offset or behind it.
    fn before(mut self, end: Offset) -> Self {
        let is_before = |row: &usize| self.records.offsets.get(*row).is_some_and(|offset| *offset < end.0);
        let kept: Vec<usize> = self.part.taken.rows().filter(is_before).collect();
        self.part.passed_over.retain(|failure| is_before(&failure.row));
        if kept.len() < self.part.taken.len() {
            self.part.batch = self.part.batch.slice(0, kept.len());
            self.part.taken = Taken::these(&kept);
        }
        self
    }
}

#[async_trait]
impl Dispatch for FanOut {
    async fn rows(&mut self, records: &Records, epoch: Epoch) -> Result<Vec<Rows>> {
        let dealt = self.deal(records).await?;
        let (decoded, stop) = self.decode(records, &dealt).await?;
        let (mut end, mut halt) = (dealt.end, dealt.halt);
        if let Some(stop) = stop {
            (end, halt) = (stop.row, Some(Halt::Failed(stop.error)));
        }
        let next_offset = records.offsets.get(end).map_or(records.next_offset, |offset| Offset(*offset));
        let bad: Vec<RecordError> = dealt.bad.into_iter().filter(|failure| failure.row < end).collect();
        let framings = Framings { value: framing_of(&self.home, &self.definition), key: None };
        let (letters, mut tally) = self.manner.put_aside(records, &bad, framings, epoch)?;
        let mut passed_over = PassedOver::of(records, &bad);
        let mut parts: Vec<(usize, RecordBatch)> = letters.map(|it| (self.dead_letters(), it)).into_iter().collect();
        for decoded in decoded {
            let Decoded { place, records, part } = decoded.before(next_offset);
            if !part.taken.is_empty() {
                parts.push((place, self.manner.value_and_origin(&records, &part)?));
            }
            let (letters, put_aside): (_, Tally) =
                self.manner.put_aside(&records, &part.passed_over, framings, epoch)?;
            tally += put_aside;
            passed_over.append(&mut PassedOver::of(&records, &part.passed_over));
            parts.extend(letters.map(|letters| (self.dead_letters(), letters)));
        }
        let leader_epoch = LeaderEpoch::before(next_offset, records);
        let (partition, volume) = (records.partition, Volume::default());
        let changes = None;
        Ok(vec![Rows { partition, parts, changes, tally, passed_over, next_offset, leader_epoch, halt, volume }])
    }

    fn dead_letters(&self) -> usize {
        self.children.len()
    }
}

/// What is known of a value's schemas before its first record.
pub fn subjects_of(definition: &Definition, value: &str) -> Subjects {
    match &definition.fan_out {
        Some(fan_out) if fan_out.by == FanOutBy::RecordName => Subjects::of_record(&definition.topic, value),
        _ => Subjects::none(),
    }
}

fn framing_of(home: &Home, definition: &Definition) -> Option<RegistryFraming> {
    let framing = RegistryFraming { prefix: home.id_prefix, part: RecordPart::Value };
    definition.format.has_schemas().then_some(framing)
}

fn offset(records: &Records, row: usize) -> Offset {
    records.offsets.get(row).map_or(records.next_offset, |offset| Offset(*offset))
}

fn outage_or(error: Error) -> Result<Result<(), Stopped>> {
    if error.kind() == ErrorKind::Unavailable { Err(error) } else { Ok(Err(Stopped::Schema(error))) }
}
