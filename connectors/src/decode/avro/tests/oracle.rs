//! The decoder against apache-avro: any schema, any value, written by the one and read by the other.
//!
//! What a cell should read is told when the value is made, from the same numbers and texts, not from what was decoded.

use apache_avro::types::Value;
use apache_avro::{Days, Decimal, Duration, Millis, Months, to_avro_datum};
use arrow::array::{RecordBatch, StructArray};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value as Json, json};

use super::*;
use crate::decode::shown::{cell, damaged};

/// A type of Avro.
#[derive(Clone, Debug)]
enum Kind {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Enum,
    Uuid,
    Date,
    TimeMillis,
    TimeMicros,
    /// The name of its logical type, and how many microseconds it counts.
    Timestamp(&'static str, i64),
    Fixed(usize),
    UuidBytes,
    Duration,
    Decimal {
        fixed: Option<usize>,
        precision: usize,
        scale: usize,
    },
    Optional {
        inner: Box<Kind>,
        null_first: bool,
    },
    Union(Vec<Kind>),
    List(Box<Kind>),
    Map(Box<Kind>),
    Row(Vec<Kind>),
}

/// A value as apache-avro takes it, and the cell that it makes.
type Sample = (Value, String);

const SYMBOLS: [&str; 3] = ["RED", "green", "b_3"];
const TIMESTAMPS: [(&str, i64); 4] = [
    ("timestamp-millis", 1000),
    ("timestamp-micros", 1),
    ("local-timestamp-millis", 1000),
    ("local-timestamp-micros", 1),
];

fn leaf() -> BoxedStrategy<Kind> {
    let decimal = (1..=38_usize, any::<Index>(), any::<bool>()).prop_map(|(precision, scale, fixed)| {
        // 17 bytes hold any of 38 digits, with one to spare.
        Kind::Decimal { fixed: fixed.then_some(17), precision, scale: scale.index(precision + 1) }
    });
    let plain = [
        Kind::Boolean,
        Kind::Int,
        Kind::Long,
        Kind::Float,
        Kind::Double,
        Kind::Bytes,
        Kind::Text,
        Kind::Enum,
        Kind::Uuid,
        Kind::Date,
        Kind::TimeMillis,
        Kind::TimeMicros,
        Kind::UuidBytes,
        Kind::Duration,
        Kind::Fixed(1),
        Kind::Fixed(20),
    ];
    let timestamp = prop::sample::select(&TIMESTAMPS[..]).prop_map(|(name, micros)| Kind::Timestamp(name, micros));
    prop_oneof![6 => prop::sample::select(plain.to_vec()), 1 => decimal, 1 => timestamp].boxed()
}

fn kind() -> BoxedStrategy<Kind> {
    leaf()
        .prop_recursive(4, 24, 4, |inner| {
            let boxed = inner.clone().prop_map(Box::new);
            let optional = (inner.clone().prop_filter("a union of its own", |kind| !is_union(kind)), any::<bool>());
            let branches = vec(inner.clone().prop_filter("a union of its own", |kind| !is_union(kind)), 2..5);
            prop_oneof![
                2 => optional.prop_map(|(kind, null_first)| Kind::Optional { inner: Box::new(kind), null_first }),
                1 => branches.prop_filter_map("branches of one name", union),
                1 => boxed.clone().prop_map(Kind::List),
                1 => boxed.prop_map(Kind::Map),
                2 => vec(inner, 1..4).prop_map(Kind::Row),
            ]
        })
        .boxed()
}

fn is_union(kind: &Kind) -> bool {
    matches!(kind, Kind::Union(_) | Kind::Optional { .. })
}

fn union(branches: Vec<Kind>) -> Option<Kind> {
    // A union has each type once, save those with names, which the test makes all different.
    let mut types: Vec<_> = branches.iter().filter_map(|kind| schema(kind, "N").as_str().map(str::to_owned)).collect();
    types.extend(branches.iter().filter_map(|kind| schema(kind, "N")["type"].as_str().map(str::to_owned)));
    types.retain(|name| !["record", "enum", "fixed"].contains(&name.as_str()));
    let count = types.len();
    types.sort();
    types.dedup();
    // apache-avro takes but one decimal of fixed bytes, or duration, though they have names.
    let kind = Kind::Union(branches);
    (types.len() == count && apache_avro::Schema::parse(&schema(&kind, "N")).is_ok()).then_some(kind)
}

/// The schema of a kind; `name` is what its definition is called, if it has one.
fn schema(kind: &Kind, name: &str) -> Json {
    let logical = |base: &str, logical: &str| json!({"type": base, "logicalType": logical});
    match kind {
        Kind::Boolean => json!("boolean"),
        Kind::Int => json!("int"),
        Kind::Long => json!("long"),
        Kind::Float => json!("float"),
        Kind::Double => json!("double"),
        Kind::Bytes => json!("bytes"),
        Kind::Text => json!("string"),
        Kind::Enum => json!({"type": "enum", "name": name, "symbols": SYMBOLS}),
        Kind::Uuid => logical("string", "uuid"),
        Kind::Date => logical("int", "date"),
        Kind::TimeMillis => logical("int", "time-millis"),
        Kind::TimeMicros => logical("long", "time-micros"),
        Kind::Timestamp(word, _) => logical("long", word),
        Kind::Fixed(size) => json!({"type": "fixed", "name": name, "size": size}),
        Kind::UuidBytes => json!({"type": "fixed", "name": name, "size": 16, "logicalType": "uuid"}),
        Kind::Duration => json!({"type": "fixed", "name": name, "size": 12, "logicalType": "duration"}),
        Kind::Decimal { fixed: None, precision, scale } => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
        }
        Kind::Decimal { fixed: Some(size), precision, scale } => {
            json!({"type": "fixed", "name": name, "size": size, "logicalType": "decimal", "precision": precision, "scale": scale})
        }
        Kind::Optional { inner, null_first: true } => json!(["null", schema(inner, name)]),
        Kind::Optional { inner, null_first: false } => json!([schema(inner, name), "null"]),
        Kind::Union(branches) => {
            branches.iter().enumerate().map(|(n, kind)| schema(kind, &format!("{name}_{n}"))).collect()
        }
        Kind::List(items) => json!({"type": "array", "items": schema(items, name)}),
        Kind::Map(values) => json!({"type": "map", "values": schema(values, name)}),
        Kind::Row(fields) => {
            let field = |(n, kind)| json!({"name": format!("f{n}"), "type": schema(kind, &format!("{name}_f{n}"))});
            let fields: Vec<_> = fields.iter().enumerate().map(field).collect();
            json!({"type": "record", "name": name, "fields": fields})
        }
    }
}

