//! What metadata says about a column of a file or of a manifest.
//!
//! Owns [`Bounds`]: per top-level column the smallest and largest value and the number of nulls.
//! - I1: a bound never excludes a value that is there; where nothing is known there is no bound.
//! - I2: a bound is called exact only where every writer must write exact values: never for text and bytes,
//!   which engines truncate, and never for floats, where NaN stands outside the bounds.
//! - I3: a partition value bounds its source column: day 3 of `ts` bounds `ts` to that day.
//! - I4: a bound belongs to a field id, and to the name that the column of that id has in the schema that is read.

use std::collections::HashMap;

use datafusion::scalar::ScalarValue;
use iceberg::spec::{
    DataFile, Datum, Literal, ManifestFile, PartitionSpec, PrimitiveLiteral, PrimitiveType, Schema, Transform, Type,
};

const HOUR_MICROS: i64 = 3_600_000_000;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;

/// One column's bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnBounds {
    pub min: Option<ScalarValue>,
    pub max: Option<ScalarValue>,
    pub nulls: Option<u64>,
    /// I2.
    pub exact: bool,
}

/// The bounds of one container (a file or a manifest), by column name (I4).
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    pub rows: Option<u64>,
    pub columns: HashMap<String, ColumnBounds>,
}

impl Bounds {
    /// From the file's own metrics, and from its partition where it has none.
    pub fn of_file(file: &DataFile, schema: &Schema, spec: &PartitionSpec) -> Self {
        let mut bounds = Bounds { rows: Some(file.record_count()), columns: HashMap::new() };
        for field in schema.as_struct().fields() {
            let Type::Primitive(of) = field.field_type.as_ref() else { continue };
            let scalar = |datum: Option<&Datum>| datum.and_then(|datum| to_scalar(datum.literal(), of));
            let (min, max) = (scalar(file.lower_bounds().get(&field.id)), scalar(file.upper_bounds().get(&field.id)));
            // NaN stands above everything, and writers leave it out of bounds.
            let may_be_nan = matches!(of, PrimitiveType::Float | PrimitiveType::Double)
                && file.nan_value_counts().get(&field.id) != Some(&0);
            let max = max.filter(|_| !may_be_nan);
            let nulls = file.null_value_counts().get(&field.id).copied();
            let known = min.is_some() && max.is_some() && nulls.is_some();
            let column = ColumnBounds { exact: known && is_exact(of), min, max, nulls };
            bounds.columns.insert(field.name.clone(), column);
        }
        for (field, value) in spec.fields().iter().zip(file.partition().iter()) {
            let Some(Literal::Primitive(value)) = value else { continue };
            bounds.narrow(schema, field.source_id, field.transform, value, value);
        }
        bounds
    }

    /// From the partition summaries that the manifest list holds.
    pub fn of_manifest(manifest: &ManifestFile, schema: &Schema, spec: &PartitionSpec) -> Self {
        let mut bounds = Bounds::default();
        let Ok(partition_type) = spec.partition_type(schema) else { return bounds };
        let summaries = manifest.partitions.iter().flatten();
        for ((field, summary), of) in spec.fields().iter().zip(summaries).zip(partition_type.fields()) {
            let Type::Primitive(of) = of.field_type.as_ref() else { continue };
            let read = |bytes: Option<&serde_bytes::ByteBuf>| {
                bytes.and_then(|bytes| Datum::try_from_bytes(bytes, of.clone()).ok())
            };
            let (lower, upper) = (read(summary.lower_bound.as_ref()), read(summary.upper_bound.as_ref()));
            if summary.contains_null || summary.contains_nan == Some(true) {
                continue;
            }
            if let (Some(lower), Some(upper)) = (lower, upper) {
                bounds.narrow(schema, field.source_id, field.transform, lower.literal(), upper.literal());
            }
        }
        bounds
    }

    /// I3: gives the source column the range that the partition values leave, where it has no bounds of its own.
    fn narrow(
        &mut self,
        schema: &Schema,
        source_id: i32,
        transform: Transform,
        lower: &PrimitiveLiteral,
        upper: &PrimitiveLiteral,
    ) {
        let Some(field) = schema.as_struct().field_by_id(source_id) else { return };
        let Type::Primitive(of) = field.field_type.as_ref() else { return };
        let column = self.columns.entry(field.name.clone()).or_default();
        if column.min.is_some() || column.max.is_some() {
            return;
        }
        if let Some((min, max)) = source_range(transform, of, lower, upper) {
            (column.min, column.max) = (to_scalar(&min, of), to_scalar(&max, of));
        }
    }
}

/// I2.
fn is_exact(of: &PrimitiveType) -> bool {
    use PrimitiveType::{Boolean, Date, Decimal, Int, Long, Time, Timestamp, Timestamptz};
    matches!(of, Boolean | Int | Long | Date | Time | Timestamp | Timestamptz | Decimal { .. })
}

/// The values of a column that its partition values `lower` to `upper` can come from.
fn source_range(
    transform: Transform,
    of: &PrimitiveType,
    lower: &PrimitiveLiteral,
    upper: &PrimitiveLiteral,
) -> Option<(PrimitiveLiteral, PrimitiveLiteral)> {
    use PrimitiveLiteral::{Int, Long};
    let micros = matches!(of, PrimitiveType::Timestamp | PrimitiveType::Timestamptz);
    match (transform, lower, upper) {
        (Transform::Identity, _, _) => Some((lower.clone(), upper.clone())),
        (Transform::Day, Int(first), Int(last)) if micros => span(*first, *last, DAY_MICROS),
        (Transform::Hour, Int(first), Int(last)) if micros => span(*first, *last, HOUR_MICROS),
        (Transform::Truncate(width), Long(first), Long(last)) => {
            Some((Long(*first), Long(last.checked_add(i64::from(width) - 1)?)))
        }
        _ => None,
    }
}

