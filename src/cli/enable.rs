//! `enable`: topics become tables, by their names or by a pattern.

use std::io::Write;

use tableflow_connectors::decode;
use tableflow_model::{Error, Result, TableName};

use super::args::{EnableArguments, EnableFrom, MetadataColumns, Mode};
use super::session::Session;
use crate::definition::{self, StartFrom};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::pattern::Pattern;
use crate::pipeline::enable::{Asked, Plan, PlanSummary, Request, Taken, plan};
use crate::pipeline::matching::{self, LeftOut};
use crate::units::CommitInterval;

pub async fn run(arguments: &EnableArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    check_plain_name(arguments, &session.config.defaults.namespace)?;
    let pattern = match &arguments.pattern {
        Some(regex) => Some(pattern(arguments, session, regex)?),
        None => None,
    };
    let (plans, left_out) = match &pattern {
        Some(pattern) => matching::plans(&session.home, pattern).await?,
        None => (named(arguments, session).await?, Vec::new()),
    };
    let summaries: Vec<PlanSummary> = plans.iter().map(Plan::summary).collect::<Result<_>>()?;
    if !arguments.dry_run {
        // From here on the service knows it: whatever ends this process, the topics become tables.
        if let Some(pattern) = &pattern {
            let before = session.home.patterns().declare(pattern).await?;
            remark_on_redeclared(session, before.as_ref(), pattern);
        }
        for plan in plans {
            plan.carry_out(&session.home).await?;
        }
    }
    match session.format {
        Format::Table => print_for_people(&summaries, arguments.dry_run, out),
        format => output::documents(format, &summaries, &[], out),
    }?;
    if pattern.is_some() && summaries.is_empty() && left_out.is_empty() {
        session.remark(
            "no topic that is there and no table yet matches: a pattern is of whole names, such as 'shop\\..*'",
        );
    }
    for LeftOut { topic, error } in left_out {
        session.remark(&format!("topic {topic} is left out for now: {}", error.report().trim_start_matches("error: ")));
    }
    session.remark(&next(pattern.as_ref(), arguments.dry_run));
    Ok(Exit::Done)
}

fn next(pattern: Option<&Pattern>, dry_run: bool) -> String {
    match pattern {
        _ if dry_run => "nothing was made".to_owned(),
        Some(Pattern { regex, .. }) => format!(
            "topics to come that {regex} matches become tables too, under tableflow up or at the next tableflow sync"
        ),
        None => "next: tableflow up, or tableflow sync".to_owned(),
    }
}

/// What a pattern asks is asked of a table when it is made.
fn remark_on_redeclared(session: &Session, before: Option<&Pattern>, pattern: &Pattern) {
    if before.is_some_and(|before| !before.asks_the_same(pattern)) {
        session.remark(
            "the pattern was declared before: what it asks now is for tables to come; those that are there keep their \
             settings, and `tableflow update TABLE` changes them",
        );
    }
}

async fn named(arguments: &EnableArguments, session: &Session) -> Result<Vec<Plan>> {
    let (mut plans, mut taken) = (Vec::new(), Taken::look(&session.home).await?);
    for topic in &arguments.topics {
        let request = Request {
            topic: topic.clone(),
            table: TableName::new(namespace(arguments, session), arguments.table.as_deref().unwrap_or(topic.as_str()))?,
            asked: asked(arguments),
            commit_interval_default_ms: session.config.defaults.commit_interval.as_ms(),
        };
        plans.push(plan(&session.home, &mut taken, request).await?);
    }
    Ok(plans)
}

fn pattern(arguments: &EnableArguments, session: &Session, regex: &str) -> Result<Pattern> {
    let namespace = namespace(arguments, session).to_owned();
    let interval_default_ms = session.config.defaults.commit_interval.as_ms();
    Pattern::new(regex.to_owned(), namespace, asked(arguments), interval_default_ms, session.home.clock.now())
}

fn namespace<'s>(arguments: &'s EnableArguments, session: &'s Session) -> &'s str {
    arguments.namespace.as_deref().unwrap_or(&session.config.defaults.namespace)
}