/// The name of a union's branch.
fn branch_name(kind: &Kind, name: &str) -> String {
    match schema(kind, name) {
        Json::String(word) => word,
        object => object["name"].as_str().or(object["type"].as_str()).unwrap().to_owned(),
    }
}

fn sample(kind: &Kind, name: &str) -> BoxedStrategy<Sample> {
    match kind {
        Kind::Optional { inner, null_first } => optional(inner, *null_first, name),
        Kind::Union(branches) => union_sample(branches, name),
        Kind::List(items) => vec(sample(items, name), 0..4).prop_map(list).boxed(),
        Kind::Map(values) => prop::collection::hash_map(".{0,3}", sample(values, name), 0..4)
            .prop_map(|entries| map(entries.into_iter()))
            .boxed(),
        Kind::Row(fields) => {
            let fields: Vec<_> =
                fields.iter().enumerate().map(|(n, kind)| sample(kind, &format!("{name}_f{n}"))).collect();
            fields.prop_map(row).boxed()
        }
        scalar => scalar_sample(scalar),
    }
}

fn optional(inner: &Kind, null_first: bool, name: &str) -> BoxedStrategy<Sample> {
    let value =
        sample(inner, name).prop_map(move |(value, cell)| (Value::Union(u32::from(null_first), Box::new(value)), cell));
    let null = (Value::Union(u32::from(!null_first), Box::new(Value::Null)), "-".to_owned());
    prop_oneof![3 => value, 1 => Just(null)].boxed()
}

fn union_sample(branches: &[Kind], name: &str) -> BoxedStrategy<Sample> {
    let names: Vec<_> =
        branches.iter().enumerate().map(|(n, kind)| branch_name(kind, &format!("{name}_{n}"))).collect();
    let sampled = branches.iter().enumerate().map(|(n, kind)| {
        let names = names.clone();
        let within = move |(value, cell): Sample| {
            let cells =
                names.iter().enumerate().map(|(m, name)| format!("{name}: {}", if m == n { &cell } else { "-" }));
            let cell = format!("{{{}}}", cells.collect::<Vec<_>>().join(", "));
            (Value::Union(n as u32, Box::new(value)), cell)
        };
        sample(kind, &format!("{name}_{n}")).prop_map(within).boxed()
    });
    prop::strategy::Union::new(sampled.collect::<Vec<_>>()).boxed()
}

fn list(items: Vec<Sample>) -> Sample {
    let (values, cells): (Vec<_>, Vec<_>) = items.into_iter().unzip();
    (Value::Array(values), format!("[{}]", cells.join(", ")))
}

