//! The calls of librdkafka that the safe crate lacks.
//!
//! Owns [`FetchQueue`], one partition's fetched records taken by the array, [`describe_topics`], which names topics' ids,
//! [`list_offsets`], which has an answer for each partition, and [`commit_offsets`] and [`group_offset`], which need no
//! membership of a group. The only `unsafe` of the workspace; nothing unsafe leaves
//! this file.
//! - I1: a queue keeps its client alive, and is destroyed before it.
//! - I2: a message is destroyed when its visitor returns; what a visitor is given does not outlive the call.
//! - I3: whatever librdkafka allocates for a call is freed on every way out of it.

#![expect(unsafe_code, reason = "librdkafka is a C library, and the safe crate does not wrap these calls")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka_sys as sys;
use tableflow_model::{Appended, TimestampType, TopicId};
use uuid::Uuid;

use super::said::Context;

/// What a queue holds.
#[derive(Debug)]
pub(super) enum Fetched<'a> {
    Record(Record<'a>),
    /// Nothing more is there: every offset below this one was handed out, or is no record.
    End(i64),
    Failed(Failed),
}

/// One record, in librdkafka's memory.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub offset: i64,
    pub timestamp_ms: i64,
    pub appended: Appended,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    headers: Option<NonNull<sys::rd_kafka_headers_t>>,
}

/// librdkafka's code for a failure, and its words.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub code: sys::rd_kafka_resp_err_t,
    pub words: String,
}

impl Record<'_> {
    /// Visits names and values of the headers, in order.
    pub fn headers(&self, mut visit: impl FnMut(&[u8], Option<&[u8]>)) {
        let Some(headers) = self.headers else { return };
        for index in 0.. {
            let (mut name, mut value, mut size): (*const c_char, *const c_void, usize) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the headers belong to a message that lives as long as this record (I2); the pointers are set on success.
            let code =
                unsafe { sys::rd_kafka_header_get_all(headers.as_ptr(), index, &mut name, &mut value, &mut size) };
            if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                return;
            }
            // SAFETY: a header's name ends in zero, its value has `size` bytes; both belong to the message.
            let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value, size)) };
            visit(name.to_bytes(), value);
        }
    }
}

#[cfg(test)]
impl Record<'static> {
    /// One that a test puts into a queue.
    pub fn plain(offset: i64, leader_epoch: i32) -> Self {
        let appended = Appended { leader_epoch: Some(leader_epoch), timestamp_type: None };
        Record { offset, timestamp_ms: 0, appended, key: None, value: Some(b"x"), headers: None }
    }
}

/// # Safety
/// `start` is null, or has `size` bytes that live for `'a`.
unsafe fn bytes<'a>(start: *const c_void, size: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller promises.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast::<u8>(), size) })
}

/// The records that were fetched of one partition and not yet taken.
pub(super) struct FetchQueue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Reused by every call.
    messages: Vec<*mut sys::rd_kafka_message_t>,
    /// I1: dropped after the queue, which `drop` destroys.
    _client: Arc<BaseConsumer<Context>>,
}

// SAFETY: librdkafka's queues may be used from any thread; the array of messages is empty between calls.
unsafe impl Send for FetchQueue {}

// SAFETY: nothing can be done with a shared reference to it.
unsafe impl Sync for FetchQueue {}

impl std::fmt::Debug for FetchQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetchQueue").finish_non_exhaustive()
    }
}

