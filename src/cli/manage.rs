//! `disable`, `pause`, `resume` and `update`: changes of a table's definition.
//!
//! A running service notices within a second. Who pauses or disables a table waits until its job has ended, so that
//! nothing is committed behind the answer; other changes wait for nothing.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tableflow_connectors::decode::{Evolution, MetadataColumns};
use tableflow_lake::layout::sort_text;
use tableflow_model::{Error, ErrorKind, Offset, Partition, Result, TableName};

use super::args::{DisableArguments, ResumeArguments, TableArgument, TableReference, UpdateArguments};
use super::session::Session;
use crate::definition::{CompactionStrategy, DeadLetters, Definition, ErrorHandling, Wanted};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::pipeline::budget::sorting_bytes;
use crate::pipeline::dead_letters;
use crate::pipeline::drop::{drop_fan_out, drop_table};
use crate::pipeline::gaps::gaps_of;
use crate::pipeline::letters_topic::{answer, declared};
use crate::pipeline::manifests::drop_manifests;
use crate::pipeline::mirror;
use crate::pipeline::mode;
use crate::pipeline::mode::asked::{self, Planned};
use crate::pipeline::status::{TableStatus, rests, status_of};
use crate::pipeline::writing::{self, AskedWriting, Writing};

/// A job ends with a commit; one that takes longer meets trouble, which `status` tells.
const REST_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, Serialize)]
struct Disabled {
    table: String,
    status: &'static str,
    dropped: bool,
}

pub async fn disable(arguments: &DisableArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    match (&arguments.table, &arguments.pattern) {
        (Some(table), _) => disable_table(table, arguments.drop, session, out).await,
        (None, Some(regex)) => {
            session.home.patterns().end(regex).await?;
            session.remark("topics to come become no tables any more; the tables that are there are fed as before");
            Ok(Exit::Done)
        }
        (None, None) => Err(Error::usage("no table is named").with_hint("`tableflow list` shows them")),
    }
}

async fn disable_table(reference: &TableReference, drop: bool, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let definitions = session.home.definitions();
    let table = match drop {
        true => known_table(reference, session).await?,
        false => session.enabled_table(reference).await?,
    };
    match definitions.change(&table, |definition| definition.wanted = Wanted::Disabled).await {
        // It was disabled before.
        Err(error) if drop && error.kind() == ErrorKind::NotFound => {}
        changed => wait_for_rest(session, &changed?).await,
    }
    if drop && let Some(definition) = definitions.find(&table).await? {
        if definition.fan_out.is_none() {
            drop_table(&session.home, &table, definition.table_uuid).await?;
        }
        if let Some(letters) = &definition.dead_letters {
            drop_table(&session.home, &letters.table, letters.table_uuid).await?;
        }
        // Behind the table with their ledger: what is left of them is of no job any more.
        if definition.fan_out.is_some() {
            drop_fan_out(&session.home, &definition).await?;
        }
        if definition.dead_letters.is_some() {
            drop_manifests(&session.home, &definition).await?;
        }
    }
    if session.format == Format::Table {
        let what = if drop { "disabled and dropped" } else { "disabled; its rows stay" };
        output::printed(writeln!(out, "{table} is {what}"))?;
    } else {
        let disabled = Disabled { table: table.to_plain_string(), status: "Disabled", dropped: drop };
        output::document(session.format, &disabled, out)?;
    }
    Ok(Exit::Done)
}

/// What is dropped may be disabled already.
async fn known_table(reference: &TableReference, session: &Session) -> Result<TableName> {
    let definitions = session.home.definitions().look().await?.definitions;
    reference.resolve(definitions.iter().map(|definition| &definition.table))
}

pub async fn pause(arguments: &TableArgument, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let table = session.enabled_table(&arguments.table).await?;
    let definition = session.home.definitions().change(&table, |it| it.wanted = Wanted::Paused).await?;
    wait_for_rest(session, &definition).await;
    output::document(session.format, &status_of(&session.home, &definition).await?, out)?;
    Ok(Exit::Done)
}

