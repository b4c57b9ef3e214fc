//! What people declared of topics by their names: each topic that a pattern matches becomes a table, those to come too.
//!
//! Owns [`Pattern`] and [`Patterns`], their store: numbered versions per pattern, of which the highest counts.
//! - I1: a pattern matches whole names: `shop` is no pattern of `shop.orders`.
//! - I2: a pattern is read whole or not at all; one of a newer program is refused, not guessed at.

use regex::Regex;
use serde::{Deserialize, Serialize};
use tableflow_model::{Error, Millis, Result, TopicName};
use tableflow_store::Store;
use tableflow_store::paths::StatePaths;

use crate::definition::declared_columns;
use crate::pipeline::enable::Asked;
use crate::versions;

/// The form of the JSON; another number is another form.
const FORM: u32 = 1;

/// Somebody who changes a pattern this often at the same time does it by mistake.
const CHANGE_ATTEMPTS_MAX: u32 = 10;

/// Topics by their names, and what their tables are to be like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    form: u32,
    version: u32,
    pub regex: String,
    pub namespace: String,
    pub asked: Asked,
    /// As it was configured where the pattern was declared.
    pub commit_interval_default_ms: u64,
    /// False once a person has ended it; its tables stay.
    pub in_force: bool,
    pub created_at: Millis,
}

impl Pattern {
    pub fn new(regex: String, namespace: String, asked: Asked, interval_default_ms: u64, now: Millis) -> Result<Self> {
        let pattern = Pattern {
            form: FORM,
            version: 1,
            regex,
            namespace,
            asked,
            commit_interval_default_ms: interval_default_ms,
            in_force: true,
            created_at: now,
        };
        if pattern.regex.is_empty() {
            return Err(Error::usage("an empty pattern matches no topic")
                .with_hint("write a regular expression for whole names of topics, such as 'shop\\..*'"));
        }
        pattern.matcher()?;
        declared_columns(pattern.asked.columns.as_deref().unwrap_or_default())?;
        Ok(pattern)
    }

    /// Does it ask the same of the tables to come?
    pub fn asks_the_same(&self, other: &Pattern) -> bool {
        let asked =
            |pattern: &Pattern| (pattern.namespace.clone(), pattern.asked.clone(), pattern.commit_interval_default_ms);
        asked(self) == asked(other)
    }

    /// I1.
    pub fn matcher(&self) -> Result<Matcher> {
        Regex::new(&format!("^(?:{})$", self.regex)).map(Matcher).map_err(|error| {
            Error::usage(format!("{:?} is not a pattern", self.regex))
                .with_source(error)
                .with_hint("write a regular expression for whole names of topics, such as 'shop\\..*'")
        })
    }
}

/// Says which topics a pattern is about.
#[derive(Debug)]
pub struct Matcher(Regex);

impl Matcher {
    pub fn matches(&self, topic: &TopicName) -> bool {
        self.0.is_match(topic.as_str())
    }
}

/// All patterns of a data directory.
#[derive(Clone, Debug)]
pub struct Patterns {
    store: Store,
    paths: StatePaths,
}

impl Patterns {
    pub fn new(store: Store, paths: StatePaths) -> Self {
        Patterns { store, paths }
    }

    /// Those in force, the oldest first.
    pub async fn in_force(&self) -> Result<Vec<Pattern>> {
        let mut patterns = Vec::new();
        for uri in versions::newest(&self.store, &self.paths.patterns()).await?.into_values() {
            patterns.push(self.read(&uri).await?);
        }
        patterns.retain(|pattern| pattern.in_force);
        patterns.sort_by(|a, b| (a.created_at, &a.regex).cmp(&(b.created_at, &b.regex)));
        Ok(patterns)
    }

    /// Declares a pattern, or what the tables of one that is there are to be like from now on. Answers that one.
    pub async fn declare(&self, pattern: &Pattern) -> Result<Option<Pattern>> {
        let before = self.put_next(&pattern.regex, |_| Ok(pattern.clone())).await?;
        Ok(before.filter(|before| before.in_force))
    }

    /// Topics that it matches become no tables any more.
    pub async fn end(&self, regex: &str) -> Result<()> {
        let known = self.in_force().await?;
        self.put_next(regex, |before| match before {
            Some(before) if before.in_force => Ok(Pattern { in_force: false, ..before }),
            _ => Err(no_pattern(regex, &known)),
        })
        .await?;
        Ok(())
    }

    /// Answers the version before.
    async fn put_next(
        &self,
        regex: &str,
        next: impl Fn(Option<Pattern>) -> Result<Pattern>,
    ) -> Result<Option<Pattern>> {
        for _ in 0..CHANGE_ATTEMPTS_MAX {
            let newest = versions::newest(&self.store, &self.paths.pattern_versions(regex)).await?.into_values().next();
            let before = match newest {
                Some(uri) => Some(self.read(&uri).await?),
                None => None,
            };
            let version = before.as_ref().map_or(1, |before| before.version + 1);
            let pattern = Pattern { version, ..next(before.clone())? };
            if versions::put(&self.store, &self.paths.pattern(regex, version), &pattern).await? {
                return Ok(before);
            }
        }
        Err(Error::conflict(format!("the pattern {regex} is changed by others all the time")).with_hint("try again"))
    }

    /// I2.
    async fn read(&self, uri: &str) -> Result<Pattern> {
        let bytes = self.store.get(uri).await?;
        let unreadable = || Error::data("a pattern of topics cannot be read").with_context("object", uri);
        let pattern: Pattern = serde_json::from_slice(&bytes).map_err(|error| {
            unreadable().with_source(error).with_hint("it was written by a newer tableflow, or it is damaged")
        })?;
        if pattern.form == FORM {
            return Ok(pattern);
        }
        Err(unreadable()
            .with_detail(format!("it has form {}, this program knows {FORM}", pattern.form))
            .with_hint("use the tableflow that wrote it, or a newer one"))
    }
}

fn no_pattern(regex: &str, known: &[Pattern]) -> Error {
    let error = Error::not_found(format!("no pattern {regex} is declared"));
    match known {
        [] => error.with_hint("`tableflow enable --match REGEX` declares one"),
        known => {
            let known: Vec<&str> = known.iter().map(|pattern| pattern.regex.as_str()).collect();
            error.with_hint(format!("declared are: {}", known.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(regex: &str) -> Result<Pattern> {
        Pattern::new(regex.to_owned(), "bronze".to_owned(), Asked::default(), 10_000, Millis(0))
    }

    #[test]
    fn i1_whole_names_match() {
        for (regex, matched) in [
            (r"shop\..*", vec!["shop.a", "shop.b.c"]),
            ("shop", vec!["shop"]),
            ("shop|my", vec!["shop", "my"]),
            ("(?i)SHOP", vec!["shop"]),
        ] {
            let matcher = pattern(regex).unwrap().matcher().unwrap();
            let names = ["shop", "shop.a", "shop.b.c", "my", "my.shop"];
            let found: Vec<&str> = names.into_iter().filter(|name| matcher.matches(&name.parse().unwrap())).collect();
            assert_eq!(found, matched, "{regex}");
        }
        let error = pattern("shop.(").unwrap_err();
        assert!(error.report().contains("\"shop.(\" is not a pattern"), "{}", error.report());
    }
}
