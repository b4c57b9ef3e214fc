//! Questions that many readers ask a cluster at about the same time, asked together.
//!
//! Owns [`Questions`]: what topics are, and where partitions begin and end. A thousand tables ask a few of them an
//! epoch, each over the same connection; one call for all of them costs little more than one for one.
//!
//! A topic that was just made has partitions whose leaders not every broker knows: that is waited for, for a moment. A
//! question whose connection broke is put again: librdkafka does so for records, and not for questions.
//!
//! Neighbours: `together` gathers them, and promises that no answer is older than its question; `native` puts them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tableflow_model::{Result, TopicName};

use super::client::{ANSWER_WITHIN, Cluster, Consumer};
use super::native::{Description, Edge, Failed, describe_topics, list_offsets};
use super::together::{Answers, Together};

/// A look that is not urgent goes out with those of the others.
const GATHERED_WITHIN: Duration = Duration::from_millis(100);

/// A partition that has no leader that is known is looked at so often, and so far apart.
const LEADER_LOOKS: u32 = 20;
const LEADER_PAUSE: Duration = Duration::from_millis(100);

/// Connections that may break under one question; a broker that is gone is told within a moment.
const BREAKS_MAX: u32 = 3;

/// A partition of a topic.
pub(super) type Place = (TopicName, i32);

/// One of each kind of question.
#[derive(Debug)]
pub(super) struct Questions {
    what: Arc<Together<TopicName, Description>>,
    beginnings: Arc<Together<Place, i64>>,
    ends: Arc<Together<Place, i64>>,
    /// The same as `ends`, by those who are in no hurry.
    looks: Arc<Together<Place, i64>>,
}

impl Default for Questions {
    fn default() -> Self {
        let at_once = Duration::ZERO;
        Questions {
            what: Together::new(at_once),
            beginnings: Together::new(at_once),
            ends: Together::new(at_once),
            looks: Together::new(GATHERED_WITHIN),
        }
    }
}

impl Questions {
    /// What a topic is.
    pub async fn describe(&self, cluster: &Arc<Cluster>, topic: &TopicName) -> Result<Result<Description, Failed>> {
        let describe_now = || async {
            let answers = put(&self.what, cluster, vec![topic.clone()], describe).await?;
            Ok(answers.and_then(|mut answers| answers.pop().unwrap_or_else(|| Err(Failed::unknown_topic()))))
        };
        unless_broken(LEADER_PAUSE, describe_now).await
    }

    /// Where these partitions begin, and where they end.
    pub async fn ranges(&self, cluster: &Arc<Cluster>, places: Vec<Place>) -> Result<Result<Vec<(i64, i64)>, Failed>> {
        once_led(LEADER_PAUSE, || unless_broken(LEADER_PAUSE, || self.ranges_now(cluster, &places))).await
    }

    async fn ranges_now(&self, cluster: &Arc<Cluster>, places: &[Place]) -> Result<Result<Vec<(i64, i64)>, Failed>> {
        let begin = whole(put(&self.beginnings, cluster, places.to_vec(), beginnings).await?);
        let end = whole(put(&self.ends, cluster, places.to_vec(), ends).await?);
        Ok(begin.and_then(|begin| Ok(begin.into_iter().zip(end?).collect())))
    }

    /// Where these partitions end with what a transaction may still take back; few ask that.
    pub async fn uncommitted_ends(
        &self,
        cluster: &Arc<Cluster>,
        places: Vec<Place>,
    ) -> Result<Result<Vec<i64>, Failed>> {
        let ends = || async {
            let places = places.clone();
            Ok(whole(cluster.ask(move |consumer| offsets(consumer, &places, Edge::UncommittedEnd)).await?))
        };
        unless_broken(LEADER_PAUSE, ends).await
    }

    /// Where these partitions end, soon.
    pub async fn look(&self, cluster: &Arc<Cluster>, places: Vec<Place>) -> Result<Result<Vec<i64>, Failed>> {
        let look = || async { Ok(whole(put(&self.looks, cluster, places.clone(), ends).await?)) };
        unless_broken(LEADER_PAUSE, look).await
    }
}

/// Asks again, for a moment, where a partition has no leader that is known.
async fn once_led<A, F>(pause: Duration, ask: impl Fn() -> F) -> Result<Result<A, Failed>>
where
    F: Future<Output = Result<Result<A, Failed>>>,
{
    for _ in 0..LEADER_LOOKS {
        match ask().await {
            Ok(Err(failed)) if failed.is_of_a_leader() => tokio::time::sleep(pause).await,
            answered => return answered,
        }
    }
    ask().await
}

/// Asks again where the connection broke; a silence that has lasted is none, and not waited for twice.
async fn unless_broken<A, F>(pause: Duration, ask: impl Fn() -> F) -> Result<Result<A, Failed>>
where
    F: Future<Output = Result<Result<A, Failed>>>,
{
    let began = Instant::now();
    for _ in 0..BREAKS_MAX {
        match ask().await {
            Ok(Err(failed)) if failed.is_of_a_connection() && began.elapsed() < ANSWER_WITHIN / 2 => {
                tokio::time::sleep(pause).await;
            }
            answered => return answered,
        }
    }
    ask().await
}

