//! Topics that patterns name become tables, as they come.
//!
//! Owns [`Matching`], which looks for them.
//! - I1: a topic that a person enabled, or disabled, is a person's matter: it is left alone.
//! - I2: a topic that came after its pattern is read from its first record, whatever the pattern says of those that
//!   were there.
//! - I3: one topic that cannot become a table keeps no other from it. It is tried again, ever less often, and its
//!   reason is told once.
//! - I4: a topic is made for its producer before a record, or a schema, says what it holds: until then it is waited
//!   for.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tableflow_connectors::registry::RecordPart;
use tableflow_model::{Error, Result, TableName, TopicName};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::decoding::format_of;
use super::enable::{Asked, Plan, Request, Taken, plan};
use crate::definition::StartFrom;
use crate::home::Home;
use crate::pattern::Pattern;

/// How often the topics are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A topic that cannot become a table yet is tried again after so long; the pause doubles.
const AGAIN_AFTER_MIN: Duration = Duration::from_secs(5);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(300);

/// A topic that cannot become a table as things are.
#[derive(Debug)]
pub struct LeftOut {
    pub topic: TopicName,
    pub error: Error,
}

/// The plans of the topics of a pattern that are nobody's yet (I1), and those that have none.
pub async fn plans(home: &Home, pattern: &Pattern) -> Result<(Vec<Plan>, Vec<LeftOut>)> {
    let (mut plans, mut left_out) = (Vec::new(), Vec::new());
    let (found, mut taken) = nobodys(home, std::slice::from_ref(pattern)).await?;
    for (topic, _) in found {
        match plan_of(home, &mut taken, (&topic, pattern), pattern.asked.from).await {
            Ok(plan) => plans.push(plan),
            Err(error) => left_out.push(LeftOut { topic, error }),
        }
    }
    Ok((plans, left_out))
}

/// A topic, and the first of the patterns that name it.
type Found<'p> = (TopicName, &'p Pattern);

/// The topics that patterns name and that no person has decided about (I1), and the names that tables have.
async fn nobodys<'p>(home: &Home, patterns: &'p [Pattern]) -> Result<(Vec<Found<'p>>, Taken)> {
    let definitions = home.definitions().look().await?.definitions;
    let taken = Taken::by(&definitions);
    let known: HashSet<TopicName> = definitions.into_iter().map(|definition| definition.topic).collect();
    let mut matchers = Vec::with_capacity(patterns.len());
    for pattern in patterns {
        matchers.push((pattern.matcher()?, pattern));
    }
    let mut found = Vec::new();
    for topic in home.topics.names().await? {
        let matching = matchers.iter().find(|(matcher, _)| matcher.matches(&topic));
        if let Some((_, pattern)) = matching.filter(|_| !known.contains(&topic)) {
            found.push((topic, *pattern));
        }
    }
    Ok((found, taken))
}

/// I4.
async fn check_format_is_known(home: &Home, asked: &Asked, topic: &TopicName) -> Result<()> {
    let mut source = home.source(topic).await?;
    let is_said = asked.format.is_some() || asked.columns.is_some();
    if is_said || format_of(home, topic, RecordPart::Value, source.as_mut()).await?.is_some() {
        return Ok(());
    }
    let ranges = source.ranges().await?;
    if ranges.values().any(|range| range.start < range.end) {
        return Ok(());
    }
    Err(Error::usage(format!("topic {topic} has neither a record nor a schema yet"))
        .with_hint("nothing is to be done: its first record says how the others are written"))
}

async fn plan_of(
    home: &Home,
    taken: &mut Taken,
    (topic, pattern): (&TopicName, &Pattern),
    from: Option<StartFrom>,
) -> Result<Plan> {
    let request = Request {
        topic: topic.clone(),
        table: TableName::new(&pattern.namespace, topic.as_str())?,
        asked: Asked { from, ..pattern.asked.clone() },
        commit_interval_default_ms: pattern.commit_interval_default_ms,
    };
    let plan = plan(home, taken, request).await?;
    check_format_is_known(home, &pattern.asked, topic).await?;
    Ok(plan)
}

/// Looks for topics to come.
#[derive(Debug)]
pub struct Matching {
    home: Home,
    waiting: HashMap<TopicName, Waiting>,
}

/// A topic that could not become a table yet.
#[derive(Debug)]
struct Waiting {
    reason: String,
    until: Instant,
    pause: Duration,
}

impl Matching {
    pub fn new(home: Home) -> Self {
        Matching { home, waiting: HashMap::new() }
    }

    /// Looks until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "topics to come cannot be looked for, trying again");
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Enables what has come since the last look.
    pub async fn look(&mut self) -> Result<()> {
        let patterns = self.home.patterns().in_force().await?;
        if patterns.is_empty() {
            return Ok(());
        }
        let (found, mut taken) = nobodys(&self.home, &patterns).await?;
        let still: HashSet<&TopicName> = found.iter().map(|(topic, _)| topic).collect();
        self.waiting.retain(|topic, _| still.contains(topic));
        for (topic, pattern) in &found {
            if self.waiting.get(topic).is_some_and(|waiting| Instant::now() < waiting.until) {
                continue;
            }
            match self.enable(topic, pattern, &mut taken).await {
                Ok(table) => {
                    tracing::info!(%topic, %table, pattern = pattern.regex, "a topic has become a table");
                    self.waiting.remove(topic);
                }
                Err(error) => self.wait(topic, &error),
            }
        }
        Ok(())
    }

    /// I2.
    async fn enable(&self, topic: &TopicName, pattern: &Pattern, taken: &mut Taken) -> Result<TableName> {
        let plan = plan_of(&self.home, taken, (topic, pattern), Some(StartFrom::Earliest)).await?;
        Ok(plan.carry_out(&self.home).await?.table)
    }

    /// I3.
    fn wait(&mut self, topic: &TopicName, error: &Error) {
        let reason = error.to_string();
        let before = self.waiting.get(topic);
        if before.is_none_or(|before| before.reason != reason) {
            let (detail, hint) = (error.detail().unwrap_or_default(), error.hint().unwrap_or_default());
            tracing::warn!(%topic, reason, detail, hint, "a topic does not become a table yet");
        }
        let pause = before.map_or(AGAIN_AFTER_MIN, |before| (before.pause * 2).min(AGAIN_AFTER_MAX));
        self.waiting.insert(topic.clone(), Waiting { reason, until: Instant::now() + pause, pause });
    }
}
