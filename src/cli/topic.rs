//! `topic create|list|describe|delete`.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;
use tableflow_connectors::local::Topic;
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
    settings: BTreeMap<&'static str, String>,
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

pub fn run(verb: TopicVerb, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let topics = &session.home.topics;
    match verb {
        TopicVerb::Create { name, partitions, settings } => {
            let settings = settings.into_iter().map(|setting| (setting.key, setting.value)).collect();
            let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
            let home = &session.home;
            let topic = topics.create(&name, partitions, &settings, home.clock.as_ref(), home.ids.as_ref())?;
            output::document(session.format, &document(session, &topic)?, out)?;
        }
        TopicVerb::List => {
            let listed: Result<Vec<_>> = topics.list()?.iter().map(|topic| document(session, topic)).collect();
            output::documents(session.format, &listed?, &["topic", "records", "created_at", "id"], out)?;
        }
        TopicVerb::Describe { name } => {
            output::document(session.format, &document(session, &topics.describe(&name)?)?, out)?;
        }
        TopicVerb::Delete { name } => {
            topics.delete(&name)?;
            match session.format {
                Format::Table => output::printed(writeln!(out, "topic {name} is deleted; its table stays"))?,
                format => output::document(format, &Deleted { topic: name.to_string(), status: "Deleted" }, out)?,
            }
        }
    }
    Ok(Exit::Done)
}

fn document(session: &Session, topic: &Topic) -> Result<TopicDocument> {
    let ranges = session.home.source(&topic.name)?.ranges()?;
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
        created_at: rfc3339(topic.created_at.0),
        settings: topic.options.in_force(),
        records: partitions.iter().map(|partition| partition.end_offset - partition.start_offset).sum(),
        partitions,
    })
}
