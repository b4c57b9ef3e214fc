//! How far a group has come, written down and looked up by who is no member of it.
//!
//! Owns [`commit_offsets`] and [`group_offset`]. What is allocated is freed as rule I1 of the folder has it.

use std::ffi::CString;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use rdkafka_sys as sys;

use super::{Failed, administer, handle, text};
use crate::kafka::said::Context;

/// Writes down how far a group has come that nobody joins; waits at most as long as told. Topics that are gone, or may
/// not be read any more, are passed over.
pub(in crate::kafka) fn commit_offsets(
    client: &BaseConsumer<Context>,
    group: &str,
    places: &[(&str, i32, i64)],
    timeout: Duration,
) -> Result<(), Failed> {
    let Ok(group) = CString::new(group) else {
        let code = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_INVALID_GROUP_ID;
        return Err(Failed { code, words: String::new() });
    };
    // SAFETY: list and order outlive the calls that copy them, and are destroyed here (I1); a place added to the list
    // is part of it.
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

/// How far a group has come in a partition, none where it says nothing; waits at most as long as told. What a
/// transaction has not decided yet is an error, not none.
pub(in crate::kafka) fn group_offset(
    client: &BaseConsumer<Context>,
    group: &str,
    (topic, partition): (&str, i32),
    timeout: Duration,
) -> Result<Option<i64>, Failed> {
    let (Ok(group), Ok(topic)) = (CString::new(group), CString::new(topic)) else {
        let code = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_INVALID_GROUP_ID;
        return Err(Failed { code, words: String::new() });
    };
    // SAFETY: list and question outlive the calls that copy them, and are destroyed here (I1); a place added to the
    // list is part of it. An option that cannot be set answers with an error, which is destroyed.
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
