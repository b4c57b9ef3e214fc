//! Debezium's envelope in JSON: a change of a row, around the row.
//!
//! Owns [`Envelope`].
//! - I1: what a change says of its row is what `decode::envelope` makes of it.
//! - I2: an envelope may stand beside its schema, as Kafka Connect writes JSON, and so may a key.
//! - I3: what is no JSON is handed on as it is: whoever reads rows says why.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::decode::Origin;
use crate::decode::RecordError;
use crate::decode::envelope::{is_notice, no_change, notice, row_of};
use crate::decode::origin::{Axis, Clock, Facts, Place, Unit};

/// What is taken out of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// The row, of a change.
    Change,
    /// A key, of a key beside its schema.
    Key,
}

/// A change, or one beside its schema.
#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow, default)]
    op: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payload: Payload<'a>,
}

#[derive(Deserialize)]
struct Beside<'a> {
    #[serde(default)]
    schema: Payload<'a>,
    #[serde(borrow, default)]
    payload: Payload<'a>,
}

/// The times of an envelope, or of the source in it.
#[derive(Deserialize)]
struct Clocks<'a> {
    #[serde(borrow, default)]
    source: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ts_ms: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ts_us: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ts_ns: Option<&'a RawValue>,
}

impl Clocks<'_> {
    fn say(&self, clock: &mut Clock) {
        let times = [(Unit::Millis, self.ts_ms), (Unit::Micros, self.ts_us), (Unit::Nanos, self.ts_ns)];
        for (unit, time) in times {
            if let Some(Ok(time)) = time.map(|time| time.get().parse()) {
                clock.says(unit, time);
            }
        }
    }
}

/// Where the source is.
#[derive(Deserialize)]
struct Axes<'a> {
    #[serde(borrow, default)]
    lsn: Payload<'a>,
    #[serde(borrow, default)]
    file: Payload<'a>,
    #[serde(borrow, default)]
    pos: Payload<'a>,
    #[serde(borrow, default)]
    scn: Payload<'a>,
}

impl Axes<'_> {
    fn say(&self, place: &mut Place) {
        let axes = [(Axis::Lsn, &self.lsn), (Axis::File, &self.file), (Axis::Pos, &self.pos), (Axis::Scn, &self.scn)];
        for (axis, value) in axes {
            match value {
                Payload::Absent => {}
                Payload::Null => place.says(axis, None),
                Payload::Some(value) => place.says(axis, axis.number_in(value.get().trim_matches('"').as_bytes())),
            }
        }
    }
}

/// A member that may be there and null.
#[derive(Default)]
enum Payload<'a> {
    #[default]
    Absent,
    Null,
    Some(&'a RawValue),
}

impl<'de: 'a, 'a> Deserialize<'de> for Payload<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(if raw.get() == "null" { Payload::Null } else { Payload::Some(raw) })
    }
}

impl Envelope {
    /// What is inside, and what is said of it, where that is asked.
    pub fn open<'v>(self, value: &'v [u8], row: usize, origin: Option<&mut Origin>) -> Result<&'v [u8], RecordError> {
        match self {
            Envelope::Change => after(value, row, origin),
            Envelope::Key => Ok(key(value)),
        }
    }
}

/// I1.
fn after<'v>(value: &'v [u8], row: usize, origin: Option<&mut Origin>) -> Result<&'v [u8], RecordError> {
    let Ok(change) = serde_json::from_slice::<Change<'_>>(value) else { return Ok(value) };
    let (change, text) = match (&change.op, &change.payload) {
        (None, Payload::Some(payload)) => match serde_json::from_str(payload.get()) {
            Ok(change) => (change, payload.get().as_bytes()),
            Err(_) => return Err(no_change(row, "its payload is no envelope of a change")),
        },
        (None, Payload::Null) => return Err(RecordError::tombstone(row)),
        _ => (change, value),
    };
    if change.op.is_none() && says_notice(text) {
        return Err(notice(row));
    }
    let op = change.op.as_deref().map(str::as_bytes);
    if let Some(origin) = origin {
        *origin = Origin::new(op, facts(text));
    }
    row_of(op, change.after.map(|after| after.get().as_bytes()), row)
}

/// What an envelope says of its change; of one that says nothing that can be read, nothing.
fn facts(text: &[u8]) -> Facts {
    let mut facts = Facts::default();
    let Ok(own) = serde_json::from_slice::<Clocks<'_>>(text) else { return facts };
    own.say(&mut facts.connector);
    let Some(source) = own.source.map(RawValue::get) else { return facts };
    if let Ok(clocks) = serde_json::from_str::<Clocks<'_>>(source) {
        clocks.say(&mut facts.source);
    }
    if let Ok(axes) = serde_json::from_str::<Axes<'_>>(source) {
        axes.say(&mut facts.place);
    }
    facts
}

fn says_notice(text: &[u8]) -> bool {
    let members = serde_json::from_slice::<BTreeMap<Cow<'_, str>, IgnoredAny>>(text);
    members.is_ok_and(|members| is_notice(members.keys().map(AsRef::as_ref)))
}

