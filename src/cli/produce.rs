//! `produce`: lines to a topic.
//!
//! - I1: what is printed as acknowledged is on disk; a line that is refused sends nothing after it.
//! - I2: constant memory: lines are read one by one, batches are flushed as they fill.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Write, stdin};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use tableflow_connectors::topics::{NewRecord, Producer};
use tableflow_model::{Error, Millis, Partition, Result, TopicName};

use super::args::{ProduceArguments, ProduceFormat};
use super::session::Session;
use crate::exit::Exit;
use crate::output;

/// Few reads for a large file.
const READ_BYTES: usize = 1 << 20;

#[derive(Debug, Serialize)]
struct Produced {
    topic: String,
    records: u64,
    partitions: Vec<PartitionProduced>,
}

#[derive(Debug, Serialize)]
struct PartitionProduced {
    partition: i32,
    records: u64,
    next_offset: i64,
}

/// A line of `--envelope`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    /// A key of any bytes.
    #[serde(default)]
    key_base64: Option<String>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(default)]
    headers: Headers,
    #[serde(default)]
    timestamp: Option<i64>,
    #[serde(default)]
    partition: Option<i32>,
}

/// Names and values in the order of the line; names may repeat. An object, or pairs as `consume` prints them.
#[derive(Debug, Default, PartialEq)]
struct Headers(Vec<(String, Option<String>)>);

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HeadersVisitor).map(Headers)
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Vec<(String, Option<String>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("headers as an object of texts or as a list of [name, value]")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        std::iter::from_fn(|| object.next_entry().transpose()).collect()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
        std::iter::from_fn(|| pairs.next_element().transpose()).collect()
    }
}

