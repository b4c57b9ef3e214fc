//! The value that a record means by leaving a field out, as bytes.
//!
//! Owns [`default_bytes`]: read like bytes of a record, so that there is one way into a column.

use prost_reflect::{FieldDescriptor, Value};

use super::scalar::Scalar;

/// The bytes of a field's default; `None` where its absence is told from any value.
pub(super) fn default_bytes(field: &FieldDescriptor, scalar: &Scalar) -> Option<Box<[u8]>> {
    if field.containing_oneof().is_some() {
        return None;
    }
    match field.field_descriptor_proto().default_value {
        Some(_) => Some(written(&field.default_value(), scalar).into()),
        None if field.supports_presence() => None,
        None => Some(scalar.zero().into()),
    }
}

fn written(value: &Value, scalar: &Scalar) -> Vec<u8> {
    match (value, scalar) {
        (Value::Bool(value), _) => varint(u64::from(*value)),
        (Value::I32(value), Scalar::Sfixed32) => value.to_le_bytes().to_vec(),
        (Value::I32(value), Scalar::Sint32) => varint(zigzag(i64::from(*value))),
        (Value::I32(value) | Value::EnumNumber(value), _) => varint(i64::from(*value).cast_unsigned()),
        (Value::I64(value), Scalar::Sfixed64) => value.to_le_bytes().to_vec(),
        (Value::I64(value), Scalar::Sint64) => varint(zigzag(*value)),
        (Value::I64(value), _) => varint(value.cast_unsigned()),
        (Value::U32(value), Scalar::Fixed32) => value.to_le_bytes().to_vec(),
        (Value::U32(value), _) => varint(u64::from(*value)),
        (Value::U64(value), Scalar::Fixed64) => value.to_le_bytes().to_vec(),
        (Value::U64(value), _) => varint(*value),
        (Value::F32(value), _) => value.to_le_bytes().to_vec(),
        (Value::F64(value), _) => value.to_le_bytes().to_vec(),
        (Value::String(value), _) => run(value.as_bytes()),
        (Value::Bytes(value), _) => run(value),
        // No scalar has a list, a map or a message.
        _ => scalar.zero().to_vec(),
    }
}

fn run(bytes: &[u8]) -> Vec<u8> {
    let mut written = varint(bytes.len() as u64);
    written.extend_from_slice(bytes);
    written
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn varint(mut bits: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bits >= 0x80 {
        bytes.push((bits & 0x7f) as u8 | 0x80);
        bits >>= 7;
    }
    bytes.push(bits as u8);
    bytes
}
