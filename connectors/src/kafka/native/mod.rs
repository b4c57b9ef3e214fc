//! The calls of librdkafka that the safe crate lacks.
//!
//! ```text
//!  queue    what was fetched of one partition, taken by the array
//!  topics   what topics are, with their ids
//!  offsets  where partitions begin and end, with an answer for each
//!  groups   how far a group has come, without being a member of it
//!  rights   what a login may do with a group
//!  servers  where a client begins
//!  exit     the end of the process
//! ```
//!
//! `administer` puts an administrator's question. The only `unsafe` of the workspace; nothing unsafe leaves this folder.
//! - I1: whatever librdkafka allocates for a call is freed on every way out of it.

#![expect(unsafe_code, reason = "librdkafka is a C library, and the safe crate does not wrap these calls")]

mod exit;
mod groups;
mod offsets;
mod queue;
mod rights;
mod servers;
mod topics;

use std::ffi::{CStr, c_char};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka_sys as sys;

use super::said::Context;

pub(super) use exit::keep_openssl_at_exit;
pub(super) use groups::{commit_offsets, group_offset};
pub(super) use offsets::{Edge, list_offsets};
pub(super) use queue::{FetchQueue, Fetched, Record};
pub(super) use rights::may_read_group;
pub(super) use servers::tell_servers;
pub(super) use topics::{Description, describe_topics};

/// librdkafka's code for a failure, and its words.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub code: sys::rd_kafka_resp_err_t,
    pub words: String,
}

fn handle(client: &BaseConsumer<Context>) -> *mut sys::rd_kafka_t {
    client.client().native_ptr()
}

/// Puts an administrator's question, and reads the answer when it is there.
///
/// # Safety
/// `ask` puts a question of that kind with the options, to be answered in the queue; `read` reads its answer and keeps
/// no part of it.
unsafe fn administer<T>(
    client: &BaseConsumer<Context>,
    operation: sys::rd_kafka_admin_op_t,
    isolation: Option<sys::rd_kafka_IsolationLevel_t>,
    timeout: Duration,
    ask: impl FnOnce(*mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    read: impl FnOnce(NonNull<sys::rd_kafka_event_t>) -> Result<T, Failed>,
) -> Result<T, Failed> {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client outlives the call; each thing made here is destroyed below (I1), the event last, since the
    // result is part of it. The isolation level is a valid one; options that it means nothing to refuse it, with an
    // error.
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

/// # Safety
/// `text` is null, or ends in zero.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
