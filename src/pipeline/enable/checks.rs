//! What a request is refused for: names that are taken, places that a table cannot go to, topics of another kind.
//!
//! Rules I2 and I4 of the folder. Nothing is changed here.

use iceberg::spec::TableMetadata;
use tableflow_catalog::LoadedTable;
use tableflow_model::protocol::{Ledger, TopicPositions};
use tableflow_model::{Error, ErrorKind, Result, TopicId};

use super::{Request, TOPIC_PROPERTY};
use crate::definition::{StartFrom, Wanted};
use crate::home::Home;
use crate::pipeline::fan_out::GROUP_PROPERTY;

/// A compacted topic holds the newest record of each key: a table of all records is what somebody asks for aloud.
pub async fn check_mode(home: &Home, request: &Request) -> Result<()> {
    let topic = &request.topic;
    if !request.asked.append && home.topics.describe(topic).await?.compacts() {
        return Err(Error::usage(format!("topic {topic} is compacted: it needs upsert, which comes later"))
            .with_hint("say --mode append to keep every record"));
    }
    Ok(())
}

/// The table goes on where its ledger stands, in the topic that the ledger knows (I4).
pub fn check_place(
    request: &Request,
    before: Option<StartFrom>,
    topic_id: TopicId,
    table: &TableMetadata,
) -> Result<()> {
    let job = request.table.ingest_job();
    let Some(text) = table.properties().get(&Ledger::property(&job)) else { return Ok(()) };
    // A ledger that cannot be read suspends the job, which says more.
    let Ok(mut ledger) = Ledger::from_text(text) else { return Ok(()) };
    let Some(TopicPositions { id, .. }) = ledger.positions.0.remove(&request.topic) else { return Ok(()) };
    let (table, topic) = (&request.table, &request.topic);
    if id != topic_id {
        return Err(Error::already_exists(format!(
            "table {table} was filled from another topic {topic}, which was deleted and made again since"
        ))
        .with_detail(format!("the topic was {id} and is {topic_id}: their offsets have nothing to do with each other"))
        .with_hint(format!(
            "fill another table: tableflow enable {topic} --table NAME; or delete this one first: tableflow disable {table} \
             --drop"
        )));
    }
    let (place, flag) = match request.asked.from {
        Some(StartFrom::Latest) => ("the latest record", "latest"),
        Some(StartFrom::Earliest) if before == Some(StartFrom::Latest) => ("the earliest record", "earliest"),
        _ => return Ok(()),
    };
    Err(Error::usage(format!("table {table} goes on where it stands in topic {topic}, not at {place}")).with_hint(
        format!("leave --from out, or start another table: tableflow enable {topic} --table NAME --from {flag}"),
    ))
}

/// I2.
pub async fn check_target(home: &Home, request: &Request) -> Result<()> {
    let plain = request.table.to_plain_string();
    // One that cannot be read is met when the new definition is put: by its own table, and by no other.
    for definition in home.definitions().look().await?.definitions {
        let other = definition.table.to_plain_string();
        let (namespace, known) = (request.table.namespace(), definition.table.namespace());
        if namespace != known && namespace.eq_ignore_ascii_case(known) {
            return Err(Error::usage(format!("namespace {namespace} differs only by case from {known}"))
                .with_detail("Athena and Spark cannot tell the two apart")
                .with_hint(format!("use --namespace {known}, or another name")));
        }
        if definition.wanted == Wanted::Disabled || !other.eq_ignore_ascii_case(&plain) {
            continue;
        }
        if other != plain {
            return Err(Error::usage(format!("{} differs only by case from {}", request.table, definition.table))
                .with_detail("Athena and Spark cannot tell the two apart")
                .with_hint("choose another name with --table"));
        }
        let filled_by = definition.topic;
        let hint = if filled_by == request.topic {
            format!("`tableflow update {other}` changes its settings; another table of the topic is made with --table")
        } else {
            "choose another table with --table or --namespace".to_owned()
        };
        return Err(
            Error::already_exists(format!("{} is filled by topic {filled_by} already", request.table)).with_hint(hint)
        );
    }
    Ok(())
}

pub async fn find_existing(home: &Home, request: &Request) -> Result<Option<LoadedTable>> {
    let table = match home.catalog.load_table(&request.table).await {
        Ok(table) => table,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if table.metadata.properties().contains_key(GROUP_PROPERTY) {
        return Err(Error::already_exists(format!("table {} is one of several that a fan-out fills", request.table))
            .with_detail("another job of its own would fill it with every record a second time")
            .with_hint("choose another table with --table or --namespace"));
    }
    if table.metadata.properties().get(TOPIC_PROPERTY).map(String::as_str) == Some(request.topic.as_str()) {
        return Ok(Some(table));
    }
    Err(Error::already_exists(format!("table {} exists and was not made from topic {}", request.table, request.topic))
        .with_hint("choose another table with --table or --namespace"))
}
