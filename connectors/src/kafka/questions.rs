//! Questions that many readers ask a cluster at about the same time, asked together.
//!
//! Owns [`Questions`]: what topics are, and where partitions begin and end. A thousand tables ask a few of them an epoch,
//! each over the same connection; one call for all of them costs little more than one for one.
//!
//! Neighbours: `together` gathers them, and promises that no answer is older than its question; `native` puts them.

use std::sync::Arc;
use std::time::Duration;

use tableflow_model::{Result, TopicName};

use super::client::{ANSWER_WITHIN, Cluster, Consumer};
use super::native::{Description, Edge, Failed, describe_topics, list_offsets};
use super::together::{Answers, Together};

/// A look that is not urgent goes out with those of the others.
const GATHERED_WITHIN: Duration = Duration::from_millis(100);

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
        let answers = put(&self.what, cluster, vec![topic.clone()], describe).await?;
        Ok(answers.and_then(|mut answers| answers.pop().unwrap_or_else(|| Err(Failed::unknown_topic()))))
    }

    /// Where these partitions begin, and where they end.
    pub async fn ranges(&self, cluster: &Arc<Cluster>, places: Vec<Place>) -> Result<Result<Vec<(i64, i64)>, Failed>> {
        let begin = whole(put(&self.beginnings, cluster, places.clone(), beginnings).await?);
        let end = whole(put(&self.ends, cluster, places, ends).await?);
        Ok(begin.and_then(|begin| Ok(begin.into_iter().zip(end?).collect())))
    }

    /// Where these partitions end with what a transaction may still take back; few ask that.
    pub async fn uncommitted_ends(
        &self,
        cluster: &Arc<Cluster>,
        places: Vec<Place>,
    ) -> Result<Result<Vec<i64>, Failed>> {
        let ends = cluster.ask(move |consumer| offsets(consumer, &places, Edge::UncommittedEnd));
        Ok(whole(ends.await?))
    }

    /// Where these partitions end, soon.
    pub async fn look(&self, cluster: &Arc<Cluster>, places: Vec<Place>) -> Result<Result<Vec<i64>, Failed>> {
        Ok(whole(put(&self.looks, cluster, places, ends).await?))
    }
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
