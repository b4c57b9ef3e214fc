//! What topics are: their ids and partitions.
//!
//! Owns [`describe_topics`]. What is allocated is freed as rule I1 of the folder has it.

use std::ffi::{CString, c_char};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use rdkafka_sys as sys;
use tableflow_model::TopicId;
use uuid::Uuid;

use super::{Failed, administer, handle, text};
use crate::kafka::said::Context;

/// A topic as its cluster describes it.
#[derive(Clone, Debug)]
pub(in crate::kafka) struct Description {
    pub id: TopicId,
    pub partitions: Vec<i32>,
}

/// Topics by name, each described, or why it is not.
pub(in crate::kafka) type Descriptions = Vec<(String, Result<Description, Failed>)>;

/// Asks the cluster what topics are; waits at most as long as told.
pub(in crate::kafka) fn describe_topics(
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
    // SAFETY: the collection outlives the call that copies it, and is destroyed here (I1).
    unsafe {
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names_c.as_mut_ptr(), names_c.len());
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let ask = |options: *mut _, queue| sys::rd_kafka_DescribeTopics(handle(client), topics, options, queue);
        let described = administer(client, operation, None, timeout, ask, |event| descriptions(event));
        sys::rd_kafka_TopicCollection_destroy(topics);
        described
    }
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
