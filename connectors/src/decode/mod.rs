//! Records into Arrow columns.
//!
//! Owns [`Decoder`], the trait of a format, and what it answers.
//!
//! ```text
//!  json      JSON objects straight into columns, with inference
//!  avro      Avro records straight into columns, by the schemas that they were written with
//!  protobuf  Protobuf messages likewise
//!  raw       values as they are
//!  envelope  what an envelope around a row says of it: Debezium's
//!  origin    what it says of the change: what it was, and when
//!  binary    what formats share whose records are bytes of a schema
//!  columns   columns that grow and can be taken back, which all of them fill
//!  value_columns  those of a table: what schemas and records add to them
//!  record_type  what type of record a record is, of topics that have many
//!  rules     what a table lets its columns become
//!  passing   fields that a table reads past, since it dropped their columns
//!  unavailable  values that a source did not send again
//!  changes   how one set of columns differs from another
//!  schema    which schema a record was written with, and what a new one brings
//!  schema_fault  why a table cannot hold what a schema describes
//!  pass      a batch record by record, and which of them became rows
//!  metadata  where each row came from: topic, partition, offset, timestamp, key, headers
//!  dead_letters  records that could not be decoded, as rows of a table of their own
//!  failure   the first record that could not be decoded, and why
//! ```
//!
//! - I1: every record looked at is in the batch, in order, once, or among those passed over; a failing one left no
//!   trace.
//! - I2: no input makes a decoder panic, hang or use memory beyond a small multiple of the input.
//! - I3: within one decoder columns only grow: one is added at the end of its row and is nullable. A table that mirrors
//!   drops columns between two decoders.
//!
//! Neighbours: `tableflow_model::records` gives the input, `registry` the schemas; the pipeline hands batches to the
//! lake.

mod avro;
#[cfg(test)]
mod bad_inputs;
mod binary;
mod changes;
mod columns;
pub mod dead_letters;
mod envelope;
mod failure;
mod json;
mod metadata;
mod origin;
mod pass;
mod passing;
mod protobuf;
mod raw;
mod record_type;
mod rules;
mod schema;
mod schema_fault;
#[cfg(test)]
mod shown;
mod unavailable;
mod value_columns;

pub use avro::{AvroDecoder, in_a_record};
pub use changes::{added, missing, relaxed, widened};
pub use failure::{Reason, RecordError, Remedy};
pub use json::{Envelope, JsonDecoder};
pub use metadata::{MetadataColumns, RESERVED_PREFIX};
pub use origin::{Origin, Origins, Unit};
pub use pass::Taken;
pub use passing::Passing;
pub use protobuf::ProtobufDecoder;
pub(crate) use protobuf::compile as compile_protobuf;
pub use raw::RawDecoder;
pub use record_type::{RecordType, RecordTypes, record_names};
pub use rules::{ColumnRules, Evolution};
pub use schema::{Framing, Learned, Note, Opened, RegistryFraming, Rename, Widening};
pub use schema_fault::SchemaFault;
pub use unavailable::Unavailable;

use std::collections::BTreeSet;
use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tableflow_model::{Error, Records, Result};

use crate::registry::{ResolvedSchema, SchemaKey};

/// What a decoder does at a record that it cannot decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRecords {
    Stop,
    PassOver,
    /// To whoever knows keys a null value is a delete, and so is that all rows went: no bad records. Any other one stops it.
    StopButAtDeletes,
}

impl BadRecords {
    /// A notice is no bad record to anybody.
    pub fn passes_over(self, failure: &RecordError) -> bool {
        match self {
            _ if failure.reason == Reason::Notice => true,
            BadRecords::Stop => false,
            BadRecords::PassOver => true,
            BadRecords::StopButAtDeletes => matches!(failure.reason, Reason::Tombstone | Reason::Truncation),
        }
    }
}

/// What became of a batch of records.
#[derive(Debug)]
pub struct Decoded {
    /// The value columns of the records decoded.
    pub batch: RecordBatch,
    /// Which records those are.
    pub taken: Taken,
    /// Those that were passed over, in order.
    pub passed_over: Vec<RecordError>,
    /// What envelopes say of the changes, taken or not, where they are asked.
    pub origins: Origins,
    /// Why the record at the end of `taken` stopped it.
    pub failure: Option<RecordError>,
    /// The schema that the record at the end of `taken` needs and the decoder does not know: add it, and decode on from
    /// there. Of Protobuf it may be one that was added: each message type of it that records have is a schema by
    /// itself.
    pub needs: Option<SchemaKey>,
}

/// A reader of one format, for one table: it knows the table's value columns and adds to them as they appear.
pub trait Decoder: fmt::Debug + Send {
    /// Decodes records from `first_row` on, up to the end, the first one whose schema is not known, or the first one
    /// that cannot be decoded and stops it.
    fn decode_from(&mut self, records: &Records, first_row: usize, bad: BadRecords) -> Decoded;

    /// Decodes records from the first one up to the first bad one.
    fn decode(&mut self, records: &Records) -> Decoded {
        self.decode_from(records, 0, BadRecords::Stop)
    }

    /// Makes a schema known, and adds the columns that it brings; if it fails, nothing changes.
    fn add_schema(&mut self, key: SchemaKey, schema: &ResolvedSchema) -> Result<Learned> {
        self.add_schema_but(key, schema, None)
    }

    /// The same, but for fields that are read past. Where those are given, even none, it tells which columns are
    /// filled.
    fn add_schema_but(
        &mut self,
        key: SchemaKey,
        _schema: &ResolvedSchema,
        _passing: Option<&Passing>,
    ) -> Result<Learned> {
        Err(no_schemas(key))
    }

    /// The whole names of the columns that records of a schema would fill, and of the rows and lists around them; of
    /// one that names no fields, none. Nothing changes.
    fn columns_of(&self, key: SchemaKey, _schema: &ResolvedSchema, _passing: &Passing) -> Result<BTreeSet<String>> {
        Err(no_schemas(key))
    }

    /// These names are those of columns that keys fill: no schema and no record brings one of them from now on. Formats
    /// whose records bring no columns have nothing to do.
    fn leave_to_keys(&mut self, _names: &[String]) {}

    /// The value columns, as in the last batch.
    fn schema(&self) -> SchemaRef;

    /// Rises whenever the schema changes.
    fn schema_version(&self) -> u64;
}

fn no_schemas(key: SchemaKey) -> Error {
    Error::internal(format!("schema {key} was given to a format that has none"))
}
