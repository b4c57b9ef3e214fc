//! Values that are understood and not served: each is refused by name, with what to use instead.
//!
//! Pure: the parsed words in, a refusal out.

use clap::ValueEnum;
use tableflow_model::{Error, Result};

use super::enable::{EnableArguments, ErrorHandling, MetadataColumns, Mode, TableFormat, TopicFormat, UpdateArguments};
use super::topic::{ProduceArguments, ProduceFormat};
use super::{QueryArguments, Verb};

pub(super) fn check(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Enable(arguments) => check_enable(arguments),
        Verb::Update(UpdateArguments { error_handling: Some(handling), .. }) => check_error_handling(*handling),
        Verb::Produce(arguments) => check_produce(arguments),
        Verb::Query(arguments) => check_query(arguments),
        _ => Ok(()),
    }
}

fn check_enable(arguments: &EnableArguments) -> Result<()> {
    if arguments.table.is_some() && arguments.topics.len() > 1 {
        return Err(Error::usage("--table names one table, and several topics were given")
            .with_hint("enable the topics one by one"));
    }
    serve("--mode", arguments.mode, &[Mode::Auto, Mode::Append], "use append: every record becomes a row")?;
    for format in &arguments.table_formats {
        serve("--table-formats", *format, &[TableFormat::Iceberg], "use ICEBERG")?;
    }
    if arguments.format_version != 2 {
        return Err(later("--format-version", &arguments.format_version.to_string(), "use 2"));
    }
    serve(
        "--format",
        arguments.format,
        &[TopicFormat::Auto, TopicFormat::Json],
        "use json, with --columns for its types",
    )?;
    let columns = [MetadataColumns::Portable, MetadataColumns::None];
    serve("--metadata-columns", arguments.metadata_columns, &columns, "use portable or none")?;
    check_error_handling(arguments.error_handling)
}

fn check_error_handling(handling: ErrorHandling) -> Result<()> {
    serve("--error-handling", handling, &[ErrorHandling::Suspend], "use SUSPEND: the table stops and nothing is lost")
}

fn check_produce(arguments: &ProduceArguments) -> Result<()> {
    serve("--format", arguments.format, &[ProduceFormat::Json, ProduceFormat::Raw], "use json or raw")?;
    if arguments.format == ProduceFormat::Raw && (arguments.envelope || !arguments.key.is_empty()) {
        return Err(Error::usage("raw lines have no fields, so neither --key nor --envelope can be read from them")
            .with_hint("leave --format out: lines are JSON"));
    }
    Ok(())
}

fn check_query(arguments: &QueryArguments) -> Result<()> {
    match arguments.sql.as_deref() {
        Some(sql) if sql.trim().is_empty() => Err(Error::usage("the statement is empty")),
        _ => Ok(()),
    }
}

fn serve<V: ValueEnum + PartialEq>(flag: &str, value: V, served: &[V], instead: &str) -> Result<()> {
    if served.contains(&value) {
        return Ok(());
    }
    let word = value.to_possible_value().map(|word| word.get_name().to_owned()).unwrap_or_default();
    Err(later(flag, &word, instead))
}

fn later(flag: &str, word: &str, instead: &str) -> Error {
    Error::usage(format!("{flag} {word} comes later")).with_hint(instead)
}
