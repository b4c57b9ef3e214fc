//! Rows as JSON: arrow-json's writers, with encoders of our own where its words differ from ours.
//!
//! arrow-json keeps every digit of integers and decimals, but prints bytes as hex, NaN as null and zoned timestamps
//! in their zone; `Words` replaces these three (I2 of `output`).

use std::fmt::Display;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, FixedSizeBinaryArray, GenericBinaryArray, OffsetSizeTrait,
    PrimitiveArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, ArrowTimestampType, DataType, FieldRef, Float32Type, Float64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;
use arrow::temporal_conversions::as_datetime;
use arrow_json::writer::{
    Encoder, EncoderFactory, EncoderOptions, JsonFormat, LineDelimited, NullableEncoder, Writer, WriterBuilder,
    make_encoder,
};
use base64::engine::general_purpose::STANDARD;
use chrono::SecondsFormat;

pub type Document<W> = Writer<W, ArrayOfLines>;
pub type Lines<W> = Writer<W, LineDelimited>;

pub fn document<W: Write>(out: W) -> Document<W> {
    builder().build(out)
}

pub fn lines<W: Write>(out: W) -> Lines<W> {
    builder().build(out)
}

fn builder() -> WriterBuilder {
    WriterBuilder::new().with_explicit_nulls(true).with_encoder_factory(Arc::new(Words))
}

/// One array, one object a line.
#[derive(Debug, Default)]
pub struct ArrayOfLines;

impl JsonFormat for ArrayOfLines {
    fn start_stream<W: Write>(&self, writer: &mut W) -> Result<(), ArrowError> {
        Ok(writer.write_all(b"[")?)
    }

    fn start_row<W: Write>(&self, writer: &mut W, is_first_row: bool) -> Result<(), ArrowError> {
        Ok(writer.write_all(if is_first_row { b"\n" } else { b",\n" })?)
    }

    fn end_stream<W: Write>(&self, writer: &mut W) -> Result<(), ArrowError> {
        Ok(writer.write_all(b"\n]\n")?)
    }
}

pub fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "Z" | "+00:00" | "Etc/UTC")
}

/// Every value of a column as text: JSON, and the bare text of what JSON would quote.
pub fn texts(field: &FieldRef, column: &ArrayRef) -> Result<Vec<Option<String>>, ArrowError> {
    let options = EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(Arc::new(Words));
    let mut encoder = make_encoder(field, column, &options)?;
    let mut buffer = Vec::new();
    let mut one = |row: usize| {
        buffer.clear();
        encoder.encode(row, &mut buffer);
        let text = String::from_utf8_lossy(&buffer);
        match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            Some(bare) if !column.data_type().is_nested() => bare.to_owned(),
            _ => text.into_owned(),
        }
    };
    Ok((0..column.len()).map(|row| column.is_valid(row).then(|| one(row))).collect())
}

#[derive(Debug)]
struct Words;

impl EncoderFactory for Words {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Float32 => Box::new(Float(array.as_primitive::<Float32Type>())),
            DataType::Float64 => Box::new(Float(array.as_primitive::<Float64Type>())),
            DataType::Binary => Box::new(Bytes(array.as_binary::<i32>())),
            DataType::LargeBinary => Box::new(Bytes(array.as_binary::<i64>())),
            DataType::BinaryView => Box::new(Bytes(array.as_binary_view())),
            DataType::FixedSizeBinary(_) => Box::new(Bytes(array.as_fixed_size_binary())),
            DataType::Timestamp(unit, Some(_)) => zoned(*unit, array),
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

fn zoned<'a>(unit: TimeUnit, array: &'a dyn Array) -> Box<dyn Encoder + 'a> {
    match unit {
        TimeUnit::Second => Box::new(Zoned(array.as_primitive::<TimestampSecondType>())),
        TimeUnit::Millisecond => Box::new(Zoned(array.as_primitive::<TimestampMillisecondType>())),
        TimeUnit::Microsecond => Box::new(Zoned(array.as_primitive::<TimestampMicrosecondType>())),
        TimeUnit::Nanosecond => Box::new(Zoned(array.as_primitive::<TimestampNanosecondType>())),
    }
}

/// Writing to a `Vec` cannot fail, and an encoder has no way to say that it did.
fn put(out: &mut Vec<u8>, value: impl Display) {
    let _ = write!(out, "{value}");
}

struct Float<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>);

impl<T> Encoder for Float<'_, T>
where
    T: ArrowPrimitiveType,
    T::Native: Into<f64> + serde::Serialize,
{
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = self.0.value(row);
        let wide: f64 = value.into();
        if wide.is_nan() {
            out.extend_from_slice(b"\"NaN\"");
        } else if wide.is_infinite() {
            put(out, if wide > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
        } else {
            // The shortest digits that read back as the same value.
            let _ = serde_json::to_writer(out, &value);
        }
    }
}

struct Bytes<A>(A);

trait BytesAt {
    fn at(&self, row: usize) -> &[u8];
}

impl<O: OffsetSizeTrait> BytesAt for &GenericBinaryArray<O> {
    fn at(&self, row: usize) -> &[u8] {
        self.value(row)
    }
}

impl BytesAt for &BinaryViewArray {
    fn at(&self, row: usize) -> &[u8] {
        self.value(row)
    }
}

impl BytesAt for &FixedSizeBinaryArray {
    fn at(&self, row: usize) -> &[u8] {
        self.value(row)
    }
}

impl<A: BytesAt> Encoder for Bytes<A> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        put(out, format_args!("\"{}\"", base64::display::Base64Display::new(self.0.at(row), &STANDARD)));
    }
}

/// Outside the calendar of chrono (years of six digits) the number of the unit since the epoch is printed.
struct Zoned<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>);

impl<T: ArrowTimestampType> Encoder for Zoned<'_, T> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = self.0.value(row);
        match as_datetime::<T>(value) {
            Some(time) => put(out, format_args!("\"{}\"", time.and_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true))),
            None => put(out, format_args!("\"{value}\"")),
        }
    }
}
