//! One topic into several tables: the driver of the protocol's [`EpochJob`].
//!
//! An epoch's files for all tables are named in one manifest, put create-only before the first table is committed:
//! from then on the epoch is decided, and whoever finds the manifest brings every table to it.
//! - I1: no decision about epochs, conflicts or generations is taken here.
//! - I2: a manifest that was put is never staged again: a table takes the files that it names, or the job stops.
//! - I3: columns that an epoch adds are in the table before the manifest names files with them. A manifest cannot be
//!   staged anew, so its files' field ids must be the table's own by then. An epoch that dies leaves a column that
//!   is null everywhere, no more.
//!
//! - I4: of a table with one row a key a manifest names rows, rows that lack values and files of keys; which rows of the table they replace is
//!   found on the base of each commit, by whoever finishes the epoch (U1).
//!
//! Neighbours: `manifests` are the objects that decide; an `intake` reads the topic or the letters, `dispatch` and
//! `fan_out` say which table a record is for, `staging` writes, `target` commits; `ingest` drives one table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use iceberg::spec::DataContentType;
use tableflow_catalog::LoadedTable;
use tableflow_lake::commit::{Retention, RowDelta};
use tableflow_lake::feed::path_of;
use tableflow_lake::write::{EpochName, KeyFile, PartialFile, file_from_text, file_to_text};
use tableflow_model::protocol::{
    Assertion, CommitReply, Epoch, EpochEvent, EpochJob, EpochManifest, EpochOptions, EpochStep, Generation, Ledger,
    Positions, PutReply, Rules, SinkName, StagedEpoch, Suspend, WriterId,
};
use tableflow_model::{Error, ErrorKind, Result, TableName};
use uuid::Uuid;

use super::budget::TableMemory;
use super::dispatch::{Dispatch, OneTable};
use super::fan_out::{FanOut, FanOutTables};
use super::feed::Feed;
use super::intake::{Intake, Start};
use super::job::{Ended, Goal, Patience};
use super::letters_topic::LettersTopic;
use super::manifests::{Manifests, Seen};
use super::mirror::{self, Step};
use super::mode::{self, Standing};
use super::progress::{Progress, State};
use super::staging::{EpochFiles, StagedFiles, TableFiles};
use super::target::{self, Decoded, Holds, Look, Target};
use crate::definition::{DeadLetters, Definition};
use crate::home::Home;

/// A table of the job, and its uuid where the job has seen it.
#[derive(Clone, Debug)]
pub struct Sink {
    pub table: TableName,
    pub uuid: Option<Uuid>,
    pub holds: Holds,
    /// What the decoder of its rows knows of it, where that is one for this table alone.
    pub decoded: Option<Decoded>,
}

/// One running job.
#[derive(Debug)]
pub struct Epochs {
    home: Home,
    /// The topic, its reading and its pace; the tables are the targets'.
    definition: Definition,
    manifests: Manifests,
    /// A person may take the table of rows, and this job's ledger in it, back to an older snapshot.
    rolls_back: bool,
    intake: Box<dyn Intake>,
    targets: Vec<Target>,
    letters_topic: Option<LettersTopic>,
    progress: Arc<Progress>,
    patience: Patience,
    machine: EpochJob,
}

impl Epochs {
    /// The tables that a topic fills, one of dead letters among them, always in step.
    pub async fn of_topic(
        home: Home,
        definition: Definition,
        dead_letters: DeadLetters,
        watched: (Arc<Progress>, Arc<TableMemory>),
        goal: Goal,
    ) -> Result<Self> {
        let topic = dead_letters.topic.clone();
        let topic = topic.map(|declared| LettersTopic::new(home.clone(), &definition, declared));
        let tables = tables_of(&home, &definition, dead_letters).await?;
        let manifests = Manifests::of_topic(home.clone(), &definition)?;
        // Tables of several types move together, and are never rolled back.
        let rolls_back = definition.fan_out.is_none();
        let upserts = match definition.upsert {
            Some(_) => Some(target::load(&home, &definition.table).await?),
            None => None,
        };
        let keys = watched.1.keys().clone();
        let mut job = Self::new(home, definition, tables, watched, goal).await?;
        (job.manifests, job.rolls_back) = (manifests, rolls_back);
        if let Some(table) = upserts {
            for rows in job.targets.iter_mut().filter(|target| target.holds == Holds::Rows) {
                rows.keep_keys(&table.metadata, &keys).await?;
            }
        }
        job.machine = job.machine.with_topics(topic.iter().map(|topic| topic.name.clone()).collect());
        job.letters_topic = topic;
        Ok(job)
    }

