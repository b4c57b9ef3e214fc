//! The decoder against serde_json's own values: any objects, in any order of keys.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

const DECLARED: &str = "b BOOLEAN, n BIGINT, f DOUBLE, t STRING, l ARRAY<BIGINT>, r ROW<x BIGINT, y ROW<z STRING>>, \
                        m MAP<STRING, DOUBLE>, o ARRAY<ROW<p STRING, q BOOLEAN>>";

fn or_null(strategy: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    prop_oneof![4 => strategy, 1 => Just(Value::Null)].boxed()
}

fn text() -> BoxedStrategy<Value> {
    or_null(".{0,6}".prop_map(Value::from))
}

fn whole() -> BoxedStrategy<Value> {
    or_null(any::<i64>().prop_map(Value::from))
}

/// An object with some of these members.
fn object(members: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let members: Vec<_> = members
        .into_iter()
        .map(|(name, value)| {
            (any::<bool>(), value).prop_map(move |(there, value)| there.then_some((name.to_owned(), value)))
        })
        .collect();
    members.prop_map(|members| Value::Object(members.into_iter().flatten().collect())).boxed()
}

fn record() -> BoxedStrategy<Value> {
    let fraction = or_null(any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from));
    let boolean = || or_null(any::<bool>().prop_map(Value::from));
    let element = or_null(object(vec![("p", text()), ("q", boolean())]));
    let map = prop::collection::btree_map("[a-f]{1,2}", fraction.clone(), 0..4);
    object(vec![
        ("b", boolean()),
        ("n", whole()),
        ("f", fraction),
        ("t", text()),
        ("l", or_null(prop::collection::vec(whole(), 0..4).prop_map(Value::from))),
        ("r", or_null(object(vec![("x", whole()), ("y", or_null(object(vec![("z", text())])))]))),
        ("m", or_null(map.prop_map(|map: BTreeMap<String, Value>| Value::Object(map.into_iter().collect())))),
        ("o", or_null(prop::collection::vec(element, 0..4).prop_map(Value::from))),
    ])
}

/// The value as JSON text, its keys in an order that the seed decides, some of them twice.
fn written(value: &Value, seed: u64) -> String {
    match value {
        Value::Object(members) => {
            let mut order: Vec<_> = members.iter().collect();
            let count = order.len().max(1);
            order.rotate_left(seed as usize % count);
            if seed.is_multiple_of(3) {
                order.reverse();
            }
            let mut members: Vec<String> = order
                .into_iter()
                .map(|(name, value)| format!("{}: {}", Value::from(name.as_str()), written(value, seed / 2)))
                .collect();
            // The earlier of two equal keys does not count, whatever it says.
            if seed.is_multiple_of(5)
                && let Some(last) = members.last().cloned()
            {
                let name = last.split(": ").next().unwrap().to_owned();
                let ignored = if seed.is_multiple_of(2) { format!("{name}: [{{}}, 1.5]") } else { last };
                members.insert(0, ignored);
            }
            format!("{{{} }}", members.join(" ,\t"))
        }
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(|element| written(element, seed / 2)).collect();
            format!("[{}]", elements.join(", "))
        }
        other => other.to_string(),
    }
}

/// What a cell holds, as JSON. Absent members of rows read as null.
fn read(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => Value::from(array.as_boolean().value(row)),
        DataType::Int64 => Value::from(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Value::from(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Value::from(array.as_string::<i32>().value(row)),
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(row);
            (0..elements.len()).map(|index| read(elements.as_ref(), index)).collect()
        }
        DataType::Struct(fields) => {
            let children = array.as_struct().columns().iter().zip(fields);
            Value::Object(children.map(|(column, field)| (field.name().clone(), read(column.as_ref(), row))).collect())
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let keys = entries.column(0).as_string::<i32>();
            (0..entries.len()).map(|index| (keys.value(index).to_owned(), read(entries.column(1), index))).collect()
        }
        other => panic!("{other}"),
    }
}

/// A value as a column of this type shows it: every member of a row is there, and numbers are the column's.
fn expected(value: Option<&Value>, data_type: &DataType) -> Value {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Value::Null };
    match data_type {
        DataType::Float64 => Value::from(value.as_f64().unwrap()),
        DataType::List(element) => {
            value.as_array().unwrap().iter().map(|value| expected(Some(value), element.data_type())).collect()
        }
        DataType::Struct(fields) => {
            let members = value.as_object().unwrap();
            let member = |field: &Field| (field.name().clone(), expected(members.get(field.name()), field.data_type()));
            Value::Object(fields.iter().map(|field| member(field)).collect::<Map<_, _>>())
        }
        _ => value.clone(),
    }
}

