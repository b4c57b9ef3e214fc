//! Where the binding of a schema to columns stands, and what it brought.
//!
//! Owns [`Binding`]: the rules that hold for the columns of every schema, whatever its language.
//! - I1: a column that is there keeps its type or becomes wider; a new one is nullable and has a name that one can
//!   have. One that is NOT NULL becomes nullable where a record of the schema may have no value for it, unless it is held.
//! - I2: no binding goes deeper than [`DEPTH_MAX`], into a type that contains itself, or over more than [`LEAVES_MAX`]
//!   scalars, or to more than [`PLACES_MAX`] places, though none of them has one: definitions may double at each level.

use tableflow_model::types::{flink_name, flink_type};
use tableflow_model::{Error, Result};

use crate::decode::columns::LEAVES_MAX;
use crate::decode::columns::column::{Column, Taking};
use crate::decode::columns::fields::Fields;
use crate::decode::columns::map::Map;
use crate::decode::columns::names::flaw;
use crate::decode::{Learned, Note, Passing, Rename, SchemaFault, Widening};

/// How deep rows, lists and maps may lie inside of each other: as deep as in JSON.
pub(in crate::decode) const DEPTH_MAX: usize = 127;

/// Each scalar that a table can have, with twenty rows, lists and maps of its own around it.
const PLACES_MAX: usize = 20 * LEAVES_MAX;

#[derive(Debug, Default)]
pub(in crate::decode) struct Binding {
    /// The names of the columns down to here.
    path: Vec<String>,
    /// The definitions down to here.
    within: Vec<String>,
    leaves: usize,
    places: usize,
    /// What is read past; none where nobody asked which columns are filled either.
    passing: Option<Passing>,
    learned: Learned,
}

impl Binding {
    pub fn but(passing: Option<&Passing>) -> Self {
        Binding { passing: passing.cloned(), ..Binding::default() }
    }

    /// Whether the field here is read past, whatever column has its name. A name with a dot in it is none of those.
    pub fn is_passed(&self) -> bool {
        let passing = self.passing.as_ref().filter(|passing| !passing.older.is_empty());
        passing.is_some_and(|passing| {
            passing.older.contains(&self.path()) && !self.path.iter().any(|name| name.contains('.'))
        })
    }

    /// The field here has its column.
    pub fn fills(&mut self) {
        if self.passing.is_some() {
            self.learned.filled.insert(self.path());
        }
    }

    /// One level down; answers an error if that is too deep, or one place too many.
    pub fn down(&mut self, name: &str) -> Result<()> {
        self.path.push(name.to_owned());
        self.places += 1;
        if self.places > PLACES_MAX {
            let what = format!("the schema has more than {PLACES_MAX} fields, whole or inside of others");
            return Err(SchemaFault::TooLarge
                .of(Error::data(what))
                .with_hint("definitions that are used again and again double at each level: flatten them"));
        }
        if self.path.len() > DEPTH_MAX {
            let what = format!("the schema is nested more than {DEPTH_MAX} levels deep");
            return Err(SchemaFault::TooLarge
                .of(Error::data(what))
                .with_hint("flatten the records: engines do not read rows that lie so deep"));
        }
        Ok(())
    }

    pub fn up(&mut self) {
        self.path.pop();
    }

    /// Into a definition, named as people know it: `record shop.Order`.
    pub fn enter(&mut self, definition: String) -> Result<()> {
        if self.within.contains(&definition) {
            let what = format!("{definition} contains itself at {}", self.path());
            return Err(self
                .fault(SchemaFault::CyclicType, what)
                .with_detail("a table has no type for values that may be of any depth")
                .with_hint("write the inner ones as text, or as records of their own"));
        }
        self.within.push(definition);
        Ok(())
    }

    pub fn leave(&mut self) {
        self.within.pop();
    }

    /// The whole name of the column here.
    pub fn path(&self) -> String {
        self.path.join(".")
    }

    /// The same, or what stands for all columns.
    pub fn place(&self) -> String {
        if self.path.is_empty() { "the record".to_owned() } else { self.path() }
    }

    /// The whole name of a column inside of this one.
    pub fn inside(&self, name: &str) -> String {
        self.path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
    }

    /// The whole name of a column beside this one.
    pub fn beside(&self, name: &str) -> String {
        let above = self.path.split_last().map(|(_, above)| above).unwrap_or_default();
        above.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
    }

    /// The field here goes into a column of another name.
    pub fn goes_into(&mut self, column: &str) {
        let asked = self.path();
        if let Some(last) = self.path.last_mut() {
            let field = std::mem::replace(last, column.to_owned());
            if self.passing.is_some() {
                self.learned.called.insert(asked, self.path.join("."));
            }
            self.learned.renames.push(Rename { path: self.path.join("."), field });
        }
    }

