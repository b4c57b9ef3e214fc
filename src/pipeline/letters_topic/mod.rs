//! A topic that dead letters go to, beside their table.
//!
//! Owns [`LettersTopic`], through which a job brings them there, and what a letter looks like as a record.
//! - I1: a letter is taken from the files that its epoch's manifest names: what is in the topic is what is in the
//!   table.
//! - I2: key, value and headers are the record's own; what we say of it is in headers behind them, whose names begin
//!   with `tableflow.`.
//! - I3: whatever waits for a broker waits outside the threads that everything else runs on.
//!
//! Neighbours: `answer` is what a person says of letters that nobody knows of; `declared` is how a table comes to it;
//! `epochs` drives it, the protocol's machine decides; `tableflow_connectors::kafka::epochs` has the transactions.

pub mod answer;
pub mod declared;

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, Schema, TimestampMicrosecondType};
use bytes::Bytes;
use iceberg::spec::TableMetadata;
use tableflow_connectors::decode::dead_letters;
use tableflow_connectors::kafka::{EPOCH_HEADER, JOB_HEADER};
use tableflow_connectors::topics::{EpochProducer, EpochSink, HeaderField, NewRecord};
use tableflow_lake::layout::conform;
use tableflow_lake::read::FileRows;
use tableflow_lake::write::file_from_text;
use tableflow_model::protocol::{Epoch, EpochEvent, ProduceReply, SinkName, Suspend};
use tableflow_model::{Error, ErrorKind, Result, TableName, TopicName};

use super::job::Patience;
use super::progress::LettersDoubt;
use super::replay::records;
use crate::definition::{Definition, LettersTopic as Declared};
use crate::home::Home;

/// What no table's name begins with.
const SINK_PREFIX: &str = "topic:";

/// A job calls it so.
pub fn sink_name(topic: &TopicName) -> SinkName {
    SinkName(format!("{SINK_PREFIX}{topic}"))
}

pub fn is_topic(sink: &SinkName) -> bool {
    sink.0.starts_with(SINK_PREFIX)
}

/// The `transactional.id` of a table's letters, and the name of the group that says how far they are.
pub fn transactional_id(definition: &Definition) -> String {
    format!("tableflow-dlq-{}", definition.table_uuid)
}

#[derive(Debug)]
pub struct LettersTopic {
    home: Home,
    pub name: SinkName,
    letters: Letters,
    /// None while a call has it, and after one that did not come back.
    producer: Option<Box<dyn EpochProducer>>,
}

/// Whose letters they are.
#[derive(Clone, Debug)]
struct Letters {
    table: TableName,
    sink: EpochSink,
}

impl LettersTopic {
    pub fn new(home: Home, definition: &Definition, declared: Declared) -> Self {
        let Declared { topic, topic_id, from } = declared;
        let name = sink_name(&topic);
        let sink = EpochSink { topic, topic_id, id: transactional_id(definition), from, batch_bytes_max: None };
        LettersTopic { home, name, letters: Letters { table: definition.table.clone(), sink }, producer: None }
    }

    /// Whether the topic and the epoch that it records can be read; what a transaction needs beside, one has to begin
    /// to know.
    pub async fn look(&mut self) -> Result<()> {
        self.producer = Some(self.home.topics.epochs(self.letters.sink.clone()).await?);
        self.call(|producer| producer.look()).await
    }

    /// What a person has to decide about the topic.
    pub fn suspended(&self, reason: Suspend, definition: &Definition) -> Error {
        let (topic, table) = (&self.letters.sink.topic, &self.letters.table);
        let (sent, missing) = (
            format!("`tableflow resume {table} --letters sent`"),
            format!("`tableflow resume {table} --letters missing`"),
        );
        let (doubt, hint) = match reason {
            Suspend::EpochForgotten { epoch } => (
                LettersDoubt { recorded: None, sent: epoch, missing: Epoch(epoch.0.saturating_sub(1)) },
                format!("ask those who read {topic}: if they have those letters, {sent}; if not, {missing} sends them"),
            ),
            Suspend::EpochElsewhere { recorded, decided, tables } => (
                LettersDoubt { recorded: Some(recorded), sent: decided, missing: tables },
                format!(
                    "ask those who read {topic}: if they have the letters up to epoch {decided}, {sent}; if they lack those \
                     behind epoch {tables}, {missing} sends what manifests still name; letters of records that are read again \
                     come again"
                ),
            ),
            reason => return reason.into_error(definition.whose(Some(&self.name))).with_context("topic", topic),
        };
        doubt
            .in_error(reason.into_error(definition.whose(Some(&self.name))).with_context("topic", topic))
            .with_hint(hint)
    }

