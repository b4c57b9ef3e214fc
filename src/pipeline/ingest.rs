//! One topic into one table: the driver of the protocol's [`DirectWriter`].
//!
//! The machine decides, this file does: load the table, stage an epoch, publish it, tell the machine what
//! happened. No decision about offsets, conflicts or generations is taken here.
//! - I1: what the machine is told about a table is what the next commit is built on (one base, rule S1).
//! - I2: whatever fails outside is tried again; what only a person can mend ends the job with a reason.
//! - I3: while a commit takes long nothing is fetched ahead.
//!
//! Neighbours: `feed` reads the topic, `staging` writes the files; `epochs` drives jobs with several tables.

use std::sync::Arc;

use tableflow_catalog::LoadedTable;
use tableflow_lake::commit::{Retention, RowDelta};
use tableflow_lake::write::EpochName;
use tableflow_model::protocol::{
    Assertion, DirectEvent, DirectStep, DirectWriter, Epoch, Generation, Ledger, Positions, Rules, WriterId,
};
use tableflow_model::{Error, ErrorKind, Result};

use super::budget::TableMemory;
use super::dispatch::OneTable;
use super::feed::Feed;
use super::intake::{Intake, Start, while_resting};
use super::job::{Ended, Goal, Patience};
use super::mirror;
use super::progress::{Progress, State};
use super::staging::{EpochFiles, StagedFiles, TableFiles};
use super::target::{Decoded, Holds, Look, Target};
use crate::definition::Definition;
use crate::home::Home;

/// One running job.
#[derive(Debug)]
pub struct Ingest {
    home: Home,
    definition: Definition,
    feed: Feed,
    target: Target,
    progress: Arc<Progress>,
    patience: Patience,
    writer: WriterId,
    staged: Option<Staged>,
}

/// An epoch's files, from staging until the machine is done with them.
#[derive(Debug)]
struct Staged {
    content: StagedFiles,
    /// The table as it was when they were staged.
    schema_id: i32,
    spec_id: i32,
    /// A schema that comes back has its old id, and whoever added a column in between has taken the field ids of ours.
    last_column_id: i32,
}

enum Stage {
    Cut(Positions),
    Ended(Ended),
}

impl Ingest {
    /// Of a table as it was loaded, which is as its definition says.
    pub async fn new(
        home: Home,
        (definition, table): (Definition, LoadedTable),
        (progress, memory): (Arc<Progress>, Arc<TableMemory>),
        goal: Goal,
    ) -> Result<Self> {
        let table = mirror::settled(&home, &definition, table).await?;
        let dispatch = Box::new(OneTable::new(&home, &definition, &table.metadata).await?);
        let feed = Feed::new(&home, &definition, dispatch, goal.clone(), progress.clone(), &memory).await?;
        let patience = Patience::new(definition.table.clone(), goal, progress.clone());
        let (name, job) = (definition.table.clone(), definition.job.clone());
        let target = Target::new(home.clone(), (name, Holds::Rows), job, progress.clone());
        let mut target = target.decoded_for(Some(Decoded::of(&table.metadata, &definition)));
        if definition.upsert.is_some() {
            target.keep_keys(&table.metadata, memory.keys()).await?;
        }
        let writer = WriterId(home.ids.uuid());
        Ok(Ingest { home, definition, feed, target, progress, patience, writer, staged: None })
    }

    /// Runs until the goal is reached, somebody else takes over, or a person has to decide; an error is also that.
    pub async fn run(mut self) -> Result<Ended> {
        let ended = self.drive().await;
        self.target.end().await;
        ended
    }

