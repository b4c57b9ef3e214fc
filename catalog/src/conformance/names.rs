//! Namespaces, tables and what they are called.

use std::sync::Arc;

use tableflow_model::{ErrorKind, Result, TableName};

use super::{append, applied, creation, equal, fails, one_table, seen, table};
use crate::catalog::{Catalog, Properties};

fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(super) async fn namespaces_come_and_go(catalog: Arc<dyn Catalog>) -> Result<()> {
    fails("loading no namespace", catalog.load_namespace("a").await, ErrorKind::NotFound)?;
    fails("dropping no namespace", catalog.drop_namespace("a").await, ErrorKind::NotFound)?;
    fails("listing no namespace", catalog.list_tables("a").await, ErrorKind::NotFound)?;
    for namespace in ["b", "a"] {
        catalog.create_namespace(namespace, &Properties::new()).await?;
    }
    equal("the namespaces", &catalog.list_namespaces().await?, &vec!["a".to_owned(), "b".to_owned()])?;
    let again = catalog.create_namespace("a", &Properties::new()).await;
    fails("making a namespace twice", again, ErrorKind::AlreadyExists)?;
    catalog.drop_namespace("a").await?;
    equal("the namespaces", &catalog.list_namespaces().await?, &vec!["b".to_owned()])?;
    if catalog.create_namespace("two.levels", &Properties::new()).await.is_ok() {
        return Err(seen("a namespace of two levels was made".to_owned()));
    }
    Ok(())
}

pub(super) async fn namespaces_carry_properties(catalog: Arc<dyn Catalog>) -> Result<()> {
    catalog.create_namespace("a", &properties(&[("owner", "ops"), ("note", "it's \"new\" é")])).await?;
    let made = catalog.load_namespace("a").await?;
    equal("the properties made", &made, &properties(&[("owner", "ops"), ("note", "it's \"new\" é")]))?;
    let removals = ["note".to_owned(), "absent".to_owned()];
    catalog.update_namespace("a", &properties(&[("owner", "dev"), ("layer", "gold")]), &removals).await?;
    let updated = catalog.load_namespace("a").await?;
    equal("the properties updated", &updated, &properties(&[("owner", "dev"), ("layer", "gold")]))?;
    catalog.update_namespace("a", &Properties::new(), &["owner".to_owned(), "layer".to_owned()]).await?;
    equal("the properties removed", &catalog.load_namespace("a").await?, &Properties::new())?;
    equal("the namespaces", &catalog.list_namespaces().await?, &vec!["a".to_owned()])?;
    let absent = catalog.update_namespace("b", &properties(&[("a", "b")]), &[]).await;
    fails("updating no namespace", absent, ErrorKind::NotFound)?;
    equal("the namespaces", &catalog.list_namespaces().await?, &vec!["a".to_owned()])
}

pub(super) async fn a_namespace_with_tables_stays(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (table, _) = one_table(&*catalog).await?;
    if catalog.drop_namespace("conformance").await.is_ok() {
        return Err(seen("a namespace was dropped with a table in it".to_owned()));
    }
    catalog.load_table(&table).await?;
    catalog.drop_table(&table).await?;
    catalog.drop_namespace("conformance").await
}

pub(super) async fn tables_come_and_go(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, made) = one_table(&*catalog).await?;
    equal("the first snapshot", &made.metadata.current_snapshot_id(), &None)?;
    let loaded = catalog.load_table(&orders).await?;
    equal("the metadata", &loaded.metadata, &made.metadata)?;
    equal("the metadata location", &loaded.metadata_location, &made.metadata_location)?;
    let clicks = table("clicks")?;
    catalog.create_table(&clicks, creation()?).await?;
    equal("the tables", &catalog.list_tables("conformance").await?, &vec![clicks, orders.clone()])?;
    equal("existence", &catalog.table_exists(&orders).await?, &true)?;
    catalog.drop_table(&orders).await?;
    equal("existence after the drop", &catalog.table_exists(&orders).await?, &false)?;
    fails("loading a dropped table", catalog.load_table(&orders).await, ErrorKind::NotFound)?;
    fails("dropping it again", catalog.drop_table(&orders).await, ErrorKind::NotFound)
}

pub(super) async fn a_table_is_made_once(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, made) = one_table(&*catalog).await?;
    let again = catalog.create_table(&orders, creation()?).await;
    fails("making a table twice", again, ErrorKind::AlreadyExists)?;
    equal("the uuid", &catalog.load_table(&orders).await?.metadata.uuid(), &made.metadata.uuid())?;
    let nowhere = catalog.create_table(&TableName::new("absent", "t")?, creation()?).await;
    fails("making a table in no namespace", nowhere, ErrorKind::NotFound)
}

pub(super) async fn a_renamed_table_is_the_same_table(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, made) = one_table(&*catalog).await?;
    let (clicks, sales) = (table("clicks")?, TableName::new("silver", "sales")?);
    catalog.create_table(&clicks, creation()?).await?;
    catalog.create_namespace("silver", &Properties::new()).await?;
    let taken = catalog.rename_table(&orders, &clicks).await;
    fails("renaming to a name that is taken", taken, ErrorKind::AlreadyExists)?;
    let absent = catalog.rename_table(&table("absent")?, &sales).await;
    fails("renaming no table", absent, ErrorKind::NotFound)?;
    let nowhere = catalog.rename_table(&orders, &TableName::new("absent", "t")?).await;
    fails("renaming to no namespace", nowhere, ErrorKind::NotFound)?;
    catalog.rename_table(&orders, &sales).await?;
    equal("the uuid", &catalog.load_table(&sales).await?.metadata.uuid(), &made.metadata.uuid())?;
    fails("loading the old name", catalog.load_table(&orders).await, ErrorKind::NotFound)?;
    equal("the tables left", &catalog.list_tables("conformance").await?, &vec![clicks])
}

pub(super) async fn names_are_exact(catalog: Arc<dyn Catalog>) -> Result<()> {
    catalog.create_namespace("conformance", &Properties::new()).await?;
    let names =
        ["Orders", "o'brien", "orders", "orders.v2", "pg.public.orders", "quoted \"x\"", "ünïcode 表", "100%_", "a__b"];
    let mut uuids = Vec::new();
    for name in names {
        uuids.push(catalog.create_table(&table(name)?, creation()?).await?.metadata.uuid());
    }
    let mut expected = names.map(table).into_iter().collect::<Result<Vec<_>>>()?;
    expected.sort();
    let mut listed = catalog.list_tables("conformance").await?;
    listed.sort();
    equal("the tables", &listed, &expected)?;
    for (name, uuid) in names.iter().zip(&uuids) {
        equal(format!("the uuid of {name}"), &catalog.load_table(&table(name)?).await?.metadata.uuid(), uuid)?;
    }
    for absent in ["ORDERS", "orders.v3", "100__", "orders%"] {
        equal(format!("the existence of {absent}"), &catalog.table_exists(&table(absent)?).await?, &false)?;
    }
    Ok(())
}

pub(super) async fn a_table_made_again_is_another_table(catalog: Arc<dyn Catalog>) -> Result<()> {
    let (orders, old) = one_table(&*catalog).await?;
    catalog.drop_table(&orders).await?;
    let new = catalog.create_table(&orders, creation()?).await?;
    if new.metadata.uuid() == old.metadata.uuid() || new.metadata.location() == old.metadata.location() {
        return Err(seen(format!("a table made again has the old uuid or location: {}", new.metadata.location())));
    }
    super::refused(&*catalog, &orders, &old, append(&old, 1)).await?;
    applied(&*catalog, &orders, &new, append(&new, 1)).await.map(drop)
}
