//! Logins, certificates and rights: each that clients use, each as it goes wrong, and what becomes of the table.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::secured::{
    Authority, CLIENT_SECRET, LOGIN, PASSWORD, SHORT, STORE_PASSWORD, Secured, Time, under_another_name,
};
use super::{KafkaTopic, fresh_name};
use crate::product::{Done, Product, wait_until};

const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

/// What is wrong is told before a question has waited in vain for its answer.
const TOLD_WITHIN: Duration = Duration::from_secs(9);

/// A topic of the secured broker, which a client's settings lead to.
pub fn topic(properties: &Path) -> KafkaTopic {
    let topic = fresh_name();
    let product = Product::on_kafka_by(properties, &topic);
    let topic = KafkaTopic { servers: Secured::shared().broker.servers(), topic, product };
    topic.ask("kafka_create", json!({"partitions": 2}));
    topic
}

impl KafkaTopic {
    fn grant(&self, login: &str, right: &str) {
        self.ask("kafka_grant", json!({"login": login, "right": right}));
    }

    fn revoke(&self, login: &str, right: &str) {
        self.ask("kafka_revoke", json!({"login": login, "right": right}));
    }
}

/// Each way in, as a file that Java's clients take.
fn ways(secured: &Secured, of: &str) -> Vec<(&'static str, &'static str, String)> {
    let (sasl, ssl) = (secured.beginning("SASL_SSL"), secured.beginning("SSL"));
    let scram =
        |number| format!("{sasl}sasl.mechanism=SCRAM-SHA-{number}\nsasl.username={LOGIN}\nsasl.password={PASSWORD}\n");
    let store = secured.file(&format!("{of}-store.pem"), &secured.authority.store("certified", Time::Now));
    let (certificate, key) = secured.authority.issue("certified", Time::Now);
    let (certificate, key) =
        (secured.file(&format!("{of}-alone.pem"), &certificate), secured.file(&format!("{of}-key.pem"), &key));
    vec![
        (
            "PLAIN",
            LOGIN,
            format!(
                "{sasl}sasl.mechanism=PLAIN\nsasl.jaas.config={PLAIN} required \\\n  username=\"{LOGIN}\" password=\"{PASSWORD}\";\n"
            ),
        ),
        ("SCRAM-SHA-256", LOGIN, scram("256")),
        ("SCRAM-SHA-512", LOGIN, scram("512")),
        (
            "OAUTHBEARER",
            "tokens",
            format!(
                "{sasl}sasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.token.endpoint.url={}\n\
                 sasl.jaas.config=x.OAuthBearerLoginModule required clientId=\"tokens\" clientSecret=\"{CLIENT_SECRET}\";\n",
                secured.tokens.url
            ),
        ),
        (
            "a PEM store",
            "CN=certified",
            format!("{ssl}ssl.keystore.type=PEM\nssl.keystore.location={}\n", store.display()),
        ),
        (
            "a PKCS12 store",
            "CN=certified",
            format!(
                "{ssl}ssl.keystore.type=PKCS12\nssl.keystore.location={}\nssl.keystore.password={STORE_PASSWORD}\n",
                secured.pkcs12(&format!("{of}-store.p12"), &certificate, &key).display()
            ),
        ),
        (
            "a certificate and its key",
            "CN=certified",
            format!("{ssl}ssl.certificate.location={}\nssl.key.location={}\n", certificate.display(), key.display()),
        ),
    ]
}

#[test]
fn every_login_reads_a_topic_into_a_table() {
    let secured = Secured::shared();
    for (number, (way, login, properties)) in ways(secured, "ways").into_iter().enumerate() {
        let topic = topic(&secured.file(&format!("way-{number}.properties"), &properties));
        topic.grant(login, "READ");
        topic.produce(20);
        topic.product.enable();
        topic.product.sync_and_check(way);
        let produced = topic.run_with_input(&["produce", &topic.topic], "{\"id\":1}\n");
        assert!(produced.stderr.contains("no right to WRITE"), "{way}: {}", produced.stderr);
        assert!(produced.stderr.contains("--operation WRITE"), "{way}: {}", produced.stderr);
    }
}

