//! The topic that a table's dead letters are to go to: whether it can be, and how it is made.
//!
//! - I1: a letter is never fed back: the topic is not the one that the table reads, nor one whose letters come back to
//!   it by way of other tables.
//! - I2: a table keeps the topic that it has: what was sent elsewhere would be missing there.

use std::collections::BTreeMap;

use tableflow_connectors::topics::Keeper;
use tableflow_model::{Error, ErrorKind, Result, TableName, TopicName};

use crate::definition::{Definition, ErrorHandling, LettersTopic, Wanted as WantedState};
use crate::home::Home;

/// Keys order nothing between letters: whoever wants more partitions makes the topic.
const PARTITIONS: i32 = 1;

/// Room for what is said of a record.
const HEADERS_BYTES: i32 = 16 * 1024;

/// A topic that is asked for, or that the table has.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub topic: TopicName,
    source: TopicName,
    kept: Option<LettersTopic>,
}

/// Looks whether the topic can take a table's letters, and makes nothing.
pub async fn wanted(
    home: &Home,
    (table, source): (&TableName, &TopicName),
    (before, asked): (Option<&Definition>, Option<&TopicName>),
    handling: ErrorHandling,
) -> Result<Option<Wanted>> {
    let kept = before.and_then(Definition::letters_topic).cloned();
    let Some(asked) = asked else {
        // Others may have come to read that topic while the table was given up.
        let returns = before.is_some_and(|before| before.wanted == WantedState::Disabled);
        if let Some(kept) = kept.as_ref().filter(|_| returns) {
            check_ways(home, (table, source), &kept.topic).await?;
        }
        let source = source.clone();
        return Ok(kept.map(|kept| Wanted { topic: kept.topic.clone(), source, kept: Some(kept) }));
    };
    if let Some(kept) = &kept
        && kept.topic != *asked
    {
        return Err(Error::usage(format!("the dead letters of {table} go to topic {} already", kept.topic))
            .with_hint("leave --dlq-topic out: a table keeps the topic that it has"));
    }
    if handling != ErrorHandling::Log {
        return Err(Error::usage("--dlq-topic is for --error-handling LOG")
            .with_hint("say --error-handling LOG, or leave --dlq-topic out"));
    }
    if asked == source {
        return Err(Error::usage(format!("topic {source} cannot take its own dead letters"))
            .with_detail("each of them would come back as a record")
            .with_hint(format!("name another topic: --dlq-topic {source}.dlq")));
    }
    if home.topics.keeper() == Keeper::Embedded {
        return Err(Error::usage("embedded topics have no transactions: dead letters cannot go there exactly once")
            .with_hint("leave --dlq-topic out: they are in a table, and `tableflow dlq` shows them; topics of a Kafka cluster can take them too"));
    }
    check_ways(home, (table, source), asked).await?;
    let wanted = Wanted { topic: asked.clone(), source: source.clone(), kept };
    match home.topics.describe(asked).await {
        Ok(found) if found.compacts() => {
            Err(Error::usage(format!("topic {asked} is compacted: it would lose letters"))
                .with_detail("of letters with one key the newest alone stays")
                .with_hint("name a topic whose cleanup.policy is delete"))
        }
        Ok(_) => Ok(Some(wanted)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(wanted)),
        Err(error) => Err(error),
    }
}

/// From a topic to the one that its letters go to.
type Way = (TopicName, TopicName);

/// I1.
async fn check_ways(home: &Home, (table, source): (&TableName, &TopicName), asked: &TopicName) -> Result<()> {
    let definitions = home.definitions().look().await?.definitions;
    let others = definitions.iter().filter(|it| it.table != *table && it.wanted != WantedState::Disabled);
    let others = others.filter(|it| it.keeper != Some(Keeper::Embedded));
    let ways: Vec<Way> = others.filter_map(|it| Some((it.topic.clone(), it.letters_topic()?.topic.clone()))).collect();
    if !leads_to(&ways, asked, source) {
        return Ok(());
    }
    Err(Error::usage(format!("dead letters of topic {source} that go to {asked} come back to it"))
        .with_detail(format!(
            "a table of {asked} has its own dead letters sent on to {source}, by way of others or at once"
        ))
        .with_hint("name a topic that no table reads"))
}

fn leads_to(ways: &[Way], from: &TopicName, to: &TopicName) -> bool {
    let mut reached = vec![from];
    let mut next = 0;
    while let Some(topic) = reached.get(next).copied() {
        if topic == to {
            return true;
        }
        let further = ways.iter().filter(|(source, _)| source == topic).map(|(_, letters)| letters);
        for letters in further {
            if !reached.contains(&letters) {
                reached.push(letters);
            }
        }
        next += 1;
    }
    false
}

/// The largest record of the source fits, with our headers.
async fn settings_of(home: &Home, source: &TopicName) -> Result<BTreeMap<String, String>> {
    const LARGEST: &str = "max.message.bytes";
    let settings = home.topics.describe(source).await?.settings;
    let bytes = settings.get(LARGEST).and_then(|bytes| bytes.parse::<i32>().ok());
    Ok(bytes.map(|bytes| (LARGEST.to_owned(), bytes.saturating_add(HEADERS_BYTES).to_string())).into_iter().collect())
}

/// Makes the topic where there is none.
pub async fn make(home: &Home, wanted: Wanted) -> Result<LettersTopic> {
    if let Some(kept) = wanted.kept {
        return Ok(kept);
    }
    let topic = wanted.topic;
    let described = match home.topics.describe(&topic).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            home.topics.create(&topic, PARTITIONS, &settings_of(home, &wanted.source).await?).await
        }
        described => described,
    };
    let topic_id = match described {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => home.topics.describe(&topic).await?.id,
        described => described?.id,
    };
    let ranges = home.source(&topic).await?.ranges().await?;
    let from = ranges.into_iter().map(|(partition, range)| (partition, range.end)).collect();
    Ok(LettersTopic { topic, topic_id, from })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_letters_that_come_back_by_way_of_other_tables_are_noticed() {
        let topic = |name: &str| name.parse::<TopicName>().unwrap();
        let ways: Vec<Way> =
            [("b", "c"), ("b", "d"), ("c", "b"), ("d", "e")].map(|(from, to)| (topic(from), topic(to))).to_vec();
        for (asked, source, comes_back) in [
            ("b", "a", false),
            ("b", "c", true),
            ("b", "e", true),
            ("e", "b", false),
            ("a", "a", true),
            ("c", "d", true),
        ] {
            assert_eq!(leads_to(&ways, &topic(asked), &topic(source)), comes_back, "{asked} {source}");
        }
    }
}
