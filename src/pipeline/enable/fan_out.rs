//! A topic of many types of records is enabled: its tables come with its records.
//!
//! Owns [`FanOutPlan`], and how the table of one type is made.
//! - I1: a topic that was enabled before goes on where it stood, with the tables that it had; one whose tables were
//!   dropped begins anew.

use arrow::datatypes::Fields;
use tableflow_catalog::LoadedTable;
use tableflow_model::{Error, ErrorKind, Records, Result, TableName, TopicId};
use uuid::Uuid;

use super::layout;
use super::{PlanSummary, Request, Settings, TOPIC_PROPERTY, create_table};
use crate::definition::{Definition, FanOut, FanOutBy, Format, NewDefinition};
use crate::home::Home;
use crate::pipeline::dead_letters;
use crate::pipeline::fan_out::{GROUP_PROPERTY, VALUE_PROPERTY, subjects_of};

/// What will be declared.
#[derive(Debug)]
pub struct FanOutPlan {
    pub(super) request: Request,
    pub(super) topic_id: TopicId,
    pub(super) settings: Settings,
    /// Of all its tables together.
    group: Uuid,
    exists: bool,
    fan_out: FanOut,
}

impl FanOutPlan {
    pub(super) async fn new(
        home: &Home,
        (request, by): (Request, FanOutBy),
        topic_id: TopicId,
        settings: Settings,
        before: Option<Definition>,
    ) -> Result<Self> {
        check_by(&by, &settings)?;
        let fan_out =
            FanOut { by, partition_by: request.asked.partition_by.clone(), sort_by: request.asked.sort_by.clone() };
        if let Some(kept) = before.as_ref().and_then(|before| before.fan_out.as_ref()).filter(|kept| **kept != fan_out)
        {
            return Err(Error::usage(format!("{} is fanned out by {} already", request.table, kept.by))
                .with_detail("its tables keep what they were made by, their partitions and their order")
                .with_hint("ask for the same, or for tables of another name with --table"));
        }
        if let Some(before) = before.as_ref().filter(|before| before.topic_id != topic_id) {
            let (table, topic, was) = (&request.table, &request.topic, before.topic_id);
            return Err(Error::already_exists(format!(
                "{table} was filled from another topic {topic}, which was deleted and made again since"
            ))
            .with_detail(format!("the topic was {was} and is {topic_id}: their offsets have nothing to do with each other"))
            .with_hint(format!(
                "fill tables of another name: tableflow enable {topic} --fan-out .. --table NAME; or delete these first: \
                 tableflow disable {table} --drop"
            )));
        }
        let exists = before.is_some();
        let group = match before {
            Some(before) => before.table_uuid,
            None => group_of_a_try(home, &settings).await?.unwrap_or_else(|| home.ids.uuid()),
        };
        settings.compaction.check(&fan_out.sort_by)?;
        if !request.asked.writing().is_nothing() {
            return Err(Error::usage(
                "--format-version, --delete-encoding and --readers do not go together with --fan-out",
            )
            .with_detail("its tables have version 2 of the format, and no row of them goes")
            .with_hint("leave them out"));
        }
        if let Some(letters) = &settings.dead_letters {
            dead_letters::check(home, &request.table, Some(group), letters).await?;
        }
        Ok(FanOutPlan { request, topic_id, settings, group, exists, fan_out })
    }

    pub fn summary(&self) -> PlanSummary {
        PlanSummary {
            topic: self.request.topic.to_string(),
            table: self.request.table.to_plain_string(),
            mode: "append",
            key: Vec::new(),
            latest_by: None,
            format: self.settings.format,
            envelope: None,
            format_version: 2,
            delete_encoding: "none",
            readers: Vec::new(),
            columns: Vec::new(),
            key_format: None,
            key_columns: Vec::new(),
            notes: Vec::new(),
            partition_by: self.fan_out.partition_by.clone(),
            sort_by: self.fan_out.sort_by.clone(),
            commit_interval_ms: self.settings.commit_interval_ms,
            error_handling: self.settings.error_handling,
            dead_letters: self.settings.dead_letters.as_ref().map(TableName::to_plain_string),
            dlq_topic: self.settings.dlq_topic(),
            fan_out: Some(self.fan_out.by.to_string()),
            exists: self.exists,
        }
    }

    /// Makes the table of dead letters, which has the job's ledger from the start, and puts the definition.
    pub async fn carry_out(self, home: &Home) -> Result<Definition> {
        let FanOutPlan { request, topic_id, settings, group, fan_out, .. } = self;
        super::create_namespace(home, request.table.namespace()).await?;
        let letters = settings.make_dead_letters(home, &request.table, group).await?;
        let letters = letters.ok_or_else(|| Error::internal("a fan-out has no table of dead letters"))?;
        let new = NewDefinition {
            dead_letters: Some(letters),
            fan_out: Some(fan_out),
            ..settings.into_definition(home, request, (topic_id, group))
        };
        home.definitions().create(new).await
    }
}

/// How the fan-out was last enabled, if its tables are still there (I1).
pub(super) async fn definition_before(home: &Home, table: &TableName) -> Result<Option<Definition>> {
    let Some(before) = home.definitions().find(table).await?.filter(|before| before.fan_out.is_some()) else {
        return Ok(None);
    };
    match home.catalog.load_table(before.anchor()).await {
        Ok(letters) => {
            let uuid = before.dead_letters.as_ref().map(|letters| letters.table_uuid);
            Ok(Some(before).filter(|_| uuid == Some(letters.metadata.uuid())))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The group of an `enable` that made the table of dead letters and went no further: nothing is in it yet.
async fn group_of_a_try(home: &Home, settings: &Settings) -> Result<Option<Uuid>> {
    let Some(letters) = &settings.dead_letters else { return Ok(None) };
    match home.catalog.load_table(letters).await {
        Ok(found) if found.metadata.current_snapshot().is_none() => Ok(dead_letters::group_of(&found)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn check_by(by: &FanOutBy, settings: &Settings) -> Result<()> {
    let format = settings.format;
    if settings.keys.is_some() {
        return Err(Error::usage("--key-format does not go together with --fan-out")
            .with_detail("which columns keys fill is kept for one table")
            .with_hint("leave it out: the metadata column of the key has its bytes"));
    }
    match by {
        FanOutBy::RecordName if !format.has_schemas() => Err(Error::usage(format!(
            "records of format {format} have no names of types"
        ))
        .with_hint("say --format avro, protobuf or json-schema; or fan out by header:NAME, or field:PATH of JSON")),
        FanOutBy::Field(_) if !matches!(format, Format::Json | Format::JsonSchema) => {
            Err(Error::usage(format!("a field of {format} cannot tell tables apart"))
                .with_hint("fields are for JSON; fan out by record-name or header:NAME"))
        }
        _ => Ok(()),
    }
}

/// Whether the table of one more value can have these columns.
pub fn check_columns(fan_out: &FanOut, columns: Fields) -> Result<()> {
    layout::check(columns, &fan_out.partition_by, &fan_out.sort_by)
}

/// Makes the table of one value, with the columns that its schemas and these records show.
pub async fn make_table(
    home: &Home,
    definition: &Definition,
    (table, value): (&TableName, &str),
    sample: &Records,
) -> Result<LoadedTable> {
    let layout = layout::of_records(home, definition, (table, subjects_of(definition, value)), sample).await?;
    let properties = [
        (TOPIC_PROPERTY, definition.topic.to_string()),
        (GROUP_PROPERTY, definition.table_uuid.to_string()),
        (VALUE_PROPERTY, value.to_owned()),
    ];
    create_table(home, table, &layout, properties).await
}
