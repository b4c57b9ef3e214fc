//! What a person says of letters that nobody else knows of: `resume --letters` (rule T2).
//!
//! - I1: it is an answer to the question that the table suspended with, and to no other.

use tableflow_model::{Error, Result};

use super::LettersTopic;
use crate::definition::Definition;
use crate::home::Home;
use crate::pipeline::progress::State;
use crate::pipeline::status::report_of;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The topic has them.
    Sent,
    /// It has not: they are sent.
    Missing,
}

/// The topic records the epoch that the answer means; the table is still suspended.
pub async fn take(home: &Home, definition: &Definition, answer: Answer) -> Result<()> {
    let report = report_of(home, definition).await.filter(|report| report.state == State::Suspended);
    let doubt = report.and_then(|report| report.trouble?.letters);
    let Some((doubt, declared)) = doubt.zip(definition.letters_topic()) else {
        let table = &definition.table;
        return Err(Error::usage(format!("table {table} does not ask about its dead letters"))
            .with_detail("--letters answers a table that is suspended because nobody knows which letters its topic has")
            .with_hint(format!(
                "`tableflow status {table}` says what it asks; `tableflow resume {table}` resumes it"
            )));
    };
    let epoch = match answer {
        Answer::Sent => doubt.sent,
        Answer::Missing => doubt.missing,
    };
    LettersTopic::new(home.clone(), definition, declared.clone()).answer(doubt, epoch).await
}