    async fn drive(&mut self) -> Result<Ended> {
        let mut machine = DirectWriter::new(self.writer, Some(self.definition.table_uuid), Rules::law());
        let mut event = DirectEvent::Start;
        self.progress.set_state(State::Backfilling, None);
        loop {
            event = match machine.next(event)? {
                DirectStep::Load => match while_resting(&mut self.feed, self.target.look(&mut self.patience)).await? {
                    Look::Facts(facts) => DirectEvent::Loaded(facts),
                    Look::Failed => DirectEvent::LoadFailed,
                },
                DirectStep::Stage { from, generation, epoch } => match self.stage(from, generation, epoch).await {
                    Ok(Stage::Cut(positions)) => DirectEvent::Staged(positions),
                    Ok(Stage::Ended(Ended::Follows(step))) => {
                        return match self.target.follow(&step, &mut self.patience).await {
                            Err(error) if error.kind() == ErrorKind::Data => Ok(Ended::Suspended(error)),
                            followed => followed.map(|()| Ended::Grown),
                        };
                    }
                    Ok(Stage::Ended(ended)) => return Ok(ended),
                    // A conflict: the topic was re-created meanwhile, which the next look at its id says better.
                    Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Conflict) => {
                        self.patience.pause_after(error).await?;
                        DirectEvent::StageFailed
                    }
                    Err(error) => return Err(error),
                },
                DirectStep::Publish { assertion, ledger } => self.publish(&assertion, &ledger).await?,
                DirectStep::PublishIdentical => {
                    let publish = self.target.publish_again(&mut self.patience);
                    DirectEvent::Published(while_resting(&mut self.feed, publish).await?)
                }
                DirectStep::Committed { ledger } => match self.after_commit(&ledger.positions) {
                    Some(failure) => return Ok(Ended::Suspended(failure)),
                    None => DirectEvent::Continue,
                },
                DirectStep::Stop(stop) => return Ok(Ended::Fenced(stop.into_error(self.definition.whose(None)))),
                DirectStep::Suspend(suspend) => {
                    return Ok(Ended::Suspended(suspend.into_error(self.definition.whose(None))));
                }
            };
        }
    }

    /// Reads and writes one epoch; waits as long as there is nothing to read.
    async fn stage(&mut self, from: Option<Positions>, generation: Generation, epoch: Epoch) -> Result<Stage> {
        self.staged = None;
        if !self.target.is_as_decoded()? {
            return Ok(Stage::Ended(Ended::Grown));
        }
        let fresh = from.is_none();
        let offsets = match self.feed.start(from, epoch).await? {
            Start::At(offsets) => offsets,
            Start::Elsewhere(positions) => return Ok(Stage::Cut(positions)),
            Start::Ended(ended) => return Ok(Stage::Ended(ended)),
        };
        let table = self.target.base()?.metadata.clone();
        let name = EpochName { job: self.definition.job.clone(), generation, epoch };
        let mut table_files = TableFiles::new(self.home.store.clone(), &table, name)?;
        if let Some((columns, hasher)) = self.target.keys() {
            table_files = table_files.with_keys(columns, hasher);
        }
        let mut files = EpochFiles::new(vec![table_files], offsets);
        let ended = self.feed.fill(&mut files).await?;
        if files.moved {
            self.feed.confirm().await?;
        }
        // A table that has no ledger yet gets one at once: its start is pinned, whatever comes.
        let empty = !files.moved && !fresh;
        if let (true, Some(ended)) = (empty, ended) {
            return Ok(Stage::Ended(ended));
        }
        let positions = self.feed.positions(&files);
        self.progress.ends_at(positions.clone());
        let Some(content) = files.finish().await?.pop() else {
            return Err(Error::internal("the files of a job's only table are missing"));
        };
        let (schema_id, spec_id) = (table.current_schema_id(), table.default_partition_spec_id());
        self.staged = Some(Staged { content, schema_id, spec_id, last_column_id: table.last_column_id() });
        Ok(Stage::Cut(positions))
    }

    async fn publish(&mut self, assertion: &Assertion, ledger: &Ledger) -> Result<DirectEvent> {
        let table = &self.target.base()?.metadata;
        let Some(staged) = &mut self.staged else {
            return Err(Error::internal("a commit was decided without staged files"));
        };
        let spec_id = table.default_partition_spec_id();
        let fits = (staged.schema_id, staged.spec_id, staged.last_column_id)
            == (table.current_schema_id(), spec_id, table.last_column_id());
        if !fits || !self.target.is_as_decoded()? {
            return Ok(DirectEvent::StagedUnfit);
        }
        let delta = RowDelta {
            files: staged.content.files.clone(),
            spec_id,
            schema: staged.content.schema.clone(),
            properties: self.target.ledger_properties(ledger)?,
            retention: Retention { age_max_ms: self.definition.retention_ms, ..Retention::default() },
            changes: staged.content.changes.as_ref().and_then(|changes| changes.told.clone()),
            ..RowDelta::default()
        };
        let staged = (&delta, staged.content.changes.as_mut());
        let publish = self.target.publish(assertion, staged, &mut self.patience);
        Ok(DirectEvent::Published(while_resting(&mut self.feed, publish).await?))
    }

    /// The epoch is in. A record that stopped it ends the job.
    fn after_commit(&mut self, positions: &Positions) -> Option<Error> {
        self.progress.settled(positions, self.home.clock.now());
        self.feed.note_committed(positions);
        self.staged = None;
        self.patience.renew();
        self.feed.take_failure()
    }
}
