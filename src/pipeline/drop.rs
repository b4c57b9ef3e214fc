//! A table goes, its files too.
//!
//! - I1: the catalog forgets the table before its first file is deleted: no reader finds a table with files missing.
//! - I2: only what lies in the table's own directory is deleted, and only of the table that was meant: another one of
//!   the same name, made by somebody else since, stays.

use tableflow_model::{Error, ErrorKind, Result, TableName};
use uuid::Uuid;

use crate::home::Home;

/// Does nothing if the table is gone already.
pub async fn drop_table(home: &Home, table: &TableName, uuid: Uuid) -> Result<()> {
    let loaded = match home.catalog.load_table(table).await {
        Ok(loaded) => loaded,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if loaded.metadata.uuid() != uuid {
        return Err(Error::conflict(format!("table {table} is not the one that was enabled: somebody made it anew"))
            .with_detail(format!("the enabled one was {uuid}, this one is {}", loaded.metadata.uuid()))
            .with_hint("it is disabled and nothing was deleted; drop the new table where it was made"));
    }
    let location = loaded.metadata.location().to_owned();
    home.catalog.drop_table(table).await?;
    for object in home.store.list_all(&location).await? {
        home.store.delete(&object.uri).await?;
    }
    Ok(())
}