fn asked(arguments: &EnableArguments) -> Asked {
    Asked {
        append: arguments.mode == Mode::Append,
        upsert: arguments.mode == Mode::Upsert,
        key: arguments.key.clone(),
        delete: arguments.delete.map(Into::into),
        latest_by: arguments.latest_by.clone(),
        unavailable_value: arguments.unavailable_value_placeholder.clone(),
        format: arguments.format.as_definition(),
        envelope: arguments.format.envelope(),
        columns: arguments.columns.clone(),
        key_format: arguments.key_format.map(Into::into),
        key_columns: arguments.key_columns.clone(),
        partition_by: arguments.partition_by.clone().unwrap_or_default(),
        sort_by: arguments.sort_by.clone().unwrap_or_default(),
        format_version: arguments.writing.format_version,
        delete_encoding: arguments.writing.delete_encoding,
        readers: arguments.writing.readers.clone(),
        metadata_columns: arguments.metadata_columns.map(|columns| match columns {
            MetadataColumns::Portable => decode::MetadataColumns::Portable,
            MetadataColumns::None => decode::MetadataColumns::None,
            MetadataColumns::Cflt => decode::MetadataColumns::Cflt,
            MetadataColumns::Confluent => decode::MetadataColumns::Confluent,
        }),
        commit_interval_ms: arguments.commit_interval.map(CommitInterval::as_ms),
        from: arguments.from.map(|from| match from {
            EnableFrom::Earliest => StartFrom::Earliest,
            EnableFrom::Latest => StartFrom::Latest,
        }),
        retention_ms: arguments.retention_ms,
        data_retention_ms: arguments.data_retention_ms,
        compaction: arguments.compaction.policy(),
        evolution: arguments.evolution.map(Into::into),
        error_handling: arguments.error_handling.map(Into::into),
        log_target: arguments.log_target.clone(),
        dlq_topic: arguments.dlq_topic.clone(),
        fan_out: arguments.fan_out.clone(),
    }
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
        let tables = match &plan.fan_out {
            Some(by) => format!("tables {}__.., one for each {by}", plan.table),
            None => format!("table {}", plan.table),
        };
        output::printed(writeln!(out, "topic {} {what} {tables}", plan.topic))?;
        for column in &plan.columns {
            let null = if column.nullable { "" } else { " NOT NULL" };
            let of_key = if plan.key_columns.contains(&column.name) { ", of the key" } else { "" };
            output::printed(writeln!(out, "  {} {}{null}{of_key}", column.name, column.r#type))?;
        }
        if let Some(envelope) = plan.envelope {
            output::printed(writeln!(out, "  records are changes, as {envelope} sends them"))?;
        }
        if plan.format != definition::Format::Json {
            output::printed(writeln!(out, "  records are {}", plan.format))?;
        }
        if let Some(format) = plan.key_format {
            output::printed(writeln!(out, "  keys are {format}"))?;
        }
        for note in &plan.notes {
            output::printed(writeln!(out, "  note: {note}"))?;
        }
        let key = plan.key.join(", ");
        let letters = plan.dead_letters.clone().unwrap_or_default();
        let dlq_topic = plan.dlq_topic.clone().unwrap_or_default();
        let readers = plan.readers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let latest_by = plan.latest_by.clone().unwrap_or_default();
        let deletes = if plan.delete_encoding == "none" { "" } else { plan.delete_encoding }.to_owned();
        let version = plan.format_version.to_string();
        for (word, text) in [
            ("one row for each", &key),
            ("the latest by", &latest_by),
            ("partitioned by", &plan.partition_by),
            ("sorted by", &plan.sort_by),
            ("dead letters in", &letters),
            ("and in topic", &dlq_topic),
            ("for", &readers),
            ("deleted rows as", &deletes),
            ("version of the Iceberg format", &version),
        ] {
            if !text.is_empty() {
                output::printed(writeln!(out, "  {word} {text}"))?;
            }
        }
    }
    Ok(())
}
