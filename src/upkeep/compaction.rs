//! One table's files become fewer and larger: the driver of a [`DirectWriter`] that reads no topic.
//!
//! The machine decides whether a step may be committed and what a lost reply means, `lake::compact` what is rewritten
//! and how it goes onto the base of now. This file does both, step by step.
//! - I1: one plan a run: files that come meanwhile are the next run's.
//! - I2: a step is some groups of the plan, so that a run that is killed has kept what it committed, and the next one
//!   plans what is left.
//! - I3: delete files are tidied up last: what was rewritten needs none. Groups that somebody else changed for good are
//!   given up and counted; no commit of others fails for a compaction, or waits for more than one of its commits.
//! - I4: a second compaction of the same table takes over: the first one stops with what it has committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use iceberg::spec::TableMetadata;
use serde::Serialize;
use tableflow_catalog::{CommitOutcome, LoadedTable};
use tableflow_lake::commit::{Prepared, Rewrite, prepare_rewrite};
use tableflow_lake::compact::{
    Group, Plan, Published, Rewriter, Rewritten, Strategy, Thresholds, Tidied, plan, prepare_step, prepare_tidying,
};
use tableflow_lake::write::{EpochName, FileNames};
use tableflow_model::protocol::{
    Assertion, CommitReply, DirectEvent, DirectStep, DirectWriter, Epoch, Generation, History, Ledger, Positions,
    Rules, TableFacts, WriterId,
};
use tableflow_model::{Error, ErrorKind, JobName, Result, TableName};
use tokio::time::Instant;

use crate::home::Home;
use crate::pipeline::target::table_facts;
use crate::query::files_with;
use crate::turns::Turn;

/// A step is committed when its new files have so many bytes: what a kill loses is at most that.
const STEP_BYTES: u64 = 1 << 30;

/// What fails outside is tried again after so long, doubled each time, and so often in a row.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const FAILURES_MAX: u32 = 8;

/// How a table is compacted.
#[derive(Clone, Debug)]
pub struct Options {
    pub thresholds: Thresholds,
    pub strategy: Strategy,
    /// Only files that may have rows for which it is true.
    pub condition: Option<String>,
    /// Groups that are rewritten at the same time.
    pub at_once: usize,
    pub memory_bytes_max: u64,
}

/// What a compaction did, or would do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub table: String,
    /// Parts of partitions that were rewritten, each as one.
    pub groups: u64,
    /// Those that others changed for good meanwhile: the next compaction takes them.
    pub groups_given_up: u64,
    pub files_read: u64,
    pub files_written: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub rows_written: u64,
    /// Deleted rows that are gone from the files.
    pub rows_dropped: u64,
    /// Delete files that became fewer without their data files being rewritten.
    pub delete_files_merged: u64,
    pub delete_files_written: u64,
    /// Rows that were deleted while their files were rewritten.
    pub deletes_moved: u64,
    pub commits: u64,
    pub requests: u64,
    pub seconds: f64,
    /// Bytes written in all for each byte that the files that were read had, the first time included.
    pub write_amplification: f64,
}

/// Plans, and changes nothing.
pub async fn dry_run(home: &Home, table: &TableName, options: &Options) -> Result<Report> {
    let base = home.catalog.load_table(table).await?;
    check(table, &base.metadata, options)?;
    let plan = planned(home, table, &base.metadata, options).await?;
    let mut report = Report { table: table.to_plain_string(), ..Report::default() };
    for group in &plan.groups {
        report.groups += 1;
        report.files_read += group.files.len() as u64;
        report.files_written += group.outputs;
        report.bytes_read += group.bytes();
        report.rows_dropped += group.files.iter().map(|input| input.deleted).sum::<u64>();
        report.rows_written += group.files.iter().map(|input| input.rows() - input.deleted).sum::<u64>();
        report.bytes_written += group.file_bytes * group.outputs;
    }
    report.amplified();
    Ok(report)
}

