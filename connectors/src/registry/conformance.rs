//! The suite every registry must pass.
//!
//! Owns [`run`]. Every case works on subjects that begin with a name of its own, so that one server serves all of them,
//! however often; it fails with an error that names the case and what was seen.
//! - I1: what a registry need not have is said by [`Abilities`], and is then not asserted; all else is asserted of
//!   each.
//! - I2: levels are set before they are relied on: registries begin with different ones.

use std::fmt::Debug;

use serde_json::{Value, json};
use tableflow_model::{Error, Result};

use super::refusal::{Reason, RegistryError};
use super::registry::{Compatibility, Deletion, Form, Include, SchemaRegistry};
use super::resolve::{NamedSchema, resolve};
use super::schema::{
    RegisteredSchema, Schema, SchemaId, SchemaKey, SchemaReference, SchemaType, SubjectVersion, Version, VersionWanted,
};

/// What not all registries can do.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    /// Apicurio gives none.
    pub guids: bool,
    /// Of no level does Apicurio say why a schema is incompatible.
    pub reasons: bool,
    /// Apicurio has another idea of what a normal form is.
    pub normal_form: bool,
}

impl Abilities {
    pub const ALL: Abilities = Abilities { guids: true, reasons: true, normal_form: true };
    pub const APICURIO: Abilities = Abilities { guids: false, reasons: false, normal_form: false };
}

/// Runs every case; subjects begin with `prefix`.
pub async fn run(registry: &dyn SchemaRegistry, prefix: &str, abilities: Abilities) -> Result<()> {
    macro_rules! cases {
        ($($case:ident),* $(,)?) => {
            $(
                let place = Place { registry, prefix: format!("{prefix}-{}", stringify!($case)), abilities };
                $case(&place).await.map_err(|error| error.with_context("case", stringify!($case)))?;
            )*
        };
    }
    cases![
        what_is_registered_is_found_everywhere,
        the_same_schema_keeps_its_id,
        versions_grow,
        what_is_not_there_is_said,
        what_is_no_schema_is_refused,
        odd_names_are_names,
        a_deleted_version_stays_readable_by_its_id,
        a_deleted_subject_comes_back_and_goes_for_good,
        levels_are_kept,
        a_level_lets_in_what_it_says,
        a_transitive_level_looks_at_all_versions,
        levels_hold_for_protobuf_and_json,
        avro_refers_to_avro,
        protobuf_and_json_refer_to_others,
        what_is_referred_to_stays,
        guids_are_the_same_schema,
        a_normal_form_is_found_again,
    ];
    Ok(())
}

/// Of the suite, what the levels let in of Protobuf and JSON Schema.
pub async fn levels(registry: &dyn SchemaRegistry, prefix: &str) -> Result<()> {
    levels_hold_for_protobuf_and_json(&Place { registry, prefix: prefix.to_owned(), abilities: Abilities::APICURIO })
        .await
}

struct Place<'a> {
    registry: &'a dyn SchemaRegistry,
    prefix: String,
    abilities: Abilities,
}

impl Place<'_> {
    fn subject(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// A record of this case alone, so that no other case's schema has its id.
    fn record(&self, fields: Value) -> Schema {
        let name = self.prefix.replace(['-', '.'], "_");
        Schema::avro(json!({"type": "record", "name": name, "namespace": "n", "fields": fields}).to_string())
    }

    async fn register(&self, name: &str, schema: &Schema) -> Result<RegisteredSchema> {
        Ok(self.registry.register(&self.subject(name), schema, Form::Given).await?)
    }

    async fn level(&self, name: &str, level: Compatibility) -> Result<()> {
        Ok(self.registry.set_compatibility(Some(&self.subject(name)), level).await?)
    }
}

fn field(name: &str, field_type: &str) -> Value {
    json!({"name": name, "type": field_type})
}

fn optional(name: &str, field_type: &str) -> Value {
    json!({"name": name, "type": ["null", field_type], "default": null})
}

fn number(version: u32) -> VersionWanted {
    VersionWanted::Number(Version(version))
}

fn seen(text: String) -> Error {
    Error::internal("the registry does not conform").with_detail(text)
}

