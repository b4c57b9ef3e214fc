//! What has to hold of a decoder, whatever its records are.
//!
//! Owns [`hold`]. Each law is an assertion that says which one was broken:
//! - L1: records decoded, passed over and not reached add up to those given, in order, each once.
//! - L2: batches are whole: as many rows as records taken, the decoder's own columns, arrays that arrow finds valid,
//!   and no row without a field, which no file can hold.
//! - L3: a decoder that asked for a schema and was given it goes on.
//! - L4: one that stops gives the rows before the first bad record, and tells of it as one that passes over.
//! - L5: a bad record changes no row of its neighbours: without it they are decoded alike.
//! - L6: what was decoded is decoded again alike, without another column; of JSON, but for what told no type at first.
//! - L7: whatever a record has in it, what is said of it is short.

use arrow::datatypes::DataType;
use tableflow_connectors::decode::{BadRecords, Decoded, Decoder, Reason, RecordError};
use tableflow_connectors::registry::{ResolvedSchema, SchemaKey};
use tableflow_model::Records;

use crate::input::{Value, records};
use crate::rows::{Empties, rows};

/// What a record's error may take in a log, a status, a dead letter.
const MESSAGE_MAX: usize = 4096;

/// Where a decoder's schemas come from.
pub type Schemas<'a> = &'a dyn Fn(SchemaKey) -> Option<ResolvedSchema>;

/// A new decoder, or none if there is no table to decode into.
pub type New<'a> = &'a dyn Fn() -> Option<Box<dyn Decoder>>;

/// What records became.
#[derive(Debug, Default)]
struct Seen {
    /// Which records became rows, and those.
    rows: Vec<(usize, String)>,
    passed_over: Vec<RecordError>,
    failure: Option<RecordError>,
    /// The first record whose schema there is not.
    waits_at: Option<usize>,
    /// The schemas that it was given.
    asked: Vec<SchemaKey>,
}

/// Asserts every law for these values.
pub fn hold(new: New, schemas: Schemas, empties: Empties, values: &[Value]) {
    let Some(mut decoder) = new() else { return };
    let given = records(values, &[]);
    let read = |decoder: &mut dyn Decoder, given: &Records, bad| read(decoder, schemas, empties, given, bad);
    let first = read(decoder.as_mut(), &given, BadRecords::PassOver);

    let version = decoder.schema_version();
    let again = read(decoder.as_mut(), &given, BadRecords::PassOver);
    match empties {
        Empties::Kept => {
            assert_eq!((&again.rows, again.waits_at), (&first.rows, first.waits_at), "L6: rows");
            assert!(reasons(&again).eq(reasons(&first)), "L6: {:?} {:?}", again.passed_over, first.passed_over);
        }
        // What had no type may meet a column that came behind it.
        Empties::AsNull => assert!(both(&again, &first).eq(both(&first, &again)), "L6: {again:?} {first:?}"),
    }
    if again.passed_over.len() == first.passed_over.len() {
        assert_eq!(decoder.schema_version(), version, "L6: columns");
    }

    let Some(mut stopping) = new() else { return };
    let stopped = read(stopping.as_mut(), &given, BadRecords::Stop);
    assert_eq!(stopped.failure.as_ref(), first.passed_over.first(), "L4: failure");
    let end = stopped.failure.as_ref().map_or(usize::MAX, |failure| failure.row);
    let before: Vec<_> = first.rows.iter().filter(|(index, _)| *index < end).collect();
    assert!(stopped.rows.iter().eq(before), "L4: rows\n{:?}\n{:?}", stopped.rows, first.rows);

    let good = |seen: &Seen| -> Records {
        let good = seen.rows.iter().filter_map(|(index, _)| values.get(*index).copied());
        records(&good.collect::<Vec<_>>(), &[])
    };
    let alone = read(decoder.as_mut(), &good(&again), BadRecords::Stop);
    assert!(texts(&alone).eq(texts(&again)), "L5: {alone:?} {again:?}");
    let Some(mut without) = new() else { return };
    let alone = read(without.as_mut(), &good(&first), BadRecords::Stop);
    // A bad record has a schema too, which may be the first to name a column; of JSON it may be the first with a
    // fraction.
    if empties == Empties::Kept && alone.asked == first.asked {
        assert!(texts(&alone).eq(texts(&first)), "L5: {alone:?} {first:?}");
    }
}