/// Also what a suspended table needs once its trouble is mended: the next version starts afresh.
pub async fn resume(arguments: &ResumeArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let table = session.enabled_table(&arguments.table.table).await?;
    if let Some(word) = arguments.letters {
        answer::take(&session.home, &session.home.definitions().get(&table).await?, word.into()).await?;
    }
    let past_gaps = match arguments.past_gap {
        true => Some(gaps_given_up(session, &table).await?),
        false => None,
    };
    let change = |definition: &mut Definition| {
        definition.wanted = Wanted::Running;
        if past_gaps.is_some() {
            definition.past_gaps.clone_from(&past_gaps);
        }
    };
    let definition = session.home.definitions().change(&table, change).await?;
    output::document(session.format, &status_of(&session.home, &definition).await?, out)?;
    Ok(Exit::Done)
}

/// The places that the table may leave, each told.
async fn gaps_given_up(session: &Session, table: &TableName) -> Result<BTreeMap<Partition, Offset>> {
    let definition = session.home.definitions().get(table).await?;
    let gaps = gaps_of(&session.home, &definition).await?;
    if gaps.is_empty() {
        return Err(Error::usage(format!("table {table} stands before no gap: what it reads next is there"))
            .with_hint(format!("`tableflow resume {}` resumes it", table.to_plain_string())));
    }
    for gap in &gaps {
        session.remark(&format!("{} are given up: they are gone", gap.words(&definition.topic)));
    }
    Ok(gaps.iter().map(|gap| (gap.partition, gap.from)).collect())
}

pub async fn update(arguments: &UpdateArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let table = session.enabled_table(&arguments.table.table).await?;
    let before = session.home.definitions().get(&table).await?;
    check_update(arguments, session, &before).await?;
    let planned = match arguments.asked_mode() {
        Some(asked) => asked::plan(&session.home, &before, &asked).await?,
        None => None,
    };
    if arguments.dry_run {
        return tell_mode(&before, planned.as_ref(), session, out).await;
    }
    check_order(arguments, session, &before).await?;
    let dead_letters = dead_letters_for(arguments, session).await?;
    // What was planned is of what was looked at.
    let (is_bound, was_changed) =
        (planned.is_some() || (dead_letters.is_some() && before.dead_letters.is_none()), AtomicBool::new(false));
    let change = |definition: &mut Definition| {
        let is_another = is_bound && definition.version != before.version + 1;
        was_changed.store(is_another, Ordering::Relaxed);
        if is_another {
            return;
        }
        apply(arguments, (planned.as_ref(), dead_letters.as_ref()), definition);
    };
    let of_table = change_table(arguments, session, &before).await?;
    let after = session.home.definitions().change(&table, change).await?;
    if was_changed.load(Ordering::Relaxed) {
        return Err(Error::conflict(format!("the settings of {table} were changed by somebody else meanwhile"))
            .with_hint("ask again: what is so already stays so"));
    }
    if arguments.evolution.is_some() && after.fan_out.is_none() {
        follow_from_now(session, &after).await?;
    }
    let changed: Vec<Change> = changes(&before, &after).into_iter().chain(of_table).collect();
    let status = status_of(&session.home, &after).await?;
    if changed.is_empty() {
        session.remark("nothing is changed: the settings are so already");
    }
    output::document(session.format, &Updated { status, changed }, out)?;
    Ok(Exit::Done)
}

/// The settings that were asked for, in a definition.
fn apply(
    arguments: &UpdateArguments,
    (planned, dead_letters): (Option<&Planned>, Option<&DeadLetters>),
    definition: &mut Definition,
) {
    if let Some(planned) = planned {
        planned.declare(definition);
    }
    if let Some(interval) = arguments.commit_interval {
        definition.commit_interval_ms = interval.as_ms();
    }
    if let Some(retention_ms) = arguments.retention_ms {
        definition.retention_ms = retention_ms;
    }
    if let Some(rows_stay) = arguments.data_retention_ms {
        definition.data_retention_ms = rows_stay.0;
    }
    definition.compaction = arguments.compaction.after(&definition.compaction);
    if let Some(word) = arguments.evolution {
        definition.evolution = word.into();
    }
    if let Some(word) = arguments.error_handling {
        definition.error_handling = word.into();
    }
    if let Some(dead_letters) = dead_letters {
        let kept = definition.dead_letters.get_or_insert_with(|| dead_letters.clone());
        if let Some(topic) = &dead_letters.topic {
            kept.topic.get_or_insert_with(|| topic.clone());
        }
    }
}

