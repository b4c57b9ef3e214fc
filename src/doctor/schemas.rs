//! The schema registry, and the subjects that tables need of it.

use tableflow_connectors::decode::RegistryFraming;
use tableflow_connectors::registry::{Include, RecordPart};
use tableflow_model::Result;

use super::{CLOCKS_APART_MAX_MS, Check, within_deadline};
use crate::definition::{Definition, Wanted};
use crate::home::Home;
use crate::pipeline::first_key;

pub async fn look(home: &Home) -> Vec<Check> {
    let check = format!("registry {}", home.registry_name);
    let subjects = within_deadline(&check, async { subjects(check.clone(), home).await }).await;
    std::iter::once(subjects).chain(clock(home)).collect()
}

/// The registry's clock beside this machine's, where it tells: one of the two is wrong, or none.
fn clock(home: &Home) -> Option<Check> {
    let ahead_ms = home.schemas.answered_at()?.0 - home.clock.now().0;
    let check = format!("clock of registry {}", home.registry_name);
    if ahead_ms.abs() <= CLOCKS_APART_MAX_MS {
        return Some(Check::ok(check, "as this machine's"));
    }
    let detail =
        format!("{} s {} this machine's", ahead_ms.abs() / 1000, if ahead_ms > 0 { "ahead of" } else { "behind" });
    Some(Check::warning(check, detail, "set the clock that is wrong: snapshots and freshness carry this machine's"))
}

async fn subjects(check: String, home: &Home) -> Check {
    let known = async { Ok(home.schemas.subjects("", Include::Live).await?) };
    let (known, wanted): (Vec<String>, _) = match tokio::try_join!(known, wanted(home)) {
        Ok(found) => found,
        Err(error) => return Check::failed(check, &error),
    };
    let mut missing = Vec::new();
    for Subject { name, definition, part } in wanted {
        if !known.contains(&name) && !is_registered_elsewhere(home, &definition, part).await {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return Check::ok(check, format!("it answers, and has {} subjects", known.len()));
    }
    let hint =
        "records of these topics need a schema: `tableflow schema register SUBJECT FILE`, or the producers register it";
    Check::warning(check, format!("it has no subject {}", missing.join(", ")), hint)
}

/// A subject by the strategy that serializers have unless they are told otherwise.
struct Subject {
    name: String,
    definition: Definition,
    part: RecordPart,
}

/// By the name of its type: the first record says so. What cannot be read is a matter of another check.
async fn is_registered_elsewhere(home: &Home, definition: &Definition, part: RecordPart) -> bool {
    let Ok(mut source) = home.source_of(definition).await else { return false };
    let framing = RegistryFraming { prefix: home.id_prefix, part };
    match first_key(source.as_mut(), framing).await {
        Ok(Some(key)) => home.schema_cache.get(key, None).await.is_ok(),
        _ => false,
    }
}

/// The subjects of the enabled tables whose records have schemas there.
async fn wanted(home: &Home) -> Result<Vec<Subject>> {
    let listing = home.definitions().look().await?;
    let tables = listing.definitions.iter().filter(|definition| definition.wanted != Wanted::Disabled);
    // Records of a fan-out may be registered after their types alone.
    let tables = tables.filter(|definition| definition.fan_out.is_none());
    let subjects_of = |definition: &Definition| {
        let values = definition.format.has_schemas().then_some(RecordPart::Value);
        let keys = definition.keys.as_ref().filter(|keys| keys.format.has_schemas()).map(|_| RecordPart::Key);
        let wanted = |part: RecordPart| {
            let name = format!("{}-{}", definition.topic, part.word());
            Subject { name, definition: definition.clone(), part }
        };
        values.into_iter().chain(keys).map(wanted).collect::<Vec<_>>()
    };
    Ok(tables.flat_map(subjects_of).collect())
}
