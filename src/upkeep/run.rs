//! One run of upkeep on one table: the driver of a [`DirectWriter`] that reads no topic.
//!
//! The machine decides whether a step may be committed and what a lost reply means, the crate `lake` what is done and how
//! it goes onto the base of now. This file does both, step by step.
//! - I1: all upkeep of a table is one job, with a ledger of its own: what dead runs staged is decided by the next one.
//! - I2: a step is some groups of the plan, so that a run that is killed has kept what it committed, and the next one
//!   plans what is left.
//! - I3: groups that somebody else changed for good are given up and counted; no commit of others fails for a run, or
//!   waits for more than one of its commits.
//! - I4: a second run on the same table takes over: the first one stops with what it has committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use iceberg::spec::TableMetadata;
use tableflow_catalog::{CommitOutcome, LoadedTable};
use tableflow_lake::commit::Prepared;
use tableflow_lake::compact::{Group, Plan, Rewriter, Rewritten, Strategy};
use tableflow_lake::write::{EpochName, FileNames};
use tableflow_model::protocol::{
    Assertion, CommitReply, DirectEvent, DirectStep, DirectWriter, Epoch, Generation, History, Ledger, Positions,
    Rules, TableFacts, WriterId,
};
use tableflow_model::{Error, ErrorKind, JobName, Result, TableName};

use super::compaction::Report;
use super::means::Means;
use super::step::{Did, Staged, Task};
use crate::home::Home;
use crate::pipeline::target::table_facts;
use crate::turns::Turn;

/// A step is committed when its new files have so many bytes: what a kill loses is at most that.
const STEP_BYTES: u64 = 1 << 30;

/// What fails outside is tried again after so long, doubled each time, and so often in a row.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const FAILURES_MAX: u32 = 8;

/// These tasks alone, without files to rewrite.
pub(super) async fn run(home: &Home, table: &TableName, tasks: impl IntoIterator<Item = Task>) -> Result<Done> {
    let base = home.catalog.load_table(table).await?;
    let plan = Arc::new(Plan::of_nothing(&base.metadata));
    Run::new(home, table, (base, plan), tasks).finish().await
}

/// A run under way.
pub(super) struct Run<'a> {
    home: &'a Home,
    table: &'a TableName,
    /// None where nothing is rewritten.
    means: Option<Means>,
    strategy: Strategy,
    plan: Arc<Plan>,
    planned_on: Arc<TableMetadata>,
    waiting: VecDeque<Group>,
    base: LoadedTable,
    /// From the look at a base until the commit onto it.
    turn: Option<Turn>,
    /// What is to be done, in this order.
    tasks: VecDeque<Task>,
    staged: Option<Staged>,
    sent: Option<Sent>,
    /// In a row.
    failures: u32,
    done: Done,
}

/// A commit as it was sent.
struct Sent {
    base: LoadedTable,
    prepared: Prepared,
    did: Did,
}

/// What a run did.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub compaction: Report,
    pub rows_removed: u64,
    /// That were dropped or rewritten with those.
    pub data_files_removed: u64,
    /// Manifests before and after.
    pub manifests: Option<(u64, u64)>,
}

impl<'a> Run<'a> {
    pub fn new(
        home: &'a Home,
        table: &'a TableName,
        (base, plan): (LoadedTable, Arc<Plan>),
        tasks: impl IntoIterator<Item = Task>,
    ) -> Self {
        Run {
            home,
            table,
            means: None,
            strategy: Strategy::BinPack,
            waiting: plan.groups.iter().cloned().collect(),
            planned_on: base.metadata.clone(),
            plan,
            base,
            turn: None,
            tasks: tasks.into_iter().collect(),
            staged: None,
            sent: None,
            failures: 0,
            done: Done {
                compaction: Report { table: table.to_plain_string(), ..Report::default() },
                ..Done::default()
            },
        }
    }

    /// How groups are rewritten.
    pub fn by(mut self, strategy: Strategy, means: Means) -> Self {
        (self.strategy, self.means) = (strategy, Some(means));
        self
    }

    pub async fn finish(mut self) -> Result<Done> {
        self.drive().await?;
        Ok(self.done)
    }

    /// What comes next.
    fn task(&mut self) -> Option<Task> {
        self.tasks.pop_front_if(|task| matches!(task, Task::Rewrite) && self.waiting.is_empty());
        self.tasks.front().cloned()
    }

