//! How a table is partitioned and sorted: `--partition-by "day(ts), bucket(16, id)"`, `--sort-by "ts, id desc"`.
//!
//! - I1: every source column exists in the schema and is of a type that its transform takes.
//! - I2: a float is never an identity partition: NaN and -0 would make partitions that engines disagree on.
//! - I3: partition fields are named as other engines name them: `ts_day`, `id_bucket`, the bare name for identity; and
//!   every name is one that Avro takes, since manifests are Avro files with these names in their schema.

use iceberg::spec::{
    NestedFieldRef, NullOrder, PartitionField, PrimitiveType, Schema, SortDirection, SortField, SortOrder, Transform,
    Type, UnboundPartitionSpec,
};
use tableflow_model::types::flink_name;
use tableflow_model::{Error, Result};

use crate::iceberg_error;

/// The partition spec that the text describes; an empty text is no partitioning.
pub fn parse_partition_by(text: &str, schema: &Schema) -> Result<UnboundPartitionSpec> {
    let mut builder = UnboundPartitionSpec::builder().with_spec_id(0);
    for item in items(text) {
        let (transform, column) = parse_transform(item)?;
        let field = source_field(schema, column, "partition")?;
        check_transform(transform, field)?;
        let name = partition_name(transform, &field.name);
        builder = builder.add_partition_field(field.id, name, transform).map_err(|error| {
            Error::usage("the partition columns do not fit together")
                .with_detail(error.message())
                .with_hint("name each column once, with one transform")
        })?;
    }
    Ok(builder.build())
}

