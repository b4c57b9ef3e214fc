//! The fast reader: one pass over a record's bytes, straight into the columns.
//!
//! Owns the visitors. It takes what fits and gives up on anything else without saying why: the careful reader
//! then looks at the same record again, and either takes it or explains.
//! - I1: what it takes, the careful reader takes too, with the same result.
//! - I2: nothing is dropped: a key without a column is passed over only if its value says nothing.
//! - I3: of a repeated key the last value counts.

use std::fmt;

use arrow::datatypes::Decimal128Type;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::DEPTH_MAX;
use super::node::nesting;
use crate::decode::columns::column::{Column, Values};
use crate::decode::columns::fields::{Fields, Place};
use crate::decode::columns::leaf::{Fit, Leaf, Numbers, Store};
use crate::decode::columns::list::List;
use crate::decode::columns::map::Map;
use crate::decode::columns::runs::Texts;
use crate::decode::columns::validity::Validity;

/// Appends one record as row `row`, or fails and leaves half of it behind.
pub(super) fn read(fields: &mut Fields, value: &[u8], row: usize) -> Result<(), serde_json::Error> {
    // Checked once as a whole: texts and keys are then taken without a check of each.
    let text = std::str::from_utf8(value).map_err(|_| unfit::<serde_json::Error>())?;
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(RowVisitor { fields, row, depth: 1 })?;
    json.end()
}

/// Any failure: the careful reader finds out what it was.
fn unfit<E: Error>() -> E {
    E::custom("does not fit")
}

/// One value of one column.
struct Cell<'a> {
    column: &'a mut Column,
    /// How many objects and arrays the value is inside of.
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Cell<'_> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let Column { nullable, validity, values } = self.column;
        let depth = self.depth + 1;
        let mut nulls = Nulls { nullable: *nullable, validity };
        match values {
            Values::Boolean(leaf) => json.deserialize_any(LeafVisitor { leaf, nulls }),
            Values::Int(leaf) => json.deserialize_any(LeafVisitor { leaf, nulls }),
            Values::Bigint(leaf) => json.deserialize_any(LeafVisitor { leaf, nulls }),
            Values::Float(leaf) => json.deserialize_any(LeafVisitor { leaf, nulls }),
            Values::Double(leaf) => json.deserialize_any(LeafVisitor { leaf, nulls }),
            Values::Date(leaf) => json.deserialize_any(LeafVisitor { leaf, nulls }),
            Values::Time(leaf) => json.deserialize_any(LeafVisitor { leaf, nulls }),
            Values::Timestamp(leaf) => json.deserialize_any(LeafVisitor { leaf, nulls }),
            Values::Bytes(leaf) => json.deserialize_any(LeafVisitor { leaf, nulls }),
            Values::Text(leaf) if leaf.mixed => any_text(leaf, &mut nulls, json, self.depth),
            Values::Text(leaf) => json.deserialize_any(LeafVisitor { leaf, nulls }),
            Values::Decimal(leaf) => decimal(leaf, &mut nulls, json),
            Values::List(list) => json.deserialize_any(ListVisitor { list, nulls, depth }),
            Values::Map(map) => json.deserialize_any(MapVisitor { map, nulls, depth }),
            Values::Row(fields) => json.deserialize_any(NestedVisitor { fields, nulls, depth }),
        }
    }
}

/// The validity of the column that is written.
struct Nulls<'a> {
    nullable: bool,
    validity: &'a mut Validity,
}

impl Nulls<'_> {
    #[inline]
    fn value<E: Error>(&mut self, fit: Fit) -> Result<(), E> {
        fit.map_err(|_| unfit())?;
        self.validity.append_value();
        Ok(())
    }

    #[inline]
    fn null<E: Error>(&mut self, values: &mut dyn Store) -> Result<(), E> {
        if !self.nullable {
            return Err(unfit());
        }
        values.pad(1);
        self.validity.append_nulls(1);
        Ok(())
    }
}

struct LeafVisitor<'a, L> {
    leaf: &'a mut L,
    nulls: Nulls<'a>,
}

impl<'de, L: Leaf> Visitor<'de> for LeafVisitor<'_, L> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that fits")
    }

    #[inline]
    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.nulls.value(self.leaf.boolean(value))
    }

    #[inline]
    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        self.nulls.value(self.leaf.whole(value))
    }

    #[inline]
    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        let fit = match i64::try_from(value) {
            Ok(value) => self.leaf.whole(value),
            Err(_) => self.leaf.fraction(value as f64),
        };
        self.nulls.value(fit)
    }

    #[inline]
    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        self.nulls.value(self.leaf.fraction(value))
    }

    #[inline]
    fn visit_str<E: Error>(mut self, value: &str) -> Result<(), E> {
        self.nulls.value(self.leaf.text(value))
    }

    #[inline]
    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.nulls.null(self.leaf)
    }
}