    async fn drive(&mut self) -> Result<()> {
        let writer = WriterId(self.home.ids.uuid());
        let mut machine = DirectWriter::new(writer, Some(self.plan.table), Rules::law());
        let mut event = DirectEvent::Start;
        loop {
            event = match machine.next(event)? {
                DirectStep::Load => self.look().await?,
                DirectStep::Stage { generation, epoch, .. } => {
                    self.drop_staged();
                    match self.task() {
                        Some(task) => self.stage(task, generation, epoch).await?,
                        None => return Ok(()),
                    }
                }
                DirectStep::Publish { ledger, assertion } => self.publish(&assertion, &ledger).await?,
                DirectStep::PublishIdentical => self.send().await?,
                DirectStep::Committed { .. } => {
                    self.committed();
                    DirectEvent::Continue
                }
                DirectStep::Stop(_) => {
                    return Err(Error::conflict(format!("another compaction of {} took over", self.table))
                        .with_hint("it goes on with what is left; run one at a time"));
                }
                DirectStep::Suspend(suspend) => {
                    return Err(Error::conflict(format!("the compaction of {} cannot go on", self.table))
                        .with_detail(suspend.to_string())
                        .with_hint("what it committed stays; run it again"));
                }
            };
        }
    }

    async fn look(&mut self) -> Result<DirectEvent> {
        // Who has a turn asks for no other.
        self.turn = None;
        if self.staged.is_some() {
            self.turn = Some(self.home.turns.of(self.table).await);
        }
        match self.home.catalog.load_table(self.table).await {
            Ok(base) => {
                self.base = base;
                Ok(DirectEvent::Loaded(Box::new(self.facts())))
            }
            Err(error) => self.pause_after(error).await.map(|()| DirectEvent::LoadFailed),
        }
    }

    /// The table as the machine sees it. A ledger that stands for no position cannot be behind: where main was set
    /// back, it goes on from the property.
    fn facts(&self) -> TableFacts {
        let facts = table_facts(&self.base, self.home.catalog.guard(), &JobName::compaction());
        TableFacts { history: History::Agrees, ..facts }
    }

    /// Rewrites groups until a step is full (I2).
    async fn stage(&mut self, task: Task, generation: Generation, epoch: Epoch) -> Result<DirectEvent> {
        self.turn = None;
        let name = EpochName { job: JobName::compaction(), generation, epoch };
        let (store, planned) = (self.home.store.clone(), (self.plan.clone(), self.strategy));
        let names = FileNames::new(store.clone(), self.planned_on.location(), name);
        let rewriter = Arc::new(Rewriter::new(store, self.planned_on.clone(), planned, names)?);
        let mut done = Vec::new();
        while matches!(task, Task::Rewrite)
            && !self.waiting.is_empty()
            && done.iter().map(Rewritten::bytes).sum::<u64>() < STEP_BYTES
        {
            let Some((some, _taken)) = self.means.as_ref().map(|means| means.next(&mut self.waiting, self.strategy))
            else {
                return Err(Error::internal("files are to be rewritten by nothing"));
            };
            let rewriting = stream::iter(some.clone()).map(|group| rewritten(rewriter.clone(), group));
            let mut failed = None;
            for (rewritten, group) in rewriting.buffered(some.len()).collect::<Vec<_>>().await.into_iter().zip(some) {
                match rewritten {
                    Ok(rewritten) => done.push(rewritten),
                    // Somebody replaced a file, and nobody needed it any more (I3).
                    Err(error) if error.kind() == ErrorKind::NotFound => self.done.compaction.groups_given_up += 1,
                    Err(error) => {
                        self.waiting.push_front(group);
                        failed = Some(error);
                    }
                }
            }
            if let Some(error) = failed {
                done.into_iter().for_each(|rewritten: Rewritten| self.waiting.push_front(rewritten.group));
                self.pause_after(error).await?;
                return Ok(DirectEvent::StageFailed);
            }
        }
        self.staged = Some(Staged { task, done, names: rewriter.names().await });
        Ok(DirectEvent::Staged(Positions::default()))
    }

    /// What was staged and is not committed is to be rewritten once more.
    fn drop_staged(&mut self) {
        let staged = self.staged.take();
        for rewritten in staged.into_iter().flat_map(|staged| staged.done).rev() {
            self.waiting.push_front(rewritten.group);
        }
    }