/// Rows of a table without an order cannot be sorted by whoever compacts it.
async fn check_order(arguments: &UpdateArguments, session: &Session, of: &Definition) -> Result<()> {
    let policy = arguments.compaction.policy();
    let sort_by = match &of.fan_out {
        Some(fan_out) => fan_out.sort_by.clone(),
        None if policy.strategy == Some(CompactionStrategy::Sort) => {
            let metadata = session.home.catalog.load_table(&of.table).await?.metadata;
            sort_text(metadata.default_sort_order(), metadata.current_schema())
        }
        None => String::new(),
    };
    policy.check(&sort_by)
}

/// What is refused before anything is changed.
async fn check_update(arguments: &UpdateArguments, session: &Session, before: &Definition) -> Result<()> {
    if let Some(word) = arguments.evolution {
        mirror::check(word.into(), before.format, before.fan_out.is_some())?;
        if Evolution::from(word) == Evolution::Mirror {
            let mut source = session.home.source_of(before).await?;
            mirror::check_subject(&session.home, &before.topic, source.as_mut()).await?;
        }
    }
    let table = &before.table;
    if arguments.data_retention_ms.is_some_and(|stay| stay.0.is_some())
        && before.metadata_columns == MetadataColumns::None
    {
        return Err(Error::usage(format!("rows of {table} do not say when they came, so none can be too old"))
            .with_hint("enable the topic into another table, with metadata columns"));
    }
    let asks_for_letters = arguments.error_handling.is_some_and(|word| ErrorHandling::from(word) == ErrorHandling::Log);
    if asks_for_letters && (arguments.asked_mode().is_some() || asked::is_pending(&session.home, before).await?) {
        return Err(Error::usage(format!("the mode of table {table} is about to change"))
            .with_detail("a table with dead letters keeps its mode, so its job has to change it before there are any")
            .with_hint("wait until the table is fed again, or `tableflow sync` it; then say --error-handling LOG"));
    }
    Ok(())
}

/// What a change of mode would do.
async fn tell_mode(
    before: &Definition,
    planned: Option<&Planned>,
    session: &Session,
    out: &mut dyn Write,
) -> Result<Exit> {
    let (mut after, mut counts) = (before.clone(), BTreeMap::new());
    if let Some(planned) = planned {
        planned.declare(&mut after);
        let memory_bytes = sorting_bytes(session.memory_bytes_max());
        counts = planned.count(&session.home, before, memory_bytes).await?;
    }
    let changed: Vec<Change> = changes(before, &after);
    session.remark("nothing was changed");
    let table = before.table.to_plain_string();
    output::document(session.format, &Untouched { table, changed, counts }, out)?;
    Ok(Exit::Done)
}

/// What the table itself says: how it is written and parted.
async fn change_table(arguments: &UpdateArguments, session: &Session, of: &Definition) -> Result<Vec<Change>> {
    let (asked, mut changed) = (AskedWriting::from(&arguments.writing), Vec::new());
    if of.fan_out.is_some() && (!asked.is_nothing() || arguments.partition_by.is_some()) {
        return Err(Error::usage(format!("{} is a table for each type of record", of.table))
            .with_detail("how each of them is written and parted was said when the topic was enabled")
            .with_hint("leave --format-version, --delete-encoding, --readers and --partition-by out"));
    }
    if !asked.is_nothing() {
        let (before, after) = writing::change(&session.home, &of.table, &asked).await?;
        let settings = |it: &Writing| {
            let encoding = it.encoding.word();
            [
                ("format_version", json!(it.version_number())),
                ("delete_encoding", json!(encoding)),
                ("readers", json!(it.readers)),
            ]
        };
        changed.extend(differing(settings(&before), settings(&after)));
    }
    if let Some(partition_by) = &arguments.partition_by {
        let (before, after) = writing::repartition(&session.home, &of.table, partition_by).await?;
        changed.extend(differing([("partition_by", json!(before))], [("partition_by", json!(after))]));
    }
    Ok(changed)
}

