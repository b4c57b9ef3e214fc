//! The cache, over a registry that answers as it is told.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use async_trait::async_trait;
use tempfile::TempDir;

use super::super::refusal::{Reason, RegistryError};
use super::super::registry::{Compatibility, Deletion, Form, Include};
use super::super::resolve::DEPTH_MAX;
use super::super::schema::{
    RegisteredSchema, Schema, SchemaId, SchemaReference, SubjectVersion, Version, VersionWanted,
};
use super::*;

#[derive(Debug, Default)]
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::Relaxed))
    }
}

/// What `schema` answers; a subject's version `n` refers to what `references` says.
#[derive(Debug, Default)]
struct Told {
    schemas: Mutex<HashMap<SchemaKey, Schema>>,
    versions: Mutex<HashMap<(String, u32), Schema>>,
    is_down: std::sync::atomic::AtomicBool,
    asked: AtomicUsize,
}

impl Told {
    fn answer<T>(&self, found: Option<T>) -> Result<T> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.is_down.load(Ordering::Relaxed) {
            return Err(Error::unavailable("down").into());
        }
        found.ok_or_else(|| RegistryError::refused(Reason::SchemaNotFound, "none"))
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }

    fn set(&self, key: SchemaKey, schema: Schema) {
        self.schemas.lock().unwrap().insert(key, schema);
    }
}

#[async_trait]
impl SchemaRegistry for Told {
    async fn schema(&self, key: SchemaKey, _subject: Option<&str>) -> Result<Schema> {
        tokio::task::yield_now().await;
        self.answer(self.schemas.lock().unwrap().get(&key).cloned())
    }

    async fn version(&self, subject: &str, version: VersionWanted, _include: Include) -> Result<RegisteredSchema> {
        let VersionWanted::Number(version) = version else { panic!("references have numbers") };
        let schema = self.answer(self.versions.lock().unwrap().get(&(subject.to_owned(), version.0)).cloned())?;
        Ok(RegisteredSchema { subject: subject.to_owned(), version, id: SchemaId(0), guid: None, schema })
    }

    async fn places(&self, _: SchemaId) -> Result<Vec<SubjectVersion>> {
        unreachable!("a cache asks for schemas")
    }
    async fn subjects(&self, _: &str, _: Include) -> Result<Vec<String>> {
        unreachable!("a cache asks for schemas")
    }
    async fn versions(&self, _: &str, _: Include) -> Result<Vec<Version>> {
        unreachable!("a cache asks for schemas")
    }
    async fn lookup(&self, _: &str, _: &Schema, _: Form, _: Include) -> Result<RegisteredSchema> {
        unreachable!("a cache asks for schemas")
    }
    async fn register(&self, _: &str, _: &Schema, _: Form) -> Result<RegisteredSchema> {
        unreachable!("a cache asks for schemas")
    }
    async fn incompatibilities(&self, _: &str, _: Option<VersionWanted>, _: &Schema) -> Result<Vec<String>> {
        unreachable!("a cache asks for schemas")
    }
    async fn delete_subject(&self, _: &str, _: Deletion) -> Result<Vec<Version>> {
        unreachable!("a cache asks for schemas")
    }
    async fn delete_version(&self, _: &str, _: VersionWanted, _: Deletion) -> Result<Version> {
        unreachable!("a cache asks for schemas")
    }
    async fn compatibility(&self, _: Option<&str>) -> Result<Compatibility> {
        unreachable!("a cache asks for schemas")
    }
    async fn set_compatibility(&self, _: Option<&str>, _: Compatibility) -> Result<()> {
        unreachable!("a cache asks for schemas")
    }
}

struct World {
    told: Arc<Told>,
    clock: Arc<HandClock>,
    directory: TempDir,
}

impl World {
    fn new() -> Self {
        World { told: Arc::default(), clock: Arc::default(), directory: TempDir::new().unwrap() }
    }

    /// As a process that begins has it.
    fn cache(&self) -> SchemaCache {
        SchemaCache::new(self.told.clone(), self.clock.clone(), Some(self.directory.path().join("registry")))
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("registry/id-7.json")
    }

