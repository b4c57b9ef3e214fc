//! What went wrong with the cluster, in our words.
//!
//! Owns the translation of librdkafka's codes and words into errors that say what to do.
//! - I1: what may heal by itself is `Unavailable`, and is tried again; a topic that is not there is `NotFound`, and a
//!   place that is not in it `Conflict`: the next look at the topic says more.
//! - I2: a hint names the setting to mend as the person wrote it, or the right to grant with the command that does.

use std::path::Path;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tableflow_model::{Error, TopicName};

use super::certificate::Validity;
use super::native::Failed;
use super::properties::Properties;

/// librdkafka's code, and its words.
pub(super) type Failure = (Code, String);

const DAMAGED: &str = "it is damaged where the cluster keeps it: reading goes on when another replica leads or the batch is \
                       mended, or is gone and another table is enabled";

/// librdkafka bounds what this codec unpacks to, by `receive.message.max.bytes`: 100,000,000, or what `fetch.max.bytes`
/// needs if that is more. Where a batch does not say its size, as those of Java's producers, it tries one three times the
/// one before. It says the same of a batch that is damaged.
const BY_ZSTD: &str = "(codec 0x4)";
const TOO_LARGE_OR_DAMAGED: &str = "it is damaged where the cluster keeps it, or unpacks to more than 33 to 100 MB: a large one is \
                                    read with fetch.max.bytes in [kafka] raised to three times what it unpacks to; a damaged \
                                    one when another replica leads or it is mended, or is gone and another table is enabled";

/// An error about a topic; `right` is what the question needs.
pub(super) fn about_topic(
    properties: &Properties,
    topic: &TopicName,
    right: &str,
    (code, words): (Code, &str),
) -> Error {
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownTopicId | Code::UnknownPartition => {
            Error::not_found(format!("topic {topic} does not exist")).with_hint(format!(
                "`tableflow topic create {topic}` makes it, `tableflow topic list` shows what there is"
            ))
        }
        Code::InvalidTopic => Error::usage(format!("{topic} is no name that a topic of Kafka can have"))
            .with_hint("use letters, digits, '.', '_' and '-', at most 249 of them"),
        Code::AutoOffsetReset | Code::OffsetOutOfRange => {
            Error::conflict(format!("a place in topic {topic} is not there any more")).with_detail(words)
        }
        Code::BadMessage | Code::BadCompression | Code::NotImplemented => {
            Error::unavailable(format!("a batch of topic {topic} cannot be read"))
                .with_detail(with_code(code, words))
                .with_hint(if words.contains(BY_ZSTD) { TOO_LARGE_OR_DAMAGED } else { DAMAGED })
        }
        Code::LogTruncation => Error::data(format!("topic {topic} was cut short, and grew again with other records"))
            .with_detail(format!("the record before the place that was read to has another leader epoch: {words}"))
            .with_hint(format!(
                "an unclean election lost records that the table has; restore the topic, or fill another table from what is \
                 there: `tableflow enable {topic} --table NAME`"
            )),
        Code::TopicAuthorizationFailed => {
            Error::unavailable(format!("the login has no right to {right} topic {topic}"))
                .with_detail(with_code(code, words))
                .with_hint(grant(properties, right, &format!("--topic {topic}")))
        }
        _ => about_cluster(properties, code, words).with_context("topic", topic),
    }
}

/// To see the settings of a topic.
pub(super) const DESCRIBE_CONFIGS: &str = "DESCRIBE_CONFIGS";

/// The command that an administrator needs.
pub(super) fn grant(properties: &Properties, right: &str, resource: &str) -> String {
    let principal = match properties.get("sasl.username") {
        Some(user) if !properties.has_tokens() => format!("User:{user}"),
        _ => "User:..".to_owned(),
    };
    // kafka-acls takes names of one word in any case.
    let right = if right == DESCRIBE_CONFIGS { "DescribeConfigs" } else { right };
    format!(
        "the cluster's administrator grants it: `kafka-acls --add --allow-principal {principal} --operation {right} {resource}`"
    )
}

