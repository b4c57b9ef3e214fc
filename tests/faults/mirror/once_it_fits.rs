//! When a version counts as followed, and with which definition a replay goes on.

use tableflow::home::Home;
use tableflow::pipeline::replay::replay;
use tableflow_model::TableName;

use super::*;

async fn home_of(table: &Table) -> (Home, TableName) {
    let home = Home::open(table.product.directory()).await.unwrap();
    (home, TableName::new("bronze", "t").unwrap())
}

/// The version that the table says it follows.
async fn followed(table: &Table) -> u64 {
    let (home, name) = home_of(table).await;
    let metadata = home.catalog.load_table(&name).await.unwrap().metadata;
    let mirror: Value = serde_json::from_str(&metadata.properties()["tableflow.mirror"]).unwrap();
    mirror["followed"].as_u64().unwrap()
}

/// It makes wider what parts the table, so what it drops is not dropped either; once another engine has made that wider, both
/// are done.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_does_not_fit_is_not_followed_until_it_does() {
    for words in [&["--partition-by", "b"][..], &["--partition-by", "b", "--error-handling", "LOG"]] {
        let table = Table::new(words);
        table.register(&[ID, B, C]);
        table.produce(&[framed(2, &[whole(2), 2, whole(12), 2, whole(13)])]);
        table.sync("the second version");
        table.register(&[ID, r#"{"name":"b","type":["null","long"],"default":null}"#]);
        table.produce(&[framed(3, &[whole(3), 2, whole(14)])]);
        for again in 0..2 {
            let stopped = table.product.run(&["sync"]);
            assert!(stopped.stderr.contains("partitions the table would become wider: b"), "{}", stopped.stderr);
            assert_eq!(table.product.status()["status"], "Suspended");
            assert_eq!(
                (followed(&table).await, table.names()),
                (2, vec!["b".into(), "c".into(), "id".into()]),
                "{again}"
            );
            table.product.run(&["resume", "t"]).good("resume");
        }
        table.ask("alter", json!({"changes": [["widen", "b", "long"]]}));
        table.sync("it fits");
        assert_eq!((followed(&table).await, table.names()), (3, vec!["b".into(), "id".into()]));
        table.check(&[(1, json!(11)), (2, json!(12)), (3, json!(14))], "it fits");
    }
}

/// What a table is sorted by cannot go, until another engine sorts it by something else.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_drops_what_a_table_needs_is_followed_once_it_does_not() {
    let table = Table::new(&["--sort-by", "b"]);
    table.register(&[ID]);
    table.produce(&[second(2, 2)]);
    for again in 0..2 {
        let stopped = table.product.run(&["sync"]);
        assert!(stopped.stderr.contains("column b cannot be dropped: it sorts the table"), "{}", stopped.stderr);
        assert_eq!((followed(&table).await, table.names()), (1, vec!["b".into(), "id".into()]), "{again}");
        table.product.run(&["resume", "t"]).good("resume");
    }
    table.ask("alter", json!({"changes": [["sort", "id"]]}));
    table.sync("it is sorted by another one");
    assert_eq!((followed(&table).await, table.names()), (2, vec!["id".into()]));
    table.check(&[(1, Value::Null), (2, Value::Null)], "it is sorted by another one");
}

/// What nobody wants dropped any more stays, though the replay was begun with an older definition.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_begins_again_has_the_newest_definition() {
    let table = Table::new(&["--error-handling", "LOG"]);
    // Nobody has registered the second and the third version yet, each of which drops something.
    table.produce(&[framed(2, &[whole(2), 2, whole(12)]), second(3, 3)]);
    table.sync("two letters");
    table.register(&[ID, C]);
    table.register(&[ID]);
    let (home, name) = home_of(&table).await;
    let old = home.definitions().get(&name).await.unwrap();
    home.definitions().change(&name, |it| it.evolution = Evolution::Additive).await.unwrap();
    let replayed = replay(&home, &old, None, TableMemory::new(1 << 30)).await.unwrap();
    assert_eq!((replayed.rows, replayed.left()), (2, 0));
    assert_eq!(table.names(), ["c", "id"], "of two drops the second one is not taken");
    table.check(&[(1, Value::Null), (2, Value::Null), (3, Value::Null)], "a replay with an old definition");
    assert_eq!(table.product.status()["rows_dead_lettered"], 0);
}
