//! How the keys of a topic's records become columns of its table.
//!
//! Owns [`Keys`], what a definition keeps of them, and [`KeyFormat`], what a person asks for.

use arrow::datatypes::Field;
use serde::{Deserialize, Serialize};
use tableflow_model::types::flink_column;

use super::{Format, declared_columns};

/// How the keys of a topic's records become columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    pub format: Format,
    /// As given to `--key-columns`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub columns: String,
    /// The columns that keys fill, and no value ever does.
    #[serde(default)]
    pub own: Vec<String>,
    /// The other fields of keys, as `--key-columns` would have them: values fill the columns of those names.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hidden: String,
}

impl Keys {
    pub fn new(format: Format, columns: String) -> Self {
        Keys { format, columns, ..Keys::default() }
    }

    /// All of their fields, in columns of their own or of values.
    pub fn fields(&self) -> Vec<String> {
        let hidden = fields_of(&self.hidden).into_iter().map(|field| field.name().clone());
        self.own.iter().cloned().chain(hidden).collect()
    }

    /// Takes in what was found of the same keys since. A name that is keys' or values' by now stays so.
    pub fn grow(&mut self, found: &Keys) {
        let known = fields_of(&self.hidden);
        let is_hidden = |name: &String| known.iter().any(|field| is_same(field.name(), name));
        let new = found.own.iter().filter(|name| !self.own.contains(name) && !is_hidden(name));
        self.own.extend(new.cloned().collect::<Vec<_>>());
        let is_own = |field: &Field| self.own.iter().any(|name| is_same(name, field.name()));
        let mut hidden = fields_of(&found.hidden);
        hidden.retain(|field| !is_own(field));
        let older = known.iter().filter(|field| !hidden.iter().any(|it| is_same(it.name(), field.name())));
        let hidden: Vec<String> = hidden.iter().chain(older).map(flink_column).collect();
        self.hidden = hidden.join(", ");
    }

    /// A name that is keys' for one of two and values' for the other.
    pub fn contradiction(&self, found: &Keys) -> Option<String> {
        let (mine, theirs) = (fields_of(&self.hidden), fields_of(&found.hidden));
        let hidden_by = |fields: &[Field], name: &String| fields.iter().any(|field| is_same(field.name(), name));
        let of_theirs = found.own.iter().find(|name| hidden_by(&mine, name));
        of_theirs.or_else(|| self.own.iter().find(|name| hidden_by(&theirs, name))).cloned()
    }
}

/// What a declaration of our own says.
fn fields_of(columns: &str) -> Vec<Field> {
    declared_columns(columns).unwrap_or_default()
}

fn is_same(name: &str, other: &str) -> bool {
    name.to_lowercase() == other.to_lowercase()
}

/// How keys are to become columns, as a person asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyFormat {
    /// They become none.
    None,
    /// As the schema registry says, or else as they are.
    Auto,
    #[serde(untagged)]
    As(Format),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_name_first_keeps_it_whichever_process_found_it() {
        let keys = |own: &[&str], hidden: &str| Keys {
            own: own.iter().map(|name| (*name).to_owned()).collect(),
            hidden: hidden.to_owned(),
            ..Keys::default()
        };
        let mut kept = keys(&["id"], "region STRING");
        // One who found it in keys alone, and knew nothing of the first.
        let late = keys(&["id", "Region", "zone"], "n INT");
        kept.grow(&late);
        assert_eq!(
            (&kept.own[..], kept.hidden.as_str()),
            (&["id".to_owned(), "zone".to_owned()][..], "n INT, region STRING")
        );
        assert_eq!(kept.contradiction(&late).as_deref(), Some("Region"));
        let other = keys(&["id"], "zone STRING, n BIGINT");
        kept.grow(&other);
        assert_eq!(kept.hidden, "n BIGINT, region STRING");
        assert_eq!(kept.contradiction(&other).as_deref(), Some("zone"));
        assert_eq!(kept.contradiction(&keys(&["id", "zone"], "region STRING")), None);
    }

    /// Patterns keep them.
    #[test]
    fn key_formats_are_words() {
        for (format, word) in [
            (KeyFormat::None, "none"),
            (KeyFormat::Auto, "auto"),
            (KeyFormat::As(Format::JsonSchema), "json-schema"),
            (KeyFormat::As(Format::Raw), "raw"),
        ] {
            assert_eq!(serde_json::to_value(format).unwrap(), word);
            assert_eq!(serde_json::from_value::<KeyFormat>(word.into()).unwrap(), format);
        }
        assert!(serde_json::from_str::<KeyFormat>("\"debezium\"").is_err());
    }
}
