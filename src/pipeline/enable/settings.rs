//! What a request comes to, with what the table was when it was last enabled and with the defaults.
//!
//! Owns [`Settings`], and with them rule I5 of the folder.

use std::collections::BTreeMap;

use tableflow_connectors::decode::{Evolution, MetadataColumns};
use tableflow_connectors::registry::RecordPart;
use tableflow_model::{Error, Offset, Partition, Result, Source, TableName, TopicId};
use uuid::Uuid;

use super::{Request, keys};
use crate::definition::{
    CompactionPolicy, DeadLetters, Definition, Envelope, ErrorHandling, Format, Keys, ModeChange, NewDefinition,
    StartFrom,
};
use crate::home::Home;
use crate::pipeline::dead_letters;
use crate::pipeline::decoding::format_of;
use crate::pipeline::format::check_format;
use crate::pipeline::letters_topic::declared::{self, Wanted as WantedTopic};

/// A week: what Confluent keeps.
const RETENTION_MS_DEFAULT: i64 = 7 * 24 * 3600 * 1000;

/// How long rows stay: they have to say when they came.
fn data_retention(
    request: &Request,
    before: Option<&Definition>,
    metadata_columns: Option<MetadataColumns>,
) -> Result<Option<i64>> {
    let stay = request.asked.data_retention_ms.map_or(before.and_then(|it| it.data_retention_ms), |asked| asked.0);
    if stay.is_some() && metadata_columns == Some(MetadataColumns::None) {
        return Err(Error::usage("--data-retention-ms needs metadata columns")
            .with_detail("rows are as old as their records, which the metadata columns say")
            .with_hint("leave --metadata-columns out, or say another word than none"));
    }
    Ok(stay)
}

/// Where in the topic the table begins, and where that is.
async fn beginning(
    asked: Option<StartFrom>,
    before: Option<&Definition>,
    source: &mut dyn Source,
) -> Result<(StartFrom, Option<BTreeMap<Partition, Offset>>)> {
    let topic_id = source.topic_id().await?;
    Ok(match (asked, before.filter(|before| before.topic_id == topic_id)) {
        (None, Some(before)) => (before.from, before.from_offsets.clone()),
        (None | Some(StartFrom::Earliest), _) => (StartFrom::Earliest, None),
        (Some(StartFrom::Latest), _) => {
            let ends = source.ranges().await?.into_iter().map(|(partition, range)| (partition, range.end));
            (StartFrom::Latest, Some(ends.collect()))
        }
    })
}

/// What the request comes to.
#[derive(Debug)]
pub struct Settings {
    pub format: Format,
    pub envelope: Option<Envelope>,
    pub columns: String,
    pub keys: Option<Keys>,
    pub metadata_columns: MetadataColumns,
    pub commit_interval_ms: u64,
    pub from: StartFrom,
    /// Where `latest` is.
    pub from_offsets: Option<BTreeMap<Partition, Offset>>,
    pub retention_ms: i64,
    pub data_retention_ms: Option<i64>,
    pub compaction: CompactionPolicy,
    pub evolution: Evolution,
    pub error_handling: ErrorHandling,
    /// The table of dead letters: one that it has, or that is needed now.
    pub dead_letters: Option<TableName>,
    pub letters_topic: Option<WantedTopic>,
    /// The last change of an existing table's mode.
    pub mode_change: Option<ModeChange>,
}

