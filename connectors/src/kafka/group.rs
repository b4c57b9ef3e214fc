//! How far tables have come, told to a consumer group: for the tools that watch lag, and for nobody else.
//!
//! Owns [`GroupPositions`].
//! - I1: a position is told when it is committed to its table, never before; it is never read back, and nobody joins
//!   the group.
//! - I2: of tables that read one topic, the one that is furthest behind counts.
//! - I3: telling costs one request every few seconds, however many tables there are, and none where nothing moved.
//! - I4: who may not tell is told so once, with the right that is missing; no table waits for it, and it is tried
//!   again.
//!
//! Neighbours: a `source` notes what it was told is committed; `native` has the call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use tableflow_model::{Error, Offset, Partition, TopicName};
use tokio::time::{Instant, sleep};

use super::client::{ANSWER_WITHIN, Cluster};
use super::failure::grant;
use super::native::{Failed, commit_offsets, may_read_group};
use super::questions::Place;

/// More often than anybody looks.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// After a failure, as long as it lasts.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// A broker forgets the positions of a group without members after a while, a day at least in every release.
const TELL_ALL_EVERY: Duration = Duration::from_secs(3600);

/// A cluster makes a place for its first group within this time.
const COORDINATED_WITHIN: Duration = Duration::from_secs(5);
const COORDINATOR_PAUSE: Duration = Duration::from_millis(200);

/// Partitions in one request.
const PLACES_MAX: usize = 10_000;

/// A reader of a topic, so that two of one topic are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReaderId(u64);

#[derive(Debug, Default)]
pub(super) struct GroupPositions {
    known: Mutex<Known>,
    /// One at a time, so that what is told last is the newest.
    telling: tokio::sync::Mutex<Told>,
}

#[derive(Debug, Default)]
struct Known {
    readers: u64,
    positions: BTreeMap<(TopicName, ReaderId), Positions>,
    /// Somebody tells now and then.
    is_told: bool,
}

#[derive(Clone, Debug)]
struct Positions {
    offsets: BTreeMap<Partition, Offset>,
    /// Its reader is gone: what it had is told once more, and then forgotten.
    ended: bool,
}

#[derive(Debug, Default)]
struct Told {
    places: BTreeMap<Place, i64>,
    all_at: Option<Instant>,
    failed_at: Option<Instant>,
    /// What was said about it (I4).
    complaint: Option<String>,
}

impl GroupPositions {
    pub fn reader(&self) -> ReaderId {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.readers += 1;
        ReaderId(known.readers)
    }

    /// I1: these are committed.
    pub fn note(
        &self,
        cluster: &Arc<Cluster>,
        topic: &TopicName,
        reader: ReaderId,
        offsets: &BTreeMap<Partition, Offset>,
    ) {
        if cluster.properties().group().is_none() {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.positions.insert((topic.clone(), reader), Positions { offsets: offsets.clone(), ended: false });
        if !std::mem::replace(&mut known.is_told, true) {
            tokio::spawn(tell_now_and_then(Arc::downgrade(cluster)));
        }
    }

    pub fn end(&self, topic: &TopicName, reader: ReaderId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(positions) = known.positions.get_mut(&(topic.clone(), reader)) {
            positions.ended = true;
        }
    }

    /// I2; and which readers are gone.
    fn lowest(&self) -> (BTreeMap<Place, i64>, Vec<(TopicName, ReaderId)>) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut lowest, mut ended) = (BTreeMap::new(), Vec::new());
        for (key, positions) in &known.positions {
            for (partition, offset) in &positions.offsets {
                let place = lowest.entry((key.0.clone(), partition.0)).or_insert(offset.0);
                *place = offset.0.min(*place);
            }
            if positions.ended {
                ended.push(key.clone());
            }
        }
        (lowest, ended)
    }

    fn forget(&self, ended: &[(TopicName, ReaderId)]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.positions.retain(|key, _| !ended.contains(key));
    }

    /// Tells what moved since it was told (I3).
    pub async fn tell(&self, cluster: &Arc<Cluster>) {
        let Some(group) = cluster.properties().group().map(str::to_owned) else { return };
        let mut told = self.telling.lock().await;
        let (lowest, ended) = self.lowest();
        if told.all_at.is_none_or(|at| at.elapsed() > TELL_ALL_EVERY) {
            told.places.clear();
            told.all_at = Some(Instant::now());
        }
        let moved: Vec<(Place, i64)> =
            lowest.into_iter().filter(|(place, offset)| told.places.get(place) != Some(offset)).collect();
        for places in moved.chunks(PLACES_MAX) {
            match put(cluster, &group, places.to_vec()).await {
                Ok(()) => {
                    told.places.extend(places.iter().cloned());
                    (told.failed_at, told.complaint) = (None, None);
                }
                Err(error) => {
                    told.complain(&group, &error);
                    break;
                }
            }
        }
        self.forget(&ended);
    }

    async fn may_be_told(&self) -> bool {
        self.telling.lock().await.failed_at.is_none_or(|at| at.elapsed() > TRY_AGAIN_AFTER)
    }
}

