//! What a registry holds: schemas, and where they are registered.
//!
//! Owns [`Schema`] and its names: [`SchemaId`], [`Version`], [`SchemaKey`], and their JSON, which is Confluent's.
//! - I1: the JSON of a schema has no `schemaType` for Avro and no empty list of references, as registries write it;
//!   both may be absent or null when it is read.
//! - I2: two schemas are the same if type, text, references, metadata and rules are; the digest is of exactly these,
//!   each with its length before it, so that no two lists of parts give the same bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tableflow_model::Error;
use uuid::Uuid;

/// What a schema is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SchemaType {
    #[default]
    Avro,
    /// JSON Schema.
    Json,
    Protobuf,
}

impl SchemaType {
    pub const ALL: [SchemaType; 3] = [SchemaType::Avro, SchemaType::Json, SchemaType::Protobuf];

    /// As the API has it.
    pub fn word(self) -> &'static str {
        match self {
            SchemaType::Avro => "AVRO",
            SchemaType::Json => "JSON",
            SchemaType::Protobuf => "PROTOBUF",
        }
    }

    fn is_avro(&self) -> bool {
        *self == SchemaType::Avro
    }
}

impl fmt::Display for SchemaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The number a registry gave a schema. Confluent's have 32 bits, Apicurio's 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SchemaId(pub u64);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of a schema among those of its subject; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A version as a request names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionWanted {
    /// The newest that is not deleted.
    Latest,
    Number(Version),
}

impl fmt::Display for VersionWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VersionWanted::Latest => f.write_str("latest"),
            VersionWanted::Number(version) => version.fmt(f),
        }
    }
}

impl FromStr for VersionWanted {
    type Err = Error;

    /// `latest` (or -1, which the API has meant by it from the start), or a number from 1 on.
    fn from_str(text: &str) -> Result<Self, Error> {
        match (text, text.parse()) {
            ("latest" | "-1", _) => Ok(VersionWanted::Latest),
            // Versions are Java's `int` elsewhere.
            (_, Ok(number @ 1..=0x7fff_ffff)) => Ok(VersionWanted::Number(Version(number))),
            _ => Err(Error::usage(format!("{text:?} is not a version")).with_hint("write latest, or a number from 1")),
        }
    }
}

/// How a record names its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemaKey {
    /// In one registry.
    Id(SchemaId),
    /// In every registry that holds it.
    Guid(Uuid),
}

impl SchemaKey {
    pub fn id(number: u64) -> Self {
        SchemaKey::Id(SchemaId(number))
    }
}

impl fmt::Display for SchemaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaKey::Id(id) => write!(f, "id {id}"),
            SchemaKey::Guid(guid) => write!(f, "guid {guid}"),
        }
    }
}

/// Another schema that this one uses, and by what name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SchemaReference {
    /// Avro: the full name of a type; JSON: a URL; Protobuf: a path to import.
    pub name: String,
    pub subject: String,
    pub version: Version,
}

/// A schema as it is registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schema {
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "SchemaType::is_avro")]
    pub schema_type: SchemaType,
    #[serde(rename = "schema")]
    pub text: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<SchemaReference>,
    /// Tags and properties of data contracts, carried as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// Rules of data contracts, carried as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_set: Option<Value>,
}

fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Schema {
    pub fn new(schema_type: SchemaType, text: impl Into<String>) -> Self {
        Schema { schema_type, text: text.into(), ..Schema::default() }
    }

    pub fn avro(text: impl Into<String>) -> Self {
        Schema::new(SchemaType::Avro, text)
    }

    #[must_use]
    pub fn with_references(mut self, references: Vec<SchemaReference>) -> Self {
        self.references = references;
        self
    }

    /// I2.
    pub fn digest(&self) -> Fingerprint {
        let mut parts = Parts::default();
        parts.add(self.schema_type.word());
        parts.add(&self.text);
        for reference in &self.references {
            parts.add(&reference.name);
            parts.add(&reference.subject);
            parts.add(&reference.version.to_string());
        }
        for contract in [&self.metadata, &self.rule_set] {
            // Objects print sorted: serde_json keeps them in a tree.
            parts.add(&contract.as_ref().map(Value::to_string).unwrap_or_default());
        }
        parts.finish()
    }
}

/// A SHA-256 of parts that are told apart.
#[derive(Debug, Default)]
pub(super) struct Parts(Sha256);

impl Parts {
    pub(super) fn add(&mut self, part: &str) {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part.as_bytes());
    }

    pub(super) fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}