    /// The same tables, fed from that of the dead letters.
    pub fn over_letters(
        home: Home,
        definition: Definition,
        (sinks, letters): (Vec<Sink>, Box<dyn Intake>),
        progress: Arc<Progress>,
        goal: Goal,
    ) -> Self {
        Self::over(home, definition, letters, sinks, progress, goal)
    }

    /// A job that reads the definition's topic, under the definition's name, into the given tables.
    pub async fn new(
        home: Home,
        definition: Definition,
        (sinks, dispatch): (Vec<Sink>, Box<dyn Dispatch>),
        (progress, memory): (Arc<Progress>, Arc<TableMemory>),
        goal: Goal,
    ) -> Result<Self> {
        let feed = Feed::new(&home, &definition, dispatch, goal.clone(), progress.clone(), &memory).await?;
        Ok(Self::over(home, definition, Box::new(feed), sinks, progress, goal))
    }

    fn over(
        home: Home,
        definition: Definition,
        intake: Box<dyn Intake>,
        sinks: Vec<Sink>,
        progress: Arc<Progress>,
        goal: Goal,
    ) -> Self {
        progress.set_state(State::Backfilling, None);
        let patience = Patience::new(definition.table.clone(), goal, progress.clone());
        let target = |sink: &Sink| {
            Target::new(home.clone(), (sink.table.clone(), sink.holds), definition.job.clone(), progress.clone())
                .decoded_for(sink.decoded.clone())
        };
        let targets: Vec<Target> = sinks.iter().map(target).collect();
        let names = sinks.iter().map(|sink| (sink_name(&sink.table), sink.uuid)).collect();
        let writer = WriterId(home.ids.uuid());
        let machine = EpochJob::new(definition.job.clone(), writer, names, EpochOptions::default(), Rules::law());
        let manifests = Manifests::new(home.clone(), definition.job.clone());
        let rolls_back = false;
        let letters_topic = None;
        Epochs { home, definition, manifests, rolls_back, intake, targets, letters_topic, progress, patience, machine }
    }

    /// Runs until the goal is reached, somebody else takes over, or a person has to decide; an error is also that.
    pub async fn run(mut self) -> Result<Ended> {
        let ended = self.drive().await;
        for target in &mut self.targets {
            target.end().await;
        }
        ended
    }