fn equal<T: PartialEq + Debug>(what: &str, seen_value: &T, expected: &T) -> Result<()> {
    if seen_value == expected {
        return Ok(());
    }
    Err(seen(format!("{what} is {seen_value:?}, expected {expected:?}")))
}

/// As JSON: registries may write the keys in another order.
fn same_text(what: &str, seen_text: &str, expected: &str) -> Result<()> {
    let read = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.trim().to_owned()));
    equal(what, &read(seen_text), &read(expected))
}

fn refused<T: Debug>(what: &str, result: Result<T, RegistryError>, reason: Reason) -> Result<()> {
    match result {
        Err(RegistryError::Refused(refusal)) if refusal.reason == reason => Ok(()),
        Err(RegistryError::Refused(refusal)) => {
            Err(seen(format!("{what} was refused as {:?}, expected {reason:?}: {}", refusal.reason, refusal.message)))
        }
        Err(RegistryError::Failed(error)) => Err(seen(format!("{what} failed: {}", error.report()))),
        Ok(value) => Err(seen(format!("{what} succeeded: {value:?}"))),
    }
}

async fn what_is_registered_is_found_everywhere(place: &Place<'_>) -> Result<()> {
    let (registry, subject) = (place.registry, place.subject("value"));
    let schema = place.record(json!([field("id", "long")]));
    let registered = place.register("value", &schema).await?;
    equal("the first version", &registered.version, &Version(1))?;
    equal("the subject", &registered.subject, &subject)?;
    let key = SchemaKey::Id(registered.id);
    for within in [None, Some(subject.as_str())] {
        same_text("the schema by its id", &registry.schema(key, within).await?.text, &schema.text)?;
    }
    for version in [VersionWanted::Latest, number(1)] {
        let found = registry.version(&subject, version, Include::Live).await?;
        equal("the version's id", &found.id, &registered.id)?;
        equal("the version's number", &found.version, &Version(1))?;
        equal("the version's type", &found.schema.schema_type, &SchemaType::Avro)?;
        same_text("the version's schema", &found.schema.text, &schema.text)?;
    }
    equal("the versions", &registry.versions(&subject, Include::Live).await?, &vec![Version(1)])?;
    equal("the subjects", &registry.subjects(&place.prefix, Include::Live).await?, &vec![subject.clone()])?;
    let found = registry.lookup(&subject, &schema, Form::Given, Include::Live).await?;
    equal("the looked-up place", &(found.id, found.version), &(registered.id, Version(1)))?;
    let places = registry.places(registered.id).await?;
    equal("the id's places", &places, &vec![SubjectVersion { subject, version: Version(1) }])
}

async fn the_same_schema_keeps_its_id(place: &Place<'_>) -> Result<()> {
    let schema = place.record(json!([field("id", "long")]));
    let first = place.register("one", &schema).await?;
    let again = place.register("one", &schema).await?;
    equal("registered again", &(again.id, again.version), &(first.id, first.version))?;
    let value: Value = serde_json::from_str(&schema.text).unwrap_or_default();
    let spaced = Schema::avro(serde_json::to_string_pretty(&value).unwrap_or_default());
    equal("with other white space", &place.register("one", &spaced).await?.id, &first.id)?;
    equal("under another subject", &place.register("two", &schema).await?.id, &first.id)?;
    equal("its places", &place.registry.places(first.id).await?.len(), &2)
}

async fn versions_grow(place: &Place<'_>) -> Result<()> {
    place.level("value", Compatibility::None).await?;
    let schemas: Vec<_> = ["int", "string", "bytes"].map(|kind| place.record(json!([field("f", kind)]))).into();
    let mut ids = Vec::new();
    for schema in &schemas {
        ids.push(place.register("value", schema).await?.id);
    }
    let (subject, registry) = (place.subject("value"), place.registry);
    let versions = vec![Version(1), Version(2), Version(3)];
    equal("the versions", &registry.versions(&subject, Include::Live).await?, &versions)?;
    ids.dedup();
    equal("how many ids there are", &ids.len(), &3)?;
    for (number, schema) in (1..).zip(&schemas) {
        let found = registry.version(&subject, self::number(number), Include::Live).await?;
        same_text("a version's schema", &found.schema.text, &schema.text)?;
    }
    let latest = registry.version(&subject, VersionWanted::Latest, Include::Live).await?;
    equal("the latest", &latest.version, &Version(3))
}