    /// Records what a person says, behind a producer that fenced every other one: what one of these had decided is
    /// there by then.
    pub async fn answer(&mut self, doubt: LettersDoubt, epoch: Epoch) -> Result<()> {
        self.open_producer().await?;
        if let Some(at) = self.call(|producer| producer.recorded()).await?.offset
            && doubt.recorded != Some(at)
        {
            let Letters { table, sink } = &self.letters;
            return Err(Error::usage(format!("topic {} records epoch {at} by now", sink.topic))
                .with_hint(format!("nothing is to be answered any more: `tableflow resume {table}`")));
        }
        self.call(|producer| producer.begin()).await?;
        self.call(move |producer| producer.commit(epoch)).await
    }

    /// An error is one that a person has to mend, or that has come too often.
    pub async fn open(&mut self, patience: &mut Patience) -> Result<EpochEvent> {
        match self.open_producer().await {
            Ok(()) => Ok(EpochEvent::Opened),
            Err(error) => self.after(error, patience).await.map(|_| EpochEvent::OpenFailed),
        }
    }

    /// A cluster that is dead, or a topic that is gone, is told by a question: a producer waits long for either.
    async fn open_producer(&mut self) -> Result<()> {
        self.close().await;
        let topic = &self.letters.sink.topic;
        let described = match self.home.topics.describe(topic).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::unavailable(format!("topic {topic}, which dead letters go to, does not exist"))
                    .with_hint(format!("`tableflow topic create {topic}` makes it, and the table goes on")));
            }
            described => described?,
        };
        let bytes = described.settings.get("max.message.bytes").and_then(|bytes| bytes.parse().ok());
        let sink = EpochSink { batch_bytes_max: bytes, ..self.letters.sink.clone() };
        self.producer = Some(self.home.topics.epochs(sink).await?);
        self.call(|producer| producer.open()).await
    }

    /// A client takes its time to end (I3).
    async fn close(&mut self) {
        if let Some(producer) = self.producer.take() {
            // What it panics of is in the log; it is gone.
            let _ = tokio::task::spawn_blocking(move || drop(producer)).await;
        }
    }

    pub async fn read_recorded(&mut self, patience: &mut Patience) -> Result<EpochEvent> {
        match self.call(|producer| producer.recorded()).await {
            Ok(recorded) => Ok(EpochEvent::RecordedRead(recorded)),
            Err(error) => self.after(error, patience).await.map(|_| EpochEvent::ReadFailed),
        }
    }

    /// The letters in these files, of the table of dead letters as it is given (I1).
    pub async fn produce(
        &mut self,
        epoch: Epoch,
        (files, table): (&[String], Option<&TableMetadata>),
        patience: &mut Patience,
    ) -> Result<EpochEvent> {
        match self.transaction(epoch, files, table).await {
            Ok(()) => Ok(EpochEvent::Produced(ProduceReply::Committed)),
            Err(error) => self.after(error, patience).await.map(EpochEvent::Produced),
        }
    }

    async fn transaction(&mut self, epoch: Epoch, files: &[String], table: Option<&TableMetadata>) -> Result<()> {
        self.call(|producer| producer.begin()).await?;
        for text in files {
            let table = table.ok_or_else(|| Error::internal("letters are due before their table was loaded"))?;
            let (file, _) = file_from_text(text, table)?;
            let bytes = self.home.store.get(file.file_path()).await?;
            let letters = self.letters.clone();
            self.call(move |producer| letters.send(producer, bytes, epoch)).await?;
        }
        self.call(move |producer| producer.commit(epoch)).await
    }

    /// What fails outside is tried again, after a pause; somebody who took over is told from that, and has a moment to
    /// go on.
    async fn after(&mut self, error: Error, patience: &mut Patience) -> Result<ProduceReply> {
        match error.kind() {
            ErrorKind::Conflict => patience.pause_after(error).await.map(|()| ProduceReply::Fenced),
            ErrorKind::Unavailable => patience.pause_after(error).await.map(|()| ProduceReply::Failed),
            _ => Err(error),
        }
    }

    /// I3.
    async fn call<T: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut dyn EpochProducer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Some(mut producer) = self.producer.take() else {
            return Err(Error::unavailable("the producer of dead letters is not open"));
        };
        let called = tokio::task::spawn_blocking(move || {
            let answer = call(producer.as_mut());
            (producer, answer)
        });
        let (producer, answer) = called
            .await
            .map_err(|error| Error::internal("the producer of dead letters ended early").with_source(error))?;
        self.producer = Some(producer);
        answer
    }
}

