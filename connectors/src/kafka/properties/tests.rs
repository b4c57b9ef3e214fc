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
            &[("ssl.ca.location", "/ca.pem"), ("ssl.certificate.location", "/k.pem"), ("ssl.key.location", "/k.pem")],
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
    let cases: [(Pairs, &str, &str); 13] = [
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
