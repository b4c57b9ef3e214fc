//! The schema registry, and the subjects that tables need of it.

use tableflow_connectors::registry::Include;
use tableflow_model::Result;

use super::{CLOCKS_APART_MAX_MS, Check, within_deadline};
use crate::definition::{Definition, Wanted};
use crate::home::Home;

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
    let missing: Vec<String> = wanted.into_iter().filter(|subject| !known.contains(subject)).collect();
    if missing.is_empty() {
        return Check::ok(check, format!("it answers, and has {} subjects", known.len()));
    }
    let hint =
        "records of these topics need a schema: `tableflow schema register SUBJECT FILE`, or the producers register it";
    Check::warning(check, format!("it has no subject {}", missing.join(", ")), hint)
}

/// The subjects of the enabled tables whose records have schemas there.
async fn wanted(home: &Home) -> Result<Vec<String>> {
    let listing = home.definitions().look().await?;
    let tables = listing.definitions.iter().filter(|definition| definition.wanted != Wanted::Disabled);
    // Records of a fan-out may be registered after their types alone.
    let tables = tables.filter(|definition| definition.fan_out.is_none());
    let subjects_of = |definition: &Definition| {
        let values = definition.format.has_schemas().then(|| format!("{}-value", definition.topic));
        let keys = definition.keys.as_ref().filter(|keys| keys.format.has_schemas());
        values.into_iter().chain(keys.map(|_| format!("{}-key", definition.topic))).collect::<Vec<_>>()
    };
    Ok(tables.flat_map(subjects_of).collect())
}