/// I2.
fn key(value: &[u8]) -> &[u8] {
    match serde_json::from_slice::<Beside<'_>>(value) {
        Ok(Beside { schema: Payload::Some(_), payload: Payload::Some(payload) }) => payload.get().as_bytes(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Reason;

    fn opened(value: &str) -> Result<&str, Reason> {
        let opened = Envelope::Change.open(value.as_bytes(), 3, None);
        opened.map(|value| std::str::from_utf8(value).unwrap()).map_err(|error| {
            assert_eq!(error.row, 3);
            error.reason
        })
    }

    #[test]
    fn i1_i2_the_row_after_a_change_is_taken_out_of_it_and_of_what_is_around_it() {
        for op in ["c", "r", "u"] {
            let change = format!(r#"{{"before":{{"id":0}},"after":{{"id":1,"s":"{{"}},"op":"{op}","ts_ms":5}}"#);
            assert_eq!(opened(&change), Ok(r#"{"id":1,"s":"{"}"#));
            let beside = format!(r#"{{"schema":{{"type":"struct"}},"payload":{change}}}"#);
            assert_eq!(opened(&beside), Ok(r#"{"id":1,"s":"{"}"#));
        }
        for (value, reason) in [
            (r#"{"before":{"id":1},"after":null,"op":"d"}"#, Reason::Tombstone),
            (r#"{"schema":null,"payload":null}"#, Reason::Tombstone),
            (r#"{"payload":{"before":{"id":1},"op":"d"}}"#, Reason::Tombstone),
            (r#"{"op":"t","source":{}}"#, Reason::Truncation),
            (r#"{"op":"m","message":{}}"#, Reason::Notice),
            (r#"{"op":"u","before":{}}"#, Reason::NotAChange),
            (r#"{"status":"BEGIN","id":"7"}"#, Reason::NotAChange),
            (r#"{"status":"BEGIN","id":"7","event_count":null,"ts_ms":4}"#, Reason::Notice),
            (r#"{"schema":{},"payload":{"ts_ms":4}}"#, Reason::Notice),
            (r#"{"source":{},"databaseName":"d","ddl":"alter table t","tableChanges":[]}"#, Reason::Notice),
            (r#"{"schema":{},"payload":7}"#, Reason::NotAChange),
        ] {
            assert_eq!(opened(value), Err(reason), "{value}");
        }
    }

    #[test]
    fn i3_what_is_no_json_is_handed_on() {
        for value in ["", "{", "7", "[1]", "{\"op\":1}"] {
            assert_eq!(opened(value), Ok(value));
        }
    }

    #[test]
    fn i2_a_key_is_taken_out_of_what_is_beside_its_schema() {
        for (key, inside) in [
            (r#"{"schema":{"type":"struct"},"payload":{"id":1}}"#, r#"{"id":1}"#),
            (r#"{"schema":{"type":"int32"},"payload":7}"#, "7"),
            (r#"{"payload":{"id":1}}"#, r#"{"payload":{"id":1}}"#),
            (r#"{"id":1}"#, r#"{"id":1}"#),
            ("7", "7"),
            ("abc", "abc"),
        ] {
            assert_eq!(Envelope::Key.open(key.as_bytes(), 0, None).unwrap(), inside.as_bytes());
        }
    }

    #[test]
    fn a_change_says_what_it_was_and_when() {
        for (envelope, op, at) in [
            (r#"{"after":{},"op":"r","source":{"ts_ms":7},"ts_ms":9}"#, Some("r"), Some(7000)),
            (r#"{"ts_ms":9,"ts_us":9001,"op":"c","after":{},"source":{"lsn":1}}"#, Some("c"), Some(9001)),
            (r#"{"op":"u","after":{},"source":{"ts_ms":7,"ts_us":null,"ts_ns":7002999}}"#, Some("u"), Some(7002)),
            (r#"{"schema":{},"payload":{"op":"d","source":{"ts_ms":0},"ts_ms":9}}"#, None, Some(9000)),
            (r#"{"op":"t","source":{"ts_ms":"7"},"ts_ms":1.5}"#, None, None),
            (r#"{"op":"c","after":{},"source":[7],"ts_ms":9}"#, Some("c"), Some(9000)),
        ] {
            let mut origin = Origin::default();
            let _ = Envelope::Change.open(envelope.as_bytes(), 0, Some(&mut origin));
            assert_eq!((origin.op, origin.at), (op, at), "{envelope}");
        }
    }

    #[test]
    fn a_change_says_where_in_its_source_it_was() {
        for (source, position) in [
            (r#"{"lsn":7,"ts_ms":9}"#, Some(7)),
            (r#"{"lsn":null,"ts_ms":9}"#, None),
            (r#"{"file":"mysql-bin.000003","pos":4,"row":0,"ts_ms":9}"#, Some(12_884_901_892)),
            (r#"{"scn":"16549837","commit_scn":"16549840"}"#, Some(16_549_837)),
            (r#"{"change_lsn":"00000027:00000758:0005","ts_ms":9}"#, Some(9)),
            (r#"{"lsn":[7]}"#, None),
            ("null", None),
        ] {
            let mut origin = Origin::default();
            let envelope = format!(r#"{{"op":"d","source":{source},"ts_ms":99}}"#);
            Envelope::Change.open(envelope.as_bytes(), 0, Some(&mut origin)).unwrap_err();
            assert_eq!(origin.position, position, "{source}");
        }
    }
}
