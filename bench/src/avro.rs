//! Decoding of Avro alone: the same bids as Avro records with a registry's five bytes before each.
//!
//! Owns [`run`]. Beside our decoder stand arrow-avro, which gets a message at a time as it wants them, and apache-avro,
//! which builds a value for each record.
//! - I1: all three decode the same bytes, and count the same rows.

use apache_avro::from_avro_datum;
use arrow::datatypes::Schema;
use arrow_avro::reader::ReaderBuilder;
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use serde::{Deserialize, Serialize};
use tableflow_connectors::decode::{AvroDecoder, Decoder, Framing, Opened, RecordError, SchemaKey, SchemaText};
use tableflow_model::{Error, Records, Result, Span};

use crate::bids::Bids;
use crate::parts::{POLL_BYTES, Rate, measure};

const SCHEMA: &str = r#"{"type": "record", "name": "Bid", "fields": [
    {"name": "auction", "type": "long"}, {"name": "bidder", "type": "long"}, {"name": "price", "type": "long"},
    {"name": "channel", "type": "string"}, {"name": "url", "type": "string"}, {"name": "dateTime", "type": "long"},
    {"name": "extra", "type": "string"}]}"#;

const SCHEMA_ID: u32 = 7;
/// A zero byte and the schema's id.
const PREFIX_BYTES: usize = 5;

#[derive(Debug, Serialize)]
pub struct Decoders {
    rows: usize,
    bytes_per_row: f64,
    ours: Rate,
    arrow_avro: Rate,
    apache_avro: Rate,
}

pub fn run(rows: usize) -> Result<Decoders> {
    let records = records(rows)?;
    let bytes: usize = records.iter().map(|records| records.buffer.len()).sum();
    let ours = measure(|| all(by_ours(&records)?, rows))?;
    let arrow_avro = measure(|| all(by_arrow_avro(&records)?, rows))?;
    let apache_avro = measure(|| all(by_apache_avro(&records)?, rows))?;
    Ok(Decoders { rows, bytes_per_row: bytes as f64 / rows as f64, ours, arrow_avro, apache_avro })
}

/// I1.
fn all(decoded: usize, rows: usize) -> Result<usize> {
    if decoded == rows {
        return Ok(rows);
    }
    Err(Error::internal(format!("a decoder made {decoded} rows of {rows}")))
}

/// A bid as its JSON says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bid<'a> {
    auction: i64,
    bidder: i64,
    price: i64,
    channel: &'a str,
    url: &'a str,
    date_time: i64,
    extra: &'a str,
}

fn records(rows: usize) -> Result<Vec<Records>> {
    let failed = |error: serde_json::Error| Error::internal("a bid is not as it should be").with_source(error);
    let (mut bids, mut json) = (Bids::new(), Vec::new());
    let (mut batches, mut buffer, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for row in 1..=rows {
        bids.next(&mut json)?;
        let start = buffer.len();
        write(&serde_json::from_slice(&json).map_err(failed)?, &mut buffer);
        values.push(Span::new(start as u32, (buffer.len() - start) as u32));
        if buffer.len() >= POLL_BYTES || row == rows {
            let (buffer, values) = (std::mem::take(&mut buffer), std::mem::take(&mut values));
            let offsets = (0..values.len() as i64).collect();
            batches.push(Records { buffer: buffer.into(), offsets, values, ..Records::default() });
        }
    }
    Ok(batches)
}

fn write(bid: &Bid<'_>, buffer: &mut Vec<u8>) {
    buffer.push(0);
    buffer.extend(SCHEMA_ID.to_be_bytes());
    for number in [bid.auction, bid.bidder, bid.price] {
        write_long(number, buffer);
    }
    write_text(bid.channel, buffer);
    write_text(bid.url, buffer);
    write_long(bid.date_time, buffer);
    write_text(bid.extra, buffer);
}

fn write_text(text: &str, buffer: &mut Vec<u8>) {
    write_long(text.len() as i64, buffer);
    buffer.extend_from_slice(text.as_bytes());
}

fn write_long(number: i64, buffer: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        buffer.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    buffer.push(rest as u8);
}

#[derive(Debug)]
struct Prefix;

impl Framing for Prefix {
    fn open<'a>(&self, records: &'a Records, row: usize) -> Result<Opened<'a>, RecordError> {
        let value = records.value(row).unwrap_or_default();
        let id = value.first_chunk::<PREFIX_BYTES>().map_or(0, |[_, id @ ..]| u32::from_be_bytes(*id));
        let payload = value.get(PREFIX_BYTES..).unwrap_or_default();
        Ok(Opened { schema: SchemaKey(id.into()), payload, header_rest: &[] })
    }
}

fn by_ours(records: &[Records]) -> Result<usize> {
    let mut decoder = AvroDecoder::new(Prefix, &Schema::empty())?;
    let schema = SchemaText { text: SCHEMA.to_owned(), references: Vec::new() };
    decoder.add_schema(SchemaKey(SCHEMA_ID.into()), &schema)?;
    Ok(records.iter().map(|records| decoder.decode(records).batch.num_rows()).sum())
}

fn by_arrow_avro(records: &[Records]) -> Result<usize> {
    let failed =
        |error: arrow::error::ArrowError| Error::internal("arrow-avro cannot read the rows").with_source(error);
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    let schema = AvroSchema::new(SCHEMA.to_owned());
    store.set(Fingerprint::Id(SCHEMA_ID), schema).map_err(failed)?;
    let batch_size = records.iter().map(Records::len).max().unwrap_or(1);
    let builder = ReaderBuilder::new().with_writer_schema_store(store).with_batch_size(batch_size);
    let builder = builder.with_active_fingerprint(Fingerprint::Id(SCHEMA_ID));
    let mut decoder = builder.build_decoder().map_err(failed)?;
    let mut rows = 0;
    for records in records {
        for value in (0..records.len()).filter_map(|row| records.value(row)) {
            decoder.decode(value).map_err(|error| failed(error.into()))?;
        }
        rows += decoder.flush().map_err(|error| failed(error.into()))?.map_or(0, |batch| batch.num_rows());
    }
    Ok(rows)
}

fn by_apache_avro(records: &[Records]) -> Result<usize> {
    let failed = |error: apache_avro::Error| Error::internal("apache-avro cannot read the rows").with_source(error);
    let schema = apache_avro::Schema::parse_str(SCHEMA).map_err(failed)?;
    let mut rows = 0;
    for records in records {
        for value in (0..records.len()).filter_map(|row| records.value(row)) {
            let mut value = value.get(PREFIX_BYTES..).unwrap_or_default();
            std::hint::black_box(from_avro_datum(&schema, &mut value, None).map_err(failed)?);
            rows += 1;
        }
    }
    Ok(rows)
}
