//! The commit that makes a table what its definition says.
//!
//! Owns [`Conversion`], a job's first step in the new mode: another driver of the protocol's [`DirectWriter`]. Its one epoch
//! reads nothing of the topic: the ledger moves to the next epoch, and its positions stay.
//! - I1: what goes, and whether all rows have what tells it, is found on the base of each try (rules U1, S1).
//! - I2: a process that dies leaves the table as it was, or converted; files of no commit are an undecided epoch's (G2).
//! - I3: what rows are sorted in takes a part of the memory budget; beyond that it is on disk.

use std::sync::Arc;

use tableflow_lake::commit::{Retention, RowDelta};
use tableflow_lake::layout::Evolution;
use tableflow_lake::write::{EpochName, FileNames};
use tableflow_model::protocol::{
    Assertion, CommitReply, DirectEvent, DirectStep, DirectWriter, Ledger, Rules, WriterId,
};
use tableflow_model::{Error, ErrorKind, Result};

use super::staying::{goes, never_filled, schema_after};
use super::{PROPERTY, Standing, word};
use crate::definition::{Definition, ModeChange};
use crate::home::Home;
use crate::pipeline::budget::{TableMemory, sorting_bytes};
use crate::pipeline::identity;
use crate::pipeline::job::{Ended, Goal, Patience};
use crate::pipeline::progress::{Progress, State};
use crate::pipeline::target::{Holds, Look, Target};

/// A job that changes its table's mode.
#[derive(Debug)]
pub struct Conversion {
    home: Home,
    definition: Definition,
    change: ModeChange,
    target: Target,
    patience: Patience,
    goal: Goal,
    progress: Arc<Progress>,
    memory_bytes: usize,
    /// For the files of what goes, on every try further ones.
    names: Option<FileNames>,
}

enum Found {
    Delta(Box<RowDelta>),
    Stopped,
}

impl Conversion {
    pub fn new(
        home: Home,
        (definition, change): (Definition, ModeChange),
        (progress, memory): (Arc<Progress>, Arc<TableMemory>),
        goal: Goal,
    ) -> Self {
        let (name, job) = (definition.table.clone(), definition.job.clone());
        let target = Target::new(home.clone(), (name, Holds::Rows), job, progress.clone());
        let patience = Patience::new(definition.table.clone(), goal.clone(), progress.clone());
        let memory_bytes = sorting_bytes(memory.bytes_max());
        Conversion { home, definition, change, target, patience, goal, progress, memory_bytes, names: None }
    }

    /// Until the table is what its definition says, or a person has to decide.
    pub async fn run(mut self) -> Result<Ended> {
        let writer = WriterId(self.home.ids.uuid());
        let mut machine = DirectWriter::new(writer, Some(self.definition.table_uuid), Rules::law());
        let mut event = DirectEvent::Start;
        self.progress.set_state(State::Backfilling, None);
        loop {
            event = match machine.next(event)? {
                DirectStep::Load => match self.target.look(&mut self.patience).await? {
                    Look::Facts(facts) => DirectEvent::Loaded(facts),
                    Look::Failed => DirectEvent::LoadFailed,
                },
                DirectStep::Stage { from, generation, epoch } => {
                    if self.goal.is_stopped() {
                        return Ok(Ended::Stopped);
                    }
                    if !self.is_due()? {
                        return Ok(Ended::Grown);
                    }
                    let Some(from) = from else {
                        return Ok(Ended::Suspended(never_filled(&self.definition)));
                    };
                    let name = EpochName { job: self.definition.job.clone(), generation, epoch };
                    let location = self.target.base()?.metadata.location().to_owned();
                    self.names = Some(FileNames::new(self.home.store.clone(), &location, name));
                    DirectEvent::Staged(from)
                }
                DirectStep::Publish { assertion, ledger } => match self.publish(&assertion, &ledger).await? {
                    Some(reply) => DirectEvent::Published(reply),
                    None => return Ok(if self.goal.is_stopped() { Ended::Stopped } else { Ended::Grown }),
                },
                DirectStep::PublishIdentical => {
                    DirectEvent::Published(self.target.publish_again(&mut self.patience).await?)
                }
                DirectStep::Committed { .. } => return self.made().await,
                DirectStep::Stop(stop) => return Ok(Ended::Fenced(stop.into_error(self.definition.whose(None)))),
                DirectStep::Suspend(suspend) => {
                    return Ok(Ended::Suspended(suspend.into_error(self.definition.whose(None))));
                }
            };
        }
    }

    fn is_due(&self) -> Result<bool> {
        let base = self.target.base()?;
        Ok(Standing::of(&self.definition, &base.metadata) == Standing::Due(self.change.clone()))
    }

    /// Finds out what goes, and commits. Nothing where the job is told to stop first, or somebody else was first.
    async fn publish(&mut self, assertion: &Assertion, ledger: &Ledger) -> Result<Option<CommitReply>> {
        if !self.is_due()? {
            return Ok(None);
        }
        let delta = match self.delta(ledger).await {
            Ok(Found::Delta(delta)) => delta,
            Ok(Found::Stopped) => return Ok(None),
            // A file that is gone was replaced by somebody: the next look knows the new one.
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::NotFound) => {
                self.patience.pause_after(error).await?;
                return Ok(Some(CommitReply::Rejected));
            }
            Err(error) => return Err(error),
        };
        // Rows were read for a while: a person may have taken it back.
        let newest = self.home.definitions().newest_of(self.definition.clone()).await?;
        if newest.mode_change.as_ref() != Some(&self.change) {
            return Ok(None);
        }
        self.target.publish(assertion, (&delta, None), &mut self.patience).await.map(Some)
    }

    /// The commit on the base of now (I1).
    async fn delta(&mut self, ledger: &Ledger) -> Result<Found> {
        let base = self.target.base()?.metadata.clone();
        let mut properties = self.target.ledger_properties(ledger)?;
        properties.insert(PROPERTY.to_owned(), self.change.number.to_string());
        let Some(names) = &mut self.names else {
            return Err(Error::internal("a change of mode was decided before it was staged"));
        };
        let finding = goes(&self.home, (&self.definition, &self.change), &base, self.memory_bytes, names);
        let superseded = tokio::select! {
            superseded = finding => superseded?,
            () = self.goal.stopped() => return Ok(Found::Stopped),
        };
        let (table, mode) = (&self.definition.table, word(self.definition.upsert.is_some()));
        let (kept, gone) = (superseded.rows_kept, superseded.rows_gone);
        tracing::info!(%table, mode, kept, gone, "the table changes its mode");
        let schema = schema_after((&self.definition, &self.change), &base)?;
        properties.extend([identity::property(&schema)]);
        Ok(Found::Delta(Box::new(RowDelta {
            spec_id: base.default_partition_spec_id(),
            deletes: superseded.deletes,
            schema: Some(Evolution { schema, last_column_id: base.last_column_id() }),
            properties,
            retention: Retention { age_max_ms: self.definition.retention_ms, ..Retention::default() },
            ..RowDelta::default()
        })))
    }

    /// It is made: the job goes on in the new mode.
    async fn made(&mut self) -> Result<Ended> {
        self.patience.renew();
        if self.definition.upsert.is_none() {
            // Nobody looks a key up any more. What cannot be removed goes with the table.
            let _ = tokio::fs::remove_dir_all(self.home.key_index(self.definition.table_uuid)).await;
        }
        Ok(Ended::Grown)
    }
}
