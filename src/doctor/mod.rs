//! What `doctor` looks at: everything that tables need, each part by itself.
//!
//! ```text
//!  directory  the data directory: objects put, read, listed and deleted; disk space; the clock
//!  cluster    the servers of a Kafka cluster, the login, the client's certificate
//!  schemas    the schema registry, and what it lacks
//!  tables     each enabled table: its topic, its rights, its place, its catalog entry
//! ```
//!
//! Owns [`Check`] and its words, which are a contract.
//! - I1: everything has a deadline: what does not answer is a check that failed.
//! - I2: checks run side by side, and one that fails hides no other.
//! - I3: nothing is changed: what is put for the sake of a check is deleted by it.

mod cluster;
mod directory;
mod schemas;
mod tables;

use std::time::Duration;

use futures::future::join_all;
use serde::Serialize;
use tableflow_model::{Error, Result};

use crate::config::Config;
use crate::home::Home;
use crate::pipeline::progress::Trouble;

/// Longer than any question that has a deadline of its own.
const DEADLINE: Duration = Duration::from_secs(15);

/// Clocks that are further apart are not both right; HTTP tells whole seconds, and answers take some.
const CLOCKS_APART_MAX_MS: i64 = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Ok,
    /// It works, and will not for ever.
    Warning,
    Failed,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// `broker 127.0.0.1:9092`, `topic orders`, ..
    pub check: String,
    pub outcome: Outcome,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl Check {
    fn ok(check: impl Into<String>, detail: impl Into<String>) -> Self {
        Check { check: check.into(), outcome: Outcome::Ok, detail: Some(detail.into()), hint: None }
    }

    fn warning(check: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        let (check, detail, hint) = (check.into(), Some(detail.into()), Some(hint.into()));
        Check { check, outcome: Outcome::Warning, detail, hint }
    }

    fn failed(check: impl Into<String>, error: &Error) -> Self {
        let Trouble { reason, hint, .. } = Trouble::of(error);
        Check { check: check.into(), outcome: Outcome::Failed, detail: Some(reason), hint }
    }

    /// What was found, or the error that came instead.
    fn of(check: impl Into<String>, found: Result<String>) -> Self {
        match found {
            Ok(detail) => Check::ok(check, detail),
            Err(error) => Check::failed(check, &error),
        }
    }
}

/// I1.
async fn within_deadline(check: &str, looked: impl Future<Output = Check>) -> Check {
    match tokio::time::timeout(DEADLINE, looked).await {
        Ok(check) => check,
        Err(_) => Check::failed(check, &Error::unavailable(format!("no answer within {} s", DEADLINE.as_secs()))),
    }
}

/// Everything; `home` is what could be opened of the data directory, or why it could not.
pub async fn examine(config: &Config, home: Result<Home>) -> Vec<Check> {
    let cluster = cluster::look(config);
    let (mut checks, more) = match home {
        Ok(home) => {
            let directory = directory::look(&home);
            let (cluster, directory, schemas, tables) =
                tokio::join!(cluster, directory, schemas::look(&home), tables::look(&home));
            (directory, [cluster, schemas, tables].concat())
        }
        Err(error) => {
            let check = format!("data directory {}", config.data_dir.display());
            (vec![Check::failed(check, &error)], cluster.await)
        }
    };
    checks.extend(more);
    checks
}

/// I2.
async fn side_by_side(checks: Vec<impl Future<Output = Check>>) -> Vec<Check> {
    join_all(checks).await
}
