//! `enable`: topics become tables.

use std::io::Write;

use tableflow_connectors::decode;
use tableflow_model::{Error, Result, TableName, TopicName};

use super::args::{EnableArguments, EnableFrom, MetadataColumns, Mode};
use super::session::Session;
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::pipeline::definition::StartFrom;
use crate::pipeline::enable::{Plan, PlanSummary, Request, plan};

/// A week: what Confluent keeps, and the retention's default here.
pub const RETENTION_MS_DEFAULT: i64 = 7 * 24 * 3600 * 1000;

pub async fn run(arguments: &EnableArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    if arguments.table.is_some() && arguments.topics.len() > 1 {
        return Err(Error::usage("several topics cannot fill one table")
            .with_hint("enable them one by one, each with its --table"));
    }
    let mut plans: Vec<Plan> = Vec::new();
    for topic in &arguments.topics {
        check_mode(arguments.mode, session, topic)?;
        plans.push(plan(&session.home, request(arguments, session, topic)?).await?);
    }
    let summaries: Vec<PlanSummary> = plans.iter().map(Plan::summary).collect::<Result<_>>()?;
    if !arguments.dry_run {
        for plan in plans {
            plan.carry_out(&session.home).await?;
        }
    }
    match session.format {
        Format::Table => print_for_people(&summaries, arguments.dry_run, out),
        format => output::documents(format, &summaries, &[], out),
    }?;
    Ok(Exit::Done)
}

/// A compacted topic holds the newest record of each key: a table of all records is what somebody asks for aloud.
fn check_mode(mode: Mode, session: &Session, topic: &TopicName) -> Result<()> {
    if mode == Mode::Auto && session.home.topics.describe(topic)?.options.cleanup_policy().compacts() {
        return Err(Error::usage(format!("topic {topic} is compacted: it needs upsert, which comes later"))
            .with_hint("say --mode append to keep every record"));
    }
    Ok(())
}

fn request(arguments: &EnableArguments, session: &Session, topic: &TopicName) -> Result<Request> {
    let defaults = &session.config.defaults;
    let namespace = arguments.namespace.as_deref().unwrap_or(&defaults.namespace);
    let name = arguments.table.as_deref().unwrap_or(topic.as_str());
    Ok(Request {
        topic: topic.clone(),
        table: TableName::new(namespace, name)?,
        columns: arguments.columns.clone().unwrap_or_default(),
        partition_by: arguments.partition_by.clone().unwrap_or_default(),
        sort_by: arguments.sort_by.clone().unwrap_or_default(),
        metadata_columns: match arguments.metadata_columns {
            MetadataColumns::None => decode::MetadataColumns::None,
            _ => decode::MetadataColumns::Portable,
        },
        commit_interval_ms: arguments.commit_interval.unwrap_or(defaults.commit_interval).as_ms(),
        from: match arguments.from {
            EnableFrom::Earliest => StartFrom::Earliest,
            EnableFrom::Latest => StartFrom::Latest,
        },
        retention_ms: arguments.retention_ms.unwrap_or(RETENTION_MS_DEFAULT),
    })
}

fn print_for_people(plans: &[PlanSummary], dry_run: bool, out: &mut dyn Write) -> Result<()> {
    for plan in plans {
        let what = match (dry_run, plan.exists) {
            (true, _) => "would become",
            (false, true) => "fills again",
            (false, false) => "becomes",
        };
        output::printed(writeln!(out, "topic {} {what} table {}", plan.topic, plan.table))?;
        for column in &plan.columns {
            let null = if column.nullable { "" } else { " NOT NULL" };
            output::printed(writeln!(out, "  {} {}{null}", column.name, column.r#type))?;
        }
        for (word, text) in [("partitioned by", &plan.partition_by), ("sorted by", &plan.sort_by)] {
            if !text.is_empty() {
                output::printed(writeln!(out, "  {word} {text}"))?;
            }
        }
    }
    let next = if dry_run { "nothing was made" } else { "next: tableflow up, or tableflow sync" };
    output::printed(writeln!(out, "{next}"))
}
