//! What an Avro type without parts is, and which columns take it.
//!
//! Owns the table of scalars and logical types.
//! - I1: a column takes a scalar only if it holds every value of it exactly; of nanoseconds it keeps whole
//!   microseconds.
//! - I2: a logical type that Avro does not know, or that stands on another type than its own, is passed over with a
//!   note; so the specification wants it.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, TimeUnit};
use tableflow_model::types::UTC;
use tableflow_model::{Error, Result};

use super::schema::{Form, Logical, Named, Type};
use crate::decode::SchemaFault;
use crate::decode::columns::column::Taking;
use crate::decode::columns::temporal::FINER;

/// What a DECIMAL is when its schema does not say.
const PRECISION_DEFAULT: u64 = 10;
const UUID_SIZE: usize = 16;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    /// Sixteen bytes that are written as text.
    Uuid,
    Enum(Arc<[Box<str>]>),
    Decimal {
        /// Of a fixed; bytes have their length before them.
        size: Option<usize>,
        precision: u8,
        scale: i8,
    },
    Date,
    TimeMillis,
    TimeMicros,
    Timestamp {
        unit: Unit,
        zoned: bool,
    },
}

/// What a timestamp counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// A scalar, and what is not kept of it.
pub(super) type Noted = (Scalar, Option<String>);

impl Scalar {
    /// The scalar that a type is, if it is one.
    pub fn of(avro: &Type) -> Result<Option<Noted>> {
        let plain = |scalar, logical: &Option<Logical>| (scalar, logical.as_ref().map(passed_over));
        Ok(Some(match avro {
            Type::Boolean => (Scalar::Boolean, None),
            Type::Int(Some(logical)) => int(logical),
            Type::Int(None) => (Scalar::Int, None),
            Type::Long(Some(logical)) => long(logical),
            Type::Long(None) => (Scalar::Long, None),
            Type::Float(logical) => plain(Scalar::Float, logical),
            Type::Double(logical) => plain(Scalar::Double, logical),
            Type::Text(Some(logical)) if logical.name == "uuid" => (Scalar::Text, None),
            Type::Text(logical) => plain(Scalar::Text, logical),
            Type::Bytes(Some(logical)) => bytes(logical)?,
            Type::Bytes(None) => (Scalar::Bytes, None),
            Type::Null | Type::Array(_) | Type::Map(_) | Type::Union(_) | Type::Reference(_) => return Ok(None),
        }))
    }

    /// The scalar that a definition is, if it is one.
    pub fn of_named(named: &Named) -> Result<Option<Noted>> {
        Ok(Some(match &named.form {
            Form::Record(_) => return Ok(None),
            Form::Enum(symbols) => (Scalar::Enum(symbols.clone()), None),
            Form::Fixed { size, logical } => fixed(*size, logical.as_ref())?,
        }))
    }

    /// The column that it gets.
    pub fn data_type(&self) -> DataType {
        match self {
            Scalar::Boolean => DataType::Boolean,
            Scalar::Int => DataType::Int32,
            Scalar::Long => DataType::Int64,
            Scalar::Float => DataType::Float32,
            Scalar::Double => DataType::Float64,
            Scalar::Bytes | Scalar::Fixed(_) => DataType::Binary,
            Scalar::Text | Scalar::Enum(_) | Scalar::Uuid => DataType::Utf8,
            Scalar::Decimal { precision, scale, .. } => DataType::Decimal128(*precision, *scale),
            Scalar::Date => DataType::Date32,
            Scalar::TimeMillis | Scalar::TimeMicros => DataType::Time64(TimeUnit::Microsecond),
            Scalar::Timestamp { zoned, .. } => timestamp_column(*zoned),
        }
    }

