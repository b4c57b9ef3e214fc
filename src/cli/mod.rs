//! The command line: one file a verb.
//!
//! Owns the way from parsed words to a verb. A verb prints its result to the writer it is given and returns how
//! the process ends; everything else it says goes to stderr through tracing.

pub mod args;
mod changes;
mod check;
mod completion;
mod consume;
mod demo;
mod dlq;
mod doctor;
mod enable;
mod history;
mod man;
mod manage;
mod produce;
mod query;
mod rollback;
mod schema;
mod session;
mod status;
mod sync;
mod topic;
mod up;
mod upkeep;
mod version;

use std::io::{IsTerminal, Write, stdin};

use tableflow_model::{Error, Result};

use crate::exit::Exit;
use args::{Arguments, Verb};
pub use demo::remove_scratch;
use session::Session;

/// Carries out one command line.
pub async fn run(arguments: Arguments, out: &mut dyn Write) -> Result<Exit> {
    let Arguments { global, verb } = arguments;
    let (begins, reads) = (verb.begins_a_directory(), verb.reads_from_stdin());
    let session = async || {
        let session = if begins { Session::begin(&global).await? } else { Session::open(&global).await? };
        if let Some(what) = reads.filter(|_| stdin().is_terminal()) {
            session.remark(&format!("reading {what} from standard input; end with Ctrl-D"));
        }
        Ok::<_, Error>(session)
    };
    match verb {
        Verb::Demo(words) => demo::run(&words, &global, out).await,
        Verb::Topic(verb) => topic::run(verb, &session().await?, out).await,
        Verb::Schema(verb) => schema::run(&verb, &global, out).await,
        Verb::Produce(words) => produce::run(&words, &session().await?, out).await,
        Verb::Dlq(verb) => dlq::run(&verb, session().await?, out).await,
        Verb::Consume(words) => consume::run(&words, &session().await?, out).await,
        Verb::Enable(words) => enable::run(&words, &session().await?, out).await,
        Verb::Disable(words) => manage::disable(&words, &session().await?, out).await,
        Verb::Pause(words) => manage::pause(&words, &session().await?, out).await,
        Verb::Resume(words) => manage::resume(&words, &session().await?, out).await,
        Verb::Update(words) => manage::update(&words, &session().await?, out).await,
        Verb::List(words) => status::list(&words, &session().await?, out).await,
        Verb::Describe(words) => status::describe(&words, &session().await?, out).await,
        Verb::Status(words) => status::status(&words, &session().await?, out).await,
        Verb::Sync(words) => sync::run(&words, &session().await?, out).await,
        Verb::Up(words) => up::run(&words, session().await?, out).await,
        Verb::Query(words) => query::run(&words, session().await?, out).await,
        Verb::History(words) => history::history(&words, &session().await?, out).await,
        Verb::Changes(words) => changes::run(&words, &session().await?, out).await,
        Verb::Files(words) => history::files(&words, &session().await?, out).await,
        Verb::Compact(words) => upkeep::compact(&words, &session().await?, out).await,
        Verb::Expire(words) => upkeep::expire(&words, &session().await?, out).await,
        Verb::RewriteManifests(words) => upkeep::rewrite_manifests(&words, &session().await?, out).await,
        Verb::Erase(words) => upkeep::erase(&words, &session().await?, out).await,
        Verb::Vacuum(words) => upkeep::vacuum(&words, &session().await?, out).await,
        Verb::Maintain(words) => upkeep::maintain(&words, &session().await?, out).await,
        Verb::Rollback(words) => rollback::run(&words, &session().await?, out).await,
        Verb::Doctor => doctor::run(&global, out).await,
        Verb::Completion(words) => completion::run(&words, out),
        Verb::Man => man::run(out),
        Verb::Version => version::run(global.output, out),
    }
}
