//! The measuring side of `bench/run`: what has to be measured from within.
//!
//! ```text
//!  bids      the rows, the same every time
//!  generate  a topic of them, and the same rows as a file of lines for the peers
//!  fill      a topic of a real cluster, of the same rows
//!  fetch     the reading of such a topic alone: the limit's first part
//!  serve     the service over a cluster's topics, which counts its requests; its objects near, or as far away as S3's
//!  parts     each part of the append alone, in one thread, by CPU time: the limit of their sum
//!  framed    the decoding alone, beside other decoders and limits: `json`, `avro`, `protobuf`
//!  commits   commits to tables of many files: time, bytes, requests
//!  small     a table of many small files, deleted rows in them or not
//!  changes   a topic of changes by key
//!  keys      the index of a table's keys: made anew, read from disk, searched
//!  queries   statements from stdin, timed inside of the process
//! ```
//!
//! Every subcommand answers with JSON on stdout; `bench/run` starts them, checks, compares and prints.

mod avro;
mod bids;
mod changes;
mod commits;
mod distance;
mod fetch;
mod fill;
mod framed;
mod generate;
mod json;
mod keys;
mod parts;
mod protobuf;
mod queries;
mod serve;
mod small;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;
use tableflow_model::{Error, Result};

/// The topic of the bids, in any data directory.
const TOPIC: &str = "bids";

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Fill the topic `bids` of a data directory, and the file bids.ndjson beside it
    Generate { directory: PathBuf, rows: u64 },
    /// Make and fill a topic of a cluster
    Fill { servers: String, topic: String, format: fill::Format, rows: u64 },
    /// Measure the reading of a topic of a cluster
    Fetch { servers: String, topic: String },
    /// Run the service; each line of stdin is answered with the requests to the store so far
    Serve {
        directory: PathBuf,
        servers: String,
        /// Objects are as far away as S3's
        #[arg(long)]
        far: bool,
        /// What its tables may hold
        #[arg(long, default_value_t = 4096)]
        budget_mib: u64,
    },
    /// Measure the parts of the append over that topic
    Parts { directory: PathBuf },
    /// Measure the decoding of so many rows of JSON
    Json { rows: usize },
    /// Measure the decoding of so many rows of Avro
    Avro { rows: usize },
    /// Measure the decoding of so many rows of Protobuf
    Protobuf { rows: usize },
    /// Measure commits to a table with so many files
    Commits { directory: PathBuf, files: usize },
    /// Make a table of so many small files
    Small {
        directory: PathBuf,
        table: String,
        files: usize,
        /// Of each file
        rows: usize,
        /// In hundredths of the rows
        #[arg(long, default_value_t = 0)]
        deleted: u8,
        #[arg(long)]
        sorted: bool,
    },
    /// Put so many keys, or changes of them, into the topic `customers` of a data directory
    Changes {
        directory: PathBuf,
        keys: usize,
        changes: usize,
        chosen: changes::Chosen,
        /// Put a value where others delete
        #[arg(long)]
        puts: bool,
        /// So many of them in a second; without it all at once
        #[arg(long)]
        per_second: Option<usize>,
    },
    /// Measure the index of so many keys, beside a table of them in a data directory
    Keys {
        directory: PathBuf,
        keys: u64,
        /// What it may take
        #[arg(long, default_value_t = 1280)]
        memory_mib: u64,
    },
    /// Run the statements of stdin, one a line
    Queries { directory: PathBuf },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Generate { directory, rows } => generate::run(&directory, rows).and_then(|made| print(&made)),
        Verb::Fill { servers, topic, format, rows } => {
            fill::run(&servers, &topic, format, rows).and_then(|filled| print(&filled))
        }
        Verb::Fetch { servers, topic } => fetch::run(&servers, &topic).and_then(|fetched| print(&fetched)),
        Verb::Serve { directory, servers, far, budget_mib } => serve::run(&directory, &servers, far, budget_mib << 20),
        Verb::Parts { directory } => parts::run(&directory).and_then(|parts| print(&parts)),
        Verb::Json { rows } => json::run(rows).and_then(|decoders| print(&decoders)),
        Verb::Avro { rows } => avro::run(rows).and_then(|decoders| print(&decoders)),
        Verb::Protobuf { rows } => protobuf::run(rows).and_then(|decoders| print(&decoders)),
        Verb::Commits { directory, files } => commits::run(&directory, files).and_then(|commits| print(&commits)),
        Verb::Small { directory, table, files, rows, deleted, sorted } => {
            let asked = small::Asked { files, rows, deleted, sorted };
            small::run(&directory, &table, asked).and_then(|small| print(&small))
        }
        Verb::Changes { directory, keys, changes, chosen, puts, per_second } => {
            let asked = changes::Asked { keys, changes, chosen, puts, per_second };
            changes::run(&directory, asked).and_then(|changed| print(&changed))
        }
        Verb::Keys { directory, keys, memory_mib } => {
            keys::run(&directory, keys, memory_mib << 20).and_then(|keys| print(&keys))
        }
        Verb::Queries { directory } => queries::run(&directory),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is gone nobody reads it.
            let _ = writeln!(std::io::stderr(), "{}", error.report());
            ExitCode::FAILURE
        }
    }
}

/// One line of JSON.
fn print(answer: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(answer)
        .map_err(|error| Error::internal("an answer cannot be written as JSON").with_source(error))?;
    let mut out = std::io::stdout();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(output)
}

fn output(error: std::io::Error) -> Error {
    Error::unavailable("the answer cannot be written").with_source(error)
}
