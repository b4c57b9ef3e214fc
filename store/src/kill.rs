//! Named places where a test may end the process, as a power cut or the OOM killer would.
//!
//! Owns [`KillPoint`], the one list of them. Built with the cargo feature `kill-points`, a process whose
//! environment says `TABLEFLOW_KILL_AT=<name>` or `<name>:<nth>` sends itself SIGKILL when it passes that point
//! (the nth time); with `<name>:<nth>:panic` the task that passes it panics, with `<name>:<nth>:stop` the process
//! stands still until somebody lets it go on. Without the feature [`at`] is empty.
//! - I1: every I/O edge of the commit path has a point on each side.
//! - I2: [`KillPoint::ALL`] holds every point, so that a test can assert that each one is hit.
//!
//! Neighbours: `store` and `local` pass the points of objects; the catalog passes those of its rows; decoders pass theirs.

use std::fmt;

use crate::paths::ObjectKind;

/// Names the point and, optionally, the how-manieth pass of it.
pub const ENVIRONMENT_VARIABLE: &str = "TABLEFLOW_KILL_AT";

macro_rules! kill_points {
    ($($(#[$doc:meta])* $point:ident => $name:literal,)*) => {
        /// A place where a test may end the process.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum KillPoint {
            $($(#[$doc])* $point,)*
        }

        impl KillPoint {
            /// Every point there is (I2).
            pub const ALL: &'static [KillPoint] = &[$(KillPoint::$point,)*];

            pub fn name(self) -> &'static str {
                match self {
                    $(KillPoint::$point => $name,)*
                }
            }
        }
    };
}

kill_points! {
    DataFileBefore => "data-file-before",
    DataFileAfter => "data-file-after",
    ManifestBefore => "manifest-before",
    ManifestAfter => "manifest-after",
    ManifestListBefore => "manifest-list-before",
    ManifestListAfter => "manifest-list-after",
    MetadataBefore => "metadata-before",
    MetadataAfter => "metadata-after",
    EpochBefore => "epoch-before",
    EpochAfter => "epoch-after",
    EpochDeleteBefore => "epoch-delete-before",
    EpochDeleteAfter => "epoch-delete-after",
    DefinitionBefore => "definition-before",
    DefinitionAfter => "definition-after",
    StatusBefore => "status-before",
    StatusAfter => "status-after",
    /// The local store's temporary file is on disk, and not yet visible.
    LocalStaged => "local-staged",
    /// The local store's file is visible, its directory entry not yet on disk.
    LocalVisible => "local-visible",
    CatalogCreateBefore => "catalog-create-before",
    CatalogCreateAfter => "catalog-create-after",
    /// The metadata file is written, the row not yet swapped.
    CatalogSwapBefore => "catalog-swap-before",
    /// The row is swapped, nobody has been told.
    CatalogSwapAfter => "catalog-swap-after",
    /// The commit is applied, metadata files that fell out of the log are still there.
    CatalogTrimBefore => "catalog-trim-before",
    /// Nothing of an epoch is in the topic of dead letters yet.
    LettersBefore => "letters-before",
    /// All of it was sent, its transaction is open.
    LettersSent => "letters-sent",
    /// Its transaction is committed, nobody has been told.
    LettersAfter => "letters-after",
    /// A record has become a part of the columns of its batch, which are not whole yet.
    Decode => "decode",
    /// A table is to be dropped.
    CatalogDropBefore => "catalog-drop-before",
    /// The catalog has forgotten it, its files are still there.
    CatalogDropAfter => "catalog-drop-after",
}

impl KillPoint {
    /// Those that only a drop passes.
    pub const OF_DROP: [KillPoint; 2] = [KillPoint::CatalogDropBefore, KillPoint::CatalogDropAfter];

    /// Those that only a table passes whose dead letters go to a topic.
    pub const OF_LETTERS: [KillPoint; 3] = [KillPoint::LettersBefore, KillPoint::LettersSent, KillPoint::LettersAfter];

    /// Those that are no edge of I/O, and passed once a record: for panics.
    pub const OF_RECORDS: [KillPoint; 1] = [KillPoint::Decode];

    /// All the others: what makes a table, or fills one.
    pub fn of_jobs() -> impl Iterator<Item = &'static KillPoint> {
        let of_others: [&'static [KillPoint]; 3] = [&Self::OF_DROP, &Self::OF_LETTERS, &Self::OF_RECORDS];
        KillPoint::ALL.iter().filter(move |point| !of_others.iter().any(|others| others.contains(point)))
    }
}

impl KillPoint {
    pub(crate) fn before_put(kind: ObjectKind) -> Option<Self> {
        Some(match kind {
            ObjectKind::DataFile => KillPoint::DataFileBefore,
            ObjectKind::Manifest => KillPoint::ManifestBefore,
            ObjectKind::ManifestList => KillPoint::ManifestListBefore,
            ObjectKind::Metadata => KillPoint::MetadataBefore,
            ObjectKind::Epoch => KillPoint::EpochBefore,
            ObjectKind::Definition => KillPoint::DefinitionBefore,
            ObjectKind::Status => KillPoint::StatusBefore,
            ObjectKind::Other => return None,
        })
    }

    pub(crate) fn before_delete(kind: ObjectKind) -> Option<Self> {
        (kind == ObjectKind::Epoch).then_some(KillPoint::EpochDeleteBefore)
    }

    pub(crate) fn after_delete(kind: ObjectKind) -> Option<Self> {
        (kind == ObjectKind::Epoch).then_some(KillPoint::EpochDeleteAfter)
    }

    pub(crate) fn after_put(kind: ObjectKind) -> Option<Self> {
        Some(match kind {
            ObjectKind::DataFile => KillPoint::DataFileAfter,
            ObjectKind::Manifest => KillPoint::ManifestAfter,
            ObjectKind::ManifestList => KillPoint::ManifestListAfter,
            ObjectKind::Metadata => KillPoint::MetadataAfter,
            ObjectKind::Epoch => KillPoint::EpochAfter,
            ObjectKind::Definition => KillPoint::DefinitionAfter,
            ObjectKind::Status => KillPoint::StatusAfter,
            ObjectKind::Other => return None,
        })
    }
}

impl fmt::Display for KillPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Passes a point: the process ends here if the environment says so.
#[cfg(not(feature = "kill-points"))]
#[inline(always)]
pub fn at(_point: KillPoint) {}

/// Passes a point: the process ends here if the environment says so.
#[cfg(feature = "kill-points")]
pub fn at(point: KillPoint) {
    armed::pass(point);
}

#[cfg(feature = "kill-points")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    use super::{ENVIRONMENT_VARIABLE, KillPoint};

    static TARGET: OnceLock<Option<Target>> = OnceLock::new();
    static PASSES: AtomicU64 = AtomicU64::new(0);

    enum Does {
        Dies,
        Panics,
        Stops,
    }

    struct Target {
        name: String,
        nth: u64,
        does: Does,
    }

    pub(super) fn pass(point: KillPoint) {
        let Some(target) = TARGET.get_or_init(target) else { return };
        if target.name == point.name() && PASSES.fetch_add(1, Ordering::SeqCst) + 1 == target.nth {
            match target.does {
                Does::Panics => std::panic::resume_unwind(Box::new(format!("a test asked for a panic at {point}"))),
                Does::Stops => drop(kill_process(getpid(), Signal::STOP)),
                Does::Dies => {
                    while kill_process(getpid(), Signal::KILL).is_ok() {
                        std::thread::park();
                    }
                }
            }
        }
    }

    fn target() -> Option<Target> {
        let text = std::env::var(ENVIRONMENT_VARIABLE).ok()?;
        let mut words = text.split(':');
        let name = words.next()?.to_owned();
        let nth = words.next().map_or(Some(1), |nth| nth.parse().ok())?;
        let does = match words.next() {
            Some("panic") => Does::Panics,
            Some("stop") => Does::Stops,
            _ => Does::Dies,
        };
        Some(Target { name, nth, does })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn i2_names_tell_points_apart() {
        let names: HashSet<String> = KillPoint::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), KillPoint::ALL.len());
    }
}
