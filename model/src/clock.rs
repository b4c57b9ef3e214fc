//! Time and ids as arguments.
//!
//! Owns the two traits through which the outside world reaches a decision: [`Clock`] and [`Ids`].
//! The raw calls are banned by `clippy.toml`; [`SystemClock`] and [`RandomIds`] are the only places
//! that make them, and a simulation passes its own seeded twins.

use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

/// Where the time comes from.
pub trait Clock: Debug + Send + Sync {
    fn now(&self) -> Millis;
}

/// Where ids and nonces come from.
pub trait Ids: Debug + Send + Sync {
    /// A random id, never seen before.
    fn uuid(&self) -> Uuid;

    /// A random snapshot id: positive, as every engine expects, and small enough for programs whose numbers are doubles
    /// (JavaScript, jq): a table keeps some hundred, so that 53 bits are plenty.
    fn snapshot_id(&self) -> i64 {
        let (high, low) = self.uuid().as_u64_pair();
        ((high ^ low) & 0x001f_ffff_ffff_ffff) as i64
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Millis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Ids from the operating system's random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "the one place that draws random ids")]
    fn uuid(&self) -> Uuid {
        Uuid::new_v4()
    }
}
