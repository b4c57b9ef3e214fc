//! What people call a client's settings.
//!
//! Owns [`Properties`]: Java's names, or librdkafka's own, become one set of librdkafka's.
//! - I1: a name that is neither is refused, with the nearest that is; one that a Java client alone needs is passed over.
//! - I2: what exactly once rests on cannot be set to something else.
//! - I3: nothing is sent in the clear to another machine unless `security.protocol` says so.
//! - I4: no value is ever printed: a password may be in any of them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use tableflow_model::{Error, Result};

/// Java's name, and librdkafka's.
const TRANSLATED: [(&str, &str); 22] = [
    ("sasl.mechanism", "sasl.mechanisms"),
    ("sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.token.endpoint.url"),
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
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("client.rack", "client.rack"),
    ("client.dns.lookup", "client.dns.lookup"),
    ("fetch.min.bytes", "fetch.min.bytes"),
    ("fetch.max.bytes", "fetch.max.bytes"),
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("compression.type", "compression.type"),
];

/// Names that mean the same in both, or librdkafka's alone.
const TAKEN: [&str; 27] = [
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
    "sasl.oauthbearer.extensions",
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
];

/// Understood here, and made into others.
const JAAS: &str = "sasl.jaas.config";
const STORES: [&str; 6] = [
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.truststore.password",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.keystore.password",
];

/// Ours to set, and the one value that may be said anyway.
const OURS: [(&str, &str); 7] = [
    ("isolation.level", "read_committed"),
    ("enable.auto.commit", "false"),
    ("auto.offset.reset", "none"),
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("group.id", ""),
    ("transactional.id", ""),
];

/// For Java's own clients: they change nothing here.
const OF_JAVA: [&str; 12] = [
    "key.serializer",
    "value.serializer",
    "key.deserializer",
    "value.deserializer",
    "sasl.login.callback.handler.class",
    "sasl.client.callback.handler.class",
    "interceptor.classes",
    "metric.reporters",
    "partitioner.class",
    "max.poll.records",
    "max.poll.interval.ms",
    "session.timeout.ms",
];

/// Below it two names have little in common.
const SIMILARITY_MIN: f64 = 0.85;

/// A client's settings, under librdkafka's names.
#[derive(Clone, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

