//! `demo`: the shop's topics become tables, and queries over them show that they hold what was sold.

use std::io::{ErrorKind, Write, sink};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use serde::Serialize;
use tableflow_connectors::topics::NewRecord;
use tableflow_lake::commit::live_files;
use tableflow_model::{Error, Millis, Result, TableName, TopicName};

use super::args::{DemoArguments, GlobalArguments};
use super::session::Session;
use crate::definition::{self, CompactionPolicy, Definition};
use crate::demo::{Shop, Topic};
use crate::exit::Exit;
use crate::output::{self, Format, Rows, printed};
use crate::pipeline::budget::TableMemory;
use crate::pipeline::enable::{Asked, Request, Taken, plan};
use crate::pipeline::status::status_of;
use crate::pipeline::supervise::catch_up;
use crate::query::{QuerySession, query_error};
use crate::upkeep::compaction::{Options, compact};
use crate::upkeep::means::Means;

/// So often customers move.
const MOVES: u32 = 4;

/// An interrupted demo tries so often to leave nothing behind.
const REMOVALS_MAX: u32 = 10;

const QUERIES: [(&str, &str); 3] = [
    (
        "How many rows each table has",
        "select 'orders' as \"table\", count(*) as rows from bronze.orders \
         union all select 'clicks', count(*) from bronze.clicks \
         union all select 'payments', count(*) from bronze.payments \
         union all select 'customers', count(*) from bronze.customers order by 2 desc",
    ),
    (
        "Revenue by country (a nested field, a join)",
        "select c.address['country'] as country, count(*) as orders, sum(o.total) as revenue \
         from bronze.orders o join bronze.customers c on c.id = o.customer_id group by 1 order by revenue desc",
    ),
    (
        "Orders not paid, by day (each order is one row, as its database has it)",
        "select date_trunc('day', ts) as day, count(*) as orders, count(*) filter (where not paid) as unpaid \
         from bronze.orders group by 1 order by 1",
    ),
];

/// What `-o json` prints; a table is a story instead.
#[derive(Debug, Serialize)]
struct Demo {
    /// Where the tables are, if they were kept.
    data_dir: Option<String>,
    orders: u64,
    records: u64,
    tables: Vec<DemoTable>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct DemoTable {
    table: String,
    topic: String,
    rows: u64,
    snapshot_id: Option<i64>,
    data_files: u64,
    delete_files: u64,
    bytes: u64,
}

pub async fn run(arguments: &DemoArguments, global: &GlobalArguments, out: &mut dyn Write) -> Result<Exit> {
    let started = Instant::now();
    let scratch = if arguments.keep { None } else { Some(Scratch::make()?) };
    let directory = scratch.as_ref().map(|scratch| scratch.0.clone()).or_else(|| global.data_dir.clone());
    let session = Session::begin_embedded(&GlobalArguments { data_dir: directory, ..global.clone() }).await?;
    let topics: Vec<TopicName> = Topic::ALL.iter().map(|topic| topic.name().parse()).collect::<Result<_>>()?;
    let taken = session.home.topics.list().await?.into_iter().find(|topic| topics.contains(&topic.name));
    if let Some(taken) = taken {
        return Err(Error::already_exists(format!("there is a topic {} already", taken.name))
            .with_hint("run the demo in a directory of its own: --data-dir demo-data, or delete that one"));
    }
    let mut silence = sink();
    let tells = session.format == Format::Table && !session.quiet;
    let story: &mut dyn Write = if tells { out } else { &mut silence };
    let mut shop = Shop::new(arguments.rows);
    let records = sell(&session, &mut shop).await?;
    say(story, &format!("sold {} orders: {records} records in {} topics", arguments.rows, topics.len()))?;
    let mut tables = Vec::new();
    for topic in Topic::ALL {
        let definition = enable(&session, topic).await?;
        let table = fill(&session, &definition).await?;
        let as_what = if topic.envelope().is_some() { " of changes" } else { "" };
        say(story, &format!("enabled topic {}{as_what}: {} rows in {}", table.topic, table.rows, table.table))?;
        tables.push(match topic {
            Topic::Customers => move_customers(&session, &mut shop, &definition, story).await?,
            _ => table,
        });
    }
    for (title, sql) in QUERIES {
        say(story, &format!("\n{title}:\n  {sql}"))?;
        query(&session, sql, story).await?;
    }
    show_files(&session, story).await?;
    where_next(&session, arguments.keep, story)?;
    let seconds = started.elapsed().as_secs_f64();
    say(story, &format!("\ndone in {seconds:.1} s"))?;
    if session.format != Format::Table {
        let data_dir = arguments.keep.then(|| session.home.directory.display().to_string());
        let demo = Demo { data_dir, orders: arguments.rows, records, tables, seconds };
        output::document(session.format, &demo, out)?;
    }
    Ok(Exit::Done)
}

/// A directory of the demo's own, removed at the end: nothing of the user's is ever in it.
struct Scratch(PathBuf);

impl Scratch {
    fn path() -> PathBuf {
        std::env::temp_dir().join(format!("tableflow-demo-{}", std::process::id()))
    }

