//! The embedded registry: conformance, races, what outlives a process, what cannot be read.

use futures::future::join_all;
use serde_json::json;
use tableflow_model::Millis;
use tableflow_model::clock::SystemClock;
use tempfile::TempDir;

use super::super::conformance::{self, Abilities};
use super::super::refusal::{Reason, RegistryError};
use super::super::schema::SchemaReference;
use super::*;

#[derive(Debug)]
struct NoClock;

impl Clock for NoClock {
    fn now(&self) -> Millis {
        Millis(1)
    }
}

/// Every call is another process's: it has a state of its own.
fn open(directory: &TempDir) -> EmbeddedRegistry {
    let store = Store::open(directory.path().to_str().unwrap(), &SystemClock).unwrap();
    let paths = StatePaths::new(&format!("{}/state", store.root_uri()));
    EmbeddedRegistry::new(store, paths, Arc::new(NoClock))
}

fn record(number: usize) -> Schema {
    let fields = json!([{"name": format!("f{number}"), "type": ["null", "int"], "default": null}]);
    Schema::avro(json!({"type": "record", "name": "R", "fields": fields}).to_string())
}

#[tokio::test]
async fn the_embedded_registry_conforms() {
    let directory = TempDir::new().unwrap();
    conformance::run(&open(&directory), "suite", Abilities::ALL)
        .await
        .unwrap_or_else(|error| panic!("{}", error.report()));
    // What one process did is what another one sees: the whole log is read again.
    let other = open(&directory);
    let subjects = open(&directory).subjects("", Include::Deleted).await.unwrap();
    assert!(subjects.len() > 20);
    assert_eq!(other.subjects("", Include::Deleted).await.unwrap(), subjects);
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_processes_that_race_give_no_id_twice() {
    let directory = TempDir::new().unwrap();
    let processes: Vec<_> = (0..4).map(|_| open(&directory)).collect();
    let work = processes.iter().enumerate().map(|(process, registry)| async move {
        let mut registered = Vec::new();
        for number in 0..20 {
            // Every second schema is registered by all of them, the others by one.
            let schema = record(if number % 2 == 0 { number } else { process * 100 + number });
            let subject = format!("s{}", number % 3);
            registered.push(registry.register(&subject, &schema, Form::Given).await.unwrap());
        }
        registered
    });
    let registered: Vec<RegisteredSchema> = join_all(work).await.into_iter().flatten().collect();
    let (mut texts, mut ids) = (std::collections::HashMap::new(), std::collections::HashMap::new());
    for entry in &registered {
        assert_eq!(*texts.entry(entry.id).or_insert(&entry.schema.text), &entry.schema.text, "an id has two schemas");
        assert_eq!(*ids.entry(&entry.schema.text).or_insert(entry.id), entry.id, "a schema has two ids");
    }
    // 10 schemas of all, 10 of each of the four.
    assert_eq!(texts.len(), 50);
    let reader = open(&directory);
    for subject in ["s0", "s1", "s2"] {
        let versions = reader.versions(subject, Include::Live).await.unwrap();
        assert_eq!(versions, (1..=versions.len() as u32).map(Version).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_two_changes_that_each_were_fine_alone_do_not_both_pass() {
    let directory = TempDir::new().unwrap();
    let with = |name: &str, kind: &str| {
        Schema::avro(json!({"type": "record", "name": "R", "fields": [{"name": name, "type": kind}]}).to_string())
    };
    for round in 0..10 {
        let (one, other) = (open(&directory), open(&directory));
        let subject = format!("s{round}");
        one.set_compatibility(Some(&subject), Compatibility::Backward).await.unwrap();
        let (int, text) = (with("f", "int"), with("f", "string"));
        let (first, second) =
            tokio::join!(one.register(&subject, &int, Form::Given), other.register(&subject, &text, Form::Given));
        let refused = [first, second].into_iter().filter_map(Result::err).collect::<Vec<_>>();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert_eq!(refused[0].reason(), Some(Reason::Incompatible));
    }
}

#[tokio::test]
async fn an_id_is_not_given_to_another_schema_after_its_deletion() {
    let directory = TempDir::new().unwrap();
    let registry = open(&directory);
    let first = registry.register("s", &record(1), Form::Given).await.unwrap();
    registry.delete_subject("s", Deletion::Soft).await.unwrap();
    registry.delete_subject("s", Deletion::Permanent).await.unwrap();
    let gone = registry.schema(SchemaKey::Id(first.id), None).await;
    assert_eq!(gone.unwrap_err().reason(), Some(Reason::SchemaNotFound));
    let second = registry.register("s", &record(2), Form::Given).await.unwrap();
    assert_eq!((second.id, second.version), (SchemaId(first.id.0 + 1), Version(1)));
    assert_eq!(registry.register("s", &record(1), Form::Given).await.unwrap().id, first.id);
    // A single version that is gone leaves its number behind.
    registry.delete_version("s", VersionWanted::Latest, Deletion::Soft).await.unwrap();
    registry.delete_version("s", VersionWanted::Latest, Deletion::Permanent).await.unwrap();
    assert_eq!(registry.register("s", &record(3), Form::Given).await.unwrap().version, Version(3));
}

#[tokio::test]
async fn a_version_that_another_of_its_subject_refers_to_stays() {
    let directory = TempDir::new().unwrap();
    let registry = open(&directory);
    registry.set_compatibility(Some("s"), Compatibility::None).await.unwrap();
    let inner = Schema::avro(json!({"type": "record", "name": "I", "fields": []}).to_string());
    registry.register("s", &inner, Form::Given).await.unwrap();
    let fields = json!([{"name": "i", "type": "I"}]);
    let reference = SchemaReference { name: "I".to_owned(), subject: "s".to_owned(), version: Version(1) };
    let outer = Schema::avro(json!({"type": "record", "name": "O", "fields": fields}).to_string());
    registry.register("s", &outer.with_references(vec![reference]), Form::Given).await.unwrap();
    let first = VersionWanted::Number(Version(1));
    let refused = registry.delete_version("s", first, Deletion::Soft).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::ReferenceExists));
    // The subject as a whole needs nobody else.
    assert_eq!(registry.delete_subject("s", Deletion::Soft).await.unwrap(), [Version(1), Version(2)]);
    assert_eq!(registry.delete_subject("s", Deletion::Permanent).await.unwrap(), [Version(1), Version(2)]);
}

#[tokio::test]
async fn what_cannot_be_read_stops_the_registry() {
    for (text, words) in [
        ("{", "EOF while parsing"),
        (r#"{"form":2,"at":1,"event":"subject_deleted","subject":"s","how":"soft"}"#, "has form 2"),
        (r#"{"form":1,"at":1,"event":"something_new","subject":"s"}"#, "something_new"),
    ] {
        let directory = TempDir::new().unwrap();
        open(&directory).register("s", &record(1), Form::Given).await.unwrap();
        std::fs::write(directory.path().join("state/registry/000000000001.json"), text).unwrap();
        let error = Error::from(open(&directory).subjects("", Include::Live).await.unwrap_err());
        assert!(error.report().contains(words), "{}", error.report());
        assert!(open(&directory).register("t", &record(2), Form::Given).await.is_err());
    }
}

#[tokio::test]
async fn what_a_mode_forbids_is_not_done() {
    let directory = TempDir::new().unwrap();
    let registry = open(&directory);
    registry.set_mode(None, Mode::ReadOnly).await.unwrap();
    let refused = registry.register("s", &record(1), Form::Given).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::OperationNotPermitted));
    registry.set_mode(Some("s"), Mode::ReadWrite).await.unwrap();
    registry.register("s", &record(1), Form::Given).await.unwrap();
    assert_eq!(registry.own_mode("s").await.unwrap(), Mode::ReadWrite);
    registry.reset_mode("s").await.unwrap();
    assert_eq!(registry.mode(Some("s")).await.unwrap(), Mode::ReadOnly);
    assert_eq!(registry.own_mode("s").await.unwrap_err().reason(), Some(Reason::ModeNotConfigured));
    let refused = registry.delete_subject("s", Deletion::Soft).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::OperationNotPermitted));
}

#[tokio::test]
async fn names_that_are_no_names_are_refused() {
    let directory = TempDir::new().unwrap();
    let long = "x".repeat(2_000);
    for subject in ["", ".", "..", "a\nb", &long] {
        let refused = open(&directory).register(subject, &record(1), Form::Given).await.unwrap_err();
        assert!(
            matches!(refused, RegistryError::Refused(ref it) if it.reason.code() == 42208),
            "{subject:.20}: {refused}"
        );
    }
}

/// As the first release puts them.
#[test]
fn events_of_the_first_release_are_read() {
    let events = [
        r#"{"event":"registered","subject":"s","version":1,"id":1,"schema":{"schema":"\"int\""}}"#,
        r#"{"event":"version_deleted","subject":"s","version":1,"how":"soft"}"#,
        r#"{"event":"subject_deleted","subject":"s","how":"permanent"}"#,
        r#"{"event":"compatibility_set","subject":null,"level":"FULL_TRANSITIVE"}"#,
        r#"{"event":"mode_set","subject":"s","mode":"READONLY"}"#,
    ];
    for text in events {
        let event: log::Event = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }
}
