//! Envelopes around rows that changed.
//!
//! Owns [`Change`], what a message type is bound to whose records are changes: to the columns of the row behind the
//! change.
//! - I1: of an envelope that row alone is decoded; everything else is passed over, but for the op and, where it is asked,
//!   the times.
//! - I2: the op is known before a column is touched: it may stand behind the row.
//! - I3: a row that comes in several parts is one, as any message.
//! - I4: a type without an op or a row is learnt, and adds no column: its records are no changes, each by itself.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use tableflow_model::{Error, Result};

use super::bind::{Binder, Known, type_name};
use super::program::Message;
use super::read::{expect, member, message};
use super::seal::seal;
use super::wire::{Tag, WireType};
use crate::decode::binary::binding::Binding;
use crate::decode::binary::cursor::Cursor;
use crate::decode::binary::fault::Read;
use crate::decode::columns::fields::Fields;
use crate::decode::envelope::{AFTER, OP, is_notice, notice, row_of};
use crate::decode::origin::{Axis, Clock, Facts, Place, SOURCE, Unit};
use crate::decode::{Learned, Origin, Origins, Passing, Reason, RecordError, SchemaFault};

#[derive(Debug)]
pub(super) struct Change {
    /// The number of its op.
    op: Option<u32>,
    /// That of the row behind the change.
    after: Option<(u32, Message)>,
    /// Its records are a connector's own.
    is_notice: bool,
    /// Where it is asked what the change was, and when.
    told: Option<Told>,
}

/// The numbers of the fields that have times, and places.
#[derive(Debug)]
struct Told {
    connector: Vec<(u32, Unit)>,
    /// The source's, within the field of this number.
    source: Option<(u32, Source)>,
}

#[derive(Debug)]
struct Source {
    times: Vec<(u32, Unit)>,
    axes: Vec<(u32, Axis)>,
    /// Where it is that says nothing of it.
    nowhere: Place,
}

/// What a record says of its row.
#[derive(Default)]
struct Said<'a> {
    op: Option<&'a [u8]>,
    after: Option<()>,
    facts: Facts,
}

impl Change {
    /// An envelope, for these columns, which are those of the row in it. If it fails, they are of no use.
    pub fn bind(
        envelope: &MessageDescriptor,
        passing: Option<&Passing>,
        (columns, known): (&mut Fields, &mut Known),
        tells: bool,
    ) -> Result<(Self, Learned)> {
        let mut binder = Binder { known, at: Binding::but(passing) };
        let is_text = |field: &FieldDescriptor| field.kind() == Kind::String && !field.is_list();
        let op = envelope.get_field_by_name(OP).filter(is_text).map(|field| field.number());
        let after = match envelope.get_field_by_name(AFTER) {
            Some(field) => Some((field.number(), binder.row(&row_in(&field)?, columns)?)),
            None => None,
        };
        let names: Vec<String> = envelope.fields().map(|field| field.name().to_owned()).collect();
        let is_notice = is_notice(names.iter().map(String::as_str));
        let told = tells.then(|| Told::by(envelope));
        Ok((Change { op, after, is_notice, told }, binder.at.finish(columns)?))
    }

    /// Whether a record puts a row.
    pub fn check(&self, bytes: &[u8], row: usize, origins: &mut Origins) -> Result<(), RecordError> {
        let said = self.look_through(bytes).map_err(|fault| fault.explain(row, Reason::NotProtobuf))?;
        if said.op.is_none() && self.is_notice {
            return Err(notice(row));
        }
        if self.told.is_some() {
            origins.push(row, Origin::new(said.op, said.facts));
        }
        row_of(said.op, said.after, row)
    }

