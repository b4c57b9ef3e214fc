//! How the keys of a topic's records become columns of its table.
//!
//! Owns [`Keys`], what a definition keeps of them, and [`KeyFormat`], what a person asks for.

use serde::{Deserialize, Serialize};

use super::Format;

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

    /// Takes in what was found of the same keys since.
    pub fn grow(&mut self, found: &Keys) {
        self.own.extend(found.own.iter().filter(|name| !self.own.contains(name)).cloned().collect::<Vec<_>>());
        self.hidden.clone_from(&found.hidden);
    }
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