/// I4.
impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Properties {
    /// Settings as people wrote them.
    pub fn new(written: &BTreeMap<String, String>) -> Result<Self> {
        let mut found = BTreeMap::new();
        for (name, value) in written {
            take(name, value.trim(), written, &mut found)?;
        }
        check_stores(written)?;
        if !found.contains_key("bootstrap.servers") {
            return Err(Error::usage("the settings of Kafka name no cluster")
                .with_hint("set \"bootstrap.servers\" = \"host:9092\" in [kafka]"));
        }
        check_security(&found)?;
        Ok(Properties(found))
    }

    /// The lines of a `client.properties` file, by Java's rules as far as such files use them.
    pub fn read_file(path: &Path) -> Result<BTreeMap<String, String>> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::usage(format!("the file of Kafka's settings, {}, cannot be read", path.display()))
                .with_source(error)
                .with_hint("`properties_file` in [kafka] names it")
        })?;
        Ok(parse_file(&text))
    }

    pub fn bootstrap_servers(&self) -> &str {
        self.0.get("bootstrap.servers").map(String::as_str).unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn take(
    name: &str,
    value: &str,
    written: &BTreeMap<String, String>,
    found: &mut BTreeMap<String, String>,
) -> Result<()> {
    let mut set = |name: &str, value: &str| {
        found.insert(name.to_owned(), value.to_owned());
    };
    if let Some((_, expected)) = OURS.iter().find(|(known, _)| *known == name) {
        return check_ours(name, value, expected);
    }
    if name == JAAS {
        return jaas(value, found);
    }
    match name {
        "ssl.truststore.location" => set("ssl.ca.location", value),
        "ssl.keystore.location" if store_type(written, "keystore") == Some("PEM") => {
            set("ssl.certificate.location", value);
            set("ssl.key.location", value);
        }
        "ssl.keystore.location" => set(name, value),
        "ssl.keystore.password" if store_type(written, "keystore") != Some("PEM") => set(name, value),
        // Java says "no check" by the empty text.
        "ssl.endpoint.identification.algorithm" if value.is_empty() => set(name, "none"),
        "client.dns.lookup" if value == "default" => set(name, "use_all_dns_ips"),
        _ if STORES.contains(&name) || OF_JAVA.contains(&name) => {}
        _ => match TRANSLATED.iter().find(|(java, _)| *java == name) {
            Some((_, ours)) => set(ours, value),
            None if TAKEN.contains(&name) => set(name, value),
            None => return Err(unknown(name)),
        },
    }
    Ok(())
}

/// I2.
fn check_ours(name: &str, value: &str, expected: &str) -> Result<()> {
    if value == expected || (name == "auto.offset.reset" && value == "error") || (name == "acks" && value == "-1") {
        return Ok(());
    }
    let hint = match name {
        "auto.offset.reset" => "where a new table starts is said by `enable --from earliest|latest`",
        "group.id" => "positions are in the tables; the groups that lag tools see are named after them",
        _ => "leave it out",
    };
    Err(Error::usage(format!("{name} of [kafka] cannot be set"))
        .with_detail("exactly once rests on it")
        .with_hint(hint))
}

fn unknown(name: &str) -> Error {
    let known = TAKEN.iter().chain(TRANSLATED.iter().map(|(java, _)| java)).chain(&STORES).chain([&JAAS]);
    let ranked = known.map(|known| (strsim::jaro_winkler(name, known), *known)).max_by(|a, b| a.0.total_cmp(&b.0));
    let error = Error::usage(format!("[kafka] sets {name}, which is not a setting of a Kafka client"));
    match ranked {
        Some((similarity, near)) if similarity >= SIMILARITY_MIN => error.with_hint(format!("did you mean {near}?")),
        _ => error.with_hint("Java's names of client settings are understood, and librdkafka's"),
    }
}

/// PEM, PKCS12 or JKS, where it is said.
fn store_type<'a>(written: &'a BTreeMap<String, String>, store: &str) -> Option<&'a str> {
    written.get(&format!("ssl.{store}.type")).map(|value| value.trim())
}

fn check_stores(written: &BTreeMap<String, String>) -> Result<()> {
    let has = |store: &str| written.contains_key(&format!("ssl.{store}.location"));
    if has("truststore") && store_type(written, "truststore").is_some_and(|kind| kind != "PEM") {
        return Err(Error::usage("ssl.truststore.location of [kafka] is not a PEM file").with_hint(
            "write the certificates of its authorities as PEM (`keytool -exportcert -rfc`), name that file, and set \
             ssl.truststore.type to PEM",
        ));
    }
    if has("keystore") && store_type(written, "keystore").is_some_and(|kind| !matches!(kind, "PEM" | "PKCS12")) {
        return Err(Error::usage("ssl.keystore.location of [kafka] is a Java keystore").with_hint(
            "make it PKCS12 (`keytool -importkeystore -deststoretype PKCS12`) and set ssl.keystore.type to PKCS12",
        ));
    }
    Ok(())
}

/// I3.
fn check_security(found: &BTreeMap<String, String>) -> Result<()> {
    let servers = found.get("bootstrap.servers").map(String::as_str).unwrap_or_default();
    if found.contains_key("security.protocol") || servers.split(',').all(is_loopback) {
        return Ok(());
    }
    Err(Error::usage("[kafka] does not say how to speak to a cluster on another machine")
        .with_detail(format!("bootstrap.servers is {servers}"))
        .with_hint("set \"security.protocol\" to SASL_SSL or SSL, or to PLAINTEXT if nobody else is on that network"))
}

fn is_loopback(server: &str) -> bool {
    let host = server.trim().rsplit_once(':').map_or(server.trim(), |(host, _)| host);
    matches!(host, "localhost" | "[::1]") || host.starts_with("127.")
}