impl FetchQueue {
    /// The partition's own queue. To be asked for before the partition is assigned: from then on its records come here and
    /// nowhere else. `None` where the name is none.
    pub fn of(client: &Arc<BaseConsumer<Context>>, topic: &str, partition: i32) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        let handle = client.client().native_ptr();
        // SAFETY: the client lives (I1); the name is copied by the call. To forward to nothing keeps what the partition
        // fetches in its own queue.
        let queue = unsafe {
            let queue = NonNull::new(sys::rd_kafka_queue_get_partition(handle, topic.as_ptr(), partition))?;
            sys::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            queue
        };
        Some(FetchQueue { queue, messages: Vec::new(), _client: client.clone() })
    }

    /// Takes up to `count_max` records that are there, and never waits. Answers how many there were.
    pub fn take(&mut self, count_max: usize, mut visit: impl FnMut(Fetched<'_>)) -> usize {
        self.messages.clear();
        self.messages.resize(count_max, ptr::null_mut());
        // SAFETY: the array has room for `count_max` pointers; a timeout of zero does not wait.
        let count =
            unsafe { sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, self.messages.as_mut_ptr(), count_max) };
        let count = usize::try_from(count).unwrap_or(0);
        for message in self.messages.drain(..).take(count).filter_map(NonNull::new) {
            // SAFETY: the call gave us this message, alive until it is destroyed here, after the visit (I2).
            unsafe {
                visit(fetched(message));
                sys::rd_kafka_message_destroy(message.as_ptr());
            }
        }
        count
    }
}

impl Drop for FetchQueue {
    fn drop(&mut self) {
        // SAFETY: ours, and the client is still there (I1).
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// # Safety
/// The message lives for `'a`.
unsafe fn fetched<'a>(message: NonNull<sys::rd_kafka_message_t>) -> Fetched<'a> {
    // SAFETY: as the caller promises; librdkafka filled all fields. For an error, the payload is its text.
    unsafe {
        let fields = message.as_ref();
        match fields.err {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
                let mut headers = ptr::null_mut();
                sys::rd_kafka_message_headers(message.as_ptr(), &mut headers);
                let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
                let timestamp_ms = sys::rd_kafka_message_timestamp(message.as_ptr(), &mut kind);
                let epoch = sys::rd_kafka_message_leader_epoch(message.as_ptr());
                Fetched::Record(Record {
                    offset: fields.offset,
                    timestamp_ms,
                    appended: Appended {
                        leader_epoch: (epoch >= 0).then_some(epoch),
                        timestamp_type: timestamp_type(kind),
                    },
                    key: bytes(fields.key, fields.key_len),
                    value: bytes(fields.payload, fields.len),
                    headers: NonNull::new(headers),
                })
            }
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => Fetched::End(fields.offset),
            code => {
                let words = bytes(fields.payload, fields.len).unwrap_or_default();
                Fetched::Failed(Failed { code, words: String::from_utf8_lossy(words).into_owned() })
            }
        }
    }
}

fn timestamp_type(kind: sys::rd_kafka_timestamp_type_t) -> Option<TimestampType> {
    match kind {
        sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => Some(TimestampType::CreateTime),
        sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => Some(TimestampType::LogAppendTime),
        sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => None,
    }
}

/// A topic as its cluster describes it.
#[derive(Clone, Debug)]
pub(super) struct Description {
    pub id: TopicId,
    pub partitions: Vec<i32>,
}

/// Topics by name, each described, or why it is not.
pub(super) type Descriptions = Vec<(String, Result<Description, Failed>)>;

/// Asks the cluster what topics are; waits at most as long as told.
pub(super) fn describe_topics(
    client: &BaseConsumer<Context>,
    topics: &[&str],
    timeout: Duration,
) -> Result<Descriptions, Failed> {
    let names: Result<Vec<CString>, _> = topics.iter().map(|topic| CString::new(*topic)).collect();
    let Ok(names) = names else {
        let code = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
        return Err(Failed { code, words: String::new() });
    };
    let mut names_c: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the collection outlives the call that copies it, and is destroyed here (I3).
    unsafe {
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names_c.as_mut_ptr(), names_c.len());
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let ask = |options: *mut _, queue| sys::rd_kafka_DescribeTopics(handle(client), topics, options, queue);
        let described = administer(client, operation, None, timeout, ask, |event| descriptions(event));
        sys::rd_kafka_TopicCollection_destroy(topics);
        described
    }
}

fn handle(client: &BaseConsumer<Context>) -> *mut sys::rd_kafka_t {
    client.client().native_ptr()
}

