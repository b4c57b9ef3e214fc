//! What decoders are measured on: the bids, of formats with schemas each with a registry's five bytes before it.
//!
//! Owns the records, and the checks on what a decoder made of them.
//! - I1: all decoders of a format decode the same bytes, and make a row of each record.

use serde::{Deserialize, Serialize};
use tableflow_connectors::decode::{Decoder, Framing, Opened, RecordError};
use tableflow_connectors::registry::{ResolvedSchema, SchemaKey};
use tableflow_model::{Error, Records, Result, Span};

use crate::bids::Bids;
use crate::parts::{POLL_BYTES, Rate, measure};

pub const SCHEMA_ID: u32 = 7;
/// A zero byte and the schema's id.
pub const PREFIX_BYTES: usize = 5;

/// A bid as its JSON says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bid<'a> {
    pub auction: i64,
    pub bidder: i64,
    pub price: i64,
    pub channel: &'a str,
    pub url: &'a str,
    pub date_time: i64,
    pub extra: &'a str,
}

/// One decoder's answer.
#[derive(Debug, Serialize)]
pub struct Measured {
    name: &'static str,
    rate: Rate,
}

/// All decoders of one format; the first is ours.
#[derive(Debug, Serialize)]
pub struct Decoders {
    rows: usize,
    bytes_per_row: f64,
    decoders: Vec<Measured>,
}

/// A decoder of all records: its name, and how many rows it made of them.
pub type Candidate<'a> = (&'static str, &'a dyn Fn(&[Records]) -> Result<usize>);

/// Measures decoders over the same records (I1), and what it costs to copy them.
pub fn compare(rows: usize, records: &[Records], candidates: &[Candidate<'_>]) -> Result<Decoders> {
    let mut decoders = Vec::new();
    for (name, candidate) in candidates.iter().chain(&[("copy", &copy as &dyn Fn(&[Records]) -> Result<usize>)]) {
        let whole = || match candidate(records)? {
            made if made == rows => Ok(made),
            made => Err(Error::internal(format!("{name} made {made} rows of {rows}"))),
        };
        decoders.push(Measured { name, rate: measure(whole)? });
    }
    let bytes: usize = records.iter().map(|records| records.buffer.len()).sum();
    Ok(Decoders { rows, bytes_per_row: bytes as f64 / rows as f64, decoders })
}

/// A batch at a time, to where the one before it was.
fn copy(records: &[Records]) -> Result<usize> {
    let mut copy = Vec::new();
    for records in records {
        copy.clear();
        copy.extend_from_slice(&records.buffer);
        std::hint::black_box(&copy);
    }
    Ok(records.iter().map(Records::len).sum())
}

/// The records, each with the id before what `write` makes of a bid.
pub fn records(rows: usize, write: impl Fn(&Bid<'_>, &mut Vec<u8>)) -> Result<Vec<Records>> {
    let failed = |error: serde_json::Error| Error::internal("a bid is not as it should be").with_source(error);
    plain_records(rows, |json, buffer| {
        buffer.push(0);
        buffer.extend(SCHEMA_ID.to_be_bytes());
        write(&serde_json::from_slice(json).map_err(failed)?, buffer);
        Ok(())
    })
}

/// The records as `write` makes them of a bid's JSON, in batches as large as a poll.
pub fn plain_records(rows: usize, write: impl Fn(&[u8], &mut Vec<u8>) -> Result<()>) -> Result<Vec<Records>> {
    let (mut bids, mut json) = (Bids::new(), Vec::new());
    let (mut batches, mut buffer, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for row in 1..=rows {
        bids.next(&mut json)?;
        let start = buffer.len();
        write(&json, &mut buffer)?;
        values.push(Span::new(start as u32, (buffer.len() - start) as u32));
        if buffer.len() >= POLL_BYTES || row == rows {
            let (buffer, values) = (std::mem::take(&mut buffer), std::mem::take(&mut values));
            let offsets = (0..values.len() as i64).collect();
            batches.push(Records { buffer: buffer.into(), offsets, values, ..Records::default() });
        }
    }
    Ok(batches)
}

/// All values, each with what is before it.
pub fn values(records: &[Records]) -> impl Iterator<Item = &[u8]> {
    records.iter().flat_map(|records| (0..records.len()).filter_map(|row| records.value(row)))
}

#[derive(Debug)]
pub struct Prefix;

impl Framing for Prefix {
    fn open<'a>(&self, records: &'a Records, row: usize) -> Result<Opened<'a>, RecordError> {
        let value = records.value(row).unwrap_or_default();
        let id = value.first_chunk::<PREFIX_BYTES>().map_or(0, |[_, id @ ..]| u32::from_be_bytes(*id));
        let payload = value.get(PREFIX_BYTES..).unwrap_or_default();
        Ok(Opened { schema: SchemaKey::id(id.into()), payload, header_rest: &[] })
    }
}

/// Our decoder, from a schema on.
pub fn ours(mut decoder: impl Decoder, schema: &str, records: &[Records]) -> Result<usize> {
    let schema = ResolvedSchema { text: schema.to_owned(), ..ResolvedSchema::default() };
    decoder.add_schema(SchemaKey::id(SCHEMA_ID.into()), &schema)?;
    Ok(records.iter().map(|records| decoder.decode(records).batch.num_rows()).sum())
}
