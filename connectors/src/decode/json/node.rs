//! One level of a JSON value, with the exact text of what is inside.
//!
//! Owns [`Node`], what the careful reader and the inference look at. A value is opened level by level, so only
//! the part that is looked at is ever built.
//! - I1: of a repeated key the last value counts.
//! - I2: numbers keep their text.

use std::fmt;

use indexmap::IndexMap;
use serde_json::value::RawValue;

/// How much of a text a message shows.
const SHOWN_CHARS: usize = 40;

pub(super) type Members<'a> = IndexMap<String, &'a RawValue>;

pub(super) enum Node<'a> {
    Null,
    Boolean(bool),
    Number(&'a str),
    Text(String),
    Array(Vec<&'a RawValue>),
    Object(Members<'a>),
}

impl<'a> Node<'a> {
    /// Opens a value whose syntax has been checked. What can still fail is a text or key that is no Unicode.
    pub fn open(raw: &'a RawValue) -> Result<Self, serde_json::Error> {
        let text = raw.get();
        Ok(match text.as_bytes().first() {
            Some(b'n') => Node::Null,
            Some(b't') => Node::Boolean(true),
            Some(b'f') => Node::Boolean(false),
            Some(b'"') => Node::Text(serde_json::from_str(text)?),
            Some(b'[') => Node::Array(serde_json::from_str(text)?),
            Some(b'{') => Node::Object(serde_json::from_str(text)?),
            _ => Node::Number(text),
        })
    }
}

/// The value as a message names it.
impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Null => f.write_str("null"),
            Node::Boolean(value) => write!(f, "{value}"),
            Node::Number(text) => write!(f, "the number {}", shortened(text)),
            Node::Text(text) => write!(f, "the text {:?}", shortened(text)),
            Node::Array(_) => f.write_str("an array"),
            Node::Object(_) => f.write_str("an object"),
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// How many levels of objects and arrays a JSON text has.
pub(super) fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_counts_brackets_outside_of_texts() {
        let cases = [
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[1,{"b":[]}],"c":{}}"#, 4),
            (r#"["[[[", "\"[[", "\\", []]"#, 2),
            (r#"{"]}":"{","[":1}"#, 1),
        ];
        for (json, levels) in cases {
            assert_eq!(nesting(json), levels, "{json}");
        }
    }
}
