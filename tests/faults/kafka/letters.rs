//! Dead letters in a topic: each of them there once, for readers of what is committed, whatever dies.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tableflow_store::KillPoint;

use super::broker::Broker;
use super::secured::{LOGIN, PASSWORD, Secured};
use super::{KafkaTopic, security};
use crate::product::{PATIENCE, Product, wait_until};

const SIGKILL: i32 = 9;

/// From the manifest that decides the letters to the commit of the first table behind them.
const AROUND: [KillPoint; 6] = [
    KillPoint::EpochAfter,
    KillPoint::LettersBefore,
    KillPoint::LettersSent,
    KillPoint::LettersAfter,
    KillPoint::CatalogSwapBefore,
    KillPoint::CatalogSwapAfter,
];

/// A point is passed so often at most by one `sync`.
const PASSES_MAX: u32 = 20;

type Place = (u64, u64);

/// A record as it was sent.
#[derive(Clone, Debug, PartialEq)]
struct Sent {
    key: Option<String>,
    value: String,
    header: Option<String>,
}

/// A table whose dead letters go to a topic too.
pub struct Letters {
    pub source: KafkaTopic,
    letters: KafkaTopic,
    bad: BTreeMap<Place, Sent>,
    /// Letters that were taken out of the topic.
    deleted: usize,
}

impl Letters {
    fn new() -> Self {
        let topic = Self::of(KafkaTopic::new(2, &json!({})));
        topic.enable(&["--retention-ms", "1"]);
        topic
    }

    /// Not yet a table.
    pub fn of(source: KafkaTopic) -> Self {
        let name = format!("{}.dlq", source.topic);
        let product = source.product.beside(&name);
        let letters = KafkaTopic { servers: source.servers.clone(), topic: name, product };
        source.produce(4);
        Letters { source, letters, bad: BTreeMap::new(), deleted: 0 }
    }

    /// Which records are bad does not depend on the partition that is read first.
    pub fn enable(&self, further: &[&str]) {
        let enable = ["enable", &self.source.topic, "--table", "t", "--columns", "id BIGINT"];
        let enable = [&enable[..], &["--commit-interval", "50ms", "--error-handling", "LOG"]].concat();
        let topic = ["--dlq-topic", self.letters.topic.as_str()];
        self.source.product.run(&[&enable[..], &topic, further].concat()).good("enable");
    }

    /// So many records, each second one of which fits no row.
    pub fn send(&mut self, count: usize) {
        let mut values = self.source.next(count as u64);
        let mut records = Vec::new();
        for (index, fields) in values.iter_mut().enumerate() {
            if index % 2 == 0 {
                fields.insert("id".to_owned(), json!(format!("no number {}", fields["id"])));
            }
            let key = (index % 4 != 0).then(|| format!("key {index}"));
            records.push(json!({"value": fields, "key": key, "headers": [["of", format!("record {index}")]]}));
        }
        let places = self.source.ask("kafka_produce", json!({"records": records}));
        let places = places.as_array().unwrap().iter().map(|it| (it[0].as_u64().unwrap(), it[1].as_u64().unwrap()));
        for ((place, fields), record) in places.zip(values).zip(&records) {
            if fields["id"].is_string() {
                let text = |value: &Value| value.as_str().map(str::to_owned);
                let value = record["value"].to_string().replace("\":\"", "\": \"");
                let sent = Sent { key: text(&record["key"]), value, header: text(&record["headers"][0][1]) };
                self.bad.insert(place, sent);
            } else {
                self.source.product.note_sent([(place, fields)]);
            }
        }
    }

    fn sync(&self, replay: &str) {
        self.source.product.run(&["sync"]).good(replay);
    }