    async fn publish(&mut self, assertion: &Assertion, ledger: &Ledger) -> Result<DirectEvent> {
        self.sent = None;
        if self.turn.is_none() {
            let mut turn = self.home.turns.of(self.table).await;
            if turn.is_past(&assertion.metadata_location) {
                return Ok(DirectEvent::Published(CommitReply::Rejected));
            }
            self.turn = Some(turn);
        }
        if self.base.metadata_location != assertion.metadata_location {
            return Err(Error::internal("a commit was decided on another base than the loaded one"));
        }
        let Some(staged) = &mut self.staged else {
            return Err(Error::internal("a commit was decided without staged files"));
        };
        let properties = BTreeMap::from([(Ledger::property(&JobName::compaction()), ledger.to_text()?)]);
        match staged.prepare(self.home, &self.base, &self.plan, properties).await {
            Ok(Some((prepared, did))) => {
                self.sent = Some(Sent { base: self.base.clone(), prepared, did });
                self.send().await
            }
            Ok(None) => {
                // Every group of the step was changed by others (I3), or there are no delete files to tidy up.
                let given_up = staged.done.len() as u64;
                self.done.compaction.groups_given_up += given_up;
                self.tasks.pop_front_if(|task| !matches!(task, Task::Rewrite));
                (self.staged, self.turn) = (None, None);
                Ok(DirectEvent::StagedUnfit)
            }
            Err(error) => {
                self.pause_after(error).await?;
                Ok(DirectEvent::Published(CommitReply::Rejected))
            }
        }
    }

    /// Sends the last commit, the first time or unchanged.
    async fn send(&mut self) -> Result<DirectEvent> {
        let Some(Sent { base, prepared, .. }) = &self.sent else {
            return Err(Error::internal("there is no commit to send"));
        };
        let (requirements, updates) = (prepared.requirements.clone(), prepared.updates.clone());
        let reply = match self.home.catalog.commit(self.table, base, requirements, updates).await {
            Ok(CommitOutcome::Applied(table)) => {
                if let Some(turn) = &mut self.turn {
                    turn.left_at(&table.metadata_location);
                }
                self.base = table;
                CommitReply::Applied(Box::new(self.facts()))
            }
            Ok(CommitOutcome::Conflict { reason }) => {
                tracing::debug!(table = %self.table, reason, "somebody else committed first");
                CommitReply::Rejected
            }
            Ok(CommitOutcome::Unknown { error }) | Err(error) => {
                self.pause_after(error).await?;
                CommitReply::Unknown
            }
        };
        self.turn = None;
        Ok(DirectEvent::Published(reply))
    }

    fn committed(&mut self) {
        let (Some(staged), Some(sent)) = (self.staged.take(), self.sent.take()) else { return };
        self.failures = 0;
        self.done.compaction.commits += 1;
        if !matches!(sent.did, Did::Rewrite(_)) {
            self.tasks.pop_front();
        }
        let done = &mut self.done;
        match sent.did {
            Did::Decide => {}
            Did::Tidy { removed, added } => {
                done.compaction.delete_files_merged += removed;
                done.compaction.delete_files_written += added;
            }
            Did::Remove { rows, data_files } => {
                done.rows_removed += rows;
                done.data_files_removed += data_files;
            }
            Did::Manifests { before, after } => done.manifests = Some((before, after)),
            Did::Rewrite(step) => {
                done.compaction.deletes_moved += step.moved_deletes;
                done.compaction.groups_given_up += (staged.done.len() - step.groups.len()) as u64;
                for rewritten in step.groups.into_iter().filter_map(|place| staged.done.get(place)) {
                    done.compaction.add(rewritten);
                }
            }
        }
    }

    /// Gives the error back where trying again does not help, or it came too often.
    async fn pause_after(&mut self, error: Error) -> Result<()> {
        self.turn = None;
        // A file that is gone was replaced by somebody: the next look knows that.
        let may_pass = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::NotFound | ErrorKind::Conflict);
        self.failures += 1;
        if !may_pass || self.failures > FAILURES_MAX {
            return Err(error);
        }
        tracing::info!(table = %self.table, %error, "trying again");
        tokio::time::sleep(PAUSE_MIN * 2_u32.pow(self.failures - 1)).await;
        Ok(())
    }
}

/// On a thread of the pool: decoding and encoding keep it busy.
async fn rewritten(rewriter: Arc<Rewriter>, group: Group) -> Result<Rewritten> {
    let rewriting = tokio::spawn(async move { rewriter.rewrite(group).await });
    rewriting
        .await
        .unwrap_or_else(|panic| Err(Error::internal("the compaction failed inside").with_detail(panic.to_string())))
}
