//! A topic's options, under Kafka's names.
//!
//! Owns [`TopicOptions`]: only options that do something are taken; the rest is refused, so that nobody relies on a
//! promise that is not kept.
//! - I1: what is parsed prints back as the same names and values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tableflow_model::{Error, Result};

const SEGMENT_BYTES: &str = "segment.bytes";
const CLEANUP_POLICY: &str = "cleanup.policy";
const NAMES: [&str; 2] = [SEGMENT_BYTES, CLEANUP_POLICY];

/// A cold scan of a segment, at worst all of it, stays well under a second.
const SEGMENT_BYTES_DEFAULT: u64 = 128 << 20;

/// Kafka's own bound: the option is a 32-bit integer there.
const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;

/// Up to so many wrong letters a name is taken for a misspelling.
const MISSPELLING_MAX: usize = 4;

/// What Kafka would do with old records; here it says whether a topic is a log of events or of the last state by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CleanupPolicy {
    #[serde(rename = "delete")]
    Delete,
    #[serde(rename = "compact")]
    Compact,
    #[serde(rename = "compact,delete")]
    CompactDelete,
}

impl CleanupPolicy {
    pub fn as_str(self) -> &'static str {
        match self {
            CleanupPolicy::Delete => "delete",
            CleanupPolicy::Compact => "compact",
            CleanupPolicy::CompactDelete => "compact,delete",
        }
    }

    /// Whether the topic keeps the last record of each key: then its table is an upsert table.
    pub fn compacts(self) -> bool {
        self != CleanupPolicy::Delete
    }

    fn parse(value: &str) -> Result<CleanupPolicy> {
        match value.replace(' ', "").as_str() {
            "delete" => Ok(CleanupPolicy::Delete),
            "compact" => Ok(CleanupPolicy::Compact),
            "compact,delete" | "delete,compact" => Ok(CleanupPolicy::CompactDelete),
            _ => Err(Error::usage(format!("{CLEANUP_POLICY} cannot be {value:?}"))
                .with_hint("use delete, compact or compact,delete")),
        }
    }
}

/// The options given at creation; what was not given has its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicOptions {
    #[serde(rename = "segment.bytes", default, skip_serializing_if = "Option::is_none")]
    segment_bytes: Option<u64>,
    #[serde(rename = "cleanup.policy", default, skip_serializing_if = "Option::is_none")]
    cleanup_policy: Option<CleanupPolicy>,
}

impl TopicOptions {
    pub fn parse(given: &BTreeMap<String, String>) -> Result<TopicOptions> {
        let mut options = TopicOptions::default();
        for (name, value) in given {
            match name.as_str() {
                SEGMENT_BYTES => options.segment_bytes = Some(parse_segment_bytes(value)?),
                CLEANUP_POLICY => options.cleanup_policy = Some(CleanupPolicy::parse(value)?),
                _ => return Err(unknown(name)),
            }
        }
        Ok(options)
    }

    /// A segment that would grow beyond this is followed by another.
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes.unwrap_or(SEGMENT_BYTES_DEFAULT)
    }

    pub fn cleanup_policy(&self) -> CleanupPolicy {
        self.cleanup_policy.unwrap_or(CleanupPolicy::Delete)
    }

    /// Every option in force, defaults included, under its name.
    pub fn in_force(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            (SEGMENT_BYTES, self.segment_bytes().to_string()),
            (CLEANUP_POLICY, self.cleanup_policy().as_str().to_owned()),
        ])
    }
}

fn parse_segment_bytes(value: &str) -> Result<u64> {
    let bytes = value.parse().ok().filter(|bytes| (1..=SEGMENT_BYTES_MAX).contains(bytes));
    bytes.ok_or_else(|| {
        Error::usage(format!("{SEGMENT_BYTES} cannot be {value:?}"))
            .with_hint(format!("use a whole number of bytes from 1 to {SEGMENT_BYTES_MAX}"))
    })
}

fn unknown(name: &str) -> Error {
    let error = Error::usage(format!("local topics have no option {name:?}"));
    let nearest = NAMES.into_iter().min_by_key(|known| strsim::levenshtein(known, name));
    match nearest.filter(|known| strsim::levenshtein(known, name) <= MISSPELLING_MAX) {
        Some(known) => error.with_hint(format!("did you mean {known}?")),
        None => error
            .with_detail("local topics keep every record until the topic is deleted")
            .with_hint(format!("the options are {}", NAMES.join(" and "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn i1_options_print_back_as_given() {
        for (name, value) in [("segment.bytes", "4096"), ("cleanup.policy", "compact"), ("cleanup.policy", "delete")] {
            let options = TopicOptions::parse(&given(name, value)).unwrap();
            assert_eq!(options.in_force()[name], value);
            let stored = serde_json::to_string(&options).unwrap();
            assert_eq!(serde_json::from_str::<TopicOptions>(&stored).unwrap(), options);
        }
        let both = TopicOptions::parse(&given("cleanup.policy", "delete, compact")).unwrap();
        assert!(both.cleanup_policy().compacts());
        assert!(!TopicOptions::default().cleanup_policy().compacts());
    }

    #[test]
    fn options_that_do_nothing_are_refused_with_the_nearest_name() {
        let cases = [
            ("cleanup.polcy", "compact", "did you mean cleanup.policy?"),
            ("segment.byte", "1", "did you mean segment.bytes?"),
            ("retention.ms", "1000", "the options are segment.bytes and cleanup.policy"),
            ("segment.bytes", "-1", "use a whole number of bytes from 1 to 2147483647"),
            ("segment.bytes", "99999999999999999999", "use a whole number of bytes from 1 to 2147483647"),
            ("cleanup.policy", "none", "use delete, compact or compact,delete"),
        ];
        for (name, value, hint) in cases {
            let error = TopicOptions::parse(&given(name, value)).unwrap_err();
            assert_eq!(error.hint(), Some(hint), "{name}={value}: {error}");
        }
    }
}
