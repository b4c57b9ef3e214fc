//! `rollback`: an old snapshot's content as a new one, the table paused.

use std::io::Write;

use serde::Serialize;
use tableflow_model::Result;

use super::args::RollbackArguments;
use super::session::Session;
use crate::exit::Exit;
use crate::output;
use crate::pipeline::rollback::{Afterwards, roll_back};

#[derive(Debug, Serialize)]
struct RolledBack {
    table: String,
    to: i64,
    snapshot_id: i64,
    offsets: &'static str,
    status: &'static str,
}

pub async fn run(arguments: &RollbackArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let table = session.enabled_table(&arguments.table.table).await?;
    let (afterwards, offsets) =
        if arguments.replay { (Afterwards::Replay, "replay") } else { (Afterwards::KeepOffsets, "keep") };
    let rolled_back = RolledBack {
        table: table.to_plain_string(),
        to: arguments.to,
        snapshot_id: roll_back(&session.home, &table, arguments.to, afterwards).await?,
        offsets,
        status: "Paused",
    };
    output::document(session.format, &rolled_back, out)?;
    Ok(Exit::Done)
}
