//! What went wrong with the cluster, in our words.
//!
//! Owns the translation of librdkafka's codes into errors that say what to do.
//! - I1: what may heal by itself is `Unavailable`, and is tried again; a topic that is not there is `NotFound`, and a place
//!   that is not in it `Conflict`: the next look at the topic says more.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tableflow_model::{Error, TopicName};

use super::native::Failed;

/// An error about a topic.
pub(super) fn about_topic(topic: &TopicName, code: Code, words: &str) -> Error {
    let error = match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownTopicId | Code::UnknownPartition => {
            return Error::not_found(format!("topic {topic} does not exist")).with_hint(format!(
                "`tableflow topic create {topic}` makes it, `tableflow topic list` shows what there is"
            ));
        }
        Code::InvalidTopic => {
            return Error::usage(format!("{topic} is no name that a topic of Kafka can have"))
                .with_hint("use letters, digits, '.', '_' and '-', at most 249 of them");
        }
        Code::AutoOffsetReset | Code::OffsetOutOfRange => {
            return Error::conflict(format!("a place in topic {topic} is not there any more")).with_detail(words);
        }
        Code::BadMessage | Code::BadCompression | Code::NotImplemented => {
            Error::unavailable(format!("a batch of topic {topic} cannot be read")).with_hint(
                "it is damaged where the cluster keeps it, or too large when unpacked: reading goes on when another replica \
                 leads or the batch is mended, or is gone and another table is enabled",
            )
        }
        Code::TopicAuthorizationFailed => Error::unavailable(format!("topic {topic} may not be read"))
            .with_hint(format!("the cluster's administrator grants it: READ and DESCRIBE on topic {topic}")),
        _ => return about_cluster(code, words).with_context("topic", topic),
    };
    with_words(error, code, words)
}

/// Whether a failure is the topic's own, and says nothing of the way to the cluster.
pub(super) fn is_of_topic(code: Code) -> bool {
    matches!(code, Code::TopicAuthorizationFailed | Code::BadMessage | Code::BadCompression | Code::NotImplemented)
}

/// An error about the cluster, or the way to it.
pub(super) fn about_cluster(code: Code, words: &str) -> Error {
    let error = match code {
        Code::Authentication | Code::SaslAuthenticationFailed => {
            Error::unavailable("the Kafka cluster refused the login")
                .with_hint("check sasl.mechanism, sasl.username and sasl.password in [kafka]")
        }
        Code::SSL => Error::unavailable("the Kafka cluster could not be reached over TLS")
            .with_hint("check ssl.ca.location and security.protocol in [kafka]"),
        Code::ClusterAuthorizationFailed => Error::unavailable("the Kafka cluster does not allow that")
            .with_hint("the cluster's administrator grants it: the rights are in docs/operations.md"),
        Code::OperationTimedOut | Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve => {
            Error::unavailable("the Kafka cluster does not answer")
                .with_hint("check that it runs, and bootstrap.servers and security.protocol in [kafka]")
        }
        _ => Error::unavailable("the Kafka cluster answered with an error"),
    };
    with_words(error, code, words)
}

fn with_words(error: Error, code: Code, words: &str) -> Error {
    if words.is_empty() { error.with_detail(code.to_string()) } else { error.with_detail(words) }
}

impl Failed {
    pub fn code(&self) -> Code {
        self.code.into()
    }

    pub fn unknown_topic() -> Self {
        let code = rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        Failed { code, words: String::new() }
    }
}

/// The code in an error of the safe crate.
pub(super) fn code_of(error: &KafkaError) -> Code {
    error.rdkafka_error_code().unwrap_or(Code::Unknown)
}
