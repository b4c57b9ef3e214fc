//! How every object is called.
//!
//! Owns the types that build object paths, [`Warehouse`], [`TablePaths`] and [`StatePaths`], and [`ObjectKind`],
//! which reads the kind back from a path. What lies below a warehouse or a state directory is named here and nowhere
//! else.
//! - I1: a name becomes one [`Segment`] of a path, a data file's a [`FileName`]: two never become the same.
//! - I2: a table's location ends in eight hex digits of its uuid, so a name that is dropped and made again, or
//!   differs in case only, gets another directory. Its letters are for people: engines disagree about percent
//!   signs in locations, so a letter that is not plain becomes `_` there.
//! - I3: names of objects sort as their numbers do (fixed width), and a name tells its [`ObjectKind`].
//!
//! Neighbours: `store` takes the URIs; `kill` names its points by kind.

use tableflow_model::protocol::FileName;
use tableflow_model::{JobName, Segment, TableName};
use uuid::Uuid;

/// The readable part of a table's directory.
const LABEL_LENGTH_MAX: usize = 100;

/// A name for people (I2): not injective, the uuid beside it is.
fn label(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    name.chars().take(LABEL_LENGTH_MAX).map(plain).collect()
}

/// The directory that holds the tables.
#[derive(Clone, Debug)]
pub struct Warehouse(String);

impl Warehouse {
    pub fn new(uri: &str) -> Self {
        Warehouse(uri.trim_end_matches('/').to_owned())
    }

    pub fn uri(&self) -> &str {
        &self.0
    }

    /// Where a new table goes.
    pub fn table(&self, table: &TableName, uuid: Uuid) -> TablePaths {
        let id = uuid.simple().to_string();
        let id = id.get(id.len() - 8..).unwrap_or_default();
        TablePaths(format!("{}/{}/{}-{id}", self.0, label(table.namespace()), label(table.name())))
    }
}

/// The objects of one table.
#[derive(Clone, Debug)]
pub struct TablePaths(String);

impl TablePaths {
    /// A table that exists, wherever its metadata says.
    pub fn at(location: &str) -> Self {
        TablePaths(location.trim_end_matches('/').to_owned())
    }

    pub fn location(&self) -> &str {
        &self.0
    }

    /// What a sweep parses is this name, so that it is [`FileName`]'s to say which one a file has (G1).
    pub fn data_file(&self, name: &FileName) -> String {
        format!("{}/data/{name}.parquet", self.0)
    }

    /// A file of deletion vectors.
    pub fn vectors(&self, name: &FileName) -> String {
        format!("{}/data/{name}.puffin", self.0)
    }

    pub fn manifest(&self, commit: Uuid, number: u32) -> String {
        format!("{}/metadata/{commit}-m{number}.avro", self.0)
    }

    pub fn manifest_list(&self, snapshot_id: i64, attempt: u32, commit: Uuid) -> String {
        format!("{}/metadata/snap-{snapshot_id}-{attempt}-{commit}.avro", self.0)
    }

    pub fn metadata(&self, version: u32, id: Uuid) -> String {
        format!("{}/metadata/{version:05}-{id}.metadata.json", self.0)
    }

    /// The same, packed: the name tells readers that it is gzip.
    pub fn metadata_gzip(&self, version: u32, id: Uuid) -> String {
        format!("{}/metadata/{version:05}-{id}.gz.metadata.json", self.0)
    }
}

/// The objects of the service itself.
#[derive(Clone, Debug)]
pub struct StatePaths(String);

impl StatePaths {
    pub fn new(uri: &str) -> Self {
        StatePaths(uri.trim_end_matches('/').to_owned())
    }

    /// The epoch manifests of a job.
    pub fn epochs(&self, job: &JobName) -> String {
        format!("{}/jobs/{}/epochs", self.0, Segment::of(job.as_str()))
    }

    /// The object that decides an epoch: I3, and no generation in it (rule M1), so that two generations race for one
    /// name.
    pub fn epoch(&self, job: &JobName, epoch: u64) -> String {
        format!("{}/{epoch:020}.json", self.epochs(job))
    }