async fn what_is_not_there_is_said(place: &Place<'_>) -> Result<()> {
    let (registry, subject) = (place.registry, place.subject("value"));
    let schema = place.record(json!([field("id", "long")]));
    let live = Include::Live;
    refused(
        "an unknown id",
        registry.schema(SchemaKey::Id(SchemaId(2_147_483_000)), None).await,
        Reason::SchemaNotFound,
    )?;
    refused("versions of nothing", registry.versions(&subject, live).await, Reason::SubjectNotFound)?;
    let latest = registry.version(&subject, VersionWanted::Latest, live).await;
    refused("the latest of nothing", latest, Reason::SubjectNotFound)?;
    refused(
        "a lookup in nothing",
        registry.lookup(&subject, &schema, Form::Given, live).await,
        Reason::SubjectNotFound,
    )?;
    refused("deleting nothing", registry.delete_subject(&subject, Deletion::Soft).await, Reason::SubjectNotFound)?;
    place.register("value", &schema).await?;
    refused("version 99", registry.version(&subject, number(99), live).await, Reason::VersionNotFound)?;
    let other = place.record(json!([field("other", "long")]));
    refused("another schema", registry.lookup(&subject, &other, Form::Given, live).await, Reason::SchemaNotFound)
}

async fn what_is_no_schema_is_refused(place: &Place<'_>) -> Result<()> {
    let subject = place.subject("value");
    for text in ["{nope", "{\"type\":\"record\",\"name\":\"R\"}", "\"nope\""] {
        let registered = place.registry.register(&subject, &Schema::avro(text), Form::Given).await;
        refused(text, registered, Reason::InvalidSchema)?;
    }
    equal("the subjects", &place.registry.subjects(&place.prefix, Include::Live).await?, &Vec::new())
}

async fn odd_names_are_names(place: &Place<'_>) -> Result<()> {
    let schema = place.record(json!([field("id", "long")]));
    let mut subjects = Vec::new();
    for name in ["a/b", "a b", "a%2Fb", "ü", "a.b-com.shop.Order", "a?b=c#d", "a+b&c"] {
        place.register(name, &schema).await?;
        let subject = place.subject(name);
        equal(name, &place.registry.versions(&subject, Include::Live).await?, &vec![Version(1)])?;
        subjects.push(subject);
    }
    subjects.sort();
    equal("the subjects", &place.registry.subjects(&place.prefix, Include::Live).await?, &subjects)
}

async fn a_deleted_version_stays_readable_by_its_id(place: &Place<'_>) -> Result<()> {
    place.level("value", Compatibility::None).await?;
    let one = place.register("value", &place.record(json!([field("f", "int")]))).await?;
    let two = place.register("value", &place.record(json!([field("f", "string")]))).await?;
    let (registry, subject) = (place.registry, place.subject("value"));
    let deleted = registry.delete_version(&subject, VersionWanted::Latest, Deletion::Soft).await?;
    equal("what was deleted", &deleted, &two.version)?;
    equal("the versions", &registry.versions(&subject, Include::Live).await?, &vec![one.version])?;
    let latest = registry.version(&subject, VersionWanted::Latest, Include::Live).await?;
    equal("the latest", &latest.id, &one.id)?;
    refused("it", registry.version(&subject, number(2), Include::Live).await, Reason::VersionNotFound)?;
    let all = registry.versions(&subject, Include::Deleted).await?;
    equal("all versions", &all, &vec![one.version, two.version])?;
    equal("it", &registry.version(&subject, number(2), Include::Deleted).await?.id, &two.id)?;
    same_text("its schema", &registry.schema(SchemaKey::Id(two.id), None).await?.text, &two.schema.text)
}

