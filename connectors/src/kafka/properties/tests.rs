//! Settings as people write them, and what becomes of them.

use super::*;

type Pairs = &'static [(&'static str, &'static str)];

fn written(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn translated(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut pairs = pairs.to_vec();
    pairs.push(("bootstrap.servers", "127.0.0.1:9092"));
    let found = Properties::new(&written(&pairs)).unwrap();
    let others = found.iter().filter(|(name, _)| *name != "bootstrap.servers");
    others.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn javas_names_become_librdkafkas() {
    let cases: [(Pairs, Pairs); 9] = [
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
            &[(JAAS, "x.PlainLoginModule  REQUIRED\n username = u password='p\\'\"';")],
            &[("sasl.username", "u"), ("sasl.password", "p'\"")],
        ),
        (
            &[(
                JAAS,
                "x.OAuthBearerLoginModule required clientId='c' clientSecret=\"s\" scope=\"r w\" extension_pool=\"1\" ;",
            )],
            &[
                ("sasl.oauthbearer.client.id", "c"),
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
            &[("ssl.ca.location", "/ca.pem"), ("ssl.certificate.location", "/k.pem"), ("ssl.key.location", "/k.pem")],
        ),
        (
            &[("ssl.keystore.location", "/k.p12"), ("ssl.keystore.password", "x")],
            &[("ssl.keystore.location", "/k.p12"), ("ssl.keystore.password", "x")],
        ),
        (&[("ssl.endpoint.identification.algorithm", "")], &[("ssl.endpoint.identification.algorithm", "none")]),
        (&[("key.deserializer", "x"), ("isolation.level", "read_committed"), ("acks", "-1")], &[]),
        (
            &[("receive.buffer.bytes", "-1"), ("send.buffer.bytes", "9"), ("retry.backoff.max.ms", "9")],
            &[("retry.backoff.max.ms", "9"), ("socket.send.buffer.bytes", "9")],
        ),
    ];
    for (given, expected) in cases {
        assert_eq!(translated(given), written(expected));
    }
}

#[test]
fn i1_i2_i3_what_is_refused_says_what_to_do() {
    let cases: [(Pairs, &str, &str); 18] = [
        (&[], "name no cluster", "bootstrap.servers"),
        (&[("bootstrap.servers", "127.evil.example:1")], "another machine", "security.protocol"),
        (
            &[("bootstrap.servers", "127.0.0.1:1"), ("security.protocol", "sasl_ssl")],
            "does not say how to log in",
            "set sasl.mechanism to one of PLAIN,",
        ),
        (
            &[("bootstrap.servers", "a:1"), ("security.protocol", "SASL_SSL"), ("sasl.mechanism", "GSSAPI")],
            "the login GSSAPI of [kafka]",
            "SCRAM-SHA-512",
        ),
        (&[("sasl.oauthbearer.token.endpoint.url", "http://tokens/x")], "not an https address", "this machine"),
        (&[("bootstrap.server", "127.0.0.1:1")], "sets bootstrap.server,", "did you mean bootstrap.servers?"),
        (&[("bootstrap.servers", "kafka:9092")], "another machine", "security.protocol"),
        (&[("bootstrap.servers", "127.0.0.1:1,kafka:2")], "another machine", "security.protocol"),
        (&[("isolation.level", "read_uncommitted")], "cannot be set", "leave it out"),
        (&[("sesion.timeout.ms", "1")], "sets sesion.timeout.ms,", "did you mean session.timeout.ms?"),
        (&[("schema.registry.url", "http://r")], "the schema registry's", "[registry]"),
        (&[(LOGIN_WITHOUT_TLS, "maybe")], "neither true nor false", "leave it out"),
        (&[("allow_login_without_tsl", "true")], "not a setting", "did you mean allow_login_without_tls?"),
        (&[("bearer.auth.token", "hunter2")], "sets bearer.auth.token,", "[registry]"),
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
    let properties = Properties::new(&written(&[("bootstrap.servers", "localhost:1"), ("sasl.password", "hunter2")]));
    let text = format!("{properties:?}");
    assert!(text.contains("sasl.password") && !text.contains("hunter2"), "{text}");
    let error = Properties::new(&written(&[(JAAS, "x.PlainLoginModule required password=\"hunter2")])).unwrap_err();
    assert!(!error.report().contains("hunter2"), "{}", error.report());
}

#[test]
fn i3_a_login_goes_to_another_machine_over_tls_or_with_a_word_that_says_so() {
    let of = |mechanism: &str, protocol: &str, servers: &str, word: &str| {
        let login = [("security.protocol", protocol), ("sasl.mechanism", mechanism), ("bootstrap.servers", servers)];
        Properties::new(&written(&[&login[..], &[(LOGIN_WITHOUT_TLS, word)]].concat()))
    };
    for mechanism in MECHANISMS {
        for (servers, word) in [("kafka:9092", "false"), ("127.0.0.1:1,10.0.0.1:1", "false")] {
            let report = of(mechanism, "sasl_plaintext", servers, word).unwrap_err().report();
            assert!(report.contains("without TLS") && report.contains(servers), "{report}");
            assert!(report.contains("SASL_SSL") && report.contains("allow_login_without_tls = true"), "{report}");
        }
        for (protocol, servers, word) in [
            ("SASL_SSL", "kafka:9092", "false"),
            ("SASL_PLAINTEXT", "localhost:9092,127.0.0.1:1", "false"),
            ("SASL_PLAINTEXT", "kafka:9092", "true"),
        ] {
            let taken = of(mechanism, protocol, servers, word).unwrap();
            assert!(taken.iter().all(|(name, _)| name != LOGIN_WITHOUT_TLS), "no client has it");
        }
    }
    let file = written(&[("bootstrap.servers", "localhost:1"), (LOGIN_WITHOUT_TLS, "true")]);
    assert!(Properties::over_file(&file, &BTreeMap::new()).is_err(), "a file that others share does not say it");
}

/// As Confluent Cloud gives it to Java's clients; what stands in braces is filled in by people.
const OF_CONFLUENT_FOR_JAVA: &str = "\
# Required connection configs for Kafka producer, consumer, and admin
bootstrap.servers=pkc-12345.eu-central-1.aws.confluent.cloud:9092
security.protocol=SASL_SSL
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username='{{ CLUSTER_API_KEY }}' password='{{ CLUSTER_API_SECRET }}';
sasl.mechanism=PLAIN
client.dns.lookup=use_all_dns_ips
session.timeout.ms=45000
acks=all
client.id=ccloud-java-client-0001
schema.registry.url=https://psrc-12345.eu-central-1.aws.confluent.cloud
basic.auth.credentials.source=USER_INFO
basic.auth.user.info={{ SR_API_KEY }}:{{ SR_API_SECRET }}
";

/// The same for librdkafka's clients.
const OF_CONFLUENT_FOR_LIBRDKAFKA: &str = "\
bootstrap.servers=pkc-12345.eu-central-1.aws.confluent.cloud:9092
security.protocol=SASL_SSL
sasl.mechanisms=PLAIN
sasl.username={{ CLUSTER_API_KEY }}
sasl.password={{ CLUSTER_API_SECRET }}
session.timeout.ms=45000
acks=all
client.id=ccloud-python-client-0001
client.dns.lookup=use_all_dns_ips
schema.registry.url=https://psrc-12345.eu-central-1.aws.confluent.cloud
basic.auth.credentials.source=USER_INFO
basic.auth.user.info={{ SR_API_KEY }}:{{ SR_API_SECRET }}
";

/// The settings of Apache Kafka's config/consumer.properties and config/producer.properties, and others of Java's clients.
const OF_CONSUMERS: &str = "\
bootstrap.servers=localhost:9092
client.id=test-consumer
isolation.level=read_uncommitted
group.id=test-consumer-group
auto.offset.reset=earliest
partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor
key.deserializer=org.apache.kafka.common.serialization.StringDeserializer
value.deserializer=org.apache.kafka.common.serialization.StringDeserializer
enable.auto.commit=true
auto.commit.interval.ms=5000
session.timeout.ms=30000
heartbeat.interval.ms=10000
max.poll.interval.ms=300000
retry.backoff.ms=100
retry.backoff.max.ms=1000
request.timeout.ms=40000
connections.max.idle.ms=540000
fetch.min.bytes=1
fetch.max.wait.ms=500
fetch.max.bytes=52428800
max.partition.fetch.bytes=1048576
max.poll.records=500
default.api.timeout.ms=60000
group.instance.id=a
group.protocol=classic
ssl.enabled.protocols=TLSv1.2,TLSv1.3
ssl.protocol=TLSv1.3
sasl.login.refresh.window.factor=0.8
auto.include.jmx.reporter=true
exclude.internal.topics=true
";
const OF_PRODUCERS: &str = "\
bootstrap.servers=localhost:9092
compression.type=none
partitioner.class=org.apache.kafka.clients.producer.RoundRobinPartitioner
request.timeout.ms=30000
linger.ms=5
max.block.ms=60000
batch.size=16384
max.request.size=1048576
buffer.memory=33554432
acks=1
retries=2147483647
max.in.flight.requests.per.connection=5
transactional.id=of-somebody
enable.metrics.push=false
";

#[test]
fn i1_i2_i6_files_of_other_clients_are_taken_as_they_are() {
    let of_confluent = |client: &'static str| {
        let login = [("sasl.mechanisms", "PLAIN"), ("sasl.password", "{{ CLUSTER_API_SECRET }}")];
        let rest = [
            ("bootstrap.servers", "pkc-12345.eu-central-1.aws.confluent.cloud:9092"),
            ("client.dns.lookup", "use_all_dns_ips"),
            ("client.id", client),
            ("sasl.username", "{{ CLUSTER_API_KEY }}"),
            ("security.protocol", "SASL_SSL"),
        ];
        written(&[&login[..], &rest].concat())
    };
    let of_consumers = written(&[
        ("bootstrap.servers", "localhost:9092"),
        ("client.id", "test-consumer"),
        ("connections.max.idle.ms", "540000"),
        ("fetch.max.bytes", "52428800"),
        ("fetch.message.max.bytes", "1048576"),
        ("fetch.min.bytes", "1"),
        ("fetch.wait.max.ms", "500"),
        ("retry.backoff.max.ms", "1000"),
        ("retry.backoff.ms", "100"),
        ("socket.timeout.ms", "40000"),
    ]);
    let of_producers = written(&[
        ("batch.size", "16384"),
        ("bootstrap.servers", "localhost:9092"),
        ("compression.type", "none"),
        ("enable.metrics.push", "false"),
        ("linger.ms", "5"),
        ("socket.timeout.ms", "30000"),
    ]);
    let of_a_consumer = ["auto.offset.reset", "enable.auto.commit", "group.id", "isolation.level"];
    let cases: [(&str, BTreeMap<String, String>, &[&str]); 4] = [
        (OF_CONFLUENT_FOR_JAVA, of_confluent("ccloud-java-client-0001"), &[]),
        (OF_CONFLUENT_FOR_LIBRDKAFKA, of_confluent("ccloud-python-client-0001"), &[]),
        (OF_CONSUMERS, of_consumers, &of_a_consumer),
        (OF_PRODUCERS, of_producers, &["acks", "transactional.id"]),
    ];
    for (text, expected, passed_over) in cases {
        let file = file::parse(text);
        let found =
            Properties::over_file(&file, &BTreeMap::new()).unwrap_or_else(|it| panic!("{text}: {}", it.report()));
        let taken: BTreeMap<_, _> = found.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(taken, expected);
        assert_eq!(
            (found.passed_over(), found.group()),
            (&passed_over.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()[..], None)
        );
        assert!(Properties::new(&file).is_err(), "the section is ours: {text}");
    }
}

#[test]
fn i1_i2_a_section_stands_over_its_file_and_a_misspelt_name_is_one_in_either() {
    let file = |further: &str| file::parse(&format!("{OF_CONSUMERS}{further}\n"));
    let section = written(&[("group.id", "of-tables"), ("isolation.level", "read_committed"), ("client.id", "c")]);
    let found = Properties::over_file(&file(""), &section).unwrap();
    assert_eq!(found.passed_over(), ["auto.offset.reset", "enable.auto.commit"]);
    assert_eq!(found.group(), Some("of-tables"));
    assert!(found.iter().any(|setting| setting == ("client.id", "c")));
    assert!(found.with_servers("localhost:2").passed_over().is_empty(), "it was said");
    for (wrong, hint) in [
        ("sasl.mechansim=PLAIN", "did you mean sasl.mechanism?"),
        ("isolation.levle=x", "did you mean isolation.level?"),
        ("schema.regsitry.url=x", "did you mean schema.registry.url?"),
        ("heartbeat.intervall.ms=1", "did you mean heartbeat.interval.ms?"),
    ] {
        let error = Properties::over_file(&file(wrong), &section).unwrap_err();
        assert_eq!(error.hint(), Some(hint));
    }
}
