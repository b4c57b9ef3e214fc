//! Each enabled table: its entry in the catalog, and its topic as a job would use it.

use std::collections::BTreeMap;
use std::time::Duration;

use tableflow_model::source::Range;
use tableflow_model::{Error, ErrorKind, Offset, Partition, Result};

use super::{CLOCKS_APART_MAX_MS, Check, side_by_side, within_deadline};
use crate::definition::{Definition, Wanted};
use crate::home::Home;
use crate::pipeline::letters_topic::LettersTopic;
use crate::pipeline::progress::{State, Trouble};
use crate::pipeline::status::{TableStatus, status_of};

/// How long a record that is there may take to come.
const RECORD_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub async fn look(home: &Home) -> Vec<Check> {
    let listing = match home.definitions().look().await {
        Ok(listing) => listing,
        Err(error) => return vec![Check::failed("tables", &error)],
    };
    let unreadable = listing.unreadable.iter().map(|it| Check::failed(format!("table {}", it.table), &it.error));
    let mut checks: Vec<Check> = unreadable.collect();
    let enabled: Vec<Definition> =
        listing.definitions.into_iter().filter(|definition| definition.wanted != Wanted::Disabled).collect();
    let looks = enabled.iter().map(|definition| async move {
        let check = format!("table {}", definition.table);
        within_deadline(&check, table(check.clone(), home, definition)).await
    });
    checks.extend(side_by_side(looks.collect()).await);
    let looks = enabled.iter().map(|definition| async move {
        let check = format!("topic {}", definition.topic);
        within_deadline(&check, async { topic(check.clone(), home, definition).await }).await
    });
    checks.extend(side_by_side(looks.collect()).await);
    let with_topics = enabled.iter().filter_map(|definition| Some((definition, definition.letters_topic()?)));
    let looks = with_topics.map(|(definition, declared)| async move {
        let check = format!("dead letters in topic {}", declared.topic);
        let mut topic = LettersTopic::new(home.clone(), definition, declared.clone());
        let found =
            async { Check::of(check.clone(), topic.look().await.map(|()| "described, and its group read".to_owned())) };
        within_deadline(&check, found).await
    });
    checks.extend(side_by_side(looks.collect()).await);
    checks
}

/// In the catalog, and not behind what its topic keeps.
async fn table(check: String, home: &Home, definition: &Definition) -> Check {
    if let Err(error) = home.catalog.load_table(definition.anchor()).await {
        return Check::failed(check, &error);
    }
    let status = match status_of(home, definition).await {
        Ok(status) => status,
        Err(error) => return Check::failed(check, &error),
    };
    if status.status == State::Suspended {
        let hint = status.hint.unwrap_or_else(|| "`tableflow status` says more".to_owned());
        return Check::warning(check, format!("suspended: {}", status.reason.unwrap_or_default()), &hint);
    }
    match late(home, definition, &status).await {
        Some((partition, detail)) => {
            let hint = "the topic keeps records for a time only: run `tableflow up`, or `sync` more often";
            Check::warning(check, format!("partition {partition}: {detail}"), hint)
        }
        None => Check::ok(check, format!("{} rows, {} records behind", status.rows_committed, status.lag)),
    }
}

/// A partition whose place is in the older half of what the topic still has.
async fn late(home: &Home, definition: &Definition, status: &TableStatus) -> Option<(i32, String)> {
    let ranges = home.source_of(definition).await.ok()?.ranges().await.ok()?;
    status.partitions.iter().find_map(|place| {
        let range = ranges.get(&Partition(place.partition))?;
        let (start, end, next) = (range.start.0, range.end.0, place.next_offset);
        if next < start {
            return Some((place.partition, format!("records {next} to {} are gone before they were read", start - 1)));
        }
        // From the beginning on is not late yet.
        let is_late = start > 0 && next - start < end - next;
        is_late.then(|| (place.partition, format!("the table stands at {next}, and the topic begins at {start}")))
    })
}

/// Described, and read.
async fn topic(check: String, home: &Home, definition: &Definition) -> Check {
    let looked = async {
        let mut source = home.source_of(definition).await?;
        let id = source.topic_id().await?;
        if id != definition.topic_id {
            return Err(Error::data("the topic was made again: it is not the one that the table reads")
                .with_hint("`tableflow status` says what to do"));
        }
        let ranges = source.ranges().await?;
        let Some((partition, last)) = last_record(&ranges) else {
            return Ok((format!("{} partitions, empty", ranges.len()), None));
        };
        source.seek(&BTreeMap::from([(partition, last)])).await?;
        let deadline = tokio::time::Instant::now() + RECORD_WITHIN;
        let records = loop {
            let polled = source.poll(1)?;
            if !polled.is_empty() {
                break polled;
            }
            if tokio::time::Instant::now() > deadline {
                return Err(Error::unavailable("its records do not come").with_hint(
                    "its partitions' leaders have to be reached from here, at the addresses that they advertise",
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let newest = records.iter().flat_map(|records| records.timestamps.iter().copied()).max();
        Ok((format!("{} partitions, described and read", ranges.len()), newest))
    };
    let looked: Result<(String, Option<i64>)> = looked.await;
    match looked.map_err(gone) {
        Ok((found, newest)) => match ahead(&check, home, newest) {
            Some(warning) => warning,
            None => settings(check, home, definition, found).await,
        },
        Err(error) => Check::failed(check, &error),
    }
}

/// A topic whose settings are hidden is a table's all the same.
async fn settings(check: String, home: &Home, definition: &Definition, found: String) -> Check {
    match home.topics.look_at_settings(&definition.topic).await {
        Ok(()) => Check::ok(check, found),
        Err(error) => {
            let Trouble { reason, hint, .. } = Trouble::of(&error);
            let detail = format!("{found}; {reason}: `enable` does not see there whether a topic is compacted");
            Check { hint, ..Check::warning(check, detail, "") }
        }
    }
}

/// A record that was written later than it is here.
fn ahead(check: &str, home: &Home, newest: Option<i64>) -> Option<Check> {
    let ahead_ms = newest? - home.clock.now().0;
    let detail = format!("its last record is {} s ahead of this machine's clock", ahead_ms / 1000);
    let hint = "set the clock that is wrong: this machine's, or that of who gave the record its time";
    (ahead_ms > CLOCKS_APART_MAX_MS).then(|| Check::warning(check, detail, hint))
}

fn gone(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => error.with_hint("`tableflow status` says what to do"),
        _ => error,
    }
}

fn last_record(ranges: &BTreeMap<Partition, Range>) -> Option<(Partition, Offset)> {
    let filled = ranges.iter().find(|(_, range)| range.end > range.start)?;
    Some((*filled.0, Offset(filled.1.end.0 - 1)))
}