    fn make() -> Result<Self> {
        let directory = Self::path();
        std::fs::create_dir(&directory).map_err(|error| {
            Error::unavailable(format!("{} cannot be made", directory.display())).with_source(error)
        })?;
        Ok(Scratch(directory))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(directory = %self.0.display(), %error, "the demo's directory was not removed");
        }
    }
}

/// For a process that ends in the middle: others of its threads may still write there, so more than once.
pub fn remove_scratch() {
    let directory = Scratch::path();
    for _ in 0..REMOVALS_MAX {
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => {}
            _ => return,
        }
    }
}

fn say(out: &mut dyn Write, text: &str) -> Result<()> {
    printed(writeln!(out, "{text}"))
}

/// A record of the shop.
fn record<'a>(key: &'a str, value: &'a str, at: i64) -> NewRecord<'a> {
    let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
    NewRecord { key, value, timestamp: Some(Millis(at)), ..NewRecord::default() }
}

async fn sell(session: &Session, shop: &mut Shop) -> Result<u64> {
    let home = &session.home;
    let mut producers = Vec::new();
    for topic in Topic::ALL {
        let name = topic.name().parse()?;
        let settings = std::collections::BTreeMap::new();
        home.topics.create(&name, topic.partitions(), &settings).await?;
        producers.push((topic, home.topics.producer(&name).await?));
    }
    let mut records = 0;
    shop.sell(|topic, key, value, at| {
        records += 1;
        let record = record(key, value, at);
        match producers.iter_mut().find(|(its, _)| *its == topic) {
            Some((_, producer)) => producer.send(&record),
            None => Ok(()),
        }
    })?;
    for (_, producer) in &mut producers {
        producer.flush()?;
    }
    Ok(records)
}

async fn enable(session: &Session, topic: Topic) -> Result<Definition> {
    let home = &session.home;
    let key: Vec<String> = topic.key().iter().map(|column| (*column).to_owned()).collect();
    let request = Request {
        topic: topic.name().parse()?,
        table: TableName::new("bronze", topic.name())?,
        asked: Asked {
            format: Some(definition::Format::Json),
            columns: Some(topic.columns().to_owned()),
            partition_by: topic.partition_by().to_owned(),
            envelope: topic.envelope(),
            upsert: !key.is_empty(),
            key,
            ..Asked::default()
        },
        commit_interval_default_ms: session.config.defaults.commit_interval.as_ms(),
    };
    plan(home, &mut Taken::look(home).await?, request).await?.carry_out(home).await
}

