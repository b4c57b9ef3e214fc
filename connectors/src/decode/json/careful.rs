//! The careful reader: what the fast one gave up on is looked at value by value.
//!
//! Owns the adding of columns, and the finding out of what is wrong.
//! - I1: it takes what JSON allows and the columns hold, whatever made the fast reader give up.
//! - I2: a key without a column becomes one, or the record fails; a value that tells nothing may pass, and one whose
//!   column the table has dropped does.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Field};
use serde_json::value::RawValue;
use tableflow_model::types::map_of;

use super::DEPTH_MAX;
use super::fault::{Cure, Fault, LEVELS};
use super::names;
use super::node::{Members, Node, nesting};
use super::shape::Shape;
use crate::decode::columns::LEAVES_MAX;
use crate::decode::columns::column::{Column, Values};
use crate::decode::columns::fields::Fields;
use crate::decode::columns::leaf::{Fit, Leaf, Misfit};
use crate::decode::columns::list::List;
use crate::decode::columns::map::Map;
use crate::decode::columns::names::{TakenNames, clash};
use crate::decode::columns::place::{Step, declaration, written};
use crate::decode::{Evolution, Reason, RecordError, Remedy};

/// Appends one record as row `row`; answers whether it added columns. If it fails, half of it is left behind.
/// Columns that are added give way to what is foreseen of the records after this one.
pub(super) fn read(
    fields: &mut Fields,
    Limits { taken, evolution, passed }: Limits<'_>,
    value: &[u8],
    row: usize,
    foreseen: Option<&Shape>,
) -> Result<bool, Box<RecordError>> {
    let mut reader = Reader {
        taken,
        evolution,
        passed,
        path: Vec::new(),
        map_keys: Vec::new(),
        depth: 0,
        leaves: fields.leaves(),
        added: Vec::new(),
    };
    let read = reader.record(fields, value, row, foreseen).and_then(|()| reader.check_names(fields));
    match read {
        Ok(()) => Ok(!reader.added.is_empty()),
        Err(fault) => Err(Box::new(reader.explain(fields, *fault, value))),
    }
}

/// What a record may add, and what of it belongs to no column.
#[derive(Clone, Copy)]
pub(super) struct Limits<'t> {
    pub taken: &'t TakenNames,
    pub evolution: Evolution,
    /// Whole names.
    pub passed: &'t BTreeSet<String>,
}

struct Reader<'t> {
    taken: &'t TakenNames,
    evolution: Evolution,
    passed: &'t BTreeSet<String>,
    /// Where the reader is; after an error, where it was.
    path: Vec<Step>,
    /// Which steps of it are keys of maps.
    map_keys: Vec<usize>,
    depth: usize,
    /// How many scalar columns the table has.
    leaves: usize,
    /// Where columns were added.
    added: Vec<Vec<Step>>,
}

type Read<T = ()> = Result<T, Box<Fault>>;

fn failed<T>(fault: Fault) -> Read<T> {
    Err(Box::new(fault))
}

