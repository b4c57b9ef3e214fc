//! Decoding of Avro alone.
//!
//! Owns [`run`]. Beside our decoder stand arrow-avro, which gets a message at a time as it wants them, and apache-avro,
//! which builds a value for each record.

use apache_avro::from_avro_datum;
use arrow::datatypes::Schema;
use arrow_avro::reader::ReaderBuilder;
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use tableflow_connectors::decode::AvroDecoder;
use tableflow_model::{Error, Records, Result};

use crate::framed::{self, Bid, Decoders, PREFIX_BYTES, Prefix, SCHEMA_ID};

pub const SCHEMA: &str = r#"{"type": "record", "name": "Bid", "fields": [
    {"name": "auction", "type": "long"}, {"name": "bidder", "type": "long"}, {"name": "price", "type": "long"},
    {"name": "channel", "type": "string"}, {"name": "url", "type": "string"}, {"name": "dateTime", "type": "long"},
    {"name": "extra", "type": "string"}]}"#;

pub fn run(rows: usize) -> Result<Decoders> {
    let records = framed::records(rows, write)?;
    let ours = |records: &[Records]| framed::ours(AvroDecoder::new(Prefix, &Schema::empty())?, SCHEMA, records);
    framed::compare(
        rows,
        &records,
        &[("ours", &ours), ("arrow-avro", &by_arrow_avro), ("apache-avro", &by_apache_avro)],
    )
}

pub fn write(bid: &Bid<'_>, buffer: &mut Vec<u8>) {
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
        for value in framed::values(std::slice::from_ref(records)) {
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
    for value in framed::values(records) {
        let mut value = value.get(PREFIX_BYTES..).unwrap_or_default();
        std::hint::black_box(from_avro_datum(&schema, &mut value, None).map_err(failed)?);
        rows += 1;
    }
    Ok(rows)
}
