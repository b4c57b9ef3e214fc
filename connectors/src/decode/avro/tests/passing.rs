//! Fields that the table has dropped.

use super::*;

fn older(names: &[&str]) -> Passing {
    Passing { older: names.iter().map(|name| (*name).to_owned()).collect(), ..Passing::default() }
}

fn names(filled: &BTreeSet<String>) -> Vec<&str> {
    filled.iter().map(String::as_str).collect()
}

/// A type and a value of it, in two blocks where it has items.
fn types() -> Vec<(&'static str, Vec<u8>)> {
    let sized = |count: i64, items: &[u8]| [long(-count), long(items.len() as i64), items.to_vec()].concat();
    vec![
        (r#""boolean""#, vec![1]),
        (r#""int""#, long(300)),
        (r#"{"type":"long","logicalType":"timestamp-millis"}"#, long(i64::MAX)),
        (r#""float""#, vec![1, 2, 3, 4]),
        (r#""double""#, vec![1, 2, 3, 4, 5, 6, 7, 8]),
        (r#""bytes""#, string([0xff, 0])),
        (r#""string""#, string("text")),
        (r#"{"type":"fixed","name":"F","size":3}"#, vec![1, 2, 3]),
        (r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, long(1)),
        (r#"{"type":"array","items":"string"}"#, [long(1), string("a"), sized(1, &string("b")), long(0)].concat()),
        (r#"{"type":"map","values":"int"}"#, [sized(1, &[string("k"), long(5)].concat()), long(0)].concat()),
        (r#"["null","string"]"#, [long(1), string("x")].concat()),
        (
            r#"["null","string",{"type":"record","name":"P","fields":[{"name":"q","type":"int"}]}]"#,
            [long(2), long(9)].concat(),
        ),
        (
            r#"{"type":"record","name":"P","fields":[{"name":"q","type":{"type":"array","items":"int"}},{"name":"n","type":"null"}]}"#,
            [long(2), long(1), long(2), long(0)].concat(),
        ),
    ]
}

/// Whatever type it has, and whatever column has its name by now.
#[test]
fn i3_a_field_is_read_past_to_its_last_byte() {
    for (kind, bytes) in types() {
        for before in ["", "p BOOLEAN, a INT", "p ARRAY<STRING>, a INT"] {
            let mut decoder = table(before);
            let schema = record(&format!(r#"{{"name":"p","type":{kind}}},{{"name":"a","type":"int"}}"#));
            let learned = decoder.add_schema_but(SchemaKey::id(1), &schema, Some(&older(&["p"]))).unwrap();
            assert_eq!(names(&learned.filled), ["a"], "{kind}");
            let p = if before.is_empty() { "" } else { "- | " };
            let whole = value(1, &[&bytes, &long(7)]);
            assert_eq!(rows(&mut decoder, std::slice::from_ref(&whole)), [format!("{p}7")], "{kind}");
            let cut = decode(&mut decoder, &[whole[..whole.len() - 1].to_vec()]);
            assert_eq!(cut.failure.unwrap().reason, Reason::Truncated, "{kind}");
        }
    }
}

#[test]
fn i3_what_is_inside_of_rows_lists_and_maps_is_read_past_too() {
    let inner = |name: &str| {
        format!(
            r#"{{"type":"record","name":"{name}","fields":[{{"name":"x","type":"string"}},{{"name":"y","type":"int"}}]}}"#
        )
    };
    let schema = record(&format!(
        r#"{{"name":"r","type":{}}},{{"name":"l","type":{{"type":"array","items":{}}}}},{{"name":"m","type":{{"type":"map","values":{}}}}}"#,
        inner("A"),
        inner("B"),
        inner("C")
    ));
    let mut decoder = table("");
    let passing = older(&["r.x", "l.element.x", "m.value.x"]);
    let columns_of = decoder.columns_of(SchemaKey::id(1), &schema, &passing).unwrap();
    assert_eq!(columns(&decoder), "", "a question changes nothing");
    let learned = decoder.add_schema_but(SchemaKey::id(1), &schema, Some(&passing)).unwrap();
    assert_eq!(names(&learned.filled), ["l", "l.element.y", "m", "m.value.y", "r", "r.y"]);
    assert_eq!(columns_of, learned.filled);
    let item = [string("x"), long(2)].concat();
    let list = [long(2), item.clone(), item.clone(), long(0)].concat();
    let map = [long(1), string("k"), item.clone(), long(0)].concat();
    assert_eq!(
        rows(&mut decoder, &[value(1, &[&item, &list, &map])]),
        ["{y: 2} | [{y: 2}, {y: 2}] | (\"k\" => {y: 2}; )"]
    );
}

/// A newer schema may have the name for something else, also as another name of something else.
#[test]
fn a_name_means_what_its_schema_meant() {
    let mut decoder = table("id INT, total STRING");
    let old = record(r#"{"name":"total","type":"int","aliases":["amount"]},{"name":"id","type":"int"}"#);
    let new = record(r#"{"name":"id","type":"int"},{"name":"total","type":"string"}"#);
    let learned = decoder.add_schema_but(SchemaKey::id(1), &old, Some(&older(&["amount", "total"]))).unwrap();
    assert!(learned.called.is_empty() && learned.renames.is_empty());
    decoder.add_schema_but(SchemaKey::id(2), &new, Some(&Passing::default())).unwrap();
    let values =
        [value(1, &[&long(5), &long(1)]), value(2, &[&long(2), &string("t")]), value(1, &[&long(6), &long(3)])];
    assert_eq!(rows(&mut decoder, &values), ["1 | -", "2 | \"t\"", "3 | -"]);
}

#[test]
fn it_is_told_by_which_names_a_column_is_filled() {
    let mut decoder = table("amount INT, r ROW<x INT>");
    let schema = record(
        r#"{"name":"total","type":"int","aliases":["amount"]},
           {"name":"s","aliases":["r"],"type":{"type":"record","name":"R","fields":[{"name":"z","type":"int","aliases":["x"]}]}}"#,
    );
    let learned = decoder.add_schema_but(SchemaKey::id(1), &schema, Some(&Passing::default())).unwrap();
    assert_eq!(names(&learned.filled), ["amount", "r", "r.x"]);
    let called: Vec<(&str, &str)> = learned.called.iter().map(|(field, column)| (&**field, &**column)).collect();
    assert_eq!(called, [("r.z", "r.x"), ("s", "r"), ("total", "amount")]);
}