impl Reader<'_> {
    fn record(&mut self, fields: &mut Fields, value: &[u8], row: usize, foreseen: Option<&Shape>) -> Read {
        let raw: &RawValue = match serde_json::from_slice(value) {
            Ok(raw) => raw,
            Err(error) => return failed(Fault::syntax(value, &error)),
        };
        match open(raw)? {
            Node::Object(members) => self.members(fields, members, row, foreseen),
            other => failed(Fault::not_an_object(&other)),
        }
    }

    fn members(&mut self, fields: &mut Fields, members: Members<'_>, row: usize, foreseen: Option<&Shape>) -> Read {
        self.enter()?;
        for (name, raw) in members {
            let foreseen = foreseen.and_then(|shape| shape.member(&name));
            self.path.push(Step::Member(name.clone()));
            if self.is_passed() {
                self.path.pop();
                continue;
            }
            let index = match fields.index_of(&name) {
                Some(index) => Some(index),
                None => self.add(fields, &name, raw, row, foreseen)?,
            };
            if let Some(column) = index.and_then(|index| fields.column(index)) {
                column.place(row);
                self.cell(column, raw, foreseen)?;
            }
            self.path.pop();
        }
        self.depth -= 1;
        if let Some((name, column)) = fields.missing(row) {
            let column = column.declared(name);
            self.path.push(Step::Member(name.to_owned()));
            return failed(Fault::missing("missing", &column));
        }
        Ok(())
    }

    /// Whether the table has dropped the column of what is here. A name with a dot in it is none of these.
    fn is_passed(&self) -> bool {
        let has_dot = |step: &Step| matches!(step, Step::Member(name) if name.contains('.'));
        !self.passed.is_empty() && !self.path.iter().any(has_dot) && self.passed.contains(&self.column_path())
    }

    /// The whole name of the column here.
    fn column_path(&self) -> String {
        let name = |(place, step): (usize, &Step)| match step {
            Step::Member(_) if self.map_keys.contains(&place) => "value".to_owned(),
            Step::Member(name) => name.clone(),
            Step::Element(_) => "element".to_owned(),
        };
        self.path.iter().enumerate().map(name).collect::<Vec<_>>().join(".")
    }

    /// The names of the columns that were added, in the whole table.
    fn check_names(&mut self, fields: &Fields) -> Read {
        if self.added.is_empty() {
            return Ok(());
        }
        let Some(clash) = clash(&fields.schema_fields(), self.taken) else { return Ok(()) };
        // A record mostly adds one column; of several, the one that the name begins with.
        let at = self.added.iter().rev().find(|path| clash.is_at(path)).or(self.added.last());
        self.path = at.cloned().unwrap_or_default();
        failed(names::clash(&clash))
    }

    fn enter(&mut self) -> Read {
        self.depth += 1;
        if self.depth > DEPTH_MAX { failed(Fault::too_deep()) } else { Ok(()) }
    }

    /// Adds a column for a field, unless its value tells nothing.
    fn add(
        &mut self,
        fields: &mut Fields,
        name: &str,
        raw: &RawValue,
        row: usize,
        foreseen: Option<&Shape>,
    ) -> Read<Option<usize>> {
        let mut shape = match Shape::of(raw, self.depth) {
            Ok(shape) => shape,
            Err(shapeless) => return failed(Fault::shapeless(&shapeless)),
        };
        if shape.data_type().is_none() {
            return Ok(None);
        }
        if let Some(foreseen) = foreseen {
            shape.refine(foreseen);
        }
        let top_level = (self.path.len() == 1).then_some(self.taken);
        if let Some(fault) = names::check(name, fields, &shape, top_level, row) {
            return failed(fault);
        }
        if self.evolution == Evolution::Strict {
            return failed(Fault::new_column());
        }
        let Some(column) = shape.data_type().and_then(|data_type| Column::new(&data_type, true, false)) else {
            return Ok(None);
        };
        let leaves = self.leaves + column.leaves();
        if leaves > LEAVES_MAX {
            return failed(self.too_many(&shape));
        }
        self.leaves = leaves;
        self.added.push(self.path.clone());
        Ok(Some(fields.add(name, column)))
    }

    fn too_many(&self, shape: &Shape) -> Fault {
        let message = format!("would be one column more than the {LEAVES_MAX} that a table can have");
        let whole = match (self.path.get(1), shape) {
            // Keys that are data: the whole is a map.
            (Some(Step::Member(_)), _) | (None, Shape::Object(_)) => map_of(DataType::Utf8, DataType::Utf8, true),
            (Some(Step::Element(_)), _) | (None, Shape::Array(_)) => DataType::Utf8,
            _ => {
                let words = "put keys that are data into one object, which can be declared MAP<STRING, STRING>";
                return Fault::new(Reason::TooManyColumns, message, words);
            }
        };
        let cure = Cure::Declare { up: self.path.len() - 1, column: Field::new("", whole, true) };
        Fault { reason: Reason::TooManyColumns, message, cure }
    }

    /// Appends one value to its column.
    fn cell(&mut self, column: &mut Column, raw: &RawValue, foreseen: Option<&Shape>) -> Read {
        if let Values::Text(texts) = &mut column.values
            && texts.declared
            && let Some(b'[' | b'{' | b't' | b'f' | b'-' | b'0'..=b'9') = raw.get().as_bytes().first()
        {
            if self.depth + nesting(raw.get()) > DEPTH_MAX {
                return failed(Fault::too_deep());
            }
            texts.mixed = true;
            return match texts.text(raw.get()) {
                Ok(()) => fits(column, Ok(()), &Node::Null),
                misfit => fits(column, misfit, &open(raw)?),
            };
        }
        let row = column.len();
        match (open(raw)?, &mut column.values) {
            (Node::Null, _) if !column.nullable => failed(Fault::missing("null", &column.declared(""))),
            (Node::Null, _) => {
                column.pad(1);
                Ok(())
            }
            (Node::Object(members), Values::Row(fields)) => {
                self.members(fields, members, row, foreseen)?;
                fits(column, Ok(()), &Node::Null)
            }
            (Node::Object(members), Values::Map(map)) => {
                let fit = self.map(map, &members)?;
                fits(column, fit, &Node::Object(members))
            }
            (Node::Array(elements), Values::List(list)) => {
                let fit = self.list(list, &elements, foreseen)?;
                fits(column, fit, &Node::Array(elements))
            }
            (node, values) => {
                let fit = values.leaf().map_or(Err(Misfit::Type), |leaf| scalar(leaf, &node));
                fits(column, fit, &node)
            }
        }
    }

    fn list(&mut self, list: &mut List, elements: &[&RawValue], foreseen: Option<&Shape>) -> Read<Fit> {
        self.enter()?;
        let foreseen = foreseen.and_then(Shape::element);
        for (index, element) in elements.iter().enumerate() {
            self.path.push(Step::Element(index));
            self.cell(&mut list.element, element, foreseen)?;
            self.path.pop();
        }
        self.depth -= 1;
        Ok(list.close().ok_or(Misfit::Range("a batch holds 2^31 elements of one column")))
    }

    fn map(&mut self, map: &mut Map, members: &Members<'_>) -> Read<Fit> {
        self.enter()?;
        for (name, raw) in members {
            self.path.push(Step::Member(name.clone()));
            if let Err(misfit) = map.keys.text(name) {
                return failed(Fault::misfit_key(misfit, map));
            }
            self.map_keys.push(self.path.len() - 1);
            self.cell(&mut map.value, raw, None)?;
            self.map_keys.pop();
            self.path.pop();
        }
        self.depth -= 1;
        Ok(map.close().ok_or(Misfit::Range("a batch holds 2^31 entries of one column")))
    }

    /// The fault as the caller sees it.
    fn explain(&self, fields: &Fields, fault: Fault, value: &[u8]) -> RecordError {
        let path = written(&self.path);
        let subject = if self.path.is_empty() { "the value" } else { &path };
        let remedy = match fault.cure {
            Cure::Produce(words) => Remedy::Produce(words),
            Cure::Evolve => Remedy::Evolve,
            Cure::Respell { column, words } => Remedy::Respell { column: column.into(), words },
            // No type takes what no reader goes down to.
            Cure::Declare { .. } if nesting(&String::from_utf8_lossy(value)) > DEPTH_MAX => {
                Remedy::Produce(LEVELS.into())
            }
            Cure::Declare { up, column } => {
                let place = self.path.get(..self.path.len().saturating_sub(up)).unwrap_or_default();
                match declaration(fields, place, column) {
                    Some(column) => Remedy::Declare(column.into()),
                    None => Remedy::Produce("send values of the types that the columns have".to_owned()),
                }
            }
        };
        RecordError { row: 0, reason: fault.reason, message: format!("{subject} {}", fault.message), path, remedy }
    }
}

/// Marks a value as there, or says why it is not.
fn fits(column: &mut Column, fit: Fit, found: &Node<'_>) -> Read {
    match fit {
        Ok(()) => {
            column.validity.append_value();
            Ok(())
        }
        Err(misfit) => failed(Fault::misfit(misfit, found, &column.declared(""))),
    }
}

fn open(raw: &RawValue) -> Read<Node<'_>> {
    Node::open(raw).or_else(|error| failed(Fault::not_unicode(&error)))
}

fn scalar(leaf: &mut dyn Leaf, node: &Node<'_>) -> Fit {
    match node {
        Node::Boolean(value) => leaf.boolean(*value),
        Node::Number(text) => leaf.number(text),
        Node::Text(text) => leaf.text(text),
        Node::Null | Node::Array(_) | Node::Object(_) => Err(Misfit::Type),
    }
}
