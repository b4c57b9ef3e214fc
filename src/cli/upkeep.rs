//! `compact`, `expire`, `vacuum`, `rewrite-manifests`, `maintain`: what a scheduler calls for tables; and `erase`.

use std::io::Write;

use serde::Serialize;
use tableflow_model::{Error, Result, TableName};

use super::args::{
    CompactArguments, EraseArguments, ExpireArguments, MaintainArguments, RewriteManifestsArguments, TableReference,
    VacuumArguments,
};
use super::session::Session;
use crate::definition::{CompactionPolicy, CompactionStrategy};
use crate::exit::Exit;
use crate::output;
use crate::pipeline::budget::TableMemory;
use crate::upkeep::compaction::Options;
use crate::upkeep::maintenance::{self, Step};
use crate::upkeep::means::Means;
use crate::upkeep::tables::{kept, kept_tables};
use crate::upkeep::{compaction, expiry, manifests, removal, vacuum};

pub async fn compact(arguments: &CompactArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let strategy = arguments.strategy.map(Into::into);
    let asked =
        CompactionPolicy { strategy, target_file_size: arguments.target_file_size, ..CompactionPolicy::default() };
    let means = means(session);
    let columns = ["table", "files_read", "files_written", "bytes_read", "bytes_written", "seconds"];
    let mut done = Outcomes::of(&columns);
    for table in tables(session, &arguments.tables).await? {
        done.add(&table, compact_one(arguments, (session, &means), (&table, &asked)).await);
    }
    done.print(session, out)
}

async fn compact_one(
    arguments: &CompactArguments,
    (session, means): (&Session, &Means),
    (table, asked): (&TableName, &CompactionPolicy),
) -> Result<compaction::Report> {
    if asked.strategy == Some(CompactionStrategy::Sort) {
        compaction::check_sorted(&session.home, table).await?;
    }
    let policy = kept(&session.home, table.clone()).await?.compaction.with(asked);
    let options = Options::asked(&policy, arguments.condition.clone(), means.clone());
    match arguments.dry_run {
        true => compaction::dry_run(&session.home, table, &options).await,
        false => compaction::compact(&session.home, table, &options).await,
    }
}

pub async fn expire(arguments: &ExpireArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let mut done = Outcomes::of(&["table", "snapshots_before", "snapshots_after"]);
    for table in tables(session, &arguments.tables).await? {
        let mut retention = kept(&session.home, table.clone()).await?.retention;
        if let Some(age) = arguments.older_than {
            retention.age_max_ms = i64::try_from(age.as_ms()).unwrap_or(i64::MAX);
        }
        if let Some(keep) = arguments.keep {
            retention.snapshots_max = keep as usize;
        }
        done.add(&table, expiry::expire(&session.home, &table, retention, arguments.dry_run).await);
    }
    done.print(session, out)
}

pub async fn vacuum(arguments: &VacuumArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let age_ms = i64::try_from(arguments.older_than.as_ms()).unwrap_or(i64::MAX);
    let mut done = Outcomes::of(&["table", "files_deleted", "bytes_deleted", "files_waiting", "files_undecided"]);
    for table in tables(session, &arguments.tables).await? {
        done.add(&table, vacuum::vacuum(&session.home, &table, age_ms, arguments.dry_run).await);
    }
    done.print(session, out)
}

pub async fn rewrite_manifests(
    arguments: &RewriteManifestsArguments,
    session: &Session,
    out: &mut dyn Write,
) -> Result<Exit> {
    let mut done = Outcomes::of(&["table", "manifests_before", "manifests_after"]);
    for table in tables(session, &arguments.tables).await? {
        done.add(&table, manifests::rewrite_manifests(&session.home, &table).await);
    }
    done.print(session, out)
}

pub async fn erase(arguments: &EraseArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let table = session.catalog_table(&arguments.table).await?;
    let erased = removal::erase(&session.home, &table, &arguments.key).await?;
    output::document(session.format, &erased, out)?;
    if erased.rows_erased == 0 {
        session.remark(
            "no row has that key. A key that is kept as it is has its bytes: a text of JSON is written with its quotes, --key '\"c-18\"'",
        );
    }
    if erased.snapshots_kept > 0 {
        session.remark("branches, tags or consumers keep older snapshots: what those hold of the key stays until they let go of them");
    }
    session
        .remark("records of the key in the topic, and dead letters, are where they were; a new record brings it back");
    Ok(Exit::Done)
}

pub async fn maintain(arguments: &MaintainArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let tables_kept = match arguments.all {
        true => kept_tables(&session.home).await?,
        false => {
            let mut all = Vec::new();
            for table in tables(session, &arguments.tables).await? {
                all.push(kept(&session.home, table).await?);
            }
            all
        }
    };
    if tables_kept.is_empty() {
        session.remark_on_no_tables();
    }
    let columns = ["table", "files_read", "files_written", "snapshots_forgotten", "files_deleted", "seconds"];
    let mut done = Outcomes { several: arguments.all, ..Outcomes::of(&columns) };
    let means = means(session);
    for kept in &tables_kept {
        let (report, failed) = maintenance::maintain(&session.home, kept, &Step::ALL, &means, arguments.dry_run).await;
        done.reports.push(report);
        done.failed = done.failed.or(failed);
    }
    done.print(session, out)
}

async fn tables(session: &Session, references: &[TableReference]) -> Result<Vec<TableName>> {
    let mut tables = Vec::new();
    for reference in references {
        tables.push(session.catalog_table(reference).await?);
    }
    Ok(tables)
}

/// All that the process may take.
fn means(session: &Session) -> Means {
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    Means { at_once, memory: TableMemory::new(session.memory_bytes_max()) }
}

/// Each table by itself: the error of one does not keep the others from being looked after.
struct Outcomes<'a, T> {
    /// What a table of several reports shows; that of one is shown whole.
    columns: &'a [&'a str],
    several: bool,
    reports: Vec<T>,
    failed: Option<Error>,
}

impl<'a, T: Serialize> Outcomes<'a, T> {
    fn of(columns: &'a [&'a str]) -> Self {
        Outcomes { columns, several: false, reports: Vec::new(), failed: None }
    }

    fn add(&mut self, table: &TableName, report: Result<T>) {
        match report {
            Ok(report) => self.reports.push(report),
            Err(error) => {
                self.several = true;
                let error = error.with_context("table", table.to_plain_string());
                self.failed = self.failed.take().or(Some(error));
            }
        }
    }

    fn print(self, session: &Session, out: &mut dyn Write) -> Result<Exit> {
        match self.reports.as_slice() {
            [] if self.failed.is_some() => {}
            [one] if !self.several => output::document(session.format, one, out)?,
            several => output::documents(session.format, several, self.columns, out)?,
        }
        self.failed.map_or(Ok(Exit::Done), Err)
    }
}
