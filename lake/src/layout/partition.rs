//! How a table is partitioned and sorted: `--partition-by "day(ts), bucket(16, id)"`, `--sort-by "ts, id desc"`.
//!
//! - I1: every source column exists in the schema and is of a type that its transform takes.
//! - I2: a float is never an identity partition: NaN and -0 would make partitions that engines disagree on.
//! - I3: partition fields are named as other engines name them: `ts_day`, `id_bucket`, the bare name for identity.

use iceberg::spec::{
    NestedFieldRef, NullOrder, PartitionField, PrimitiveType, Schema, SortDirection, SortField, SortOrder, Transform,
    Type, UnboundPartitionSpec,
};
use tableflow_model::{Error, Result};

use crate::iceberg_error;

/// The partition spec that the text describes; an empty text is no partitioning.
pub fn parse_partition_by(text: &str, schema: &Schema) -> Result<UnboundPartitionSpec> {
    let mut builder = UnboundPartitionSpec::builder().with_spec_id(0);
    for item in split_outside_parentheses(text) {
        let (transform, column) = parse_transform(item)?;
        let field = source_field(schema, column, "partition")?;
        check_transform(transform, field)?;
        let name = partition_name(transform, &field.name);
        builder = builder
            .add_partition_field(field.id, name, transform)
            .map_err(|error| Error::usage("the partition columns do not fit together").with_detail(error.message()))?;
    }
    Ok(builder.build())
}

/// The sort order that the text describes; an empty text is none.
pub fn parse_sort_by(text: &str, schema: &Schema) -> Result<SortOrder> {
    let mut fields = Vec::new();
    for item in split_outside_parentheses(text) {
        let mut words = item.split_whitespace();
        let column = words.next().unwrap_or_default();
        let direction = match words.next().map(str::to_ascii_lowercase).as_deref() {
            None | Some("asc") => SortDirection::Ascending,
            Some("desc") => SortDirection::Descending,
            Some(other) => {
                return Err(Error::usage(format!("{other:?} is no sort direction")).with_hint("write asc or desc"));
            }
        };
        if let Some(extra) = words.next() {
            return Err(Error::usage(format!("{extra:?} is not understood after {column} in --sort-by"))
                .with_hint("write --sort-by \"ts, id desc\""));
        }
        let field = source_field(schema, column, "sort")?;
        if !schema.as_struct().fields().iter().any(|top| top.id == field.id) {
            return Err(Error::usage(format!("{column} is inside a column, and rows are sorted by whole columns"))
                .with_hint("sort by a column of the table's top level, or leave it out of --sort-by"));
        }
        if !field.field_type.is_primitive() {
            return Err(Error::usage(format!("column {column} is {} and has no order", field.field_type))
                .with_hint("sort by a number, a text or a time"));
        }
        let null_order = match direction {
            SortDirection::Ascending => NullOrder::First,
            SortDirection::Descending => NullOrder::Last,
        };
        let transform = Transform::Identity;
        fields.push(
            SortField::builder()
                .source_id(field.id)
                .transform(transform)
                .direction(direction)
                .null_order(null_order)
                .build(),
        );
    }
    if fields.is_empty() {
        return Ok(SortOrder::unsorted_order());
    }
    let order_id = 1;
    SortOrder::builder()
        .with_order_id(order_id)
        .with_fields(fields)
        .build(schema)
        .map_err(iceberg_error("the sort columns do not fit together"))
}

/// The text that describes a partition spec: what [`parse_partition_by`] reads.
pub fn partition_text(fields: &[PartitionField], schema: &Schema) -> String {
    let item = |field: &PartitionField| {
        let column = column_text(field.source_id, schema);
        match field.transform {
            Transform::Identity => column,
            Transform::Bucket(width) => format!("bucket({width}, {column})"),
            Transform::Truncate(width) => format!("truncate({width}, {column})"),
            transform => format!("{transform}({column})"),
        }
    };
    fields.iter().map(item).collect::<Vec<_>>().join(", ")
}