/// `some.LoginModule required name="value" ..;`: the module says which of librdkafka's settings the options are.
fn jaas(text: &str, found: &mut BTreeMap<String, String>) -> Result<()> {
    let malformed = || {
        Error::usage("sasl.jaas.config of [kafka] cannot be understood").with_hint(
            "it looks like `org.apache.kafka.common.security.plain.PlainLoginModule required username=\"..\" \
             password=\"..\";`; sasl.username and sasl.password say the same",
        )
    };
    let module = text.split_whitespace().next().unwrap_or_default();
    let options = jaas_options(text).ok_or_else(malformed)?;
    let names: &[(&str, &str)] = match module.rsplit('.').next().unwrap_or_default() {
        "PlainLoginModule" | "ScramLoginModule" => &[("username", "sasl.username"), ("password", "sasl.password")],
        "OAuthBearerLoginModule" => &[
            ("clientId", "sasl.oauthbearer.client.id"),
            ("clientSecret", "sasl.oauthbearer.client.secret"),
            ("scope", "sasl.oauthbearer.scope"),
        ],
        _ => return Err(malformed()),
    };
    let extensions: Vec<String> = options
        .iter()
        .filter_map(|(name, value)| Some(format!("{}={value}", name.strip_prefix("extension_")?)))
        .collect();
    for (name, value) in &options {
        if let Some((_, ours)) = names.iter().find(|(java, _)| java == name) {
            found.insert((*ours).to_owned(), value.clone());
        } else if !name.starts_with("extension_") {
            return Err(malformed().with_detail(format!("the module has no option {name}")));
        }
    }
    if names.len() > 2 {
        found.insert("sasl.oauthbearer.method".to_owned(), "oidc".to_owned());
        if !extensions.is_empty() {
            found.insert("sasl.oauthbearer.extensions".to_owned(), extensions.join(","));
        }
    }
    Ok(())
}

/// Names and values of a login module's options; values may be quoted, with `\"` inside.
fn jaas_options(text: &str) -> Option<Vec<(String, String)>> {
    let (_, mut rest) = text.split_once(" required ").or_else(|| text.split_once(" requisite "))?;
    let mut options = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() || rest == ";" {
            return Some(options);
        }
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted_value(quoted)?,
            None => {
                let end = after.find(|letter: char| letter.is_whitespace() || letter == ';').unwrap_or(after.len());
                let (value, left) = after.split_at_checked(end)?;
                (value.to_owned(), left)
            }
        };
        options.push((name.trim().to_owned(), value));
        rest = left;
    }
}

/// Up to the closing quote, and what follows it.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

