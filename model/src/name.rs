//! What topics, tables and jobs are called.
//!
//! Owns the three name types and their rules.
//! - I1: a [`TopicName`] follows Kafka's rule: 1 to 249 of `[a-zA-Z0-9._-]`, not `.` or `..`.
//! - I2: a [`TableName`] is a namespace and one identifier; a topic's table has the topic's exact name.
//! - I3: a [`JobName`] holds only characters that are safe in an object path and in a property name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Kafka's own limit.
const TOPIC_NAME_LENGTH_MAX: usize = 249;

/// Hex digits of the digest that keeps changed names apart.
const DIGEST_LENGTH: usize = 16;

/// Longer identifiers are refused by Glue and by most engines.
const IDENTIFIER_LENGTH_MAX: usize = 255;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

name!(
    /// The name of a topic.
    TopicName
);

name!(
    /// The name of a job: one consistent cut over its sources and sinks.
    JobName
);

fn is_kafka_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.is_empty() && text.len() <= TOPIC_NAME_LENGTH_MAX && text.chars().all(legal) && text != "." && text != ".."
}

impl FromStr for TopicName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if is_kafka_name(text) {
            return Ok(TopicName(text.to_owned()));
        }
        Err(Error::usage(format!("{text:?} is not a topic name"))
            .with_detail("a topic name is 1 to 249 letters, digits, dots, underscores or dashes"))
    }
}

impl JobName {
    /// The job of a table's compactions: jobs that fill tables have a dot in their names.
    pub fn compaction() -> Self {
        JobName("compaction".to_owned())
    }
}

impl FromStr for JobName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if is_kafka_name(text) {
            return Ok(JobName(text.to_owned()));
        }
        Err(Error::usage(format!("{text:?} is not a job name"))
            .with_detail("a job name is 1 to 249 letters, digits, dots, underscores or dashes"))
    }
}

/// A table: a namespace (a layer, as a rule) and one identifier, which may hold dots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    namespace: String,
    name: String,
}

impl TableName {
    pub fn new(namespace: &str, name: &str) -> Result<Self> {
        check_identifier("namespace", namespace)?;
        if namespace.contains('.') {
            return Err(Error::usage(format!("{namespace:?} is not a namespace"))
                .with_detail("namespaces have one level: Glue and Athena know no more"));
        }
        check_identifier("table", name)?;
        Ok(TableName { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The job that keeps this table fresh when it was made by `enable`: the table's name, made safe (I3). Two
    /// tables never share a job: a name that had to be changed ends in a digest of the original.
    pub fn ingest_job(&self) -> JobName {
        let plain = self.to_plain_string();
        let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
        let text: String = plain.chars().map(safe).take(TOPIC_NAME_LENGTH_MAX - DIGEST_LENGTH - 1).collect();
        if text == plain {
            return JobName(text);
        }
        JobName(format!("{text}-{:016x}", fnv1a(plain.as_bytes())))
    }

    /// `namespace.name`, unquoted: for messages, labels and object names.
    pub fn to_plain_string(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }
}

/// FNV-1a: stable across versions and machines, which the standard library's hasher is not.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

fn check_identifier(what: &str, text: &str) -> Result<()> {
    let printable = text.chars().all(|c| !c.is_control() && c != '/' && c != '\\');
    let is_directory = text == "." || text == "..";
    if text.is_empty() || text.len() > IDENTIFIER_LENGTH_MAX || !printable || is_directory || text.trim() != text {
        return Err(Error::usage(format!("{text:?} is not a {what} name")).with_detail(format!(
            "1 to {IDENTIFIER_LENGTH_MAX} bytes, without slashes, control characters or spaces at the ends"
        )));
    }
    Ok(())
}

/// As SQL reads it: the second part is quoted where it must be.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain(&self.name) {
            write!(f, "{}.{}", self.namespace, self.name)
        } else {
            write!(f, "{}.\"{}\"", self.namespace, self.name.replace('"', "\"\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_topic_names_follow_kafkas_rule() {
        for good in ["orders", "pg.public.orders", "a-b_c.9", &"x".repeat(249)] {
            assert_eq!(good.parse::<TopicName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a b", "a/b", "ö", &"x".repeat(250)] {
            let error = bad.parse::<TopicName>().unwrap_err();
            assert!(error.to_string().contains("is not a topic name"), "{bad}: {error}");
        }
    }

    #[test]
    fn i2_a_tables_name_is_one_identifier_quoted_where_needed() {
        let table = TableName::new("bronze", "pg.public.orders").unwrap();
        assert_eq!(table.to_string(), "bronze.\"pg.public.orders\"");
        assert_eq!(TableName::new("bronze", "orders").unwrap().to_string(), "bronze.orders");
        for (namespace, name) in [("", "a"), ("a.b", "c"), ("a", ""), ("a", "x/y"), ("a", "x\0"), ("a", " x")] {
            assert!(TableName::new(namespace, name).is_err(), "{namespace:?} {name:?}");
        }
    }

    #[test]
    fn i3_job_names_are_safe_in_paths() {
        let job = |name: &str| TableName::new("bronze", name).unwrap().ingest_job();
        let long = "x".repeat(255);
        for name in ["été \"x\"", "a b", "a_b", long.as_str()] {
            assert!(job(name).as_str().parse::<JobName>().is_ok(), "{name}");
        }
        assert_eq!(job("a_b").as_str(), "bronze.a_b");
        assert_ne!(job("a b"), job("a_b"));
        assert_ne!(job("a b"), job("a\u{a0}b"));
    }
}