fn check(table: &TableName, metadata: &TableMetadata, options: &Options) -> Result<()> {
    match options.strategy {
        Strategy::Sort { .. } if metadata.default_sort_order().is_unsorted() => {
            Err(Error::usage(format!("{table} has no order that its rows could be sorted by"))
                .with_hint("a table has one with `tableflow enable --sort-by`; leave --strategy out for another"))
        }
        _ => Ok(()),
    }
}

async fn planned(home: &Home, table: &TableName, metadata: &TableMetadata, options: &Options) -> Result<Plan> {
    let thresholds = options.thresholds;
    match &options.condition {
        None => plan(&home.store, metadata, |_| true, thresholds).await,
        Some(condition) => {
            let files = files_with(home, table, condition, options.memory_bytes_max).await?;
            let is_wanted = |uri: &str| home.store.path(uri).is_ok_and(|path| files.contains(path.as_ref()));
            plan(&home.store, metadata, |file| is_wanted(file.file_path()), thresholds).await
        }
    }
}

/// Compacts a table to the end of its plan (I1).
pub async fn compact(home: &Home, table: &TableName, options: &Options) -> Result<Report> {
    let started = Instant::now();
    let before = home.store.meter();
    let base = home.catalog.load_table(table).await?;
    check(table, &base.metadata, options)?;
    let plan = Arc::new(planned(home, table, &base.metadata, options).await?);
    let mut compaction = Compaction::new(home, table, (base, plan), [Task::Rewrite, Task::Tidy]);
    (compaction.at_once, compaction.strategy) = (options.at_once.max(1), options.strategy);
    compaction.run().await?;
    let (mut report, after) = (compaction.report, home.store.meter());
    report.requests = after.requests() - before.requests();
    report.seconds = started.elapsed().as_millis() as f64 / 1000.0;
    report.amplified();
    Ok(report)
}

/// Decides what compactions staged that were killed: their files are nobody's from here on.
pub async fn decide(home: &Home, table: &TableName) -> Result<()> {
    let base = home.catalog.load_table(table).await?;
    let plan = Arc::new(Plan::of_nothing(&base.metadata));
    Compaction::new(home, table, (base, plan), [Task::Decide]).run().await
}

impl Report {
    fn amplified(&mut self) {
        if self.bytes_read > 0 {
            let amplification = 1.0 + self.bytes_written as f64 / self.bytes_read as f64;
            self.write_amplification = (amplification * 100.0).round() / 100.0;
        }
    }

    fn add(&mut self, rewritten: &Rewritten) {
        let files = &rewritten.group.files;
        let rows_read: u64 = files.iter().map(|input| input.rows()).sum();
        self.groups += 1;
        self.files_read += files.len() as u64;
        self.files_written += rewritten.files.len() as u64;
        self.bytes_read += rewritten.group.bytes();
        self.bytes_written += rewritten.bytes();
        self.rows_written += rewritten.rows();
        self.rows_dropped += rows_read - rewritten.rows();
    }
}

/// A run under way.
struct Compaction<'a> {
    home: &'a Home,
    table: &'a TableName,
    at_once: usize,
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
    report: Report,
}

/// What a commit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Groups that wait become other files.
    Rewrite,
    /// Delete files become fewer.
    Tidy,
    /// Nothing but the ledger moves: what dead processes staged is decided (rule G2).
    Decide,
}

/// The new files of a step; none where it is not about data files.
struct Staged {
    task: Task,
    done: Vec<Rewritten>,
    names: FileNames,
}

/// A commit as it was sent.
struct Sent {
    base: LoadedTable,
    prepared: Prepared,
    did: Did,
}

enum Did {
    Rewrite(Published),
    Tidy { removed: u64, added: u64 },
    Decide,
}

impl<'a> Compaction<'a> {
    fn new(
        home: &'a Home,
        table: &'a TableName,
        (base, plan): (LoadedTable, Arc<Plan>),
        tasks: impl IntoIterator<Item = Task>,
    ) -> Self {
        Compaction {
            home,
            table,
            at_once: 1,
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
            report: Report { table: table.to_plain_string(), ..Report::default() },
        }
    }

