//! One partition's fetched records, taken by the array.
//!
//! Owns [`FetchQueue`].
//! - I1: a queue keeps its client alive, and is destroyed before it.
//! - I2: a message is destroyed when its visitor returns; what a visitor is given does not outlive the call.
//! - I3: a visitor that has enough leaves the rest to the next call: how large records are is known when they are there,
//!   and one batch may unpack to a thousand large ones.

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka_sys as sys;
use tableflow_model::{Appended, TimestampType};

use super::Failed;
use crate::kafka::said::Context;

/// What a queue holds.
#[derive(Debug)]
pub(in crate::kafka) enum Fetched<'a> {
    Record(Record<'a>),
    /// Nothing more is there: every offset below this one was handed out, or is no record.
    End(i64),
    Failed(Failed),
}

/// One record, in librdkafka's memory.
#[derive(Debug)]
pub(in crate::kafka) struct Record<'a> {
    pub offset: i64,
    pub timestamp_ms: i64,
    pub appended: Appended,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    headers: Option<NonNull<sys::rd_kafka_headers_t>>,
}

impl Record<'_> {
    /// Visits names and values of the headers, in order.
    pub fn headers(&self, mut visit: impl FnMut(&[u8], Option<&[u8]>)) {
        let Some(headers) = self.headers else { return };
        for index in 0.. {
            let (mut name, mut value, mut size): (*const c_char, *const c_void, usize) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the headers belong to a message that lives as long as this record (I2); the pointers are set on
            // success.
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
pub(in crate::kafka) struct FetchQueue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Reused by every call, and empty between them.
    taken: Vec<*mut sys::rd_kafka_message_t>,
    /// Taken, and not yet visited (I3).
    waiting: VecDeque<NonNull<sys::rd_kafka_message_t>>,
    /// I1: dropped after the queue, which `drop` destroys.
    _client: Arc<BaseConsumer<Context>>,
}

// SAFETY: librdkafka's queues and messages may be used from any thread, by one at a time.
unsafe impl Send for FetchQueue {}

// SAFETY: nothing can be done with a shared reference to it.
unsafe impl Sync for FetchQueue {}

impl std::fmt::Debug for FetchQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetchQueue").finish_non_exhaustive()
    }
}

impl FetchQueue {
    /// The partition's own queue. To be asked for before the partition is assigned: from then on its records come here
    /// and nowhere else. `None` where the name is none.
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
        Some(FetchQueue { queue, taken: Vec::new(), waiting: VecDeque::new(), _client: client.clone() })
    }

    /// Hands out up to `count_max` records that are there, as long as the visitor wants another one, and never waits.
    pub fn take(&mut self, count_max: usize, mut visit: impl FnMut(Fetched<'_>) -> bool) {
        if self.waiting.is_empty() {
            self.fetch(count_max);
        }
        for _ in 0..count_max {
            let Some(message) = self.waiting.pop_front() else { return };
            // SAFETY: `fetch` got us this message, alive until it is destroyed here, after the visit (I2).
            let wants_more = unsafe {
                let wants_more = visit(fetched(message));
                sys::rd_kafka_message_destroy(message.as_ptr());
                wants_more
            };
            if !wants_more {
                return;
            }
        }
    }

    fn fetch(&mut self, count_max: usize) {
        self.taken.clear();
        self.taken.resize(count_max, ptr::null_mut());
        // SAFETY: the array has room for `count_max` pointers; a timeout of zero does not wait.
        let count =
            unsafe { sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, self.taken.as_mut_ptr(), count_max) };
        let count = usize::try_from(count).unwrap_or(0);
        self.waiting.extend(self.taken.drain(..).take(count).filter_map(NonNull::new));
    }
}

impl Drop for FetchQueue {
    fn drop(&mut self) {
        for message in self.waiting.drain(..) {
            // SAFETY: nobody visited it, so it is alive.
            unsafe { sys::rd_kafka_message_destroy(message.as_ptr()) }
        }
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