fn texts(seen: &Seen) -> impl Iterator<Item = &String> {
    seen.rows.iter().map(|(_, text)| text)
}

/// The rows of one that the other has too.
fn both<'a>(one: &'a Seen, other: &'a Seen) -> impl Iterator<Item = &'a (usize, String)> {
    one.rows.iter().filter(|(index, _)| other.rows.iter().any(|(known, _)| known == index))
}

/// The words of an error may name the column as it was then.
fn reasons(seen: &Seen) -> impl Iterator<Item = (usize, Reason, &str)> {
    seen.passed_over.iter().map(|error| (error.row, error.reason, error.path.as_str()))
}

/// Decodes all records, giving the decoder the schemas that it asks for.
fn read(decoder: &mut dyn Decoder, schemas: Schemas, empties: Empties, given: &Records, bad: BadRecords) -> Seen {
    let mut seen = Seen::default();
    let mut asked_at = None;
    let mut next = 0;
    while next < given.len() {
        let decoded = decoder.decode_from(given, next, bad);
        check(&decoded, decoder, next, given.len());
        seen.rows.extend(decoded.taken.rows().zip(rows(&decoded.batch, empties)));
        next = decoded.taken.end();
        seen.passed_over.extend(decoded.passed_over);
        seen.failure = decoded.failure;
        if seen.failure.is_some() {
            break;
        }
        let Some(key) = decoded.needs else { continue };
        assert!(asked_at != Some((key, next)), "L3: {key} was given and is asked for again");
        asked_at = Some((key, next));
        seen.asked.push(key);
        let schema = schemas(key);
        if !schema.is_some_and(|schema| give(decoder, key, &schema)) {
            seen.waits_at = Some(next);
            break;
        }
    }
    seen
}

/// Whether a decoder takes a schema; one that it refuses changes nothing.
pub fn give(decoder: &mut dyn Decoder, key: SchemaKey, schema: &ResolvedSchema) -> bool {
    let (columns, version) = (decoder.schema(), decoder.schema_version());
    match decoder.add_schema(key, schema) {
        Ok(_) => true,
        Err(error) => {
            assert!(error.report().len() < MESSAGE_MAX, "L7: {}", error.report().len());
            assert_eq!((decoder.schema(), decoder.schema_version()), (columns, version), "a refused schema");
            false
        }
    }
}

fn check(decoded: &Decoded, decoder: &dyn Decoder, first: usize, count: usize) {
    let Decoded { batch, taken, passed_over, failure, needs, .. } = decoded;
    let mut all: Vec<usize> = taken.rows().chain(passed_over.iter().map(|error| error.row)).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(first..taken.end()), "L1: {taken:?} {passed_over:?}");
    assert!(failure.is_none() || needs.is_none(), "L1: two ends");
    assert_eq!(taken.end() == count, failure.is_none() && needs.is_none(), "L1: an end before the last record");
    if let Some(failure) = failure {
        assert_eq!(failure.row, taken.end(), "L1: the failure is elsewhere");
    }
    assert_eq!(batch.num_rows(), taken.len(), "L2: rows");
    assert_eq!(batch.schema(), decoder.schema(), "L2: columns");
    for column in batch.columns() {
        let valid = column.to_data().validate_full();
        assert!(valid.is_ok(), "L2: {valid:?}");
        assert!(holds_something(column.data_type()), "L2: {}", column.data_type());
    }
    for error in passed_over.iter().chain(failure) {
        assert!(error.message.len() < MESSAGE_MAX, "L7: {} bytes", error.message.len());
        assert!(error.path.starts_with('$') && error.path.len() < MESSAGE_MAX, "L7: {} bytes", error.path.len());
    }
}

fn holds_something(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => !fields.is_empty() && fields.iter().all(|field| holds_something(field.data_type())),
        DataType::List(inner) | DataType::Map(inner, _) => holds_something(inner.data_type()),
        _ => true,
    }
}