    /// What comes next.
    fn task(&mut self) -> Option<Task> {
        self.tasks.pop_front_if(|task| *task == Task::Rewrite && self.waiting.is_empty());
        self.tasks.front().copied()
    }

    async fn run(&mut self) -> Result<()> {
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
        while task == Task::Rewrite
            && !self.waiting.is_empty()
            && done.iter().map(Rewritten::bytes).sum::<u64>() < STEP_BYTES
        {
            let some: Vec<Group> = self.waiting.drain(..self.at_once.min(self.waiting.len())).collect();
            let rewriting = stream::iter(some.clone()).map(|group| rewritten(rewriter.clone(), group));
            let mut failed = None;
            for (rewritten, group) in rewriting.buffered(self.at_once).collect::<Vec<_>>().await.into_iter().zip(some) {
                match rewritten {
                    Ok(rewritten) => done.push(rewritten),
                    // Somebody replaced a file, and nobody needed it any more (I3).
                    Err(error) if error.kind() == ErrorKind::NotFound => self.report.groups_given_up += 1,
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
            self.turn = Some(self.home.turns.of(self.table).await);
        }
        if self.base.metadata_location != assertion.metadata_location {
            return Err(Error::internal("a commit was decided on another base than the loaded one"));
        }
        let Some(staged) = &mut self.staged else {
            return Err(Error::internal("a commit was decided without staged files"));
        };
        let properties = BTreeMap::from([(Ledger::property(&JobName::compaction()), ledger.to_text()?)]);
        match prepare(self.home, &self.base, &self.plan, staged, properties).await {
            Ok(Some((prepared, did))) => {
                self.sent = Some(Sent { base: self.base.clone(), prepared, did });
                self.send().await
            }
            Ok(None) => {
                // Every group of the step was changed by others (I3), or there are no delete files to tidy up.
                let given_up = staged.done.len() as u64;
                self.report.groups_given_up += given_up;
                self.tasks.pop_front_if(|task| *task != Task::Rewrite);
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
        self.report.commits += 1;
        let step = match sent.did {
            Did::Rewrite(step) => step,
            Did::Decide => {
                self.tasks.pop_front();
                return;
            }
            Did::Tidy { removed, added } => {
                self.tasks.pop_front();
                self.report.delete_files_merged += removed;
                self.report.delete_files_written += added;
                return;
            }
        };
        self.report.deletes_moved += step.moved_deletes;
        self.report.groups_given_up += (staged.done.len() - step.groups.len()) as u64;
        for place in step.groups {
            if let Some(rewritten) = staged.done.get(place) {
                self.report.add(rewritten);
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

/// The step on a base; nothing where there is nothing of it to be done.
async fn prepare(
    home: &Home,
    base: &LoadedTable,
    plan: &Plan,
    staged: &mut Staged,
    properties: BTreeMap<String, String>,
) -> Result<Option<(Prepared, Did)>> {
    let (context, names) = (home.commit_context(), &mut staged.names);
    Ok(match staged.task {
        Task::Rewrite => prepare_step(context, (&base.metadata, plan), &staged.done, names, properties)
            .await?
            .map(|(prepared, published)| (prepared, Did::Rewrite(published))),
        Task::Tidy => prepare_tidying(context, &base.metadata, names, properties)
            .await?
            .map(|Tidied { prepared, removed, added }| (prepared, Did::Tidy { removed, added })),
        Task::Decide => {
            let rewrite = Rewrite { properties, ..Rewrite::default() };
            Some((prepare_rewrite(context, &base.metadata, &rewrite).await?, Did::Decide))
        }
    })
}

/// On a thread of the pool: decoding and encoding keep it busy.
async fn rewritten(rewriter: Arc<Rewriter>, group: Group) -> Result<Rewritten> {
    let rewriting = tokio::spawn(async move { rewriter.rewrite(group).await });
    rewriting
        .await
        .unwrap_or_else(|panic| Err(Error::internal("the compaction failed inside").with_detail(panic.to_string())))
}