fn span(first: i32, last: i32, unit: i64) -> Option<(PrimitiveLiteral, PrimitiveLiteral)> {
    let start = i64::from(first).checked_mul(unit)?;
    let end = (i64::from(last) + 1).checked_mul(unit)? - 1;
    Some((PrimitiveLiteral::Long(start), PrimitiveLiteral::Long(end)))
}

/// A value of metadata as DataFusion's scalar of the column's Arrow type; a column that was promoted keeps its old
/// files' bounds.
pub(super) fn to_scalar(value: &PrimitiveLiteral, of: &PrimitiveType) -> Option<ScalarValue> {
    Some(match (of, value) {
        (PrimitiveType::Boolean, PrimitiveLiteral::Boolean(v)) => ScalarValue::Boolean(Some(*v)),
        (PrimitiveType::Int, PrimitiveLiteral::Int(v)) => ScalarValue::Int32(Some(*v)),
        (PrimitiveType::Long, PrimitiveLiteral::Long(v)) => ScalarValue::Int64(Some(*v)),
        (PrimitiveType::Long, PrimitiveLiteral::Int(v)) => ScalarValue::Int64(Some(i64::from(*v))),
        (PrimitiveType::Float, PrimitiveLiteral::Float(v)) => ScalarValue::Float32(Some(v.0)),
        (PrimitiveType::Double, PrimitiveLiteral::Double(v)) => ScalarValue::Float64(Some(v.0)),
        (PrimitiveType::Double, PrimitiveLiteral::Float(v)) => ScalarValue::Float64(Some(f64::from(v.0))),
        (PrimitiveType::Date, PrimitiveLiteral::Int(v)) => ScalarValue::Date32(Some(*v)),
        (PrimitiveType::Time, PrimitiveLiteral::Long(v)) => ScalarValue::Time64Microsecond(Some(*v)),
        (PrimitiveType::Timestamp, PrimitiveLiteral::Long(v)) => ScalarValue::TimestampMicrosecond(Some(*v), None),
        (PrimitiveType::Timestamptz, PrimitiveLiteral::Long(v)) => {
            ScalarValue::TimestampMicrosecond(Some(*v), Some("+00:00".into()))
        }
        (PrimitiveType::String, PrimitiveLiteral::String(v)) => ScalarValue::Utf8(Some(v.clone())),
        (PrimitiveType::Decimal { precision, scale }, PrimitiveLiteral::Int128(v)) => {
            ScalarValue::Decimal128(Some(*v), u8::try_from(*precision).ok()?, i8::try_from(*scale).ok()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i3_a_day_bounds_its_timestamps() {
        let (lower, upper) = (PrimitiveLiteral::Int(-1), PrimitiveLiteral::Int(0));
        let range = source_range(Transform::Day, &PrimitiveType::Timestamptz, &lower, &upper).unwrap();
        // 1969-12-31T00:00:00 to 1970-01-01T23:59:59.999999
        assert_eq!(range, (PrimitiveLiteral::Long(-86_400_000_000), PrimitiveLiteral::Long(86_399_999_999)));
        assert!(source_range(Transform::Bucket(4), &PrimitiveType::Long, &lower, &upper).is_none());
    }

    /// A file as PyIceberg describes it says nothing about NaN, ours says that there is none.
    #[test]
    fn i1_where_nan_may_be_there_is_no_upper_bound() {
        use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat, NestedField, Struct};

        let column = NestedField::optional(1, "d", Type::Primitive(PrimitiveType::Double));
        let schema = Schema::builder().with_fields([column.into()]).build().unwrap();
        let spec = PartitionSpec::unpartition_spec();
        for (nans, max) in [(None, None), (Some(1), None), (Some(0), Some(ScalarValue::from(2.0)))] {
            let file = DataFileBuilder::default()
                .content(DataContentType::Data)
                .file_path("f".to_owned())
                .file_format(DataFileFormat::Parquet)
                .partition(Struct::empty())
                .record_count(2)
                .file_size_in_bytes(1)
                .lower_bounds(HashMap::from([(1, Datum::double(2.0))]))
                .upper_bounds(HashMap::from([(1, Datum::double(2.0))]))
                .nan_value_counts(nans.map(|count| (1, count)).into_iter().collect())
                .build()
                .unwrap();
            let bounds = Bounds::of_file(&file, &schema, &spec);
            assert_eq!(bounds.columns["d"].max, max, "{nans:?}");
            assert_eq!(bounds.columns["d"].min, Some(ScalarValue::from(2.0)));
        }
    }

    #[test]
    fn i2_text_and_float_bounds_are_never_called_exact() {
        for (of, exact) in [
            (PrimitiveType::Long, true),
            (PrimitiveType::Timestamptz, true),
            (PrimitiveType::String, false),
            (PrimitiveType::Binary, false),
            (PrimitiveType::Double, false),
        ] {
            assert_eq!(is_exact(&of), exact, "{of}");
        }
    }
}