async fn a_deleted_subject_comes_back_and_goes_for_good(place: &Place<'_>) -> Result<()> {
    let schema = place.record(json!([field("f", "int")]));
    let first = place.register("value", &schema).await?;
    let (registry, subject) = (place.registry, place.subject("value"));
    refused(
        "a permanent deletion of what is live",
        registry.delete_subject(&subject, Deletion::Permanent).await,
        Reason::SubjectNotSoftDeleted,
    )?;
    equal("what went", &registry.delete_subject(&subject, Deletion::Soft).await?, &vec![Version(1)])?;
    equal("the subjects", &registry.subjects(&place.prefix, Include::Live).await?, &Vec::new())?;
    let all = registry.subjects(&place.prefix, Include::Deleted).await?;
    equal("all subjects", &all, &vec![subject.clone()])?;
    let again = place.register("value", &schema).await?;
    equal("the id of the same schema", &again.id, &first.id)?;
    registry.delete_subject(&subject, Deletion::Soft).await?;
    registry.delete_subject(&subject, Deletion::Permanent).await?;
    equal("all subjects", &registry.subjects(&place.prefix, Include::Deleted).await?, &Vec::new())?;
    refused("its versions", registry.versions(&subject, Include::Deleted).await, Reason::SubjectNotFound)
}

async fn levels_are_kept(place: &Place<'_>) -> Result<()> {
    place.register("value", &place.record(json!([field("f", "int")]))).await?;
    let subject = place.subject("value");
    let own = place.registry.compatibility(None).await?;
    equal("the level of a subject that has none", &place.registry.compatibility(Some(&subject)).await?, &own)?;
    for level in Compatibility::ALL {
        place.registry.set_compatibility(Some(&subject), level).await?;
        equal("the level", &place.registry.compatibility(Some(&subject)).await?, &level)?;
    }
    equal("the registry's own", &place.registry.compatibility(None).await?, &own)
}

async fn a_level_lets_in_what_it_says(place: &Place<'_>) -> Result<()> {
    use Compatibility::{Backward, Forward, Full, None};
    let base = place.record(json!([field("a", "int"), field("b", "int")]));
    // Adding without a default breaks readers of old records, removing without one breaks old readers.
    let added = place.record(json!([field("a", "int"), field("b", "int"), field("c", "int")]));
    let removed = place.record(json!([field("a", "int")]));
    let both = place.record(json!([field("a", "int"), field("b", "int"), optional("c", "int")]));
    let neither = place.record(json!([field("a", "string"), field("b", "int")]));
    let cases = [
        (Backward, &added, false),
        (Backward, &removed, true),
        (Backward, &both, true),
        (Forward, &added, true),
        (Forward, &removed, false),
        (Forward, &both, true),
        (Full, &added, false),
        (Full, &removed, false),
        (Full, &both, true),
        (Full, &neither, false),
        (None, &neither, true),
    ];
    for (index, (level, schema, expected)) in cases.into_iter().enumerate() {
        let name = format!("value{index}");
        let subject = place.subject(&name);
        place.register(&name, &base).await?;
        place.level(&name, level).await?;
        let found = place.registry.incompatibilities(&subject, Some(VersionWanted::Latest), schema).await?;
        equal(&format!("case {index}: compatible by {level}"), &found.is_empty(), &expected)?;
        let registered = place.registry.register(&subject, schema, Form::Given).await;
        match expected {
            true => equal("the next version", &registered?.version, &Version(2))?,
            false => refused("the next version", registered, Reason::Incompatible)?,
        }
        let is_explained = found.iter().any(|message| message.contains("field"));
        equal("whether the reason is said", &(expected || is_explained || !place.abilities.reasons), &true)?;
    }
    Ok(())
}

async fn a_transitive_level_looks_at_all_versions(place: &Place<'_>) -> Result<()> {
    let first = place.record(json!([field("a", "int")]));
    let second = place.record(json!([{"name": "a", "type": "int"}, {"name": "b", "type": "int", "default": 0}]));
    // It reads the second version, and not the first, which has no b.
    let third = place.record(json!([field("a", "int"), field("b", "int")]));
    for (name, level, expected) in
        [("one", Compatibility::Backward, true), ("all", Compatibility::BackwardTransitive, false)]
    {
        place.level(name, level).await?;
        place.register(name, &first).await?;
        place.register(name, &second).await?;
        let registered = place.registry.register(&place.subject(name), &third, Form::Given).await;
        match expected {
            true => equal("the third version", &registered?.version, &Version(3))?,
            false => refused("the third version", registered, Reason::Incompatible)?,
        }
    }
    Ok(())
}