/// What tells schemas apart without comparing their texts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The same schema has the same GUID in every registry that derives it so.
    pub(super) fn guid(self) -> Uuid {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(self.0).for_each(|(to, from)| *to = from);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A schema and the place it is registered at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredSchema {
    pub subject: String,
    pub version: Version,
    pub id: SchemaId,
    /// Registries older than Confluent's 8 give none, nor do others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guid: Option<Uuid>,
    #[serde(flatten)]
    pub schema: Schema,
}

/// One place where an id is registered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SubjectVersion {
    pub subject: String,
    pub version: Version,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_schemas_are_written_as_registries_write_them() {
        let avro = Schema::avro("\"int\"");
        assert_eq!(serde_json::to_string(&avro).unwrap(), r#"{"schema":"\"int\""}"#);
        let reference = SchemaReference { name: "a.proto".into(), subject: "a".into(), version: Version(2) };
        let protobuf = Schema::new(SchemaType::Protobuf, "x").with_references(vec![reference]);
        let json =
            r#"{"schemaType":"PROTOBUF","schema":"x","references":[{"name":"a.proto","subject":"a","version":2}]}"#;
        assert_eq!(serde_json::to_string(&protobuf).unwrap(), json);
        for text in [json, &json.replace("}]", "}],\"metadata\":null,\"ruleSet\":null,\"unknown\":1")] {
            assert_eq!(serde_json::from_str::<Schema>(text).unwrap(), protobuf);
        }
        let nulls = r#"{"schema":"\"int\"","schemaType":null,"references":null}"#;
        assert_eq!(serde_json::from_str::<Schema>(nulls).unwrap(), avro);
        assert!(serde_json::from_str::<Schema>(r#"{"schema":"x","schemaType":"THRIFT"}"#).is_err());
        let registered = r#"{"subject":"s","version":3,"id":7,"guid":"00000000-0000-8000-8000-00000000000a","schemaType":"JSON","schema":"{}"}"#;
        let read: RegisteredSchema = serde_json::from_str(registered).unwrap();
        assert_eq!((read.id, read.version, read.schema.schema_type), (SchemaId(7), Version(3), SchemaType::Json));
        assert_eq!(serde_json::to_string(&read).unwrap(), registered);
    }

    #[test]
    fn i2_every_part_of_a_schema_counts_and_nothing_runs_together() {
        let reference = |name: &str, subject: &str, version| SchemaReference {
            name: name.into(),
            subject: subject.into(),
            version: Version(version),
        };
        let with = |references: &[SchemaReference]| Schema::avro("t").with_references(references.to_vec());
        let schemas = [
            Schema::avro("t"),
            Schema::avro("tt"),
            Schema::new(SchemaType::Json, "t"),
            with(&[reference("ab", "c", 1)]),
            with(&[reference("a", "bc", 1)]),
            with(&[reference("a", "b", 11)]),
            with(&[reference("a", "b", 1), reference("c", "d", 1)]),
            with(&[reference("c", "d", 1), reference("a", "b", 1)]),
            Schema { metadata: Some(serde_json::json!({"owner": "x"})), ..Schema::avro("t") },
            Schema { rule_set: Some(serde_json::json!({"owner": "x"})), ..Schema::avro("t") },
        ];
        let digests: std::collections::BTreeSet<_> = schemas.iter().map(Schema::digest).collect();
        assert_eq!(digests.len(), schemas.len());
        let guids: std::collections::BTreeSet<_> = digests.iter().map(|digest| digest.guid()).collect();
        assert_eq!(guids.len(), schemas.len());
        assert_eq!(Schema::avro("t").digest(), Schema::avro("t").digest());
        // sha256sum of: 8 bytes 4, AVRO, 8 bytes 1, t, 8 bytes 0, 8 bytes 0.
        assert_eq!(Schema::avro("t").digest().to_string(), DIGEST_OF_T);
    }

    const DIGEST_OF_T: &str = "5af5fb62b07012d3c104329273196a4570fd534248d9b8607e86466e0d63ae8a";

    #[test]
    fn versions_are_latest_or_numbers_from_one() {
        let wanted = |text: &str| text.parse::<VersionWanted>().ok();
        assert_eq!(wanted("latest"), Some(VersionWanted::Latest));
        assert_eq!(wanted("-1"), Some(VersionWanted::Latest));
        assert_eq!(wanted("2147483647"), Some(VersionWanted::Number(Version(2_147_483_647))));
        for text in ["0", "-2", "2147483648", "", "Latest", "1.0", " 1"] {
            assert_eq!(wanted(text), None, "{text:?}");
        }
    }
}