impl Told {
    /// I4.
    fn complain(&mut self, group: &str, error: &Error) {
        self.failed_at = Some(Instant::now());
        let complaint = error.to_string();
        if self.complaint.as_ref() == Some(&complaint) {
            return;
        }
        let (detail, hint) = (error.detail().unwrap_or_default(), error.hint().unwrap_or_default());
        tracing::warn!(group, %error, detail, hint, "lag is not told to the consumer group; tables go on");
        self.complaint = Some(complaint);
    }
}

async fn tell_now_and_then(cluster: Weak<Cluster>) {
    loop {
        sleep(TELL_EVERY).await;
        let Some(cluster) = cluster.upgrade() else { return };
        if cluster.positions.may_be_told().await {
            cluster.positions.tell(&cluster).await;
        }
    }
}

async fn put(cluster: &Arc<Cluster>, group: &str, places: Vec<(Place, i64)>) -> Result<(), Error> {
    let name = group.to_owned();
    let asked = cluster.ask(move |consumer| {
        let places: Vec<(&str, i32, i64)> =
            places.iter().map(|((topic, partition), offset)| (topic.as_str(), *partition, *offset)).collect();
        commit_offsets(consumer, &name, &places, ANSWER_WITHIN)
    });
    asked.await?.map_err(|failed| failed_error(cluster, group, &failed))
}

/// Whether the group may be told; nothing is told to it.
pub(super) async fn look_at(cluster: &Arc<Cluster>, group: &str) -> Result<String, Error> {
    let started = Instant::now();
    let asked = loop {
        let name = group.to_owned();
        match cluster.ask(move |consumer| may_read_group(consumer, &name, ANSWER_WITHIN)).await? {
            Err(failed) if is_of_a_coordinator(&failed) && started.elapsed() < COORDINATED_WITHIN => {
                sleep(COORDINATOR_PAUSE).await;
            }
            asked => break asked,
        }
    };
    match asked.map_err(|failed| failed_error(cluster, group, &failed))? {
        Some(true) => Ok("may be told how far tables are".to_owned()),
        Some(false) => Err(no_right(cluster, group, Code::GroupAuthorizationFailed)),
        None => Ok("answers; the cluster does not say whether the login may READ it".to_owned()),
    }
}

/// Nobody keeps the group yet: so it is with the first group of a cluster.
fn is_of_a_coordinator(failed: &Failed) -> bool {
    matches!(failed.code(), Code::CoordinatorLoadInProgress | Code::CoordinatorNotAvailable | Code::NotCoordinator)
}

fn no_right(cluster: &Cluster, group: &str, code: Code) -> Error {
    Error::unavailable(format!("the login has no right to READ group {group}"))
        .with_detail(code.to_string())
        .with_hint(grant(&cluster.properties(), "READ", &format!("--group {group}")))
}

fn failed_error(cluster: &Cluster, group: &str, failed: &Failed) -> Error {
    match failed.code() {
        code @ Code::GroupAuthorizationFailed => no_right(cluster, group, code),
        Code::UnknownMemberId | Code::RebalanceInProgress | Code::IllegalGeneration => {
            Error::unavailable(format!("consumers have joined group {group}"))
                .with_hint("give group.id in [kafka] a name that no consumer has: nobody joins the group of the tables")
        }
        code => cluster.error(code, &failed.words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicName {
        name.parse().unwrap()
    }

    fn insert(group: &GroupPositions, name: &str, offsets: &[(i32, i64)]) -> ReaderId {
        let reader = group.reader();
        let offsets = offsets.iter().map(|(partition, offset)| (Partition(*partition), Offset(*offset))).collect();
        let positions = Positions { offsets, ended: false };
        group.known.lock().unwrap().positions.insert((topic(name), reader), positions);
        reader
    }

    #[test]
    fn i2_of_readers_of_one_topic_the_one_that_is_behind_counts() {
        let group = GroupPositions::default();
        insert(&group, "t", &[(0, 9), (1, 4)]);
        let slow = insert(&group, "t", &[(0, 3)]);
        insert(&group, "u", &[(0, 1)]);
        let place = |name: &str, partition: i32, offset: i64| ((topic(name), partition), offset);
        let (lowest, ended) = group.lowest();
        assert_eq!(lowest, BTreeMap::from([place("t", 0, 3), place("t", 1, 4), place("u", 0, 1)]));
        assert_eq!(ended, []);
        // What it had counts until it was told.
        group.end(&topic("t"), slow);
        let (lowest, ended) = group.lowest();
        assert_eq!((lowest[&(topic("t"), 0)], ended.as_slice()), (3, &[(topic("t"), slow)][..]));
        group.forget(&ended);
        assert_eq!(group.lowest().0[&(topic("t"), 0)], 9);
    }
}
