//! Whether the values of a type say anything.
//!
//! Owns [`Telling`]: null, a fixed of no bytes and a record of nothing else say nothing.
//! - I1: each definition is looked into once: they may name each other a million times.

use std::collections::HashMap;

use tableflow_model::Result;

use super::schema::{Form, Schema, Type};
use crate::decode::binary::binding::DEPTH_MAX;

/// What is known of the definitions of one schema.
#[derive(Default)]
pub(super) struct Telling<'s>(HashMap<&'s str, bool>);

impl<'s> Telling<'s> {
    pub fn of(&mut self, avro: &'s Type, schema: &'s Schema) -> Result<bool> {
        self.at(avro, schema, 0)
    }

    fn at(&mut self, avro: &'s Type, schema: &'s Schema, depth: usize) -> Result<bool> {
        let Type::Reference(reference) = avro else { return Ok(!matches!(avro, Type::Null)) };
        let named = schema.named(reference)?;
        let members = match &named.form {
            Form::Fixed { size, .. } => return Ok(*size > 0),
            Form::Enum(_) => return Ok(true),
            Form::Record(members) => members,
        };
        if let Some(known) = self.0.get(named.full_name.as_str()) {
            return Ok(*known);
        }
        // One that contains itself, or is too deep, is refused where it is bound.
        if depth > DEPTH_MAX {
            return Ok(true);
        }
        self.0.insert(&named.full_name, true);
        let mut tells = false;
        for member in members {
            tells = tells || self.at(&member.member_type, schema, depth + 1)?;
        }
        self.0.insert(&named.full_name, tells);
        Ok(tells)
    }
}