/// A decimal by its exact text. Escapes in a text are the careful reader's.
fn decimal<'de, D: Deserializer<'de>>(
    leaf: &mut Numbers<Decimal128Type>,
    nulls: &mut Nulls<'_>,
    json: D,
) -> Result<(), D::Error> {
    let text = <&RawValue>::deserialize(json)?.get();
    let number = match text.as_bytes().first() {
        Some(b'"') => text.trim_matches('"'),
        Some(b'n') => return nulls.null(leaf),
        _ => text,
    };
    nulls.value(leaf.number(number))
}

/// Any value for a declared STRING: text as it is, anything else as its JSON text.
fn any_text<'de, D: Deserializer<'de>>(
    leaf: &mut Texts,
    nulls: &mut Nulls<'_>,
    json: D,
    depth: usize,
) -> Result<(), D::Error> {
    let text = <&RawValue>::deserialize(json)?.get();
    match text.as_bytes().first() {
        Some(b'n') => nulls.null(leaf),
        Some(b'"') if text.contains('\\') => {
            let text: String = serde_json::from_str(text).map_err(|_| unfit::<D::Error>())?;
            nulls.value(leaf.text(&text))
        }
        Some(b'"') => nulls.value(leaf.text(text.get(1..text.len() - 1).unwrap_or_default())),
        _ if depth + nesting(text) > DEPTH_MAX => Err(unfit()),
        _ => nulls.value(leaf.text(text)),
    }
}

struct ListVisitor<'a> {
    list: &'a mut List,
    nulls: Nulls<'a>,
    depth: usize,
}

impl<'de> Visitor<'de> for ListVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Cell { column: &mut self.list.element, depth: self.depth })?.is_some() {}
        self.list.close().ok_or_else(unfit)?;
        self.nulls.value(Ok(()))
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.nulls.null(self.list)
    }
}

struct MapVisitor<'a> {
    map: &'a mut Map,
    nulls: Nulls<'a>,
    depth: usize,
}

impl<'de> Visitor<'de> for MapVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        while entries.next_key_seed(KeyText(&mut *self.map))?.is_some() {
            entries.next_value_seed(Cell { column: &mut self.map.value, depth: self.depth })?;
        }
        if self.map.has_repeats() {
            return Err(unfit());
        }
        self.map.close().ok_or_else(unfit)?;
        self.nulls.value(Ok(()))
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.nulls.null(self.map)
    }
}

struct KeyText<'a>(&'a mut Map);

impl<'de> DeserializeSeed<'de> for KeyText<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyText<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        self.0.keys.text(key).map_err(|_| unfit())
    }
}

/// A row inside a row.
struct NestedVisitor<'a> {
    fields: &'a mut Fields,
    nulls: Nulls<'a>,
    depth: usize,
}

impl<'de> Visitor<'de> for NestedVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, members: A) -> Result<(), A::Error> {
        let row = self.nulls.validity.len();
        RowVisitor { fields: self.fields, row, depth: self.depth }.visit_map(members)?;
        self.nulls.value(Ok(()))
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.nulls.null(self.fields)
    }
}

/// The members of one object, each into its column.
struct RowVisitor<'a> {
    fields: &'a mut Fields,
    row: usize,
    depth: usize,
}

impl<'de> Visitor<'de> for RowVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut place = Place::default();
        while let Some(column) = members.next_key_seed(Lookup { fields: self.fields, place: &mut place })? {
            match column {
                Some(column) => {
                    column.place(self.row);
                    members.next_value_seed(Cell { column, depth: self.depth })?;
                }
                None => members.next_value_seed(Silence)?,
            }
        }
        if self.fields.missing(self.row).is_some() { Err(unfit()) } else { Ok(()) }
    }
}

/// A key, as the column that it names.
struct Lookup<'a, 'p> {
    fields: &'a mut Fields,
    place: &'p mut Place,
}

impl<'de, 'a> DeserializeSeed<'de> for Lookup<'a, '_> {
    type Value = Option<&'a mut Column>;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Lookup<'a, '_> {
    type Value = Option<&'a mut Column>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    #[inline]
    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.fields.find(self.place, key))
    }
}

/// A value that tells nothing about its type: null, an empty object or array, or one of nothing else.
struct Silence;

impl<'de> DeserializeSeed<'de> for Silence {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Silence {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Silence)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_key::<String>()?.is_some() {
            members.next_value_seed(Silence)?;
        }
        Ok(())
    }
}
