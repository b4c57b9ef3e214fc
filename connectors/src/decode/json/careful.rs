//! The careful reader: what the fast one gave up on is looked at value by value.
//!
//! Owns the adding of columns, and the finding out of what is wrong.
//! - I1: it takes what JSON allows and the columns hold, whatever made the fast reader give up.
//! - I2: a key without a column becomes one, or the record fails; a value that tells nothing may pass.

use serde_json::value::RawValue;
use tableflow_model::types::flink_name;

use super::DEPTH_MAX;
use super::column::{Column, List, Map, Values};
use super::fault::{Fault, Remedy};
use super::fields::Fields;
use super::leaf::{Fit, Leaf, Misfit};
use super::names;
use super::node::{Members, Node, nesting};
use super::place::{Step, declaration, written};
use super::shape::Shape;
use crate::decode::{Reason, RecordError};

/// More columns than engines plan well; data that asks for more is mostly a map written as an object.
const LEAVES_MAX: usize = 1000;

/// Appends one record as row `row`; answers whether it added columns. If it fails, half of it is left behind.
/// Columns that are added give way to what is foreseen of the records after this one.
pub(super) fn read(
    fields: &mut Fields,
    value: &[u8],
    row: usize,
    foreseen: Option<&Shape>,
) -> Result<bool, Box<RecordError>> {
    let mut reader = Reader { path: Vec::new(), depth: 0, leaves: fields.leaves(), added: false };
    match reader.record(fields, value, row, foreseen) {
        Ok(()) => Ok(reader.added),
        Err(fault) => Err(Box::new(reader.explain(fields, *fault))),
    }
}

struct Reader {
    /// Where the reader is; after an error, where it was.
    path: Vec<Step>,
    depth: usize,
    /// How many scalar columns the table has.
    leaves: usize,
    added: bool,
}

type Read<T = ()> = Result<T, Box<Fault>>;

fn failed<T>(fault: Fault) -> Read<T> {
    Err(Box::new(fault))
}

impl Reader {
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
            let index = match fields.index_of(&name) {
                Some(index) => Some(index),
                None => self.add(fields, &name, raw, foreseen)?,
            };
            if let Some(column) = index.and_then(|index| fields.column(index)) {
                column.place(row);
                self.cell(column, raw, foreseen)?;
            }
            self.path.pop();
        }
        self.depth -= 1;
        if let Some((name, column)) = fields.missing(row) {
            self.path.push(Step::Member(name.to_owned()));
            return failed(Fault::missing("missing", &column.data_type()));
        }
        Ok(())
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
        if let Some(fault) = names::check(name, fields, &shape, self.path.len() == 1) {
            return failed(fault);
        }
        let Some(column) = shape.data_type().and_then(|data_type| Column::new(&data_type, true, false)) else {
            return Ok(None);
        };
        let leaves = self.leaves + column.leaves();
        if leaves > LEAVES_MAX {
            return failed(self.too_many());
        }
        self.leaves = leaves;
        self.added = true;
        Ok(Some(fields.add(name, column)))
    }

    fn too_many(&self) -> Fault {
        let message = format!("would be one column more than the {LEAVES_MAX} that a table can have");
        let hint = match self.path.as_slice() {
            [Step::Member(top), _, ..] => {
                format!("if its keys are data, declare a map: --columns \"{} MAP<STRING, STRING>\"", flink_name(top))
            }
            _ => {
                "put keys that are data into one object and declare it as MAP<STRING, STRING> with --columns".to_owned()
            }
        };
        Fault::new(Reason::TooManyColumns, message, hint)
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
            let fit = texts.text(raw.get());
            return fits(column, fit, &Node::Null);
        }
        let row = column.len();
        match (open(raw)?, &mut column.values) {
            (Node::Null, _) if !column.nullable => failed(Fault::missing("null", &column.data_type())),
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
            if let Err(misfit) = map.keys.push(name.as_bytes()) {
                return Ok(Err(misfit));
            }
            self.cell(&mut map.value, raw, None)?;
            self.path.pop();
        }
        self.depth -= 1;
        Ok(map.close().ok_or(Misfit::Range("a batch holds 2^31 entries of one column")))
    }

    /// The fault as the caller sees it.
    fn explain(&self, fields: &Fields, fault: Fault) -> RecordError {
        let path = written(&self.path);
        let subject = if self.path.is_empty() { "the value" } else { &path };
        let hint = match fault.remedy {
            Remedy::Hint(hint) => Some(hint),
            Remedy::Declare(data_type, nullable) => declaration(fields, &self.path, data_type, nullable)
                .map(|column| format!("declare a type that takes it: --columns \"{column}\"")),
        };
        RecordError { row: 0, reason: fault.reason, message: format!("{subject} {}", fault.message), path, hint }
    }
}

/// Marks a value as there, or says why it is not.
fn fits(column: &mut Column, fit: Fit, found: &Node<'_>) -> Read {
    match fit {
        Ok(()) => {
            column.validity.append_non_null();
            Ok(())
        }
        Err(misfit) => failed(Fault::misfit(misfit, found, &column.data_type(), column.nullable)),
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
