//! The bytes: ours against kafka-protocol in both directions, and the batches that brokers and odd clients write.

use bytes::{Bytes, BytesMut};
use indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use proptest::prelude::*;
use tableflow_model::{ErrorKind, Millis, Offset, Records};

use super::super::batch::{BatchBuilder, HEADER_BYTES, RECORD_BYTES_MAX};
use super::super::decode::{BadBatch, Expected, decode};
use super::{Fixture, append, seek_to};

type Row = (Option<Vec<u8>>, Option<Vec<u8>>, i64, Vec<(Vec<u8>, Option<Vec<u8>>)>);

fn encode(rows: &[Row], base_offset: i64) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    for (key, value, timestamp, headers) in rows {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref())).collect();
        batch.push(key.as_deref(), value.as_deref(), Millis(*timestamp), &headers).unwrap();
    }
    batch.seal(Offset(base_offset)).to_vec()
}

fn read(bytes: &[u8], from: i64) -> Result<Records, BadBatch> {
    let mut records = Records::default();
    let header = decode(bytes, 0, Expected::Holds(from), &mut records)?;
    records.buffer = Bytes::copy_from_slice(bytes);
    records.next_offset = Offset(header.next_offset());
    Ok(records)
}

fn rows(records: &Records) -> Vec<Row> {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let headers = |row| records.headers(row).map(|(name, value)| (name.to_vec(), owned(value))).collect();
    let row = |row| (owned(records.key(row)), owned(records.value(row)), records.timestamps[row], headers(row));
    (0..records.len()).map(row).collect()
}

fn bytes_or_null(length_max: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..length_max))
}

fn any_row() -> impl Strategy<Value = Row> {
    let headers = proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..9), bytes_or_null(9)), 0..4);
    (bytes_or_null(200), bytes_or_null(300), any::<i64>(), headers)
}

/// What the oracle can hold: no repeated header names, and timestamps whose differences fit.
fn oracle_row() -> impl Strategy<Value = Row> {
    let headers = proptest::collection::btree_map("[a-zé]{1,5}", bytes_or_null(9), 0..4);
    let row = (bytes_or_null(100), bytes_or_null(300), -(1_i64 << 60)..(1_i64 << 60), headers);
    row.prop_map(|(key, value, timestamp, headers)| {
        (key, value, timestamp, headers.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect())
    })
}

fn to_oracle(rows: &[Row], base_offset: i64) -> Vec<Record> {
    let header = |(name, value): &(Vec<u8>, Option<Vec<u8>>)| {
        (StrBytes::from_string(String::from_utf8(name.clone()).unwrap()), value.clone().map(Bytes::from))
    };
    let record = |(at, (key, value, timestamp, headers)): (usize, &Row)| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: base_offset + at as i64,
        sequence: -1 + at as i32,
        timestamp: *timestamp,
        key: key.clone().map(Bytes::from),
        value: value.clone().map(Bytes::from),
        headers: headers.iter().map(header).collect::<IndexMap<_, _>>(),
    };
    rows.iter().enumerate().map(record).collect()
}

fn oracle_bytes(records: &[Record]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, records, &options).unwrap();
    bytes.to_vec()
}