/// The sort order that the text describes; an empty text is none.
pub fn parse_sort_by(text: &str, schema: &Schema) -> Result<SortOrder> {
    let mut fields = Vec::new();
    for item in items(text) {
        let (column, direction) = first_name(item);
        let mut words = direction.split_whitespace();
        let direction = match words.next().map(str::to_ascii_lowercase).as_deref() {
            None | Some("asc") => SortDirection::Ascending,
            Some("desc") => SortDirection::Descending,
            Some(other) => {
                return Err(Error::usage(format!("{other:?} is no sort direction"))
                    .with_hint("write asc or desc; a name with blanks is written in backticks"));
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
        if fields.iter().any(|known: &SortField| known.source_id == field.id) {
            return Err(Error::usage(format!("column {column} is sorted by twice")).with_hint("name each column once"));
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

/// In backticks where the bare name would not read back.
fn column_text(id: i32, schema: &Schema) -> String {
    let name = schema.name_by_field_id(id).unwrap_or("?");
    let plain = |c: char| c.is_alphanumeric() || "_.-$".contains(c);
    if name.chars().all(plain) { name.to_owned() } else { format!("`{name}`") }
}

fn is_quote(c: char) -> bool {
    c == '`' || c == '"'
}

/// `a, bucket(16, b)` is two items; commas in parentheses and quotes part nothing.
fn items(text: &str) -> Vec<&str> {
    let (mut depth, mut quote) = (0_i32, None);
    let parts = text.split(|c: char| {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (None, _) if is_quote(c) => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0 && quote.is_none()
    });
    parts.map(str::trim).filter(|item| !item.is_empty()).collect()
}

/// The name that an item begins with, quoted or up to a blank, and the rest.
fn first_name(item: &str) -> (&str, &str) {
    let closed = item.chars().next().filter(|c| is_quote(*c)).and_then(|quote| {
        let end = item.get(1..)?.find(quote)? + 2;
        item.split_at_checked(end)
    });
    closed.or_else(|| item.split_once(char::is_whitespace)).unwrap_or((item, ""))
}

/// A name without the quotes around it.
fn unquoted(name: &str) -> &str {
    let inside = |quote| name.strip_prefix(quote)?.strip_suffix(quote);
    inside('`').or_else(|| inside('"')).unwrap_or(name)
}

fn parse_transform(item: &str) -> Result<(Transform, &str)> {
    let bare = if item.starts_with(is_quote) { None } else { item.split_once('(') };
    let Some((word, rest)) = bare else { return Ok((Transform::Identity, item)) };
    let Some(inside) = rest.trim_end().strip_suffix(')') else {
        return Err(not_a_transform(item));
    };
    let inside = inside.trim();
    let (number, column) = match inside.split_once(',') {
        Some((number, column)) if !inside.starts_with(is_quote) => (Some(number.trim()), column.trim()),
        _ => (None, inside),
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
    let name = unquoted(column);
    schema.field_by_name(name).ok_or_else(|| {
        let known: Vec<&str> = schema.as_struct().fields().iter().map(|field| field.name.as_str()).collect();
        let hint = match schema.field_by_name_case_insensitive(name) {
            Some(twin) => format!("did you mean {}?", column_text(twin.id, schema)),
            None => format!("declare it: --columns \"{} TYPE\"", flink_name(name)),
        };
        Error::usage(format!("there is no column {name} to {purpose} by"))
            .with_detail(format!("columns: {}", known.join(", ")))
            .with_hint(hint)
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
    if let (Transform::Truncate(_), Type::Primitive(PrimitiveType::Binary | PrimitiveType::Fixed(_))) =
        (transform, field.field_type.as_ref())
    {
        return refused("partition bytes by bucket(N, c)");
    }
    if transform.result_type(&field.field_type).is_err() {
        return refused("declare a type that the transform takes, for example --columns \"ts TIMESTAMP_LTZ(3)\"");
    }
    Ok(())
}

/// I3.
fn partition_name(transform: Transform, column: &str) -> String {
    let name = match transform {
        Transform::Year => format!("{column}_year"),
        Transform::Month => format!("{column}_month"),
        Transform::Day => format!("{column}_day"),
        Transform::Hour => format!("{column}_hour"),
        Transform::Bucket(_) => format!("{column}_bucket"),
        Transform::Truncate(_) => format!("{column}_trunc"),
        _ => column.to_owned(),
    };
    avro_name(&name)
}

/// As Iceberg's own writers respell a name for Avro: letters, digits and underscores, no digit first.
fn avro_name(name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '0'..='9' if safe.is_empty() => safe.extend(['_', c]),
            _ if c.is_ascii_alphanumeric() || c == '_' => safe.push(c),
            _ => safe.push_str(&format!("_x{:X}", u32::from(c))),
        }
    }
    safe
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
    fn i3_every_name_is_one_that_avro_takes() {
        for (column, name) in
            [("order-id", "order_x2Did"), ("1st", "_1st"), ("ä", "_xE4"), ("a b", "a_x20b"), ("_a1", "_a1")]
        {
            assert_eq!(partition_name(Transform::Identity, column), name);
        }
        assert_eq!(partition_name(Transform::Day, "a.b"), "a_x2Eb_day");
    }

    #[test]
    fn names_that_need_quotes_are_read_and_written_with_them() {
        let field = |id, name| Arc::new(NestedField::optional(id, name, Type::Primitive(PrimitiveType::Timestamp)));
        let names = [field(1, "a b"), field(2, "c,d"), field(3, "e(f"), field(4, "g")];
        let schema = Schema::builder().with_fields(names).build().unwrap();
        for text in ["`a b`, day(`c,d`), bucket(2, `e(f`), g", "`c,d`", "`e(f`"] {
            let spec = parse_partition_by(text, &schema).unwrap().bind(schema.clone()).unwrap();
            assert_eq!(partition_text(spec.fields(), &schema), text);
        }
        for text in ["`a b` desc, `c,d`", "`e(f`, g desc"] {
            assert_eq!(sort_text(&parse_sort_by(text, &schema).unwrap(), &schema), text);
        }
        assert_eq!(parse_sort_by("g, g desc", &schema).unwrap_err().to_string(), "column g is sorted by twice");
        let error = parse_partition_by("hour(G)", &schema).unwrap_err();
        assert_eq!(error.hint(), Some("did you mean g?"));
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