/// librdkafka asks again after ten seconds: that is later than anybody waits.
#[test]
fn a_token_endpoint_that_fails_now_and_then_fails_nobody() {
    let secured = Secured::shared();
    let (_, login, properties) = ways(secured, "flaky").swap_remove(3);
    let topic = topic(&secured.file("flaky.properties", &properties));
    topic.grant(login, "READ");
    topic.produce(5);
    topic.product.enable();
    secured.file("flaky.properties", &properties.replace(&secured.tokens.url, &secured.flaky_tokens.url));
    for round in 0..3 {
        topic.produce(5);
        topic.product.sync_and_check(&format!("a token endpoint that fails now and then, round {round}"));
    }
}

#[test]
fn a_token_that_ends_is_renewed_while_a_table_runs() {
    let secured = Secured::shared();
    let (_, login, properties) = ways(secured, "short").swap_remove(3);
    let endpoint = &secured.short_tokens;
    let topic = topic(&secured.file("short.properties", &properties.replace(&secured.tokens.url, &endpoint.url)));
    topic.grant(login, "READ");
    topic.produce(5);
    topic.product.enable();
    let up = topic.product.up();
    let in_step = |what: &str| {
        wait_until(what, || topic.product.status()["rows_committed"] == topic.product.records());
    };
    in_step("the first token");
    let (asked, started) = (endpoint.asked(), Instant::now());
    // The broker ends a session whose token has ended.
    while started.elapsed() < 4 * SHORT {
        topic.produce(5);
        in_step("rows come with each token");
        assert_ne!(topic.product.status()["status"], "Degraded", "{}", topic.product.log());
        std::thread::sleep(SHORT / 6);
    }
    assert!(endpoint.asked() >= asked + 4, "{asked} before, {} behind", endpoint.asked());
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
    assert_eq!(topic.product.log().matches("WARN").count(), 0, "{}", topic.product.log());
    topic.product.check("tokens that ended");
}

/// What is wrong, in the file's lines; what the error names.
type Fault = (&'static str, String, Vec<&'static str>);

fn faults(secured: &Secured, of: &str) -> Vec<Fault> {
    [faults_of_logins(secured), faults_of_certificates(secured, of)].concat()
}

fn faults_of_logins(secured: &Secured) -> Vec<Fault> {
    let sasl = secured.beginning("SASL_SSL");
    let wrong = "sasl.mechanism=SCRAM-SHA-512\nsasl.username=alice\nsasl.password=canary-wrong\n";
    let tokens = |url: &str, secret: &str| {
        format!(
            "{sasl}sasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.token.endpoint.url={url}\n\
             sasl.oauthbearer.client.id=tokens\nsasl.oauthbearer.client.secret={secret}\n"
        )
    };
    vec![
        ("a wrong password", format!("{sasl}{wrong}"), vec!["refused the login", "sasl.username, sasl.password"]),
        (
            "a wrong password in Java's words",
            format!(
                "{sasl}sasl.mechanism=PLAIN\nsasl.jaas.config={PLAIN} required username=\"x\" password=\"canary-wrong\";\n"
            ),
            vec!["refused the login", "check sasl.jaas.config"],
        ),
        ("no way to log in", sasl.clone(), vec!["sasl.mechanism", "SCRAM-SHA-512"]),
        (
            "a wrong client secret",
            tokens(&secured.tokens.url, "canary-wrong"),
            vec!["no token", "sasl.oauthbearer.client.secret"],
        ),
        (
            "no token endpoint",
            tokens("http://127.0.0.1:1/x", CLIENT_SECRET),
            vec!["sasl.oauthbearer.token.endpoint.url"],
        ),
        (
            "tokens in the clear",
            tokens("http://tokens.example/x", CLIENT_SECRET),
            vec!["sasl.oauthbearer.token.endpoint.url", "https"],
        ),
    ]
}

/// These settings, with a server whose certificate does not have its name.
fn under_another_name_in(properties: &str) -> String {
    let server = Secured::shared().broker.servers_of("SASL_SSL");
    properties.replace(&server, &under_another_name(&server))
}

