//! Values that are no objects, as objects of one field: keys are often a bare number or text.
//!
//! Owns [`Bare`].
//! - I1: only what is one JSON value is wrapped: text that would be more than that in an object fails as it is.
//! - I2: the bytes of all records go through one buffer.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::de::IgnoredAny;

use super::shape::Shape;

#[derive(Debug)]
pub(super) struct Bare {
    /// What the field is called.
    pub field: Arc<str>,
    /// What comes before the value.
    before: Vec<u8>,
    object: Vec<u8>,
}

impl Bare {
    pub fn new(field: &str) -> Self {
        let before = format!("{{{}:", serde_json::Value::from(field)).into_bytes();
        Bare { field: field.into(), before, object: Vec::new() }
    }

    /// The value, if it is an object or no JSON at all (I1), or else the object around it.
    pub fn around<'a>(&'a mut self, value: &'a [u8]) -> &'a [u8] {
        let is_object = value.trim_ascii_start().first() == Some(&b'{');
        if is_object || serde_json::from_slice::<IgnoredAny>(value).is_err() {
            return value;
        }
        self.object.clear();
        for part in [&self.before, value, b"}"] {
            self.object.extend_from_slice(part);
        }
        &self.object
    }
}

/// The same of what a value tells.
pub(super) fn around_shape(field: &str, shape: Shape) -> Shape {
    match shape {
        Shape::Object(_) => shape,
        bare => Shape::Object(IndexMap::from([(field.to_owned(), bare)])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_what_is_one_value_is_wrapped_and_nothing_else() {
        let mut bare = Bare::new("key");
        for (value, expected) in [
            ("7", r#"{"key":7}"#),
            (r#" "a" "#, r#"{"key": "a" }"#),
            ("[1,2]", r#"{"key":[1,2]}"#),
            ("null", r#"{"key":null}"#),
            (r#" {"id":7}"#, r#" {"id":7}"#),
            (r#"1,"other":2"#, r#"1,"other":2"#),
            ("", ""),
            ("abc", "abc"),
        ] {
            assert_eq!(String::from_utf8_lossy(bare.around(value.as_bytes())), expected);
        }
    }
}
