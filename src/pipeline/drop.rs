//! A table goes, its files too.
//!
//! - I1: the catalog forgets the table before its first file is deleted: no reader finds a table with files missing.
//! - I2: only what lies in the table's own directory is deleted, and only of the table that was meant: another one of
//!   the same name, made by somebody else since, stays.

use tableflow_model::{Error, ErrorKind, Result, TableName};
use uuid::Uuid;

use super::fan_out::FanOutTables;
use crate::definition::Definition;
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
    // There may be none; one that stays is of no table any more.
    let _ = tokio::fs::remove_dir_all(home.key_index(uuid)).await;
    Ok(())
}

/// All tables of a fan-out's types; then the notes of them, so that one that is left is found again.
pub async fn drop_fan_out(home: &Home, definition: &Definition) -> Result<()> {
    for it in FanOutTables::load(home, definition).await?.iter() {
        drop_table(home, &it.table, it.table_uuid).await?;
    }
    for object in home.store.list_all(&home.state.fan_out_tables(definition.table_uuid)).await? {
        home.store.delete(&object.uri).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use iceberg::spec::{FormatVersion, NestedField, PrimitiveType, Schema, Type};
    use tableflow_catalog::{Properties, TableCreation};

    use super::*;

    #[tokio::test]
    async fn i2_another_table_of_that_name_stays() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(&directory.path().join("data")).await.unwrap();
        let table = TableName::new("bronze", "t").unwrap();
        let column = NestedField::optional(1, "n", Type::Primitive(PrimitiveType::Long));
        let creation = TableCreation {
            location: None,
            schema: Schema::builder().with_fields([column.into()]).build().unwrap(),
            partition_spec: None,
            sort_order: None,
            properties: HashMap::new(),
            format_version: FormatVersion::V2,
        };
        home.catalog.create_namespace("bronze", &Properties::new()).await.unwrap();
        let made = home.catalog.create_table(&table, creation).await.unwrap();
        let error = drop_table(&home, &table, Uuid::nil()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let objects = home.store.list_all(made.metadata.location()).await.unwrap();
        assert!(!objects.is_empty() && home.catalog.load_table(&table).await.is_ok());

        drop_table(&home, &table, made.metadata.uuid()).await.unwrap();
        assert!(home.catalog.load_table(&table).await.is_err());
        assert!(home.store.list_all(made.metadata.location()).await.unwrap().is_empty());
    }
}