/// The text that describes a sort order: what [`parse_sort_by`] reads.
pub fn sort_text(order: &SortOrder, schema: &Schema) -> String {
    let item = |field: &SortField| {
        let column = column_text(field.source_id, schema);
        match field.direction {
            SortDirection::Ascending => column,
            SortDirection::Descending => format!("{column} desc"),
        }
    };
    order.fields.iter().map(item).collect::<Vec<_>>().join(", ")
}

fn column_text(id: i32, schema: &Schema) -> String {
    schema.name_by_field_id(id).unwrap_or("?").to_owned()
}

/// `a, bucket(16, b)` is two items.
fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|item| !item.is_empty())
    .collect()
}

fn parse_transform(item: &str) -> Result<(Transform, &str)> {
    let Some((word, rest)) = item.split_once('(') else { return Ok((Transform::Identity, item)) };
    let Some(inside) = rest.trim_end().strip_suffix(')') else {
        return Err(not_a_transform(item));
    };
    let (number, column) = match inside.split_once(',') {
        Some((number, column)) => (Some(number.trim()), column.trim()),
        None => (None, inside.trim()),
    };
    let transform = match (word.trim().to_ascii_lowercase().as_str(), number) {
        ("identity", None) => Transform::Identity,
        ("year" | "years", None) => Transform::Year,
        ("month" | "months", None) => Transform::Month,
        ("day" | "days", None) => Transform::Day,
        ("hour" | "hours", None) => Transform::Hour,
        ("bucket", Some(number)) => Transform::Bucket(positive(number, item)?),
        ("truncate", Some(number)) => Transform::Truncate(positive(number, item)?),
        _ => return Err(not_a_transform(item)),
    };
    Ok((transform, column))
}

fn positive(number: &str, item: &str) -> Result<u32> {
    match number.parse::<u32>() {
        Ok(width) if (1..=i32::MAX as u32).contains(&width) => Ok(width),
        _ => Err(Error::usage(format!("{number:?} is no width in {item:?}")).with_hint("a whole number of at least 1")),
    }
}

fn not_a_transform(item: &str) -> Error {
    Error::usage(format!("{item:?} is no partition transform")).with_hint(
        "write a column, year(c), month(c), day(c), hour(c), bucket(N, c) or truncate(N, c), separated by commas",
    )
}

fn source_field<'a>(schema: &'a Schema, column: &str, purpose: &str) -> Result<&'a NestedFieldRef> {
    let name = column.trim_matches(|c| c == '`' || c == '"');
    schema.field_by_name(name).ok_or_else(|| {
        let known: Vec<&str> = schema.as_struct().fields().iter().map(|field| field.name.as_str()).collect();
        Error::usage(format!("there is no column {name} to {purpose} by"))
            .with_detail(format!("columns: {}", known.join(", ")))
            .with_hint(format!("declare it: --columns \"{name} TYPE\""))
    })
}

/// I1, I2.
fn check_transform(transform: Transform, field: &NestedFieldRef) -> Result<()> {
    let refused = |why: &str| {
        Err(Error::usage(format!(
            "column {} is {} and cannot be partitioned by {transform}",
            field.name, field.field_type
        ))
        .with_hint(why.to_owned()))
    };
    if let (Transform::Identity, Type::Primitive(PrimitiveType::Float | PrimitiveType::Double)) =
        (transform, field.field_type.as_ref())
    {
        return refused("partition by a whole number, a text or a time; floats make bad partitions");
    }
    if transform.result_type(&field.field_type).is_err() {
        return refused("declare a type that the transform takes, for example --columns \"ts TIMESTAMP_LTZ(3)\"");
    }
    Ok(())
}