pub async fn run(arguments: &ProduceArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let (input, bytes): (Box<dyn BufRead>, Option<u64>) = match arguments.file.as_str() {
        "-" => (Box::new(BufReader::new(stdin())), None),
        path => {
            let file = File::open(path).map_err(|error| cannot_read(path, error))?;
            let bytes = file.metadata().ok().map(|metadata| metadata.len());
            (Box::new(BufReader::with_capacity(READ_BYTES, file)), bytes)
        }
    };
    let progress = output::progress::bytes(session.quiet, bytes);
    let mut producer = session.home.topics.producer(&arguments.topic).await?;
    let sent = send_lines(progress.wrap_read(input), arguments, producer.as_mut());
    // Even after a bad line: what was sent before it is flushed and acknowledged.
    let flushed = producer.flush();
    progress.finish_and_clear();
    let produced = acknowledged(&arguments.topic, producer.as_mut());
    output::document(session.format, &produced, out)?;
    sent?;
    flushed?;
    Ok(Exit::Done)
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn cannot_read(path: &str, error: std::io::Error) -> Error {
    Error::usage(format!("{path} cannot be read")).with_source(error)
}

fn send_lines(mut input: impl BufRead, arguments: &ProduceArguments, producer: &mut dyn Producer) -> Result<()> {
    let (mut line, mut warned) = (Vec::new(), false);
    for number in 1_u64.. {
        line.clear();
        let read = input.read_until(b'\n', &mut line).map_err(|error| cannot_read(&arguments.file, error))?;
        if read == 0 {
            break;
        }
        let text = content(&line, arguments.format);
        if text.is_empty() && arguments.format != ProduceFormat::Raw {
            continue;
        }
        let no_row = arguments.format == ProduceFormat::Json
            && !arguments.envelope
            && !text.trim_ascii_start().starts_with(b"{");
        send(text, arguments, producer).map_err(|error| error.with_context("line", number))?;
        if no_row && !warned {
            warned = true;
            tracing::warn!(line = number, "not a JSON object: it is sent, but no table makes a row of it");
        }
    }
    Ok(())
}

/// A line without its end. A carriage return is white space to JSON; raw bytes are sent as they are.
fn content(line: &[u8], format: ProduceFormat) -> &[u8] {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    match format {
        ProduceFormat::Raw => text,
        _ => text.strip_suffix(b"\r").unwrap_or(text),
    }
}

fn send(text: &[u8], arguments: &ProduceArguments, producer: &mut dyn Producer) -> Result<()> {
    if arguments.envelope {
        return send_envelope(text, producer);
    }
    if arguments.format == ProduceFormat::Raw {
        return producer.send(&NewRecord { value: Some(text), ..NewRecord::default() });
    }
    let key = if arguments.key.is_empty() {
        check_json(text)?;
        None
    } else {
        Some(key_of(text, &arguments.key)?)
    };
    producer.send(&NewRecord { key: key.as_deref(), value: Some(text), ..NewRecord::default() })
}

fn not_json(text: &[u8], error: serde_json::Error) -> Error {
    let way_on = if text.starts_with(BYTE_ORDER_MARK) {
        "remove the byte order mark before it"
    } else if error.is_eof() || text.ends_with(b",") {
        "a value stands on one line: `jq -c . FILE` writes it so, `jq -c '.[]' FILE` each element of an array"
    } else {
        "make JSON of it first, one value a line; --format raw sends bytes as they are"
    };
    Error::data("a line is not one JSON value")
        .with_source(error)
        .with_hint(format!("{way_on}; lines before this one were sent"))
}

fn check_json(text: &[u8]) -> Result<()> {
    serde_json::from_slice::<&RawValue>(text).map(|_| ()).map_err(|error| not_json(text, error))
}

/// One field is its bare JSON value, several are an object in the flag's order.
fn key_of(text: &[u8], fields: &[String]) -> Result<Vec<u8>> {
    check_json(text)?;
    let object: BTreeMap<String, &RawValue> = serde_json::from_slice(text).map_err(|error| {
        Error::data("a line is no JSON object: it has no field to be its key")
            .with_source(error)
            .with_hint("lines before this one were sent; without --key records have none")
    })?;
    let field = |name: &String| {
        object.get(name).ok_or_else(|| {
            Error::data(format!("a line has no field {name} to be its key"))
                .with_hint("lines before this one were sent; without --key records have none")
        })
    };
    if let [only] = fields {
        return Ok(field(only)?.get().as_bytes().to_vec());
    }
    let mut key = String::from("{");
    for name in fields {
        if key.len() > 1 {
            key.push(',');
        }
        key.push_str(&serde_json::to_string(name).map_err(|error| not_json(name.as_bytes(), error))?);
        key.push(':');
        key.push_str(field(name)?.get());
    }
    key.push('}');
    Ok(key.into_bytes())
}

fn send_envelope(text: &[u8], producer: &mut dyn Producer) -> Result<()> {
    let refused = |error: Error| {
        error.with_hint("an envelope is {\"key\":.., or \"key_base64\":\"..\",\"value\":..,\"headers\":{..},\"timestamp\":ms,\"partition\":n}")
    };
    // Serde also takes an array for an object's fields in order: [] would be a tombstone.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(refused(Error::data("a line is no envelope").with_detail("it is not a JSON object")));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(text)
        .map_err(|error| refused(Error::data("a line is no envelope").with_source(error)))?;
    // JSON null is the record's null: a tombstone where the value is.
    let bytes = |raw: Option<&RawValue>| raw.map(RawValue::get).filter(|text| *text != "null").map(str::to_owned);
    let value = bytes(envelope.value);
    let key = match (bytes(envelope.key), envelope.key_base64) {
        (key, None) => key.map(String::into_bytes),
        (None, Some(text)) => Some(
            STANDARD
                .decode(text)
                .map_err(|error| refused(Error::data("a line's key_base64 is no base64").with_source(error)))?,
        ),
        (Some(_), Some(_)) => return Err(refused(Error::data("a line has two keys: key and key_base64"))),
    };
    let headers: Vec<(&[u8], Option<&[u8]>)> =
        envelope.headers.0.iter().map(|(name, value)| (name.as_bytes(), value.as_deref().map(str::as_bytes))).collect();
    producer.send(&NewRecord {
        key: key.as_deref(),
        value: value.as_deref().map(str::as_bytes),
        headers: &headers,
        timestamp: envelope.timestamp.map(Millis),
        partition: envelope.partition.map(Partition),
    })
}

fn acknowledged(topic: &TopicName, producer: &mut dyn Producer) -> Produced {
    let mut partitions: BTreeMap<i32, PartitionProduced> = BTreeMap::new();
    for appended in producer.take_acknowledged() {
        let partition = appended.partition.0;
        let entry = partitions.entry(partition).or_insert(PartitionProduced { partition, records: 0, next_offset: 0 });
        let count = appended.count as u64;
        entry.records += count;
        entry.next_offset = appended.first_offset.0 + i64::try_from(count).unwrap_or(i64::MAX);
    }
    let partitions: Vec<_> = partitions.into_values().collect();
    let records = partitions.iter().map(|partition| partition.records).sum();
    Produced { topic: topic.to_string(), records, partitions }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_lines_lose_their_line_feed_only() {
        for (line, raw, json) in
            [("a\r\n", "a\r", "a"), ("a\r", "a\r", "a"), ("\r\n", "\r", ""), ("a\r\r\n", "a\r\r", "a\r")]
        {
            assert_eq!(content(line.as_bytes(), ProduceFormat::Raw), raw.as_bytes(), "{line:?}");
            assert_eq!(content(line.as_bytes(), ProduceFormat::Json), json.as_bytes(), "{line:?}");
        }
    }

    #[test]
    fn headers_keep_their_order_and_their_repeated_names() {
        let pair = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let expected = Headers(vec![pair("z", Some("1")), pair("a", None), pair("z", Some("2"))]);
        for text in [r#"{"z":"1","a":null,"z":"2"}"#, r#"[["z","1"],["a",null],["z","2"]]"#] {
            assert_eq!(serde_json::from_str::<Headers>(text).unwrap(), expected, "{text}");
        }
        for text in [r#"{"z":1}"#, r#"[["z"]]"#, r#"["z","1"]"#, r#""z""#, "null"] {
            assert!(serde_json::from_str::<Headers>(text).is_err(), "{text}");
        }
    }
}
