//! What one set of columns has that another has not.
//!
//! Owns [`added`].

use arrow::datatypes::{DataType, Field, FieldRef};

use super::columns::column::map_parts;

/// The columns that are not among those before, by their whole names; not what is inside of them.
pub fn added<'a>(before: &[FieldRef], after: &'a [FieldRef]) -> Vec<(String, &'a Field)> {
    let mut found = Vec::new();
    row(before, after, "", &mut found);
    found
}

fn row<'a>(before: &[FieldRef], after: &'a [FieldRef], path: &str, found: &mut Vec<(String, &'a Field)>) {
    for field in after {
        let path = if path.is_empty() { field.name().clone() } else { format!("{path}.{}", field.name()) };
        match before.iter().find(|known| known.name() == field.name()) {
            Some(known) => inside(known.data_type(), field.data_type(), &path, found),
            None => found.push((path, field)),
        }
    }
}

fn inside<'a>(before: &DataType, after: &'a DataType, path: &str, found: &mut Vec<(String, &'a Field)>) {
    match (before, after) {
        (DataType::Struct(before), DataType::Struct(after)) => row(before, after, path, found),
        (DataType::List(before), DataType::List(after)) => {
            inside(before.data_type(), after.data_type(), &format!("{path}.element"), found);
        }
        (DataType::Map(before, _), DataType::Map(after, _)) => {
            if let (Some((_, before)), Some((_, after))) = (map_parts(before), map_parts(after)) {
                inside(before.data_type(), after.data_type(), &format!("{path}.value"), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use tableflow_model::types::parse_columns;

    use super::*;

    #[test]
    fn what_is_new_is_found_at_any_depth_and_only_once() {
        let schema = |text: &str| Schema::new(parse_columns(text).unwrap());
        let before = schema("a INT, r ROW<x INT>, l ARRAY<ROW<x INT>>, m MAP<STRING, ROW<x INT>>");
        let after = schema(
            "n ROW<p INT>, a BIGINT, r ROW<y INT, x INT>, l ARRAY<ROW<x INT, y INT>>, m MAP<STRING, ROW<y INT>>",
        );
        let names = |found: Vec<(String, &Field)>| found.into_iter().map(|(path, _)| path).collect::<Vec<_>>();
        assert_eq!(names(added(before.fields(), after.fields())), ["n", "r.y", "l.element.y", "m.value.y"]);
        assert_eq!(names(added(after.fields(), before.fields())), ["m.value.x"]);
        assert!(added(before.fields(), before.fields()).is_empty());
    }
}
