//! What a Protobuf field without parts is, and which columns take it.
//!
//! Owns the table of scalars.
//! - I1: a column takes a scalar only if it holds every value of it exactly.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use prost_reflect::{EnumDescriptor, Kind};

use super::wire::WireType;
use crate::decode::columns::column::Taking;

/// As many digits as the largest unsigned number of 64 bits has.
const UNSIGNED: DataType = DataType::Decimal128(20, 0);

#[derive(Clone, Debug)]
pub(super) enum Scalar {
    Bool,
    Int32,
    Sint32,
    Sfixed32,
    Uint32,
    Fixed32,
    Int64,
    Sint64,
    Sfixed64,
    Uint64,
    Fixed64,
    Float,
    Double,
    Text,
    Bytes,
    Enum(Arc<Symbols>),
}

/// The names of an enum's numbers; of two for one number, the first.
#[derive(Debug)]
pub(super) struct Symbols(HashMap<i32, Box<str>>);

impl Symbols {
    pub fn get(&self, number: i32) -> Option<&str> {
        self.0.get(&number).map(|name| &**name)
    }

    fn of(descriptor: &EnumDescriptor) -> Self {
        let mut names = HashMap::new();
        for value in descriptor.values() {
            names.entry(value.number()).or_insert_with(|| value.name().into());
        }
        Symbols(names)
    }
}

impl Scalar {
    /// The scalar that a field is, if it is one.
    pub fn of(kind: &Kind) -> Option<Self> {
        Some(match kind {
            Kind::Bool => Scalar::Bool,
            Kind::Int32 => Scalar::Int32,
            Kind::Sint32 => Scalar::Sint32,
            Kind::Sfixed32 => Scalar::Sfixed32,
            Kind::Uint32 => Scalar::Uint32,
            Kind::Fixed32 => Scalar::Fixed32,
            Kind::Int64 => Scalar::Int64,
            Kind::Sint64 => Scalar::Sint64,
            Kind::Sfixed64 => Scalar::Sfixed64,
            Kind::Uint64 => Scalar::Uint64,
            Kind::Fixed64 => Scalar::Fixed64,
            Kind::Float => Scalar::Float,
            Kind::Double => Scalar::Double,
            Kind::String => Scalar::Text,
            Kind::Bytes => Scalar::Bytes,
            Kind::Enum(descriptor) => Scalar::Enum(Arc::new(Symbols::of(descriptor))),
            Kind::Message(_) => return None,
        })
    }

    pub fn wire_type(&self) -> WireType {
        match self {
            Scalar::Sfixed32 | Scalar::Fixed32 | Scalar::Float => WireType::Four,
            Scalar::Sfixed64 | Scalar::Fixed64 | Scalar::Double => WireType::Eight,
            Scalar::Text | Scalar::Bytes => WireType::Run,
            _ => WireType::Varint,
        }
    }

    /// The column that it gets.
    pub fn data_type(&self) -> DataType {
        match self {
            Scalar::Bool => DataType::Boolean,
            Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => DataType::Int32,
            Scalar::Uint32 | Scalar::Fixed32 | Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => DataType::Int64,
            Scalar::Uint64 | Scalar::Fixed64 => UNSIGNED,
            Scalar::Float => DataType::Float32,
            Scalar::Double => DataType::Float64,
            Scalar::Text | Scalar::Enum(_) => DataType::Utf8,
            Scalar::Bytes => DataType::Binary,
        }
    }

    /// Whether a column of this type takes every value (I1).
    pub fn fits(&self, column: &DataType) -> Taking {
        use DataType::{Binary, Decimal128, Float32, Float64, Int32, Int64, Utf8};
        let own = self.data_type();
        match (&own, column) {
            (own, column) if own == column => Taking::Takes,
            (Int32, Int64 | Float64) | (Float32, Float64) | (Utf8, Binary) | (Binary, Utf8) => Taking::Takes,
            (Int32 | Int64, Decimal128(20.., 0)) | (Decimal128(..), Decimal128(20.., 0)) => Taking::Takes,
            (Int64, Int32) | (Float64, Float32) => Taking::Widened(own),
            _ => Taking::Never,
        }
    }

    /// The bytes of the value that an absent field has.
    pub fn zero(&self) -> &'static [u8] {
        match self.wire_type() {
            WireType::Four => &[0; 4],
            WireType::Eight => &[0; 8],
            _ => &[0],
        }
    }
}
