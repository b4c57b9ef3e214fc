//! Decoding of JSON alone.
//!
//! Owns [`run`]. Beside our decoder, which learns the columns from the values, stand arrow-json, which is told them,
//! and serde_json, which had the type when it was compiled. The tape of simd-json is what finding the values costs by
//! itself.

use std::hint::black_box;
use std::io::Cursor;

use arrow::datatypes::{Schema, SchemaRef};
use simd_json::Buffers;
use tableflow_connectors::decode::{Decoder, JsonDecoder};
use tableflow_model::{Error, Records, Result};

use crate::framed::{self, Bid, Decoders};

pub fn run(rows: usize) -> Result<Decoders> {
    let records = framed::plain_records(rows, |json, buffer| {
        buffer.extend_from_slice(json);
        Ok(())
    })?;
    let mut learned = JsonDecoder::new(&[], &Schema::empty())?;
    records.iter().take(1).for_each(|records| drop(learned.decode(records)));
    let (lines, schema) = (lines(&records), learned.schema());
    let by_arrow_json = |_: &[Records]| by_arrow_json(&lines, &schema);
    framed::compare(
        rows,
        &records,
        &[("ours", &ours), ("arrow-json", &by_arrow_json), ("serde_json", &by_serde_json), ("tape", &by_tape)],
    )
}

fn ours(records: &[Records]) -> Result<usize> {
    let mut decoder = JsonDecoder::new(&[], &Schema::empty())?;
    Ok(records.iter().map(|records| decoder.decode(records).batch.num_rows()).sum())
}

/// It takes lines.
fn lines(records: &[Records]) -> Vec<u8> {
    framed::values(records).flat_map(|value| value.iter().copied().chain([b'\n'])).collect()
}

fn by_arrow_json(lines: &[u8], schema: &SchemaRef) -> Result<usize> {
    let failed =
        |error: arrow::error::ArrowError| Error::internal("arrow-json cannot read the rows").with_source(error);
    let reader = arrow_json::ReaderBuilder::new(schema.clone()).build(Cursor::new(lines)).map_err(failed)?;
    reader.map(|batch| Ok(batch.map_err(failed)?.num_rows())).sum()
}

/// Into a struct whose texts are the record's own bytes.
fn by_serde_json(records: &[Records]) -> Result<usize> {
    let failed = |error: serde_json::Error| Error::internal("serde_json cannot read the rows").with_source(error);
    let mut rows = 0;
    for value in framed::values(records) {
        black_box(serde_json::from_slice::<Bid<'_>>(value).map_err(failed)?);
        rows += 1;
    }
    Ok(rows)
}

/// With the copy that it needs, since it writes into its input.
fn by_tape(records: &[Records]) -> Result<usize> {
    let failed = |error: simd_json::Error| Error::internal("simd-json cannot read the rows").with_source(error);
    let (mut buffers, mut copy, mut rows) = (Buffers::default(), Vec::new(), 0);
    for value in framed::values(records) {
        copy.clear();
        copy.extend_from_slice(value);
        black_box(simd_json::to_tape_with_buffers(&mut copy, &mut buffers).map_err(failed)?);
        rows += 1;
    }
    Ok(rows)
}