/// Puts an administrator's question, and reads the answer when it is there.
///
/// # Safety
/// `ask` puts a question of that kind with the options, to be answered in the queue; `read` reads its answer and keeps no
/// part of it.
unsafe fn administer<T>(
    client: &BaseConsumer<Context>,
    operation: sys::rd_kafka_admin_op_t,
    isolation: Option<sys::rd_kafka_IsolationLevel_t>,
    timeout: Duration,
    ask: impl FnOnce(*mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    read: impl FnOnce(NonNull<sys::rd_kafka_event_t>) -> Result<T, Failed>,
) -> Result<T, Failed> {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client outlives the call; each thing made here is destroyed below (I3), the event last, since the
    // result is part of it. The isolation level is a valid one; options that it means nothing to refuse it, with an error.
    unsafe {
        let options = sys::rd_kafka_AdminOptions_new(handle(client), operation);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, ptr::null_mut(), 0);
        if let Some(level) = isolation {
            let refused = sys::rd_kafka_AdminOptions_set_isolation_level(options, level);
            if !refused.is_null() {
                sys::rd_kafka_error_destroy(refused);
            }
        }
        let queue = sys::rd_kafka_queue_new(handle(client));
        ask(options, queue);
        let event = sys::rd_kafka_queue_poll(queue, timeout_ms);
        let answer = match NonNull::new(event) {
            Some(event) => match sys::rd_kafka_event_error(event.as_ptr()) {
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => read(event),
                code => Err(Failed { code, words: text(sys::rd_kafka_event_error_string(event.as_ptr())) }),
            },
            None => Err(Failed {
                code: sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT,
                words: "no answer in time".to_owned(),
            }),
        };
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        answer
    }
}

/// Writes down how far a group has come that nobody joins; waits at most as long as told. Topics that are gone, or may not be
/// read any more, are passed over.
pub(super) fn commit_offsets(
    client: &BaseConsumer<Context>,
    group: &str,
    places: &[(&str, i32, i64)],
    timeout: Duration,
) -> Result<(), Failed> {
    let Ok(group) = CString::new(group) else {
        let code = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_INVALID_GROUP_ID;
        return Err(Failed { code, words: String::new() });
    };
    // SAFETY: list and order outlive the calls that copy them, and are destroyed here (I3); a place added to the list is
    // part of it.
    unsafe {
        let list = sys::rd_kafka_topic_partition_list_new(i32::try_from(places.len()).unwrap_or(0));
        for (topic, partition, offset) in places {
            let Ok(topic) = CString::new(*topic) else { continue };
            let added = sys::rd_kafka_topic_partition_list_add(list, topic.as_ptr(), *partition);
            (*added).offset = *offset;
        }
        let mut order = sys::rd_kafka_AlterConsumerGroupOffsets_new(group.as_ptr(), list);
        sys::rd_kafka_topic_partition_list_destroy(list);
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS;
        let ask = |options: *mut _, queue| {
            sys::rd_kafka_AlterConsumerGroupOffsets(handle(client), &mut order, 1, options, queue);
        };
        let answered = administer(client, operation, None, timeout, ask, |event| committed(event));
        sys::rd_kafka_AlterConsumerGroupOffsets_destroy(order);
        answered
    }
}

/// How far a group has come in a partition, none where it says nothing; waits at most as long as told. What a transaction has
/// not decided yet is an error, not none.
pub(super) fn group_offset(
    client: &BaseConsumer<Context>,
    group: &str,
    (topic, partition): (&str, i32),
    timeout: Duration,
) -> Result<Option<i64>, Failed> {
    let (Ok(group), Ok(topic)) = (CString::new(group), CString::new(topic)) else {
        let code = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_INVALID_GROUP_ID;
        return Err(Failed { code, words: String::new() });
    };
    // SAFETY: list and question outlive the calls that copy them, and are destroyed here (I3); a place added to the list is
    // part of it. An option that cannot be set answers with an error, which is destroyed.
    unsafe {
        let list = sys::rd_kafka_topic_partition_list_new(1);
        sys::rd_kafka_topic_partition_list_add(list, topic.as_ptr(), partition);
        let mut question = sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), list);
        sys::rd_kafka_topic_partition_list_destroy(list);
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
        let ask = |options: *mut _, queue| {
            let refused = sys::rd_kafka_AdminOptions_set_require_stable_offsets(options, 1);
            if !refused.is_null() {
                sys::rd_kafka_error_destroy(refused);
            }
            sys::rd_kafka_ListConsumerGroupOffsets(handle(client), &mut question, 1, options, queue);
        };
        let answered = administer(client, operation, None, timeout, ask, |event| listed(event));
        sys::rd_kafka_ListConsumerGroupOffsets_destroy(question);
        answered
    }
}