/// An error about the cluster, or the way to it.
pub(super) fn about_cluster(properties: &Properties, code: Code, words: &str) -> Error {
    let (message, hint) = remedy(properties, code, words);
    let error = Error::unavailable(message).with_detail(with_code(code, words));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// librdkafka's words without its own affairs: how long it was in which state.
fn with_code(code: Code, words: &str) -> String {
    let words = words.split(" (after ").next().unwrap_or(words);
    if words.is_empty() { code.to_string() } else { words.replacen("/bootstrap: ", ": ", 1) }
}

/// A connection that was ended within this time was never of use.
const EARLY_MS: u64 = 1000;

const SILENT: &str = "the Kafka cluster does not answer";
const REFUSED: &str = "the Kafka cluster refused the login";
const NO_TLS: &str = "the Kafka cluster could not be reached over TLS";

/// What happened, and what to mend (I2). The words say more than the code: an alert of TLS comes as a broken
/// connection.
fn remedy(properties: &Properties, code: Code, words: &str) -> (&'static str, Option<String>) {
    let has = |part: &str| words.contains(part);
    let named = |name: &'static str| properties.written_as(name);
    let protocol = || {
        let (name, value) = (named("security.protocol"), properties.protocol());
        Some(format!("check {name} in [kafka]: the listener of bootstrap.servers does not seem to be {value}"))
    };
    if has("OAUTHBEARER token") {
        let names =
            ["sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret"]
                .map(named);
        ("no token for the Kafka cluster could be had", Some(format!("check {} in [kafka]", together(&names))))
    } else if has("Unsupported SASL mechanism") || code == Code::UnsupportedSASLMechanism {
        let hint = format!("set {} in [kafka] to one that the cluster has", named("sasl.mechanisms"));
        ("the Kafka cluster does not know the way of the login", Some(hint))
    } else if has("SASL authentication error") || matches!(code, Code::Authentication | Code::SaslAuthenticationFailed)
    {
        let names = if properties.has_tokens() {
            ["sasl.oauthbearer.client.id", "sasl.oauthbearer.scope"]
        } else {
            ["sasl.username", "sasl.password"]
        };
        (REFUSED, Some(format!("check {} in [kafka]", together(&names.map(named)))))
    } else if has("alert") && has("SSL routines") {
        (REFUSED, Some(client_certificate(properties)))
    } else if has("PLAINTEXT broker listener")
        || has("wrong version number")
        || (has("closed by peer") && ended_early(words))
    {
        (SILENT, protocol())
    } else if has("broker certificate could not be verified") || has("certificate verify failed") {
        (NO_TLS, Some(broker_certificate(properties)))
    } else if code == Code::SSL {
        (NO_TLS, Some(format!("check {} and {} in [kafka]", named("ssl.ca.location"), named("security.protocol"))))
    } else if code == Code::ClusterAuthorizationFailed {
        let hint = "the cluster's administrator grants it: the rights are in docs/operations.md";
        ("the Kafka cluster does not allow that", Some(hint.to_owned()))
    } else if is_vague(code) {
        let hint = match properties.get("security.protocol") {
            Some(_) => {
                "check that it runs, and bootstrap.servers in [kafka]; an address in the detail that is not among \
                        those is one that the cluster itself advertises"
                    .to_owned()
            }
            None => "check that it runs, and bootstrap.servers and security.protocol in [kafka]".to_owned(),
        };
        (SILENT, Some(hint))
    } else {
        ("the Kafka cluster answered with an error", None)
    }
}

/// librdkafka says of a failure: `(after 5ms in state UP)`.
fn ended_early(words: &str) -> bool {
    let time = words.split_once(" (after ").and_then(|(_, rest)| rest.split_once("ms in state "));
    time.and_then(|(time, _)| time.parse().ok()).is_some_and(|time: u64| time < EARLY_MS)
}

/// A code that says that nothing was heard, not why.
pub(super) fn is_vague(code: Code) -> bool {
    matches!(
        code,
        Code::OperationTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::TimedOutQueue
            | Code::MessageTimedOut
            | Code::Authentication
            | Code::SSL
    )
}

/// The cluster turned away who shows this certificate, or none.
fn client_certificate(properties: &Properties) -> String {
    match properties.certificate_settings().first() {
        Some((name, path)) => match Validity::of_file(Path::new(path)) {
            Some(validity) if validity.has_ended => {
                format!("renew the certificate that {name} in [kafka] names: {path} ended on {}", validity.ends_on)
            }
            _ => format!(
                "check {name} in [kafka]: the certificate in {path} may be of an authority that the cluster does not trust"
            ),
        },
        None => "the listener wants a certificate of the client: set ssl.keystore.location and ssl.keystore.type to PEM (or \
                 ssl.certificate.location and ssl.key.location) in [kafka]"
            .to_owned(),
    }
}

fn broker_certificate(properties: &Properties) -> String {
    match properties.get("ssl.ca.location") {
        Some(path) => format!(
            "check {} in [kafka]: {path} has to have the authority of the brokers' certificates, which must name the hosts of \
             bootstrap.servers and be in their time",
            properties.written_as("ssl.ca.location")
        ),
        None => {
            "set ssl.truststore.location (and ssl.truststore.type to PEM) in [kafka] to the authority of the brokers' \
                 certificates: it is not one that this machine trusts, or they do not name the hosts of bootstrap.servers"
                .to_owned()
        }
    }
}

/// Names, those that are one setting once.
fn together(names: &[&str]) -> String {
    let mut names = names.to_vec();
    names.dedup();
    names.join(", ")
}

impl Failed {
    pub fn code(&self) -> Code {
        self.code.into()
    }

    /// Who was asked does not lead, or nobody does yet.
    pub fn is_of_a_leader(&self) -> bool {
        matches!(
            self.code(),
            Code::NotLeaderForPartition | Code::LeaderNotAvailable | Code::UnknownLeaderEpoch | Code::FencedLeaderEpoch
        )
    }

    /// It broke, or could not be made.
    pub fn is_of_a_connection(&self) -> bool {
        self.code() == Code::BrokerTransportFailure
    }

    pub fn unknown_topic() -> Self {
        let code = rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        Failed { code, words: String::new() }
    }
}

/// A failure that may be that nobody answered.
pub(super) trait MayBeSilence {
    fn is_silence(&self) -> bool;
}

impl MayBeSilence for Failure {
    fn is_silence(&self) -> bool {
        is_vague(self.0)
    }
}

impl MayBeSilence for Failed {
    fn is_silence(&self) -> bool {
        is_vague(self.code())
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        (failed.code(), failed.words)
    }
}

/// What the safe crate says.
pub(super) fn failure_of(error: &KafkaError) -> Failure {
    (code_of(error), error.to_string())
}

/// The code in an error of the safe crate.
pub(super) fn code_of(error: &KafkaError) -> Code {
    match error {
        // The crate leaves this one out.
        KafkaError::AdminOp(code) => *code,
        error => error.rdkafka_error_code().unwrap_or(Code::Unknown),
    }
}