    /// A record of the schema may have no value for the column here (I1).
    pub fn may_lack(&mut self, column: &mut Column) {
        if column.nullable {
            return;
        }
        match column.held {
            true => self.learned.may_lack.push(self.path()),
            false => {
                column.nullable = true;
                self.learned.relaxed.push(self.path());
            }
        }
    }

    /// None has one for the columns that no field was given. Answers the first of them that stays NOT NULL.
    pub fn may_lack_others(&mut self, columns: &mut Fields, given: &[usize]) -> Option<String> {
        let mut stays = None;
        for (index, (name, column)) in columns.columns_mut().enumerate() {
            if !column.nullable && !given.contains(&index) {
                self.path.push(name.to_owned());
                self.may_lack(column);
                if !column.nullable {
                    stays.get_or_insert(self.path());
                }
                self.path.pop();
            }
        }
        stays
    }

    pub fn note(&mut self, words: impl Into<String>) {
        self.learned.notes.push(Note { path: self.path(), words: words.into() });
    }

    /// What a scalar does to its column; `what` is its type as the schema calls it.
    pub fn scalar(&mut self, taking: Taking, column: &mut Column, what: &str) -> Result<()> {
        self.leaves += 1;
        if self.leaves > LEAVES_MAX {
            return Err(too_many_columns());
        }
        let from = column.data_type();
        match taking {
            Taking::Takes => Ok(()),
            Taking::Never => Err(self.unfit(column, what)),
            Taking::Widened(to) => {
                let wider = Column::new(&to, column.nullable, false).ok_or_else(|| self.unfit(column, what))?;
                *column = Column { held: column.held, ..wider };
                self.learned.widenings.push(Widening { path: self.path(), from, to });
                Ok(())
            }
        }
    }

    /// What the key of a map does to its column: keys keep their type.
    pub fn key(&mut self, taking: Taking, map: &mut Map, what: &str) -> Result<()> {
        match taking {
            Taking::Takes => self.scalar(taking, map.keys.column(), what),
            _ => Err(self.unfit_by(SchemaFault::MapKeyTypeMismatch, map.keys.column(), what)),
        }
    }

    pub fn unfit(&self, column: &Column, what: &str) -> Error {
        self.unfit_by(SchemaFault::TypeMismatch, column, what)
    }

    fn unfit_by(&self, fault: SchemaFault, column: &Column, what: &str) -> Error {
        let column = flink_type(&column.data_type());
        self.fault(fault, format!("column {} is {column}, and the schema has {what}", self.path()))
            .with_detail("a column keeps its type, or becomes wider")
            .with_hint(
                "register a schema that keeps the field's type, or enable the topic into another table with --table",
            )
    }

    /// What is wrong at the place here.
    pub fn fault(&self, fault: SchemaFault, what: String) -> Error {
        fault.at(&self.path(), Error::data(what))
    }

    /// Whether the field here can be a new column of its row.
    pub fn check_new(&self, columns: &Fields) -> Result<()> {
        let name = self.path.last().map_or("", String::as_str);
        let rename = "rename the field in the schema";
        if let Some((twin, _)) = columns.namesake(name) {
            let what = format!("field {} differs only by case from column {}", self.path(), flink_name(twin));
            return Err(self
                .fault(SchemaFault::FieldNameCaseCollision, what)
                .with_hint("engines cannot tell them apart: use one spelling in the schemas"));
        }
        match flaw(name) {
            Some(flaw) => {
                Err(self.fault(SchemaFault::BadName, format!("a field of the schema {flaw}")).with_hint(rename))
            }
            None => Ok(()),
        }
    }

    /// A column that stays NOT NULL gets a value from every record.
    pub fn check_required(&mut self, columns: &mut Fields, given: &[usize]) -> Result<()> {
        let Some(column) = self.may_lack_others(columns, given) else { return Ok(()) };
        let what = format!("column {column} is NOT NULL, and the schema has no such field");
        Err(SchemaFault::FieldDeleted
            .at(&column, Error::data(what))
            .with_hint("records of this schema have no value for it: write with a schema that has the field"))
    }

    /// The end: what all of it brought.
    pub fn finish(self, columns: &mut Fields) -> Result<Learned> {
        if columns.leaves() > LEAVES_MAX {
            return Err(too_many_columns());
        }
        columns.settle();
        Ok(self.learned)
    }
}

fn too_many_columns() -> Error {
    let what = format!("the schema makes more than the {LEAVES_MAX} columns that a table can have");
    SchemaFault::TooLarge.of(Error::data(what)).with_hint("put fields that are data into a map")
}