proptest! {
    #[test]
    fn any_records_come_back_as_they_were(given in proptest::collection::vec(any_row(), 1..20), base in 0..1_i64 << 60) {
        let records = read(&encode(&given, base), base).unwrap();
        let end = base + given.len() as i64;
        prop_assert_eq!(&records.offsets, &(base..end).collect::<Vec<_>>());
        prop_assert_eq!(records.next_offset, Offset(end));
        prop_assert_eq!(rows(&records), given);
    }

    #[test]
    fn kafka_protocol_reads_ours(given in proptest::collection::vec(oracle_row(), 1..20), base in 0..1_i64 << 40) {
        let set = RecordBatchDecoder::decode(&mut Bytes::from(encode(&given, base))).unwrap();
        let mut expected = to_oracle(&given, base);
        for record in &mut expected {
            record.sequence = set.records[(record.offset - base) as usize].sequence;
        }
        prop_assert_eq!(set.records, expected);
    }

    #[test]
    fn we_read_kafka_protocols(given in proptest::collection::vec(oracle_row(), 1..20), base in 0..1_i64 << 40) {
        let records = read(&oracle_bytes(&to_oracle(&given, base)), base).unwrap();
        prop_assert_eq!(rows(&records), given);
        prop_assert_eq!(records.offsets[0], base);
    }

    #[test]
    fn damaged_bytes_never_pass_and_never_panic(at in 12_usize..400, bit in 0_u8..8) {
        let mut bytes = encode(&[(Some(vec![7; 150]), Some(vec![9; 300]), 3, vec![])], 0);
        bytes[at] ^= 1 << bit;
        // The leader epoch (12 to 15) is not under the checksum and means nothing here.
        prop_assert_eq!(read(&bytes, 0).is_ok(), at < 16);
    }

    #[test]
    fn malformed_records_under_a_right_checksum_are_refused_whole(body in proptest::collection::vec(any::<u8>(), 0..90), count in 0_i32..9) {
        let mut bytes = encode(&[(None, None, 0, vec![])], 0);
        bytes.truncate(HEADER_BYTES);
        bytes.extend_from_slice(&body);
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let bytes = with_checksum(bytes);
        let mut records = Records::default();
        if decode(&bytes, 0, Expected::Starts(0), &mut records).is_err() {
            prop_assert!(records.is_empty() && records.headers.is_empty());
        }
    }
}

/// Puts length and checksum right after a test changed a batch.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

#[test]
fn bad_input_40_odd_timestamps_survive() {
    // Year 9999, before 1970, decreasing, and the ends of the range, whose difference overflows.
    let stamps = [253_402_300_799_999, -1, -62_135_596_800_000, 5, 4, i64::MIN, i64::MAX, 0];
    let given: Vec<Row> = stamps.iter().map(|stamp| (None, Some(vec![1]), *stamp, vec![])).collect();
    assert_eq!(read(&encode(&given, 0), 0).unwrap().timestamps, stamps);
}

#[test]
fn bad_input_41_many_repeated_and_large_headers_survive() {
    let mut headers: Vec<(Vec<u8>, Option<Vec<u8>>)> =
        (0..1_000).map(|n| (format!("h{}", n % 3).into_bytes(), (n % 2 == 0).then(|| vec![n as u8]))).collect();
    headers.push((b"large".to_vec(), Some(vec![0xab; 1_000_000])));
    let given = vec![(None, None, 0, headers), (None, None, 0, vec![]), (None, None, 0, vec![(vec![], Some(vec![]))])];
    assert_eq!(rows(&read(&encode(&given, 0), 0).unwrap()), given);
}

#[test]
fn bad_input_42_keys_need_not_be_text() {
    let given = vec![(Some(vec![0xff, 0x00, 0xc3]), Some(vec![]), 0, vec![]), (Some(vec![]), None, 0, vec![])];
    assert_eq!(rows(&read(&encode(&given, 0), 0).unwrap()), given);
}

#[test]
fn bad_input_43_holes_are_stepped_over() {
    // As log compaction leaves it: of offsets 0 to 9 only 0 and 5 are left.
    let row = |value| (None, Some(vec![value]), 0, vec![]);
    let mut kept = to_oracle(&[row(1), row(2)], 0);
    (kept[1].offset, kept[1].sequence) = (5, kept[0].sequence + 5);
    let mut bytes = oracle_bytes(&kept);
    // The oracle ends the batch with its last record: here there is a hole behind it.
    bytes[23..27].copy_from_slice(&9_i32.to_be_bytes());
    let bytes = with_checksum(bytes);
    let records = read(&bytes, 0).unwrap();
    assert_eq!((records.offsets.as_slice(), records.next_offset), ([0, 5].as_slice(), Offset(10)));
    assert_eq!(read(&bytes, 3).unwrap().offsets, [5]);
    assert!(read(&bytes, 7).unwrap().is_empty());

    let fixture = Fixture::new(1, &[]);
    fixture.put_raw(&bytes);
    let mut source = fixture.source();
    assert_eq!(source.ranges().unwrap()[&tableflow_model::Partition(0)].end, Offset(10));
    for (from, offsets) in [(0, vec![0, 5]), (1, vec![5]), (6, vec![]), (10, vec![])] {
        seek_to(&mut source, from).unwrap();
        let polled = source.poll(1_000).unwrap();
        assert_eq!(polled.iter().flat_map(|records| records.offsets.clone()).collect::<Vec<_>>(), offsets, "{from}");
        assert_eq!(source.poll(1_000).unwrap().len(), 0);
    }
    assert_eq!(append(&fixture.log(), &["next"]).unwrap().first_offset, Offset(10));
}

