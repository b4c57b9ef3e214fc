//! `enable`: topics become tables.

use std::io::Write;

use tableflow_connectors::decode;
use tableflow_model::{Error, Result, TableName, TopicName};

use super::args::{EnableArguments, EnableFrom, MetadataColumns, Mode};
use super::session::Session;
use crate::definition::{self, StartFrom};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::pipeline::enable::{Plan, PlanSummary, Request, plan};
use crate::units::CommitInterval;

pub async fn run(arguments: &EnableArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let mut plans: Vec<Plan> = Vec::new();
    for topic in &arguments.topics {
        check_mode(arguments.mode, session, topic).await?;
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
    session.remark(if arguments.dry_run { "nothing was made" } else { "next: tableflow up, or tableflow sync" });
    Ok(Exit::Done)
}

/// A compacted topic holds the newest record of each key: a table of all records is what somebody asks for aloud.
async fn check_mode(mode: Mode, session: &Session, topic: &TopicName) -> Result<()> {
    if mode == Mode::Auto && session.home.topics.describe(topic).await?.compacts() {
        return Err(Error::usage(format!("topic {topic} is compacted: it needs upsert, which comes later"))
            .with_hint("say --mode append to keep every record"));
    }
    Ok(())
}

fn request(arguments: &EnableArguments, session: &Session, topic: &TopicName) -> Result<Request> {
    let defaults = &session.config.defaults;
    let name = arguments.table.as_deref().unwrap_or(topic.as_str());
    check_plain_name(arguments, &defaults.namespace)?;
    Ok(Request {
        topic: topic.clone(),
        table: TableName::new(arguments.namespace.as_deref().unwrap_or(&defaults.namespace), name)?,
        format: arguments.format.as_definition(),
        columns: arguments.columns.clone(),
        partition_by: arguments.partition_by.clone().unwrap_or_default(),
        sort_by: arguments.sort_by.clone().unwrap_or_default(),
        metadata_columns: arguments.metadata_columns.map(|columns| match columns {
            MetadataColumns::None => decode::MetadataColumns::None,
            _ => decode::MetadataColumns::Portable,
        }),
        commit_interval_ms: arguments.commit_interval.map(CommitInterval::as_ms),
        commit_interval_default_ms: defaults.commit_interval.as_ms(),
        from: arguments.from.map(|from| match from {
            EnableFrom::Earliest => StartFrom::Earliest,
            EnableFrom::Latest => StartFrom::Latest,
        }),
        retention_ms: arguments.retention_ms,
        error_handling: arguments.error_handling.map(Into::into),
        log_target: arguments.log_target.clone(),
    })
}

/// `--table bronze.orders` hardly asks for a table of that whole name.
fn check_plain_name(arguments: &EnableArguments, namespace_default: &str) -> Result<()> {
    let dotted = arguments.table.as_deref().filter(|_| arguments.namespace.is_none());
    let Some((namespace, name)) = dotted.and_then(|table| table.split_once('.')) else { return Ok(()) };
    TableName::new(namespace, name)?;
    Err(Error::usage(format!("--table {namespace}.{name} is a name with a dot"))
        .with_detail("--table takes the table's own name, --namespace where it is")
        .with_hint(format!(
            "--namespace {namespace} --table {name}; for the dotted name say the namespace as well: --namespace \
             {namespace_default} --table {namespace}.{name}"
        )))
}

fn print_for_people(plans: &[PlanSummary], dry_run: bool, out: &mut dyn Write) -> Result<()> {
    for plan in plans {
        let what = match (dry_run, plan.exists) {
            (true, true) => "would fill again",
            (true, false) => "would become",
            (false, true) => "fills again",
            (false, false) => "becomes",
        };
        output::printed(writeln!(out, "topic {} {what} table {}", plan.topic, plan.table))?;
        for column in &plan.columns {
            let null = if column.nullable { "" } else { " NOT NULL" };
            output::printed(writeln!(out, "  {} {}{null}", column.name, column.r#type))?;
        }
        if plan.format != definition::Format::Json {
            output::printed(writeln!(out, "  records are {}", plan.format))?;
        }
        for note in &plan.notes {
            output::printed(writeln!(out, "  note: {note}"))?;
        }
        let letters = plan.dead_letters.clone().unwrap_or_default();
        for (word, text) in
            [("partitioned by", &plan.partition_by), ("sorted by", &plan.sort_by), ("dead letters in", &letters)]
        {
            if !text.is_empty() {
                output::printed(writeln!(out, "  {word} {text}"))?;
            }
        }
    }
    Ok(())
}
