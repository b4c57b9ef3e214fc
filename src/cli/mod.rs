//! The command line: one file a verb.
//!
//! Owns the way from parsed words to a verb. A verb prints its result to the writer it is given and returns how
//! the process ends; everything else it says goes to stderr through tracing.

pub mod args;
mod completion;
mod consume;
mod demo;
mod enable;
mod history;
mod man;
mod manage;
mod produce;
mod query;
mod rollback;
mod session;
mod status;
mod sync;
mod topic;
mod up;
mod version;

use std::io::Write;

use tableflow_model::Result;

use crate::exit::Exit;
use args::{Arguments, Verb};
use session::Session;

/// Carries out one command line.
pub async fn run(arguments: Arguments, out: &mut dyn Write) -> Result<Exit> {
    let format = arguments.global.output;
    match arguments.verb {
        Verb::Completion(words) => return completion::run(&words, out),
        Verb::Man => return man::run(out),
        Verb::Version => return version::run(format, out),
        Verb::Demo(words) => return demo::run(&words, &arguments.global, out).await,
        _ => {}
    }
    let session = Session::open(&arguments.global).await?;
    run_on(session, arguments.verb, out).await
}

/// The verbs that need the data directory.
async fn run_on(session: Session, verb: Verb, out: &mut dyn Write) -> Result<Exit> {
    match verb {
        Verb::Topic(verb) => topic::run(verb, &session, out).await,
        Verb::Produce(words) => produce::run(&words, &session, out),
        Verb::Consume(words) => consume::run(&words, &session, out).await,
        Verb::Enable(words) => enable::run(&words, &session, out).await,
        Verb::Disable(words) => manage::disable(&words, &session, out).await,
        Verb::Pause(words) => manage::pause(&words, &session, out).await,
        Verb::Resume(words) => manage::resume(&words, &session, out).await,
        Verb::Update(words) => manage::update(&words, &session, out).await,
        Verb::List => status::list(&session, out).await,
        Verb::Describe(words) => status::describe(&words, &session, out).await,
        Verb::Status(words) => status::status(&words, &session, out).await,
        Verb::Sync(words) => sync::run(&words, &session, out).await,
        Verb::Up(words) => up::run(&words, session, out).await,
        Verb::Query(words) => query::run(&words, session, out).await,
        Verb::History(words) => history::history(&words, &session, out).await,
        Verb::Files(words) => history::files(&words, &session, out).await,
        Verb::Rollback(words) => rollback::run(&words, &session, out).await,
        Verb::Completion(_) | Verb::Man | Verb::Version | Verb::Demo(_) => Ok(Exit::Done),
    }
}
