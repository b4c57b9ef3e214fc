//! Table metadata: read, made and changed, without I/O.
//!
//! Owns the checks that a catalog makes by itself when no server stands behind it.
//! - I1: what iceberg's builder lets pass and rule C1 forbids is refused here: it accepts a stale sequence number
//!   if the snapshot has no parent.
//! - I2: time never runs backwards in the file: a change without a snapshot is stamped with the later of the clock
//!   and what the table has seen. The builder would take the machine's clock, and refuse the change when that has
//!   stepped back by more than a minute; `timeless` keeps it from looking.
//! - I3: bytes are bounded before they are parsed: a small gzip file may hold gigabytes.
//!
//! Neighbours: `embedded` reads and publishes with it.

use std::io::{BufWriter, Read};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use iceberg::spec::{FormatVersion, TableMetadata, TableMetadataBuilder};
use iceberg::{TableRequirement, TableUpdate};
use serde_json::Value;
use tableflow_model::clock::Millis;
use tableflow_model::{Error, Result, TableName};

use crate::catalog::TableCreation;

/// A table with a hundred thousand snapshots stays below it.
const METADATA_LENGTH_MAX: u64 = 256 << 20;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// Every commit writes the whole file anew: a hundred old ones, the format's default, help nobody.
const PREVIOUS_VERSIONS_MAX_DEFAULT: &str = "10";
const PREVIOUS_VERSIONS_MAX: &str = "write.metadata.previous-versions-max";
const DELETE_AFTER_COMMIT: &str = "write.metadata.delete-after-commit.enabled";

/// A hundred snapshots are nearly the same text: packed they take a sixth. Every reader of the format unpacks gzip.
const COMPRESSION_DEFAULT: &str = "gzip";
const COMPRESSION: &str = "write.metadata.compression-codec";

/// What a list of updates makes of a table.
pub(crate) enum Change {
    Next {
        metadata: Box<TableMetadata>,
        /// Metadata files that fell out of the log and that the table wants deleted.
        expired: Vec<String>,
    },
    /// Rule C1 forbids it on this base.
    Refused { reason: String },
}

/// Reads a metadata file; `location` is for the message.
pub(crate) fn parse(location: &str, bytes: &[u8]) -> Result<TableMetadata> {
    let unpacked;
    let json = if bytes.starts_with(GZIP_MAGIC) {
        unpacked = unpack(location, bytes)?;
        &unpacked
    } else {
        bytes
    };
    serde_json::from_slice(json).map_err(|error| unreadable(location).with_source(error))
}

fn unpack(location: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut json = Vec::new();
    let read = GzDecoder::new(bytes).take(METADATA_LENGTH_MAX + 1).read_to_end(&mut json);
    read.map_err(|error| unreadable(location).with_source(error))?;
    if json.len() as u64 > METADATA_LENGTH_MAX {
        return Err(unreadable(location).with_detail(format!("it unpacks to more than {METADATA_LENGTH_MAX} bytes")));
    }
    Ok(json)
}

fn unreadable(location: &str) -> Error {
    Error::data(format!("the table metadata at {location} cannot be read"))
        .with_hint("restore that file; the table's data files are not touched")
}

/// Does the table want its metadata packed? What a codec other than gzip asks for is not done: no reader knows it.
pub(crate) fn is_packed(metadata: &TableMetadata) -> bool {
    metadata.properties().get(COMPRESSION).is_some_and(|codec| codec.eq_ignore_ascii_case("gzip"))
}

/// How long a file's JSON is: gzip notes it at the end.
pub(crate) fn json_length(bytes: &[u8]) -> usize {
    match bytes.last_chunk::<4>() {
        Some(length) if bytes.starts_with(GZIP_MAGIC) => u32::from_le_bytes(*length) as usize,
        _ => bytes.len(),
    }
}

/// A metadata file's bytes.
pub(crate) fn serialize(metadata: &TableMetadata) -> Result<Vec<u8>> {
    let unwritable = |error| Error::internal("table metadata cannot be written as JSON").with_source(error);
    if !is_packed(metadata) {
        return serde_json::to_vec(metadata).map_err(|error| unwritable(std::io::Error::from(error)));
    }
    let mut packed = BufWriter::new(GzEncoder::new(Vec::new(), Compression::fast()));
    serde_json::to_writer(&mut packed, metadata).map_err(|error| unwritable(error.into()))?;
    let encoder = packed.into_inner().map_err(|error| unwritable(error.into_error()))?;
    encoder.finish().map_err(unwritable)
}

