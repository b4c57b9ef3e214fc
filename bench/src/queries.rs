//! Statements timed inside of the process: planning, reading, and the rows as batches; neither start nor output.

use std::io::stdin;
use std::path::Path;
use std::time::Instant;

use futures::TryStreamExt;
use serde::Serialize;
use tableflow::home::Home;
use tableflow::query::{QuerySession, query_error};
use tableflow_model::{Error, Result};

use crate::print;

/// Enough for every statement of the benchmark.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

#[derive(Debug, Serialize)]
struct Answer {
    seconds: f64,
    rows: usize,
}

/// Answers each line before the next one is read, so that the caller can let a peer run in between.
pub fn run(directory: &Path) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Error::unavailable("the threads cannot be started").with_source(error))?;
    let home = runtime.block_on(Home::open(directory))?;
    for line in stdin().lines() {
        let sql = line.map_err(|error| Error::unavailable("stdin cannot be read").with_source(error))?;
        print(&runtime.block_on(query(&home, &sql))?)?;
    }
    Ok(())
}

async fn query(home: &Home, sql: &str) -> Result<Answer> {
    let started = Instant::now();
    let stream = QuerySession::new(home.clone(), MEMORY_BYTES_MAX).stream(sql, None).await?;
    let batches: Vec<_> = stream.try_collect().await.map_err(query_error)?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Answer { seconds, rows: batches.iter().map(|batch| batch.num_rows()).sum() })
}