    /// All definitions of all tables.
    pub fn definitions(&self) -> String {
        format!("{}/tables", self.0)
    }

    /// All versions of what a person declared about a table.
    pub fn definition_versions(&self, table: &TableName) -> String {
        format!("{}/{}", self.definitions(), Segment::of(&table.to_plain_string()))
    }

    /// One of them.
    pub fn definition(&self, table: &TableName, version: u32) -> String {
        format!("{}/{version:08}.json", self.definition_versions(table))
    }

    /// All patterns of topic names.
    pub fn patterns(&self) -> String {
        format!("{}/patterns", self.0)
    }

    /// All versions of what a person declared about the topics that a pattern names.
    pub fn pattern_versions(&self, pattern: &str) -> String {
        format!("{}/{}", self.patterns(), Segment::of_digest(pattern))
    }

    /// One of them.
    pub fn pattern(&self, pattern: &str, version: u32) -> String {
        format!("{}/{version:08}.json", self.pattern_versions(pattern))
    }

    /// The notes of a fan-out's tables.
    pub fn fan_out_tables(&self, group: Uuid) -> String {
        format!("{}/fan-outs/{group}", self.0)
    }

    /// The note of the table of one value.
    pub fn fan_out_table(&self, group: Uuid, value: &str) -> String {
        format!("{}/{}.json", self.fan_out_tables(group), Segment::of_digest(value))
    }

    pub fn status(&self, table: &TableName) -> String {
        format!("{}/status/{}.json", self.0, Segment::of(&table.to_plain_string()))
    }

    /// One event of the embedded schema registry: no more than its number, so that two processes race for one name.
    pub fn registry_event(&self, number: u64) -> String {
        format!("{}/registry/{number:012}.json", self.0)
    }

    /// The note of files that nobody needs any more, and that may still be read.
    pub fn unneeded(&self, table: Uuid) -> String {
        format!("{}/unneeded/{table}.json", self.0)
    }

    pub fn service(&self) -> String {
        format!("{}/service.json", self.0)
    }
}

/// What an object is for, as its path says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    DataFile,
    Manifest,
    ManifestList,
    Metadata,
    Epoch,
    Definition,
    Status,
    Other,
}

