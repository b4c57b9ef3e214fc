//! Envelopes around rows that changed.
//!
//! Owns [`Change`], what a schema is bound to whose records are changes: to the columns of the row behind the change.
//! - I1: of an envelope that row alone is decoded; everything else is read past, but for the op and, where it is asked,
//!   the times.
//! - I2: the op is known before a column is touched: it may stand behind the row.
//! - I3: a record is looked through to its last byte, whatever its op.
//! - I4: a schema without an op or a row is learnt, and adds no column: its records are no changes, each by itself.

use tableflow_model::{Error, Result};

use super::bind::{Binder, type_name};
use super::program::{Null, Past, Row};
use super::read::{is_null, member, past};
use super::schema::{Form, Member, Type};
use super::union::optional;
use crate::decode::binary::cursor::Cursor;
use crate::decode::binary::fault::Read;
use crate::decode::columns::fields::Fields;
use crate::decode::envelope::{AFTER, OP, is_notice, notice, row_of};
use crate::decode::origin::{Axis, Facts, SOURCE, Unit};
use crate::decode::{Origin, Origins, Reason, RecordError, SchemaFault};

/// The fields of an envelope, in the order of the schema.
#[derive(Debug)]
pub(super) struct Change {
    parts: Vec<Part>,
    /// Its records are a connector's own.
    is_notice: bool,
    /// It is asked what the change was, and when.
    tells: bool,
    /// The row behind the change, in its own bytes.
    pub row: Row,
}

#[derive(Debug)]
struct Part {
    name: Box<str>,
    kind: Kind,
    /// Where it may be null.
    null: Option<Null>,
    past: Past,
}

#[derive(Debug)]
enum Kind {
    Op,
    After,
    Time(Unit),
    /// Where the source is, as a number or a text.
    Number(Axis),
    Text(Axis),
    /// What the connector knows of the source: among it are times and places.
    Source(Vec<Part>),
    Other,
}

/// What a record says of its row.
#[derive(Default)]
struct Said<'a> {
    op: Option<&'a [u8]>,
    after: Option<&'a [u8]>,
    facts: Facts,
}

impl<'s> Binder<'s> {
    /// An envelope; the columns are those of the row in it.
    pub fn change(&mut self, avro: &'s Type, tells: bool, columns: &mut Fields) -> Result<Change> {
        let (named, members) = self.top_record(avro)?;
        self.at.enter(format!("record {}", named.full_name))?;
        let is_notice = is_notice(members.iter().map(|member| member.name.as_str()));
        let mut change =
            Change { parts: Vec::with_capacity(members.len()), is_notice, tells, row: Row { fields: Vec::new() } };
        for member in members {
            let (null, inner) = may_be_null(&member.member_type);
            let kind = match (member.name.as_str(), inner) {
                (OP, Type::Text(_)) => Kind::Op,
                (AFTER, inner) => {
                    change.row = self.row_behind(inner, columns)?;
                    Kind::After
                }
                (SOURCE, Type::Reference(reference)) if tells => match &self.schema.named(reference)?.form {
                    Form::Record(members) => Kind::Source(self.source(members)?),
                    _ => Kind::Other,
                },
                (name, inner) if tells => time(name, inner),
                _ => Kind::Other,
            };
            let past = self.past_inside(&member.name, inner)?;
            change.parts.push(Part { name: member.name.as_str().into(), kind, null, past });
        }
        self.at.leave();
        Ok(change)
    }

    fn source(&mut self, members: &'s [Member]) -> Result<Vec<Part>> {
        let mut parts = Vec::with_capacity(members.len());
        self.at.down(SOURCE)?;
        for member in members {
            let (null, inner) = may_be_null(&member.member_type);
            let past = self.past_inside(&member.name, inner)?;
            let kind = match (Axis::of_field(&member.name), inner) {
                (Some(axis), Type::Long(_) | Type::Int(_)) => Kind::Number(axis),
                (Some(axis), Type::Text(_)) => Kind::Text(axis),
                _ => time(&member.name, inner),
            };
            parts.push(Part { name: member.name.as_str().into(), kind, null, past });
        }
        self.at.up();
        Ok(parts)
    }

    /// Its columns lie at the top: nothing of the envelope is in their names.
    fn row_behind(&mut self, avro: &'s Type, columns: &mut Fields) -> Result<Row> {
        if let Type::Reference(reference) = avro {
            let named = self.schema.named(reference)?;
            if let Form::Record(members) = &named.form {
                return self.row(named, members, columns);
            }
        }
        let what = format!("the row behind a change ({AFTER}) is {}, not a record", type_name(avro));
        Err(SchemaFault::NotARecord
            .at(AFTER, Error::data(what))
            .with_hint("let the connector write rows as records, or say --format avro: the whole envelope is a row"))
    }
}

/// A type, and where it may be null.
fn may_be_null(avro: &Type) -> (Option<Null>, &Type) {
    match avro {
        Type::Union(branches) => optional(branches).map_or((None, avro), |(null, inner)| (Some(null), inner)),
        other => (None, other),
    }
}

fn time(name: &str, avro: &Type) -> Kind {
    match (Unit::of_field(name), avro) {
        (Some(unit), Type::Long(_)) => Kind::Time(unit),
        _ => Kind::Other,
    }
}

impl Change {
    /// The bytes of the row behind a change.
    pub fn row_of<'a>(&self, bytes: &'a [u8], row: usize, origins: &mut Origins) -> Result<&'a [u8], RecordError> {
        let Said { op, after, facts } =
            self.look_through(bytes).map_err(|fault| fault.explain(row, Reason::NotAvro))?;
        if op.is_none() && self.is_notice {
            return Err(notice(row));
        }
        if self.tells {
            origins.push(row, Origin::new(op, facts));
        }
        row_of(op, after, row)
    }

    fn look_through<'a>(&self, bytes: &'a [u8]) -> Read<Said<'a>> {
        let (mut input, mut said) = (Cursor::new(bytes), Said::default());
        for part in &self.parts {
            part.read(&mut input, &mut said).map_err(|fault| fault.under(member(&part.name)))?;
        }
        input.end()?;
        Ok(said)
    }
}

impl Part {
    fn read<'a>(&self, input: &mut Cursor<'a>, said: &mut Said<'a>) -> Read {
        if let Some(null) = self.null
            && is_null(null, input)?
        {
            return Ok(());
        }
        match &self.kind {
            Kind::Op => said.op = Some(input.bytes()?),
            Kind::After => {
                let rest = input.rest();
                past(&self.past, input)?;
                said.after = rest.get(..rest.len() - input.left());
            }
            Kind::Time(unit) => said.facts.connector.says(*unit, input.long()?),
            Kind::Source(parts) => parts.iter().try_for_each(|part| part.of_source(input, &mut said.facts))?,
            Kind::Number(_) | Kind::Text(_) | Kind::Other => past(&self.past, input)?,
        }
        Ok(())
    }

    fn of_source(&self, input: &mut Cursor<'_>, facts: &mut Facts) -> Read {
        let is_null = match self.null {
            Some(null) => is_null(null, input)?,
            None => false,
        };
        match &self.kind {
            Kind::Number(axis) | Kind::Text(axis) if is_null => facts.place.says(*axis, None),
            _ if is_null => {}
            Kind::Time(unit) => facts.source.says(*unit, input.long()?),
            Kind::Number(axis) => facts.place.says(*axis, Some(input.long()?)),
            Kind::Text(axis) => facts.place.says(*axis, axis.number_in(input.bytes()?)),
            _ => past(&self.past, input)?,
        }
        Ok(())
    }
}