impl Settings {
    /// Those of the request (I5).
    pub async fn of(
        home: &Home,
        request: &Request,
        before: Option<Definition>,
        source: &mut dyn Source,
    ) -> Result<Self> {
        let before = before.as_ref();
        let columns = request.asked.columns.clone().or(before.map(|it| it.columns.clone()));
        let metadata_columns = request.asked.metadata_columns.or(before.map(|it| it.metadata_columns));
        let interval = request.asked.commit_interval_ms.or(before.map(|it| it.commit_interval_ms));
        let retention_ms = request.asked.retention_ms.or(before.map(|it| it.retention_ms));
        let (from, from_offsets) = beginning(request.asked.from, before, source).await?;
        if let Some(before) = before {
            dead_letters::check_kept(before, request.asked.log_target.as_deref())?;
        }
        let fans_out = request.asked.fan_out.is_some();
        let error_handling = request.asked.error_handling.or(before.map(|it| it.error_handling)).unwrap_or_default();
        let letters_wanted = error_handling == ErrorHandling::Log || fans_out;
        if !letters_wanted && request.asked.log_target.is_some() {
            return Err(Error::usage("--log-target is for --error-handling LOG")
                .with_hint("say --error-handling LOG, or leave --log-target out"));
        }
        let kept = before.and_then(|before| before.dead_letters.as_ref()).map(|kept| kept.table.clone());
        let dead_letters = match (kept, letters_wanted) {
            (None, true) => Some(dead_letters::name_for(&request.table, request.asked.log_target.as_deref())?),
            (kept, _) => kept,
        };
        let (of, asked) = ((&request.table, &request.topic), request.asked.dlq_topic.as_ref());
        let letters_topic = declared::wanted(home, of, (before, asked), error_handling).await?;
        if let Some(asked) = request.asked.format {
            check_format(home, &request.topic, asked, source).await?;
        }
        let format = match request.asked.format.or(before.map(|it| it.format)) {
            Some(format) => format,
            None => format_of(home, &request.topic, RecordPart::Value, source).await?.unwrap_or_default(),
        };
        let keys = keys::asked_for(home, request, before.and_then(|before| before.keys.as_ref()), source).await?;
        let envelope = request.asked.envelope.or(before.and_then(|it| it.envelope));
        check_envelope(envelope, format)?;
        Ok(Settings {
            format,
            envelope,
            columns: columns.unwrap_or_default(),
            keys,
            metadata_columns: metadata_columns.unwrap_or(MetadataColumns::Portable),
            commit_interval_ms: interval.unwrap_or(request.commit_interval_default_ms),
            from,
            from_offsets,
            retention_ms: retention_ms.unwrap_or(RETENTION_MS_DEFAULT),
            data_retention_ms: data_retention(request, before, metadata_columns)?,
            compaction: before.map(|it| it.compaction.clone()).unwrap_or_default().with(&request.asked.compaction),
            evolution: request.asked.evolution.or(before.map(|it| it.evolution)).unwrap_or_default(),
            error_handling,
            dead_letters,
            letters_topic,
            mode_change: before.and_then(|before| before.mode_change.clone()),
        })
    }

    fn asks_registry(&self) -> bool {
        self.format.has_schemas() || self.keys.as_ref().is_some_and(|keys| keys.format.has_schemas())
    }

    pub fn dlq_topic(&self) -> Option<String> {
        self.letters_topic.as_ref().map(|wanted| wanted.topic.to_string())
    }

    /// The table of dead letters and the topic of them, where there are to be.
    pub async fn make_dead_letters(&self, home: &Home, table: &TableName, uuid: Uuid) -> Result<Option<DeadLetters>> {
        let Some(letters) = &self.dead_letters else { return Ok(None) };
        let made = dead_letters::make(home, table, uuid, letters).await?;
        let topic = match self.letters_topic.clone() {
            Some(wanted) => Some(declared::make(home, wanted).await?),
            None => None,
        };
        Ok(Some(DeadLetters { topic, ..made }))
    }

    /// The definition of a table that has no dead letters, and of one topic.
    pub fn into_definition(
        self,
        home: &Home,
        request: Request,
        (topic_id, table_uuid): (TopicId, Uuid),
    ) -> NewDefinition {
        NewDefinition {
            table: request.table,
            table_uuid,
            topic: request.topic,
            topic_id,
            keeper: home.topics.keeper(),
            registry: self.asks_registry().then(|| home.registry_name.clone()),
            format: self.format,
            envelope: self.envelope,
            columns: self.columns,
            keys: self.keys,
            upsert: None,
            mode_change: self.mode_change,
            metadata_columns: self.metadata_columns,
            commit_interval_ms: self.commit_interval_ms,
            from: self.from,
            from_offsets: self.from_offsets,
            retention_ms: self.retention_ms,
            data_retention_ms: self.data_retention_ms,
            compaction: self.compaction,
            evolution: self.evolution,
            error_handling: self.error_handling,
            dead_letters: None,
            fan_out: None,
            created_at: home.clock.now(),
        }
    }
}

/// Records as they are have nothing around a row.
fn check_envelope(envelope: Option<Envelope>, format: Format) -> Result<()> {
    match (envelope, format) {
        (Some(envelope), Format::Raw) => {
            Err(Error::usage(format!("raw records are no changes, as {envelope} sends them"))
                .with_detail("a table keeps the format that it was made with")
                .with_hint("leave --format out, or enable the topic into another table with --table"))
        }
        _ => Ok(()),
    }
}