    fn look_through<'a>(&self, bytes: &'a [u8]) -> Read<Said<'a>> {
        let (mut input, mut said) = (Cursor::new(bytes), Said::default());
        if let Some((_, source)) = self.told.as_ref().and_then(|told| told.source.as_ref()) {
            said.facts.place = source.nowhere;
        }
        let after = self.after.as_ref().map(|(number, _)| *number);
        while input.left() > 0 {
            let tag = input.tag()?;
            let number = Some(tag.number);
            if number == self.op {
                let op = expect(WireType::Run, tag.wire).and_then(|()| input.delimited());
                said.op = Some(op.map_err(|fault| fault.under(member(OP)))?);
                continue;
            }
            if number == after {
                said.after = Some(());
            }
            match &self.told {
                Some(told) => told.read(tag, &mut input, &mut said.facts)?,
                None => input.skip(tag)?,
            }
        }
        Ok(said)
    }

    /// Appends the row behind a change as row `row` (I3).
    pub fn record(&self, columns: &mut Fields, bytes: &[u8], row: usize) -> Read {
        let Some((after, program)) = &self.after else { return Ok(()) };
        let mut input = Cursor::new(bytes);
        while input.left() > 0 {
            let tag = input.tag()?;
            if tag.number == *after {
                expect(WireType::Run, tag.wire).map_err(|fault| fault.under(member(AFTER)))?;
                message(program, columns, &mut Cursor::new(input.delimited()?), row)?;
            } else {
                input.skip(tag)?;
            }
        }
        seal(program, columns, row)
    }
}

impl Told {
    fn by(envelope: &MessageDescriptor) -> Self {
        let source = envelope.get_field_by_name(SOURCE).filter(|field| !field.is_list() && !field.is_map());
        let source = source.filter(|field| !field.is_group());
        let inside = |field: &FieldDescriptor| Some((field.number(), Source::by(field.kind().as_message()?)));
        Told { connector: times(envelope), source: source.as_ref().and_then(inside) }
    }

    fn read(&self, tag: Tag, input: &mut Cursor<'_>, facts: &mut Facts) -> Read {
        match &self.source {
            Some((number, fields)) if (*number, WireType::Run) == (tag.number, tag.wire) => {
                let mut source = Cursor::new(input.delimited()?);
                while source.left() > 0 {
                    let tag = source.tag().map_err(|fault| fault.under(member(SOURCE)))?;
                    fields.read(tag, &mut source, facts).map_err(|fault| fault.under(member(SOURCE)))?;
                }
                Ok(())
            }
            _ => time(&self.connector, tag, input, &mut facts.connector),
        }
    }
}

impl Source {
    fn by(message: &MessageDescriptor) -> Self {
        let is_axis = |field: &FieldDescriptor| matches!(field.kind(), Kind::Int64 | Kind::String) && !field.is_list();
        let axes = message.fields().filter(is_axis);
        let axes: Vec<_> = axes.filter_map(|field| Some((field.number(), Axis::of_field(field.name())?))).collect();
        let mut nowhere = Place::default();
        axes.iter().for_each(|(_, axis)| nowhere.says(*axis, None));
        Source { times: times(message), axes, nowhere }
    }

    fn read(&self, tag: Tag, input: &mut Cursor<'_>, facts: &mut Facts) -> Read {
        match (self.axes.iter().find(|(number, _)| *number == tag.number), tag.wire) {
            (Some((_, axis)), WireType::Varint) => facts.place.says(*axis, Some(input.varint()?.cast_signed())),
            (Some((_, axis)), WireType::Run) => facts.place.says(*axis, axis.number_in(input.delimited()?)),
            _ => time(&self.times, tag, input, &mut facts.source)?,
        }
        Ok(())
    }
}

/// The fields of a message that have times.
fn times(message: &MessageDescriptor) -> Vec<(u32, Unit)> {
    let is_long = |field: &FieldDescriptor| field.kind() == Kind::Int64 && !field.is_list();
    let fields = message.fields().filter(is_long);
    fields.filter_map(|field| Some((field.number(), Unit::of_field(field.name())?))).collect()
}

fn time(fields: &[(u32, Unit)], tag: Tag, input: &mut Cursor<'_>, clock: &mut Clock) -> Read {
    match fields.iter().find(|(number, _)| (*number, WireType::Varint) == (tag.number, tag.wire)) {
        Some((_, unit)) => clock.says(*unit, input.varint()?.cast_signed()),
        None => input.skip(tag)?,
    }
    Ok(())
}

/// The message that a row behind a change is.
fn row_in(field: &FieldDescriptor) -> Result<MessageDescriptor> {
    let kind = field.kind();
    match &kind {
        Kind::Message(message) if !field.is_list() && !field.is_map() && !field.is_group() => Ok(message.clone()),
        _ => {
            let what = format!("the row behind a change ({AFTER}) is {}, not one message", type_name(&kind));
            Err(SchemaFault::NotARecord.at(AFTER, Error::data(what)).with_hint(
                "let the connector write rows as messages, or say --format protobuf: the whole envelope is a row",
            ))
        }
    }
}
