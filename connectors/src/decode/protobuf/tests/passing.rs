//! Fields that the table has dropped.

use std::collections::BTreeSet;

use super::*;
use crate::decode::Passing;

fn older(names: &[&str]) -> Passing {
    Passing { older: names.iter().map(|name| (*name).to_owned()).collect(), ..Passing::default() }
}

fn names(filled: &BTreeSet<String>) -> Vec<&str> {
    filled.iter().map(String::as_str).collect()
}

#[test]
fn a_field_is_read_past_whatever_column_has_its_name() {
    let mut decoder = table("b STRING");
    let old = proto3("message Order { int32 a = 1; int32 b = 2; R r = 3; } message R { int32 x = 1; int32 y = 2; }");
    let new = proto3("message Order { int32 a = 1; R r = 3; string b = 4; } message R { int32 y = 2; }");
    let learned = decoder.add_schema_but(SchemaKey::id(1), &old, Some(&older(&["b", "r.x"]))).unwrap();
    assert_eq!(names(&learned.filled), ["a", "r", "r.y"]);
    decoder.add_schema_but(SchemaKey::id(2), &new, Some(&Passing::default())).unwrap();
    assert_eq!(columns(&decoder), "b STRING, a INT, r ROW<y INT>");
    let values = [
        value(1, &[&[8, 1, 16, 5], &run(3, [8, 6, 16, 7])]),
        value(2, &[&[8, 2], &run(4, "t"), &run(3, [16, 8])]),
        value(1, &[&[16, 5]]),
    ];
    assert_eq!(rows(&mut decoder, &values), ["- | 1 | {y: 7}", "\"t\" | 2 | {y: 8}", "- | 0 | -"]);
}

/// The link from a number to a column goes with the column.
#[test]
fn a_number_that_is_given_out_again_is_another_field() {
    let mut decoder = table("");
    decoder
        .add_schema_but(SchemaKey::id(1), &proto3("message Order { int32 a = 1; int32 b = 2; }"), Some(&older(&["b"])))
        .unwrap();
    let again = proto3("message Order { int32 a = 1; int32 note = 2; }");
    let learned = decoder.add_schema_but(SchemaKey::id(2), &again, Some(&Passing::default())).unwrap();
    assert!(learned.renames.is_empty() && learned.called.is_empty());
    assert_eq!(columns(&decoder), "a INT, note INT");
    assert_eq!(rows(&mut decoder, &[value(1, &[&[8, 1, 16, 5]]), value(2, &[&[8, 2, 16, 6]])]), ["1 | -", "2 | 6"]);
}

/// A topic may have records of several messages of one file: a schema drops what none of them has, whichever were seen
/// so far.
#[test]
fn a_schema_fills_what_any_of_its_messages_does() {
    let mut decoder = table("");
    let schema = |other: &str| proto3(&format!("message Order {{ int32 a = 1; }} message Other {{ {other} }}"));
    decoder.add_schema_but(SchemaKey::id(1), &schema("int32 x = 1;"), Some(&Passing::default())).unwrap();
    let of_second = |other: &str| {
        let filled = decoder.columns_of(SchemaKey::id(2), &schema(other), &Passing::default());
        names(&filled.unwrap()).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of_second("int32 y = 1;"), ["a", "y"]);
    assert_eq!(of_second("string a = 1;"), ["a"], "one that the table cannot take, and that nobody has seen");
    assert_eq!(columns(&decoder), "a INT", "a question changes nothing");
}
