//! How one set of columns differs from another.
//!
//! Owns [`added`], [`widened`], [`relaxed`] and [`missing`]. Columns are told by their whole names, as `a.b`, `l.element.b`.
//! - I1: what is inside of a column that only one side has is not named beside it.

use arrow::datatypes::{DataType, Field, FieldRef};
use tableflow_model::types::flink_type;

use super::columns::column::map_parts;
use super::{Rename, Widening};

/// The columns that are not among those before.
pub fn added<'a>(before: &'a [FieldRef], after: &'a [FieldRef]) -> Vec<(String, &'a Field)> {
    let found = Walk::over(before, after, &[]).into_iter();
    found
        .filter_map(|(path, difference)| match difference {
            Difference::OnlyAfter(field) => Some((path, field)),
            _ => None,
        })
        .collect()
}

/// The columns whose type is another one; not those that only a width or an encoding tells apart.
pub fn widened(before: &[FieldRef], after: &[FieldRef]) -> Vec<Widening> {
    let found = Walk::over(before, after, &[]).into_iter();
    found
        .filter_map(|(path, difference)| match difference {
            Difference::Type(from, to) => Some(Widening { path, from: from.clone(), to: to.clone() }),
            _ => None,
        })
        .collect()
}

/// The columns that may be null, and might not before.
pub fn relaxed(before: &[FieldRef], after: &[FieldRef]) -> Vec<String> {
    let found = Walk::over(before, after, &[]).into_iter();
    found.filter(|(_, difference)| matches!(difference, Difference::Nullable)).map(|(path, _)| path).collect()
}

/// The columns of a table that a schema, which makes these columns by itself, has no field for.
pub fn missing(table: &[FieldRef], schema: &[FieldRef], renames: &[Rename]) -> Vec<String> {
    let found = Walk::over(table, schema, renames).into_iter();
    found.filter(|(_, difference)| matches!(difference, Difference::OnlyBefore)).map(|(path, _)| path).collect()
}

enum Difference<'a> {
    OnlyBefore,
    OnlyAfter(&'a Field),
    Type(&'a DataType, &'a DataType),
    Nullable,
}

struct Walk<'a, 'r> {
    /// What columns are called on the other side, where it is not the same.
    renames: &'r [Rename],
    found: Vec<(String, Difference<'a>)>,
}

impl<'a> Walk<'a, '_> {
    fn over(before: &'a [FieldRef], after: &'a [FieldRef], renames: &[Rename]) -> Vec<(String, Difference<'a>)> {
        let mut walk = Walk { renames, found: Vec::new() };
        walk.row(before, after, "");
        walk.found
    }

    fn row(&mut self, before: &'a [FieldRef], after: &'a [FieldRef], path: &str) {
        let mut matched = vec![false; after.len()];
        for field in before {
            let path = join(path, field.name());
            let rename = self.renames.iter().find(|rename| rename.path == path);
            let name = rename.map_or(field.name(), |rename| &rename.field);
            match after.iter().position(|other| other.name() == name) {
                Some(index) => {
                    if let (Some(other), Some(matched)) = (after.get(index), matched.get_mut(index)) {
                        *matched = true;
                        self.value(field, other, &path);
                    }
                }
                None => self.found.push((path, Difference::OnlyBefore)),
            }
        }
        for (field, _) in after.iter().zip(matched).filter(|(_, matched)| !matched) {
            self.found.push((join(path, field.name()), Difference::OnlyAfter(field)));
        }
    }

    fn value(&mut self, before: &'a Field, after: &'a Field, path: &str) {
        if after.is_nullable() && !before.is_nullable() {
            self.found.push((path.to_owned(), Difference::Nullable));
        }
        self.inside(before.data_type(), after.data_type(), path);
    }

    fn inside(&mut self, before: &'a DataType, after: &'a DataType, path: &str) {
        match (before, after) {
            (DataType::Struct(before), DataType::Struct(after)) => self.row(before, after, path),
            (DataType::List(before), DataType::List(after)) => {
                self.value(before, after, &format!("{path}.element"));
            }
            (DataType::Map(before, _), DataType::Map(after, _)) => {
                if let (Some((_, before)), Some((_, after))) = (map_parts(before), map_parts(after)) {
                    self.value(before, after, &format!("{path}.value"));
                }
            }
            _ if flink_type(before) != flink_type(after) => {
                self.found.push((path.to_owned(), Difference::Type(before, after)));
            }
            _ => {}
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use tableflow_model::types::parse_columns;

    use super::*;

    fn schema(text: &str) -> Schema {
        Schema::new(parse_columns(text).unwrap())
    }

    #[test]
    fn what_is_new_or_wider_is_found_at_any_depth_and_only_once() {
        let before = schema("a INT, r ROW<x INT>, l ARRAY<ROW<x INT>>, m MAP<STRING, ROW<x INT>>");
        let after = schema(
            "n ROW<p INT>, a BIGINT, r ROW<y INT, x INT>, l ARRAY<ROW<x BIGINT, y INT>>, m MAP<STRING, ROW<y INT>>",
        );
        let names = |found: Vec<(String, &Field)>| found.into_iter().map(|(path, _)| path).collect::<Vec<_>>();
        let mut new = names(added(before.fields(), after.fields()));
        new.sort();
        assert_eq!(new, ["l.element.y", "m.value.y", "n", "r.y"]);
        assert_eq!(names(added(after.fields(), before.fields())), ["m.value.x"]);
        assert!(added(before.fields(), before.fields()).is_empty());
        let wider: Vec<String> = widened(before.fields(), after.fields()).into_iter().map(|it| it.path).collect();
        assert_eq!(wider, ["a", "l.element.x"]);
    }

    #[test]
    fn what_may_be_null_from_now_on_is_found_at_any_depth() {
        let before = schema(
            "a INT NOT NULL, b INT NOT NULL, c INT, r ROW<x INT NOT NULL> NOT NULL, l ARRAY<INT NOT NULL>, \
             m MAP<STRING, INT NOT NULL>",
        );
        let after =
            schema("b INT NOT NULL, a INT, c INT, r ROW<x INT> NOT NULL, l ARRAY<INT>, m MAP<STRING, INT>, n INT");
        assert_eq!(relaxed(before.fields(), after.fields()), ["a", "r.x", "l.element", "m.value"]);
        assert!(relaxed(after.fields(), before.fields()).is_empty());
    }

    #[test]
    fn what_a_schema_has_no_field_for_is_found_though_fields_are_called_otherwise() {
        let table = schema("id INT, amount INT, r ROW<x INT, y INT>, gone ROW<z INT>");
        let own = schema("id INT, total INT, r ROW<xx INT>");
        let rename = |path: &str, field: &str| Rename { path: path.into(), field: field.into() };
        let renames = [rename("amount", "total"), rename("r.x", "xx")];
        assert_eq!(missing(table.fields(), own.fields(), &renames), ["r.y", "gone"]);
        assert_eq!(missing(table.fields(), own.fields(), &[]), ["amount", "r.x", "r.y", "gone"]);
    }
}
