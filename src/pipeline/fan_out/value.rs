//! What a record says about which table it belongs to.
//!
//! Owns [`Values`], which finds that in records, and numbers what it found.
//! - I1: the same text is the same value, wherever it came from: a header's, a field's, the name of a type.
//! - I2: a record that says nothing of it is one that cannot be decoded: it belongs to no table.
//! - I3: a value that was seen before costs no allocation.

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexSet;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tableflow_connectors::decode::{Framing, Reason, RecordError, RecordType, RecordTypes, RegistryFraming, Remedy};
use tableflow_connectors::registry::SchemaKey;
use tableflow_model::Records;

use crate::definition::FanOutBy;

/// What became of the question which table a record belongs to.
#[derive(Debug)]
pub(super) enum Found {
    /// The number of a value.
    Value(usize),
    /// Its schema is to be added, and it asked again.
    Needs(SchemaKey),
    Bad(RecordError),
}

#[derive(Debug)]
pub(super) struct Values {
    by: FanOutBy,
    /// Where a field lies, of records that a schema's id stands before.
    framing: Option<RegistryFraming>,
    pub types: RecordTypes,
    seen: IndexSet<Box<str>>,
}

impl Values {
    pub fn new(by: FanOutBy, framing: Option<RegistryFraming>) -> Self {
        Values { by, framing, types: RecordTypes::new(framing.unwrap_or_default()), seen: IndexSet::new() }
    }

    /// The value that has a number.
    pub fn text(&self, number: usize) -> &str {
        self.seen.get_index(number).map_or("", |value| value)
    }

    /// Gives a value its number.
    pub fn number(&mut self, value: &str) -> usize {
        match self.seen.get_index_of(value) {
            Some(number) => number,
            None => self.seen.insert_full(value.into()).0,
        }
    }

    pub fn of(&mut self, records: &Records, row: usize) -> Found {
        let found = match &self.by {
            FanOutBy::RecordName => match self.types.of(records, row) {
                RecordType::Named(name) => return Found::Value(self.number(&name)),
                RecordType::Needs(key) => return Found::Needs(key),
                RecordType::Bad(error) => return Found::Bad(error),
            },
            FanOutBy::Header(name) => in_header(name, records, row),
            FanOutBy::Field(path) => in_field(path, self.framing, records, row),
        };
        match found {
            Ok(value) if value.is_empty() => Found::Bad(nothing(row, &self.by, "is empty")),
            Ok(value) => Found::Value(self.number(&value)),
            Err(error) => Found::Bad(error),
        }
    }
}

/// As with ids of schemas, the last header of a name counts.
fn in_header<'r>(name: &str, records: &'r Records, row: usize) -> Result<Cow<'r, str>, RecordError> {
    let by = || FanOutBy::Header(name.to_owned());
    let header = records.headers(row).filter(|(header, _)| *header == name.as_bytes()).last();
    let (_, value) = header.ok_or_else(|| nothing(row, &by(), "is missing"))?;
    let value = value.ok_or_else(|| nothing(row, &by(), "is null"))?;
    std::str::from_utf8(value).map(Cow::Borrowed).map_err(|_| nothing(row, &by(), "is not UTF-8"))
}

fn in_field<'r>(
    path: &str,
    framing: Option<RegistryFraming>,
    records: &'r Records,
    row: usize,
) -> Result<Cow<'r, str>, RecordError> {
    let value = match framing {
        Some(framing) => framing.open(records, row)?.payload,
        None => records.value(row).ok_or_else(|| RecordError::tombstone(row))?,
    };
    let by = || FanOutBy::Field(path.to_owned());
    let at = At { path: Some(path) };
    let found = serde_json::Deserializer::from_slice(value).deserialize_any(at);
    match found.map_err(|_| nothing(row, &by(), "cannot be found: the value is not JSON"))? {
        Seen::Text(text) => Ok(text),
        Seen::Nothing => Err(nothing(row, &by(), "is missing or null")),
        Seen::Other => Err(nothing(row, &by(), "is neither a text, a whole number nor a boolean")),
    }
}

fn nothing(row: usize, by: &FanOutBy, what: &str) -> RecordError {
    RecordError {
        row,
        reason: Reason::NoTable,
        path: match by {
            FanOutBy::Field(path) => format!("$.{path}"),
            FanOutBy::RecordName | FanOutBy::Header(_) => "$".to_owned(),
        },
        message: format!("which table the record belongs to is not said: {} {what}", by.words()),
        remedy: Remedy::Produce(format!("send each record with {}", by.words())),
    }
}

/// What stands at a path.
enum Seen<'de> {
    Text(Cow<'de, str>),
    Nothing,
    Other,
}

/// Goes down a path of names, and passes over everything beside it.
struct At<'p> {
    /// None at its end.
    path: Option<&'p str>,
}