impl Drop for LettersTopic {
    /// I3.
    fn drop(&mut self) {
        if let (Some(producer), Ok(runtime)) = (self.producer.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(producer));
        }
    }
}

impl Letters {
    fn send(&self, producer: &mut dyn EpochProducer, file: Bytes, epoch: Epoch) -> Result<()> {
        let shape = Arc::new(Schema::new(dead_letters::fields()));
        for batch in FileRows::of(file)? {
            self.send_batch(producer, &conform(&batch?, &shape)?, epoch)?;
        }
        Ok(())
    }

    /// I2.
    fn send_batch(&self, producer: &mut dyn EpochProducer, batch: &RecordBatch, epoch: Epoch) -> Result<()> {
        let (records, said) = (records(batch)?, Said::of(batch)?);
        let (table, epoch) = (self.table.to_plain_string(), epoch.to_string());
        for row in 0..batch.num_rows() {
            let numbers = said.numbers(row);
            let texts = TEXTS.iter().zip(&said.texts).filter(|(_, text)| text.is_valid(row));
            let texts = texts.map(|((name, _), text)| (*name, text.value(row)));
            let numbers = numbers.iter().filter_map(|(name, number)| Some((*name, number.as_deref()?)));
            let ours = [("tableflow.table", table.as_str()), (JOB_HEADER, &self.sink.id), (EPOCH_HEADER, &epoch)];
            let said = texts.chain(numbers).chain(ours).map(|(name, text)| (name.as_bytes(), Some(text.as_bytes())));
            let headers: Vec<HeaderField<'_>> = records.headers(row).chain(said).collect();
            let (key, value) = (records.key(row), records.value(row));
            producer.send(&NewRecord { key, value, headers: &headers, timestamp: None, partition: None })?;
        }
        Ok(())
    }
}

/// The header of each column that is a text.
const TEXTS: [(&str, &str); 6] = [
    ("tableflow.topic", "topic"),
    ("tableflow.value-schema", "value_schema"),
    ("tableflow.key-schema", "key_schema"),
    ("tableflow.reason", "reason"),
    ("tableflow.path", "path"),
    ("tableflow.message", "message"),
];

/// What the letters of a batch say beside their records.
struct Said<'b> {
    batch: &'b RecordBatch,
    texts: Vec<&'b arrow::array::StringArray>,
}

impl<'b> Said<'b> {
    fn of(batch: &'b RecordBatch) -> Result<Self> {
        let text = |(_, column): &(&str, &str)| batch.column_by_name(column)?.as_string_opt::<i32>();
        let texts: Option<Vec<_>> = TEXTS.iter().map(text).collect();
        let texts = texts.ok_or_else(|| Error::internal("the columns of dead letters are others"))?;
        Ok(Said { batch, texts })
    }

    /// Where the record was; its time in milliseconds.
    fn numbers(&self, row: usize) -> [(&'static str, Option<String>); 3] {
        let column = |name: &str| self.batch.column_by_name(name).filter(|column| column.is_valid(row));
        let partition =
            column("partition").and_then(|it| it.as_primitive_opt::<Int32Type>()).map(|it| it.value(row).to_string());
        let offset =
            column("offset").and_then(|it| it.as_primitive_opt::<Int64Type>()).map(|it| it.value(row).to_string());
        let time = column("timestamp").and_then(|it| it.as_primitive_opt::<TimestampMicrosecondType>());
        let time = time.map(|it| it.value(row).div_euclid(1_000).to_string());
        [("tableflow.partition", partition), ("tableflow.offset", offset), ("tableflow.timestamp", time)]
    }
}
