//! Where partitions begin and end.
//!
//! Owns [`list_offsets`]. What is allocated is freed as rule I1 of the folder has it.

use std::ffi::CString;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use rdkafka_sys as sys;

use super::{Failed, administer, handle, text};
use crate::kafka::said::Context;

/// One of the places that every partition has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kafka) enum Edge {
    Beginning,
    /// Behind the last record that is committed.
    End,
    /// Behind the last record, which a transaction may still take back.
    UncommittedEnd,
}

/// Asks where partitions begin or end; waits at most as long as told. Answers stand in the order asked, each partition
/// once; what is wrong with one is its own answer.
pub(in crate::kafka) fn list_offsets(
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
    // SAFETY: the list outlives the call that copies it, and is destroyed here (I1); a place added to it is part of it.
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
            // So it is said when none of the partitions has a leader. Whether their topic is there its description
            // says.
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

/// librdkafka asks each leader by itself, and has no error for the partitions of one that did not answer: their offsets
/// are none.
fn known(offset: i64, partition: i32) -> Result<i64, Failed> {
    if offset >= 0 {
        return Ok(offset);
    }
    let code = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TRANSPORT;
    Err(Failed { code, words: format!("the leader of partition {partition} did not answer") })
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