    async fn drive(&mut self) -> Result<Ended> {
        let mut event = EpochEvent::Start;
        loop {
            event = match self.machine.next(event)? {
                EpochStep::Load { sink } => self.load(&sink).await?,
                EpochStep::ReadManifest { epoch } => self.read_manifest(epoch).await?,
                EpochStep::PutManifest { manifest } => self.put_manifest(&manifest).await?,
                EpochStep::Stage { from, state: _, generation, epoch } => {
                    match self.stage(from, generation, epoch).await {
                        Ok(Ok(event)) => event,
                        Ok(Err(Ended::Follows(step))) => return self.follow(&step).await,
                        Ok(Err(ended)) => return Ok(ended),
                        Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Conflict) => {
                            self.patience.pause_after(error).await?;
                            EpochEvent::NothingStaged
                        }
                        Err(error) => return Err(error),
                    }
                }
                EpochStep::Publish { sink, assertion, ledger, files } => {
                    EpochEvent::Published(self.publish(&sink, &assertion, &ledger, &files).await?)
                }
                EpochStep::PublishIdentical { sink } => {
                    let (target, patience) = self.target(&sink)?;
                    EpochEvent::Published(target.publish_again(patience).await?)
                }
                EpochStep::OpenProducer { .. } => {
                    let (topic, patience, _) = self.letters()?;
                    topic.open(patience).await?
                }
                EpochStep::ReadRecorded { .. } => {
                    let (topic, patience, _) = self.letters()?;
                    topic.read_recorded(patience).await?
                }
                EpochStep::Produce { epoch, files, .. } => {
                    let (topic, patience, table) = self.letters()?;
                    let table = table.map(|table| table.metadata.clone());
                    topic.produce(epoch, (&files, table.as_deref()), patience).await?
                }
                EpochStep::Committed { epoch, positions } => match self.after_commit(epoch, &positions).await? {
                    Some(failure) => return Ok(Ended::Suspended(failure)),
                    None => EpochEvent::Continue,
                },
                EpochStep::Stop(stop) => return Ok(Ended::Fenced(stop.into_error(self.definition.whose(None)))),
                EpochStep::Suspend { sink, reason } => return Ok(Ended::Suspended(self.suspended(sink, reason))),
            };
        }
    }

    fn suspended(&self, sink: Option<SinkName>, reason: Suspend) -> Error {
        match (sink, &self.letters_topic) {
            (Some(sink), Some(topic)) if sink == topic.name => topic.suspended(reason, &self.definition),
            (Some(sink), _) => reason.into_error(self.definition.whose(Some(&sink))).with_context("table", sink),
            (None, _) => reason.into_error(self.definition.whose(None)),
        }
    }

    /// The table of rows takes a step, and the job begins again.
    async fn follow(&mut self, step: &Step) -> Result<Ended> {
        let Some(rows) = self.targets.iter_mut().find(|target| target.holds == Holds::Rows) else {
            return Err(Error::internal("a job without a table for rows follows a schema"));
        };
        match rows.follow(step, &mut self.patience).await {
            Err(error) if error.kind() == ErrorKind::Data => Ok(Ended::Suspended(error)),
            followed => followed.map(|()| Ended::Grown),
        }
    }

    fn target(&mut self, sink: &SinkName) -> Result<(&mut Target, &mut Patience)> {
        let mut targets = self.targets.iter_mut();
        let target = targets.find(|target| sink_name(&target.table) == *sink);
        let target = target.ok_or_else(|| Error::internal(format!("the job has no table {sink}")))?;
        Ok((target, &mut self.patience))
    }

    /// The topic of dead letters, and their table as it was last seen.
    fn letters(&mut self) -> Result<(&mut LettersTopic, &mut Patience, Option<&LoadedTable>)> {
        let topic = self.letters_topic.as_mut().ok_or_else(|| Error::internal("the job has no topic"))?;
        let table = self.targets.iter().find(|target| target.holds == Holds::DeadLetters);
        Ok((topic, &mut self.patience, table.and_then(|table| table.base().ok())))
    }

    async fn load(&mut self, sink: &SinkName) -> Result<EpochEvent> {
        let (target, patience) = self.target(sink)?;
        Ok(match target.look(patience).await? {
            Look::Facts(facts) => EpochEvent::Loaded(facts),
            Look::Failed => EpochEvent::LoadFailed,
        })
    }

    async fn read_manifest(&mut self, epoch: Epoch) -> Result<EpochEvent> {
        match self.manifests.read(epoch).await {
            Ok(manifest) => Ok(EpochEvent::ManifestRead(manifest.map(Box::new))),
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                self.patience.pause_after(error).await?;
                Ok(EpochEvent::ReadFailed)
            }
            Err(error) => Err(error),
        }
    }

    async fn put_manifest(&mut self, manifest: &EpochManifest) -> Result<EpochEvent> {
        match self.manifests.put(manifest).await {
            Ok(reply) => Ok(EpochEvent::ManifestPut(reply)),
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                self.patience.pause_after(error).await?;
                Ok(EpochEvent::ManifestPut(PutReply::Unknown))
            }
            Err(error) => Err(error),
        }
    }

    /// The epoch is in. A record that stopped it ends the job.
    async fn after_commit(&mut self, epoch: Epoch, positions: &Positions) -> Result<Option<Error>> {
        self.progress.settled(positions, self.home.clock.now());
        self.intake.note_committed(positions);
        self.patience.renew();
        let rolls_back = |target: &Target| self.rolls_back && target.holds == Holds::Rows;
        let seen = |target| Ok(Seen { table: Target::base(target)?, rolls_back: rolls_back(target) });
        let seen: Vec<Seen<'_>> = self.targets.iter().map(seen).collect::<Result<_>>()?;
        let topics: Option<Vec<Epoch>> =
            self.letters_topic.iter().map(|topic| self.machine.recorded(&topic.name)).collect();
        if let Some(topics) = topics {
            self.manifests.committed(epoch, (&seen, &topics), &self.definition.job).await;
        }
        Ok(self.intake.take_failure())
    }

    /// Reads and writes one epoch for all tables; waits as long as there is nothing to read.
    async fn stage(
        &mut self,
        from: Option<Positions>,
        generation: Generation,
        epoch: Epoch,
    ) -> Result<Result<EpochEvent, Ended>> {
        let fresh = from.is_none();
        for target in &self.targets {
            if !target.is_as_decoded()? {
                return Ok(Err(Ended::Grown));
            }
        }
        let offsets = match self.intake.start(from, epoch).await? {
            Start::At(offsets) => offsets,
            Start::Elsewhere(to) => return Ok(Ok(staged(to, BTreeMap::new()))),
            Start::Ended(ended) => return Ok(Err(ended)),
        };
        let name = EpochName { job: self.definition.job.clone(), generation, epoch };
        let (mut tables, mut specs) = (Vec::new(), Vec::new());
        for target in &self.targets {
            let table = &target.base()?.metadata;
            let files = TableFiles::new(self.home.store.clone(), table, name.clone())?;
            tables.push(match target.keys() {
                Some((columns, hasher)) => files.with_keys(columns, hasher),
                None => files,
            });
            specs.push(table.default_partition_spec_id());
        }
        let mut files = EpochFiles::new(tables, offsets);
        let ended = self.intake.fill(&mut files).await?;
        if files.moved {
            self.intake.confirm().await?;
        }
        // A job that has never committed pins its start, whatever comes.
        let empty = !files.moved && !fresh;
        if let (true, Some(ended)) = (empty, ended) {
            return Ok(Err(ended));
        }
        let to = self.intake.positions(&files);
        self.progress.ends_at(to.clone());
        let files = self.name_files(files.finish().await?, &specs).await?;
        Ok(Ok(files.map_or(EpochEvent::NothingStaged, |files| staged(to, files))))
    }

    /// The staged files as the manifest names them; none when a table's columns or partitions are no longer what they
    /// were written for, and the epoch must be staged anew (I3).
    async fn name_files(
        &mut self,
        contents: Vec<StagedFiles>,
        specs: &[i32],
    ) -> Result<Option<BTreeMap<SinkName, Vec<String>>>> {
        let mut named = BTreeMap::new();
        for ((target, content), spec) in self.targets.iter_mut().zip(contents).zip(specs) {
            if let Some(evolution) = &content.schema
                && !target.add_columns(evolution, &mut self.patience).await?
            {
                return Ok(None);
            }
            let table = &target.base()?.metadata;
            if table.default_partition_spec_id() != *spec {
                return Ok(None);
            }
            let (mut files, mut told) = (content.files, None);
            if let Some(mut changes) = content.changes {
                told = changes.told.take();
                let ids = target.keys().map(|(ids, _)| ids).unwrap_or_default();
                if let Some(keys) = KeyFile::encode(&changes.deleted, &ids)? {
                    let uri = changes.names.put(&keys.bytes).await?;
                    files.push(keys.describe(&uri, table)?);
                }
                self.progress.values_lost.fetch_add(changes.lost, Ordering::Relaxed);
                if let Some(partial) = PartialFile::encode(&changes.partial, table.current_schema())? {
                    let uri = changes.names.put(&partial.bytes).await?;
                    files.push(partial.describe(&uri, table)?);
                }
            }
            let mut texts: Vec<String> = files.iter().map(|file| file_to_text(file, table)).collect::<Result<_>>()?;
            texts.extend(told);
            if let (Holds::DeadLetters, Some(topic)) = (target.holds, &self.letters_topic)
                && !texts.is_empty()
            {
                named.insert(topic.name.clone(), texts.clone());
            }
            named.insert(sink_name(&target.table), texts);
        }
        Ok(Some(named))
    }

    async fn publish(
        &mut self,
        sink: &SinkName,
        assertion: &Assertion,
        ledger: &Ledger,
        texts: &[String],
    ) -> Result<CommitReply> {
        let retention = Retention { age_max_ms: self.definition.retention_ms, ..Retention::default() };
        let job = self.definition.job.clone();
        let (target, patience) = self.target(sink)?;
        let base = target.base()?;
        if base.metadata_location != assertion.metadata_location {
            // Columns were added since the machine looked (I3): nothing is sent, it looks again.
            return Ok(CommitReply::Rejected);
        }
        let (mut files, mut deleted) = (Vec::with_capacity(texts.len()), Vec::new());
        let mut spec_id = base.metadata.default_partition_spec_id();
        // The change file of an epoch stands among its files.
        let (told, texts): (Vec<&String>, Vec<&String>) = texts.iter().partition(|text| path_of(text).is_ok());
        for text in texts {
            let (file, written_with) = file_from_text(text, &base.metadata)?;
            spec_id = written_with;
            let of = if file.content_type() == DataContentType::Data { &mut files } else { &mut deleted };
            of.push(file);
        }
        let name = EpochName { job, generation: ledger.generation, epoch: ledger.epoch };
        let mut changes = match target.changes_of((&files, &deleted), name).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                patience.pause_after(error).await?;
                return Ok(CommitReply::Rejected);
            }
            changes => changes?,
        };
        let properties = target.ledger_properties(ledger)?;
        let changes_file = told.first().map(|text| (*text).clone());
        let delta = RowDelta { files, spec_id, properties, changes: changes_file, retention, ..RowDelta::default() };
        target.publish(assertion, (&delta, changes.as_mut()), patience).await
    }
}

