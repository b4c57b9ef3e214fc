//! `doctor`: what a table needs, and what of it is missing.

use std::io::Write;

use tableflow_model::Result;

use super::args::GlobalArguments;
use super::session::Session;
use crate::doctor::{Outcome, examine};
use crate::exit::Exit;
use crate::output;

pub async fn run(global: &GlobalArguments, out: &mut dyn Write) -> Result<Exit> {
    let config = Session::config(global)?;
    // A part that cannot be opened is a check, like what it hides.
    let home = Session::open(global).await.map(|session| session.home);
    let checks = examine(&config, home).await;
    output::documents(global.output, &checks, &["check", "outcome", "detail", "hint"], out)?;
    let is_failed = checks.iter().any(|check| check.outcome == Outcome::Failed);
    Ok(if is_failed { Exit::Violated } else { Exit::Done })
}