/// What tells nothing is null: `{}` and `[]` are, in rows before their column exists.
fn silenced(value: Value) -> Value {
    match value {
        Value::Array(elements) => {
            let elements: Vec<_> = elements.into_iter().map(silenced).collect();
            if elements.iter().all(Value::is_null) { Value::Null } else { Value::Array(elements) }
        }
        Value::Object(members) => {
            let members: Map<_, _> = members.into_iter().map(|(name, value)| (name, silenced(value))).collect();
            if members.values().all(Value::is_null) { Value::Null } else { Value::Object(members) }
        }
        other => other,
    }
}

fn check(
    decoder: &mut JsonDecoder,
    values: &[Value],
    seed: u64,
    seen_as: fn(Value) -> Value,
) -> Result<(), TestCaseError> {
    let texts: Vec<_> =
        values.iter().enumerate().map(|(n, value)| Some(written(value, seed.rotate_left(n as u32)))).collect();
    let decoded = decoder.decode(&records(&texts));
    prop_assert_eq!(decoded.failure, None, "{:?}", texts);
    for (row, value) in values.iter().enumerate() {
        for (column, field) in decoded.batch.columns().iter().zip(decoded.batch.schema().fields()) {
            let written = expected(value.get(field.name()), field.data_type());
            prop_assert_eq!(seen_as(read(column.as_ref(), row)), seen_as(written), "{:?}", texts[row]);
        }
        for (name, member) in value.as_object().unwrap() {
            let known = decoded.batch.schema().column_with_name(name).is_some();
            prop_assert!(known || Shape::of(&raw(member), 0).unwrap().data_type().is_none(), "{} is lost", name);
        }
    }
    Ok(())
}

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn i1_declared_columns_hold_what_was_written(values in prop::collection::vec(record(), 1..12), seed: u64) {
        let mut decoder = decoder(DECLARED);
        check(&mut decoder, &values, seed, |value| value)?;
        // The decoder is used again: nothing of the last batch is left.
        check(&mut decoder, &values, seed.rotate_left(17), |value| value)?;
        prop_assert_eq!(decoder.schema_version(), 0);
    }

    #[test]
    fn i1_inferred_columns_hold_what_was_written(values in prop::collection::vec(record(), 1..12), seed: u64) {
        // Maps have keys that differ only by case nowhere, so that each can be a row as well.
        check(&mut decoder(""), &values, seed, silenced)?;
    }

    /// The fast reader's I1, of records as they come and of damaged ones.
    #[test]
    fn i1_what_the_fast_reader_takes_the_careful_one_takes_too(
        value in record(),
        seed: u64,
        damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut text = written(&value, seed).into_bytes();
        if let Some((place, byte)) = &damage {
            *place.get_mut(&mut text) = *byte;
        }
        let (mut fast, mut careful) = (decoder(DECLARED).columns, decoder(DECLARED).columns);
        let is_taken = stream::read(&mut fast.fields, &text, 0, &mut String::new()).is_some();
        let nothing = BTreeSet::new();
        let limits = careful::Limits { taken: &careful.taken, evolution: careful.evolution, passed: &nothing };
        let read = careful::read(&mut careful.fields, limits, &text, 0, None);
        if is_taken {
            prop_assert!(matches!(read, Ok(false)), "{:?} {:?}", read, String::from_utf8_lossy(&text));
            prop_assert_eq!(fast.fields.finish_columns(1), careful.fields.finish_columns(1));
        }
        // Written plainly, none is left to the careful one.
        let plain = value.to_string();
        let mut fields = decoder(DECLARED).columns.fields;
        prop_assert_eq!(stream::read(&mut fields, plain.as_bytes(), 0, &mut String::new()), Some(()), "{}", plain);
    }

    #[test]
    fn no_bytes_make_it_panic(texts in prop::collection::vec("[\\[\\]{}:,\"a-c0-9.eE+\\\\u\\- ]{0,24}", 1..4)) {
        let texts: Vec<_> = texts.into_iter().map(Some).collect();
        let decoded = decoder("a BIGINT, b STRING").decode(&records(&texts));
        prop_assert_eq!(decoded.taken.len(), decoded.batch.num_rows());
        // serde_json agrees on what is an object.
        for text in texts.iter().take(decoded.taken.len()) {
            let value: Result<Map<String, Value>, _> = serde_json::from_str(text.as_deref().unwrap());
            prop_assert!(value.is_ok() , "{:?}", text);
        }
    }
}