async fn put<Q, A>(
    together: &Arc<Together<Q, A>>,
    cluster: &Arc<Cluster>,
    asked: Vec<Q>,
    call: fn(&Consumer, &[Q]) -> Answers<A>,
) -> Result<Answers<A>>
where
    Q: Clone + Ord + Send + Sync + 'static,
    A: Clone + Send + Sync + 'static,
{
    let cluster = cluster.clone();
    let call = move |things: Arc<Vec<Q>>| {
        let cluster = cluster.clone();
        async move { cluster.ask(move |consumer| call(consumer, &things)).await }
    };
    together.ask(asked, call).await
}

/// All answers, or the first failure among them.
fn whole<A>(answers: Answers<A>) -> Result<Vec<A>, Failed> {
    answers?.into_iter().collect()
}

fn describe(consumer: &Consumer, topics: &[TopicName]) -> Answers<Description> {
    let names: Vec<&str> = topics.iter().map(TopicName::as_str).collect();
    let mut described = describe_topics(consumer, &names, ANSWER_WITHIN)?;
    described.sort_by(|left, right| left.0.cmp(&right.0));
    let found = |name: &&str| {
        let index = described.binary_search_by(|(described, _)| described.as_str().cmp(name)).ok();
        index.and_then(|index| described.get(index)).map_or_else(|| Err(Failed::unknown_topic()), |it| it.1.clone())
    };
    Ok(names.iter().map(found).collect())
}

fn beginnings(consumer: &Consumer, places: &[Place]) -> Answers<i64> {
    offsets(consumer, places, Edge::Beginning)
}

fn ends(consumer: &Consumer, places: &[Place]) -> Answers<i64> {
    offsets(consumer, places, Edge::End)
}

fn offsets(consumer: &Consumer, places: &[Place], edge: Edge) -> Answers<i64> {
    let named: Vec<(&str, i32)> = places.iter().map(|(topic, partition)| (topic.as_str(), *partition)).collect();
    list_offsets(consumer, &named, edge, ANSWER_WITHIN)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rdkafka_sys::rd_kafka_resp_err_t as Native;

    use rdkafka::error::RDKafkaErrorCode as Code;

    use super::*;

    /// So many times the answer is that failure, then it is where a partition ends. What was answered last, and how
    /// often it was asked.
    async fn asked(code: Native, failures: u32) -> (Result<i64, Code>, u32) {
        let count = Cell::new(0);
        let answered = once_led(Duration::from_millis(1), || {
            count.set(count.get() + 1);
            let answer = if count.get() <= failures { Err(Failed { code, words: String::new() }) } else { Ok(7) };
            std::future::ready(Ok(answer))
        });
        (answered.await.unwrap().map_err(|failed| failed.code()), count.get())
    }

    #[tokio::test]
    async fn a_topic_that_was_just_made_is_asked_again_until_it_has_leaders() {
        for code in [Native::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, Native::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE]
        {
            assert_eq!(asked(code, 0).await, (Ok(7), 1));
            assert_eq!(asked(code, 5).await, (Ok(7), 6));
        }
        let denied = asked(Native::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1).await;
        assert_eq!(denied, (Err(Code::TopicAuthorizationFailed), 1), "what a moment does not mend is told at once");
    }

    /// The same, where connections break.
    async fn asked_over(breaks: u32, code: Native) -> (Result<i64, Code>, u32) {
        let count = Cell::new(0);
        let answered = unless_broken(Duration::from_millis(1), || {
            count.set(count.get() + 1);
            let answer = if count.get() <= breaks { Err(Failed { code, words: String::new() }) } else { Ok(7) };
            std::future::ready(Ok(answer))
        });
        (answered.await.unwrap().map_err(|failed| failed.code()), count.get())
    }

    #[tokio::test]
    async fn a_question_whose_connection_broke_is_put_again_a_few_times() {
        let broken = Native::RD_KAFKA_RESP_ERR__TRANSPORT;
        assert_eq!(asked_over(BREAKS_MAX, broken).await, (Ok(7), BREAKS_MAX + 1));
        let never = asked_over(u32::MAX, broken).await;
        assert_eq!(never, (Err(Code::BrokerTransportFailure), BREAKS_MAX + 1));
        let silent = asked_over(1, Native::RD_KAFKA_RESP_ERR__TIMED_OUT).await;
        assert_eq!(silent, (Err(Code::OperationTimedOut), 1), "a silence is not waited for twice");
    }

    #[tokio::test]
    async fn one_that_never_has_a_leader_is_given_up_soon() {
        let given_up = asked(Native::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, u32::MAX).await;
        assert_eq!(given_up, (Err(Code::LeaderNotAvailable), LEADER_LOOKS + 1));
    }
}