/// `name=value` or `name: value` a line; `#` and `!` begin comments, a `\` at the end joins the next line.
fn parse_file(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut joined = String::new();
    for line in text.lines() {
        let line = line.trim_start();
        if joined.is_empty() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        match line.strip_suffix('\\') {
            Some(begun) => joined.push_str(begun),
            None => {
                joined.push_str(line);
                let whole = std::mem::take(&mut joined);
                let (name, value) = whole.split_once(['=', ':']).unwrap_or((&whole, ""));
                found.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = &'static [(&'static str, &'static str)];

    fn written(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn translated(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut pairs = pairs.to_vec();
        pairs.push(("bootstrap.servers", "127.0.0.1:9092"));
        let mut found = Properties::new(&written(&pairs)).unwrap().0;
        found.remove("bootstrap.servers");
        found
    }

    #[test]
    fn javas_names_become_librdkafkas() {
        let cases: [(Pairs, Pairs); 8] = [
            (
                &[("sasl.mechanism", "PLAIN"), ("fetch.max.wait.ms", "9")],
                &[("sasl.mechanisms", "PLAIN"), ("fetch.wait.max.ms", "9")],
            ),
            (
                &[(
                    JAAS,
                    "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"a b\" password=\"p\\\"=;\";",
                )],
                &[("sasl.username", "a b"), ("sasl.password", "p\"=;")],
            ),
            (
                &[(JAAS, "x.PlainLoginModule required username=u password=p;")],
                &[("sasl.username", "u"), ("sasl.password", "p")],
            ),
            (
                &[(
                    JAAS,
                    "x.OAuthBearerLoginModule required clientId='c' clientSecret=\"s\" scope=\"r w\" extension_pool=\"1\" ;",
                )],
                &[
                    ("sasl.oauthbearer.client.id", "'c'"),
                    ("sasl.oauthbearer.client.secret", "s"),
                    ("sasl.oauthbearer.extensions", "pool=1"),
                    ("sasl.oauthbearer.method", "oidc"),
                    ("sasl.oauthbearer.scope", "r w"),
                ],
            ),
            (
                &[
                    ("ssl.truststore.location", "/ca.pem"),
                    ("ssl.truststore.type", "PEM"),
                    ("ssl.keystore.location", "/k.pem"),
                    ("ssl.keystore.type", "PEM"),
                ],
                &[
                    ("ssl.ca.location", "/ca.pem"),
                    ("ssl.certificate.location", "/k.pem"),
                    ("ssl.key.location", "/k.pem"),
                ],
            ),
            (
                &[("ssl.keystore.location", "/k.p12"), ("ssl.keystore.password", "x")],
                &[("ssl.keystore.location", "/k.p12"), ("ssl.keystore.password", "x")],
            ),
            (&[("ssl.endpoint.identification.algorithm", "")], &[("ssl.endpoint.identification.algorithm", "none")]),
            (&[("key.deserializer", "x"), ("isolation.level", "read_committed"), ("acks", "-1")], &[]),
        ];
        for (given, expected) in cases {
            assert_eq!(translated(given), written(expected));
        }
    }

    #[test]
    fn i1_i2_i3_what_is_refused_says_what_to_do() {
        let cases: [(Pairs, &str, &str); 9] = [
            (&[], "name no cluster", "bootstrap.servers"),
            (&[("bootstrap.server", "127.0.0.1:1")], "sets bootstrap.server,", "did you mean bootstrap.servers?"),
            (&[("bootstrap.servers", "kafka:9092")], "another machine", "security.protocol"),
            (&[("bootstrap.servers", "127.0.0.1:1,kafka:2")], "another machine", "security.protocol"),
            (&[("isolation.level", "read_uncommitted")], "cannot be set", "leave it out"),
            (&[("auto.offset.reset", "earliest")], "cannot be set", "enable --from"),
            (&[(JAAS, "x.Krb5LoginModule required a=b;")], "cannot be understood", "PlainLoginModule"),
            (&[("ssl.truststore.location", "x.jks"), ("ssl.truststore.type", "JKS")], "not a PEM file", "keytool"),
            (&[("ssl.keystore.location", "x.jks"), ("ssl.keystore.type", "JKS")], "Java keystore", "PKCS12"),
        ];
        for (given, message, hint) in cases {
            let error = Properties::new(&written(given)).unwrap_err();
            assert!(error.message().contains(message), "{given:?}: {error}");
            assert!(error.hint().unwrap().contains(hint), "{given:?}: {:?}", error.hint());
        }
        for servers in ["kafka:9092", "[::1]:9092,localhost:1"] {
            let protocol = if servers.starts_with('k') { "PLAINTEXT" } else { "plaintext" };
            Properties::new(&written(&[("bootstrap.servers", servers), ("security.protocol", protocol)])).unwrap();
        }
    }

    #[test]
    fn i4_no_value_is_printed() {
        let properties =
            Properties::new(&written(&[("bootstrap.servers", "localhost:1"), ("sasl.password", "hunter2")]));
        let text = format!("{properties:?}");
        assert!(text.contains("sasl.password") && !text.contains("hunter2"), "{text}");
        let error = Properties::new(&written(&[(JAAS, "x.PlainLoginModule required password=\"hunter2")])).unwrap_err();
        assert!(!error.report().contains("hunter2"), "{}", error.report());
    }

    #[test]
    fn a_file_of_properties_is_read_as_java_does() {
        let text = "# cluster\n! old\nbootstrap.servers = a:1,\\\n  b:2\nsasl.mechanism:PLAIN\n\nempty=\n  ssl.key.password = x=y \n";
        let expected = written(&[
            ("bootstrap.servers", "a:1,b:2"),
            ("sasl.mechanism", "PLAIN"),
            ("empty", ""),
            ("ssl.key.password", "x=y"),
        ]);
        assert_eq!(parse_file(text), expected);
    }
}
