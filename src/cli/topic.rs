//! `topic create|list|describe|delete`.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;
use tableflow_connectors::topics::Topic;
use tableflow_model::Result;

use super::args::TopicVerb;
use super::session::Session;
use crate::exit::Exit;
use crate::output::{self, Format, rfc3339};

#[derive(Debug, Serialize)]
struct TopicDocument {
    topic: String,
    id: String,
    created_at: Option<String>,
    settings: BTreeMap<String, String>,
    partitions: Vec<PartitionDocument>,
    records: i64,
}

#[derive(Debug, Serialize)]
struct PartitionDocument {
    partition: i32,
    start_offset: i64,
    end_offset: i64,
}

#[derive(Debug, Serialize)]
struct Deleted {
    topic: String,
    status: &'static str,
}

pub async fn run(verb: TopicVerb, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let topics = &session.home.topics;
    match verb {
        TopicVerb::Create { name, partitions, settings } => {
            let settings = settings.into_iter().map(|setting| (setting.key, setting.value)).collect();
            let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
            let topic = topics.create(&name, partitions, &settings).await?;
            output::document(session.format, &document(session, topic).await?, out)?;
        }
        TopicVerb::List => {
            let mut listed = Vec::new();
            for topic in topics.list().await? {
                listed.push(document(session, topic).await?);
            }
            output::documents(session.format, &listed, &["topic", "records", "created_at", "id"], out)?;
        }
        TopicVerb::Describe { name } => {
            let topic = topics.describe(&name).await?;
            output::document(session.format, &document(session, topic).await?, out)?;
        }
        TopicVerb::Delete { name } => {
            topics.delete(&name).await?;
            match session.format {
                Format::Table => output::printed(writeln!(out, "topic {name} is deleted; its table stays"))?,
                format => output::document(format, &Deleted { topic: name.to_string(), status: "Deleted" }, out)?,
            }
        }
    }
    Ok(Exit::Done)
}

async fn document(session: &Session, topic: Topic) -> Result<TopicDocument> {
    let ranges = session.home.source(&topic.name).await?.ranges().await?;
    let partitions: Vec<_> = ranges
        .into_iter()
        .map(|(partition, range)| PartitionDocument {
            partition: partition.0,
            start_offset: range.start.0,
            end_offset: range.end.0,
        })
        .collect();
    Ok(TopicDocument {
        topic: topic.name.to_string(),
        id: topic.id.to_string(),
        created_at: topic.created_at.and_then(|at| rfc3339(at.0)),
        settings: topic.settings,
        records: partitions.iter().map(|partition| partition.end_offset - partition.start_offset).sum(),
        partitions,
    })
}