    fn pass(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    fn down(&self, is_down: bool) {
        self.told.is_down.store(is_down, Ordering::Relaxed);
    }
}

const SEVEN: SchemaKey = SchemaKey::Id(SchemaId(7));

async fn text(cache: &SchemaCache) -> String {
    match cache.get(SEVEN, None).await {
        Ok(schema) => schema.text.clone(),
        Err(error) => Error::from(error).report(),
    }
}

#[tokio::test]
async fn i2_what_is_remembered_serves_while_the_registry_does_not() {
    let world = World::new();
    world.told.set(SEVEN, Schema::avro("seven"));
    let cache = world.cache();
    assert_eq!(text(&cache).await, "seven");
    assert_eq!(text(&cache).await, "seven");
    assert_eq!(world.told.asked(), 1);
    world.down(true);
    world.pass(VERIFY_EVERY_MS);
    for _ in 0..3 {
        assert_eq!(text(&cache).await, "seven");
    }
    assert_eq!(world.told.asked(), 1, "who does not answer is left alone for a while");
    world.pass(RETRY_MS);
    assert_eq!((text(&cache).await.as_str(), world.told.asked()), ("seven", 1));
    // Another process, and the registry is still down.
    assert_eq!(text(&world.cache()).await, "seven");
    let unknown = world.cache().get(SchemaKey::Id(SchemaId(8)), None).await;
    assert!(matches!(unknown, Err(RegistryError::Failed(_))), "{unknown:?}");
}

#[tokio::test]
async fn i1_an_id_that_changes_its_meaning_is_refused() {
    let world = World::new();
    world.told.set(SEVEN, Schema::avro("seven"));
    let running = world.cache();
    assert_eq!(text(&running).await, "seven");
    world.told.set(SEVEN, Schema::avro("eight"));
    let started = text(&world.cache()).await;
    assert!(started.starts_with("error: the schema of id 7 is not the one it was\n"), "{started}");
    assert!(started.contains(&format!("delete {} and", world.file().display())), "{started}");
    assert_eq!(text(&running).await, "seven");
    world.pass(VERIFY_EVERY_MS);
    assert!(text(&running).await.contains("not the one it was"));
    // The same text with another reference is another schema.
    let reference = SchemaReference { name: "r".into(), subject: "s".into(), version: Version(1) };
    world.told.versions.lock().unwrap().insert(("s".into(), 1), Schema::avro("other"));
    world.told.set(SEVEN, Schema::avro("seven").with_references(vec![reference]));
    assert!(text(&running).await.contains("not the one it was"));
    world.told.set(SEVEN, Schema::avro("seven"));
    assert_eq!(text(&running).await, "seven", "what was put right goes on");
    // What a person says is right is right.
    world.told.set(SEVEN, Schema::avro("eight"));
    std::fs::remove_file(world.file()).unwrap();
    assert_eq!(text(&world.cache()).await, "eight");
}

#[tokio::test]
async fn i3_an_id_that_was_unknown_is_asked_for_again() {
    let world = World::new();
    let cache = world.cache();
    for _ in 0..3 {
        let error = cache.get(SEVEN, None).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::SchemaNotFound));
    }
    world.told.set(SEVEN, Schema::avro("seven"));
    assert_eq!(text(&cache).await, "seven");
}

#[tokio::test]
async fn i4_a_damaged_file_is_fetched_again_and_replaced() {
    let world = World::new();
    world.told.set(SEVEN, Schema::avro("seven"));
    assert_eq!(text(&world.cache()).await, "seven");
    let good = std::fs::read_to_string(world.file()).unwrap();
    let damages = [
        String::new(),
        good[..good.len() / 2].to_owned(),
        good.replace("seven", "other"),
        good.replace("\"form\":1", "\"form\":2"),
    ];
    for damage in damages {
        std::fs::write(world.file(), &damage).unwrap();
        assert_eq!(text(&world.cache()).await, "seven", "{damage}");
        assert_eq!(std::fs::read_to_string(world.file()).unwrap(), good);
    }
    std::fs::write(world.file(), "").unwrap();
    world.down(true);
    assert!(text(&world.cache()).await.starts_with("error: down"));
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_stops_nothing() {
    let world = World::new();
    world.told.set(SEVEN, Schema::avro("seven"));
    std::fs::write(world.directory.path().join("registry"), "a file").unwrap();
    assert_eq!(text(&world.cache()).await, "seven");
}

#[tokio::test]
async fn i5_many_records_with_one_id_ask_once() {
    let world = World::new();
    world.told.set(SEVEN, Schema::avro("seven"));
    let cache = world.cache();
    let all = futures::future::join_all((0..100).map(|_| text(&cache))).await;
    assert!(all.iter().all(|text| text == "seven"));
    assert_eq!(world.told.asked(), 1);
}

#[tokio::test]
async fn references_are_followed_so_far_and_no_further() {
    let world = World::new();
    let refer = |number: usize| {
        vec![SchemaReference { name: format!("r{number}"), subject: format!("s{number}"), version: Version(1) }]
    };
    let link = |from: usize, to: usize| {
        let schema = Schema::avro(format!("text{from}")).with_references(refer(to));
        world.told.versions.lock().unwrap().insert((format!("s{from}"), 1), schema);
    };
    (1..DEPTH_MAX).for_each(|number| link(number, number + 1));
    world.told.versions.lock().unwrap().insert((format!("s{DEPTH_MAX}"), 1), Schema::avro("last"));
    world.told.set(SEVEN, Schema::avro("seven").with_references(refer(1)));
    let resolved = world.cache().get(SEVEN, None).await.unwrap();
    assert_eq!(resolved.references.len(), DEPTH_MAX);
    assert_eq!(resolved.references[0].text, "last", "dependencies come first");

    link(DEPTH_MAX, DEPTH_MAX + 1);
    world.told.versions.lock().unwrap().insert((format!("s{}", DEPTH_MAX + 1), 1), Schema::avro("too deep"));
    let cache = || SchemaCache::new(world.told.clone(), world.clock.clone(), None);
    assert!(text(&cache()).await.contains("nested more than 32 deep"));

    link(2, 1);
    let report = text(&cache()).await;
    assert!(report.contains("it refers to itself") && report.contains("subject=s1"), "{report}");

    // Wide: every one of many refers to the next three, and each is fetched once.
    let wide = |from: usize| (1..=3).flat_map(|step| refer(from + step)).collect::<Vec<_>>();
    for number in 1..20 {
        let schema = Schema::avro("x").with_references(if number < 17 { wide(number) } else { Vec::new() });
        world.told.versions.lock().unwrap().insert((format!("s{number}"), 1), schema);
    }
    world.told.asked();
    let resolved = cache().get(SEVEN, None).await.unwrap();
    assert_eq!((resolved.references.len(), world.told.asked()), (19, 20));

    let many = (0..=super::super::resolve::REFERENCES_MAX).flat_map(refer).collect();
    for number in 0..=super::super::resolve::REFERENCES_MAX {
        world.told.versions.lock().unwrap().insert((format!("s{number}"), 1), Schema::avro("x"));
    }
    world.told.set(SEVEN, Schema::avro("seven").with_references(many));
    assert!(text(&cache()).await.contains("more than 1000 others"));
}