/// # Safety
/// The event is the answer to a question for one group's offset of one partition.
unsafe fn listed(event: NonNull<sys::rd_kafka_event_t>) -> Result<Option<i64>, Failed> {
    // SAFETY: as the caller promises; all that is read belongs to the event, and is copied.
    unsafe {
        let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event.as_ptr());
        let mut count = 0;
        let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count);
        for index in 0..count {
            let group = *groups.add(index);
            let error = sys::rd_kafka_group_result_error(group);
            if !error.is_null() {
                let words = text(sys::rd_kafka_error_string(error));
                return Err(Failed { code: sys::rd_kafka_error_code(error), words });
            }
            let places = sys::rd_kafka_group_result_partitions(group);
            for index in 0..usize::try_from((*places).cnt).unwrap_or(0) {
                let place = (*places).elems.add(index);
                match (*place).err {
                    sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR if (*place).offset >= 0 => {
                        return Ok(Some((*place).offset));
                    }
                    sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {}
                    code => return Err(Failed { code, words: text(sys::rd_kafka_err2str(code)) }),
                }
            }
        }
        Ok(None)
    }
}

/// # Safety
/// The event is the answer to an order to alter one group's offsets.
unsafe fn committed(event: NonNull<sys::rd_kafka_event_t>) -> Result<(), Failed> {
    // SAFETY: as the caller promises; all that is read belongs to the event, and is copied.
    unsafe {
        let result = sys::rd_kafka_event_AlterConsumerGroupOffsets_result(event.as_ptr());
        let mut count = 0;
        let groups = sys::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &mut count);
        for index in 0..count {
            let group = *groups.add(index);
            let error = sys::rd_kafka_group_result_error(group);
            if !error.is_null() && !is_gone(sys::rd_kafka_error_code(error)) {
                let words = text(sys::rd_kafka_error_string(error));
                return Err(Failed { code: sys::rd_kafka_error_code(error), words });
            }
            let places = sys::rd_kafka_group_result_partitions(group);
            for index in 0..usize::try_from((*places).cnt).unwrap_or(0) {
                match (*(*places).elems.add(index)).err {
                    sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {}
                    code if is_gone(code) => {}
                    code => return Err(Failed { code, words: text(sys::rd_kafka_err2str(code)) }),
                }
            }
        }
        Ok(())
    }
}

/// A topic that was deleted is no group's matter any more, and the others' places are taken beside it.
fn is_gone(code: sys::rd_kafka_resp_err_t) -> bool {
    matches!(
        code,
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
    )
}

/// One of the places that every partition has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    Beginning,
    /// Behind the last record that is committed.
    End,
    /// Behind the last record, which a transaction may still take back.
    UncommittedEnd,
}

/// Asks where partitions begin or end; waits at most as long as told. Answers stand in the order asked, each partition
/// once; what is wrong with one is its own answer.
pub(super) fn list_offsets(
    client: &BaseConsumer<Context>,
    places: &[(&str, i32)],
    edge: Edge,
    timeout: Duration,
) -> Result<Vec<Result<i64, Failed>>, Failed> {
    let spec = match edge {
        Edge::Beginning => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST,
        Edge::End | Edge::UncommittedEnd => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST,
    };
    let isolation = match edge {
        Edge::Beginning | Edge::End => sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
        Edge::UncommittedEnd => sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
    };
    // SAFETY: the list outlives the call that copies it, and is destroyed here (I3); a place added to it is part of it.
    unsafe {
        let asked = sys::rd_kafka_topic_partition_list_new(i32::try_from(places.len()).unwrap_or(0));
        for (topic, partition) in places {
            let Ok(topic) = CString::new(*topic) else { continue };
            let added = sys::rd_kafka_topic_partition_list_add(asked, topic.as_ptr(), *partition);
            (*added).offset = spec as i64;
        }
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        let ask = |options: *mut _, queue| sys::rd_kafka_ListOffsets(handle(client), asked, options, queue);
        let answered = administer(client, operation, Some(isolation), timeout, ask, |event| Ok(offsets(event)));
        sys::rd_kafka_topic_partition_list_destroy(asked);
        match answered {
            Ok(answered) if answered.len() == places.len() => Ok(answered),
            Ok(_) => Err(Failed {
                code: sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__BAD_MSG,
                words: "offsets were listed of other partitions than asked for".to_owned(),
            }),
            // So it is said when none of the partitions has a leader. Whether their topic is there its description says.
            Err(Failed { code: sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__NOENT, words }) => {
                Err(Failed { code: sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, words })
            }
            Err(failed) => Err(failed),
        }
    }
}