impl<'de> serde::de::DeserializeSeed<'de> for At<'_> {
    type Value = Seen<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Seen<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Seen<'de>, E> {
        Ok(self.scalar(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Seen<'de>, E> {
        Ok(self.scalar(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Seen<'de>, E> {
        Ok(self.scalar(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Seen<'de>, E> {
        Ok(self.scalar(Cow::Owned(number.to_string())))
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Seen<'de>, E> {
        Ok(self.scalar(Cow::Borrowed(if yes { "true" } else { "false" })))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Seen<'de>, E> {
        Ok(Seen::Other)
    }

    fn visit_unit<E>(self) -> Result<Seen<'de>, E> {
        Ok(Seen::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Seen<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Seen::Other)
    }

    /// Of repeated names the last one wins, as in the records' columns.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen<'de>, A::Error> {
        let (name, rest) = match self.path {
            None => ("", None),
            Some(path) => path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest))),
        };
        let mut seen = if self.path.is_none() { Seen::Other } else { Seen::Nothing };
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match self.path.is_some() && key == name {
                true => seen = map.next_value_seed(At { path: rest })?,
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(seen)
    }
}

impl At<'_> {
    fn scalar<'de>(&self, text: Cow<'de, str>) -> Seen<'de> {
        match self.path {
            None => Seen::Text(text),
            Some(_) => Seen::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tableflow_model::Span;

    use super::*;

    fn record(value: &str, headers: &[(&str, Option<&[u8]>)]) -> Records {
        let mut buffer = value.as_bytes().to_vec();
        let mut push = |bytes: &[u8]| {
            let start = u32::try_from(buffer.len()).unwrap();
            buffer.extend_from_slice(bytes);
            Span::new(start, u32::try_from(bytes.len()).unwrap())
        };
        let pairs: Vec<_> =
            headers.iter().map(|(name, value)| (push(name.as_bytes()), value.map_or(Span::NULL, &mut push))).collect();
        Records {
            offsets: vec![0],
            timestamps: vec![0],
            keys: vec![Span::NULL],
            values: vec![Span::new(0, u32::try_from(value.len()).unwrap())],
            header_ends: vec![u32::try_from(pairs.len()).unwrap()],
            headers: pairs,
            buffer: Bytes::from(buffer),
            ..Records::default()
        }
    }

    fn value_of(by: &str, records: &Records) -> Result<String, String> {
        let mut values = Values::new(by.parse().unwrap(), None);
        match values.of(records, 0) {
            Found::Value(number) => Ok(values.text(number).to_owned()),
            Found::Bad(error) => Err(error.message),
            Found::Needs(key) => Err(key.to_string()),
        }
    }

    #[test]
    fn i2_a_field_is_found_or_it_is_said_why_not() {
        for (value, expected) in [
            (r#"{"a":{"type":"x"},"b":[1,{"c":2}]}"#, Ok("x")),
            (r#"{"b":{},"a":{"z":1,"type":"caf\u00e9"}}"#, Ok("café")),
            (r#"{"a":{"type":7}}"#, Ok("7")),
            (r#"{"a":{"type":-7}}"#, Ok("-7")),
            (r#"{"a":{"type":true}}"#, Ok("true")),
            (r#"{"a":{"type":"x"},"a":{"type":"y"}}"#, Ok("y")),
            (r#"{"a":{"type":null}}"#, Err("field a.type is missing or null")),
            (r#"{"a":{}}"#, Err("is missing or null")),
            (r#"{"a":"type"}"#, Err("is missing or null")),
            (r#"{"a":{"type":1.5}}"#, Err("is neither a text")),
            (r#"{"a":{"type":{"type":"x"}}}"#, Err("is neither a text")),
            (r#"{"a":{"type":[]}}"#, Err("is neither a text")),
            (r#"{"a":{"type":""}}"#, Err("is empty")),
            ("7", Err("is missing or null")),
            (r#"{"a":{"type":"x""#, Err("not JSON")),
        ] {
            match (value_of("field:a.type", &record(value, &[])), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{value}"),
                (Err(found), Err(words)) => assert!(found.contains(words), "{value}: {found}"),
                (found, expected) => panic!("{value}: {found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn i1_the_last_header_of_a_name_counts_and_values_keep_their_numbers() {
        let twice = record("", &[("type", Some(b"a")), ("other", Some(b"z")), ("type", Some(b"b"))]);
        assert_eq!(value_of("header:type", &twice), Ok("b".to_owned()));
        for (headers, words) in [
            (&[][..], "header type is missing"),
            (&[("type", None)], "header type is null"),
            (&[("type", Some(&b"\xff"[..]))], "header type is not UTF-8"),
            (&[("type", Some(b""))], "header type is empty"),
        ] {
            let message = value_of("header:type", &record("", headers)).unwrap_err();
            assert!(message.contains(words), "{message}");
        }
        let mut values = Values::new("header:type".parse().unwrap(), None);
        for (value, number) in [("a", 0), ("b", 1), ("a", 0)] {
            assert_eq!(values.number(value), number);
        }
        assert_eq!(values.text(1), "b");
    }
}
