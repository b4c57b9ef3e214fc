//! What a login may do with a consumer group.

use std::ffi::CString;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use rdkafka_sys as sys;

use super::{Failed, administer, handle, text};
use crate::kafka::said::Context;

/// May the login read a group, none where the cluster does not say; waits at most as long as told. A group that nobody has
/// joined has rights too.
pub(in crate::kafka) fn may_read_group(
    client: &BaseConsumer<Context>,
    group: &str,
    timeout: Duration,
) -> Result<Option<bool>, Failed> {
    let Ok(group) = CString::new(group) else {
        let code = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_INVALID_GROUP_ID;
        return Err(Failed { code, words: String::new() });
    };
    let mut groups = [group.as_ptr()];
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    // SAFETY: the name outlives the call that copies it. An option that cannot be set answers with an error, which is
    // destroyed.
    unsafe {
        let ask = |options: *mut _, queue| {
            let refused = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
            if !refused.is_null() {
                sys::rd_kafka_error_destroy(refused);
            }
            sys::rd_kafka_DescribeConsumerGroups(handle(client), groups.as_mut_ptr(), groups.len(), options, queue);
        };
        administer(client, operation, None, timeout, ask, |event| readable(event))
    }
}

/// # Safety
/// The event is the answer to a question for one group and its rights.
unsafe fn readable(event: NonNull<sys::rd_kafka_event_t>) -> Result<Option<bool>, Failed> {
    // SAFETY: as the caller promises; all that is read belongs to the event, and is copied. Where rights are not told there
    // is no list of them.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.as_ptr());
        let mut count = 0;
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        if count == 0 {
            return Ok(None);
        }
        let error = sys::rd_kafka_ConsumerGroupDescription_error(*groups);
        if !error.is_null() && sys::rd_kafka_error_code(error) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            let words = text(sys::rd_kafka_error_string(error));
            return Err(Failed { code: sys::rd_kafka_error_code(error), words });
        }
        let rights = sys::rd_kafka_ConsumerGroupDescription_authorized_operations(*groups, &mut count);
        if rights.is_null() {
            return Ok(None);
        }
        let reads = sys::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ;
        Ok(Some(std::slice::from_raw_parts(rights, count).contains(&reads)))
    }
}