/// # Safety
/// The event is the answer to a question for offsets.
unsafe fn offsets(event: NonNull<sys::rd_kafka_event_t>) -> Vec<Result<i64, Failed>> {
    // SAFETY: as the caller promises; all that is read belongs to the event, and is copied.
    unsafe {
        let result = sys::rd_kafka_event_ListOffsets_result(event.as_ptr());
        let mut count = 0;
        let infos = sys::rd_kafka_ListOffsets_result_infos(result, &mut count);
        let offset = |index| {
            let place = sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos.add(index));
            match (*place).err {
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => known((*place).offset, (*place).partition),
                code => Err(Failed { code, words: text(sys::rd_kafka_err2str(code)) }),
            }
        };
        (0..count).map(offset).collect()
    }
}

/// librdkafka asks each leader by itself, and has no error for the partitions of one that did not answer: their offsets are
/// none.
fn known(offset: i64, partition: i32) -> Result<i64, Failed> {
    if offset >= 0 {
        return Ok(offset);
    }
    let code = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TRANSPORT;
    Err(Failed { code, words: format!("the leader of partition {partition} did not answer") })
}

/// # Safety
/// The event is the answer to a description of topics.
unsafe fn descriptions(event: NonNull<sys::rd_kafka_event_t>) -> Result<Descriptions, Failed> {
    // SAFETY: as the caller promises; all that is read belongs to the event, and is copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.as_ptr());
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let described = |index| {
            let topic = *topics.add(index);
            (text(sys::rd_kafka_TopicDescription_name(topic)), description(topic))
        };
        Ok((0..count).map(described).collect())
    }
}

/// # Safety
/// The topic is part of an answer that is there.
unsafe fn description(topic: *const sys::rd_kafka_TopicDescription_t) -> Result<Description, Failed> {
    // SAFETY: as the caller promises.
    unsafe {
        let error = sys::rd_kafka_TopicDescription_error(topic);
        let code = sys::rd_kafka_error_code(error);
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(Failed { code, words: text(sys::rd_kafka_error_string(error)) });
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let (high, low) = (sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id));
        let mut count = 0;
        let partitions = sys::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let partitions = (0..count).map(|index| sys::rd_kafka_TopicPartitionInfo_partition(*partitions.add(index)));
        let id = TopicId(Uuid::from_u64_pair(high.cast_unsigned(), low.cast_unsigned()));
        if id.0.is_nil() {
            let code = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION;
            let words = "the cluster tells no ids of topics, as Kafka 2.8 and later do: a topic made again could not be \
                         told from the one that was";
            return Err(Failed { code, words: words.to_owned() });
        }
        Ok(Description { id, partitions: partitions.collect() })
    }
}

/// # Safety
/// `text` is null, or ends in zero.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_whose_leader_did_not_answer_has_no_offset() {
        assert_eq!(known(0, 3).map_err(|failed| failed.words), Ok(0));
        for none in [-1, -1001] {
            let failed = known(none, 3).unwrap_err();
            assert_eq!(
                (failed.code(), failed.words.contains("partition 3")),
                (rdkafka::error::RDKafkaErrorCode::BrokerTransportFailure, true)
            );
        }
    }
}