/// The number at the front of a metadata file's name (`00007-..` or Hadoop's `v7.`), 0 if there is none.
pub(crate) fn version_of(location: &str) -> u32 {
    let name = location.rsplit('/').next().unwrap_or_default();
    let name = name.strip_prefix('v').unwrap_or(name);
    let digits = name.find(|c: char| !c.is_ascii_digit()).and_then(|end| name.get(..end));
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// The first metadata of a table.
pub(crate) fn create(
    table: &TableName,
    creation: TableCreation,
    location: String,
    uuid: uuid::Uuid,
    now: Millis,
) -> Result<TableMetadata> {
    let mut properties = creation.properties;
    properties.entry(PREVIOUS_VERSIONS_MAX.into()).or_insert_with(|| PREVIOUS_VERSIONS_MAX_DEFAULT.into());
    properties.entry(DELETE_AFTER_COMMIT.into()).or_insert_with(|| "true".into());
    properties.entry(COMPRESSION.into()).or_insert_with(|| COMPRESSION_DEFAULT.into());
    let creation = iceberg::TableCreation::builder()
        .name(table.name().to_owned())
        .location(location)
        .schema(creation.schema)
        .partition_spec_opt(creation.partition_spec)
        .sort_order_opt(creation.sort_order)
        .properties(properties)
        .format_version(creation.format_version)
        .build();
    let built = TableMetadataBuilder::from_table_creation(creation)
        .and_then(|builder| builder.assign_uuid(uuid).build())
        .map_err(|error| Error::usage(format!("the table {table} cannot be made as described")).with_source(error))?;
    stamp(&built.metadata, now)
}

/// The first requirement that does not hold.
pub(crate) fn unmet(metadata: &TableMetadata, requirements: &[TableRequirement]) -> Option<String> {
    requirements.iter().find_map(|requirement| requirement.check(Some(metadata)).err()).map(|error| error.to_string())
}

/// Applies the updates of one commit.
pub(crate) fn change(
    base: &TableMetadata,
    base_location: &str,
    updates: Vec<TableUpdate>,
    now: Millis,
) -> Result<Change> {
    if let Some(reason) = stale_sequence_number(base, &updates) {
        return Ok(Change::Refused { reason });
    }
    let adds_snapshot = updates.iter().any(|update| matches!(update, TableUpdate::AddSnapshot { .. }));
    let (metadata, expired) = if adds_snapshot {
        build(base.clone(), base_location, updates)?
    } else {
        let (changed, expired) = build(timeless(base)?, base_location, updates)?;
        (timed(&changed, base, now)?, expired)
    };
    let deletes =
        metadata.properties().get(DELETE_AFTER_COMMIT).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    Ok(Change::Next { metadata: Box::new(metadata), expired: if deletes { expired } else { Vec::new() } })
}

/// The new metadata, and the files that fell out of its log.
fn build(base: TableMetadata, location: &str, updates: Vec<TableUpdate>) -> Result<(TableMetadata, Vec<String>)> {
    let mut builder = base.into_builder(Some(location.to_owned()));
    for update in updates {
        builder = update.apply(builder).map_err(invalid)?;
    }
    let built = builder.build().map_err(invalid)?;
    let expired = built.expired_metadata_logs.into_iter().map(|log| log.metadata_file);
    Ok((built.metadata, expired.collect()))
}

/// I1. Version 1 has no sequence numbers.
fn stale_sequence_number(base: &TableMetadata, updates: &[TableUpdate]) -> Option<String> {
    if base.format_version() == FormatVersion::V1 {
        return None;
    }
    let mut last = base.last_sequence_number();
    for update in updates {
        let TableUpdate::AddSnapshot { snapshot } = update else { continue };
        let number = snapshot.sequence_number();
        if number <= last {
            return Some(format!("the snapshot's sequence number {number} is not above the table's, {last}"));
        }
        last = number;
    }
    None
}

fn invalid(error: iceberg::Error) -> Error {
    Error::data("the table refuses a change of its metadata").with_detail(error.to_string())
}

/// The latest time in a table's metadata.
fn latest(metadata: &TableMetadata) -> i64 {
    let snapshots = metadata.history().iter().map(|log| log.timestamp_ms);
    let files = metadata.metadata_log().iter().map(|log| log.timestamp_ms);
    snapshots.chain(files).fold(metadata.last_updated_ms(), i64::max)
}

/// I2. The same table with all its past moved to before 1970, where no machine's clock is.
fn timeless(base: &TableMetadata) -> Result<TableMetadata> {
    let latest = latest(base);
    retime(base, |time| time - latest)
}

/// Undoes `timeless` after a change: what was there gets its time back, what the change added gets the stamp.
fn timed(changed: &TableMetadata, base: &TableMetadata, now: Millis) -> Result<TableMetadata> {
    let latest = latest(base);
    retime(changed, |time| if time > 0 { now.0.max(latest) } else { time + latest })
}

/// The first metadata of a table has no past.
fn stamp(created: &TableMetadata, now: Millis) -> Result<TableMetadata> {
    retime(created, |_| now.0)
}

/// There are no setters for these times, so the way leads through the JSON; changes without a snapshot are rare.
fn retime(metadata: &TableMetadata, to: impl Fn(i64) -> i64) -> Result<TableMetadata> {
    let retimed = serde_json::to_value(metadata).and_then(|mut json| {
        set_time(&mut json, "last-updated-ms", &to);
        for log in ["snapshot-log", "metadata-log"] {
            for entry in json.get_mut(log).and_then(Value::as_array_mut).into_iter().flatten() {
                set_time(entry, "timestamp-ms", &to);
            }
        }
        serde_json::from_value(json)
    });
    retimed.map_err(|error| Error::internal("table metadata cannot be stamped").with_source(error))
}

fn set_time(json: &mut Value, field: &str, to: impl Fn(i64) -> i64) {
    if let Some(time) = json.get_mut(field)
        && let Some(before) = time.as_i64()
    {
        *time = Value::from(to(before));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use iceberg::spec::{NestedField, PrimitiveType, Schema, Type};
    use uuid::Uuid;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn table(now: Millis) -> TableMetadata {
        let id = NestedField::required(1, "id", Type::Primitive(PrimitiveType::Long)).into();
        let schema = Schema::builder().with_fields([id]).build().unwrap();
        let name = TableName::new("bronze", "t").unwrap();
        create(&name, TableCreation::new(schema), "file:///w/t".into(), Uuid::from_u128(7), now).unwrap()
    }

    fn set_property(base: &TableMetadata, now: Millis) -> TableMetadata {
        let updates = vec![TableUpdate::SetProperties { updates: [("a".to_owned(), "b".to_owned())].into() }];
        match change(base, "file:///w/t/metadata/00000-x.metadata.json", updates, now).unwrap() {
            Change::Next { metadata, .. } => *metadata,
            Change::Refused { reason } => panic!("{reason}"),
        }
    }

    #[test]
    fn i2_a_clock_that_steps_back_leaves_the_table_readable() {
        let now = Millis(1_800_000_000_000);
        let base = table(now);
        assert_eq!((base.last_updated_ms(), base.uuid()), (now.0, Uuid::from_u128(7)));
        let mut next = set_property(&base, Millis(now.0 - HOUR_MS));
        assert_eq!(next.last_updated_ms(), now.0);
        let log: Vec<i64> = next.metadata_log().iter().map(|log| log.timestamp_ms).collect();
        assert_eq!(log, [now.0], "the log keeps the time of the file before");
        next = set_property(&next, Millis(now.0 + HOUR_MS));
        assert_eq!(next.last_updated_ms(), now.0 + HOUR_MS);
        let read = parse("x", &serialize(&next).unwrap()).unwrap();
        assert_eq!(read, next);
    }

    #[test]
    fn i3_packed_metadata_is_read_and_a_bomb_is_refused() {
        let base = table(Millis(1_800_000_000_000));
        let packed = serialize(&base).unwrap();
        assert!(packed.starts_with(GZIP_MAGIC) && is_packed(&base));
        assert_eq!(parse("x", &packed).unwrap(), base);
        assert_eq!(json_length(&packed), serde_json::to_vec(&base).unwrap().len());
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b' '; METADATA_LENGTH_MAX as usize + 2]).unwrap();
        let bomb = encoder.finish().unwrap();
        let error = parse("file:///w/bomb.gz.metadata.json", &bomb).unwrap_err();
        assert!(error.report().contains("unpacks to more than"), "{}", error.report());
    }

    #[test]
    fn a_table_that_does_not_ask_for_packing_gets_plain_json() {
        let none = TableUpdate::SetProperties { updates: [(COMPRESSION.to_owned(), "none".to_owned())].into() };
        let Change::Next { metadata: plain, .. } =
            change(&table(Millis(1)), "file:///w/t/metadata/00000-x.metadata.json", vec![none], Millis(2)).unwrap()
        else {
            panic!("a property was refused")
        };
        assert!(!is_packed(&plain) && serialize(&plain).unwrap().starts_with(b"{"));
    }

    #[test]
    fn unreadable_metadata_names_its_location() {
        let whole = serialize(&table(Millis(1_800_000_000_000))).unwrap();
        let truncated = &whole[..whole.len() / 2];
        for bytes in [truncated, b"", b"not json", b"{}", b"{\"format-version\": 9}", b"\x1f\x8bxx", b"[1]"] {
            let error = parse("file:///w/t/metadata/1.metadata.json", bytes).unwrap_err();
            assert!(error.to_string().contains("file:///w/t/metadata/1.metadata.json"), "{error}");
            assert_eq!(error.kind(), tableflow_model::ErrorKind::Data);
        }
    }

    #[test]
    fn versions_are_read_from_names() {
        let cases = [
            ("file:///t/metadata/00007-0a.metadata.json", 7),
            ("file:///t/metadata/123456-0a.gz.metadata.json", 123_456),
            ("file:///t/metadata/v12.metadata.json", 12),
            ("file:///t/metadata/odd.metadata.json", 0),
            ("file:///t/metadata/99999999999-x.metadata.json", 0),
            ("", 0),
        ];
        for (location, expected) in cases {
            assert_eq!(version_of(location), expected, "{location}");
        }
    }
}
