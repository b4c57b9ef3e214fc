//! `consume`: a topic's records with their metadata.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use tableflow_model::{Error, Offset, Partition, Records, Result};

use super::args::{ConsumeArguments, ConsumeFrom};
use super::session::Session;
use crate::exit::Exit;
use crate::output::{self, Format, readable};

const POLL_BYTES: usize = 1 << 20;
const IDLE_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Serialize)]
struct RecordDocument {
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<Box<RawValue>>,
    value: Option<Box<RawValue>>,
    headers: Vec<(String, Option<String>)>,
}

pub async fn run(arguments: &ConsumeArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let is_one_document = matches!(session.format, Format::Json | Format::Yaml);
    if is_one_document && arguments.follow && arguments.limit.is_none() {
        return Err(Error::usage("json and yaml are one document, and --follow has no end")
            .with_hint("use -o ndjson, or -n to say how many"));
    }
    let mut source = session.home.source(&arguments.topic).await?;
    let ranges = source.ranges().await?;
    let starts: BTreeMap<Partition, Offset> = ranges
        .iter()
        .map(|(partition, range)| match arguments.from {
            ConsumeFrom::Earliest => (*partition, range.start),
            ConsumeFrom::Latest => (*partition, range.end),
            ConsumeFrom::Offset(offset) => (*partition, offset.clamp(range.start, range.end)),
        })
        .collect();
    source.seek(&starts).await?;
    let mut printer = Printer { format: session.format, held: Vec::new(), started: false };
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    let mut next = starts;
    let read_all = |next: &BTreeMap<Partition, Offset>| {
        ranges.iter().all(|(partition, range)| next.get(partition).is_none_or(|next| *next >= range.end))
    };
    while left > 0 && (arguments.follow || !read_all(&next)) {
        let polled = source.poll(POLL_BYTES)?;
        if polled.is_empty() {
            tokio::time::sleep(IDLE_PAUSE).await;
            continue;
        }
        next.extend(polled.iter().map(|records| (records.partition, records.next_offset)));
        for records in &polled {
            for row in 0..records.len() {
                if left == 0 {
                    break;
                }
                left -= 1;
                printer.print(document(records, row)?, out)?;
            }
        }
        output::printed(out.flush())?;
    }
    if is_one_document {
        output::documents(session.format, &printer.held, &[], out)?;
    }
    Ok(Exit::Done)
}

/// Records are a stream: one line each as it comes, but for the formats that are one document.
struct Printer {
    format: Format,
    held: Vec<RecordDocument>,
    started: bool,
}

impl Printer {
    fn print(&mut self, record: RecordDocument, out: &mut dyn Write) -> Result<()> {
        match self.format {
            Format::Json | Format::Yaml => self.held.push(record),
            Format::Table | Format::Ndjson => output::document(Format::Ndjson, &record, out)?,
            Format::Csv => {
                let mut text = Vec::new();
                output::document(Format::Csv, &record, &mut text)?;
                // The first line names the fields: once is enough.
                let names =
                    if self.started { text.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) } else { 0 };
                self.started = true;
                output::printed(out.write_all(text.get(names..).unwrap_or_default()))?;
            }
        }
        Ok(())
    }
}

fn document(records: &Records, row: usize) -> Result<RecordDocument> {
    let headers = records.headers(row).map(|(name, value)| (readable(name), value.map(readable))).collect();
    Ok(RecordDocument {
        partition: records.partition.0,
        offset: records.offsets.get(row).copied().unwrap_or_default(),
        timestamp: records.timestamps.get(row).copied().unwrap_or_default(),
        key: records.key(row).map(json_or_text).transpose()?,
        value: records.value(row).map(json_or_text).transpose()?,
        headers,
    })
}

/// JSON as it is, anything else as a text.
fn json_or_text(bytes: &[u8]) -> Result<Box<RawValue>> {
    let text = readable(bytes);
    let json = match serde_json::from_str::<Box<RawValue>>(&text) {
        Ok(raw) => Ok(raw),
        Err(_) => serde_json::value::to_raw_value(&text),
    };
    json.map_err(|error| Error::internal("a record has no JSON form").with_source(error))
}