/// A table follows the versions that come after a person says so, not those after its job begins.
async fn follow_from_now(session: &Session, definition: &Definition) -> Result<()> {
    match session.home.catalog.load_table(&definition.table).await {
        Ok(table) => mirror::settled(&session.home, definition, table).await.map(|_| ()),
        // Its job says more of that.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[derive(Debug, Serialize)]
struct Untouched {
    table: String,
    changed: Vec<Change>,
    #[serde(flatten)]
    counts: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct Updated {
    #[serde(flatten)]
    status: TableStatus,
    changed: Vec<Change>,
}

/// A setting of a definition, by its name in `describe`.
#[derive(Debug, Serialize)]
struct Change {
    setting: &'static str,
    before: Value,
    after: Value,
}

fn changes(before: &Definition, after: &Definition) -> Vec<Change> {
    let letters = |it: &Definition| it.dead_letters.as_ref().map(|letters| letters.table.to_plain_string());
    let settings = |it: &Definition| {
        let key = it.mode_change.iter().filter(|_| it.upsert.is_some()).flat_map(|change| &change.key);
        [
            ("mode", json!(mode::word(it.upsert.is_some()))),
            ("key", json!(key.collect::<Vec<_>>())),
            ("commit_interval_ms", json!(it.commit_interval_ms)),
            ("retention_ms", json!(it.retention_ms)),
            ("data_retention_ms", json!(it.data_retention_ms)),
            ("compaction", json!(it.compaction)),
            ("evolution", json!(it.evolution)),
            ("error_handling", json!(it.error_handling)),
            ("dead_letters", json!(letters(it))),
            ("dlq_topic", json!(it.letters_topic().map(|letters| letters.topic.as_str()))),
        ]
    };
    differing(settings(before), settings(after)).collect()
}

fn differing<const N: usize>(
    before: [(&'static str, Value); N],
    after: [(&'static str, Value); N],
) -> impl Iterator<Item = Change> {
    let changed = before.into_iter().zip(after).filter(|((_, before), (_, after))| before != after);
    changed.map(|((setting, before), (_, after))| Change { setting, before, after })
}

/// The table of dead letters that a change needs, and their topic, made where there are none.
async fn dead_letters_for(arguments: &UpdateArguments, session: &Session) -> Result<Option<DeadLetters>> {
    let (asked, home) = (arguments.log_target.as_deref(), &session.home);
    let table = session.enabled_table(&arguments.table.table).await?;
    let definition = home.definitions().get(&table).await?;
    dead_letters::check_kept(&definition, asked)?;
    let handling = arguments.error_handling.map_or(definition.error_handling, Into::into);
    let of = (&definition.table, &definition.topic);
    let topic = declared::wanted(home, of, (Some(&definition), arguments.dlq_topic.as_ref()), handling).await?;
    let letters = match (handling == ErrorHandling::Log, asked) {
        (true, _) if definition.dead_letters.is_none() => {
            let name = dead_letters::name_for(&table, asked)?;
            Some(dead_letters::make(home, &table, definition.table_uuid, &name).await?)
        }
        (false, Some(_)) => {
            return Err(Error::usage("--log-target is for --error-handling LOG")
                .with_hint("say --error-handling LOG, or leave --log-target out"));
        }
        _ => definition.dead_letters,
    };
    match (letters, topic) {
        (Some(letters), Some(topic)) => {
            Ok(Some(DeadLetters { topic: Some(declared::make(home, topic).await?), ..letters }))
        }
        (letters, _) => Ok(letters),
    }
}

async fn wait_for_rest(session: &Session, definition: &Definition) {
    let rested = async {
        while !rests(&session.home, definition).await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(REST_MAX, rested).await.is_err() {
        session.remark("the service has not ended the table's job yet: it may be in the middle of a commit");
    }
}