    /// Whether a column of this type takes every value (I1).
    pub fn fits(&self, column: &DataType) -> Taking {
        use DataType::{Binary, Decimal128, Float32, Float64, Int32, Int64, Utf8};
        if self.data_type() == *column {
            return Taking::Takes;
        }
        match (self, column) {
            (Scalar::Int, Int64 | Float64) | (Scalar::Float, Float64) => Taking::Takes,
            (Scalar::Text | Scalar::Enum(_), Binary) | (Scalar::Bytes, Utf8) => Taking::Takes,
            _ if self.keeps_nanoseconds_in(column) => Taking::Takes,
            (Scalar::Long, Int32) => Taking::Widened(Int64),
            (Scalar::Double, Float32) => Taking::Widened(Float64),
            (Scalar::Decimal { precision, scale, .. }, Decimal128(held, held_scale)) if scale == held_scale => {
                if precision <= held {
                    Taking::Takes
                } else {
                    Taking::Widened(Decimal128(*precision, *scale))
                }
            }
            _ => Taking::Never,
        }
    }

    /// Whether the table has a column of whole numbers for them, so that nothing is cut off.
    pub fn keeps_nanoseconds_in(&self, column: &DataType) -> bool {
        matches!((self, column), (Scalar::Timestamp { unit: Unit::Nanos, .. }, DataType::Int64))
    }
}

fn timestamp_column(zoned: bool) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, zoned.then(|| UTC.into()))
}

fn int(logical: &Logical) -> Noted {
    match logical.name.as_str() {
        "date" => (Scalar::Date, None),
        "time-millis" => (Scalar::TimeMillis, None),
        _ => (Scalar::Int, Some(passed_over(logical))),
    }
}

fn long(logical: &Logical) -> Noted {
    let (unit, zoned) = match logical.name.as_str() {
        "time-micros" => return (Scalar::TimeMicros, None),
        "timestamp-millis" => (Unit::Millis, true),
        "timestamp-micros" => (Unit::Micros, true),
        "timestamp-nanos" => (Unit::Nanos, true),
        "local-timestamp-millis" => (Unit::Millis, false),
        "local-timestamp-micros" => (Unit::Micros, false),
        "local-timestamp-nanos" => (Unit::Nanos, false),
        _ => return (Scalar::Long, Some(passed_over(logical))),
    };
    let note = (unit == Unit::Nanos).then(|| format!("{FINER}; a column BIGINT keeps all"));
    (Scalar::Timestamp { unit, zoned }, note)
}

fn bytes(logical: &Logical) -> Result<Noted> {
    match logical.name.as_str() {
        "decimal" => decimal(None, logical),
        "big-decimal" => {
            Ok((Scalar::Bytes, Some("big-decimal becomes BYTES as they are: its scale differs by value".to_owned())))
        }
        _ => Ok((Scalar::Bytes, Some(passed_over(logical)))),
    }
}

fn fixed(size: usize, logical: Option<&Logical>) -> Result<Noted> {
    let note = match logical {
        Some(logical) if logical.name == "decimal" => return decimal(Some(size), logical),
        Some(logical) if logical.name == "uuid" && size == UUID_SIZE => {
            return Ok((Scalar::Uuid, Some("uuid of 16 bytes becomes STRING, as uuids are written".to_owned())));
        }
        Some(logical) if logical.name == "duration" && size == 12 => {
            "duration becomes BYTES: months, days and milliseconds as Avro has them".to_owned()
        }
        Some(logical) => format!("{}; fixed({size}) becomes BYTES", passed_over(logical)),
        None => format!("fixed({size}) becomes BYTES: the table does not keep the length"),
    };
    Ok((Scalar::Fixed(size), Some(note)))
}

fn decimal(size: Option<usize>, logical: &Logical) -> Result<Noted> {
    let (precision, scale) = (logical.precision.unwrap_or(PRECISION_DEFAULT), logical.scale.unwrap_or(0));
    let note =
        logical.precision.is_none().then(|| format!("decimal without a precision is taken as {PRECISION_DEFAULT}"));
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(digits @ 1..=DECIMAL128_MAX_PRECISION), Ok(scale_digits)) if scale <= precision => {
            Ok((Scalar::Decimal { size, precision: digits, scale: scale_digits }, note))
        }
        _ => Err(SchemaFault::PrecisionOutOfRange
            .of(Error::data(format!("decimal({precision}, {scale}) has no type in an Iceberg table")))
            .with_hint("a DECIMAL has 1 to 38 digits, and no more of them after the point")),
    }
}

fn passed_over(logical: &Logical) -> String {
    format!("logical type {:?} is passed over: it does not belong on this type", logical.name)
}