    /// What a reader of what is committed finds in the topic: records by what their headers say, and these.
    fn found(&self) -> Vec<(Place, Sent, Map<String, Value>)> {
        let records = self.letters.ask("kafka_records", json!({}));
        let record = |record: &Value| {
            let headers = record[4].as_array().unwrap().iter();
            let headers: Map<String, Value> =
                headers.map(|it| (it[0].as_str().unwrap().to_owned(), it[1].clone())).collect();
            let number = |name: &str| headers[name].as_str().unwrap().parse().unwrap();
            let place = (number("tableflow.partition"), number("tableflow.offset"));
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let header = headers.get("of").and_then(text);
            (place, Sent { key: text(&record[2]), value: text(&record[3]).unwrap(), header }, headers)
        };
        records.as_array().unwrap().iter().map(record).collect()
    }

    /// Waits until nothing is left to do; a step of a transaction is given up after half a minute, and done again.
    pub fn come(&self, when: &str) {
        let started = Instant::now();
        let all = [json!(self.source.product.records()), json!(self.bad.len())];
        loop {
            let status = self.source.product.status();
            if [&status["rows_committed"], &status["rows_dead_lettered"]] == [&all[0], &all[1]] {
                return;
            }
            assert!(started.elapsed() < 2 * PATIENCE, "{when}: {status}\n{}", self.source.product.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Rows are in the table, and each other record is in the topic once, as it was.
    pub fn check(&self, replay: &str) {
        self.source.product.check(replay);
        let status = self.source.product.status();
        assert_eq!((&status["rows_dead_lettered"], &status["lag"]), (&json!(self.bad.len()), &json!(0)), "{replay}");
        assert_eq!(status["dlq_topic"], self.letters.topic.as_str(), "{replay}");
        let mut found = self.found();
        found.sort_by_key(|(place, _, _)| *place);
        assert_eq!(found.len() + self.deleted, self.bad.len(), "{replay}: {found:?}");
        assert!(found.windows(2).all(|pair| pair[0].0 != pair[1].0), "{replay}: a letter is twice in the topic");
        for (place, sent, headers) in found {
            assert_eq!(Some(&sent), self.bad.get(&place), "{replay}: {place:?}");
            assert_eq!(headers["tableflow.topic"], self.source.topic.as_str(), "{replay}");
            assert_eq!(
                (&headers["tableflow.reason"], &headers["tableflow.table"]),
                (&json!("type-mismatch"), &json!("bronze.t"))
            );
        }
    }

    fn refuses_an_answer(&self) {
        let refused = self.source.product.run(&["resume", "t", "--letters", "missing"]);
        assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains("does not ask about its dead letters"), "{}", refused.stderr);
    }

    /// The group that the epoch is recorded in.
    fn group(&self) -> String {
        self.found()[0].2["tableflow.job"].as_str().unwrap().to_owned()
    }

    /// Of each table whose letters are there.
    fn forget_the_offsets(&self) {
        let found = self.found();
        let groups: BTreeSet<&str> = found.iter().map(|it| it.2["tableflow.job"].as_str().unwrap()).collect();
        groups.iter().for_each(|group| drop(self.letters.ask("kafka_forget_group", json!({"group": group}))));
    }

    /// Kills a `sync` between the commit of the letters and those of the tables, and makes the broker forget the
    /// offset.
    fn forget_the_offset_of_an_epoch_that_is_in_the_topic_alone(&mut self) -> u64 {
        self.send(6);
        self.sync("the first epoch");
        self.send(6);
        let killed = self.source.product.run_until(&["sync"], "letters-after", 1);
        assert_eq!(killed.status.signal(), Some(SIGKILL), "{}", killed.stderr);
        let newest = self.found().iter().map(|it| it.2["tableflow.epoch"].as_str().unwrap().parse().unwrap()).max();
        self.forget_the_offsets();
        newest.unwrap()
    }
}

#[test]
fn letters_are_in_their_topic_once_whatever_dies_around_its_commit() {
    let mut topic = Letters::new();
    topic.send(6);
    topic.sync("sync");
    topic.check("sync");
    for point in AROUND {
        let mut kills = 0;
        for nth in 1..=PASSES_MAX {
            let replay = format!("TABLEFLOW_KILL_AT={point}:{nth} tableflow sync");
            topic.send(4);
            let killed = topic.source.product.run_until(&["sync"], point.name(), nth);
            if killed.status.signal() != Some(SIGKILL) {
                killed.good(&replay);
                break;
            }
            kills += 1;
            topic.sync(&replay);
        }
        topic.check(&format!("{point}"));
        println!("{point}: {kills} kills of sync with a topic of dead letters");
        assert!(kills > 0, "{point} was not hit");
    }
    let left = topic.source.product.manifests();
    assert!(left.len() < 20, "manifests are collected: {left:?}");
}

#[test]
fn a_bootstrap_server_that_is_gone_for_good_holds_no_letters_up() {
    let source = KafkaTopic::at(format!("127.0.0.1:1,{}", Broker::shared().servers()));
    source.ask("kafka_create", json!({"partitions": 2}));
    let mut topic = Letters::of(source);
    topic.enable(&[]);
    let up = topic.source.product.up();
    for _ in 0..3 {
        topic.send(4);
        topic.come("one of two servers is there");
    }
    let log = topic.source.product.log();
    assert!(!log.contains("opened anew"), "{log}");
    up.signal("TERM");
    assert!(up.wait().success());
    topic.check("one of two servers is there");
}

/// A process that stood still with its transaction open, everything sent: another one finishes its epoch.
#[test]
fn a_process_that_stood_still_in_its_transaction_is_fenced() {
    for point in ["letters-before", "letters-sent", "letters-after"] {
        let replay = format!("TABLEFLOW_KILL_AT={point}:1:stop tableflow sync");
        let mut topic = Letters::new();
        topic.send(6);
        topic.sync("sync");
        topic.send(6);
        let mut zombie = Zombie::start(&topic.source.product, point);
        topic.sync(&replay);
        topic.check(&replay);
        topic.send(4);
        topic.sync(&replay);
        let ended = zombie.go_on();
        assert!(!ended.success(), "{replay}: it finds out");
        topic.check(&format!("{replay}, and went on"));
        topic.sync(&replay);
        topic.check(&format!("{replay}, and everything after it"));
    }
}

struct Zombie(Child);

impl Zombie {
    fn start(product: &Product, point: &str) -> Self {
        let mut command = product.command(&["sync"]);
        command.env("TABLEFLOW_KILL_AT", format!("{point}:1:stop")).stdout(Stdio::null()).stderr(Stdio::null());
        let zombie = Zombie(command.spawn().unwrap());
        let stat = format!("/proc/{}/stat", zombie.0.id());
        wait_until("it stands still", || std::fs::read_to_string(&stat).unwrap().contains(") T "));
        zombie
    }

    fn go_on(&mut self) -> std::process::ExitStatus {
        assert!(Command::new("kill").args(["-s", "CONT", &self.0.id().to_string()]).status().unwrap().success());
        self.0.wait().unwrap()
    }
}

impl Drop for Zombie {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// T2: the header of the newest letters says what the group's offset does not any more.
#[test]
fn an_offset_that_expired_doubles_no_letter() {
    let mut topic = Letters::new();
    topic.forget_the_offset_of_an_epoch_that_is_in_the_topic_alone();
    topic.sync("after the offset was forgotten");
    topic.check("after the offset was forgotten");
    // And once more, with nothing that is due.
    topic.forget_the_offsets();
    topic.send(4);
    topic.sync("after it was forgotten again");
    topic.check("after it was forgotten again");
}

/// T2: where the letters are gone too, nobody knows, and a person is asked.
#[test]
fn a_topic_that_has_forgotten_everything_asks_a_person() {
    for answer in ["sent", "missing"] {
        let mut topic = Letters::new();
        topic.refuses_an_answer();
        let epoch = topic.forget_the_offset_of_an_epoch_that_is_in_the_topic_alone();
        let end = topic.letters.ask("kafka_end_of", json!({"partition": 0})).as_u64().unwrap();
        topic.letters.ask("kafka_delete_records", json!({"partition": 0, "before": end}));
        assert_eq!(topic.source.product.run(&["sync"]).status.code(), Some(3));
        let status = topic.source.product.status();
        let (reason, hint) = (status["reason"].as_str().unwrap(), status["hint"].as_str().unwrap());
        assert!(reason.contains(&format!("dead letters of epoch {epoch} is not known")), "{status}");
        let way = format!("tableflow resume bronze.t --letters {answer}");
        assert!(hint.contains(&format!("`{way}`")), "{status}");
        // Letters that were sent and are deleted since; or, for this test, those that were never there: of the second
        // epoch.
        topic.deleted = if answer == "sent" { topic.bad.len() } else { topic.bad.len() - 3 };
        let way: Vec<&str> = way.split(' ').skip(1).collect();
        topic.source.product.run(&way).good(answer);
        topic.refuses_an_answer();
        topic.send(4);
        topic.sync(answer);
        topic.check(answer);
        topic.refuses_an_answer();
    }
}

/// An offset that somebody set, or that is newer than tables that were restored, is named as that, and is mended.
#[test]
fn a_group_that_says_what_cannot_be_asks_a_person() {
    for answer in ["sent", "missing"] {
        let mut topic = Letters::new();
        topic.send(6);
        topic.sync("before the offset was set");
        let group = topic.group();
        topic.letters.ask("kafka_set_group", json!({"group": group, "partition": 0, "offset": 1_000}));
        topic.send(6);
        assert_eq!(topic.source.product.run(&["sync"]).status.code(), Some(3));
        let status = topic.source.product.status();
        let said = "the topic is said to have the dead letters of epoch 1000, and manifests reach epoch";
        assert!(status["reason"].as_str().unwrap().contains(said), "{status}");
        assert!(status["hint"].as_str().unwrap().contains("`tableflow resume bronze.t --letters sent`"), "{status}");
        topic.source.product.run(&["resume", "t", "--letters", answer]).good(answer);
        topic.sync(answer);
        topic.check(answer);
    }
}

/// One that was made again has none of the letters that the other one had, and gets those that come.
#[test]
fn a_topic_that_was_deleted_is_asked_for_and_goes_on_when_it_is_made_again() {
    let mut topic = Letters::new();
    topic.send(6);
    topic.sync("before it is deleted");
    topic.letters.ask("kafka_delete", json!({}));
    topic.deleted = topic.bad.len();
    topic.send(6);
    let failed = topic.source.product.run(&["sync"]);
    let said = format!("topic {}, which dead letters go to, does not exist", topic.letters.topic);
    assert!(!failed.status.success() && failed.stderr.contains(&said), "{}", failed.stderr);
    topic.letters.ask("kafka_create", json!({"partitions": 3}));
    topic.sync("after it was made again");
    topic.check("after it was made again");
}

/// Each right that is missing is named in `status`, and no record is lost.
#[test]
fn a_topic_that_may_not_be_written_to_stops_its_table_with_the_right_that_is_missing() {
    let secured = Secured::shared();
    let settings = secured.beginning("SASL_SSL")
        + &format!("sasl.mechanism=SCRAM-SHA-512\nsasl.username={LOGIN}\nsasl.password={PASSWORD}\n");
    let source = security::topic(&secured.file("letters.properties", &settings));
    let mut topic = Letters::of(source);
    topic.letters.ask("kafka_create", json!({"partitions": 1}));
    let grant = |of: &KafkaTopic, mut order: Value| {
        order["login"] = json!(LOGIN);
        of.ask("kafka_grant", order);
    };
    for (of, right) in [(&topic.source, "READ"), (&topic.source, "DESCRIBE"), (&topic.letters, "DESCRIBE")] {
        grant(of, json!({"right": right}));
    }
    topic.enable(&[]);
    topic.send(6);
    let status = |topic: &Letters| topic.source.product.status();
    let up = topic.source.product.up();
    let says = |what: &str| {
        let started = Instant::now();
        loop {
            let status = status(&topic);
            let [reason, hint] =
                [&status["reason"], &status["hint"]].map(|it| it.as_str().unwrap_or_default().to_owned());
            if status["status"] == "Degraded" && reason.contains(what) {
                break hint.rsplit_once(' ').unwrap().1.trim_end_matches('`').to_owned();
            }
            assert!(started.elapsed() < PATIENCE, "{what}: {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let doctor = |wrong: &str| {
        let checks = topic.source.product.run(&["doctor", "-o", "json"]).json();
        let name = format!("dead letters in topic {}", topic.letters.topic);
        let all = checks.as_array().or_else(|| checks["checks"].as_array()).unwrap().clone();
        let check =
            all.iter().find(|it| it["check"] == name.as_str()).unwrap_or_else(|| panic!("{checks}")).to_string();
        assert!(check.contains(wrong), "{check}");
    };
    doctor("no right to READ group");
    let named = says("no right to WRITE transactional id");
    assert!(named.starts_with("tableflow-dlq-"), "{named}");
    grant(&topic.letters, json!({"right": "WRITE", "transactional_id": named}));
    assert_eq!(says("no right to READ group"), named);
    grant(&topic.letters, json!({"right": "READ", "group": named}));
    // Where it is gets recorded before any letter is sent.
    says("no right to READ topic");
    grant(&topic.letters, json!({"right": "READ"}));
    says("no right to WRITE topic");
    grant(&topic.letters, json!({"right": "WRITE"}));
    wait_until("the table goes on", || status(&topic)["lag"] == 0);
    doctor("described, and its group read");
    up.signal("TERM");
    assert!(up.wait().success(), "{}", topic.source.product.log());
    topic.check("once every right is there");
}

/// A table takes its topic on later; what cannot be is refused with what to do.
#[test]
fn a_table_is_given_its_topic_later_and_keeps_it() {
    let mut topic = Letters::of(KafkaTopic::new(2, &json!({})));
    let (source, dlq) = (topic.source.topic.clone(), topic.letters.topic.clone());
    let refused = |arguments: &[&str], what: &str| {
        let done = topic.source.product.run(arguments);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {}", done.stderr);
        assert!(done.stderr.contains(what) && done.stderr.contains("hint:"), "{}", done.stderr);
    };
    let enable = ["enable", source.as_str(), "--table", "t", "--commit-interval", "50ms"];
    refused(&[&enable[..], &["--dlq-topic", &dlq]].concat(), "--dlq-topic is for --error-handling LOG");
    refused(&[&enable[..], &["--error-handling", "LOG", "--dlq-topic", &source]].concat(), "its own dead letters");
    let compacted = KafkaTopic::new(1, &json!({"cleanup.policy": "compact"}));
    refused(&[&enable[..], &["--error-handling", "LOG", "--dlq-topic", &compacted.topic]].concat(), "is compacted");
    topic.source.product.run(&[&enable[..], &["--error-handling", "LOG"]].concat()).good("enable");
    refused(&["update", "t", "--dlq-topic", &source], "its own dead letters");
    topic.send(6);
    topic.sync("without a topic");
    let before = topic.bad.len();
    topic.source.product.run(&["update", "t", "--dlq-topic", &dlq]).good("update");
    let made =
        topic.letters.product.run(&["topic", "describe", &dlq, "-o", "json"]).good("describe").json().to_string();
    assert!(made.contains(&(1_048_588 + 16 * 1024).to_string()), "the largest record fits with our headers: {made}");
    topic.deleted = before;
    topic.send(8);
    topic.sync("with a topic");
    topic.check("with a topic");
    let refused = topic.source.product.run(&["update", "t", "--dlq-topic", "another"]);
    assert!(refused.stderr.contains(&format!("go to topic {dlq} already")), "{}", refused.stderr);
    let replayed = topic.source.product.run(&["dlq", "list", "-o", "json"]).good("dlq list").json();
    assert_eq!(replayed[0]["dead_letters"], topic.bad.len(), "{replayed}");

    let embedded = Product::with_topic();
    let refused = embedded.run(&["enable", "t", "--error-handling", "LOG", "--dlq-topic", "t.dlq"]);
    assert!(refused.stderr.contains("embedded topics have no transactions"), "{}", refused.stderr);
}

/// Letters that are small each and many are sent to a topic that takes no large batch.
#[test]
fn many_small_letters_fit_a_topic_of_small_batches() {
    let mut topic = Letters::of(KafkaTopic::new(1, &json!({})));
    topic.letters.ask("kafka_create", json!({"partitions": 1, "config": {"max.message.bytes": "4000"}}));
    topic.enable(&[]);
    topic.send(400);
    topic.sync("many small letters");
    topic.check("many small letters");
}

/// Two tables whose letters would go round are not both enabled.
#[test]
fn letters_that_would_come_back_are_refused() {
    let topic = Letters::of(KafkaTopic::new(1, &json!({})));
    let (source, dlq) = (topic.source.topic.as_str(), topic.letters.topic.as_str());
    topic.enable(&[]);
    let back = ["enable", dlq, "--table", "u", "--error-handling", "LOG", "--format", "json", "--dlq-topic", source];
    let refused = topic.source.product.run(&back);
    assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains(&format!("dead letters of topic {dlq} that go to {source} come back to it")),
        "{}",
        refused.stderr
    );
}

/// Two tables share a topic; each knows its own letters there, also by their headers.
#[test]
fn two_tables_share_a_topic_of_letters() {
    let mut topic = Letters::new();
    let other = ["enable", &topic.source.topic, "--table", "u", "--commit-interval", "50ms", "--error-handling", "LOG"];
    let dlq = ["--dlq-topic", topic.letters.topic.as_str()];
    topic.source.product.run(&[&other[..], &dlq].concat()).good("enable");
    topic.forget_the_offset_of_an_epoch_that_is_in_the_topic_alone();
    topic.sync("two tables");
    topic.send(4);
    topic.sync("two tables");
    let of = |table: &str| topic.found().iter().filter(|it| it.2["tableflow.table"] == table).count();
    assert_eq!([of("bronze.t"), of("bronze.u")], [topic.bad.len(); 2]);
}

/// A topic of several types of records has one place for those that are of none, and the topic of letters beside it.
#[test]
fn letters_of_a_fan_out_are_in_their_topic_once() {
    let topic = Letters::of(KafkaTopic::new(1, &json!({})));
    let send = |values: &[Value]| {
        let records: Vec<Value> = values.iter().map(|value| json!({"value": value})).collect();
        topic.source.ask("kafka_produce", json!({"records": records}));
    };
    let enable =
        ["enable", &topic.source.topic, "--table", "t", "--fan-out", "field:kind", "--commit-interval", "50ms"];
    let letters = ["--error-handling", "LOG", "--dlq-topic", topic.letters.topic.as_str()];
    topic.source.product.run(&[&enable[..], &letters].concat()).good("enable");
    // Those that were there before have no kind.
    let mut expected = 4;
    for round in 0..3 {
        send(&[json!({"kind": format!("k{round}"), "n": 1}), json!({"n": 2}), json!({"kind": "k0", "n": "no number"})]);
        expected += 2;
        topic.sync("a fan-out");
        let mut places: Vec<Place> = topic.found().into_iter().map(|(place, _, _)| place).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!((places.len(), topic.found().len()), (expected, expected), "round {round}");
        assert_eq!(topic.source.product.status()["rows_dead_lettered"], expected, "round {round}");
    }
}
