//! Verbs, flags and values that are understood and not served: each is refused by name, with what to use instead.
//!
//! Pure: the parsed words in, a refusal out.

use clap::ValueEnum;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use tableflow_model::{Error, Result};

use super::enable::{EnableArguments, TableFormat};
use super::topic::{ProduceArguments, ProduceFormat};
use super::{MaintainArguments, QueryArguments, Verb};

pub(super) fn check(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Enable(arguments) => check_enable(arguments),
        Verb::Produce(arguments) => check_produce(arguments),
        Verb::Query(arguments) => check_query(arguments),
        Verb::Maintain(MaintainArguments { tables, all: false, .. }) if tables.is_empty() => {
            Err(Error::usage("no TABLE is named")
                .with_hint("--all is every table that is enabled; `tableflow list` shows them"))
        }
        Verb::Update(arguments) if arguments.asks_nothing() => {
            Err(Error::usage("nothing is asked of the table").with_hint("`tableflow update --help` has the settings"))
        }
        _ => Ok(()),
    }
}

/// Verbs that come later, and what serves until then; what this version has is in docs/reference.md.
pub(super) const VERBS: &[(&str, &str)] = &[
    ("run", "`tableflow query` answers SQL over the tables at once"),
    ("explain", "`tableflow query \"explain select ..\"` shows the plan of a query"),
    ("jobs", "`tableflow status` shows the tables, which are the only jobs"),
    ("catalog", "`tableflow list` shows the tables; other engines open DIR/catalog.db"),
    ("plan", "`tableflow enable TOPIC --dry-run` prints the plan of one table"),
    ("apply", "`tableflow enable TOPIC` makes one table"),
];

/// The same for flags of `enable` and `update`.
pub(super) const FLAGS: &[(&str, &str)] = &[
    ("--catalog", "the embedded catalog is used"),
    ("--register", "other engines open the embedded catalog"),
    ("--schema-mode", "columns are inferred, or declared with --columns"),
];

/// A word that clap does not know and the lists above do.
pub(super) fn unknown_word(error: &clap::Error) -> Option<Error> {
    let text = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (known, word) = match error.kind() {
        ErrorKind::InvalidSubcommand => (VERBS, text(ContextKind::InvalidSubcommand)?),
        ErrorKind::UnknownArgument => {
            let usage = error.get(ContextKind::Usage)?.to_string();
            let takes_settings = usage.contains("tableflow enable") || usage.contains("tableflow update");
            (FLAGS, text(ContextKind::InvalidArg).filter(|_| takes_settings)?)
        }
        _ => return None,
    };
    let (word, instead) = known.iter().find(|(name, _)| *name == word)?;
    Some(Error::usage(format!("{word} comes later")).with_hint(*instead))
}

fn check_enable(arguments: &EnableArguments) -> Result<()> {
    if arguments.table.is_some() && arguments.topics.len() > 1 {
        return Err(Error::usage("--table names one table, and several topics were given")
            .with_hint("enable the topics one by one"));
    }
    if arguments.compaction.takes_back() {
        return Err(Error::usage("default takes back what was declared of a table that is enabled")
            .with_hint("leave the flag out; `tableflow update TABLE` takes it back"));
    }
    for format in &arguments.table_formats {
        serve("--table-formats", *format, &[TableFormat::Iceberg], "use ICEBERG")?;
    }
    Ok(())
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
        Some(sql) if sql.trim().is_empty() => Err(Error::usage("the statement is empty").with_hint("write a SELECT")),
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
