//! What a request is refused for: names that are taken, places that a table cannot go to, topics of another kind.
//!
//! Rules I2 and I4 of the folder. Nothing is changed here.

use std::collections::HashMap;

use iceberg::spec::TableMetadata;
use tableflow_catalog::LoadedTable;
use tableflow_model::protocol::{Ledger, TopicPositions};
use tableflow_model::{Error, ErrorKind, Result, TableName, TopicId, TopicName};

use super::{Request, TOPIC_PROPERTY};
use crate::definition::{Definition, StartFrom, Wanted};
use crate::home::Home;
use crate::pipeline::fan_out::GROUP_PROPERTY;

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

/// The names that tables of a data directory have: looked up once, and added to by each plan, of however many requests.
#[derive(Debug, Default)]
pub struct Taken {
    /// Of tables that are not disabled, by the name in lower case.
    tables: HashMap<String, (TableName, TopicName)>,
    /// By the name in lower case.
    namespaces: HashMap<String, String>,
}

impl Taken {
    pub async fn look(home: &Home) -> Result<Self> {
        // One that cannot be read is met when the new definition is put: by its own table, and by no other.
        Ok(Self::by(&home.definitions().look().await?.definitions))
    }

    pub fn by(definitions: &[Definition]) -> Self {
        let mut taken = Taken::default();
        for definition in definitions {
            let Definition { table, topic, .. } = definition;
            taken.namespaces.insert(table.namespace().to_ascii_lowercase(), table.namespace().to_owned());
            if definition.wanted != Wanted::Disabled {
                taken.tables.insert(table.to_plain_string().to_ascii_lowercase(), (table.clone(), topic.clone()));
            }
        }
        taken
    }

    /// What is planned is taken.
    pub(super) fn add(&mut self, Request { table, topic, .. }: &Request) {
        self.namespaces.insert(table.namespace().to_ascii_lowercase(), table.namespace().to_owned());
        self.tables.insert(table.to_plain_string().to_ascii_lowercase(), (table.clone(), topic.clone()));
    }

    /// I2.
    pub(super) fn check(&self, request: &Request) -> Result<()> {
        let namespace = request.table.namespace();
        let known = self.namespaces.get(&namespace.to_ascii_lowercase()).filter(|known| *known != namespace);
        if let Some(known) = known {
            return Err(Error::usage(format!("namespace {namespace} differs only by case from {known}"))
                .with_detail("Athena and Spark cannot tell the two apart")
                .with_hint(format!("use --namespace {known}, or another name")));
        }
        let plain = request.table.to_plain_string();
        let Some((other, filled_by)) = self.tables.get(&plain.to_ascii_lowercase()) else { return Ok(()) };
        if *other != request.table {
            return Err(Error::usage(format!("{} differs only by case from {other}", request.table))
                .with_detail("Athena and Spark cannot tell the two apart")
                .with_hint("choose another name with --table"));
        }
        let made_so = request.asked.latest_by.is_some() || request.asked.delete.is_some();
        let hint = if *filled_by == request.topic && made_so {
            "a table has --latest-by and --delete from its beginning: make another one of the topic with --table"
                .to_owned()
        } else if *filled_by == request.topic {
            let mode = match (request.asked.append, request.asked.upsert || !request.asked.key.is_empty()) {
                (true, _) => " --mode append",
                (false, true) => " --mode upsert",
                (false, false) => "",
            };
            format!(
                "`tableflow update {plain}{mode}` changes its settings; another table of the topic is made with --table"
            )
        } else {
            "choose another table with --table or --namespace".to_owned()
        };
        Err(Error::already_exists(format!("{other} is filled by topic {filled_by} already")).with_hint(hint))
    }
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
