//! What values tell about their type.
//!
//! Owns the inference: [`Shape`].
//! - I1: null, `{}` and `[]` tell nothing, and neither does a row or list of nothing else.
//! - I2: where values disagree the first one counts; only whole numbers give way, to fractions.
//! - I3: a foreseen shape changes the types of a record's own fields; it never adds fields to them.

use arrow::datatypes::{DataType, Field, Fields};
use indexmap::IndexMap;
use serde_json::value::RawValue;
use tableflow_model::types::list_of;

use super::DEPTH_MAX;
use super::node::Node;
use crate::decode::columns::leaf::is_fraction;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Nothing,
    Boolean,
    Whole,
    Fraction,
    Text,
    Array(Box<Shape>),
    Object(IndexMap<String, Shape>),
}

/// Why a value has no shape.
#[derive(Debug)]
pub(super) enum Shapeless {
    TooDeep,
    NotUnicode(serde_json::Error),
}

impl Shape {
    /// The shape of a value that is inside of `depth` objects and arrays.
    pub fn of(raw: &RawValue, depth: usize) -> Result<Shape, Shapeless> {
        let node = Node::open(raw).map_err(Shapeless::NotUnicode)?;
        if depth >= DEPTH_MAX && matches!(node, Node::Array(_) | Node::Object(_)) {
            return Err(Shapeless::TooDeep);
        }
        Ok(match node {
            Node::Null => Shape::Nothing,
            Node::Boolean(_) => Shape::Boolean,
            Node::Number(text) if is_fraction(text) => Shape::Fraction,
            Node::Number(_) => Shape::Whole,
            Node::Text(_) => Shape::Text,
            Node::Array(elements) => {
                let mut shape = Shape::Nothing;
                for element in elements {
                    let mut unbounded = usize::MAX;
                    shape.merge(Shape::of(element, depth + 1)?, &mut unbounded);
                }
                Shape::Array(Box::new(shape))
            }
            Node::Object(members) => {
                let members = members.into_iter().map(|(name, raw)| Ok((name, Shape::of(raw, depth + 1)?)));
                Shape::Object(members.collect::<Result<_, _>>()?)
            }
        })
    }

    /// Takes in what a later value tells. At most `budget` fields are added.
    pub fn merge(&mut self, other: Shape, budget: &mut usize) {
        match (self, other) {
            (own @ Shape::Nothing, other) => *own = other,
            (own @ Shape::Whole, Shape::Fraction) => *own = Shape::Fraction,
            (Shape::Array(own), Shape::Array(other)) => own.merge(*other, budget),
            (Shape::Object(own), Shape::Object(other)) => {
                for (name, shape) in other {
                    match own.get_mut(&name) {
                        Some(known) => known.merge(shape, budget),
                        None if *budget > 0 => {
                            *budget -= 1;
                            own.insert(name, shape);
                        }
                        None => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// Gives way to fractions that are foreseen in the same places.
    pub fn refine(&mut self, foreseen: &Shape) {
        match (self, foreseen) {
            (own @ Shape::Whole, Shape::Fraction) => *own = Shape::Fraction,
            (Shape::Array(own), Shape::Array(foreseen)) => own.refine(foreseen),
            (Shape::Object(own), Shape::Object(foreseen)) => {
                for (name, shape) in own {
                    if let Some(foreseen) = foreseen.get(name) {
                        shape.refine(foreseen);
                    }
                }
            }
            _ => {}
        }
    }

    pub fn member(&self, name: &str) -> Option<&Shape> {
        match self {
            Shape::Object(members) => members.get(name),
            _ => None,
        }
    }

    pub fn element(&self) -> Option<&Shape> {
        match self {
            Shape::Array(element) => Some(element),
            _ => None,
        }
    }

    /// The type that holds it, if it tells one.
    pub fn data_type(&self) -> Option<DataType> {
        Some(match self {
            Shape::Nothing => return None,
            Shape::Boolean => DataType::Boolean,
            Shape::Whole => DataType::Int64,
            Shape::Fraction => DataType::Float64,
            Shape::Text => DataType::Utf8,
            Shape::Array(element) => list_of(element.data_type()?, true),
            Shape::Object(members) => {
                let field = |(name, shape): (&String, &Shape)| Some(Field::new(name, shape.data_type()?, true));
                let fields: Fields = members.iter().filter_map(field).collect();
                if fields.is_empty() {
                    return None;
                }
                DataType::Struct(fields)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use tableflow_model::types::flink_type;

    use super::*;

    fn shape(json: &str) -> Shape {
        Shape::of(serde_json::from_str(json).unwrap(), 0).unwrap()
    }

    #[test]
    fn i1_i2_a_value_tells_its_type() {
        let cases = [
            ("null", None),
            ("[]", None),
            ("{}", None),
            ("[null,[],{}]", None),
            (r#"{"a":null,"b":[{}]}"#, None),
            ("true", Some("BOOLEAN")),
            ("-0", Some("BIGINT")),
            ("99999999999999999999", Some("BIGINT")),
            ("-0.0", Some("DOUBLE")),
            ("1e3", Some("DOUBLE")),
            (r#""2026-11-21""#, Some("STRING")),
            ("[1,null,2.5]", Some("ARRAY<DOUBLE>")),
            (r#"[1,"a",2.5]"#, Some("ARRAY<DOUBLE>")),
            (r#"["a",1]"#, Some("ARRAY<STRING>")),
            (r#"[{"b":1},{"a":"x","b":1.5}]"#, Some("ARRAY<ROW<b DOUBLE, a STRING>>")),
            (r#"{"a":1,"n":null,"a":"x"}"#, Some("ROW<a STRING>")),
        ];
        for (json, expected) in cases {
            assert_eq!(shape(json).data_type().as_ref().map(flink_type).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn i3_what_is_foreseen_widens_and_adds_nothing() {
        let mut own = shape(r#"{"a":1,"b":[1],"c":"x","d":1}"#);
        own.refine(&shape(r#"{"a":1.5,"b":[2,2.5],"c":1.5,"e":1}"#));
        assert_eq!(own, shape(r#"{"a":1.5,"b":[1.5],"c":"x","d":1}"#));
    }

    #[test]
    fn a_merge_adds_no_more_fields_than_its_budget() {
        let (mut own, mut budget) = (shape(r#"{"a":1}"#), 1);
        own.merge(shape(r#"{"a":1.5,"b":1,"c":1}"#), &mut budget);
        assert_eq!(own, shape(r#"{"a":1.5,"b":1}"#));
    }
}
