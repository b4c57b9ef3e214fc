//! Who follows a table: registrations, and what a consumer reads next.
//!
//! Owns [`Follower`], a consumer whose position is its registration: what it was told counts as taken once it says so.
//! - I1: a consumer is registered before it chooses where to start, in a property of its own (rule F1).
//! - I2: its registration moves only when what was read is where the consumer wants it (F3): one that dies before is told
//!   the same again.
//! - I3: commits of properties assert the table and main; who comes between is met by trying again on the table of then.

use std::collections::HashMap;
use std::time::Duration;

use iceberg::spec::TableMetadata;
use tableflow_catalog::{CommitOutcome, LoadedTable};
use tableflow_lake::commit::prepare_change;
use tableflow_lake::feed::{Step, fed, position_of, step_after};
use tableflow_model::protocol::Rules;
use tableflow_model::protocol::feed::{FeedStep, Position, Registration, Start, next};
use tableflow_model::{Error, JobName, Result, TableName};

use crate::home::Home;

const TRIES_MAX: u32 = 8;
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// A consumer of one table.
#[derive(Debug)]
pub struct Follower {
    home: Home,
    table: TableName,
    consumer: JobName,
}

/// What a consumer has to read: all of it leads to `to`.
#[derive(Debug)]
pub struct Due {
    pub loaded: LoadedTable,
    pub steps: Vec<Step>,
    pub to: Position,
}

impl Follower {
    pub fn new(home: Home, table: TableName, consumer: JobName) -> Self {
        Follower { home, table, consumer }
    }

    /// Everything up to main: the whole table for one that is new, what changed since for others.
    pub async fn due(&self) -> Result<Due> {
        let mut loaded = self.load().await?;
        let registered = self.registered(&loaded.metadata)?;
        if registered.is_none() {
            loaded = self.register(Some(Registration::Starting)).await?;
        }
        match self.registered(&loaded.metadata)? {
            Some(Registration::At(own)) => Self::since(loaded, own),
            starting => {
                let step = fed(&loaded.metadata, |fed| next(fed, None, starting, Start::Main, Rules::law()))?;
                let FeedStep::Start(to) = step else {
                    return Err(Error::conflict(format!("somebody took the registration of {} away", self.consumer))
                        .with_hint("run it again"));
                };
                let steps = to.snapshot.map(|id| Step::all_of(Some(id))).into_iter().collect();
                Ok(Due { loaded, steps, to })
            }
        }
    }

    fn since(loaded: LoadedTable, own: Position) -> Result<Due> {
        let main = loaded.metadata.current_snapshot_id();
        let (mut steps, mut to) = (Vec::new(), own);
        let anew = "take its registration back with --leave, and begin anew: it is told the whole table then";
        while let Some((position, step)) =
            step_after(&loaded.metadata, to, main).map_err(|error| error.with_hint(anew))?
        {
            steps.extend(step);
            to = position;
        }
        Ok(Due { loaded, steps, to })
    }

    /// What led to this position was taken (I2).
    pub async fn took(&self, to: Position) -> Result<()> {
        self.register(Some(Registration::At(to))).await.map(drop)
    }

    /// It follows the table no more. False where it did not.
    pub async fn leave(&self) -> Result<bool> {
        let was = self.registered(&self.load().await?.metadata)?.is_some();
        self.register(None).await?;
        Ok(was)
    }

    async fn load(&self) -> Result<LoadedTable> {
        self.home.catalog.load_table(&self.table).await
    }

    fn registered(&self, metadata: &TableMetadata) -> Result<Option<Registration>> {
        let text = metadata.properties().get(&Registration::property(&self.consumer));
        text.map(|text| Registration::from_text(text)).transpose()
    }

    /// Until the table says it (I3).
    async fn register(&self, registration: Option<Registration>) -> Result<LoadedTable> {
        let property = Registration::property(&self.consumer);
        let text = registration.map(Registration::to_text).transpose()?;
        let mut failed = None;
        for tried in 0..TRIES_MAX {
            if tried > 0 {
                tokio::time::sleep(PAUSE_MIN * 2_u32.pow(tried - 1)).await;
            }
            let base = self.load().await?;
            if base.metadata.properties().get(&property) == text.as_ref() {
                return Ok(base);
            }
            let (set, removed) = match &text {
                Some(text) => (HashMap::from([(property.clone(), text.clone())]), Vec::new()),
                None => (HashMap::new(), vec![property.clone()]),
            };
            let (requirements, updates) = prepare_change(&base.metadata, None, set, removed);
            match self.home.catalog.commit(&self.table, &base, requirements, updates).await {
                Ok(CommitOutcome::Applied(table)) => return Ok(table),
                Ok(CommitOutcome::Conflict { reason }) => failed = Some(Error::conflict(reason)),
                Ok(CommitOutcome::Unknown { error }) | Err(error) => failed = Some(error),
            }
        }
        let failed = failed.unwrap_or_else(|| Error::internal("no registration was tried"));
        Err(failed.with_hint("others commit to the table all the time, or the catalog does not answer: run it again"))
    }
}

/// What lies between two snapshots; without the first one, what the second one changed.
pub fn between(table: &TableMetadata, from: Option<i64>, to: Option<i64>) -> Result<Vec<Step>> {
    let Some(to) = to.or(table.current_snapshot_id()) else { return Ok(Vec::new()) };
    let no_snapshot = |id: i64| {
        Error::not_found(format!("the table has no snapshot {id}"))
            .with_hint("`tableflow history TABLE` lists the snapshots that are kept")
    };
    let last = table.snapshot_by_id(to).ok_or_else(|| no_snapshot(to))?;
    let parent = last.parent_snapshot_id().filter(|_| from.is_none());
    if parent.is_some_and(|id| table.snapshot_by_id(id).is_none()) {
        return Err(Error::not_found(format!("what was before snapshot {to} is forgotten: nobody can tell what it changed"))
            .with_hint("name an older one that is kept with --from (`tableflow history TABLE`), or follow the table with --consumer NAME from now on"));
    }
    let first = from.or(parent).map(|id| table.snapshot_by_id(id).ok_or_else(|| no_snapshot(id))).transpose()?;
    let mut at = position_of(first);
    let mut steps = Vec::new();
    while let Some((position, step)) = step_after(table, at, Some(to))? {
        steps.extend(step);
        at = position;
    }
    Ok(steps)
}