fn faults_of_certificates(secured: &Secured, of: &str) -> Vec<Fault> {
    let (sasl, ssl) = (secured.beginning("SASL_SSL"), secured.beginning("SSL"));
    let others = Authority::new();
    let trusted = |path: &PathBuf, text: &str| text.replace(&secured.trusted(), path.to_str().unwrap());
    let other = secured.file(&format!("{of}-other.pem"), &others.pem());
    let login = format!("sasl.mechanism=PLAIN\nsasl.username={LOGIN}\nsasl.password={PASSWORD}\n");
    let shown = |name: &str, text: String| {
        format!(
            "{ssl}ssl.keystore.type=PEM\nssl.keystore.location={}\n",
            secured.file(&format!("{of}-{name}"), &text).display()
        )
    };
    let (certificate, key) = secured.authority.issue("certified", Time::Now);
    let (certificate, key) =
        (secured.file(&format!("{of}-p12.pem"), &certificate), secured.file(&format!("{of}-p12-key.pem"), &key));
    let jks = secured.file(&format!("{of}.jks"), "");
    std::fs::write(&jks, [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]).unwrap();
    vec![
        ("another authority", trusted(&other, &sasl) + &login, vec!["over TLS", "check ssl.truststore.location"]),
        (
            "a certificate of another host",
            under_another_name_in(&sasl) + &login,
            vec!["over TLS", "which must name the hosts of bootstrap.servers", "127.0.0.2"],
        ),
        (
            "an authority in a Java keystore",
            trusted(&jks, &sasl).replace("type=PEM", "type=JKS") + &login,
            vec!["ssl.truststore.location", "keytool -exportcert"],
        ),
        (
            "a certificate of others",
            shown("others.pem", others.store("certified", Time::Now)),
            vec!["ssl.keystore.location"],
        ),
        (
            "a certificate that has ended",
            shown("ended.pem", secured.authority.store("certified", Time::Past)),
            vec!["ssl.keystore.location", "ended on 2021-01-01"],
        ),
        (
            "a PKCS12 store with another password",
            format!(
                "{ssl}ssl.keystore.type=PKCS12\nssl.keystore.location={}\nssl.keystore.password=canary-wrong\n",
                secured.pkcs12(&format!("{of}-other.p12"), &certificate, &key).display()
            ),
            vec!["ssl.keystore"],
        ),
        (
            "an authority in a PKCS12 store",
            trusted(&secured.pkcs12(&format!("{of}-trust.p12"), &certificate, &key), &sasl) + &login,
            vec!["ssl.truststore.location", "keytool -exportcert"],
        ),
        ("no certificate", ssl.clone(), vec!["wants a certificate", "ssl.keystore.location"]),
        ("no TLS", sasl.replace("=SASL_SSL", "=SASL_PLAINTEXT") + &login, vec!["check security.protocol"]),
        (
            "no login",
            ssl.replace(&secured.broker.servers_of("SSL"), &secured.broker.servers_of("SASL_SSL")),
            vec!["check security.protocol"],
        ),
    ]
}

#[test]
fn what_is_wrong_is_told_by_its_name_and_at_once() {
    let secured = Secured::shared();
    std::thread::scope(|scope| {
        for (number, (what, properties, words)) in faults(secured, "faults").into_iter().enumerate() {
            scope.spawn(move || {
                let file = secured.file(&format!("fault-{number}.properties"), &properties);
                let (product, started) = (Product::on_kafka_by(&file, "x"), Instant::now());
                let told = product.run(&["topic", "describe", "x"]);
                assert!(!told.status.success(), "{what}");
                assert!(words.iter().all(|word| told.stderr.contains(word)), "{what}: {}", told.stderr);
                assert!(told.stderr.contains("hint:") && !told.stderr.contains("canary"), "{what}: {}", told.stderr);
                assert!(started.elapsed() < TOLD_WITHIN, "{what}: {:?}", started.elapsed());
            });
        }
    });
}

/// A login of its own, by SCRAM-SHA-512, as a file of settings.
fn settings_of(secured: &Secured, login: &str, password: &str) -> String {
    let beginning = secured.beginning("SASL_SSL");
    format!("{beginning}sasl.mechanism=SCRAM-SHA-512\nsasl.username={login}\nsasl.password={password}\n")
}

#[test]
fn a_table_goes_on_when_the_login_or_a_right_is_mended() {
    let (secured, login, password) = (Secured::shared(), "bob", "canary-password-of-bob");
    let file = secured.file("mended.properties", &settings_of(secured, login, password));
    let topic = topic(&file);
    topic.ask("kafka_password", json!({"login": login, "password": password}));
    for right in ["DESCRIBE", "READ"] {
        topic.grant(login, right);
    }
    topic.produce(10);
    topic.product.enable();
    std::fs::write(&file, settings_of(secured, login, "canary-wrong")).unwrap();
    let up = topic.product.up();
    let told = |words: &str| {
        wait_until(words, || {
            let status = topic.product.status();
            status["status"] == "Degraded" && format!("{}{}", status["reason"], status["hint"]).contains(words)
        });
    };
    told("sasl.password");
    std::fs::write(&file, settings_of(secured, login, password)).unwrap();
    let in_step = |what: &str| {
        wait_until(what, || topic.product.status()["rows_committed"] == topic.product.records());
    };
    in_step("the password was mended");
    topic.revoke(login, "READ");
    topic.produce(10);
    told(&format!("--allow-principal User:{login} --operation READ --topic {}", topic.topic));
    topic.grant(login, "READ");
    in_step("READ was granted");
    topic.revoke(login, "READ");
    topic.revoke(login, "DESCRIBE");
    topic.produce(10);
    told(&format!("--operation DESCRIBE --topic {}", topic.topic));
    topic.grant(login, "READ");
    in_step("all was granted");
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
    topic.product.check("a login and rights that were mended");
}

