//! The names of clients' settings, and what becomes of each.
//!
//! Owns the lists, and [`unknown`]: what a misspelt name was meant to be.

use std::collections::BTreeMap;

use tableflow_model::Error;

/// Java's name, and librdkafka's.
pub(super) const TRANSLATED: [(&str, &str); 23] = [
    ("sasl.mechanism", "sasl.mechanisms"),
    ("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.id"),
    ("sasl.oauthbearer.client.credentials.client.secret", "sasl.oauthbearer.client.secret"),
    ("ssl.truststore.certificates", "ssl.ca.pem"),
    ("ssl.keystore.certificate.chain", "ssl.certificate.pem"),
    ("ssl.keystore.key", "ssl.key.pem"),
    ("ssl.cipher.suites", "ssl.cipher.suites"),
    ("request.timeout.ms", "socket.timeout.ms"),
    ("socket.connection.setup.timeout.ms", "socket.connection.setup.timeout.ms"),
    ("connections.max.idle.ms", "connections.max.idle.ms"),
    ("reconnect.backoff.ms", "reconnect.backoff.ms"),
    ("reconnect.backoff.max.ms", "reconnect.backoff.max.ms"),
    ("retry.backoff.ms", "retry.backoff.ms"),
    ("metadata.max.age.ms", "topic.metadata.refresh.interval.ms"),
    (RECEIVE_BUFFER, "socket.receive.buffer.bytes"),
    (SEND_BUFFER, "socket.send.buffer.bytes"),
    ("client.rack", "client.rack"),
    ("client.dns.lookup", "client.dns.lookup"),
    ("fetch.min.bytes", "fetch.min.bytes"),
    ("fetch.max.bytes", "fetch.max.bytes"),
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("compression.type", "compression.type"),
];

/// Names that mean the same in both, or librdkafka's alone.
pub(super) const TAKEN: [&str; 33] = [
    "bootstrap.servers",
    "client.id",
    "security.protocol",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.extensions",
    "https.ca.location",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "socket.timeout.ms",
    "socket.keepalive.enable",
    "broker.address.family",
    "linger.ms",
    "batch.size",
    "message.max.bytes",
    "fetch.wait.max.ms",
    "delivery.timeout.ms",
    "retry.backoff.max.ms",
    "metadata.recovery.strategy",
    "metadata.recovery.rebootstrap.trigger.ms",
    "enable.metrics.push",
];

/// Of which Java says "as the system has it" by -1.
pub(super) const RECEIVE_BUFFER: &str = "receive.buffer.bytes";
pub(super) const SEND_BUFFER: &str = "send.buffer.bytes";

/// Understood, and made into others.
pub(super) const JAAS: &str = "sasl.jaas.config";
pub(super) const STORES: [&str; 6] = [
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.truststore.password",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.keystore.password",
];

/// Where lag is told; no setting of our clients. A file's is that of some consumer, whose place must stay as it is.
pub(super) const GROUP: &str = "group.id";

/// Of the section alone: no client has it.
pub(super) const LOGIN_WITHOUT_TLS: &str = "allow_login_without_tls";

/// Ours to set, and the one value that may be said anyway.
const OURS: [(&str, &str); 7] = [
    ("isolation.level", "read_committed"),
    ("enable.auto.commit", "false"),
    ("auto.offset.reset", "none"),
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("transactional.id", ""),
    ("check.crcs", "true"),
];