/// Brings a table up to the end of its topic.
async fn fill(session: &Session, definition: &Definition) -> Result<DemoTable> {
    let home = &session.home;
    let memory = TableMemory::new(session.memory_bytes_max());
    catch_up(home, definition.clone(), Arc::default(), memory).await?;
    let status = status_of(home, definition).await?;
    Ok(DemoTable {
        table: status.table,
        topic: status.topic,
        rows: status.rows_committed,
        snapshot_id: status.snapshot_id,
        data_files: status.data_files,
        delete_files: status.delete_files,
        bytes: status.bytes,
    })
}

/// Customers move, a commit each time; what that leaves behind is compacted.
async fn move_customers(
    session: &Session,
    shop: &mut Shop,
    definition: &Definition,
    out: &mut dyn Write,
) -> Result<DemoTable> {
    let mut moved = 0;
    for _ in 0..MOVES {
        let mut producer = session.home.topics.producer(&definition.topic).await?;
        shop.move_house(|_, key, value, at| {
            moved += 1;
            producer.send(&record(key, value, at))
        })?;
        producer.flush()?;
        fill(session, definition).await?;
    }
    let before = fill(session, definition).await?;
    let (files, deletes) = (before.data_files, before.delete_files);
    say(
        out,
        &format!("  {moved} customers moved: still {} rows, in {files} files and {deletes} delete files", before.rows),
    )?;
    let means = Means { at_once: 1, memory: TableMemory::new(session.memory_bytes_max()) };
    let options = Options::asked(&CompactionPolicy::default(), None, means);
    let report = compact(&session.home, &definition.table, &options).await?;
    let after = fill(session, definition).await?;
    let (files, dropped) = (after.data_files, report.rows_dropped);
    say(out, &format!("  compacted: {} rows in {files} file, {dropped} replaced rows are gone", after.rows))?;
    Ok(after)
}

async fn query(session: &Session, sql: &str, out: &mut dyn Write) -> Result<()> {
    let queries = QuerySession::new(session.home.clone(), session.memory_bytes_max());
    let mut stream = queries.stream(sql, None).await?;
    let mut rows = Rows::new(Format::Table, &stream.schema(), out)?;
    while let Some(batch) = stream.next().await {
        rows.write(&batch.map_err(query_error)?)?;
    }
    rows.finish()
}

async fn show_files(session: &Session, out: &mut dyn Write) -> Result<()> {
    let table = TableName::new("bronze", "orders")?;
    let loaded = session.home.catalog.load_table(&table).await?;
    let Some(snapshot) = loaded.metadata.current_snapshot() else { return Ok(()) };
    let files = live_files(&session.home.store, &loaded.metadata, snapshot).await?;
    let bytes: u64 = files.iter().map(|file| file.file_size_in_bytes()).sum();
    say(out, &format!("\n{table}: snapshot {}, {} files, {bytes} bytes", snapshot.snapshot_id(), files.len()))?;
    for file in files.iter().take(3) {
        say(out, &format!("  {} ({} rows)", file.file_path(), file.record_count()))?;
    }
    Ok(())
}

fn where_next(session: &Session, keep: bool, out: &mut dyn Write) -> Result<()> {
    let directory = session.home.directory.display();
    if !keep {
        return say(out, "\nnothing was kept; `tableflow demo --keep` leaves the tables for other engines to read");
    }
    let lines = [
        format!("\nthe tables are in {directory}; read them with"),
        format!("  tableflow --data-dir {directory} query \"select * from bronze.orders limit 3\""),
        "  PyIceberg: from pyiceberg.catalog.sql import SqlCatalog".to_owned(),
        format!(
            "    SqlCatalog(\"tableflow\", uri=\"sqlite:///{directory}/catalog.db\", \
             warehouse=\"file://{directory}/warehouse\").load_table(\"bronze.orders\").scan().to_arrow()"
        ),
        "  DuckDB: select count(*) from iceberg_scan('<metadata_location of `tableflow describe orders`>')".to_owned(),
    ];
    lines.iter().try_for_each(|line| say(out, line))
}
