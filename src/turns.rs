//! Whose turn it is to commit to a table, within this process.
//!
//! Owns [`Turns`]. The catalog alone decides whose commit is in; a turn keeps two jobs of one process from making each
//! other's work void: who feeds a table waits for one commit of its upkeep at most, and the other way round.
//! - I1: turns are given in the order in which they were asked for.
//! - I2: nobody waits for a turn while having one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use tableflow_model::TableName;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// A table's turn, until it is dropped.
pub type Turn = OwnedMutexGuard<()>;

/// One for each table.
#[derive(Debug, Default)]
pub struct Turns {
    tables: StdMutex<HashMap<TableName, Arc<Mutex<()>>>>,
}

impl Turns {
    pub async fn of(&self, table: &TableName) -> Turn {
        let turn = {
            let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
            tables.entry(table.clone()).or_default().clone()
        };
        turn.lock_owned().await
    }
}