/// For Java's own clients, or for members of a group: they change nothing here.
pub(super) const OF_JAVA: [&str; 86] = [
    "key.serializer",
    "value.serializer",
    "key.deserializer",
    "value.deserializer",
    "interceptor.classes",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "auto.include.jmx.reporter",
    "default.api.timeout.ms",
    "metadata.max.idle.ms",
    "retries",
    "security.providers",
    "socket.connection.setup.timeout.max.ms",
    // Consumers, and how they share partitions.
    "allow.auto.create.topics",
    "auto.commit.interval.ms",
    "exclude.internal.topics",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "internal.throw.on.fetch.stable.offset.unsupported",
    "max.poll.interval.ms",
    "max.poll.records",
    "partition.assignment.strategy",
    "session.timeout.ms",
    "share.acknowledgement.mode",
    "share.acquire.mode",
    // Producers: what we send has limits of its own.
    "buffer.memory",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.zstd.level",
    "max.block.ms",
    "max.in.flight.requests.per.connection",
    "max.request.size",
    "partitioner.adaptive.partitioning.enable",
    "partitioner.availability.timeout.ms",
    "partitioner.class",
    "partitioner.ignore.keys",
    "transaction.timeout.ms",
    "transaction.two.phase.commit.enable",
    // Java's TLS.
    "ssl.enabled.protocols",
    "ssl.keymanager.algorithm",
    "ssl.protocol",
    "ssl.provider",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
    // Java's logins.
    "sasl.client.callback.handler.class",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.service.name",
    "sasl.kerberos.ticket.renew.jitter",
    "sasl.kerberos.ticket.renew.window.factor",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.login.connect.timeout.ms",
    "sasl.login.read.timeout.ms",
    "sasl.login.refresh.buffer.seconds",
    "sasl.login.refresh.min.period.seconds",
    "sasl.login.refresh.window.factor",
    "sasl.login.refresh.window.jitter",
    "sasl.login.retry.backoff.max.ms",
    "sasl.login.retry.backoff.ms",
    "sasl.oauthbearer.clock.skew.seconds",
    "sasl.oauthbearer.expected.audience",
    "sasl.oauthbearer.expected.issuer",
    "sasl.oauthbearer.header.urlencode",
    "sasl.oauthbearer.jwks.endpoint.refresh.ms",
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
    "sasl.oauthbearer.jwks.endpoint.url",
    "sasl.oauthbearer.jwt.retriever.class",
    "sasl.oauthbearer.jwt.validator.class",
    "sasl.oauthbearer.scope.claim.name",
    "sasl.oauthbearer.sub.claim.name",
    // Serializers that ask a registry.
    "auto.register.schemas",
    "avro.use.logical.type.converters",
    "key.subject.name.strategy",
    "latest.compatibility.strict",
    "normalize.schemas",
    "specific.avro.reader",
    "use.latest.version",
    "use.schema.id",
    "value.subject.name.strategy",
    "json.value.type",
];

/// The registry's client has them: of no use to one of Kafka's.
const OF_REGISTRIES: [&str; 5] = [
    "schema.registry.url",
    "schema.registry.basic.auth.credentials.source",
    "schema.registry.basic.auth.user.info",
    "basic.auth.credentials.source",
    "basic.auth.user.info",
];
const OF_REGISTRIES_BEGIN: [&str; 3] = ["bearer.auth.", "schema.registry.bearer.auth.", "schema.registry.ssl."];

/// Names whose values are no secret, and say where to look.
pub(super) const SHOWN: [&str; 9] = [
    "bootstrap.servers",
    "security.protocol",
    "sasl.mechanisms",
    "sasl.username",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.endpoint.identification.algorithm",
];

/// Below it two names have little in common.
const SIMILARITY_MIN: f64 = 0.85;

pub(super) fn is_ours(name: &str) -> bool {
    OURS.iter().any(|(ours, _)| *ours == name)
}

/// Does it say what is so anyway?
pub(super) fn is_our_value(name: &str, value: &str) -> bool {
    let says = |ours: &str, expected: &str| ours == name && value.eq_ignore_ascii_case(expected);
    OURS.iter().any(|(ours, expected)| says(ours, expected)) || says("auto.offset.reset", "error") || says("acks", "-1")
}

pub(super) fn is_of_a_registry(name: &str) -> bool {
    OF_REGISTRIES.contains(&name) || OF_REGISTRIES_BEGIN.iter().any(|begin| name.starts_with(begin))
}

/// What a file of a client's has beside what is taken from it: names that a section replaces are not passed over.
pub(super) fn passed_over(file: &BTreeMap<String, String>, section: &BTreeMap<String, String>) -> Vec<String> {
    let is_other = |name: &str, value: &str| name == GROUP || (is_ours(name) && !is_our_value(name, value.trim()));
    let found = file.iter().filter(|(name, value)| is_other(name, value) && !section.contains_key(*name));
    found.map(|(name, _)| name.clone()).collect()
}

pub(super) fn unknown(name: &str) -> Error {
    let (translated, ours) = (TRANSLATED.iter().map(|(java, _)| java), OURS.iter().map(|(ours, _)| ours));
    let lists = [&TAKEN[..], &STORES, &OF_JAVA, &OF_REGISTRIES, &[JAAS, GROUP, LOGIN_WITHOUT_TLS]];
    let known = lists.into_iter().flatten().chain(translated).chain(ours);
    let ranked = known.map(|known| (strsim::jaro_winkler(name, known), *known)).max_by(|a, b| a.0.total_cmp(&b.0));
    let error = Error::usage(format!("[kafka] sets {name}, which is not a setting of a Kafka client"));
    match ranked {
        Some((similarity, near)) if similarity >= SIMILARITY_MIN => error.with_hint(format!("did you mean {near}?")),
        _ => error.with_hint("Java's names of client settings are understood, and librdkafka's"),
    }
}
