//! What a scrape of many tables holds.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::pipeline::account::Counts;
use crate::pipeline::progress::{Content, Progress};

/// A table that has every line there may be, but for the reasons.
fn busy(partition: u64) -> Arc<Progress> {
    let progress = Progress::default();
    let counts = Counts { rows: 10 + partition, ..Counts::default() };
    progress.holds(counts, Some(Millis(1_000)), 64);
    let positions = tableflow_model::protocol::Positions::default();
    progress.ends_at(positions.clone());
    progress.committed(&Content { rows: 10, bytes: vec![1 << 20] }, Duration::from_millis(3), Millis(4_000));
    progress.settled(&positions, Millis(4_000));
    progress.saw(&TableName::new("bronze", &format!("t{partition}")).unwrap(), Extent::default());
    progress.lag_records.store(partition, Ordering::Relaxed);
    Arc::new(progress)
}

#[tokio::test]
async fn i3_a_thousand_tables_have_so_many_lines() {
    let board = Board::default();
    for number in 0..1_000 {
        let watched = Watched { topic: "orders".parse().unwrap(), progress: busy(number) };
        board.lock().unwrap().insert(TableName::new("bronze", &format!("t{number}")).unwrap(), watched);
    }
    let lane = Lane::new(1, 1);
    let runtime = tokio::runtime::Handle::current().metrics();
    let (schemas, store) = Default::default();
    let text = render(&Shared {
        board,
        lane,
        upkeep: Arc::default(),
        growth: Arc::default(),
        schemas,
        store,
        runtime,
        now: Millis(5_000),
    });
    let of = |table: &str| text.lines().filter(|line| line.contains(&format!("table=\"bronze.{table}\""))).count();
    assert!(of("t7") > 40 && of("t7") <= LINES_PER_TABLE_MAX, "{}", of("t7"));
    assert_eq!(of("t7"), of("t999"));
    assert!(text.len() < 8 << 20, "{} bytes", text.len());
    for line in [
        "tableflow_freshness_seconds_bucket{table=\"bronze.t7\",kind=\"event\",le=\"1\"} 0",
        "tableflow_freshness_seconds_bucket{table=\"bronze.t7\",kind=\"event\",le=\"5\"} 1",
        "tableflow_freshness_seconds_sum{table=\"bronze.t7\",kind=\"event\"} 3",
        "tableflow_records_consumed_total{table=\"bronze.t7\",topic=\"orders\"} 17",
        "tableflow_records_committed_total{table=\"bronze.t7\"} 17",
        "tableflow_commit_age_seconds{table=\"bronze.t7\"} 1",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}");
    }
}
