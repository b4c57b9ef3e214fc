//! Decoding of Protobuf alone.
//!
//! Owns [`run`]. Beside our decoder, which knows the schema at run time only, stand prost, which had it when it was
//! compiled and makes a struct of each record, and prost-reflect, which makes a value of each.

use arrow::datatypes::Schema;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use tableflow_connectors::decode::ProtobufDecoder;
use tableflow_model::{Error, Records, Result};

use crate::framed::{self, Bid, Decoders, PREFIX_BYTES, Prefix};

const SCHEMA: &str = r#"syntax = "proto3";
message Bid {
  int64 auction = 1; int64 bidder = 2; int64 price = 3; string channel = 4; string url = 5; int64 dateTime = 6;
  string extra = 7;
}"#;

/// The prefix, and the byte that stands for the schema's first message.
const FRAME_BYTES: usize = PREFIX_BYTES + 1;

#[derive(Message)]
struct Compiled {
    #[prost(int64, tag = "1")]
    auction: i64,
    #[prost(int64, tag = "2")]
    bidder: i64,
    #[prost(int64, tag = "3")]
    price: i64,
    #[prost(string, tag = "4")]
    channel: String,
    #[prost(string, tag = "5")]
    url: String,
    #[prost(int64, tag = "6")]
    date_time: i64,
    #[prost(string, tag = "7")]
    extra: String,
}

pub fn run(rows: usize) -> Result<Decoders> {
    let records = framed::records(rows, write)?;
    let ours = |records: &[Records]| framed::ours(ProtobufDecoder::new(Prefix, &Schema::empty())?, SCHEMA, records);
    framed::compare(rows, &records, &[("ours", &ours), ("prost", &by_prost), ("prost-reflect", &by_prost_reflect)])
}

fn write(bid: &Bid<'_>, buffer: &mut Vec<u8>) {
    buffer.push(0);
    let compiled = Compiled {
        auction: bid.auction,
        bidder: bid.bidder,
        price: bid.price,
        channel: bid.channel.to_owned(),
        url: bid.url.to_owned(),
        date_time: bid.date_time,
        extra: bid.extra.to_owned(),
    };
    compiled.encode_raw(buffer);
}

fn by_prost(records: &[Records]) -> Result<usize> {
    let failed = |error: prost::DecodeError| Error::internal("prost cannot read the rows").with_source(error);
    let mut rows = 0;
    for value in framed::values(records) {
        let value = value.get(FRAME_BYTES..).unwrap_or_default();
        std::hint::black_box(Compiled::decode(value).map_err(failed)?);
        rows += 1;
    }
    Ok(rows)
}

fn by_prost_reflect(records: &[Records]) -> Result<usize> {
    let failed = |error: prost::DecodeError| Error::internal("prost-reflect cannot read the rows").with_source(error);
    let descriptor = pool()?.get_message_by_name("Bid").ok_or_else(|| Error::internal("the schema has no Bid"))?;
    let mut rows = 0;
    for value in framed::values(records) {
        let value = value.get(FRAME_BYTES..).unwrap_or_default();
        std::hint::black_box(DynamicMessage::decode(descriptor.clone(), value).map_err(failed)?);
        rows += 1;
    }
    Ok(rows)
}

fn pool() -> Result<DescriptorPool> {
    let file = protox::file::File::from_source("bid.proto", SCHEMA)
        .map_err(|error| Error::internal("the schema cannot be read").with_source(error))?;
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_proto(file.file_descriptor_proto().clone())
        .map_err(|error| Error::internal("the schema cannot be linked").with_source(error))?;
    Ok(pool)
}
