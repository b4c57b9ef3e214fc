//! Fields that come again, and fields that come in parts: read as one message that was written in several.

use super::*;

const FIELDS: &str = "message Order {
    int32 n = 1; Part part = 2; repeated int32 list = 3; map<string, Part> parts = 4;
    oneof o { int32 a = 5; Part b = 6; string c = 7; }
    google.protobuf.Timestamp t = 8; google.protobuf.StringValue w = 9; google.protobuf.Struct s = 10;
    map<int32, string> names = 11;
  }
  message Part { int32 x = 1; string y = 2; repeated int32 z = 3; Inner inner = 4; }
  message Inner { int32 p = 1; repeated string q = 2; }";

/// The cells of these columns, in a message of these parts; a row before and one after have nothing.
fn cells(names: &[&str], parts: &[Vec<u8>]) -> String {
    let (mut decoder, _) = decoder(&proto3(FIELDS));
    let none = value(1, &[]);
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let decoded = decode(&mut decoder, &[none.clone(), value(1, &parts), none]);
    assert_eq!(decoded.failure, None);
    let indexes: Vec<_> = names.iter().map(|name| decoded.batch.schema().index_of(name).unwrap()).collect();
    let shown = shown(&decoded.batch.project(&indexes).unwrap());
    assert_eq!(shown[0], shown[2]);
    shown[1].clone()
}

#[test]
fn of_a_scalar_the_last_counts_and_lists_go_on() {
    assert_eq!(cells(&["n"], &[whole(1, 3), whole(1, 4)]), "4");
    assert_eq!(cells(&["list", "n"], &[run(3, [1, 2]), whole(1, 9), whole(3, 3), run(3, [])]), "[1, 2, 3] | 9");
}

#[test]
fn a_message_in_parts_is_one() {
    let inner = |bytes: &[u8]| run(4, bytes);
    let first = [whole(1, 1), run(2, "a"), whole(3, 7), inner(&[8, 5, 18, 1, b'q'])].concat();
    let second = [whole(1, 2), whole(3, 8), inner(&[18, 1, b'r'])].concat();
    let merged = "{x: 2, y: \"a\", z: [7, 8], inner: {p: 5, q: [\"q\", \"r\"]}}";
    assert_eq!(cells(&["part"], &[run(2, &first), whole(1, 1), run(2, &second)]), merged);
    // In an entry of a map too.
    let entry = [run(1, "k"), run(2, &first), run(2, &second)].concat();
    assert_eq!(cells(&["parts"], &[run(4, entry)]), format!("(\"k\" => {merged}; )"));
}

#[test]
fn n36_of_a_key_that_comes_twice_the_last_entry_counts() {
    let entry = |key: &str, part: &[u8]| run(4, [run(1, key), run(2, part)].concat());
    let parts =
        [entry("k", &[24, 1, 24, 2]), entry("j", &[8, 1]), entry("k", &[24, 3]), entry("", &[]), entry("j", &[8, 2])];
    let part = |x, z| format!("{{x: {x}, y: \"\", z: {z}, inner: -}}");
    let expected = format!("(\"\" => {}; \"j\" => {}; \"k\" => {}; )", part(0, "[]"), part(2, "[]"), part(0, "[3]"));
    assert_eq!(cells(&["parts"], &parts), expected);
    let names = [run(11, [8, 1, 18, 1, b'a']), run(11, [18, 1, b'z']), run(11, [8, 1, 18, 1, b'b'])];
    assert_eq!(cells(&["names"], &names), "(0 => \"z\"; 1 => \"b\"; )");
}

#[test]
fn n34_of_a_oneof_the_last_field_counts() {
    let message = run(6, [8, 1, 24, 7]);
    assert_eq!(cells(&["a", "b", "c"], &[whole(5, 1), run(7, "c")]), "- | - | \"c\"");
    assert_eq!(cells(&["a", "b", "c"], &[run(7, "c"), message.clone(), whole(5, 0)]), "0 | - | -");
    // Parts of one message go together only if nothing is between.
    let again = run(6, [24, 8]);
    let merged = "- | {x: 1, y: \"\", z: [7, 8], inner: -} | -";
    assert_eq!(cells(&["a", "b", "c"], &[message.clone(), again.clone()]), merged);
    let alone = "- | {x: 0, y: \"\", z: [8], inner: -} | -";
    assert_eq!(cells(&["a", "b", "c"], &[message, whole(5, 1), again]), alone);
}

#[test]
fn messages_that_everyone_knows_come_in_parts_too() {
    assert_eq!(cells(&["t"], &[run(8, [8, 1]), run(8, [16, 0xd0, 0x86, 3])]), "1000050us");
    assert_eq!(cells(&["t"], &[run(8, [8, 1, 16, 0xe8, 7]), run(8, [8, 2])]), "2000001us");
    assert_eq!(cells(&["w"], &[run(9, [10, 1, b'a']), run(9, [])]), "\"a\"");
    let member = |key: &str, value: &[u8]| run(10, run(1, [run(1, key), run(2, value)].concat()));
    let parts = [member("a", &[32, 1]), member("b", &[32, 0]), member("a", &[8, 0])];
    assert_eq!(cells(&["s"], &parts), "\"{\\\"a\\\":null,\\\"b\\\":false}\"");
}

#[test]
fn n31_what_no_field_knows_is_passed_over() {
    let unknown =
        [vec![0x60, 1], run(13, "x"), vec![0x71, 1, 2, 3, 4, 5, 6, 7, 8], vec![0x7b, 8, 1, 0x13, 0x14, 0x7c]].concat();
    assert_eq!(cells(&["n"], &[unknown.clone(), whole(1, 3), unknown]), "3");
}
