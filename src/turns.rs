//! Whose turn it is to commit to a table, within this process.
//!
//! Owns [`Turns`]. The catalog alone decides whose commit is in; a turn keeps two jobs of one process from making each
//! other's work void: who feeds a table waits for one commit of its upkeep at most, and the other way round.
//! - I1: turns are given in the order in which they were asked for.
//! - I2: nobody waits for a turn while having one.
//! - I3: who waited learns from the turn that another one committed meanwhile, before preparing a commit that would be
//!   refused. It is told once: somebody outside of the process may have committed since, and the catalog knows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use tableflow_model::TableName;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The metadata of a table as the last commit left it.
type LeftAt = Option<String>;

/// A table's turn, until it is dropped.
#[derive(Debug)]
pub struct Turn(OwnedMutexGuard<LeftAt>);

impl Turn {
    /// A commit left the table there.
    pub fn left_at(&mut self, metadata_location: &str) {
        *self.0 = Some(metadata_location.to_owned());
    }

    /// Whether the last commit left it elsewhere (I3).
    pub fn is_past(&mut self, metadata_location: &str) -> bool {
        self.0.take_if(|left_at| left_at.as_str() != metadata_location).is_some()
    }
}

/// One for each table.
#[derive(Debug, Default)]
pub struct Turns {
    tables: StdMutex<HashMap<TableName, Arc<Mutex<LeftAt>>>>,
}

impl Turns {
    pub async fn of(&self, table: &TableName) -> Turn {
        let turn = {
            let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
            tables.entry(table.clone()).or_default().clone()
        };
        Turn(turn.lock_owned().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn i3_who_waited_learns_once_that_the_table_is_elsewhere() {
        let (turns, table) = (Turns::default(), TableName::new("bronze", "t").unwrap());
        assert!(!turns.of(&table).await.is_past("1"), "nothing is known of it");
        turns.of(&table).await.left_at("2");
        assert!(!turns.of(&table).await.is_past("2"));
        assert!(!turns.of(&TableName::new("bronze", "u").unwrap()).await.is_past("1"));
        assert!(turns.of(&table).await.is_past("1"));
        assert!(!turns.of(&table).await.is_past("3"), "somebody outside left it there");
    }
}