#[test]
fn certificates_that_are_replaced_are_used_without_a_restart() {
    let secured = Secured::shared();
    let store = secured.file("replaced.pem", &secured.authority.store("first", Time::Now));
    let properties = format!("{}ssl.keystore.location={}\n", secured.beginning("SSL"), store.display());
    let topic = topic(&secured.file("replaced.properties", &properties));
    for name in ["CN=first", "CN=second"] {
        topic.grant(name, "READ");
    }
    topic.produce(20);
    topic.product.enable();
    let up = topic.product.up();
    let in_step = |what: &str| {
        wait_until(what, || topic.product.status()["rows_committed"] == topic.product.records());
    };
    in_step("the first certificate");
    // A file that is being written is none yet.
    std::fs::write(&store, "-----BEGIN CERTIFICATE-----\nhalf of it").unwrap();
    wait_until("half a file is refused", || topic.product.log().contains("are not taken"));
    topic.produce(20);
    std::fs::write(&store, secured.authority.store("second", Time::Now)).unwrap();
    // Rows come by the second one alone.
    topic.revoke("CN=first", "READ");
    for round in 0..3 {
        topic.produce(20);
        in_step(&format!("the second certificate, round {round}"));
    }
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.product.log());
    topic.product.check("certificates that were replaced");
}

/// I9: the word is part of every password, secret, token and key here.
const CANARY: &str = "canary";