/// Only changes that all registries judge alike: of the others each has rules of its own.
async fn levels_hold_for_protobuf_and_json(place: &Place<'_>) -> Result<()> {
    let proto = |fields: &str| {
        Schema::new(SchemaType::Protobuf, format!("syntax = \"proto3\";\npackage n;\nmessage M {{\n{fields}}}\n"))
    };
    let json = |properties: &str| {
        let text = format!(r#"{{"type":"object","properties":{{{properties}}},"additionalProperties":false}}"#);
        Schema::new(SchemaType::Json, text)
    };
    let message = proto("  int64 a = 1;\n");
    let object = json(r#""a":{"type":"integer"}"#);
    let cases = [
        ("added", &message, proto("  int64 a = 1;\n  string b = 2;\n"), true),
        ("changed", &message, proto("  string a = 1;\n"), false),
        ("property", &object, json(r#""a":{"type":"integer"},"b":{"type":"string"}"#), true),
        ("wider", &object, json(r#""a":{"type":"number"}"#), true),
        ("other", &object, json(r#""a":{"type":"string"}"#), false),
    ];
    for (name, before, after, expected) in cases {
        let subject = place.subject(name);
        place.level(name, Compatibility::Backward).await?;
        place.register(name, before).await?;
        let found = place.registry.incompatibilities(&subject, Some(VersionWanted::Latest), &after).await?;
        equal(&format!("case {name}: compatible"), &found.is_empty(), &expected)?;
        let registered = place.registry.register(&subject, &after, Form::Given).await;
        match expected {
            true => equal("the next version", &registered?.version, &Version(2))?,
            false => refused("the next version", registered, Reason::Incompatible)?,
        }
    }
    Ok(())
}

fn refer(name: &str, subject: String) -> SchemaReference {
    SchemaReference { name: name.to_owned(), subject, version: Version(1) }
}

async fn avro_refers_to_avro(place: &Place<'_>) -> Result<()> {
    let zip = Schema::avro(r#"{"type":"record","name":"Zip","namespace":"n","fields":[{"name":"z","type":"string"}]}"#);
    place.register("zip", &zip).await?;
    let address =
        Schema::avro(r#"{"type":"record","name":"Address","namespace":"n","fields":[{"name":"zip","type":"n.Zip"}]}"#)
            .with_references(vec![refer("n.Zip", place.subject("zip"))]);
    place.register("address", &address).await?;
    let customer = place
        .record(json!([field("home", "n.Address"), field("zip", "n.Zip")]))
        .with_references(vec![refer("n.Address", place.subject("address")), refer("n.Zip", place.subject("zip"))]);
    let registered = place.register("customer", &customer).await?;
    let found = place.registry.schema(SchemaKey::Id(registered.id), None).await?;
    equal("its references", &found.references, &customer.references)?;
    let resolved = resolve(place.registry, found).await?;
    let names: Vec<&str> = resolved.references.iter().map(|reference| reference.name.as_str()).collect();
    equal("what it needs, dependencies first", &names, &vec!["n.Zip", "n.Address"])?;
    for (NamedSchema { text, .. }, expected) in resolved.references.iter().zip([&zip, &address]) {
        same_text("a referenced schema", text, &expected.text)?;
    }
    let dangling = customer.with_references(vec![refer("n.Address", place.subject("nowhere"))]);
    let refusal = place.registry.register(&place.subject("dangling"), &dangling, Form::Given).await;
    match refusal {
        Err(RegistryError::Refused(refusal)) if matches!(refusal.reason.status(), 404 | 422) => Ok(()),
        other => Err(seen(format!("a reference to nothing gave {other:?}"))),
    }
}

async fn protobuf_and_json_refer_to_others(place: &Place<'_>) -> Result<()> {
    let common =
        Schema::new(SchemaType::Protobuf, "syntax = \"proto3\";\npackage c;\nmessage C {\n  int64 id = 1;\n}\n");
    place.register("common.proto", &common).await?;
    let text = "syntax = \"proto3\";\npackage p;\nimport \"common.proto\";\nmessage P {\n  c.C c = 1;\n}\n";
    let message = Schema::new(SchemaType::Protobuf, text)
        .with_references(vec![refer("common.proto", place.subject("common.proto"))]);
    let item = Schema::new(SchemaType::Json, r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#);
    place.register("item", &item).await?;
    let text = r#"{"type":"object","properties":{"b":{"$ref":"item.json"}}}"#;
    let list = Schema::new(SchemaType::Json, text).with_references(vec![refer("item.json", place.subject("item"))]);
    for (name, schema, reference) in [("message", &message, "common.proto"), ("list", &list, "item.json")] {
        let registered = place.register(name, schema).await?;
        let found = place.registry.schema(SchemaKey::Id(registered.id), None).await?;
        equal("the type", &found.schema_type, &schema.schema_type)?;
        let resolved = resolve(place.registry, found).await?;
        let names: Vec<&str> = resolved.references.iter().map(|reference| reference.name.as_str()).collect();
        equal("what it needs", &names, &vec![reference])?;
    }
    Ok(())
}

async fn what_is_referred_to_stays(place: &Place<'_>) -> Result<()> {
    let zip = Schema::avro(r#"{"type":"record","name":"Zip","namespace":"n","fields":[{"name":"z","type":"string"}]}"#);
    place.register("zip", &zip).await?;
    let user = place.record(json!([field("zip", "n.Zip")])).with_references(vec![refer("n.Zip", place.subject("zip"))]);
    place.register("user", &user).await?;
    let subject = place.subject("zip");
    refused("the subject", place.registry.delete_subject(&subject, Deletion::Soft).await, Reason::ReferenceExists)?;
    let version = place.registry.delete_version(&subject, number(1), Deletion::Soft).await;
    refused("the version", version, Reason::ReferenceExists)?;
    place.registry.delete_subject(&place.subject("user"), Deletion::Soft).await?;
    place.registry.delete_subject(&place.subject("user"), Deletion::Permanent).await?;
    place.registry.delete_subject(&subject, Deletion::Soft).await?;
    Ok(())
}

async fn guids_are_the_same_schema(place: &Place<'_>) -> Result<()> {
    if !place.abilities.guids {
        return Ok(());
    }
    let schema = place.record(json!([field("f", "int")]));
    let registered = place.register("one", &schema).await?;
    let elsewhere = place.register("two", &schema).await?;
    equal("the guid under another subject", &elsewhere.guid, &registered.guid)?;
    let guid = registered.guid.ok_or_else(|| seen("there is no guid".to_owned()))?;
    let found = place.registry.schema(SchemaKey::Guid(guid), None).await?;
    same_text("the schema by its guid", &found.text, &schema.text)?;
    let unknown = SchemaKey::Guid(uuid::Uuid::from_u128(1));
    refused("an unknown guid", place.registry.schema(unknown, None).await, Reason::SchemaNotFound)
}

async fn a_normal_form_is_found_again(place: &Place<'_>) -> Result<()> {
    if !place.abilities.normal_form {
        return Ok(());
    }
    let subject = place.subject("value");
    let given = r#"{"type":"record","name":"N","namespace":"n","fields":[{"name":"f","type":{"type":"int"}}]}"#;
    let respelled = r#"{"fields":[{"type":"int","name":"f"}],"name":"n.N","type":"record"}"#;
    let first = place.registry.register(&subject, &Schema::avro(given), Form::Normalized).await?;
    let again = place.registry.register(&subject, &Schema::avro(respelled), Form::Normalized).await?;
    equal("another spelling", &(again.id, again.version), &(first.id, first.version))?;
    let found = place.registry.lookup(&subject, &Schema::avro(respelled), Form::Normalized, Include::Live).await?;
    equal("another spelling", &found.id, &first.id)
}