/// The tables that a definition's topic fills, that of the dead letters the last one, and the way from records to rows
/// of them. The two are made together: a way names tables by their places.
pub async fn tables_of(
    home: &Home,
    definition: &Definition,
    dead_letters: DeadLetters,
) -> Result<(Vec<Sink>, Box<dyn Dispatch>)> {
    let (mut sinks, dispatch): (Vec<Sink>, Box<dyn Dispatch>) = match &definition.fan_out {
        Some(_) => {
            let tables = FanOutTables::load(home, definition).await?;
            let sinks = tables.iter().map(|it| rows_of(&it.table, it.table_uuid)).collect();
            (sinks, Box::new(FanOut::new(home, definition, tables).await?))
        }
        None => {
            let table = target::load(home, &definition.table).await?;
            if Standing::of(definition, &table.metadata) != Standing::AsDeclared {
                return Err(mode::is_not_made(&definition.table));
            }
            let table = mirror::settled(home, definition, table).await?;
            let decoded = Some(Decoded::of(&table.metadata, definition));
            let sinks = vec![Sink { decoded, ..rows_of(&definition.table, definition.table_uuid) }];
            (sinks, Box::new(OneTable::new(home, definition, &table.metadata).await?))
        }
    };
    let DeadLetters { table, table_uuid, .. } = dead_letters;
    sinks.push(Sink { table, uuid: Some(table_uuid), holds: Holds::DeadLetters, decoded: None });
    Ok((sinks, dispatch))
}

fn rows_of(table: &TableName, uuid: Uuid) -> Sink {
    Sink { table: table.clone(), uuid: Some(uuid), holds: Holds::Rows, decoded: None }
}

fn staged(to: Positions, files: BTreeMap<SinkName, Vec<String>>) -> EpochEvent {
    EpochEvent::Staged(Box::new(StagedEpoch { to, files, state: None }))
}

/// A job calls its sinks by their tables' names.
pub fn sink_name(table: &TableName) -> SinkName {
    SinkName(table.to_string())
}