#[test]
fn i9_secrets_are_in_no_output_and_on_no_disk() {
    let secured = Secured::shared();
    let (_, login, properties) = ways(secured, "i9").swap_remove(3);
    let topic = topic(&secured.file("i9.properties", &properties));
    topic.grant(login, "READ");
    topic.produce(5);
    let mut outputs = Vec::new();
    let mut run = |product: &Product, words: &[&str], settings: &[(&str, &str)]| {
        let done = product.command(words).envs(settings.iter().copied()).output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap();
        // Shown by a test that fails.
        println!("{words:?}: {text}");
        outputs.push((words.join(" "), text));
        done.status.success()
    };
    let debug = [("RUST_LOG", "debug")];
    let product = &topic.product;
    assert!(run(product, &["-vv", "enable", &topic.topic, "--table", "t", "-o", "json"], &[]));
    assert!(run(product, &["-vv", "sync"], &[]));
    assert!(run(product, &["sync"], &debug));
    for words in [&["status", "-o", "json"][..], &["describe", "t", "-o", "json"], &["history", "t"]] {
        assert!(run(product, words, &[]));
    }
    // A registry's login and its address, right or wrong; a wrong setting beside a secret; what doctor says of it all.
    let registry = [("TABLEFLOW__REGISTRY__URL", "http://who:canary-of-url@127.0.0.1:1")];
    let login = [
        ("TABLEFLOW__REGISTRY__URL", "http://127.0.0.1:1"),
        ("TABLEFLOW__REGISTRY__BASIC__AUTH__USER__INFO", "who:canary-of-login"),
    ];
    let token = [
        ("TABLEFLOW__REGISTRY__URL", "http://127.0.0.1:1"),
        ("TABLEFLOW__REGISTRY__BEARER__AUTH__TOKEN", "canary-of-token"),
    ];
    for settings in [&registry[..], &login, &token] {
        assert!(!run(product, &["schema", "list", "-vv"], settings));
        assert!(!run(product, &["doctor", "-vv", "-o", "json"], settings));
    }
    let wrong = [("TABLEFLOW__KAFKA__SASL__JAAS__CONFIG", "x.PlainLoginModule required password=\"canary-open")];
    assert!(!run(product, &["sync", "-vv"], &wrong));
    let faults =
        faults(secured, "i9").into_iter().enumerate().filter(|(_, (_, properties, _))| properties.contains(CANARY));
    for (number, (_, properties, _)) in faults {
        let product = Product::on_kafka_by(&secured.file(&format!("i9-{number}.properties"), &properties), "x");
        assert!(!run(&product, &["-vv", "topic", "describe", "x"], &debug));
    }
    let up = product.up();
    wait_until("the service runs", || product.status()["status"] == "Syncing");
    outputs.push(("/metrics".to_owned(), up.get("/metrics").1));
    up.signal("TERM");
    assert!(up.wait().success());
    outputs.push(("the service's log".to_owned(), product.log()));
    let written = files_below(product.directory());
    assert!(written.len() > 5, "{written:?}");
    outputs.extend(written.into_iter().map(|path| {
        (path.display().to_string(), String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned())
    }));
    for (what, text) in outputs {
        let line = text.lines().find(|line| line.contains(CANARY));
        assert_eq!(line, None, "{what}");
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

impl KafkaTopic {
    /// What doctor says: how it ended, and its checks.
    fn doctor(&self, settings: &[(&str, &str)]) -> (Option<i32>, Vec<Value>) {
        let started = Instant::now();
        let done = self.product.command(&["doctor", "-o", "json"]).envs(settings.iter().copied()).output().unwrap();
        assert!(started.elapsed() < 3 * TOLD_WITHIN, "{:?}", started.elapsed());
        let checks = serde_json::from_slice(&done.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
        });
        (done.status.code(), checks)
    }

    /// The one check that failed, of these it is.
    fn doctor_finds(&self, settings: &[(&str, &str)], check: &str, words: &[&str]) {
        let (code, checks) = self.doctor(settings);
        assert_eq!(code, Some(3), "{checks:#?}");
        let failed = |it: &&Value| it["outcome"] == "failed" && it["check"].as_str().unwrap().starts_with(check);
        let found = checks.iter().find(failed).unwrap_or_else(|| panic!("{check}: {checks:#?}")).to_string();
        assert!(words.iter().all(|word| found.contains(word)), "{check}: {found}");
    }
}

#[test]
fn doctor_says_that_all_is_well_and_names_what_is_not() {
    let (secured, login) = (Secured::shared(), "CN=examined");
    let store = secured.file("examined.pem", &secured.authority.store("examined", Time::Now));
    let properties = format!("{}ssl.keystore.location={}\n", secured.beginning("SSL"), store.display());
    let topic = topic(&secured.file("examined.properties", &properties));
    for right in ["READ", "DESCRIBE_CONFIGS"] {
        topic.grant(login, right);
    }
    topic.produce(10);
    topic.product.enable();
    topic.product.run(&["sync"]).good("sync");
    let (code, checks) = topic.doctor(&[]);
    assert_eq!(code, Some(0), "{checks:#?}");
    let names: Vec<_> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    for name in ["broker ", "certificate ", "data directory ", "disk", "clock", "registry ", "table bronze.t", "topic "]
    {
        assert!(names.iter().any(|known| known.starts_with(name)), "{name}: {names:?}");
    }
    assert!(checks.iter().all(|check| check["check"] == "disk" || check["outcome"] == "ok"), "{checks:#?}");

    topic.doctor_finds(&[("TABLEFLOW__REGISTRY__URL", "http://127.0.0.1:1")], "registry ", &["127.0.0.1:1", "hint"]);
    let dead = [("TABLEFLOW__KAFKA__BOOTSTRAP__SERVERS", "127.0.0.1:1")];
    topic.doctor_finds(&dead, "broker 127.0.0.1:1", &["refused", "bootstrap.servers"]);
    topic.doctor_finds(&dead, &format!("topic {}", topic.topic), &["bootstrap.servers"]);
    let wrong = secured.file("examined-wrong.properties", &settings_of(secured, "nobody", "canary-wrong"));
    let wrong = [("TABLEFLOW__KAFKA__PROPERTIES_FILE", wrong.to_str().unwrap())];
    topic.doctor_finds(&wrong, "broker ", &["refused the login", "sasl.username, sasl.password"]);
    topic.revoke(login, "READ");
    topic.revoke(login, "DESCRIBE_CONFIGS");
    topic.doctor_finds(&[], &format!("topic {}", topic.topic), &["--operation DESCRIBE --topic"]);
    topic.grant(login, "DESCRIBE");
    topic.doctor_finds(&[], &format!("topic {}", topic.topic), &["--operation READ --topic"]);
}

#[test]
fn doctor_names_the_rights_on_the_group_and_on_settings() {
    let secured = Secured::shared();
    let topic = topic(&secured.file("rights.properties", &settings_of(secured, LOGIN, PASSWORD)));
    let group = [("TABLEFLOW__KAFKA__GROUP__ID", "of-doctor")];
    let grant = |right: &str| topic.ask("kafka_grant", json!({"login": LOGIN, "right": right, "group": group[0].1}));
    topic.grant(LOGIN, "READ");
    topic.produce(10);
    topic.product.enable();
    let of = |name: &str, checks: &[Value]| checks.iter().find(|it| it["check"] == name).cloned().unwrap_or_default();
    // Each table goes on without.
    let (code, checks) = topic.doctor(&[]);
    assert_eq!(code, Some(0), "{checks:#?}");
    assert!(!checks.iter().any(|check| check["check"].as_str().unwrap().starts_with("group")), "{checks:#?}");
    let found = of(&format!("topic {}", topic.topic), &checks);
    let line = format!("--allow-principal User:{LOGIN} --operation DescribeConfigs --topic {}`", topic.topic);
    assert_eq!(found["outcome"], "warning", "{found}");
    assert!(found["hint"].as_str().unwrap().contains(&line), "{found}");
    assert!(found["detail"].as_str().unwrap().contains("no right to DESCRIBE_CONFIGS"), "{found}");
    topic.grant(LOGIN, "DESCRIBE_CONFIGS");
    let words = ["no right to READ", &format!("--allow-principal User:{LOGIN} --operation READ --group of-doctor`")];
    topic.doctor_finds(&group, "group of-doctor", &words);
    grant("DESCRIBE");
    topic.doctor_finds(&group, "group of-doctor", &words);
    grant("READ");
    let (code, checks) = topic.doctor(&group);
    assert_eq!(code, Some(0), "{checks:#?}");
    for name in ["group of-doctor", &format!("topic {}", topic.topic)] {
        assert_eq!(of(name, &checks)["outcome"], "ok", "{checks:#?}");
    }
    assert_eq!(topic.ask("kafka_group", json!({"group": group[0].1}))["places"], json!([]), "nothing was told");
}

#[test]
fn a_server_with_another_name_is_reached_only_where_nobody_looks_and_doctor_says_so() {
    let secured = Secured::shared();
    let properties = under_another_name_in(&settings_of(secured, LOGIN, PASSWORD));
    let topic = topic(&secured.file("unnamed.properties", &properties));
    topic.grant(LOGIN, "READ");
    topic.doctor_finds(&[], "broker 127.0.0.2", &["which must name the hosts of bootstrap.servers"]);
    let (code, checks) = topic.doctor(&[("TABLEFLOW__KAFKA__SSL__ENDPOINT__IDENTIFICATION__ALGORITHM", "")]);
    assert_eq!(code, Some(0), "{checks:#?}");
    let warned = checks.iter().find(|check| check["check"] == "encryption").unwrap();
    assert_eq!(warned["outcome"], "warning", "{warned}");
    assert!(warned["hint"].as_str().unwrap().contains("ssl.endpoint.identification.algorithm"), "{warned}");
}

/// As somebody who may read the data directory, and not write in it.
#[test]
fn doctor_tells_a_data_directory_that_cannot_be_written() {
    let product = Product::with_table();
    let directory = product.directory().to_str().unwrap().to_owned();
    let sh = |script: &str| Command::new("sh").args(["-c", script, "sh", &directory]).output().unwrap().stdout;
    sh("chmod -R a-w \"$1\"");
    let words = ["doctor", "-o", "json"];
    let plain = product.command(&words);
    let mut command = Command::new(plain.get_program());
    if sh("id -u") == b"0\n" {
        // Without the rights by which an administrator writes in what nobody may write in.
        command = Command::new("setpriv");
        command
            .args(["--inh-caps", "-all", "--bounding-set", "-dac_override,-dac_read_search"])
            .arg(plain.get_program());
    }
    let done: Done = command.args(plain.get_args()).current_dir("/").output().unwrap().into();
    sh("chmod -R u+w \"$1\"");
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    let checks = done.json();
    let failed = |check: &&Value| check["outcome"] == "failed";
    let found = checks.as_array().unwrap().iter().find(failed).unwrap();
    assert_eq!(found["check"], format!("data directory {directory}"), "{checks:#}");
    assert!(found["hint"].as_str().unwrap().contains("right"), "{checks:#}");
}