#[test]
fn bad_input_44_empty_and_control_batches_move_the_offset_on() {
    let fixture = Fixture::new(1, &[]);
    append(&fixture.log(), &["a"]).unwrap();
    let mut control = to_oracle(&[(Some(vec![0, 0, 0, 1]), Some(vec![0; 6]), 0, vec![])], 1);
    control[0].control = true;
    control[0].transactional = true;
    fixture.put_raw(&oracle_bytes(&control));
    // An empty batch, as compaction leaves it: no records, offsets 2 to 6.
    let mut empty = encode(&[(None, None, 0, vec![])], 2);
    empty.truncate(HEADER_BYTES);
    empty[23..27].copy_from_slice(&4_i32.to_be_bytes());
    empty[57..61].copy_from_slice(&0_i32.to_be_bytes());
    fixture.put_raw(&with_checksum(empty));
    assert_eq!(append(&fixture.log(), &["b"]).unwrap().first_offset, Offset(7));

    let mut source = fixture.source();
    seek_to(&mut source, 1).unwrap();
    // One batch a poll: the records are empty, yet the place moves on.
    let mut seen = Vec::new();
    while let [records] = source.poll(1).unwrap().as_slice() {
        seen.push((records.len(), records.next_offset.0));
    }
    assert_eq!(seen, [(0, 2), (0, 7), (1, 8)]);
}

#[test]
fn compressed_batches_are_refused_by_name() {
    let fixture = Fixture::new(1, &[]);
    let mut bytes = encode(&[(None, Some(vec![1]), 0, vec![])], 0);
    bytes[22] = 4;
    fixture.put_raw(&with_checksum(bytes));
    let mut source = fixture.source();
    seek_to(&mut source, 0).unwrap();
    let error = source.poll(1_000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.message().contains("is compressed"), "{error}");
}

#[test]
fn log_append_time_replaces_the_records_own() {
    let mut bytes = encode(&[(None, None, 5, vec![]), (None, None, 9, vec![])], 0);
    bytes[22] = 8;
    assert_eq!(read(&with_checksum(bytes), 0).unwrap().timestamps, [9, 9]);
}

#[test]
fn a_record_too_large_is_refused_and_the_batch_stays_good() {
    let mut batch = BatchBuilder::new();
    batch.push(None, Some(b"kept"), Millis(0), &[]).unwrap();
    let large = vec![0; RECORD_BYTES_MAX];
    let error = batch.push(None, Some(&large), Millis(0), &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains("is too large"), "{error}");
    let just_fits = &large[..RECORD_BYTES_MAX - 20];
    batch.push(None, Some(just_fits), Millis(0), &[]).unwrap();
    batch.push(None, Some(just_fits), Millis(0), &[]).unwrap_err();

    let fixture = Fixture::new(1, &[]);
    assert_eq!(fixture.log().append(&mut batch).unwrap().count, 2);
    let mut source = fixture.source();
    seek_to(&mut source, 0).unwrap();
    let records = source.poll(1).unwrap().remove(0);
    assert_eq!((records.value(0), records.value(1)), (Some(b"kept".as_slice()), Some(just_fits)));
}