impl ObjectKind {
    pub fn of(uri: &str) -> Self {
        let mut segments = uri.rsplit('/');
        let name = segments.next().unwrap_or_default();
        let directory = segments.next().unwrap_or_default();
        let above = segments.next().unwrap_or_default();
        match (above, directory) {
            (_, "data") if name.ends_with(".parquet") || name.ends_with(".puffin") => ObjectKind::DataFile,
            (_, "metadata") if name.ends_with(".metadata.json") => ObjectKind::Metadata,
            (_, "metadata") if name.starts_with("snap-") && name.ends_with(".avro") => ObjectKind::ManifestList,
            (_, "metadata") if name.ends_with(".avro") => ObjectKind::Manifest,
            (_, "epochs") if name.ends_with(".json") => ObjectKind::Epoch,
            ("tables" | "patterns" | "fan-outs", _) if name.ends_with(".json") => ObjectKind::Definition,
            (_, "status") if name.ends_with(".json") => ObjectKind::Status,
            _ if name == "service.json" => ObjectKind::Status,
            _ => ObjectKind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tableflow_model::protocol::{Epoch, Generation};

    use super::*;

    fn table(name: &str) -> TableName {
        TableName::new("bronze", name).unwrap()
    }

    #[test]
    fn i2_a_table_made_again_has_another_directory() {
        let warehouse = Warehouse::new("file:///w/");
        let uuid = Uuid::from_u128(0x0123_4567_89ab_cdef);
        let paths = warehouse.table(&table("pg.public.\"Orders\""), uuid);
        assert_eq!(paths.location(), "file:///w/bronze/pg_public__Orders_-89abcdef");
        assert_ne!(
            warehouse.table(&table("orders"), uuid).location(),
            warehouse.table(&table("orders"), Uuid::nil()).location()
        );
    }

    proptest! {
        /// Rule M1: job and epoch, and nothing else, tell manifests apart, and a listing sorts as epochs do.
        #[test]
        fn i3_epochs_of_every_job_have_names_of_their_own(
            jobs in ("[A-Za-z0-9_-][A-Za-z0-9._-]{0,248}", "[A-Za-z0-9_-][A-Za-z0-9._-]{0,248}"),
            epochs in any::<(u64, u64)>(),
        ) {
            let state = StatePaths::new("file:///s");
            let (one, other): (JobName, JobName) = (jobs.0.parse().unwrap(), jobs.1.parse().unwrap());
            let (first, second) = (state.epoch(&one, epochs.0), state.epoch(&one, epochs.1));
            prop_assert_eq!(first.cmp(&second), epochs.0.cmp(&epochs.1));
            prop_assert_eq!(first == state.epoch(&other, epochs.0), one == other);
            prop_assert_eq!(ObjectKind::of(&first), ObjectKind::Epoch);
            prop_assert_eq!(first.rsplit_once('/').unwrap().0, state.epochs(&one));
        }
    }

    #[test]
    fn i3_paths_tell_their_kind() {
        let paths = TablePaths::at("file:///w/bronze/orders-0a1b2c3d");
        let state = StatePaths::new("file:///s");
        let job: JobName = "bronze.orders".parse().unwrap();
        let cases = [
            (
                paths.data_file(&FileName::new(&job, Generation(2), Epoch(17), 3)),
                "file:///w/bronze/orders-0a1b2c3d/data/bronze.orders-2-17-3.parquet",
                ObjectKind::DataFile,
            ),
            (
                paths.vectors(&FileName::new(&job, Generation(2), Epoch(17), 4)),
                "file:///w/bronze/orders-0a1b2c3d/data/bronze.orders-2-17-4.puffin",
                ObjectKind::DataFile,
            ),
            (
                paths.manifest(Uuid::nil(), 1),
                "file:///w/bronze/orders-0a1b2c3d/metadata/00000000-0000-0000-0000-000000000000-m1.avro",
                ObjectKind::Manifest,
            ),
            (
                paths.manifest_list(42, 0, Uuid::nil()),
                "file:///w/bronze/orders-0a1b2c3d/metadata/snap-42-0-00000000-0000-0000-0000-000000000000.avro",
                ObjectKind::ManifestList,
            ),
            (
                paths.metadata(7, Uuid::nil()),
                "file:///w/bronze/orders-0a1b2c3d/metadata/00007-00000000-0000-0000-0000-000000000000.metadata.json",
                ObjectKind::Metadata,
            ),
            (state.epoch(&job, 9), "file:///s/jobs/bronze.orders/epochs/00000000000000000009.json", ObjectKind::Epoch),
            (state.definition(&table("a b"), 3), "file:///s/tables/bronze.a%20b/00000003.json", ObjectKind::Definition),
            (
                state.pattern("a.*", 2),
                "file:///s/patterns/~9919AA164E8D3371ACB66A041F51FD24/00000002.json",
                ObjectKind::Definition,
            ),
            (
                state.fan_out_table(Uuid::nil(), "a.*"),
                "file:///s/fan-outs/00000000-0000-0000-0000-000000000000/~9919AA164E8D3371ACB66A041F51FD24.json",
                ObjectKind::Definition,
            ),
            (state.registry_event(7), "file:///s/registry/000000000007.json", ObjectKind::Other),
            (state.status(&table("orders")), "file:///s/status/bronze.orders.json", ObjectKind::Status),
            (state.service(), "file:///s/service.json", ObjectKind::Status),
            (format!("{}/x.bin", paths.location()), "file:///w/bronze/orders-0a1b2c3d/x.bin", ObjectKind::Other),
        ];
        for (path, expected, kind) in cases {
            assert_eq!(path, expected);
            assert_eq!(ObjectKind::of(&path), kind, "{path}");
        }
    }
}