fn map(entries: impl Iterator<Item = (String, Sample)>) -> Sample {
    let (mut values, mut cells) = (std::collections::HashMap::new(), Vec::new());
    for (key, (value, cell)) in entries {
        cells.push(format!("{key:?} => {cell}; "));
        values.insert(key, value);
    }
    // apache-avro writes them in the order of its own hashing.
    cells.sort();
    (Value::Map(values), format!("({})", cells.concat()))
}

fn row(fields: Vec<Sample>) -> Sample {
    let named =
        fields.into_iter().enumerate().map(|(n, (value, cell))| ((format!("f{n}"), value), format!("f{n}: {cell}")));
    let (values, cells): (Vec<_>, Vec<_>) = named.unzip();
    (Value::Record(values), format!("{{{}}}", cells.join(", ")))
}

fn scalar_sample(kind: &Kind) -> BoxedStrategy<Sample> {
    let bytes = |size: std::ops::Range<usize>| vec(any::<u8>(), size);
    match kind.clone() {
        Kind::Boolean => any::<bool>().prop_map(|b| (Value::Boolean(b), b.to_string())).boxed(),
        Kind::Int => any::<i32>().prop_map(|n| (Value::Int(n), n.to_string())).boxed(),
        Kind::Long => any::<i64>().prop_map(|n| (Value::Long(n), n.to_string())).boxed(),
        Kind::Float => any::<f32>().prop_map(|n| (Value::Float(n), format!("{n:?}"))).boxed(),
        Kind::Double => any::<f64>().prop_map(|n| (Value::Double(n), format!("{n:?}"))).boxed(),
        Kind::Bytes => bytes(0..9).prop_map(|b| (Value::Bytes(b.clone()), format!("{b:?}"))).boxed(),
        Kind::Text => ".{0,12}".prop_map(|t| (Value::String(t.clone()), format!("{t:?}"))).boxed(),
        Kind::Enum => (0..3_usize)
            .prop_map(|n| (Value::Enum(n as u32, SYMBOLS[n].to_owned()), format!("{:?}", SYMBOLS[n])))
            .boxed(),
        Kind::Uuid => any::<u128>().prop_map(|n| uuid(n, false)).boxed(),
        Kind::UuidBytes => any::<u128>().prop_map(|n| uuid(n, true)).boxed(),
        Kind::Date => (-719_162..=2_932_896).prop_map(|n| (Value::Date(n), format!("day {n}"))).boxed(),
        Kind::TimeMillis => (0..86_400_000_i32)
            .prop_map(|n| (Value::TimeMillis(n), format!("{n}000us").replacen("0000us", "0us", usize::from(n == 0))))
            .boxed(),
        Kind::TimeMicros => (0..86_400_000_000_i64).prop_map(|n| (Value::TimeMicros(n), format!("{n}us"))).boxed(),
        Kind::Timestamp(word, micros) => timestamp(word, micros),
        Kind::Fixed(size) => {
            bytes(size..size + 1).prop_map(|b| (Value::Fixed(b.len(), b.clone()), format!("{b:?}"))).boxed()
        }
        Kind::Duration => any::<[u32; 3]>().prop_map(duration).boxed(),
        Kind::Decimal { precision, scale, fixed } => decimal(precision, scale, fixed),
        nested => unreachable!("{nested:?} has parts"),
    }
}

fn uuid(number: u128, binary: bool) -> Sample {
    let hex = format!("{number:032x}");
    let text = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    let value = match binary {
        true => Value::Fixed(16, number.to_be_bytes().to_vec()),
        false => Value::Uuid(uuid::Uuid::from_u128(number)),
    };
    (value, format!("{text:?}"))
}

fn timestamp(word: &'static str, micros: i64) -> BoxedStrategy<Sample> {
    let seconds = -62_135_596_800_i64..253_402_300_800;
    let value = move |(seconds, fraction): (i64, i64)| {
        let number = seconds * (1_000_000 / micros) + fraction % (1_000_000 / micros);
        let value = match word {
            "timestamp-millis" => Value::TimestampMillis(number),
            "timestamp-micros" => Value::TimestampMicros(number),
            "local-timestamp-millis" => Value::LocalTimestampMillis(number),
            _ => Value::LocalTimestampMicros(number),
        };
        (value, format!("{}us", number * micros))
    };
    (seconds, 0..1_000_000_i64).prop_map(value).boxed()
}

fn duration([months, days, millis]: [u32; 3]) -> Sample {
    let bytes: Vec<u8> = [months, days, millis].iter().flat_map(|part| part.to_le_bytes()).collect();
    let value = Duration::new(Months::new(months), Days::new(days), Millis::new(millis));
    (Value::Duration(value), format!("{bytes:?}"))
}

