//! The upkeep of a service beside a table that it cannot load.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tableflow::config::{Scheduled, UpkeepConfig};
use tableflow::growth::MUCH;
use tableflow::home::Home;
use tableflow::pipeline::budget::TableMemory;
use tableflow::upkeep::service::{Counts, Upkeep};
use tableflow_model::TableName;
use tokio_util::sync::CancellationToken;

use super::product::{PATIENCE, Product};

/// Long enough that a loop without a pause shows.
const WHILE: Duration = Duration::from_secs(5);

/// A look at a table that cannot be loaded takes a handful, every two seconds; one at the other table some dozens.
const REQUESTS_MAX: u64 = 300;

fn table(name: &str) -> TableName {
    TableName::new("bronze", name).unwrap()
}

/// Two tables, each with a record.
fn with_tables() -> Product {
    let product = Product::without_topic("bad");
    for name in ["bad", "good"] {
        product.run(&["topic", "create", name]).good("topic create");
        let lines = product.directory().join("lines");
        fs::write(&lines, "{\"id\":1}\n").unwrap();
        product.run(&["produce", name, lines.to_str().unwrap()]).good("produce");
        // Its time does not come again while the test runs.
        product.run(&["enable", name, "--compact-every", "1h"]).good("enable");
    }
    product.run(&["sync"]).good("sync");
    product
}

/// Whoever loads the table finds its metadata gone.
async fn with_broken(product: &Product, name: &str) -> Home {
    let before = Home::open(product.directory()).await.unwrap();
    let location = before.catalog.load_table(&table(name)).await.unwrap().metadata_location;
    fs::remove_file(Path::new(location.trim_start_matches("file://"))).unwrap();
    // That one remembers what it read.
    let home = Home::open(product.directory()).await.unwrap();
    assert!(home.catalog.load_table(&table(name)).await.is_err());
    home
}

async fn wait_for(what: &str, good: impl Fn() -> bool) {
    let start = Instant::now();
    while !good() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// It has grown more than all others, so it is always the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_loaded_neither_keeps_upkeep_busy_nor_starves_others() {
    let product = with_tables();
    let home = with_broken(&product, "bad").await;
    let every = || Scheduled { every: "1s".parse().unwrap() };
    let config = UpkeepConfig { enabled: true, compact: every(), vacuum: Scheduled { every: "1h".parse().unwrap() } };
    let (counts, memory) = (Arc::new(Counts::default()), TableMemory::new(1 << 30));
    let stop = CancellationToken::new();
    let upkeep = tokio::spawn(Upkeep::new(home.clone(), config, counts, memory).run(stop.clone()));

    let care = |name: &str| home.growth.care_of(&table(name));
    wait_for("the first look", || care("good").is_some_and(|care| care.looked_at.is_some())).await;
    home.growth.saw(&table("bad"), 0);
    home.growth.saw(&table("bad"), 100 * MUCH);
    let before = home.store.meter().requests();
    for grown in 2..4 {
        home.growth.saw(&table("good"), grown * 2 * MUCH);
        let is_kept = || care("good").is_some_and(|care| care.files_since < MUCH);
        assert!(!is_kept());
        wait_for("the other table is looked after", is_kept).await;
    }
    tokio::time::sleep(WHILE).await;
    let requests = home.store.meter().requests() - before;
    assert!(requests < REQUESTS_MAX, "{requests} requests");
    assert_eq!(care("bad").unwrap().looked_at, None, "nobody could");
    stop.cancel();
    tokio::time::timeout(PATIENCE, upkeep).await.expect("it ends").unwrap();
}
