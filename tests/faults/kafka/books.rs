//! What was read is visible, put aside or held: in every scrape, while rows come, services and brokers die (I8).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::KafkaTopic;
use super::broker::Broker;
use crate::product::{PATIENCE, Up, wait_until};
use crate::python::Engines;
use crate::scrape::{Books, Scrape};

/// One of three is bad.
const RECORDS: usize = 150;
/// Of each process: enough that some are amid a commit.
const SCRAPES_MIN: u64 = 10;

struct Table {
    topic: KafkaTopic,
    handling: &'static str,
}

impl Table {
    fn new(topic: KafkaTopic, handling: &'static str) -> Self {
        let settings = ["--format", "json", "--commit-interval", "200ms", "--error-handling", handling];
        let name = topic.table();
        let enable = ["enable", &topic.topic, "--table", &name, "--columns", "id BIGINT"];
        topic.product.run(&[&enable[..], &settings].concat()).good("enable");
        Table { topic, handling }
    }

    fn name(&self) -> String {
        format!("bronze.{}", self.topic.table())
    }

    /// Good and bad records in turn; the good ones are rows.
    fn send(&self) {
        let values = self.topic.next(RECORDS as u64);
        let is_bad = |index: usize| index.is_multiple_of(3);
        let record =
            |(index, fields)| if is_bad(index) { json!({"value": "{\"id\":"}) } else { json!({"value": fields}) };
        let records: Vec<Value> = values.iter().enumerate().map(record).collect();
        let places = self.topic.ask("kafka_produce", json!({"records": records}));
        let place = |place: &Value| (place[0].as_u64().unwrap(), place[1].as_u64().unwrap());
        let sent = places.as_array().unwrap().iter().map(place).zip(values).enumerate();
        self.topic.product.note_sent(sent.filter(|(index, _)| !is_bad(*index)).map(|(_, row)| row));
    }

    /// Everything that was sent is a row, or put aside as it is to be.
    fn is_settled(&self, parts: usize) -> bool {
        let rows = self.topic.product.records();
        assert_eq!(rows, parts * RECORDS * 2 / 3, "of {}", self.topic.topic);
        let status = self.topic.product.run(&["status", &self.topic.table(), "-o", "json"]).json();
        let aside = if self.handling == "SKIP" { (rows / 2, 0) } else { (0, rows / 2) };
        status["rows_committed"] == rows
            && (&status["rows_skipped"], &status["rows_dead_lettered"]) == (&json!(aside.0), &json!(aside.1))
    }
}

/// Scrapes as long as asked, at least [`SCRAPES_MIN`] times, and checks each.
fn watch<'t>(up: &Up, names: &'t [&'t str], mut goes_on: impl FnMut(&Books<'t>) -> bool) -> Books<'t> {
    let engines = Engines::on(std::path::Path::new(""));
    let (mut books, started) = (Books::of(names), Instant::now());
    while goes_on(&books) || books.scrapes < SCRAPES_MIN {
        assert!(started.elapsed() < 4 * PATIENCE, "watched in vain: {books:?}");
        books.check(&Scrape::of(&up.get("/metrics").1, &engines));
    }
    books
}

/// The producer ends where the watching does, also where that fails.
struct SetWhenDropped<'f>(&'f AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The service is killed while records come, and the broker behind it later; each scrape is of one answer.
#[test]
fn i8_the_books_of_tables_on_kafka_balance_at_every_scrape_whoever_dies() {
    let broker = Broker::start();
    let first = KafkaTopic::of(&broker, 2, &json!({}));
    let second = first.beside(3);
    let tables = [Table::new(first, "LOG"), Table::new(second, "SKIP")];
    let names = tables.each_ref().map(Table::name);
    let names = names.each_ref().map(String::as_str);
    let send = || tables.iter().for_each(Table::send);
    let product = &tables[0].topic.product;
    let (enough, parts) = (AtomicBool::new(false), AtomicUsize::new(0));
    let up = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !enough.load(Ordering::Acquire) {
                send();
                parts.fetch_add(1, Ordering::Release);
            }
        });
        let _enough = SetWhenDropped(&enough);
        // Of each process it is seen that records are held, and that some are not any more.
        let amid = |books: &Books<'_>| books.seen_buffered.len() == names.len() && books.all_moved();
        let watched = || {
            let up = product.up();
            println!("{} scrapes of a service", watch(&up, &names, |books| !amid(books)).scrapes);
            up
        };
        watched().kill();
        watched().kill();
        watched()
    });
    send();
    broker.kill();
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| {
            sleep(Duration::from_millis(500));
            broker.start_again();
        });
        let books = watch(&up, &names, |_| !starting.is_finished());
        println!("{} scrapes while the broker is away", books.scrapes);
    });
    send();
    wait_until("everything is somewhere", || {
        watch(&up, &names, |_| false);
        tables.iter().all(|table| table.is_settled(parts.load(Ordering::Acquire) + 2))
    });
    up.signal("TERM");
    assert!(up.wait().success(), "{}", product.log());
    for table in &tables {
        table.topic.product.check_in(&[&table.topic.table()], &format!("books of {}", table.topic.topic));
    }
}