fn decimal(precision: usize, scale: usize, fixed: Option<usize>) -> BoxedStrategy<Sample> {
    let limit = 10_i128.pow(precision as u32);
    let value = move |number: i128| {
        let number = number % limit;
        let bytes = number.to_be_bytes();
        let bytes = match fixed {
            Some(size) => [vec![if number < 0 { 0xff } else { 0 }; size - bytes.len()], bytes.to_vec()].concat(),
            None => bytes.to_vec(),
        };
        (Value::Decimal(Decimal::from(bytes)), format!("{number}e-{scale}"))
    };
    (any::<i128>(), 0..38_u32).prop_map(move |(number, cut)| value(number / 10_i128.pow(cut))).boxed()
}

/// A schema, and records of it.
fn records_of_one_schema() -> BoxedStrategy<(Json, Vec<Sample>)> {
    vec(kind(), 1..5)
        .prop_map(Kind::Row)
        .prop_flat_map(|kind| (Just(schema(&kind, "Root")), vec(sample(&kind, "Root"), 1..8)))
        .boxed()
}

/// apache-avro writes a uuid of 16 bytes as text: to it they are bytes.
fn without_uuid_bytes(schema: &mut Json) {
    match schema {
        Json::Array(branches) => branches.iter_mut().for_each(without_uuid_bytes),
        Json::Object(members) => {
            if members.get("type") == Some(&json!("fixed")) && members.get("logicalType") == Some(&json!("uuid")) {
                members.remove("logicalType");
            }
            members.values_mut().for_each(without_uuid_bytes);
        }
        _ => {}
    }
}

fn written(schema: &Json, values: &[Sample]) -> Vec<Vec<u8>> {
    let mut schema = schema.clone();
    without_uuid_bytes(&mut schema);
    let schema = apache_avro::Schema::parse(&schema).unwrap();
    let write = |(value, _): &Sample| self::value(1, &[&to_avro_datum(&schema, value.clone()).unwrap()]);
    values.iter().map(write).collect()
}

/// The rows of a batch in the manner of a nested one, maps by their keys.
fn cells(batch: &RecordBatch) -> Vec<String> {
    let row = StructArray::from(batch.clone());
    (0..batch.num_rows()).map(|index| cell(&row, index)).collect()
}

const SCHEMA: &str = r#"{"type":"record","name":"a.R","fields":[{"name":"a","type":["null","int"],"aliases":["b"]},{"name":"c","type":
    {"type":"array","items":{"type":"fixed","name":"F","size":8,"logicalType":"decimal","precision":9,"scale":2}}},{"name":"d",
    "type":{"type":"map","values":{"type":"enum","name":"E","symbols":["A"]}}},{"name":"e","type":["F","E","string"]}]}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_apache_avro_writes_is_what_is_read((schema, values) in records_of_one_schema()) {
        let (mut decoder, _) = decoder(&text(&schema.to_string()));
        let bytes = written(&schema, &values);
        let expected: Vec<_> = values.iter().map(|(_, cell)| cell.clone()).collect();
        for _ in 0..2 {
            let decoded = decode(&mut decoder, &bytes);
            prop_assert_eq!(decoded.failure, None);
            prop_assert_eq!(cells(&decoded.batch), expected.clone());
        }
    }

    #[test]
    fn i2_no_damage_makes_it_panic_or_spoils_other_records(
        (schema, values) in records_of_one_schema(),
        damage in vec((any::<Index>(), any::<u8>(), any::<bool>()), 1..4),
    ) {
        let (mut decoder, _) = decoder(&text(&schema.to_string()));
        let good = written(&schema, &values).remove(0);
        let mut bad = good.clone();
        for (place, byte, cut) in damage {
            let place = 1 + place.index(bad.len());
            match bad.get_mut(place) {
                Some(old) if !cut => *old = byte,
                _ => bad.truncate(place),
            }
        }
        let records = records(&[Some(&good), Some(&bad), Some(&good)]);
        let decoded = decoder.decode(&records);
        let expected = values[0].1.clone();
        prop_assert_eq!(&cells(&decoded.batch)[0], &expected);
        if let Some(failure) = decoded.failure {
            prop_assert_eq!((decoded.taken.len(), failure.row), (1, 1));
            let decoded = decoder.decode_from(&records, 2, BadRecords::Stop);
            prop_assert_eq!(cells(&decoded.batch), [expected]);
        }
    }

    #[test]
    fn no_schema_makes_it_panic(schema in damaged(SCHEMA)) {
        let mut decoder = table("");
        if decoder.add_schema(SchemaKey::id(1), &text(&schema)).is_err() {
            prop_assert_eq!(decoder.schema().fields().len(), 0);
        }
    }
}