/// I3.
fn partition_name(transform: Transform, column: &str) -> String {
    match transform {
        Transform::Year => format!("{column}_year"),
        Transform::Month => format!("{column}_month"),
        Transform::Day => format!("{column}_day"),
        Transform::Hour => format!("{column}_hour"),
        Transform::Bucket(_) => format!("{column}_bucket"),
        Transform::Truncate(_) => format!("{column}_trunc"),
        _ => column.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use iceberg::spec::{NestedField, StructType};

    use super::*;

    fn schema() -> Schema {
        let field = |id, name, of| Arc::new(NestedField::optional(id, name, Type::Primitive(of)));
        Schema::builder()
            .with_fields([
                field(1, "id", PrimitiveType::Long),
                field(2, "ts", PrimitiveType::Timestamptz),
                field(3, "price", PrimitiveType::Double),
                field(4, "name", PrimitiveType::String),
            ])
            .build()
            .unwrap()
    }

    #[test]
    fn i3_every_transform_is_understood_and_named_as_elsewhere() {
        let spec = parse_partition_by("day(ts), bucket(16, id),truncate(4,name), name", &schema()).unwrap();
        let fields: Vec<_> = spec.fields().iter().map(|f| (f.source_id, f.name.as_str(), f.transform)).collect();
        assert_eq!(
            fields,
            [
                (2, "ts_day", Transform::Day),
                (1, "id_bucket", Transform::Bucket(16)),
                (4, "name_trunc", Transform::Truncate(4)),
                (4, "name", Transform::Identity),
            ]
        );
        for (text, name) in [("HOURS(ts)", "ts_hour"), ("month(`ts`)", "ts_month"), ("years(\"ts\")", "ts_year")] {
            assert_eq!(parse_partition_by(text, &schema()).unwrap().fields()[0].name, name, "{text}");
        }
        assert!(parse_partition_by(" ", &schema()).unwrap().fields().is_empty());
    }

    #[test]
    fn i1_i2_what_cannot_be_is_refused_with_the_reason() {
        for (text, message) in [
            ("nope", "there is no column nope to partition by"),
            ("day(id)", "column id is long and cannot be partitioned by day"),
            ("price", "column price is double and cannot be partitioned by identity"),
            ("bucket(0, id)", "\"0\" is no width in \"bucket(0, id)\""),
            ("bucket(id)", "\"bucket(id)\" is no partition transform"),
            ("week(ts)", "\"week(ts)\" is no partition transform"),
            ("day(ts", "\"day(ts\" is no partition transform"),
            ("id, id", "the partition columns do not fit together"),
        ] {
            let error = parse_partition_by(text, &schema()).and_then(|spec| {
                spec.bind(schema()).map_err(iceberg_error("the partition columns do not fit together"))
            });
            assert_eq!(error.unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in ["", "day(ts), bucket(16, id), truncate(4, name), name", "hour(ts)", "month(ts)", "year(ts), id"] {
            let spec = parse_partition_by(text, &schema()).unwrap().bind(schema()).unwrap();
            assert_eq!(partition_text(spec.fields(), &schema()), text);
        }
        for text in ["", "ts, id desc"] {
            assert_eq!(sort_text(&parse_sort_by(text, &schema()).unwrap(), &schema()), text);
        }
    }

    #[test]
    fn i1_a_field_inside_a_column_is_no_sort_column() {
        let inner = Arc::new(NestedField::optional(2, "v", Type::Primitive(PrimitiveType::Long)));
        let outer = NestedField::optional(1, "in", Type::Struct(StructType::new(vec![inner])));
        let schema = Schema::builder().with_fields([Arc::new(outer)]).build().unwrap();
        let error = parse_sort_by("in.v", &schema).unwrap_err();
        assert_eq!(error.to_string(), "in.v is inside a column, and rows are sorted by whole columns");
        assert_eq!(parse_sort_by("in", &schema).unwrap_err().hint(), Some("sort by a number, a text or a time"));
    }

    #[test]
    fn sort_orders() {
        let order = parse_sort_by("ts, id desc", &schema()).unwrap();
        let fields: Vec<_> = order.fields.iter().map(|f| (f.source_id, f.direction)).collect();
        assert_eq!(fields, [(2, SortDirection::Ascending), (1, SortDirection::Descending)]);
        assert!(parse_sort_by("", &schema()).unwrap().is_unsorted());
        assert_eq!(parse_sort_by("id down", &schema()).unwrap_err().to_string(), "\"down\" is no sort direction");
    }
}
