//! The branches of a union, each into a column of its own.
//!
//! Owns what a union is bound to: a nullable column where it is one type and null, else a row with a column for each
//! type.
//! - I1: a column that a schema made of a union stays one: a value that is no union goes into the column of its branch.
//! - I2: branches have the names of their types, whole where two differ by namespace alone.

use tableflow_model::Result;

use super::bind::{Asked, Binder, type_name};
use super::program::{Branch, Null, Step, Union};
use super::schema::{Type, short};
use crate::decode::SchemaFault;
use crate::decode::columns::column::{Column, Values};
use crate::decode::columns::fields::Fields;

const VALID_UNION: &str = "Avro's unions have each type once, and no union among them";

impl<'s> Binder<'s> {
    pub fn union_value(&mut self, branches: &'s [Type], avro: &'s Type, column: &mut Column) -> Result<Step> {
        match optional(branches) {
            Some((null, inner)) => {
                self.check_tells(inner)?;
                self.at.may_lack(column);
                Ok(Step::Optional(null, Box::new(self.value(inner, column)?)))
            }
            None => match &mut column.values {
                Values::Row(columns) => Ok(Step::Union(self.union(branches, columns)?)),
                _ => Err(self.at.unfit(column, &type_name(avro))),
            },
        }
    }

    /// The branches of a union, each into the column that has the name of its type.
    pub fn union(&mut self, branches: &'s [Type], columns: &mut Fields) -> Result<Union> {
        self.known.unions.insert(self.at.path());
        let names = self.branch_names(branches)?;
        let mut bound = Vec::with_capacity(branches.len());
        for (branch, name) in branches.iter().zip(&names) {
            bound.push(match branch {
                Type::Null => Branch::Null,
                _ => match self.field(&self.branch(name, branch)?, branch, columns)? {
                    Some(field) => Branch::Field(field),
                    None => Branch::Empty,
                },
            });
        }
        if !bound.iter().any(|branch| matches!(branch, Branch::Field(_))) {
            let what = format!("{} is a union that holds nothing", self.at.place());
            return Err(self
                .at
                .fault(SchemaFault::EmptyStruct, what)
                .with_hint("a table has no type for it: give it a branch with a value"));
        }
        self.at.note("is a union: a row with a field for each of its types");
        self.at.check_required(columns, &[])?;
        Ok(Union { branches: bound })
    }

    /// The names of the branches: of the types, whole where two differ by namespace alone.
    fn branch_names(&self, branches: &'s [Type]) -> Result<Vec<String>> {
        let whole: Vec<String> = branches.iter().map(|branch| self.branch_name(branch)).collect::<Result<_>>()?;
        if let Some(twice) =
            whole.iter().enumerate().find(|(index, name)| whole.iter().take(*index).any(|n| n == *name))
        {
            let what = format!("{} is a union that has {} twice", self.at.place(), twice.1);
            return Err(self.at.fault(SchemaFault::InvalidSchema, what).with_hint(VALID_UNION));
        }
        let alike = |name: &str| whole.iter().filter(|other| short(other) == short(name)).count();
        Ok(whole.iter().map(|name| if alike(name) > 1 { name.clone() } else { short(name).to_owned() }).collect())
    }

    fn branch_name(&self, branch: &'s Type) -> Result<String> {
        match branch {
            Type::Reference(reference) => Ok(self.schema.named(reference)?.full_name.clone()),
            Type::Union(_) => {
                let what = format!("{} is a union right inside of a union", self.at.place());
                Err(self.at.fault(SchemaFault::InvalidSchema, what).with_hint(VALID_UNION))
            }
            other => Ok(type_name(other)),
        }
    }

    fn branch<'n>(&self, name: &'n str, branch: &'s Type) -> Result<Asked<'n>>
    where
        's: 'n,
    {
        Ok(Asked { name, aliases: self.branch_aliases(branch)?, siblings: &[] })
    }

    fn branch_aliases(&self, branch: &'s Type) -> Result<Vec<&'s str>> {
        let Type::Reference(reference) = branch else { return Ok(Vec::new()) };
        Ok(self.schema.named(reference)?.aliases.iter().map(|alias| short(alias)).collect())
    }

    /// A value that is no union for a column that another schema made of one.
    pub fn branch_of_union(&mut self, avro: &'s Type, column: &mut Column) -> Result<Option<Step>> {
        if matches!(avro, Type::Union(_)) || !self.known.unions.contains(&self.at.path()) {
            return Ok(None);
        }
        let Values::Row(columns) = &mut column.values else { return Ok(None) };
        let name = short(&self.branch_name(avro)?).to_owned();
        let field =
            self.field(&Asked { name: &name, aliases: self.branch_aliases(avro)?, siblings: &[] }, avro, columns)?;
        Ok(field.map(|field| Step::Branch(Box::new(field))))
    }
}

/// The one type of a union beside null, and which branch null is.
pub(super) fn optional(branches: &[Type]) -> Option<(Null, &Type)> {
    let (tag, inner) = match branches {
        [inner] => (1, inner),
        [Type::Null, inner] => (0, inner),
        [inner, Type::Null] => (1, inner),
        _ => return None,
    };
    // A union right inside of a union is none of Avro's.
    let valid = !matches!(inner, Type::Null | Type::Union(_));
    valid.then_some((Null { tag, branches: branches.len() as i64 }, inner))
}
